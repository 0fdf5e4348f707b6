"""Appending to segments, and the one thread that makes appended blocks visible and durable in groups.

Any thread appends; a block is then readable in this process through ``pending``. The commit thread takes all that was
appended since its last round: for VISIBLE it commits the index, for DURABLE it first syncs every dirty segment, so the
order on disk is always data, then index. Deletes sync, write the delete log, then commit. A round serves all waiters.

::

    append -> pending --(round)--> [sync segments -> watermarks] -> index commit -> waiters woken, pending forgotten
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import zip_longest

from cidery.blockstore.delete_log import DeleteLog, Horizon, TrimmedLog
from cidery.blockstore.index import (
    COUNTER_LOG_APPLIED,
    COUNTER_LOG_GENERATION,
    COUNTER_NEXT_ORDINAL,
    COUNTER_NEXT_SEGMENT,
    Index,
)
from cidery.blockstore.index_records import IndexChange
from cidery.blockstore.open_segments import Lane, OpenSegment, OpenSegments
from cidery.blockstore.platform_io import SyncPoint
from cidery.blockstore.record_framing import MAX_RECORD_HEAD, frame_run
from cidery.blockstore.segment_file import SEGMENT_HEADER, Location
from cidery.blockstore.touched import Arrivals, Touched
from cidery.blockstore.write_errors import StoreClosed, StoreFailed, write_error
from cidery.errors import CideryError, Unavailable
from cidery.ipld.block import Block
from cidery.multiformats.varint import Buffer

COMMIT_DELAY = 0.1
"""Seconds after which blocks that nobody waits for are committed: what other processes lag behind a bulk import."""
COMMIT_BLOCKS = 8192
"""Uncommitted blocks that start a round at once: about 30 ms of index work."""
MAX_UNCOMMITTED = 65536
"""Uncommitted blocks at which putting threads wait for the round: about 20 MiB of memory."""
SYNC_BYTES = 64 * 1024 * 1024
"""Unsynced bytes at which a round also syncs, so that the sync that ends an add finds little left to write."""
READER_CHECK_SECONDS = 60.0
"""How often slots of dead readers are freed when nothing is written."""


@dataclass(slots=True)
class _Waiter:
    durable: bool
    done: "Future[list[bool]]"
    deletes: Sequence[bytes] = ()
    places: Sequence[Location | None] = ()
    """Beside ``deletes``: where each has to be still; None: wherever it is."""
    work: Callable[[], None] | None = None
    """Runs in the commit thread after the round."""


class SegmentWriter:
    """The writing half of a segment store. One per store, in one process."""

    def __init__(
        self, segments: OpenSegments, index: Index, log: DeleteLog, *, next_segment: int, segment_bytes: int
    ) -> None:
        self._segments = segments
        self._index = index
        self._log = log
        self._segment_bytes = segment_bytes
        self._next_segment = next_segment
        self._next_ordinal = index.counters().get(COUNTER_NEXT_ORDINAL, 0)
        self._lanes = {True: Lane(), False: Lane()}
        self.pending: dict[bytes, Location] = {}
        """Appended and not yet in the index. Read without the lock; each access is one dict operation."""
        self._appended: list[tuple[bytes, Location]] = []
        self._dirty: dict[int, tuple[OpenSegment, int]] = {}
        self._dirty_bytes = 0
        self._moved = False
        self._failed: Unavailable | None = None
        self._waiters: list[_Waiter] = []
        self.touched = Touched()
        """Blocks that operations under way found here."""
        self._doomed: set[bytes] = set()
        """A sweep decided that these go: they are not "already there" for anybody any more."""
        self.arrivals = Arrivals()
        """Blocks that a collector awaits."""
        self._closing = False
        self._delayed = False
        self._lock = threading.RLock()
        self._work = threading.Condition(self._lock)
        self._thread = threading.Thread(target=self._run, name="cidery-commit", daemon=True)
        self._thread.start()

    @property
    def next_ordinal(self) -> int:
        """Of the next new block."""
        return self._next_ordinal

    def resume(self, segment: OpenSegment, end: int) -> None:
        """Go on appending to an old segment that is whole up to ``end``."""
        with self._lock:
            lane = self._lanes[segment.number % 2 == 0]
            lane.segment, lane.end = segment, end

    # -- appending, any thread -------------------------------------------------------------------------------------

    def append(self, blocks: Sequence[Block], *, kept: bool) -> None:
        """Write the blocks that are not there yet; they are visible in this process on return.

        Payload buffers go to the kernel as they are. A kept block that was only cached is written again as kept.
        Raises:
            DiskFull, StoreReadOnly, StoreFailed, StoreClosed: none of the blocks that follow were stored; the segment
            ends at the last good record.
        """
        with self._lock:
            self._check_usable()
            fresh = self._missing(blocks, kept)
            if fresh:
                self._append(fresh, kept)
                self._nudge()
        if len(self._appended) > MAX_UNCOMMITTED:
            self.commit(durable=False).result()

    def _missing(self, blocks: Sequence[Block], kept: bool) -> list[Block]:
        fresh: dict[bytes, Block] = {}
        for block in blocks:
            if not block.cid.is_identity:
                fresh.setdefault(block.cid.multihash, block)
        pending = self.pending
        unknown = [key for key in fresh if key not in pending]
        known = dict(zip(unknown, self._index.get_many(unknown), strict=True))
        out = []
        found: list[int] = []
        for key, block in fresh.items():
            at = pending.get(key) or (None if key in self._doomed else known.get(key))
            if at is None:
                out.append(block)
            elif kept and not at.kept:
                self._moved = True
                out.append(block)
            else:
                found.append(at.ordinal)
        self.touched.note(found)
        return out

    def _append(self, blocks: Sequence[Block], kept: bool) -> None:
        lane = self._lanes[kept]
        done = 0
        while done < len(blocks):
            self._make_room(lane, kept, len(blocks[done].data))
            done = self._append_run(lane, blocks, done)

    def _append_run(self, lane: Lane, blocks: Sequence[Block], start: int) -> int:
        """Append as many blocks from ``start`` on as the segment takes; returns the index of the next."""
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

    def relocate(self, records: Sequence[tuple[bytes, Location, bytes]], *, kept: bool) -> int:
        """Copy records (multihash, place, bytes with head) to the end of a lane; returns how many were still there.

        Ordinals stay. The copies count once a durable commit() is done. Raises as append().
        """
        moved = 0
        with self._lock:
            self._check_usable()
            places = self._index.get_many([key for key, _, _ in records])
            lane = self._lanes[kept]
            for (key, at, raw), now in zip(records, places, strict=True):
                if now != at or key in self.pending or key in self._doomed:
                    continue
                self._make_room(lane, kept, at.length)
                assert lane.segment is not None  # _make_room() opened it
                place = at._replace(segment=lane.segment.number, offset=lane.end)
                self._moved = True
                self._write(lane, [raw], [(key, place)], lane.end + len(raw))
                moved += 1
        return moved

    def touch(self, keys: Sequence[bytes]) -> list[Location | None]:
        """Where blocks are, noted as found: what is returned is spared by a sweep while an operation holds it."""
        pending = self.pending
        early = [pending.get(key) for key in keys]
        places = [a or b for a, b in zip(early, self._index.get_many(keys), strict=True)]
        self.touched.note([at.ordinal for at in places if at is not None])
        if self._doomed:
            # A sweep dooms first and then looks at what was touched, so one of the two sees the other.
            with self._lock:
                doomed = self._doomed
                return [
                    None if key in doomed and key not in pending else at for key, at in zip(keys, places, strict=True)
                ]
        return places

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """No thread appends inside the context. For moments."""
        with self._lock:
            yield

    def doom(
        self, candidates: Sequence[tuple[bytes, Location]], spare: Callable[[int], bool]
    ) -> tuple[list[tuple[bytes, Location]], Horizon] | None:
        """Decide which candidates go: those not put again, moved, touched, or spared by their ordinal.

        From here on a put of one of them stores it anew. None: an awaited block came, nothing was decided.
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

        If the index cannot be written the blocks stay doomed: the log says already that they are gone.
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
        """Put a trimmed delete log in place; what was deleted from its offset ``since`` on is added. Raises as bury().

        If the index cannot be written it notes another generation than the log has, and applies all of it when opened.
        """

        def work() -> None:
            self._log.replace_by(trimmed, since)
            self._index.commit(IndexChange(counters=self._log_counters()))

        self.in_commit_thread(work)

    def in_commit_thread(self, work: Callable[[], None]) -> None:
        """Run ``work`` between two rounds and wait for it. Raises what it raises."""
        self._ask(_Waiter(True, Future(), work=work)).result()

    def seal(self, number: int) -> None:
        """Append no more to this segment."""
        with self._lock:
            for lane in self._lanes.values():
                if lane.segment is not None and lane.segment.number == number:
                    lane.segment = None

    def drop_segment(self, number: int) -> bool:
        """Remove the file of a sealed segment that no block is in any more; False: some are.

        Raises DatabaseUnavailable, StoreFailed.
        """
        dropped: list[int] = []

        def work() -> None:
            self._round(durable=True)
            info = self._index.segments().get(number)
            lanes = [lane.segment.number for lane in self._lanes.values() if lane.segment]
            if number in lanes or (info is not None and info.live_blocks):
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
            # What hangs over the last good record stays; the next open truncates it. Later blocks go elsewhere.
            lane.segment = None

    def _check_usable(self) -> None:
        if self._closing:
            raise StoreClosed
        if self._failed is not None:
            raise self._failed

    def _nudge(self) -> None:
        if not self._delayed or self._round_is_due():
            self._work.notify()

    def _round_is_due(self) -> bool:
        return len(self._appended) >= COMMIT_BLOCKS or self._dirty_bytes >= SYNC_BYTES

    # -- asking for a round, any thread ----------------------------------------------------------------------------

    def commit(self, *, durable: bool) -> "Future[list[bool]]":
        """Ask for all that was appended until now to be in the index (and on disk). Done when it is, or failed.

        The future is never done by the calling thread.
        """
        return self._ask(_Waiter(durable, Future()))

    def delete(self, multihashes: Sequence[bytes], places: Sequence[Location | None] = ()) -> "Future[list[bool]]":
        """Ask for blocks to be forgotten, durably; the result says per block whether it was there.

        ``places``: forget a block only while it is still there.
        """
        return self._ask(_Waiter(True, Future(), multihashes, places or [None] * len(multihashes)))

    def _ask(self, waiter: _Waiter) -> "Future[list[bool]]":
        with self._lock:
            self._check_usable()
            self._waiters.append(waiter)
            self._work.notify()
        return waiter.done

    def close(self) -> None:
        """Make all durable and end the thread. Raises what the last round raised."""
        last: Future[list[bool]] | None = None
        with self._lock:
            if not self._closing:
                if self._failed is None:
                    last = self._ask(_Waiter(True, Future()))
                self._closing = True
                self._work.notify()
        self._thread.join()
        self._log.close()
        if last is not None:
            last.result()

    # -- the commit thread -----------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while self._wait_for_work():
                with self._lock:
                    waiters, self._waiters = self._waiters, []
                self._serve([waiter for waiter in waiters if waiter.done.set_running_or_notify_cancel()])
        finally:
            with self._lock:
                self._closing = True
                for waiter in self._waiters:
                    waiter.done.set_exception(StoreClosed())

    def _wait_for_work(self) -> bool:
        """Wait until a round is due; False when closed and nobody waits."""
        with self._lock:
            while not (self._waiters or self._closing):
                if not self._appended or self._failed is not None:
                    if not self._work.wait(READER_CHECK_SECONDS):
                        self._index.reader_check()
                elif self._delayed or self._round_is_due():
                    break
                else:
                    # Nobody waits: let more blocks gather for the delay, or until enough of them are there.
                    self._delayed = True
                    self._work.wait(COMMIT_DELAY)
            self._delayed = False
            return bool(self._waiters) or not self._closing

    def _serve(self, waiters: list[_Waiter]) -> None:
        failure: CideryError = StoreFailed(RuntimeError("the commit thread ended"))
        done: list[list[bool]] = []
        try:
            self._round(durable=any(waiter.durable for waiter in waiters))
            for waiter in waiters:
                if waiter.work is not None:
                    waiter.work()
                done.append(self._delete(waiter.deletes, waiter.places) if waiter.deletes else [])
        except OSError as exc:
            failure = write_error(exc)
        except CideryError as exc:
            failure = exc
        finally:
            for waiter, result in zip_longest(waiters, done):
                if result is None:
                    waiter.done.set_exception(failure)
                else:
                    waiter.done.set_result(result)

    def _round(self, *, durable: bool) -> None:
        with self._lock:
            appended, self._appended = self._appended, []
            durable = durable or self._moved or self._dirty_bytes >= SYNC_BYTES
            # A moved block must be on disk before the index forgets its old, perhaps acknowledged, place.
            dirty = self._dirty if durable else {}
            if durable:
                self._dirty, self._dirty_bytes, self._moved = {}, 0, False
            counters = {COUNTER_NEXT_ORDINAL: self._next_ordinal, COUNTER_NEXT_SEGMENT: self._next_segment}
        if not appended and not dirty:
            return
        watermarks = self._sync(dirty)
        try:
            self._index.commit(IndexChange(appended, watermarks=watermarks, counters=counters))
        except CideryError:
            self._put_back(appended, dirty)
            raise
        self._forget(appended)

    def _sync(self, dirty: dict[int, tuple[OpenSegment, int]]) -> dict[int, int]:
        try:
            for segment, _ in dirty.values():
                self._segments.files.sync(segment.fd, SyncPoint.SEGMENT_DATA)
        except OSError as exc:
            # After a failed sync the kernel may call lost pages clean: no later sync can be believed.
            with self._lock:
                self._failed = StoreFailed(exc)
            raise self._failed from exc
        return {number: end for number, (_, end) in dirty.items()}

    def _put_back(self, appended: list[tuple[bytes, Location]], dirty: dict[int, tuple[OpenSegment, int]]) -> None:
        with self._lock:
            self._appended = appended + self._appended
            self._dirty = {**dirty, **self._dirty}
            self._moved = True  # the next round syncs again: the watermarks of this one were not recorded

    def _forget(self, appended: list[tuple[bytes, Location]]) -> None:
        pending = self.pending
        with self._lock:
            for key, at in appended:
                if pending.get(key) is at:
                    del pending[key]
            if self._doomed:
                self._doomed.difference_update(key for key, _ in appended)

    def _delete(self, multihashes: Sequence[bytes], places: Sequence[Location | None]) -> list[bool]:
        self._round(durable=True)
        # From here to the commit nothing may be found "already there" that is about to go.
        with self._lock:
            self._round(durable=True)
            found = zip(self._index.get_many(multihashes), places, strict=True)
            present = [at is not None and place in (None, at) for at, place in found]
            gone = list(dict.fromkeys(key for key, there in zip(multihashes, present, strict=True) if there))
            if gone:
                self._log.append(gone, self._horizon())
                self._index.commit(IndexChange(deletes=gone, counters=self._log_counters()))
            return present

    def _log_counters(self) -> dict[bytes, int]:
        return {COUNTER_LOG_APPLIED: self._log.end, COUNTER_LOG_GENERATION: self._log.generation}

    def _horizon(self) -> Horizon:
        ends = []
        for kept in (True, False):
            lane = self._lanes[kept]
            ends += [lane.segment.number, lane.end] if lane.segment else [0, 0]
        return Horizon(self._next_segment, *ends)
