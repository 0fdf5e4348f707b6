"""Appends leaves to a file, in the trickle layout: only the nodes on the right edge are opened and rewritten.

A node takes WIDTH leaves, then REPEAT subtrees of depth 1, as many of depth 2 and so on; the root without limit, a
subtree of depth d below d. A file grown leaf by leaf equals the layout's result for all leaves at once.

Spec: Kubo importer/trickle; Kubo's own append puts subtrees elsewhere once the root's direct leaves are full, depending
on how the bytes arrived, so equal CIDs end there.
"""

from collections.abc import Generator
from dataclasses import dataclass, field

from cidery.ipld import dag_pb
from cidery.ipld.block import Block
from cidery.ipld.walk import Need, Prefetch, WalkLimit
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import RAW
from cidery.multiformats.varint import Buffer
from cidery.unixfs.data import NodeType, UnixFSData, UnixFSError
from cidery.unixfs.layout import Child, dag_pb_block
from cidery.unixfs.metadata import Mtime
from cidery.unixfs.node import Kind, UnixFSNode
from cidery.unixfs.profile import Profile
from cidery.unixfs.reader import MAX_FILE_DEPTH, read_node

WIDTH = 174
"""Direct leaves of a node: the value of Kubo's ``files write``, whatever the config says."""
REPEAT = 4
"""Subtrees of each depth."""


@dataclass(slots=True)
class _Open:
    """A node on the right edge."""

    limit: int | None
    """Its subtrees have a lower depth than this; None: the root."""
    children: list[Child] = field(default_factory=list)
    inline: Buffer | None = None
    """Bytes before those of the children: files of one node have them."""
    mode: int | None = None
    mtime: Mtime | None = None


class Growth:
    """One file that leaves are appended to. Feed add(), store the blocks it returns, then finish() once."""

    def __init__(self, profile: Profile) -> None:
        """A new, empty file under the CID version and hash of ``profile``."""
        self._profile = profile
        self._edge = [_Open(None)]
        self.raw = False
        """Whether the file was one raw leaf: then later ones are raw, too."""

    def add(self, leaf: Child) -> list[Block]:
        """Append a leaf; returns nodes that are complete, mostly none."""
        done: list[Block] = []
        while True:
            top = self._edge[-1]
            beyond = len(top.children) - WIDTH
            if beyond < 0:
                top.children.append(leaf)
                return done
            depth = beyond // REPEAT + 1
            if top.limit is None or depth < top.limit:
                self._edge.append(_Open(depth))
            else:
                done.append(self._close())

    def finish(self, mtime: Mtime | None = None) -> tuple[Child, list[Block]]:
        """(root, remaining nodes). ``mtime`` replaces the one that the root had, if it had any.

        A file of a single raw leaf is that leaf, if the profile wants raw leaves, as in Kubo.
        """
        done: list[Block] = []
        while len(self._edge) > 1:
            done.append(self._close())
        root = self._edge[0]
        if root.mtime is not None and mtime is not None:
            root.mtime = mtime
        if (lone := self._lone_leaf(root)) is not None:
            return lone, done
        child, block = self._encode(root)
        return child, [*done, block]

    def _lone_leaf(self, root: _Open) -> Child | None:
        bare = root.mode is None and root.mtime is None and not root.inline
        if self._profile.raw_leaves and bare and len(root.children) == 1 and root.children[0].cid.codec == RAW:
            return root.children[0]
        return None

    def _close(self) -> Block:
        child, block = self._encode(self._edge.pop())
        self._edge[-1].children.append(child)
        return block

    def _encode(self, node: _Open) -> tuple[Child, Block]:
        sizes = tuple(child.filesize for child in node.children)
        size = sum(sizes) + len(node.inline or b"")
        message = UnixFSData(NodeType.FILE, node.inline, size, sizes, mode=node.mode, mtime=node.mtime)
        links = [dag_pb.Link(child.cid, "", child.tsize) for child in node.children]
        block = dag_pb_block(self._profile, dag_pb.encode(links, message.encode()))
        return Child(block.cid, size, len(block.data) + sum(child.tsize for child in node.children)), block


def reopen(profile: Profile, root: CID) -> Generator[Need | Prefetch, Buffer | None, Growth]:
    """The right edge of an existing file, of any layout. Raises UnixFSError, DagPbError, WalkLimit."""
    growth = Growth(profile)
    node = yield from read_node(root)
    edge = [_opened(node, None)]
    if root.codec == RAW:
        edge = [_Open(None, [Child(root, node.size, node.size)])]
        growth.raw = True
    while True:
        top = edge[-1]
        beyond = len(top.children) - WIDTH
        if beyond <= 0 or top.children[-1].cid.codec == RAW:
            break
        node = yield from read_node(top.children[-1].cid)
        if node.kind is not Kind.FILE:
            raise UnixFSError(f"a {node.kind.value} inside a file")
        if not node.links:
            break
        if len(edge) >= MAX_FILE_DEPTH:
            raise WalkLimit(root, f"deeper than {MAX_FILE_DEPTH} links")
        top.children.pop()
        edge.append(_opened(node, (beyond - 1) // REPEAT + 1))
    growth._edge = edge
    return growth


def _opened(node: UnixFSNode, limit: int | None) -> _Open:
    children = [Child(link.cid, size, link.tsize or 0) for link, size in zip(node.links, node.blocksizes, strict=True)]
    return _Open(limit, children, node.inline if len(node.inline) else None, node.mode, node.mtime)
