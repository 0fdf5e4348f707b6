"""The pin group."""

from collections.abc import AsyncIterator
from functools import partial

from cidery.commands.bind import parse_lifetime
from cidery.commands.cid_text import cid_text
from cidery.commands.context import Context
from cidery.commands.definition import Call
from cidery.commands.definitions.pin import (
    BadNode,
    PinsChanged,
    PinStatus,
    PinVerified,
    QueuedPin,
)
from cidery.commands.job_command import command_of, job_key
from cidery.commands.moment import moment
from cidery.core.jobs import title_of
from cidery.core.keeping.pin import PinsBroken, pin_add, pin_update, pin_verify, removable_pin
from cidery.core.reading.content_path import parse_path
from cidery.core.reading.stated_size import stated_size
from cidery.repo.pins import check_pin_name


async def add(context: Context, call: Call) -> AsyncIterator[PinsChanged]:
    """One value at the end, as Kubo; with --progress counts before it."""
    api = context.node
    paths = [await context.node.locate(text) for text in call.many("path")]
    pinned: list[str] = []
    if call.flag("background"):
        yield await _queue(context, call)
        return
    lasts = parse_lifetime(call.text("expire-in")) if "expire-in" in call.given else None
    # Blocks fetched by a pin are stored as kept, so they cannot be evicted between their arrival and the pin.
    begun = api.jobs.run(
        "pin",
        title_of(call.many("path")),
        key=job_key("pin", call),
        roots=[path.root for path in paths],
        spare_new=False,
        details={"command": command_of(call)},
    )
    async with begun as run, api.session(kept=True) as session:
        for path in paths:
            total: int | None = None
            before = run.blocks, run.bytes
            steps = pin_add(
                path,
                session,
                api.pins,
                now=api.clock(),
                keep=partial(api.keep, session=session),
                sizes=api.store.size_many,
                recursive=call.flag("recursive"),
                name=call.text("name"),
                expires=None if lasts is None else api.clock() + lasts,
            )
            async for step in steps:
                run.blocks, run.bytes = before[0] + step.blocks, before[1] + step.bytes
                run.tick()
                if step.done:
                    pinned.append(cid_text(step.cid, call))
                elif call.flag("progress"):
                    report = PinsChanged(Pins=[], Progress=step.blocks, Bytes=step.bytes)
                    if total is None and (ready := session.get_if_ready(step.cid)) is not None:
                        total = stated_size(step.cid, ready)
                    if total is not None:
                        report["Total"] = total
                    yield report
    yield PinsChanged(Pins=pinned)


async def _queue(context: Context, call: Call) -> PinsChanged:
    from cidery.core.keeping.pin_queue import PinRequest

    lasts = parse_lifetime(call.text("expire-in")) if "expire-in" in call.given else None
    name = call.text("name")
    check_pin_name(name)
    wanted = [
        PinRequest(await context.node.locate(text), call.flag("recursive"), name, lasts) for text in call.many("path")
    ]
    jobs = await context.node.pin_queue.add(wanted)
    queued = [QueuedPin(Path=text, Job=job.id) for text, job in zip(call.many("path"), jobs, strict=True)]
    return PinsChanged(Pins=[], Queued=queued)


async def status(context: Context, call: Call) -> AsyncIterator[PinStatus]:
    """Pins that went through the queue. Raises PathError."""
    from cidery.core.keeping.pin_queue import is_queued_pin, status_word

    wanted = {await context.node.locate(text) for text in call.many("path")}
    for job in context.node.jobs.every("pin"):
        if not is_queued_pin(job):
            continue
        path, word = parse_path(str(job.detail["path"])), status_word(job)
        if (wanted and path not in wanted) or call.text("status") not in ("", word):
            continue
        shown = cid_text(path.root, call)
        if path.segments:
            shown = "/".join(("", path.namespace, shown, *path.segments))
        line = PinStatus(
            Job=job.id,
            Cid=shown,
            Status=word,
            Created=moment(job.started),
            Blocks=job.blocks,
            Bytes=job.bytes,
            Attempts=job.attempts,
        )
        if name := str(job.detail.get("name", "")):
            line["Name"] = name
        if job.error:
            line["Error"] = job.error
        if job.next_try is not None:
            line["NextTry"] = moment(job.next_try)
        yield line


async def update(context: Context, call: Call) -> PinsChanged:
    api = context.node
    old, new = [await api.locate(call.one(name)) for name in ("from-path", "to-path")]
    async with api.operation("pin", new.root), api.session(kept=True) as session:
        changed = await pin_update(
            old,
            new,
            session,
            api.pins,
            now=api.clock(),
            keep=partial(api.keep, session=session),
            sizes=api.store.size_many,
            unpin=call.flag("unpin"),
        )
    return PinsChanged(Pins=[cid_text(cid, call) for cid in changed])


async def verify(context: Context, call: Call) -> AsyncIterator[PinVerified]:
    """One value per pin. Raises PinsBroken at the end if there were any."""
    broken = 0
    api = context.node.offline().undenied()
    async with api.session() as session:
        async for found in pin_verify(session, context.node.pins, now=context.node.clock()):
            value = PinVerified(Cid=cid_text(found.cid, call), Ok=not found.bad)
            if found.bad:
                broken += 1
                value["BadNodes"] = [BadNode(Cid=cid_text(cid, call), Err=reason) for cid, reason in found.bad]
            yield value
    if broken:
        raise PinsBroken(broken)


async def rm(context: Context, call: Call) -> PinsChanged:
    api = context.node.undenied()
    paths = [await api.locate(text) for text in call.many("path")]
    async with api.session() as session:
        found = [await removable_pin(path, session, api.pins, recursive=call.flag("recursive")) for path in paths]
    await api.pins.remove([root for root, _ in found])  # all or none
    return PinsChanged(Pins=[cid_text(cid, call) for _, cid in found])
