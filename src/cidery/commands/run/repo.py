"""The repo group."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import aclosing

from cidery.commands.cid_text import cid_text
from cidery.commands.context import Context
from cidery.commands.definition import Call
from cidery.commands.definitions.message_output import MessageOutput
from cidery.commands.definitions.repo import Freed, GcLine, RepoVersion, VerifyLine
from cidery.core.repair import Outcome, Repaired, repair
from cidery.errors import IntegrityError, InvalidInput
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import RAW
from cidery.repo.gc.collection import Compacted, GcStopped, Swept
from cidery.repo.jobs import JobState
from cidery.repo.layout import RepoLayout
from cidery.version import REPO_FORMAT


class VerifyFailed(IntegrityError):
    """Some blocks are damaged or missing, and were not repaired."""

    def __init__(self, counts: Counter[Outcome], *, repaired: bool) -> None:
        super().__init__(counts)
        self.counts = counts
        self.repaired = repaired

    def __str__(self) -> str:
        faults = self.counts.total()
        if not self.repaired:
            advice = "get them again from peers with --heal, or drop them with --drop"
            return f"verify complete, {faults} blocks are corrupt or missing; {advice}"
        told = ", ".join(f"{count} {outcome.value}" for outcome, count in self.counts.items())
        return f"verify complete, {faults} blocks were corrupt or missing: {told}"


class CannotMigrate(InvalidInput):
    """A format that this version does not know."""

    def __init__(self, wanted: int) -> None:
        super().__init__(wanted)
        self.wanted = wanted

    def __str__(self) -> str:
        return f"there is no way to format {self.wanted}: this Cidery knows {REPO_FORMAT}"


async def collect(context: Context, call: Call) -> AsyncIterator[GcLine]:
    """A line per removed block, with --stream-errors one per fault, with --stats the totals. Raises GcStopped."""
    freed = removed = 0
    stored = (await context.node.store.stat()).blocks if call.flag("progress") else 0
    try:
        async with aclosing(context.node.collector.garbage()) as steps:
            async for step in steps:
                if isinstance(step, Swept):
                    removed += len(step.blocks)
                    for key, _ in step.blocks:
                        yield GcLine(Key={"/": cid_text(CID(1, RAW, key), call)})
                elif isinstance(step, Compacted):
                    freed += step.bytes
                elif call.flag("stats") or call.flag("progress"):
                    report = GcLine(Marked=step.blocks) if call.flag("stats") else GcLine()
                    if call.flag("progress"):
                        report |= GcLine(Progress=step.blocks, Total=stored)
                    yield report
    except GcStopped as exc:
        if call.flag("stream-errors"):
            for fault in exc.faults:
                yield GcLine(Error=str(fault))
        raise
    if not call.flag("stats"):
        return
    last = GcLine(Freed=freed, Removed=removed)
    open_jobs = context.node.jobs.jobs.every(ended=False)
    if spared := [job.id for job in open_jobs if job.state is JobState.INTERRUPTED and job.kind != "gc"]:
        last["Spared"] = spared
    yield last


async def compact(context: Context, call: Call) -> Freed:
    api = context.node
    freed = 0
    async with aclosing(api.collector.compact()) as steps:
        async for step in steps:
            if isinstance(step, Compacted):
                freed += step.bytes
    return Freed(Freed=freed, IndexBytes=await api.store.compact_index())


async def migrate(context: Context, call: Call) -> MessageOutput:
    """There has been only one format. Raises CannotMigrate, and as RepoLayout.check()."""
    wanted = call.number_or_none("to")
    if wanted not in (None, REPO_FORMAT):
        raise CannotMigrate(wanted)
    found = RepoLayout(context.config_file.parent).check()
    return MessageOutput(Message=f"the repository has format {found}, the current one; nothing to do")


async def verify(context: Context, call: Call) -> AsyncIterator[VerifyLine]:
    """Raises VerifyFailed at the end if damage remains, after the line of every block; and as repair()."""
    heal, drop = call.flag("heal"), call.flag("drop")
    counts: Counter[Outcome] = Counter()
    blocks, stored = 0, (await context.node.store.stat()).blocks
    steps = repair(context.node, drop=drop, heal=heal, heal_timeout=call.seconds("heal-timeout") or 0.0)
    async with aclosing(steps):
        async for step in steps:
            blocks = step.blocks
            for one in step.repaired:
                counts[one.outcome] += 1
                yield VerifyLine(Msg=_said(one, call), Progress=0)
            yield VerifyLine(Msg="", Progress=blocks, Total=max(stored, blocks))
    if set(counts) - {Outcome.REMOVED, Outcome.HEALED}:
        raise VerifyFailed(counts, repaired=drop or heal)
    if not counts:
        yield VerifyLine(Msg=f"verify complete, all {blocks} blocks validated.", Progress=0)
        return
    told = ", ".join(f"{count} {outcome.value}" for outcome, count in counts.items())
    yield VerifyLine(Msg=f"verify complete, {counts.total()} blocks were corrupt or missing: {told}", Progress=0)


def _said(one: Repaired, call: Call) -> str:
    line = f"block {cid_text(one.cid, call)} was corrupt ({one.reason})"
    if one.outcome is Outcome.LEFT:
        return line
    return f"{line}, {one.outcome.value}" + (f" ({one.failure})" if one.failure else "")


async def version(context: Context, call: Call) -> RepoVersion:
    return RepoVersion(Version=str(REPO_FORMAT))
