"""The one thread that makes appended blocks visible and durable in groups.

It takes everything appended since its last round: for VISIBLE it commits the index, for DURABLE it first syncs every
dirty segment, so the order on disk is always data, then index. Deletes sync, write the delete log, then commit. A round
serves all waiters.

::

    append -> pending --(round)--> [sync segments -> watermarks] -> index commit -> waiters woken, pending forgotten
"""

import threading
from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import NamedTuple

from cidery.blockstore.delete_log import DeleteLog, Horizon
from cidery.blockstore.index import (
    COUNTER_LOG_APPLIED,
    COUNTER_LOG_GENERATION,
    COUNTER_NEXT_ORDINAL,
    COUNTER_NEXT_SEGMENT,
    Index,
)
from cidery.blockstore.index_records import IndexChange
from cidery.blockstore.open_segments import Lane, OpenSegment, OpenSegments
from cidery.blockstore.segment_file import Location
from cidery.blockstore.write_errors import StoreClosed, StoreFailed, write_error
from cidery.disk.platform_io import SyncPoint
from cidery.errors import CideryError, Unavailable
from cidery.waiting import Outcome

COMMIT_DELAY = 0.1
"""Seconds after which blocks are committed that nothing waits for: the lag of other processes in a bulk import."""
COMMIT_BLOCKS = 8192
"""Uncommitted blocks that start a round immediately: about 30 ms of index work."""
SYNC_BYTES = 64 * 1024 * 1024
"""Unsynced bytes at which a round also syncs, so that the sync that ends an add has little left to write."""
READER_CHECK_SECONDS = 60.0
"""Seconds between freeing the slots of dead readers when nothing is written."""


class _Waiter(NamedTuple):
    durable: bool
    done: Outcome[list[bool]]
    deletes: Sequence[bytes] = ()
    places: Sequence[Location | None] = ()
    """In addition to ``deletes``: the place where each must still be; None: anywhere."""
    work: Callable[[], None] | None = None
    """Runs in the commit thread after the round."""


class CommitRounds:
    """The work for the next round, and the thread that does it. A SegmentWriter appends to it, under its lock."""

    def __init__(self, segments: OpenSegments, index: Index, log: DeleteLog, *, next_segment: int) -> None:
        self._segments = segments
        self._index = index
        self._log = log
        self._next_segment = next_segment
        self._next_ordinal = index.counters().get(COUNTER_NEXT_ORDINAL, 0)
        self._lanes = {True: Lane(), False: Lane()}
        self.pending: dict[bytes, Location] = {}
        """Appended but not yet in the index. Read without the lock; each access is one dict operation."""
        self._appended: list[tuple[bytes, Location]] = []
        self._dirty: dict[int, tuple[OpenSegment, int]] = {}
        self._dirty_bytes = 0
        self._moved = False
        self._failed: Unavailable | None = None
        self._waiters: list[_Waiter] = []
        self._doomed: set[bytes] = set()
        """Blocks that a sweep has decided to remove: they no longer count as "already there"."""
        self._closing = False
        self._delayed = False
        self._lock = threading.RLock()
        self._work = threading.Condition(self._lock)
        self._thread = threading.Thread(target=self._run, name="cidery-commit", daemon=True)
        self._thread.start()

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

    def commit(self, *, durable: bool) -> Outcome[list[bool]]:
        """Request that everything appended so far be in the index (and on disk). Done when it is, or failed.

        The outcome is never told by the calling thread.
        """
        return self._ask(_Waiter(durable, Outcome()))

    def delete(self, multihashes: Sequence[bytes], places: Sequence[Location | None] = ()) -> Outcome[list[bool]]:
        """Request that blocks be forgotten, durably; the result says per block whether it was there.

        ``places``: forget a block only if it is still at this place.
        """
        return self._ask(_Waiter(True, Outcome(), multihashes, places or [None] * len(multihashes)))

    def _ask(self, waiter: _Waiter) -> Outcome[list[bool]]:
        with self._lock:
            self._check_usable()
            self._waiters.append(waiter)
            self._work.notify()
        return waiter.done

    def close(self) -> None:
        """Make everything durable and end the thread. Raises as the last round."""
        last: Outcome[list[bool]] | None = None
        with self._lock:
            if not self._closing:
                if self._failed is None:
                    last = self._ask(_Waiter(True, Outcome()))
                self._closing = True
                self._work.notify()
        self._thread.join()
        self._log.close()
        if last is not None:
            last.result()

    def in_commit_thread(self, work: Callable[[], None]) -> None:
        """Run ``work`` between two rounds and wait for it. Raises as ``work``."""
        self._ask(_Waiter(True, Outcome(), work=work)).result()

    # -- the commit thread -----------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while self._wait_for_work():
                with self._lock:
                    waiters, self._waiters = self._waiters, []
                self._serve(waiters)
        finally:
            with self._lock:
                self._closing = True
                for waiter in self._waiters:
                    waiter.done.fail(StoreClosed())

    def _wait_for_work(self) -> bool:
        """Wait until a round is due; False when closed and nothing waits."""
        with self._lock:
            while not (self._waiters or self._closing):
                if not self._appended or self._failed is not None:
                    if not self._work.wait(READER_CHECK_SECONDS):
                        self._index.reader_check()
                elif self._delayed or self._round_is_due():
                    break
                else:
                    # Nothing waits: let more blocks gather for the delay, or until there are enough.
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
                    waiter.done.fail(failure)
                else:
                    waiter.done.tell(result)

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
            # After a failed sync the kernel may report lost pages as clean: no later sync can be trusted.
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
        # From here to the commit, no block that is about to be deleted may be found "already there".
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
