"""Garbage collection alongside all other work: mark what the roots reach, forget the rest, compact the segments.

Nothing else has to stop. Blocks put or found "already there" after the start are spared by their ordinals or by the
notes of the store; new roots are marked before the next batch is decided (see root_fence.py); a block that was
missing below a root and arrives is marked with everything below it. A batch is decided in a few milliseconds under the
store's write lock and forgotten outside of it.

A collection is a blocking generator: its caller runs each step in a thread and may close it between two steps.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple, TypeVar

from cidery.blockstore.collector import Doomed, Elsewhere, SegmentUse, StoreCollector
from cidery.blockstore.segment_file import CorruptSegment, Location
from cidery.blockstore.write_errors import DiskFull, is_disk_full
from cidery.disk.lmdb_environment import DatabaseUnavailable
from cidery.errors import IntegrityError
from cidery.multiformats.cid import CID
from cidery.repo.gc.mark import Mark, MarkFault
from cidery.repo.gc.reached import Reached
from cidery.repo.gc.roots import GcRoots
from cidery.repo.gc.saved import MarkFile, MarkStart
from cidery.repo.reserve import Reserve

log = logging.getLogger("cidery.gc")
T = TypeVar("T")

SLICE = 0.05
"""Seconds of marking between two reports."""
SAVES = 128
"""Number of saves of a mark: a kill costs the repetition of less than 1 %."""
MIN_SAVE = 4096
"""Minimum of blocks marked between two saves: about 20 ms."""
SWEEP_BLOCKS = 512
"""Blocks decided at a time: the write lock is held for about 2 ms."""
MAX_TRIES = 10
"""Attempts to decide while roots keep appearing, before new roots are made to wait for one."""
COMPACT_SHARE = 0.1
"""Share of a segment that has to be garbage before the rest of it is copied."""
COMPACT_BYTES = 16 * 1024 * 1024
"""Bytes of garbage in a segment that are worth copying the rest of it."""


class GcStopped(IntegrityError):
    """Blocks below pins are missing or have unreadable links: what lies below them is unknown."""

    def __init__(self, faults: Sequence[MarkFault]) -> None:
        super().__init__(faults)
        self.faults = tuple(faults)

    def __str__(self) -> str:
        first = self.faults[0]
        return (
            f"nothing was removed: {len(self.faults)} blocks below pins or mutable files cannot be read, the first is "
            f"{first}; fetch the missing blocks, or remove the pins (cidery pin verify names them)"
        )


class Marking(NamedTuple):
    """The number of blocks found to be in use."""

    blocks: int


class Swept(NamedTuple):
    """These blocks were removed."""

    blocks: list[tuple[bytes, int]]
    """Multihash and bytes of data."""


class Compacted(NamedTuple):
    """A segment was rewritten."""

    bytes: int
    """Bytes that this freed on disk."""


Step = Marking | Swept | Compacted


class Collection:
    """One collection. ``clock`` and ``wall``: seconds, monotonic and since 1970."""

    def __init__(
        self,
        store: StoreCollector,
        roots: GcRoots,
        reserve: Reserve,
        *,
        clock: Callable[[], float],
        wall: Callable[[], float],
        seed: int = 0,
    ) -> None:
        """``seed``: different for each collection."""
        self._seed = seed
        self._store = store
        self._roots = roots
        self._reserve = reserve
        self._clock = clock
        self._wall = wall
        self._mark = Mark(store)
        self._file = MarkFile(store.index_path)
        self._start = MarkStart(0, 0.0)
        self._saved = 0
        self._resumed = False
        self.expired: list[CID] = []
        """Expired pins: they held nothing. The caller of the collection removes their records."""

    def garbage(self) -> Iterator[Step]:
        """Remove everything that no root reaches, then compact.

        Raises:
            GcStopped: nothing was removed. MarkTooWide. DiskFull, StoreFailed, StoreClosed, DatabaseUnavailable,
            OSError.
        """
        with self._reachable() as steps:
            files = self._references_to_sweep()
            yield from steps
            for page in self._store.pages():
                yield from self._sweep(page)
            if files is not None and not self._resumed:
                yield from self._sweep_references(files)
            self._file.remove()
            yield from self.compaction(self._worth_compacting)

    def eviction(self, wanted: int) -> Iterator[Step]:
        """Remove cached blocks, coldest segments first, until ``wanted`` bytes are free or none is left.

        Reachable blocks are moved to the kept class; recently read ones get a second chance. Raises as garbage().
        """
        with self._reachable() as steps:
            yield from steps
            self._file.remove()
            recency = self._store.recency
            freed = 0
            for _ in range(2):
                cached = {use.number: use for use in self._store.segments() if not use.kept}
                for number in recency.coldest(list(cached)):
                    if freed >= wanted:
                        return
                    blocks = self._store.blocks_of(number)
                    while page := list(islice(blocks, SWEEP_BLOCKS)):
                        yield from self._sweep([item for item in page if not recency.is_hot(item[1])])
                        for _, at in page:
                            recency.cool(at)
                    use = next((use for use in self._store.segments() if use.number == number), None)
                    for step in self._compact(use) if use else ():
                        freed += step.bytes
                        yield step

    def tidied(self, steps: Iterator[Step]) -> Iterator[Step]:
        """``steps`` of this collection, then trimming of the delete log. Raises as garbage()."""
        yield from steps
        self._store.trim_log()

    def compaction(self, worth: Callable[[SegmentUse], bool]) -> Iterator[Compacted]:
        """Rewrite the segments that are ``worth`` it, those with the least to copy first. Raises as garbage()."""
        for use in sorted(filter(worth, self._store.segments()), key=lambda use: use.live_bytes):
            yield from self._compact(use)

    def _compact(self, use: SegmentUse) -> Iterator[Compacted]:
        live = self._mark.live
        try:
            freed = self._retried(lambda: self._store.compact(use, promote=live.__contains__))
        except CorruptSegment as exc:
            log.warning("a segment is left as it is: %s", exc)
        except (DiskFull, DatabaseUnavailable) as exc:
            if not is_disk_full(exc):
                raise
            freed = self._store.punch(use)
            log.warning("the disk is too full to copy the rest of a segment; freed %d bytes in place", freed)
            if freed:
                yield Compacted(freed)
        else:
            if freed:
                yield Compacted(freed)

    @staticmethod
    def _worth_compacting(use: SegmentUse) -> bool:
        return use.dead_bytes >= min(COMPACT_BYTES, max(1, int(use.size * COMPACT_SHARE)))

    # -- marking ---------------------------------------------------------------------------------------------------

    def _reachable(self) -> "_Marked":
        return _Marked(self._store, self._roots, self._everything)

    def _everything(self) -> Iterator[Step]:
        """Mark from all roots, saving on the way, until nothing is left to mark."""
        now = self._wall()
        found = self._file.load(self._mark, now)
        self._resumed = found is not None
        since = self._roots.since_ordinal(self._store.next_ordinal)
        self._start = MarkStart(since, now) if found is None else found._replace(since=min(found.since, since))
        self._saved = self._mark.blocks
        yield from self._steps()
        for page in self._roots.pin_pages():
            self.expired += [pin.cid for pin in page if pin.expired(now)]
            valid = [pin for pin in page if not pin.expired(now)]
            self._mark.push((pin.cid for pin in valid if pin.recursive), strict=True)
            for pin in valid:
                if not pin.recursive:
                    self._mark.hold(pin.cid)
            yield from self._steps()
        self._check()
        self._mark.push(self._roots.mfs(), careful=True)
        yield from self._steps()
        self._check()
        self._mark.push_present(list(self._mark.missing))
        self._mark.push(self._roots.partial())
        yield from self._steps()
        self._store.await_blocks(key for _, key in self._mark.missing)
        self._mark.push_present(list(self._mark.missing))
        self._settle()
        yield Marking(self._mark.blocks)

    def _save(self) -> None:
        try:
            self._file.save(self._mark, self._start)
        except OSError as exc:
            log.info("how far the mark is could not be written: %s", exc)  # after a kill it starts over

    def _check(self) -> None:
        if self._mark.faults:
            raise GcStopped(self._mark.faults)

    def _steps(self) -> Iterator[Step]:
        mark, clock = self._mark, self._clock
        gap = max(MIN_SAVE, self._store.count() // SAVES)
        until = clock() + SLICE
        while mark.step():
            if mark.blocks - self._saved >= gap and not mark.faults:
                self._saved = mark.blocks
                self._save()
            if clock() >= until:
                yield Marking(mark.blocks)
                until = clock() + SLICE

    def _settle(self) -> None:
        """Mark new roots, and missing blocks that have arrived."""
        mark = self._mark
        while True:
            mark.push(self._roots.fence.take())
            mark.push_present(mark.waiting_for(self._store.arrived()))
            # Awaited first and looked up after: a block that arrives in between is seen by one of the two.
            gaps = mark.take_gaps()
            self._store.await_blocks(key for _, key in gaps)
            mark.push_present(gaps)
            if not mark.stack:
                return
            while mark.step():
                continue

    # -- sweeping --------------------------------------------------------------------------------------------------

    def _sweep(self, blocks: Sequence[tuple[bytes, Location]]) -> Iterator[Swept]:
        candidates = [item for item in blocks if not self._spared(item[1].ordinal)]
        for start in range(0, len(candidates), SWEEP_BLOCKS):
            doomed = self._decide(candidates[start : start + SWEEP_BLOCKS])
            self._retried(lambda doomed=doomed: self._store.bury(doomed))  # type: ignore[misc]
            if doomed.blocks:
                yield Swept([(key, at.length) for key, at in doomed.blocks])

    def _references_to_sweep(self) -> Elsewhere | None:
        """The table of files, if this mark can judge its contents; from then on the mark remembers what it reaches.

        References have no ordinals: those of a running operation or job cannot be told from others, and a mark that
        was resumed after a kill does not know what it reached before. Then they wait for the next collection.
        """
        files = self._store.elsewhere
        if files is None or not files.count() or not self._roots.undisturbed():
            return None
        self._mark.reached = Reached(self._store.count() + files.count(), self._seed)
        return files

    def _sweep_references(self, files: Elsewhere) -> Iterator[Swept]:
        """Forget references to blocks that nothing reaches; the user's files stay. A page at a time, as blocks."""
        reached = self._mark.reached
        assert reached is not None  # _references_to_sweep() made it
        after = b""
        while page := files.keys(after, SWEEP_BLOCKS):
            after = page[-1]
            candidates = [key for key in page if key not in reached]
            if not candidates:
                continue
            # Checked again once all new roots are marked.
            gone = self._undisturbed(
                lambda keys=candidates: self._store.doom_references(files, [key for key in keys if key not in reached])  # type: ignore[misc]
            )
            files.bury(gone)
            if gone:
                yield Swept([(key, 0) for key in gone])

    def _spared(self, ordinal: int) -> bool:
        return ordinal >= self._start.since or ordinal in self._mark.live

    def _decide(self, candidates: Sequence[tuple[bytes, Location]]) -> Doomed:
        return self._undisturbed(lambda: self._store.doom(candidates, self._spared))

    def _undisturbed(self, decide: Callable[[], T | None]) -> T:
        """Decide when everything reachable is marked and nothing new is made reachable; None is tried again."""
        fence = self._roots.fence
        for _ in range(MAX_TRIES):
            self._settle()
            with fence.holding():
                decided = decide() if fence.quiet else None
            if decided is not None:
                return decided
        with fence.holding(), self._store.frozen():
            self._settle()
            decided = decide()
        assert decided is not None  # nothing can come in between
        return decided

    def _retried(self, work: Callable[[], "int | None"]) -> int:
        """Run it; on a full disk, once more after giving up the reserve."""
        try:
            return work() or 0
        except (DiskFull, DatabaseUnavailable) as exc:
            if not is_disk_full(exc) or not self._reserve.release():
                raise
        return work() or 0


class _Marked:
    """The context of a collection: notes, fence and awaited blocks, from before the first root is read to the end."""

    def __init__(self, store: StoreCollector, roots: GcRoots, steps: Callable[[], Iterator[Step]]) -> None:
        self._holding = store.holding()
        self._fence = roots.fence
        self._steps = steps

    def __enter__(self) -> Iterator[Step]:
        self._holding.__enter__()
        self._fence.listen()
        return self._steps()

    def __exit__(self, *exc: object) -> None:
        self._fence.stop()
        self._holding.__exit__(None, None, None)
