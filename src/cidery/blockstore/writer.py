"""Appending to segments, and the parts of the writer that a collector needs.

Any thread appends; a block is then readable in this process through ``pending`` until commit_rounds.py has brought it
into the index.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice

from cidery.blockstore.commit_rounds import CommitRounds
from cidery.blockstore.delete_log import DeleteLog, Horizon, TrimmedLog
from cidery.blockstore.index import Index
from cidery.blockstore.index_records import IndexChange
from cidery.blockstore.interface import StoredHook
from cidery.blockstore.open_segments import Lane, OpenSegment, OpenSegments
from cidery.blockstore.read_check import BAD_HASH, ReadCheck, damage_of
from cidery.blockstore.record_framing import MAX_RECORD_HEAD, frame_run
from cidery.blockstore.segment_file import SEGMENT_HEADER, CorruptSegment, Location
from cidery.blockstore.touched import Arrivals, Touched
from cidery.blockstore.write_errors import write_error
from cidery.ipld.block import Block
from cidery.multiformats.varint import Buffer

MAX_UNCOMMITTED = 65536
"""Uncommitted blocks above which putting threads wait for the round: about 20 MiB of memory."""


class SegmentWriter(CommitRounds):
    """The writing half of a segment store. One per store, in one process."""

    def __init__(
        self, segments: OpenSegments, index: Index, log: DeleteLog, *, next_segment: int, segment_bytes: int
    ) -> None:
        super().__init__(segments, index, log, next_segment=next_segment)
        self._segment_bytes = segment_bytes
        self.touched = Touched()
        """Blocks that running operations found here."""
        self.arrivals = Arrivals()
        """Blocks that a collector awaits."""
        self.check = ReadCheck(0)
        """Damaged copies: a put of such a block stores it again."""
        self.on_stored: list[StoredHook] = []
        """See BlockStore."""

    @property
    def next_ordinal(self) -> int:
        """Of the next new block."""
        return self._next_ordinal

    def resume(self, segment: OpenSegment, end: int) -> None:
        """Continue appending to an old segment that is intact up to ``end``."""
        with self._lock:
            lane = self._lanes[segment.number % 2 == 0]
            lane.segment, lane.end = segment, end

    # -- appending, any thread -------------------------------------------------------------------------------------

    def append(self, blocks: Sequence[Block], *, kept: bool) -> None:
        """Write the blocks that are not there yet; they are visible in this process on return.

        Payload buffers go to the kernel without a copy. A kept block that was only cached is written again as kept.
        Raises:
            DiskFull, StoreReadOnly, StoreFailed, StoreClosed: none of the blocks that follow were stored; the segment
            ends at the last good record.
        """
        with self._lock:
            self._check_usable()
            fresh, found = self._missing(blocks, kept)
            if fresh:
                self._append(fresh, kept)
                self._nudge()
        if fresh and self.on_stored:
            stored = [(block.cid.multihash, len(block.data)) for block in fresh]
            for hook in self.on_stored:
                hook(stored)
        if len(self._appended) > MAX_UNCOMMITTED:
            self.commit(durable=False).result()
        damaged = [block for block, at in found if self.check.due(at) and not self._is_there(block, at)]
        if damaged:
            self.append(damaged, kept=kept)

    def _is_there(self, block: Block, at: Location) -> bool:
        """Whether a stored block is intact: compared, at a quarter of the cost of hashing."""
        try:
            if self._segments.read(at, block.cid.multihash) == bytes(block.data):  # memoryviews compare slowly
                self.check.passed(at)
                return True
            reason = BAD_HASH
        except (CorruptSegment, OSError) as exc:
            reason = damage_of(exc)
        if self._index.get_many([block.cid.multihash])[0] != at:
            return True  # a collector moved it meanwhile
        self.check.note(block.cid.multihash, at, reason)
        return False

    def _missing(self, blocks: Sequence[Block], kept: bool) -> tuple[list[Block], list[tuple[Block, Location]]]:
        """Splits blocks into those to be written and those already there, which are noted as found."""
        fresh: dict[bytes, Block] = {}
        for block in blocks:
            if not block.cid.is_identity:
                fresh.setdefault(block.cid.multihash, block)
        pending = self.pending
        unknown = [key for key in fresh if key not in pending]
        known = dict(zip(unknown, self._index.get_many(unknown), strict=True))
        out = []
        found: list[tuple[Block, Location]] = []
        for key, block in fresh.items():
            at = pending.get(key) or (None if key in self._doomed else known.get(key))
            if at is not None and self.check.damaged.get(key) == at:
                self._moved, at = True, None
            if at is None:
                out.append(block)
            elif kept and not at.kept:
                self._moved = True
                out.append(block)
            else:
                found.append((block, at))
        self.touched.note([at.ordinal for _, at in found])
        return out, found

    def _append(self, blocks: Sequence[Block], kept: bool) -> None:
        lane = self._lanes[kept]
        done = 0
        while done < len(blocks):
            self._make_room(lane, kept, len(blocks[done].data))
            done = self._append_run(lane, blocks, done)

    def _append_run(self, lane: Lane, blocks: Sequence[Block], start: int) -> int:
        """Append as many blocks from ``start`` on as fit into the segment; returns the index of the next."""
        assert lane.segment is not None  # _make_room() opened it
        run = frame_run(blocks, start, lane.segment.number, lane.end, self._next_ordinal, self._segment_bytes)
        self._write(lane, run.parts, run.placed, run.end)
        self._next_ordinal += len(run.placed)
        return start + len(run.placed)

    def _write(self, lane: Lane, parts: Sequence[Buffer], placed: list[tuple[bytes, Location]], end: int) -> None:
        assert lane.segment is not None  # _make_room() opened it
        try:
            self._segments.files.write(lane.segment.fd, parts, lane.end)
        except OSError as exc:
            self._roll_back(lane)
            raise write_error(exc) from exc
        self._dirty_bytes += end - lane.end
        lane.end = end
        self._dirty[lane.segment.number] = lane.segment, end
        self.pending.update(placed)
        self._appended.extend(placed)
        self.arrivals.note(placed)

    def relocate(self, records: Sequence[tuple[bytes, Location, Buffer]], *, kept: bool) -> int:
        """Copy records (multihash, place, bytes with head) to the end of a lane; returns how many were still in place.

        Ordinals stay. The copies take effect once a durable commit() is done. Raises as append().
        """
        with self._lock:
            self._check_usable()
            places = self._index.get_many([key for key, _, _ in records])
            moving = [
                (key, at, raw)
                for (key, at, raw), now in zip(records, places, strict=True)
                if now == at and key not in self.pending and key not in self._doomed
            ]
            lane, done = self._lanes[kept], 0
            while done < len(moving):
                self._make_room(lane, kept, moving[done][1].length)
                done = self._relocate_run(lane, moving, done)
        return len(moving)

    def _relocate_run(self, lane: Lane, records: Sequence[tuple[bytes, Location, Buffer]], start: int) -> int:
        """As _append_run(), for records that are framed already."""
        assert lane.segment is not None  # _make_room() opened it
        parts: list[Buffer] = []
        placed: list[tuple[bytes, Location]] = []
        end = lane.end
        for key, at, raw in islice(records, start, None):
            if parts and end + MAX_RECORD_HEAD + at.length > self._segment_bytes:
                break
            placed.append((key, at._replace(segment=lane.segment.number, offset=end)))
            parts.append(raw)
            end += len(raw)
        self._moved = True
        self._write(lane, parts, placed, end)
        return start + len(placed)

    def touch(self, keys: Sequence[bytes]) -> list[Location | None]:
        """Where blocks are, noted as found: a sweep spares them while an operation is holding them."""
        pending = self.pending
        early = [pending.get(key) for key in keys]
        places = [a or b for a, b in zip(early, self._index.get_many(keys), strict=True)]
        if self.check.damaged:
            places = [self.check.usable(key, at) for key, at in zip(keys, places, strict=True)]
        self.touched.note([at.ordinal for at in places if at is not None])
        if self._doomed:
            # A sweep dooms first and then checks the notes, so one of the two sees the other.
            with self._lock:
                doomed = self._doomed
                return [
                    None if key in doomed and key not in pending else at for key, at in zip(keys, places, strict=True)
                ]
        return places

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """No thread appends inside the context. Keep it short."""
        with self._lock:
            yield

    def doom(
        self, candidates: Sequence[tuple[bytes, Location]], spare: Callable[[int], bool]
    ) -> tuple[list[tuple[bytes, Location]], Horizon] | None:
        """Decide which candidates to remove: those not put again, moved, touched, or spared by their ordinal.

        From here on a put of one of them stores it again. None: an awaited block arrived, nothing was decided.
        """
        with self._lock:
            self._check_usable()
            if self.arrivals:
                return None
            places = self._index.get_many([key for key, _ in candidates])
            before = set(self._doomed)
            self._doomed.update(key for key, _ in candidates)
            gone = [
                (key, at)
                for (key, at), now in zip(candidates, places, strict=True)
                if now == at and key not in self.pending and at.ordinal not in self.touched and not spare(at.ordinal)
            ]
            self._doomed = before.union(key for key, _ in gone)
            return gone, self._horizon()

    def bury(self, doomed: Sequence[tuple[bytes, Location]], horizon: Horizon) -> None:
        """Forget doomed blocks, durably; waits for one sync of the delete log and one index commit. Raises as append().

        If the index cannot be written, the blocks stay doomed: the log records already that they are gone.
        """

        def work() -> None:
            self._round(durable=True)
            places = self._index.get_many([key for key, _ in doomed])
            gone = [key for (key, at), now in zip(doomed, places, strict=True) if now == at]
            if gone:
                self._log.append(gone, horizon)
                self._index.commit(IndexChange(deletes=gone, counters=self._log_counters()))
            with self._lock:
                self._doomed.difference_update(key for key, _ in doomed)

        self.in_commit_thread(work)

    @property
    def log(self) -> DeleteLog:
        """For trimming; only the commit thread appends to it."""
        return self._log

    @property
    def next_segment(self) -> int:
        """No segment has had this number or a higher one."""
        return self._next_segment

    def replace_log(self, trimmed: TrimmedLog, since: int) -> None:
        """Put a trimmed delete log in place, with the entries added from offset ``since`` on. Raises as bury().

        If the index cannot be written, its generation differs from the log's, and all of the log is applied on opening.
        """

        def work() -> None:
            self._log.replace_by(trimmed, since)
            self._index.commit(IndexChange(counters=self._log_counters()))

        self.in_commit_thread(work)

    def seal(self, number: int) -> None:
        """Stop appending to this segment."""
        with self._lock:
            for lane in self._lanes.values():
                if lane.segment is not None and lane.segment.number == number:
                    lane.segment = None

    def drop_segment(self, number: int) -> bool:
        """Remove the file of a sealed segment without blocks; False if it still has some, or is held.

        Raises DatabaseUnavailable, StoreFailed.
        """
        dropped: list[int] = []

        def work() -> None:
            self._round(durable=True)
            info = self._index.segments().get(number)
            lanes = [lane.segment.number for lane in self._lanes.values() if lane.segment]
            if number in lanes or (info is not None and info.live_blocks) or self._segments.is_held(number):
                return
            # The file first: a file without its record in the index would be taken for one to recover.
            self._segments.remove(number)
            self._index.commit(IndexChange(dropped=[number]))
            dropped.append(number)

        self.in_commit_thread(work)
        return bool(dropped)

    def _make_room(self, lane: Lane, kept: bool, size: int) -> None:
        if lane.segment is not None and lane.end + MAX_RECORD_HEAD + size <= self._segment_bytes:
            return
        number = self._next_segment + (self._next_segment % 2 if kept else 1 - self._next_segment % 2)
        self._next_segment = number + 1
        try:
            lane.segment, lane.end = self._segments.create(number), len(SEGMENT_HEADER)
        except OSError as exc:
            lane.segment = None
            raise write_error(exc) from exc

    def _roll_back(self, lane: Lane) -> None:
        assert lane.segment is not None  # only called after a write to it
        try:
            self._segments.files.truncate(lane.segment.fd, lane.end)
        except OSError:
            # Bytes past the last good record stay; the next open truncates them. Later blocks go elsewhere.
            lane.segment = None
