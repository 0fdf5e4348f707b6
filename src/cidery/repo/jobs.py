"""The table of jobs: long operations, with their progress, whether running, interrupted or finished.

A row is written with the first record of the operation and rewritten every few seconds, so it is true even after a
SIGKILL. Rows of unfinished jobs are roots for a collector. What an operation needs beyond its row to resume
(finished files, for example) lies in a journal of its own (see core/adding/journal.py).

Keys: ``o`` (open) or ``e`` (ended), the kind, NUL, the number of the job in 8 bytes.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from cidery.disk.lmdb_environment import Transaction, items_after
from cidery.errors import IntegrityError, LimitExceeded, NotFound
from cidery.multiformats.cid import CID, CIDError
from cidery.repo.state import State, StateTable

KINDS = ("add", "gc", "get", "import", "pin")
"""Kinds of jobs."""
MAX_ENDED = 100
"""Ended jobs remembered, of each kind but pins."""
MAX_ENDED_PINS = 1000
"""Ended pins remembered: a client that queues many wants to see their outcomes. About 300 bytes each."""
MAX_INTERRUPTED = 100
"""Interrupted jobs of one kind that are kept; the oldest gives way. Queued pins are not counted."""
MAX_QUEUED = 1_000_000
"""Pins in the queue: about 400 MB of records."""
INTERRUPTED_LIFE = 7 * 24 * 3600.0
"""Seconds after its last activity when an interrupted job is dropped: its blocks may then be collected."""
MAX_TEXT = 1000
"""Most characters of a title, a stage or an error."""
PAGE = 1000
"""Rows read at a time: about 5 ms."""
COUNTER_KEY = b"next-job"
"""In StateTable.SETTINGS: the number of the next job."""


class JobState(StrEnum):
    """The state of a job."""

    QUEUED = "queued"
    """Waits for its turn, or for its next try."""
    RUNNING = "running"
    INTERRUPTED = "interrupted"
    """Its process died, or it was interrupted: it can be resumed."""
    DONE = "done"
    FAILED = "failed"

    @property
    def is_open(self) -> bool:
        """Whether it can still be resumed."""
        return self in (JobState.QUEUED, JobState.RUNNING, JobState.INTERRUPTED)


class JobDamaged(IntegrityError):
    """A row that cannot be decoded."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"the record of a job is damaged ({self.reason}); restore meta/state from a backup"


class NoSuchJob(NotFound):
    """No job has this number, or it ended long ago."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    def __str__(self) -> str:
        return f"there is no job {self.number}; see: cidery jobs"


class QueueFull(LimitExceeded):
    """MAX_QUEUED pins wait."""

    def __str__(self) -> str:
        return f"{MAX_QUEUED} pins are queued already; wait, or remove some with: cidery jobs rm"


@dataclass(frozen=True, slots=True)
class Job:
    """One row."""

    id: int
    kind: str
    """One of KINDS."""
    title: str
    """Title, for people."""
    state: JobState
    started: float
    """Seconds since 1970-01-01 UTC, like all times here."""
    updated: float
    key: str = ""
    """Equal for equal work; "": it cannot be found again."""
    session: str = ""
    """Session of the process that runs it, in hex."""
    pid: int = 0
    """Of that process."""
    attempts: int = 0
    blocks: int = 0
    bytes: int = 0
    files: int = 0
    total: int | None = None
    """Total bytes, if known."""
    stage: str = ""
    error: str = ""
    """Why the last attempt ended."""
    next_try: float | None = None
    """Time of the next try of a queued one."""
    since_ordinal: int | None = None
    """Blocks with this ordinal or a higher one may belong to it; None: only what its roots reach."""
    roots: tuple[CID, ...] = ()
    details: Mapping[str, Any] | None = None
    """Details that its kind needs to resume; JSON."""

    @property
    def detail(self) -> Mapping[str, Any]:
        return self.details or {}


_TEXTS = ("kind", "title", "key", "session", "stage", "error")
_NUMBERS = ("id", "pid", "attempts", "blocks", "bytes", "files")


def encode_job(job: Job) -> bytes:
    """Empty fields are left out."""
    raw: dict[str, Any] = {name: getattr(job, name) for name in (*_TEXTS, *_NUMBERS) if getattr(job, name)}
    raw |= {"state": str(job.state), "started": job.started, "updated": job.updated}
    raw |= {name: value for name in ("total", "next_try", "since_ordinal") if (value := getattr(job, name)) is not None}
    for name in ("title", "stage", "error"):
        if len(raw.get(name, "")) > MAX_TEXT:
            raw[name] = raw[name][: MAX_TEXT - 3] + "..."
    if job.roots:
        raw["roots"] = [str(root) for root in job.roots]
    if job.details:
        raw["details"] = dict(job.details)
    return json.dumps(raw, separators=(",", ":")).encode()


def decode_job(data: bytes) -> Job:
    """Raises JobDamaged, nothing else (fuzzed)."""
    try:
        raw = json.loads(data)
    except (ValueError, RecursionError) as exc:
        raise JobDamaged("not JSON") from exc
    if not isinstance(raw, dict):
        raise JobDamaged("not a map")
    fields: dict[str, Any] = {name: _of_type(raw, name, str, "") for name in _TEXTS}
    fields |= {name: _of_type(raw, name, int, 0) for name in _NUMBERS}
    fields |= {name: float(_of_type(raw, name, (int, float), 0.0)) for name in ("started", "updated")}
    fields |= {name: _of_type(raw, name, int, None) for name in ("total", "since_ordinal")}
    fields["next_try"] = _of_type(raw, "next_try", (int, float), None)
    fields["details"] = _of_type(raw, "details", dict, None)
    if fields["kind"] not in KINDS or fields["id"] < 0:
        raise JobDamaged("an unknown kind")
    roots = _of_type(raw, "roots", list, [])
    try:
        fields["state"] = JobState(_of_type(raw, "state", str, ""))
        fields["roots"] = tuple(CID.parse(text) for text in roots if isinstance(text, str))
    except (ValueError, CIDError) as exc:
        raise JobDamaged(str(exc)) from exc
    return Job(**fields)


def _of_type(raw: dict[str, Any], name: str, kind: Any, default: Any) -> Any:
    value = raw.get(name, default)
    if value is default:
        return value
    if isinstance(value, bool) or not isinstance(value, kind) or (isinstance(value, int) and abs(value) >> 63):
        raise JobDamaged(f"its {name} is of another type")
    return value


def _key(job: Job) -> bytes:
    return _prefix(job.state.is_open, job.kind) + job.id.to_bytes(8, "big")


def _prefix(is_open: bool, kind: str) -> bytes:
    return (b"o" if is_open else b"e") + kind.encode() + b"\0"


class Jobs:
    """The table. Reads are synchronous; changes are durable when awaited, and need the repository's lock."""

    def __init__(
        self, state: State, entropy: Callable[[int], bytes], pid: int, lives: Callable[[Job], bool] | None = None
    ) -> None:
        """``lives``: whether the process that runs a job is alive, for processes without the lock."""
        self._state = state
        self.session = entropy(8).hex()
        self.pid = pid
        self._lives = lives

    # -- reading ---------------------------------------------------------------------------------------------------

    def runs(self, job: Job) -> bool:
        """Whether its process is working on it now."""
        if job.state is not JobState.RUNNING:
            return False
        return job.session == self.session or (self._lives is not None and self._lives(job))

    def _shown(self, job: Job) -> Job:
        if job.state is JobState.RUNNING and not self.runs(job):
            error = job.error or "its process ended before it did"
            if not job.key:
                # It cannot be resumed: what it stored need not wait.
                return replace(job, state=JobState.FAILED, error=error, roots=(), since_ordinal=None)
            return replace(job, state=JobState.INTERRUPTED, error=error)
        return job

    def every(self, kind: str = "", *, ended: bool = True) -> Iterator[Job]:
        """Open ones, then ended ones, by kind and number, each once. In pages: what changes meanwhile may show."""
        shown = set[int]()
        for is_open in (True, False) if ended else (True,):
            for one in [kind] if kind else KINDS:
                prefix = _prefix(is_open, one)
                after = prefix
                while page := self._state.page(StateTable.JOBS, after, PAGE):
                    for key, raw in page:
                        if not key.startswith(prefix):
                            break
                        job = decode_job(raw)
                        if is_open:
                            shown.add(job.id)
                        elif job.id in shown:
                            continue  # it has ended meanwhile
                        yield self._shown(job)
                    else:
                        after = page[-1][0]
                        continue
                    break

    def get(self, number: int) -> Job:
        """Raises NoSuchJob."""
        if 0 <= number < 1 << 63:
            for is_open in (True, False):
                for kind in KINDS:
                    raw = self._state.get(StateTable.JOBS, _prefix(is_open, kind) + number.to_bytes(8, "big"))
                    if raw is not None:
                        return self._shown(decode_job(raw))
        raise NoSuchJob(number)

    # -- changing --------------------------------------------------------------------------------------------------

    def begin(self, txn: Transaction, job: Job, number: int | None = None) -> Job:
        """Write a job that starts now; an open one of the same key without a process is resumed. Inside State.update().

        ``number``: resume this one instead of looking for the key. Raises NoSuchJob if it is not open.
        """
        if number is not None:
            raw = txn.get(_prefix(True, job.kind) + number.to_bytes(8, "big"), db=self._state.table(StateTable.JOBS))
            if raw is None:
                raise NoSuchJob(number)
            old: Job | None = decode_job(raw)
        else:
            old = self._left(txn, job) if job.key else None
        if old is not None:
            roots = tuple(dict.fromkeys((*old.roots, *job.roots)))
            since = [one for one in (old.since_ordinal, job.since_ordinal) if one is not None]
            job = replace(
                job,
                id=old.id,
                started=old.started,
                attempts=old.attempts,
                roots=roots,
                since_ordinal=min(since, default=None),
                details={**(job.details or {}), **old.detail},
            )
        else:
            job = replace(job, id=self._next(txn))
        job = replace(job, session=self.session, pid=self.pid, attempts=job.attempts + 1)
        self.write(txn, job)
        return job

    def _left(self, txn: Transaction, job: Job) -> Job | None:
        found = [
            one
            for one in self._rows(txn, _prefix(True, job.kind))
            if one.state is not JobState.QUEUED and not self.runs(one)
        ]
        for one in found:
            if one.key == job.key:
                return one
        found = [one for one in found if not one.detail.get("queued")]
        for oldest in sorted(found, key=lambda one: one.updated)[: max(0, len(found) + 1 - MAX_INTERRUPTED)]:
            self.write(txn, replace(oldest, state=JobState.FAILED, error="given up: too many were interrupted"))
        return None

    def _rows(self, txn: Transaction, prefix: bytes) -> Iterator[Job]:
        table = self._state.table(StateTable.JOBS)
        with txn.cursor(db=table) as cursor:
            more = cursor.set_range(prefix)
            while more and cursor.key().startswith(prefix):
                yield decode_job(cursor.value())
                more = cursor.next()

    def _next(self, txn: Transaction) -> int:
        table = self._state.table(StateTable.SETTINGS)
        number = int.from_bytes(txn.get(COUNTER_KEY, db=table) or b"\1", "big")
        txn.put(COUNTER_KEY, (number + 1).to_bytes(8, "big"), db=table)
        return number

    def write(self, txn: Transaction, job: Job) -> None:
        """Write a row unchanged; an ended one displaces the oldest of its kind. Inside State.update()."""
        table = self._state.table(StateTable.JOBS)
        if not job.state.is_open:
            txn.delete(_prefix(True, job.kind) + job.id.to_bytes(8, "big"), db=table)
            job = replace(job, since_ordinal=None, next_try=None)
        txn.put(_key(job), encode_job(job), db=table)
        if not job.state.is_open:
            self._forget_old(txn, job.kind)

    def _forget_old(self, txn: Transaction, kind: str) -> None:
        table, prefix = self._state.table(StateTable.JOBS), _prefix(False, kind)
        limit = MAX_ENDED_PINS if kind == "pin" else MAX_ENDED
        keys = [key for key, _ in items_after(txn, table, prefix, limit + 16) if key.startswith(prefix)]
        for key in keys[: max(0, len(keys) - limit)]:
            txn.delete(key, db=table)

    def enqueue(self, txn: Transaction, jobs: Sequence[Job], known: Mapping[str, int] | None = None) -> list[Job]:
        """Write queued pins; an open one of the same key gets the new details. Inside State.update().

        ``known``: numbers of the open pins by key; None: they are read, 5 us each. Raises QueueFull.
        """
        if known is None:
            known = {job.key: job.id for job in self._rows(txn, _prefix(True, "pin"))}
        table = self._state.table(StateTable.JOBS)
        if int(txn.stat(table)["entries"]) + len(jobs) > MAX_QUEUED:
            raise QueueFull
        written: list[Job] = []
        for job in jobs:
            raw = None
            if job.key in known:
                raw = txn.get(_prefix(True, "pin") + known[job.key].to_bytes(8, "big"), db=table)
            if raw is None:
                written.append(replace(job, id=self._next(txn), state=JobState.QUEUED))
            else:
                old = decode_job(raw)
                state = JobState.RUNNING if self.runs(old) else JobState.QUEUED
                written.append(replace(old, state=state, details=job.details, title=job.title, next_try=None))
            self.write(txn, written[-1])
        return written

    async def save(self, job: Job) -> None:
        """Rewrite a row, durably. Raises StateReadOnly, DatabaseUnavailable (disk full: nothing was changed)."""
        await self._state.update(lambda txn: self.write(txn, job), job.roots)

    async def reopen(self, job: Job) -> None:
        """Write a reopened job in place of its ended row. Raises as save()."""

        def work(txn: Transaction) -> None:
            txn.delete(_prefix(False, job.kind) + job.id.to_bytes(8, "big"), db=self._state.table(StateTable.JOBS))
            self.write(txn, job)

        await self._state.update(work, job.roots)

    async def remove(self, *jobs: Job) -> None:
        """Forget jobs, open or ended; the blocks of open ones may then be collected. Raises as save()."""

        def work(txn: Transaction) -> None:
            for job in jobs:
                for is_open in (True, False):
                    key = _prefix(is_open, job.kind) + job.id.to_bytes(8, "big")
                    txn.delete(key, db=self._state.table(StateTable.JOBS))

        await self._state.update(work)

    async def expire(self, now: float) -> list[Job]:
        """Drop jobs interrupted more than INTERRUPTED_LIFE ago, and those that cannot be resumed; returns the former.

        Raises as save().
        """
        for job in [one for one in self.every(ended=False) if one.state is JobState.FAILED]:
            await self.save(job)
        old = [
            job
            for job in self.every(ended=False)
            if job.state is JobState.INTERRUPTED and now - job.updated > INTERRUPTED_LIFE
        ]
        for job in old:
            days = int(INTERRUPTED_LIFE // 86400)
            error = f"given up: nobody went on with it for {days} days"
            await self.save(replace(job, state=JobState.FAILED, error=error))
        return old
