"""pin add, rm and ls."""

from collections.abc import AsyncIterator
from functools import partial

from cidery.commands.cid_text import cid_text
from cidery.commands.context import Context
from cidery.commands.definition import Call
from cidery.commands.definitions.pin import PinKey, PinKeys, PinLine, PinsChanged
from cidery.core.pin import PinnedEntry, pin_add, pin_ls, pin_rm
from cidery.core.resolve import parse_path


async def add(context: Context, call: Call) -> AsyncIterator[PinsChanged]:
    """One value at the end, as Kubo; with --progress counts before it."""
    api = context.node
    paths = [parse_path(text) for text in call.many("path")]
    pinned: list[str] = []
    # What a pin fetches is kept, so it can never be evicted between its arrival and the pin.
    async with api.operation("pin", *(path.root for path in paths)), api.session(kept=True) as session:
        for path in paths:
            steps = pin_add(
                path,
                session,
                api.pins,
                now=api.clock(),
                keep=partial(api.keep, session=session),
                recursive=call.flag("recursive"),
                name=call.text("name"),
            )
            async for step in steps:
                if step.done:
                    pinned.append(cid_text(step.cid, call))
                elif call.flag("progress"):
                    yield PinsChanged(Pins=[], Progress=step.blocks)
    yield PinsChanged(Pins=pinned)


async def rm(context: Context, call: Call) -> PinsChanged:
    api = context.node
    paths = [parse_path(text) for text in call.many("path")]
    removed: list[str] = []
    async with api.session() as session:
        for path in paths:
            cid = await pin_rm(path, session, api.pins, recursive=call.flag("recursive"))
            removed.append(cid_text(cid, call))
    return PinsChanged(Pins=removed)


def _type(entry: PinnedEntry, call: Call) -> str:
    """As Kubo: ``indirect through CID`` when one CID was asked for."""
    if entry.through is not None and call.many("path"):
        return f"{entry.type} through {cid_text(entry.through, call)}"
    return entry.type


async def ls(context: Context, call: Call) -> AsyncIterator[PinKeys | PinLine]:
    """One value with all pins; with --stream one value per pin."""
    api = context.node.offline()
    names = call.flag("names") or "name" in call.given
    keys: dict[str, PinKey] = {}
    async with api.session() as session:
        paths = [parse_path(text) for text in call.many("path")]
        async for entry in pin_ls(session, api.pins, type=call.text("type"), name=call.text("name"), paths=paths):
            cid, kind = cid_text(entry.cid, call), _type(entry, call)
            if call.flag("stream"):
                line = PinLine(Cid=cid, Type=kind)
                if names and entry.name:
                    line["Name"] = entry.name
                yield line
                continue
            key = PinKey(Type=kind)
            if names and entry.name:
                key["Name"] = entry.name
            keys[cid] = key
    if not call.flag("stream"):
        yield PinKeys(Keys=keys)
