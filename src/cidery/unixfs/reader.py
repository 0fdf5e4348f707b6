"""Walks that read UnixFS: bytes of a file from any offset, entries of a directory, paths.

Only the blocks that hold wanted bytes are requested. Every child is checked against the size its parent states, so
work is bounded by the bytes delivered times MAX_FILE_DEPTH, whatever a peer sends: a part without
wanted bytes is never opened.

Spec: https://specs.ipfs.tech/unixfs/
"""

from collections.abc import Generator, Sequence

from cidery.errors import InvalidInput
from cidery.ipld.block import MAX_BLOCK
from cidery.ipld.walk import MAX_PENDING, Ahead, Data, Need, Prefetch, Walk, WalkLimit, need
from cidery.multiformats.cid import CID
from cidery.multiformats.varint import Buffer
from cidery.unixfs.data import UnixFSError
from cidery.unixfs.directory_reader import find_entry
from cidery.unixfs.node import Kind, UnixFSNode, decode_node_steps

MAX_FILE_DEPTH = 128
"""Deepest file, in links from its root: a binary tree over 2**63 single bytes has 63."""


class NotAFile(InvalidInput):
    """Bytes were requested of something that is not a file."""

    def __init__(self, cid: CID, kind: Kind) -> None:
        super().__init__(cid, kind)
        self.cid = cid
        self.kind = kind

    def __str__(self) -> str:
        return f"{self.cid} is a {self.kind.value}, not a file"


def read_node(cid: CID) -> Generator[Need | Prefetch, Buffer | None, UnixFSNode]:
    """One node: asks for one block (none for an identity CID), with pauses in a large one. Raises as decode_node()."""
    return (yield from decode_node_steps(cid, (yield from need(cid))))


class Offer:
    """A part of a file about to be read. A caller that has its bytes already sets ``taken``, and the walk skips it."""

    __slots__ = ("cid", "size", "start", "taken")

    def __init__(self, cid: CID, start: int, size: int | None) -> None:
        self.cid = cid
        self.start = start
        """Offset in the file, in bytes."""
        self.size = size
        """Bytes; None for the root, whose size is not known before it is read."""
        self.taken = False


def read_file(
    root: CID, offset: int = 0, length: int | None = None, known: UnixFSNode | None = None
) -> Walk[Data, None]:
    """The bytes ``[offset, offset+length)`` of a file, in order, clipped to its end.

    ``known``: the root, where it was read already: decoding its links takes some 6 us each.

    Asks only for the blocks on the way to those bytes, and names the following ones ahead. Memory: the links of the
    nodes on the way, at most MAX_PENDING.

    Raises:
        InvalidInput: negative offset or length. NotAFile. UnixFSError: sizes that disagree. WalkLimit.
    """
    walk = _read_parts(root, offset, length, offers=False, known=known)
    answer: Buffer | None = None
    while True:
        try:
            step = walk.send(answer)
        except StopIteration:
            return
        assert not isinstance(step, Offer)  # none were requested
        answer = yield step


def read_missing(
    root: CID, offset: int = 0, length: int | None = None, known: UnixFSNode | None = None
) -> Walk[Data | Offer, None]:
    """As read_file(), with an Offer before each part that may be there already, also for one that is wanted in part.

    Offers come for every part up to 2 MiB, from the largest to its own parts if it is not taken, in file order.
    """
    yield from _read_parts(root, offset, length, offers=True, known=known)


def _read_parts(
    root: CID, offset: int, length: int | None, *, offers: bool, known: UnixFSNode | None = None
) -> Walk[Data | Offer, None]:
    if offset < 0 or (length is not None and length < 0):
        raise InvalidInput("offset and length must not be negative")
    end = None if length is None else offset + length
    stack: list[tuple[CID, int | None, int, int]] = [(root, None, 0, 0)]  # cid, size its parent states, start, depth
    ahead = Ahead()
    while stack:
        if named := ahead.due(len(stack)):
            yield Prefetch(tuple(entry[0] for entry in reversed(stack[-named:])))
        cid, stated, start, depth = stack.pop()
        if offers and (stated is None or stated <= MAX_BLOCK):
            offer = Offer(cid, start, stated)
            yield offer
            if offer.taken:
                continue
        block: Buffer | None = None
        if known is not None and stated is None:
            node = known
        else:
            block = yield from need(cid)
            node = yield from decode_node_steps(cid, block)
        if node.kind is not Kind.FILE:
            raise NotAFile(cid, node.kind) if stated is None else UnixFSError(f"a {node.kind.value} inside a file")
        if stated is not None and node.size != stated:
            raise UnixFSError(f"{cid} holds {node.size} bytes, its parent says {stated}")
        chunk = _clip(node.inline, offset - start, None if end is None else end - start)
        if len(chunk):
            yield Data(chunk, cid, block) if chunk is node.inline and block is not None else Data(chunk)
        children = _children_within(node, start, offset, end, depth + 1)
        if children:
            if depth >= MAX_FILE_DEPTH or len(stack) + len(children) > MAX_PENDING:
                raise WalkLimit(root, f"deeper than {MAX_FILE_DEPTH} or wider than {MAX_PENDING} links")
            stack += reversed(children)
            ahead.grown(len(children))


def _clip(chunk: Buffer, first: int, last: int | None) -> Buffer:
    size = len(chunk)
    low = min(max(first, 0), size)
    high = size if last is None else min(max(last, low), size)
    return chunk if low == 0 and high == size else memoryview(chunk)[low:high]


def _children_within(
    node: UnixFSNode, start: int, offset: int, end: int | None, depth: int
) -> list[tuple[CID, int | None, int, int]]:
    out: list[tuple[CID, int | None, int, int]] = []
    if end is not None and end <= offset:
        return out
    at = start + len(node.inline)
    for link, size in zip(node.links, node.blocksizes, strict=True):
        if end is not None and at >= end:
            break
        if size and at + size > offset:
            out.append((link.cid, size, at, depth))
        at += size
    return out


def resolve_path(root: CID, segments: Sequence[str]) -> Generator[Need | Prefetch, Buffer | None, CID]:
    """Follow names from ``root`` down; symlinks are not followed. Raises as find_entry().

    One block per segment, and one per level of a sharded directory.
    """
    cid = root
    for name in segments:
        node = yield from read_node(cid)
        cid = yield from find_entry(node, name)
    return cid
