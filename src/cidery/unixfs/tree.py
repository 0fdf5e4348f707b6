"""Walks a tree of files: every entry with its path, directories before their contents. File bytes are not read.

Spec: https://specs.ipfs.tech/unixfs/
"""

from dataclasses import dataclass

from cidery.ipld.walk import MAX_PENDING, Ahead, Prefetch, Walk, WalkLimit
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import RAW
from cidery.unixfs.data import Mtime
from cidery.unixfs.node import Kind
from cidery.unixfs.reader import read_node

MAX_TREE_DEPTH = 1024
"""Deepest tree walked, in directories: half of what PATH_MAX (4096 bytes) allows on Linux."""
MAX_TREE_ENTRIES = 10_000_000
"""Most entries reported by one walk: small directories that repeat each other can name 2**1024."""


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """One entry."""

    path: tuple[str, ...]
    """Names from the root of the walk, which is (). Names are as stored: unchecked."""
    kind: Kind
    cid: CID
    size: int | None
    """Bytes of a file; None for raw blocks, which are not read here."""
    target: str = ""
    """Of a symlink."""
    mode: int | None = None
    mtime: Mtime | None = None
    stated_size: int | None = None
    """Cumulative size that the parent claims, or the links of the root: for progress only."""


def walk_tree(root: CID) -> Walk[TreeEntry, None]:
    """Entries depth first in stored order; of several with one name the first. Symlinks are not followed.

    Raw blocks below the root are taken for files without being read; they are named ahead with the rest.

    Raises:
        WalkLimit, ShardedDirectory, UnixFSError, DagPbError, UnsupportedCodec.
    """
    stack: list[tuple[CID, tuple[str, ...], int | None]] = [(root, (), None)]
    ahead = Ahead()
    count = 0
    while stack:
        if named := ahead.due(len(stack)):
            yield Prefetch(tuple(entry[0] for entry in reversed(stack[-named:])))
        cid, path, stated = stack.pop()
        count += 1
        if count > MAX_TREE_ENTRIES:
            raise WalkLimit(root, f"more than {MAX_TREE_ENTRIES} entries")
        if cid.codec == RAW and path:
            yield TreeEntry(path, Kind.FILE, cid, None, stated_size=stated)
            continue
        node = yield from read_node(cid)
        target = node.target if node.kind is Kind.SYMLINK else ""
        size = node.size if node.kind is Kind.FILE else 0
        if stated is None:
            stated = size + (sum(link.tsize or 0 for link in node.links) if node.kind is Kind.DIRECTORY else 0)
        yield TreeEntry(path, node.kind, cid, size, target, node.mode, node.mtime, stated)
        if node.kind is not Kind.DIRECTORY:
            continue
        first = {link.name or "": link for link in reversed(node.links)}
        if len(path) >= MAX_TREE_DEPTH or len(stack) + len(first) > MAX_PENDING:
            raise WalkLimit(root, f"deeper than {MAX_TREE_DEPTH} directories or wider than {MAX_PENDING} entries")
        # ``first`` runs from the last link to the first one, which is the order a stack wants.
        stack += [(link.cid, (*path, name), link.tsize) for name, link in first.items()]
        ahead.grown(len(first))
