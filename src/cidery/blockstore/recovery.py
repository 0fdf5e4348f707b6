"""Recovery before a store is written again: trust only data that is on disk, and account for all of it.

Up to its watermark a segment is trusted. Past it (after an unclean stop) all is synced and every record rehashed:
intact ones are adopted, the first other one ends the segment, which is truncated there. Index entries past it are
removed. Deletes in the log but not in the index are applied. A rebuild does the same with every watermark at 0.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from cidery.blockstore.delete_log import DeleteLog, Horizon
from cidery.blockstore.index import (
    COUNTER_FORMAT,
    COUNTER_LOG_APPLIED,
    COUNTER_LOG_GENERATION,
    COUNTER_NEXT_ORDINAL,
    COUNTER_NEXT_SEGMENT,
    COUNTER_REBUILDING,
    FORMAT,
    Index,
)
from cidery.blockstore.index_records import IndexChange, SegmentInfo
from cidery.blockstore.places import segment_name
from cidery.blockstore.segment_file import Location, Record, scan_records, segment_numbers
from cidery.disk.platform_io import FileLayer, SyncPoint

T = TypeVar("T")

ADOPT_BATCH = 4096
"""Records per index commit while adopting: about 15 ms of work, 1 MiB of memory."""


class Recovered:
    """The state of the store when it was opened."""

    def __init__(self, next_segment: int) -> None:
        self.next_segment = next_segment
        """No segment has ever had this number or a higher one."""
        self.ends: dict[int, int] = {}
        """Segment -> its size in bytes, for those that are intact and may be appended to."""
        self.adopted_blocks = 0
        """Blocks found past a watermark, hashed, and added to the index."""
        self.lost_blocks = 0
        """Blocks that were visible but not durable, and did not reach the disk."""
        self.truncated_bytes = 0
        self.skipped_blocks = 0
        """Damaged records found by a rebuild."""


def recover(directory: Path, files: FileLayer, index: Index, log: DeleteLog) -> Recovered:
    """Bring segments, delete log and index into agreement; rebuilds an index that is new or half rebuilt.

    Only the single writer calls this. Cost: one stat per segment after a clean stop; else hashing everything past the
    watermarks. Raises OSError, DatabaseUnavailable, IndexDamaged.
    """
    counters = index.counters()
    numbers = frozenset(segment_numbers(directory))
    if COUNTER_FORMAT not in counters or counters.get(COUNTER_REBUILDING, 0):
        return rebuild(directory, files, index, log)
    infos = index.segments()
    # In another log the offset means nothing: apply all of it again, which changes nothing that is right.
    same_log = counters.get(COUNTER_LOG_GENERATION, 0) == log.generation
    dead = _Dead(log, counters.get(COUNTER_LOG_APPLIED, 0) if same_log else 0)
    # Before the segments: a block that was put again after its delete must not be taken for the deleted one.
    _apply_log(index, log, dead)
    report = Recovered(next_segment=max([counters.get(COUNTER_NEXT_SEGMENT, 0), *(number + 1 for number in numbers)]))
    for number in sorted(infos.keys() | numbers):
        info = infos.get(number, SegmentInfo(0))
        intact = _recover_segment(directory, files, index, number, info, dead, report) if number in numbers else {}
        lost = _lost(index, number, intact, info.watermark)
        if lost:
            index.commit(IndexChange(deletes=lost))
            report.lost_blocks += len(lost)
    return report


def rebuild(directory: Path, files: FileLayer, index: Index, log: DeleteLog) -> Recovered:
    """Rebuild the index from the segments: kept copies win over cached ones, deleted blocks stay deleted.

    Hashes every stored byte. If it is interrupted, the next open starts it again.
    """
    numbers = segment_numbers(directory)
    counters = index.counters()
    dead = _Dead(log, 0)
    next_segment = max([counters.get(COUNTER_NEXT_SEGMENT, 0), dead.next_segment, *(number + 1 for number in numbers)])
    index.commit(IndexChange(counters={COUNTER_REBUILDING: 1, COUNTER_FORMAT: FORMAT}))
    index.clear()
    report = Recovered(next_segment=next_segment)
    for number in numbers:
        _rebuild_segment(directory, files, index, number, dead, report)
    _apply_log(index, log, dead)
    index.commit(IndexChange(counters={COUNTER_REBUILDING: 0, COUNTER_NEXT_SEGMENT: next_segment}))
    return report


class _Dead:
    """The tombstones of the log from an offset on."""

    def __init__(self, log: DeleteLog, start: int) -> None:
        self.start = self.end = min(start, log.end)
        self.next_segment = 0
        self._horizons: dict[bytes, list[Horizon]] = {}
        for stone in log.entries(self.start):
            if stone.multihash:
                self._horizons.setdefault(stone.multihash, []).append(stone.horizon)
            self.next_segment = max(self.next_segment, stone.horizon.next_segment)
            self.end = stone.end

    def covers(self, multihash: bytes, segment: int, offset: int) -> bool:
        return any(horizon.covers(segment, offset) for horizon in self._horizons.get(multihash, ()))

    def multihashes(self) -> Iterator[bytes]:
        return iter(self._horizons)


def _recover_segment(
    directory: Path, files: FileLayer, index: Index, number: int, info: SegmentInfo, dead: _Dead, report: Recovered
) -> dict[bytes, int]:
    """Adopt intact records past the watermark, truncate the rest. Returns multihash -> offset of the intact ones."""
    intact: dict[bytes, int] = {}
    fd = files.open(directory / segment_name(number), write=True)
    try:
        size, end = files.size(fd), info.watermark
        if size < end:
            return intact  # damaged from outside: reads and `verify` report it, nothing is appended
        if size > end:
            # Synced before it is trusted: the data read may so far be in the page cache only.
            files.sync(fd, SyncPoint.RECOVERED_DATA)
            for batch in _batches(_intact_prefix(scan_records(files, fd, end, size)), ADOPT_BATCH):
                intact.update((record.multihash, record.offset) for record in batch)
                end = batch[-1].offset + batch[-1].head + batch[-1].length
                report.adopted_blocks += _adopt(index, number, batch, dead)
            if end < size:
                files.truncate(fd, end)
                report.truncated_bytes += size - end
            lost = _lost(index, number, intact, info.watermark)
            report.lost_blocks += len(lost)
            # Deleted in the commit that raises the watermark, which forgets the tails that name them.
            index.commit(IndexChange(deletes=lost, watermarks={number: end}))
        if end > 0:
            report.ends[number] = end
    finally:
        files.close(fd)
    return intact


def _lost(index: Index, number: int, intact: dict[bytes, int], watermark: int) -> list[bytes]:
    """Blocks whose commit was visible but whose record is missing: noted in the tails of the segment."""
    noted = [key for _, keys in index.tails(number) for key in keys]
    found = zip(noted, index.get_many(noted), strict=True)
    return [
        key
        for key, at in found
        if at and at.segment == number and at.offset >= watermark and intact.get(key) != at.offset
    ]


def _rebuild_segment(
    directory: Path, files: FileLayer, index: Index, number: int, dead: _Dead, report: Recovered
) -> None:
    fd = files.open(directory / segment_name(number), write=True)
    try:
        files.sync(fd, SyncPoint.REBUILT_DATA)
        size, end = files.size(fd), 0
        for batch in _batches(scan_records(files, fd, 0, size), ADOPT_BATCH):
            end = batch[-1].offset + batch[-1].head + batch[-1].length
            whole = [record for record in batch if record.intact]
            report.skipped_blocks += sum(not record.intact for record in batch)
            report.adopted_blocks += _adopt(index, number, whole, dead)
        # Bytes after a damaged frame stay for `verify` and for tools: a rebuild truncates nothing.
        index.commit(IndexChange(watermarks={number: size}))
        if end == size > 0:
            report.ends[number] = end
    finally:
        files.close(fd)


def _adopt(index: Index, number: int, records: list[Record], dead: _Dead) -> int:
    """Put records into the index that it lacks; a kept copy replaces a cached one. Returns their number."""
    ordinal = index.counters().get(COUNTER_NEXT_ORDINAL, 0)
    puts: dict[bytes, Location] = {}
    places = index.get_many([record.multihash for record in records])
    for record, at in zip(records, places, strict=True):
        if dead.covers(record.multihash, number, record.offset):
            continue
        if at is None or (number % 2 == 0 and not at.kept):
            place = Location(number, record.offset, record.length, record.head, ordinal)
            if puts.setdefault(record.multihash, place) is place:
                ordinal += 1
    if puts:
        index.commit(IndexChange(list(puts.items()), counters={COUNTER_NEXT_ORDINAL: ordinal}))
    return len(puts)


def _apply_log(index: Index, log: DeleteLog, dead: _Dead) -> None:
    """Delete the blocks that the tombstones cover, drop a torn end of the log, and record the position in the index."""
    if log.end != dead.end:
        log.drop_torn_tail(dead.end)
    noted = {COUNTER_LOG_APPLIED: dead.end, COUNTER_LOG_GENERATION: log.generation}
    counters = index.counters()
    if all(counters.get(name, 0) == value for name, value in noted.items()):
        return
    log.sync()
    for keys in _batches(dead.multihashes(), ADOPT_BATCH):
        places = zip(keys, index.get_many(keys), strict=True)
        gone = [key for key, at in places if at and dead.covers(key, at.segment, at.offset)]
        index.commit(IndexChange(deletes=gone))
    index.commit(IndexChange(counters=noted))


def _intact_prefix(records: Iterator[Record]) -> Iterator[Record]:
    for record in records:
        if not record.intact:
            return
        yield record


def _batches(items: Iterator[T], size: int) -> Iterator[list[T]]:
    batch: list[T] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
