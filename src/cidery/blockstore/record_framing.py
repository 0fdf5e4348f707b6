"""Frames records for appending: a length, a CID, the data. Payload buffers are passed on without a copy."""

from collections.abc import Sequence
from typing import NamedTuple

from cidery.blockstore.segment_file import Location
from cidery.ipld.block import Block
from cidery.multiformats.varint import Buffer, encode_uvarint

MAX_RECORD_HEAD = 192
"""More than any record's head, in bytes; decides when a segment is full."""


class Run(NamedTuple):
    """Records that go into one segment in one write."""

    parts: list[Buffer]
    placed: list[tuple[bytes, Location]]
    """Multihash and place of each."""
    end: int
    """Offset after the last record."""


def frame_run(blocks: Sequence[Block], start: int, segment: int, offset: int, ordinal: int, segment_bytes: int) -> Run:
    """Frame as many blocks from ``start`` on as fit into the segment from ``offset`` on, at least one."""
    at = offset
    parts: list[Buffer] = []
    placed: list[tuple[bytes, Location]] = []
    # Neighbours mostly have the same size, and so the same varint: encode it once for all of them.
    last_size, varint = -1, b""
    for index in range(start, len(blocks)):
        cid, data = blocks[index]
        length = len(data)
        if placed and at + MAX_RECORD_HEAD + length > segment_bytes:
            break
        name = cid.encode() if cid.version else cid.to_v1().encode()
        size = len(name) + length
        if size != last_size:
            last_size, varint = size, encode_uvarint(size)
        parts += (varint, name, data)
        head = len(varint) + len(name)
        placed.append((cid.multihash, Location(segment, at, length, head, ordinal)))
        at += head + length
        ordinal += 1
    return Run(parts, placed, at)
