"""Reads every block back and hashes it, for ``repo verify``. Finds bit rot, missing files and truncated records.

It follows the index, so a damaged frame hides no block after it; each page is read in the order of the segments.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import NamedTuple

from cidery.blockstore.index import Index
from cidery.blockstore.open_segments import OpenSegments
from cidery.blockstore.places import segment_name
from cidery.blockstore.segment_file import CorruptSegment, Location
from cidery.multiformats.multihash import MultihashError, matches

VERIFY_PAGE = 256
"""Blocks between two reports: at most 512 MiB of reading, 0.1 s for blocks of 256 KiB on a fast disk."""


class Fault(NamedTuple):
    """One block that cannot be read as it was stored."""

    multihash: bytes
    reason: str
    """The fault, in one line."""
    at: Location
    """Where it is, or should be."""
    lost: bool
    """False: it could not be read now, but may be intact (no permission, a disk that does not answer)."""


class VerifyProgress(NamedTuple):
    """Totals so far, and the faults found since the last report."""

    blocks: int
    bytes: int
    faults: tuple[Fault, ...]


async def verify_blocks(segments: OpenSegments, index: Index) -> AsyncIterator[VerifyProgress]:
    """Check every block of the index in turn; blocks put or deleted meanwhile may be left out.

    Yields at least once, then after each VERIFY_PAGE blocks. Cost: reads and hashes all data, in a thread.
    """
    after, blocks, size = b"", 0, 0
    while page := await asyncio.to_thread(index.page, after, VERIFY_PAGE):
        after = page[-1][0]
        faults = await asyncio.to_thread(_check_page, segments, index, page)
        blocks += len(page)
        size += sum(at.length for _, at in page)
        yield VerifyProgress(blocks, size, tuple(faults))
    if not blocks:
        yield VerifyProgress(0, 0, ())


def _check_page(segments: OpenSegments, index: Index, page: list[tuple[bytes, Location]]) -> list[Fault]:
    faults = []
    for key, at in sorted(page, key=lambda item: item[1]):
        reason, lost = _fault_of(segments, key, at)
        # Deleted or moved while the page was read: not a fault.
        if reason and index.get_many([key]) == [at]:
            faults.append(Fault(key, reason, at, lost))
    return faults


def _fault_of(segments: OpenSegments, key: bytes, at: Location) -> tuple[str, bool]:
    """(the reason, "" for a sound block; whether the bytes are lost)."""
    try:
        data = segments.read(at, key)
    except CorruptSegment as exc:
        return f"{segment_name(at.segment)} at byte {at.offset}: {exc.reason}", True
    except FileNotFoundError:
        return f"{segment_name(at.segment)}: the file is missing", True
    except OSError as exc:
        return f"{segment_name(at.segment)} at byte {at.offset}: {exc.strerror}", False
    try:
        intact = matches(key, data)
    except MultihashError as exc:
        return str(exc), False
    return ("" if intact else f"{segment_name(at.segment)} at byte {at.offset}: its bytes do not match its hash"), True
