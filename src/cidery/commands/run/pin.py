"""The pin group."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial

from cidery.commands.bind import parse_lifetime
from cidery.commands.cid_text import cid_text
from cidery.commands.context import Context
from cidery.commands.definition import Call
from cidery.commands.definitions.pin import BadNode, PinKey, PinKeys, PinLine, PinsChanged, PinVerified
from cidery.core.pin import PinnedEntry, PinsBroken, pin_add, pin_ls, pin_rm, pin_update, pin_verify
from cidery.core.resolve import parse_path


async def add(context: Context, call: Call) -> AsyncIterator[PinsChanged]:
    """One value at the end, as Kubo; with --progress counts before it."""
    api = context.node
    paths = [parse_path(text) for text in call.many("path")]
    pinned: list[str] = []
    lasts = parse_lifetime(call.text("expire-in")) if "expire-in" in call.given else None
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
                expires=None if lasts is None else api.clock() + lasts,
            )
            async for step in steps:
                if step.done:
                    pinned.append(cid_text(step.cid, call))
                elif call.flag("progress"):
                    yield PinsChanged(Pins=[], Progress=step.blocks)
    yield PinsChanged(Pins=pinned)


async def update(context: Context, call: Call) -> PinsChanged:
    api = context.node
    old, new = parse_path(call.one("from-path")), parse_path(call.one("to-path"))
    async with api.operation("pin", new.root), api.session(kept=True) as session:
        changed = await pin_update(
            old,
            new,
            session,
            api.pins,
            now=api.clock(),
            keep=partial(api.keep, session=session),
            unpin=call.flag("unpin"),
        )
    return PinsChanged(Pins=[cid_text(cid, call) for cid in changed])


async def verify(context: Context, call: Call) -> AsyncIterator[PinVerified]:
    """One value per pin. Raises PinsBroken at the end if there were any."""
    broken = 0
    async with context.node.offline().session() as session:
        async for found in pin_verify(session, context.node.pins, now=context.node.clock()):
            value = PinVerified(Cid=cid_text(found.cid, call), Ok=not found.bad)
            if found.bad:
                broken += 1
                value["BadNodes"] = [BadNode(Cid=cid_text(cid, call), Err=reason) for cid, reason in found.bad]
            yield value
    if broken:
        raise PinsBroken(broken)


async def rm(context: Context, call: Call) -> PinsChanged:
    api = context.node
    paths = [parse_path(text) for text in call.many("path")]
    removed: list[str] = []
    async with api.session() as session:
        for path in paths:
            cid = await pin_rm(path, session, api.pins, recursive=call.flag("recursive"))
            removed.append(cid_text(cid, call))
    return PinsChanged(Pins=removed)


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


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
        entries = pin_ls(
            session, api.pins, type=call.text("type"), name=call.text("name"), paths=paths, now=api.clock()
        )
        async for entry in entries:
            cid, kind = cid_text(entry.cid, call), _type(entry, call)
            if call.flag("stream"):
                line = PinLine(Cid=cid, Type=kind)
                if names and entry.name:
                    line["Name"] = entry.name
                if entry.expires is not None:
                    line["Expires"] = _moment(entry.expires)
                yield line
                continue
            key = PinKey(Type=kind)
            if names and entry.name:
                key["Name"] = entry.name
            if entry.expires is not None:
                key["Expires"] = _moment(entry.expires)
            keys[cid] = key
    if not call.flag("stream"):
        yield PinKeys(Keys=keys)
