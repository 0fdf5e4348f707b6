"""Runs collections: steps in a thread, results on the loop, never two at a time."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from cidery.blockstore.collector import SegmentUse
from cidery.blockstore.segments import SegmentStore
from cidery.core.jobs import JobDesk
from cidery.errors import Unavailable
from cidery.repo.gc.collection import Collection, Compacted, Marking, Step, Swept
from cidery.repo.gc.roots import GcRoots
from cidery.repo.pins import Pins
from cidery.repo.provisional import ProvisionalRoots
from cidery.repo.reserve import Reserve
from cidery.tasks import in_thread

TOGETHER = 0.1
"""Seconds of steps between two reports to the loop, which takes some turns to ask for more when busy."""


class GcRunning(Unavailable):
    """A collection is under way already."""

    def __str__(self) -> str:
        return "garbage is being collected already; wait for it to end"


@dataclass(slots=True)
class Collector:
    """The collections of one open repository."""

    path: Path
    """The repository."""
    store: SegmentStore
    pins: Pins
    provisional: ProvisionalRoots
    roots: GcRoots
    wall: Callable[[], float]
    """Seconds since 1970-01-01 UTC."""
    clock: Callable[[], float]
    """Seconds, monotonic."""
    jobs: JobDesk
    together: float = TOGETHER
    """Seconds of steps done per turn of the thread; 0: a single step."""
    _busy: bool = field(default=False, init=False)

    def garbage(self) -> AsyncGenerator[Step, None]:
        """Remove unreachable blocks, then compact; resumes a collection that was killed.

        Blocks stored by operations of dead processes are garbage, unless pinned or needed by a resumable job.
        Raises GcRunning, and as repo.gc.Collection.garbage(). Cancellation: safe; the next collection resumes.
        """
        return self._on_record(self._run(lambda collection: collection.garbage()))

    def evict(self, wanted: int) -> AsyncGenerator[Step, None]:
        """Remove cached blocks, coldest first, to free ``wanted`` bytes. Raises and cancels as garbage()."""
        return self._run(lambda collection: collection.eviction(wanted))

    def compact(self) -> AsyncGenerator[Step, None]:
        """Rewrite every segment that holds garbage. Raises and cancels as garbage()."""
        return self._run(lambda collection: collection.compaction(_has_garbage))

    async def _on_record(self, steps: AsyncGenerator[Step, None]) -> AsyncGenerator[Step, None]:
        if self._busy:
            raise GcRunning
        await self.jobs.expire()
        await asyncio.to_thread(Reserve(self.store.directory).release_if_full)  # the job's row must be writable
        begun = self.jobs.run("gc", "the whole repository", key="gc", protect=False, spare_new=False)
        async with begun as run, aclosing(steps):
            async for step in steps:
                if isinstance(step, Marking):
                    run.stage, run.blocks = "marking", step.blocks
                elif isinstance(step, Swept):
                    run.stage = "removing"
                    run.bytes += sum(size for _, size in step.blocks)
                else:
                    run.stage = "compacting"
                run.tick()
                yield step

    async def _run(self, begin: Callable[[Collection], Iterator[Step]]) -> AsyncGenerator[Step, None]:
        if self._busy:
            raise GcRunning
        self._busy = True
        reserve = Reserve(self.store.directory)
        await asyncio.to_thread(reserve.release_if_full)
        collection = Collection(
            self.store.collector(),
            self.roots,
            reserve,
            clock=self.clock,
            wall=self.wall,
            seed=int(self.wall() * 1e9),
        )
        steps = collection.tidied(begin(collection))
        try:
            await self.provisional.discard(self.provisional.left_over())
            while (some := await in_thread(_next_steps, steps, self.clock, self.together)).steps:
                for step in some.steps:
                    yield step
                if some.error is not None:
                    raise some.error
            if collection.expired:
                await self.pins.remove_expired(self.wall(), collection.expired)
            await asyncio.to_thread(reserve.keep)
        finally:
            await asyncio.shield(asyncio.to_thread(steps.close))  # type: ignore[attr-defined]
            self._busy = False


class _Some(NamedTuple):
    """The finished steps; none at the end."""

    steps: list[Step]
    error: Exception | None
    """The exception of the next one."""


def _next_steps(steps: Iterator[Step], clock: Callable[[], float], seconds: float) -> _Some:
    until = clock() + seconds
    done: list[Step] = []
    try:
        for step in steps:
            done.append(step)
            if clock() >= until:
                break
    except Exception as exc:  # noqa: BLE001 - it is raised once the steps before it are reported
        if not done:
            raise
        return _Some(done, exc)
    return _Some(done, None)


def _has_garbage(use: SegmentUse) -> bool:
    return use.dead_bytes > 0


__all__ = ["Collector", "Compacted", "GcRunning", "Marking", "Step", "Swept"]
