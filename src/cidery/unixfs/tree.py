"""Walks a tree of files: every entry with its path, directories before their contents. File bytes are not read.

Spec: https://specs.ipfs.tech/unixfs/
"""

from collections.abc import Generator
from typing import NamedTuple

from cidery.ipld.walk import MAX_PENDING, Ahead, Need, Prefetch, Walk, WalkLimit
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import RAW
from cidery.multiformats.varint import Buffer
from cidery.unixfs.directory_reader import first_links, read_shard
from cidery.unixfs.metadata import MAX_TREE_DEPTH, Mtime
from cidery.unixfs.node import Kind, UnixFSNode
from cidery.unixfs.reader import read_node
from cidery.unixfs.shard import Slot, level_bits, placed_slots

MAX_TREE_ENTRIES = 10_000_000
"""Most entries reported by one walk: small directories that contain each other can name 2**1024."""


class TreeEntry(NamedTuple):
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

    Raw blocks below the root are assumed to be files without being read; they are named ahead with the rest.

    Raises:
        WalkLimit, UnixFSError, DagPbError, UnsupportedCodec.
    """
    stack: list[_Pending] = [_Pending(root, (), None)]
    ahead = Ahead()
    count = 0
    while stack:
        if named := ahead.due(len(stack)):
            yield Prefetch(tuple(entry.cid for entry in reversed(stack[-named:])))
        entry = stack.pop()
        cid, path, stated, _ = entry
        if entry.shard is not None:
            children = yield from _shard_children(entry)
        else:
            count += 1
            if count > MAX_TREE_ENTRIES:
                raise WalkLimit(root, f"more than {MAX_TREE_ENTRIES} entries")
            if cid.codec == RAW and path:
                yield TreeEntry(path, Kind.FILE, cid, None, stated_size=stated)
                continue
            node = yield from read_node(cid)
            yield _described(node, path, stated)
            if node.kind is not Kind.DIRECTORY:
                continue
            children = _children(node, path)
        if len(path) >= MAX_TREE_DEPTH or len(stack) + len(children) > MAX_PENDING:
            raise WalkLimit(root, f"deeper than {MAX_TREE_DEPTH} directories or wider than {MAX_PENDING} entries")
        stack += reversed(children)
        ahead.grown(len(children))


class _Shard(NamedTuple):
    """Where a shard below the root of a directory is."""

    fanout: int
    level: int
    path: int


class _Pending(NamedTuple):
    """An entry to report, or with ``shard`` more entries of the directory at ``path``."""

    cid: CID
    path: tuple[str, ...]
    stated: int | None
    shard: _Shard | None = None


def _described(node: UnixFSNode, path: tuple[str, ...], stated: int | None) -> TreeEntry:
    target = node.target if node.kind is Kind.SYMLINK else ""
    size = node.size if node.kind is Kind.FILE else 0
    if stated is None:
        stated = size + (sum(link.tsize or 0 for link in node.links) if node.kind is Kind.DIRECTORY else 0)
    return TreeEntry(path, node.kind, node.cid, size, target, node.mode, node.mtime, stated)


def _children(node: UnixFSNode, path: tuple[str, ...]) -> list[_Pending]:
    if node.fanout:
        return _of_slots(placed_slots(node.fanout, node.links, 0, 0), path, _Shard(node.fanout, 0, 0))
    return [_Pending(link.cid, (*path, link.name or ""), link.tsize) for link in first_links(node.links)]


def _shard_children(entry: _Pending) -> Generator[Need | Prefetch, Buffer | None, list[_Pending]]:
    assert entry.shard is not None  # checked by the caller
    _, slots = yield from read_shard(entry.cid, *entry.shard)
    return _of_slots(slots, entry.path, entry.shard)


def _of_slots(slots: list[Slot], path: tuple[str, ...], at: _Shard) -> list[_Pending]:
    bits = level_bits(at.fanout)
    return [
        _Pending(link.cid, (*path, link.name), link.tsize)
        if link.name
        else _Pending(link.cid, path, None, _Shard(at.fanout, at.level + 1, at.path << bits | bucket))
        for bucket, link in slots
    ]
