"""The jobs group."""

from collections.abc import AsyncIterator
from contextlib import aclosing

from cidery.commands.bind import BadCall
from cidery.commands.cid_text import cid_text
from cidery.commands.context import Context
from cidery.commands.definition import Call
from cidery.commands.definitions.jobs import JobIds, JobLine, KnownFile
from cidery.commands.moment import moment
from cidery.core.keeping.pin_queue import is_queued_pin
from cidery.core.resumed_uploads import known_files
from cidery.errors import InvalidInput
from cidery.repo.jobs import INTERRUPTED_LIFE, Job, JobState


class RepeatCommand(InvalidInput):
    """A job that only its own command can resume."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self.job = job

    def __str__(self) -> str:
        return f"job {self.job.id} {self.job.state}: {advice(self.job)}"


def advice(job: Job) -> str:
    """One line of advice on how to proceed with a job."""
    days = f"it is dropped {int(INTERRUPTED_LIFE // 86400)} days after its last activity"
    if job.state is JobState.QUEUED:
        return "a daemon does it by itself; try it now with: cidery jobs resume " + str(job.id)
    if job.state is JobState.INTERRUPTED and job.kind == "gc":
        return "the next daemon, or `cidery repo gc`, resumes it"
    if job.state is JobState.INTERRUPTED:
        return f"run the same command again, or: cidery jobs resume {job.id} ({days})"
    if job.state is JobState.FAILED:
        if is_queued_pin(job):
            return f"try it again with: cidery jobs resume {job.id}"
        return "run the same command again"
    return ""


def job_line(job: Job, call: Call, *, full: bool = False) -> JobLine:
    line = JobLine(
        ID=job.id,
        Kind=job.kind,
        State=str(job.state),
        Title=job.title,
        Started=moment(job.started),
        Updated=moment(job.updated),
        Attempts=job.attempts,
        Blocks=job.blocks,
        Bytes=job.bytes,
        Files=job.files,
    )
    if job.total is not None:
        line["Total"] = job.total
    if job.stage:
        line["Stage"] = job.stage
    if job.error:
        line["Error"] = job.error
    if job.next_try is not None:
        line["NextTry"] = moment(job.next_try)
    if full:
        line["Roots"] = [cid_text(root, call) for root in job.roots]
        command = job.detail.get("command")
        if isinstance(command, list):
            line["Command"] = [str(word) for word in command]
        if text := advice(job):
            line["Advice"] = text
    return line


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise BadCall(f"{text[:40]!r} is not the number of a job; see: cidery jobs")
    return int(text)


async def ls(context: Context, call: Call) -> AsyncIterator[JobLine]:
    wanted = call.text("state")
    for job in context.node.jobs.every(call.text("kind")):
        if not wanted or job.state == wanted:
            yield job_line(job, call)


async def show(context: Context, call: Call) -> AsyncIterator[JobLine]:
    for text in call.many("id"):
        yield job_line(context.node.jobs.get(_number(text)), call, full=True)


async def known(context: Context, call: Call) -> AsyncIterator[KnownFile]:
    api = context.node
    async with aclosing(known_files(api.adding, api.jobs, call.one("key"), api.clock)) as files:
        async for identity, size in files:
            yield KnownFile(File=identity, Bytes=size)


async def rm(context: Context, call: Call) -> JobIds:
    numbers = [_number(text) for text in call.many("id")]
    for number in numbers:
        context.node.jobs.get(number)  # all or none, as far as can be checked beforehand
    for number in numbers:
        await context.node.jobs.remove(number)
    return JobIds(IDs=numbers)


async def resume(context: Context, call: Call) -> AsyncIterator[JobLine]:
    """Resumes queued pins and collections; for others RepeatCommand says what to run."""
    api = context.node
    job = api.jobs.get(_number(call.one("id")))
    if job.kind == "pin" and is_queued_pin(job):
        yield job_line(await api.pin_queue.retry(job.id), call)
    elif job.kind == "gc" and job.state is JobState.INTERRUPTED:
        async with aclosing(api.collector.garbage()) as steps:
            async for _ in steps:
                continue
        yield job_line(api.jobs.get(job.id), call)
    elif job.state is JobState.RUNNING or job.state is JobState.DONE:
        yield job_line(job, call)
    else:
        raise RepeatCommand(job)
