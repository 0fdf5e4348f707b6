"""Running long operations as jobs: a context around each writes the job's row and protects its blocks.

The row needs no transaction of its own: it is written with the provisional record, at the start and at the end. In
between it is rewritten every SAVE_EVERY seconds in the background; a full disk makes it stale but never stops the job.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cidery.blockstore.segments import SegmentStore
from cidery.core.getting.jobs import every_get, expire_gets, remove_get
from cidery.core.getting.record import FIRST_NUMBER
from cidery.core.worth import KEPT, WORTH_BLOCKS, WORTH_BYTES, WORTH_SECONDS
from cidery.disk.lmdb_environment import Transaction
from cidery.errors import CideryError, InvalidInput, Unavailable
from cidery.multiformats.cid import CID
from cidery.repo.jobs import Job, Jobs, JobState
from cidery.repo.provisional import ProvisionalRoots, RunningOperation
from cidery.repo.state import State
from cidery.waiting import loop_runs, off_loop, without_loop

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio

SAVE_EVERY = 2.0
"""Seconds between two rewrites of a row: one small transaction that nothing waits for."""


def title_of(texts: Sequence[str]) -> str:
    """``a``, or ``a and 3 more``."""
    if not texts:
        return "a stream"
    more = f" and {len(texts) - 1} more" if len(texts) > 1 else ""
    return texts[0][:200].encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace") + more


class JobCancelled(Unavailable):
    """The job was removed while it ran."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    def __str__(self) -> str:
        return f"job {self.number} was cancelled with `cidery jobs rm`"


class JobRunning(InvalidInput):
    """The operation needs a job that is not running."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self.job = job

    def __str__(self) -> str:
        where = f"in process {self.job.pid}" if self.job.pid else "in another process"
        return f"job {self.job.id} runs {where}; stop that one"


class JobRun:
    """A running job. Update its counters as often as you like; tick() costs a fraction of a microsecond."""

    def __init__(self, desk: JobDesk, row: Job) -> None:
        self._desk = desk
        self._row = row
        self._saved = desk.clock()
        self._saving: asyncio.Task[None] | None = None
        self.blocks = self.bytes = self.files = 0
        self.total = row.total
        """Bytes in total, if known."""
        self.stage = ""
        self.operation: RunningOperation | None = None
        self.cancelled = False
        self.ends_as: Job | None = None
        """The final row, if the job kind sets it."""
        self.task: asyncio.Task[Any] | None = None
        self.over: asyncio.Event | None = None
        """These two with an event loop alone: nobody else could stop the job."""
        if loop_runs():
            import asyncio

            self.task, self.over = asyncio.current_task(), asyncio.Event()

    @property
    def job(self) -> Job:
        """The row as it would be written now."""
        return replace(
            self._row,
            blocks=self.blocks,
            bytes=self.bytes,
            files=self.files,
            total=self.total,
            stage=self.stage,
            updated=self._desk.clock(),
        )

    @property
    def last(self) -> Job:
        """The row as it was last written."""
        return self._row

    @property
    def resumed(self) -> bool:
        """Whether an earlier run left something to resume."""
        return self._row.attempts > 1

    @property
    def journal(self) -> Path:
        """Where the job kind may keep data that does not fit the row; removed with the job."""
        return self._desk.journal(self._row.id)

    def tick(self) -> None:
        """Note that the counters or the stage changed; they reach the disk within seconds."""
        if self._desk.clock() - self._saved >= SAVE_EVERY and self._saving is None:
            self._saved = self._desk.clock()
            if not loop_runs():
                return without_loop(self._save())
            import asyncio

            self._saving = asyncio.get_running_loop().create_task(self._save())

    async def _save(self) -> None:
        try:
            await self._desk.jobs.save(self.job)
        except CideryError as exc:
            import logging  # seldom needed, and slow to import

            logging.getLogger("cidery.jobs").warning("how far job %d is could not be written: %s", self._row.id, exc)
        finally:
            self._saving = None

    def leave(self, reason: str) -> None:
        """End as interrupted, whatever it has done: a later run with the same key continues it."""
        self.ends_as = replace(self.job, state=JobState.INTERRUPTED, error=reason)

    async def settle(self, details: Mapping[str, Any]) -> None:
        """Set the details, durably on return. Raises as Jobs.save()."""
        await self._quiet()
        self._row = replace(self._row, details={**self._row.detail, **details})
        self._saved = self._desk.clock()
        await self._desk.jobs.save(self.job)

    async def protect(self, *roots: CID) -> None:
        """Add roots that became known; durable on return."""
        self._row = replace(self._row, roots=(*self._row.roots, *roots))
        if self.operation is not None:
            await self.operation.protect(*roots)
        await self._quiet()
        await self._desk.jobs.save(self.job)

    async def _quiet(self) -> None:
        """Wait for a save under way, which could otherwise overwrite the last one."""
        if self._saving is not None:
            import asyncio

            await asyncio.wait([self._saving])

    async def close(self, error: BaseException | None) -> None:
        """Decide how the job ended; the row is written by the code that ends the record."""
        await self._quiet()
        job = self.job
        if self.ends_as is not None:
            self._row = replace(self.ends_as, updated=job.updated)
            return
        if error is None:
            self._row = replace(job, state=JobState.DONE, error="", stage="")
            return
        seconds = job.updated - job.started
        worth = seconds >= WORTH_SECONDS or job.bytes >= WORTH_BYTES or max(job.blocks, job.files) >= WORTH_BLOCKS
        goes_on = worth and bool(job.key) and not self.cancelled
        state = JobState.INTERRUPTED if goes_on else JobState.FAILED
        reason = str(error) if isinstance(error, CideryError) else "it was stopped"
        KEPT.noted = KEPT.noted or goes_on
        self._row = replace(job, state=state, error="cancelled" if self.cancelled else reason)


class _Rows:
    """The row that a job writes along with its provisional record."""

    def __init__(self, jobs: Jobs, job: Job, number: int | None) -> None:
        self._jobs = jobs
        self._wanted = job
        self._number = number
        self.job = job
        self.run: JobRun | None = None

    def begin(self, txn: Transaction) -> None:
        self.job = self._jobs.begin(txn, self._wanted, self._number)

    def end(self, txn: Transaction) -> None:
        if self.run is not None:
            self._jobs.write(txn, self.run.last)


@dataclass(slots=True)
class JobDesk:
    """The jobs of one open repository."""

    jobs: Jobs
    state: State
    store: SegmentStore
    provisional: ProvisionalRoots
    directory: Path
    """Directory of the journals; created on first use."""
    clock: Callable[[], float]
    """Seconds since 1970-01-01 UTC."""
    running: dict[int, JobRun] = field(default_factory=dict)

    def journal(self, number: int) -> Path:
        return self.directory / f"{number}.journal"

    @asynccontextmanager
    async def run(
        self,
        kind: str,
        title: str,
        *,
        key: str = "",
        roots: Sequence[CID] = (),
        total: int | None = None,
        protect: bool = True,
        spare_new: bool = True,
        details: Mapping[str, Any] | None = None,
        number: int | None = None,
    ) -> AsyncIterator[JobRun]:
        """Run the block as a job; an interrupted one with the same key is resumed.

        Args:
            number: the queued job to run, instead of one with the same key.
            protect: hold a provisional record too, so that blocks stored or found are spared while the job runs.
            spare_new: if it is interrupted, spare everything stored since it began, not only its roots.
        Raises:
            JobCancelled if it was removed while it ran. StateReadOnly. DatabaseUnavailable: disk full, nothing began.
        """
        since = self.store.next_ordinal
        rows = _Rows(
            self.jobs,
            Job(
                id=0,
                kind=kind,
                title=title,
                state=JobState.RUNNING,
                started=self.clock(),
                updated=self.clock(),
                key=key,
                total=total,
                since_ordinal=since if spare_new else None,
                roots=tuple(roots),
                details=details,
            ),
            number,
        )
        if not protect:
            await self.state.update(rows.begin)
            async with self._running(rows) as run:
                yield run
            return
        now = self.clock()
        async with self.provisional.operation(kind, roots, now=now, since_ordinal=since, beside=rows) as operation:
            async with self._running(rows, ended=False) as run:
                run.operation = operation
                yield run

    @asynccontextmanager
    async def _running(self, rows: _Rows, *, ended: bool = True) -> AsyncIterator[JobRun]:
        run = rows.run = JobRun(self, rows.job)
        self.running[rows.job.id] = run
        error: BaseException | None = None
        try:
            yield run
        except BaseException as exc:
            error = exc
            if run.cancelled and run.task is not None and _is_cancel(exc):
                run.task.uncancel()
                raise JobCancelled(rows.job.id) from exc
            raise
        finally:
            await run.close(error)
            del self.running[rows.job.id]
            if ended:
                await self.state.update(rows.end)
            if not run.last.state.is_open:
                run.journal.unlink(missing_ok=True)
            if run.over is not None:
                run.over.set()

    # -- looking and changing --------------------------------------------------------------------------------------

    def every(self, kind: str = "", *, ended: bool = True) -> list[Job]:
        """All jobs by number, with current counters for those of this process."""
        found = [self._live(job) for job in self.jobs.every(kind, ended=ended)]
        if kind in ("", "get"):
            found += every_get(self.directory)
        return sorted(found, key=lambda job: job.id)

    def get(self, number: int) -> Job:
        """Raises NoSuchJob."""
        if number >= FIRST_NUMBER:
            for job in every_get(self.directory):
                if job.id == number:
                    return job
        return self._live(self.jobs.get(number))

    def _live(self, job: Job) -> Job:
        run = self.running.get(job.id)
        return job if run is None else run.job

    async def remove(self, number: int) -> Job:
        """Forget a job; one running here is stopped and listed as failed. Its blocks may then be collected.

        Raises NoSuchJob, JobRunning for one of another process.
        """
        job = self.get(number)
        run = self.running.get(number)
        if run is not None:
            run.cancelled = True
            assert run.task is not None and run.over is not None  # it runs beside this on the loop
            run.task.cancel()
            await run.over.wait()
            return run.last
        if job.state is JobState.RUNNING or (job.kind == "get" and not remove_get(self.directory, number)):
            raise JobRunning(job)
        await self.jobs.remove(job)
        self.journal(number).unlink(missing_ok=True)
        return job

    async def expire(self) -> list[Job]:
        """Drop jobs that were interrupted long ago; returns them."""
        expired = await self.jobs.expire(self.clock())
        await off_loop(expire_gets, self.directory, self.clock())
        for job in expired:
            self.journal(job.id).unlink(missing_ok=True)
        return expired


def _is_cancel(exc: BaseException) -> bool:
    import asyncio

    return isinstance(exc, asyncio.CancelledError)
