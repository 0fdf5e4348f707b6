"""dag import and dag export."""

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import closing
from functools import partial

from cidery.commands.bind import BadCall
from cidery.commands.context import Body, Context
from cidery.commands.definition import Call
from cidery.commands.definitions.dag import (
    DagImported,
    ImportedRoot,
    ImportStats,
)
from cidery.commands.job_command import command_of
from cidery.commands.run.dag import link
from cidery.core.adding.items import Item
from cidery.core.adding.journal import NotRemembered
from cidery.core.api import Api
from cidery.core.car.exporting import export_car as export_car_v1
from cidery.core.car.exporting import export_car_v2
from cidery.core.car.job import CarJob, import_key
from cidery.core.jobs import JobRun, title_of
from cidery.core.keeping.pin import pin_add
from cidery.core.reading.resolve import resolve
from cidery.core.reading.stated_size import stated_size
from cidery.errors import CideryError, Unavailable
from cidery.multiformats.cid import CID
from cidery.tasks import end
from cidery.waiting import off_loop

REPORT_SECONDS = 0.5
"""Between two reports of progress."""


class RootsNotPinned(Unavailable):
    """The blocks are stored, some roots could not be pinned."""

    def __init__(self, failed: int, roots: int) -> None:
        super().__init__(failed, roots)
        self.failed = failed
        self.roots = roots

    def __str__(self) -> str:
        return (
            f"unable to pin all roots: {self.failed} out of {self.roots} failed; for a partial archive use"
            " --pin-roots=false"
        )


async def import_cars(context: Context, call: Call) -> AsyncIterator[DagImported]:
    """Blocks of all archives first, then the roots, offline: blocks that an archive lacks are not fetched."""
    assert context.uploads is not None  # the definition's file argument
    if call.flag("local-only") and call.flag("pin-roots") and "pin-roots" in call.given:
        raise BadCall("options 'local-only' and 'pin-roots' exclude each other: a partial DAG cannot be pinned")
    api = context.node
    items = [item async for item in context.uploads] if _from_files(call) else context.uploads
    paths = call.many("path") if isinstance(items, list) else []
    key = await off_loop(import_key, paths) if paths else api.adding.sent_key(call.text("resume-key"))
    title = call.text("job-title") or title_of(paths)
    begun = api.jobs.run("import", title, key=key, details={"command": command_of(call, "path")})
    async with begun as run:
        work = asyncio.get_running_loop().create_task(_imported(api, run, items))
        try:
            total = await off_loop(_size_of, paths) if paths else None
            while call.flag("progress") and not (await asyncio.wait([work], timeout=REPORT_SECONDS))[0]:
                report = DagImported(Progress=run.blocks, Bytes=run.bytes)
                yield report if total is None else DagImported(**report, Total=total)
            job = await work
        finally:
            await end([work])
        stats = job.stats
        failed = 0
        if call.flag("pin-roots") and not call.flag("local-only"):
            await run.protect(*stats.roots)
            run.stage = "pinning the roots"
            reasons = await _pin_roots(api, stats.roots)
            if job.skipped and any(reasons):
                # Some of what the earlier run stored has been removed since.
                if not isinstance(items, list):
                    await job.forget()
                    raise NotRemembered(title)
                await _imported(api, run, items, again=True)
                reasons = await _pin_roots(api, stats.roots)
            failed = sum(map(bool, reasons))
            for root, reason in zip(stats.roots, reasons, strict=True):
                yield DagImported(Root=ImportedRoot(Cid=link(root, call), PinErrorMsg=reason))
    if call.flag("stats"):
        yield DagImported(Stats=ImportStats(BlockCount=stats.blocks, BlockBytesCount=stats.bytes))
    if failed:
        raise RootsNotPinned(failed, len(stats.roots))


def _size_of(paths: list[str]) -> int:
    return sum(map(os.path.getsize, paths))


def _from_files(call: Call) -> bool:
    """Whether the archives are files that this process reads."""
    paths = call.many("path")
    return bool(paths) and all(map(os.path.isfile, paths))


async def _imported(api: Api, run: JobRun, items: list[Item] | AsyncIterator[Item], *, again: bool = False) -> CarJob:
    with closing(CarJob(run, api.store, again=again)) as job:
        if isinstance(items, list):
            for item in items:
                await job.archive(item)
        else:
            async for item in items:
                await job.archive(item)
        await api.store.sync()
        return job


async def _pin_roots(api: Api, roots: Sequence[CID]) -> list[str]:
    """Pin each, offline; returns the error per root, "" if it was pinned."""
    reasons: list[str] = []
    async with api.offline().session() as session:
        keep = partial(api.keep, session=session)
        for root in roots:
            steps = pin_add(root, session, api.pins, now=api.clock(), keep=keep, sizes=api.store.size_many)
            try:
                async for _ in steps:
                    continue
            except CideryError as exc:
                reasons.append(str(exc))
            else:
                reasons.append("")
    return reasons


async def export_car(context: Context, call: Call) -> Body:
    paths = [await context.node.locate(text) for text in call.many("root")]
    local_only = call.flag("local-only")
    api = context.node.offline() if local_only else context.node
    async with api.session() as session:
        roots = [await resolve(path, session) for path in paths]
        about = 0
        for root in roots:
            if not root.is_identity:  # one that cannot be fetched fails before anything is sent
                ready = session.get_if_ready(root)
                about += stated_size(root, await session.get(root) if ready is None else ready) or 0

    async def chunks() -> AsyncGenerator[bytes | memoryview, None]:
        async with api.session() as session:
            export = export_car_v2 if call.text("car-version") == "2" else export_car_v1
            async for chunk in export(roots, session, local_only=local_only):
                yield chunk

    return Body(chunks(), about=about or None)
