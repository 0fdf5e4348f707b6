"""Exports a DAG as a CAR: streamed, in canonical order, so that the same DAG always gives the same bytes."""

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any

from cidery.blockstore.drive import drive
from cidery.core.session import BlockSession
from cidery.errors import Unavailable
from cidery.ipld.block import Block
from cidery.ipld.car import encode_header, encode_section_head
from cidery.ipld.car_v2 import CarIndex
from cidery.ipld.car_walk import walk_blocks
from cidery.ipld.walk import Walk
from cidery.multiformats.cid import CID
from cidery.multiformats.varint import Buffer

JOIN_BYTES = 256 * 1024
"""Bytes of small blocks sent at a time: each send costs some system calls."""
ALONE = 64 * 1024
"""A block of at least this many bytes is sent without copying: a copy would cost more than a send."""


class ChangedMeanwhile(Unavailable):
    """Blocks came or went between the two passes of an export."""

    def __init__(self, expected: int, written: int) -> None:
        super().__init__(expected, written)
        self.expected = expected
        self.written = written

    def __str__(self) -> str:
        return f"blocks came or went during the export ({self.written} bytes, not {self.expected}); export again"


def export_car(
    roots: Sequence[CID], session: BlockSession, *, local_only: bool = False
) -> AsyncIterator[bytes | memoryview]:
    """The archive in pieces, byte-identical for the same DAG on every node; several roots share blocks.

    Args:
        local_only: leave out blocks that ``session`` lacks, and everything only below them; else NotFound is raised.
    Raises as the session and walk_blocks(). Cancellation: safe.
    Cost: one read per block; memory O(distinct CIDs).
    """
    return as_archive(roots, walk_blocks(roots), session, local_only=local_only)


async def as_archive(
    roots: Sequence[CID], walk: Walk[Block, Any], session: BlockSession, *, local_only: bool = False
) -> AsyncIterator[bytes | memoryview]:
    """The blocks of a walk as a CAR, in pieces. Raises and is cancelled as export_car()."""
    held: list[Buffer] = [encode_header(roots)]
    size = 0
    async with aclosing(drive(walk, session, partial=local_only)) as blocks:
        async for cid, data in blocks:
            held.append(encode_section_head(cid, len(data)))
            if len(data) >= ALONE:
                yield b"".join(held)
                yield data if isinstance(data, bytes) else memoryview(data)
                held, size = [], 0
                continue
            held.append(data)
            size += len(data)
            if size >= JOIN_BYTES:
                yield b"".join(held)
                held, size = [], 0
    if held:
        yield b"".join(held)


async def export_car_v2(
    roots: Sequence[CID], session: BlockSession, *, local_only: bool = False
) -> AsyncIterator[bytes | memoryview]:
    """As export_car(), inside a CARv2 with an index.

    The header in front states the size, so every block is read twice. Memory: the index, about 150 bytes per block.
    """
    index = CarIndex(encode_header(roots))
    async for block in drive(walk_blocks(roots), session, partial=local_only):
        index.add(block)
    yield index.encode_head()
    written = 0
    async for chunk in export_car(roots, session, local_only=local_only):
        written += len(chunk)
        yield chunk
    if written != index.size:
        raise ChangedMeanwhile(index.size, written)
    for piece in index.encode():
        yield piece
