"""The walks behind a trustless gateway's CAR: which blocks prove a path and the content at its end.

First the blocks on the path, with the shards that its names need, then those of the scope at its end, all in the order
of a depth-first walk, each once unless duplicates are wanted.

Spec: https://specs.ipfs.tech/http-gateways/trustless-gateway/#car-responses-application-vnd-ipld-car
"""

from collections.abc import Generator, Sequence
from enum import Enum
from typing import Any, NamedTuple

from cidery.core.reading.content_path import ContentPath
from cidery.core.reading.resolve import Resolved, walk_path
from cidery.ipld.block import Block
from cidery.ipld.links import UnsupportedCodec
from cidery.ipld.walk import Need, Prefetch, Walk, need, walk_edges
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import DAG_PB, RAW
from cidery.multiformats.varint import Buffer
from cidery.unixfs.data import UnixFSError
from cidery.unixfs.directory_reader import walk_entries
from cidery.unixfs.node import Kind, decode_node_steps
from cidery.unixfs.reader import read_file


class Scope(Enum):
    """The part of the content that is wanted (``dag-scope``)."""

    BLOCK = "block"
    """Its block only."""
    ENTITY = "entity"
    """The file, or the directory itself without its contents."""
    ALL = "all"
    """Everything below."""


class ByteRange(NamedTuple):
    """``entity-bytes=from:to``: positions in a file, both included; negative ones count from its end."""

    first: int
    last: int | None
    """None: to the end (``*``)."""

    def within(self, size: int) -> tuple[int, int]:
        """(offset, length), clipped to a file of ``size`` bytes."""
        first = max(0, size + self.first) if self.first < 0 else min(self.first, size)
        last = size - 1 if self.last is None else size + self.last if self.last < 0 else min(self.last, size - 1)
        return first, max(0, last + 1 - first)


class PathEnd(NamedTuple):
    """The result of following a path."""

    roots: tuple[CID, ...]
    """The CID of the path's root, then of each of its names (``X-Ipfs-Roots``)."""
    remainder: tuple[str, ...]
    """Names that continue inside the last block."""

    @property
    def cid(self) -> CID:
        return self.roots[-1]


def prove_path(path: ContentPath) -> Walk[Block, PathEnd]:
    """Yields the blocks on the way, without the one at the end. Raises as walk_path()."""
    roots = [path.root]
    left = path.segments
    while left:
        found: Resolved = yield from _recorded(walk_path(ContentPath(roots[-1], left[:1], path.namespace)))
        if found.remainder:  # the name is a key inside the block: later ones may lead out of it again
            found = yield from _recorded(walk_path(ContentPath(roots[-1], left, path.namespace)))
            if found.cid != roots[-1]:
                roots.append(found.cid)
            return PathEnd(tuple(roots), found.remainder)
        roots.append(found.cid)
        left = left[1:]
    return PathEnd(tuple(roots), ())


def prove_scope(cid: CID, scope: Scope, byte_range: ByteRange | None, *, duplicates: bool = False) -> Walk[Block, None]:
    """Yields the blocks of the scope, ``cid``'s first; with ``byte_range`` of a file, only those that hold the bytes.

    Raises as the readers of UnixFS and walk_edges().
    """
    if scope is Scope.ALL and byte_range is None:
        yield from _recorded(walk_edges(cid, unique=not duplicates))
        return
    block = yield from _recorded(need(cid))
    if scope is Scope.BLOCK and byte_range is None:
        return
    if cid.codec not in (DAG_PB, RAW):
        return
    try:
        node = yield from decode_node_steps(cid, block)
    except (UnixFSError, UnsupportedCodec):
        return  # dag-pb that is not UnixFS: the entity is its block
    if node.kind is Kind.FILE:
        offset, length = (0, None) if byte_range is None else byte_range.within(node.size)
        yield from _recorded(read_file(cid, offset, length))
    elif node.kind is Kind.DIRECTORY and node.fanout:
        yield from _recorded(walk_entries(node))


def _recorded(walk: Generator[Any, Buffer | None, Any]) -> Generator[Any, Buffer | None, Any]:
    """The walk without its own results; yields the blocks that it was given instead."""
    answer: Buffer | None = None
    while True:
        try:
            step = walk.send(answer)
        except StopIteration as stop:
            return stop.value
        answer = None
        if isinstance(step, Need):
            answer = yield step
            assert answer is not None  # the contract of Need
            yield Block(step.cid, answer)
        elif isinstance(step, Prefetch):
            yield step


def each_once(walk: Walk[Block, Any], seen: set[bytes]) -> Walk[Block, Any]:
    """The walk without blocks that are in ``seen``, which grows."""
    answer: Buffer | None = None
    while True:
        try:
            step = walk.send(answer)
        except StopIteration as stop:
            return stop.value
        answer = None
        if isinstance(step, Block):
            key = step.cid.encode()
            if key not in seen:
                seen.add(key)
                yield step
        else:
            answer = yield step


def in_sequence(first: Sequence[Block], walk: Walk[Block, Any]) -> Walk[Block, None]:
    """The given blocks, then those of the walk."""
    yield from first
    yield from walk
