"""How a DAG was made, inferred from a few of its blocks: chunk size, leaves, links per node, layout, sharding.

Reads the blocks on the way to the first leaf and the last child of the root: one per level of the tree.
"""

from collections.abc import Generator
from dataclasses import dataclass

from cidery.ipld.walk import Need, Prefetch, WalkLimit
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import DAG_PB, RAW
from cidery.multiformats.varint import Buffer
from cidery.unixfs.node import Kind, UnixFSNode
from cidery.unixfs.reader import MAX_FILE_DEPTH, read_node


@dataclass(frozen=True, slots=True)
class AtLeast:
    """A setting with at least this value: the data did not exceed it."""

    number: int

    def __str__(self) -> str:
        return f"{self.number} or more"


@dataclass(frozen=True, slots=True)
class Shape:
    """The findings. None: unknown."""

    cid: CID
    kind: str
    """"file", "directory", "symlink", or "block" if it is not UnixFS."""
    size: int = 0
    """Files: bytes."""
    raw_leaves: bool | None = None
    chunk: int | AtLeast | None = None
    """Bytes of a chunk; None for chunks cut by content."""
    width: int | AtLeast | None = None
    """Links per node."""
    layout: str | None = None
    """"balanced" or "trickle"; None where both would look the same."""
    fanout: int | None = None
    """Directories: 0 for a basic one, else the buckets of a shard."""
    metadata: bool = False
    """Whether mode or mtime are stored."""


def read_shape(cid: CID) -> Generator[Need | Prefetch, Buffer | None, Shape]:
    """The shape of a UnixFS DAG. Raises as read_node(), and WalkLimit."""
    if cid.codec not in (RAW, DAG_PB):
        return Shape(cid, "block")
    root = yield from read_node(cid)
    metadata = root.mode is not None or root.mtime is not None
    if root.kind is not Kind.FILE:
        fanout = root.fanout if root.kind is Kind.DIRECTORY else None
        return Shape(cid, root.kind.value, fanout=fanout, metadata=metadata)
    if not root.links:
        return Shape(cid, "file", root.size, cid.codec == RAW, AtLeast(root.size), metadata=metadata)
    return (yield from _tree(root, metadata))


def _tree(root: UnixFSNode, metadata: bool) -> Generator[Need | Prefetch, Buffer | None, Shape]:
    above, depth = root, 1
    leaf = yield from read_node(root.links[0].cid)
    while leaf.links:
        depth += 1
        if depth > MAX_FILE_DEPTH:
            raise WalkLimit(root.cid, f"deeper than {MAX_FILE_DEPTH} links")
        above, leaf = leaf, (yield from read_node(leaf.links[0].cid))
    last = yield from read_node(root.links[-1].cid)
    raw = leaf.cid.codec == RAW
    sizes = above.blocksizes
    width: int | AtLeast = len(above.links) if depth > 1 else AtLeast(len(above.links))
    layout = "balanced" if depth > 1 else None
    if depth == 1 and last.links:
        layout = "trickle"
        # leaves come first; a subtree with no more bytes than a leaf can only be the last child, which has links
        width = next((at for at, size in enumerate(sizes) if size > sizes[0]), len(sizes) - 1)
        sizes = sizes[:width]
    fixed = all(size == sizes[0] for size in sizes[:-1]) and sizes[-1] <= sizes[0]
    chunk = (sizes[0] if len(sizes) > 1 else AtLeast(sizes[0])) if fixed else None
    return Shape(root.cid, "file", root.size, raw, chunk, width, layout, metadata=metadata)
