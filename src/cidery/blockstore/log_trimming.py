"""Trims the delete log: drops entries that no longer cover any record.

An entry is needed while a record that it covers is in some segment: a rebuild would bring that block back. Records
disappear when their segment is compacted, but entries stay; so the heads of the segments are read, and entries that
cover none of them are dropped. New entries and segments may come meanwhile: the former are all kept, the latter lie
beyond every old horizon.
"""

from collections.abc import Iterator
from itertools import islice

from cidery.blockstore.delete_log import DeleteLog, Tombstone
from cidery.blockstore.open_segments import OpenSegments
from cidery.blockstore.segment_file import segment_numbers

PASS_ENTRIES = 100_000
"""Entries checked in one pass over the segments: about 30 MB of memory."""


def needed_entries(log: DeleteLog, end: int, segments: OpenSegments, pass_entries: int) -> Iterator[Tombstone]:
    """The entries before the offset ``end`` that cover a record. Reads the heads of all old segments in each pass.

    Raises OSError.
    """
    stones = (stone for stone in log.entries() if stone.end <= end and stone.multihash)
    while some := list(islice(stones, pass_entries)):
        covering = _covering(some, segments)
        yield from (stone for stone in some if stone.end in covering)


def _covering(stones: list[Tombstone], segments: OpenSegments) -> set[int]:
    """Ends of the entries that cover a record."""
    waiting: dict[bytes, list[Tombstone]] = {}
    for stone in stones:
        waiting.setdefault(stone.multihash, []).append(stone)
    beyond = max(stone.horizon.next_segment for stone in stones)
    found: set[int] = set()
    for number in segment_numbers(segments.directory):
        if number >= beyond:
            break
        for key, offset in segments.heads(number):
            if key in waiting:
                found.update(stone.end for stone in waiting[key] if stone.horizon.covers(number, offset))
    return found
