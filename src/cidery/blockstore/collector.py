"""A segment store as a garbage collector sees it: look up, decide, forget, and free disk space.

Everything here blocks and is called from the collector's own thread, while the store is in use.
"""

import errno
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import islice
from pathlib import Path
from typing import NamedTuple, Protocol

from cidery.blockstore.delete_log import Horizon
from cidery.blockstore.index import Index
from cidery.blockstore.log_trimming import PASS_ENTRIES, needed_entries
from cidery.blockstore.open_segments import OpenSegments
from cidery.blockstore.read_check import BAD_HASH, is_intact
from cidery.blockstore.recency import Recency
from cidery.blockstore.segment_file import SEGMENT_HEADER, CorruptSegment, Location, segment_numbers
from cidery.blockstore.write_errors import DiskFull
from cidery.blockstore.writer import SegmentWriter
from cidery.disk.hole_punching import disk_bytes
from cidery.ipld.car import MAX_SECTION_HEAD

USUAL_HEAD = 39
"""Bytes before the data in a typical record: a CIDv1 of sha2-256 and a length of up to three bytes."""
COPY_BYTES = 4 * 1024 * 1024
"""Most bytes copied under the writer's lock at a time: about 4 ms of writing."""
COPY_BLOCKS = 256
"""Most blocks copied under the writer's lock at a time: about 3 ms."""
FLUSH_BLOCKS = 8192
"""Most copied blocks waiting for the index."""
TRIM_BYTES = 1 << 20
"""Bytes of the delete log worth trimming: some 18,000 deletes."""
HOLE_PAGE = 4096
"""Smallest unit that file systems free, in bytes."""
SCAN_PAGE = 1024
"""Index entries read at a time: about 1 ms."""


class SegmentUse(NamedTuple):
    """How much of a segment is in use."""

    number: int
    size: int
    """Bytes of the file."""
    live_bytes: int
    """Data of its blocks."""
    live_blocks: int

    @property
    def kept(self) -> bool:
        return self.number % 2 == 0

    @property
    def dead_bytes(self) -> int:
        """Roughly the bytes that compacting it would free."""
        return max(0, self.size - len(SEGMENT_HEADER) - self.live_bytes - self.live_blocks * USUAL_HEAD)


class Elsewhere(Protocol):
    """The table of blocks in files of the user; implemented by blockstore.filestore.References."""

    def has(self, multihash: bytes) -> bool: ...

    def count(self) -> int: ...

    def keys(self, after: bytes, limit: int) -> list[bytes]: ...

    def noting(self) -> AbstractContextManager[None]: ...

    def doom(self, multihashes: Iterable[bytes]) -> list[bytes]: ...

    def bury(self, gone: Sequence[bytes]) -> None: ...


class Doomed(NamedTuple):
    """Blocks that the sweep has decided to remove."""

    blocks: list[tuple[bytes, Location]]
    horizon: Horizon


def _hole(start: int, stop: int) -> range:
    """The whole pages between two offsets."""
    return range(-(-start // HOLE_PAGE) * HOLE_PAGE, stop // HOLE_PAGE * HOLE_PAGE)


class StoreCollector:
    """The collector's interface to one store; one collection at a time."""

    def __init__(
        self,
        segments: OpenSegments,
        index: Index,
        writer: SegmentWriter,
        recency: Recency,
        elsewhere: Elsewhere | None,
    ) -> None:
        self.elsewhere = elsewhere
        self._segments = segments
        self._index = index
        self._writer = writer
        self.recency = recency

    # -- looking ---------------------------------------------------------------------------------------------------

    @property
    def index_path(self) -> Path:
        """The directory of the index; data keyed by ordinal lies next to it and is lost with it."""
        return self._index.path

    @property
    def next_ordinal(self) -> int:
        return self._writer.next_ordinal

    def is_elsewhere(self, multihash: bytes) -> bool:
        """Whether a block that is not stored is in a file of the user."""
        return self.elsewhere is not None and self.elsewhere.has(multihash)

    def count(self) -> int:
        """Blocks in the index. O(1)."""
        return self._index.count()

    def flush(self) -> None:
        """Commit everything put so far to the index."""
        self._writer.commit(durable=False).result()

    def locate(self, multihashes: Sequence[bytes]) -> list[Location | None]:
        """Where blocks are; blocks that a sweep is about to forget still count as present."""
        pending = self._writer.pending
        early = [pending.get(key) for key in multihashes]
        return [a or b for a, b in zip(early, self._index.get_many(multihashes), strict=True)]

    def read(self, multihash: bytes, at: Location) -> bytes | None:
        """The data, wherever it is by now; None: it is gone. Raises CorruptSegment, OSError.

        The data is hashed: the links of a damaged node would lead a mark astray.
        """
        try:
            return self._read_checked(at, multihash)
        except (CorruptSegment, FileNotFoundError):
            again = self.locate([multihash])[0]
            if again is None:
                return None
            if again == at:
                raise
            return self._read_checked(again, multihash)

    def _read_checked(self, at: Location, multihash: bytes) -> bytes:
        data = self._segments.read(at, multihash)
        if not is_intact(multihash, data):
            raise CorruptSegment(at.segment, at.offset, BAD_HASH)
        return data

    def pages(self) -> Iterator[list[tuple[bytes, Location]]]:
        """All blocks of the index in pages, in the order of their multihashes."""
        after = b""
        while page := self._index.page(after, SCAN_PAGE):
            after = page[-1][0]
            yield page

    def segments(self) -> list[SegmentUse]:
        """All segments, ascending. One stat each."""
        infos = self._index.segments()
        found = []
        for number in segment_numbers(self._segments.directory):
            info = infos.get(number)
            size = self._segments.files.size(self._segments.get(number).fd)
            found.append(SegmentUse(number, size, info.live_bytes if info else 0, info.live_blocks if info else 0))
        return found

    # -- sweeping --------------------------------------------------------------------------------------------------

    @contextmanager
    def holding(self) -> Iterator[None]:
        """From here on every block found "already there" is noted, and noted blocks are not doomed."""
        noting = nullcontext() if self.elsewhere is None else self.elsewhere.noting()
        with self._writer.touched.hold(), noting:
            try:
                yield
            finally:
                self._writer.arrivals.forget()

    def await_blocks(self, multihashes: Iterable[bytes]) -> None:
        """Make doom() refuse once one of these was put: the blocks below it have to be marked first."""
        self._writer.arrivals.expect(multihashes)

    def arrived(self) -> set[bytes]:
        """Awaited blocks that were put since the last call."""
        return self._writer.arrivals.take()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Nothing is put inside the context. Keep it short."""
        with self._writer.frozen():
            yield

    def doom(self, candidates: Sequence[tuple[bytes, Location]], spare: Callable[[int], bool]) -> Doomed | None:
        """See SegmentWriter.doom(). None: an awaited block arrived. Holds the writer's lock, about 3 us per block."""
        decided = self._writer.doom(candidates, spare)
        return None if decided is None else Doomed(*decided)

    def doom_references(self, files: Elsewhere, candidates: Iterable[bytes]) -> list[bytes] | None:
        """As doom(), for blocks in files of the user. None: an awaited block arrived."""
        with self._writer.frozen():
            return None if self._writer.arrivals else files.doom(candidates)

    def bury(self, doomed: Doomed) -> None:
        """Forget them, durably. Raises DiskFull, StoreFailed, StoreClosed, DatabaseUnavailable."""
        if doomed.blocks:
            self._writer.bury(doomed.blocks, doomed.horizon)

    # -- freeing space ---------------------------------------------------------------------------------------------

    def compact(self, segment: SegmentUse, *, promote: Callable[[int], bool] | None = None) -> int:
        """Copy the live blocks out of a segment and remove its file; returns the bytes freed, 0 if it has to stay.

        ``promote``: ordinals of cached blocks that become kept. Reads and writes the live part once; other
        processes that read find the copies. Raises DiskFull, StoreFailed, StoreClosed, DatabaseUnavailable, OSError.
        """
        self._writer.seal(segment.number)
        copied = 0
        if segment.live_blocks:
            copied = self._copy(segment, promote)
            self._writer.commit(durable=True).result()
        if not self._writer.drop_segment(segment.number):
            return 0
        return max(0, segment.size - copied)

    def punch(self, segment: SegmentUse) -> int:
        """Free the space of dead records in place, for a disk without room for copies; returns the bytes freed.

        Their heads stay, so that the file can be scanned. 0 if the file system cannot do it, or the segment is held.
        Reads the whole file.
        Raises StoreFailed, StoreClosed, DatabaseUnavailable, OSError.
        """
        self._writer.seal(segment.number)
        self.flush()
        opened = self._segments.get(segment.number)
        before = disk_bytes(opened.fd)
        records = self._segments.heads(segment.number)
        end = next(records, None)
        while end is not None:
            page = [end, *islice(records, SCAN_PAGE)]
            places = self._index.get_many([key for key, _ in page])
            if self._segments.is_held(segment.number):
                return 0
            ends = [offset for _, offset in page[1:]]
            end = page[-1] if len(page) > SCAN_PAGE else None
            if end is None:
                ends.append(segment.size)
            for (_, start), stop, at in zip(page, ends, places, strict=False):
                hole = _hole(start + MAX_SECTION_HEAD, stop)
                dead = at is None or (at.segment, at.offset) != (segment.number, start)
                if hole and dead and not self._segments.files.punch(opened.fd, hole.start, len(hole)):
                    return 0
        return max(0, before - disk_bytes(opened.fd))

    def trim_log(self, *, at_once: bool = False, pass_entries: int = PASS_ENTRIES) -> int:
        """Drop entries of the delete log that cover no record any more; returns the bytes freed.

        Unless ``at_once``, only if it has TRIM_BYTES and twice its size after the last time: the heads of all
        segments are read. A full disk leaves the log as it is.
        Raises StoreFailed, StoreClosed, DatabaseUnavailable, OSError.
        """
        log = self._writer.log
        before = log.end
        if not before or not (at_once or before >= max(TRIM_BYTES, 2 * log.trimmed_to)):
            return 0
        try:
            kept = needed_entries(log, before, self._segments, pass_entries)
            trimmed = log.begin_trimmed(self._writer.next_segment, kept)
        except OSError as exc:
            if exc.errno == errno.ENOSPC:
                return 0
            raise
        try:
            self._writer.replace_log(trimmed, before)
        except DiskFull:
            return 0
        return max(0, before - log.end)

    def _copy(self, segment: SegmentUse, promote: Callable[[int], bool] | None) -> int:
        batch: list[tuple[bytes, Location]] = []
        copied = size = waiting = 0
        for key, at in self.blocks_of(segment.number):
            batch.append((key, at))
            size += at.head + at.length
            if size >= COPY_BYTES or len(batch) >= COPY_BLOCKS:
                self._move(segment, batch, promote)
                copied, waiting, batch, size = copied + size, waiting + len(batch), [], 0
                if waiting >= FLUSH_BLOCKS:
                    self.flush()
                    waiting = 0
        self._move(segment, batch, promote)
        return copied + size

    def _move(
        self, segment: SegmentUse, batch: list[tuple[bytes, Location]], promote: Callable[[int], bool] | None
    ) -> None:
        raws = self._segments.read_records(segment.number, batch)
        moving = [(key, at, raw) for (key, at), raw in zip(batch, raws, strict=True)]
        for to_kept in (True, False):
            chosen = [
                item
                for item in moving
                if (segment.kept or (promote is not None and promote(item[1].ordinal))) is to_kept
            ]
            if chosen:
                self._writer.relocate(chosen, kept=to_kept)

    def blocks_of(self, number: int) -> Iterator[tuple[bytes, Location]]:
        """The blocks that the index places in a segment, in the order of the file. Reads the whole file."""
        self.flush()
        keys = self._segments.heads(number)
        while page := list(islice(keys, SCAN_PAGE)):
            places = self._index.get_many([key for key, _ in page])
            for (key, offset), at in zip(page, places, strict=True):
                if at is not None and at.segment == number and at.offset == offset:
                    yield key, at
