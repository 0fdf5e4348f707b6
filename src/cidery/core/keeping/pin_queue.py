"""Pins in the background: a queue on disk, some attempts at a time, retries with growing pauses.

A pin without a source waits for its next try and delays no other. The states are those of the pinning service API
(https://ipfs.github.io/pinning-services-api-spec/): queued, pinning, pinned, failed.
"""

import asyncio
import hashlib
import heapq
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple, Protocol

from cidery.blockstore.segments import SegmentStore
from cidery.core.jobs import JobDesk, JobRun
from cidery.core.keeping.pin import pin_add
from cidery.core.reading.content_path import ContentPath, parse_path
from cidery.core.session import BlockSession
from cidery.errors import CideryError, IntegrityError, InvalidInput, LimitExceeded
from cidery.multiformats.cid import CID
from cidery.repo.jobs import Job, JobState, NoSuchJob
from cidery.repo.pins import Pins

log = logging.getLogger("cidery.jobs")

WORKERS = 4
"""Concurrent attempts: each may hold 40 MiB of arriving blocks."""
FIRST_PAUSE = 30.0
"""Seconds before the second try; the pause doubles on each try while nothing arrives."""
LONGEST_PAUSE = 3600.0
"""Most seconds between two tries."""
GIVE_UP = 30 * 24 * 3600.0
"""Seconds without a new block after which a pin has failed; `cidery jobs resume` tries again."""

Sleep = Callable[[float], Awaitable[None]]


class PinRequest(NamedTuple):
    """A pin to be made."""

    path: ContentPath
    recursive: bool = True
    name: str = ""
    lasts: float | None = None
    """Seconds from when it is pinned to its expiry; None: it stays."""


class Pinning(Protocol):
    """What attempts need of a node; implemented by core.api.Api."""

    @property
    def pins(self) -> Pins: ...

    @property
    def store(self) -> SegmentStore: ...

    @property
    def clock(self) -> Callable[[], float]: ...

    def session(self, *, kept: bool = False, name: str = "") -> AbstractAsyncContextManager[BlockSession]: ...

    async def keep(self, cids: Sequence[CID], session: BlockSession) -> None: ...


def status_word(job: Job) -> str:
    """The state in the words of the pinning service API."""
    if job.state is JobState.QUEUED or job.state is JobState.INTERRUPTED:
        return "queued"
    return {JobState.RUNNING: "pinning", JobState.DONE: "pinned"}.get(job.state, "failed")


def is_queued_pin(job: Job) -> bool:
    """Whether a job was queued, rather than run by a `pin add` that waited for it."""
    return bool(job.detail.get("queued"))


def pause_after(failures: int, chance: float) -> float:
    """Seconds to wait after so many failures in a row; ``chance`` 0 to 1 spreads them."""
    return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(failures - 1, 16)) * (0.75 + chance / 2)


class PinQueue:
    """The queue of one open repository. Requests are accepted at any time; attempts are made inside working()."""

    def __init__(self, desk: JobDesk, chance: Callable[[], float]) -> None:
        """``chance``: a random number from 0 to 1."""
        self._desk = desk
        self._chance = chance
        self._due: list[tuple[float, int]] = []
        self._known: dict[str, int] | None = None
        """Numbers of the open pins by key, while working."""
        self._busy: dict[int, asyncio.Task[None]] = {}
        self._wake = asyncio.Event()

    # -- requests --------------------------------------------------------------------------------------------------

    async def add(self, requests: Sequence[PinRequest]) -> list[Job]:
        """Queue pins, durably; pins already queued are tried now, with the new name and expiry.

        Raises QueueFull, DatabaseUnavailable (disk full); then none is queued.
        """
        now = self._desk.clock()
        wanted = [_job_of(request, now) for request in requests]
        jobs = self._desk.jobs

        roots = [root for job in wanted for root in job.roots]
        written = await self._desk.state.update(lambda txn: jobs.enqueue(txn, wanted, self._known), roots)
        for job in written:
            self._take(job, now)
        self._wake.set()
        return written

    async def retry(self, number: int) -> Job:
        """Try a pin again now, even one that has failed. Raises NoSuchJob, InvalidInput for another kind of job."""
        job = self._desk.get(number)
        if job.kind != "pin" or not is_queued_pin(job):
            raise InvalidInput(f"job {number} is not a queued pin; repeat its command to resume it")
        if job.state is JobState.RUNNING or job.state is JobState.DONE:
            return job
        now = self._desk.clock()
        again = replace(job, state=JobState.QUEUED, next_try=None, updated=now, details={**job.detail, "moved": now})
        await self._desk.jobs.reopen(again)
        self._take(again, now)
        self._wake.set()
        return again

    def retry_all(self) -> None:
        """The network changed (the user connected a peer): try waiting pins now."""
        if self._due:
            self._due = [(0.0, number) for _, number in self._due]
            self._wake.set()

    def _take(self, job: Job, when: float) -> None:
        if self._known is not None and job.id not in self._busy:
            self._known[job.key] = job.id
            heapq.heappush(self._due, (when, job.id))

    # -- attempts --------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def working(self, node: Pinning, sleep: Sleep = asyncio.sleep) -> AsyncIterator[None]:
        """Make attempts inside the context; those under way at its end are queued again."""
        self._known, self._due = {}, []
        for job in self._desk.jobs.every("pin", ended=False):
            if is_queued_pin(job):
                self._take(job, job.next_try or 0.0)
        task = asyncio.create_task(self._work(node, sleep))
        try:
            yield
        finally:
            for one in (task, *self._busy.values()):
                one.cancel()
            await asyncio.gather(task, *self._busy.values(), return_exceptions=True)
            self._known = None

    async def _work(self, node: Pinning, sleep: Sleep) -> None:
        while True:
            self._wake.clear()
            now = self._desk.clock()
            while self._due and len(self._busy) < WORKERS and self._due[0][0] <= now:
                _, number = heapq.heappop(self._due)
                if number not in self._busy:
                    self._busy[number] = asyncio.create_task(self._attempt(node, number))
            waits: list[asyncio.Future[Any]] = [asyncio.ensure_future(self._wake.wait())]
            if self._due and len(self._busy) < WORKERS:
                waits.append(asyncio.ensure_future(sleep(max(0.0, self._due[0][0] - now))))
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for one in waits:
                    one.cancel()

    async def _attempt(self, node: Pinning, number: int) -> None:
        ended: Job | None = None
        try:
            job = self._desk.jobs.get(number)
            if job.state.is_open:
                ended = await self._pin(node, job)
        except NoSuchJob:
            pass  # removed while it waited
        except CideryError as exc:
            log.warning("pin job %d could not be recorded: %s", number, exc)
            heapq.heappush(self._due, (self._desk.clock() + FIRST_PAUSE, number))
        finally:
            self._busy.pop(number, None)
            if ended is not None and self._known is not None:
                if ended.state is JobState.QUEUED:
                    self._take(ended, ended.next_try or 0.0)
                else:
                    self._known.pop(ended.key, None)
            self._wake.set()

    async def _pin(self, node: Pinning, job: Job) -> Job:
        """One attempt; returns the row in its final state."""
        begin = self._desk.run(
            "pin", job.title, key=job.key, roots=job.roots, spare_new=False, details=job.details, number=job.id
        )
        async with begin as run:
            seen: list[BlockSession] = []
            try:
                async with node.session(kept=True) as session:
                    seen.append(session)
                    await _fetch(node, run, session)
                run.ends_as = replace(run.job, state=JobState.DONE, error="", stage="")
            except CideryError as exc:
                run.ends_as = self._failed(run.job, job, exc, sum(map(_blocks_seen, seen)))
            except asyncio.CancelledError:
                if run.cancelled:
                    run.ends_as = replace(run.job, state=JobState.FAILED, error="cancelled")
                else:
                    run.ends_as = replace(run.job, state=JobState.QUEUED)
                    raise
        return run.last

    def _failed(self, job: Job, before: Job, exc: CideryError, seen: int) -> Job:
        now = self._desk.clock()
        most = int(job.detail.get("seen", 0))
        moved = seen > most
        failures = 1 if moved else int(job.detail.get("failures", 0)) + 1
        since = now if moved else float(job.detail.get("moved", job.started))
        details = {**job.detail, "failures": failures, "moved": since, "seen": max(seen, most)}
        failed = replace(job, error=str(exc), stage="", details=details, bytes=max(job.bytes, before.bytes))
        hopeless = isinstance(exc, InvalidInput | IntegrityError | LimitExceeded)
        if hopeless or now - since >= GIVE_UP:
            return replace(failed, state=JobState.FAILED)
        return replace(failed, state=JobState.QUEUED, next_try=now + pause_after(failures, self._chance()))


def _blocks_seen(session: BlockSession) -> int:
    """The number of blocks that a session read or received: more than in earlier attempts means progress."""
    stats = session.stats()
    return stats.local[0] + sum(blocks for blocks, _ in stats.by_source.values())


async def _fetch(node: Pinning, run: JobRun, session: BlockSession) -> None:
    detail = run.job.detail
    lasts = detail.get("lasts")
    now = node.clock()
    steps = pin_add(
        parse_path(str(detail["path"])),
        session,
        node.pins,
        now=now,
        keep=partial(node.keep, session=session),
        sizes=node.store.size_many,
        recursive=bool(detail.get("recursive", True)),
        name=str(detail.get("name", "")),
        expires=None if lasts is None else now + float(lasts),
    )
    run.stage = "fetching"
    async with aclosing(steps) as progress:
        async for step in progress:
            run.blocks, run.bytes = step.blocks, step.bytes
            run.tick()


def _job_of(request: PinRequest, now: float) -> Job:
    path = request.path
    text = str(path) if path.segments or path.namespace != "ipfs" else str(path.root)
    key = hashlib.sha256(f"{request.recursive} {path.root} {path.segments}".encode()).hexdigest()[:32]
    details: dict[str, Any] = {"queued": True, "path": text}
    if not request.recursive:
        details["recursive"] = False
    if request.name:
        details["name"] = request.name
    if request.lasts is not None:
        details["lasts"] = request.lasts
    return Job(
        id=0,
        kind="pin",
        title=text,
        state=JobState.QUEUED,
        started=now,
        updated=now,
        key="q" + key,
        roots=(path.root,),
        details=details,
    )
