"""pin ls."""

from collections.abc import AsyncIterator

from cidery.commands.cid_text import cid_text
from cidery.commands.context import Context
from cidery.commands.definition import Call
from cidery.commands.definitions.pin import (
    PinKey,
    PinKeys,
    PinLine,
)
from cidery.commands.moment import moment
from cidery.core.keeping.pin import PinnedEntry, pin_ls


def _type(entry: PinnedEntry, call: Call) -> str:
    """As Kubo: ``indirect through CID`` when one CID was asked for."""
    if entry.through is not None and call.many("path"):
        return f"{entry.type} through {cid_text(entry.through, call)}"
    return entry.type


async def ls(context: Context, call: Call) -> AsyncIterator[PinKeys | PinLine]:
    """One value with all pins; with --stream one value per pin."""
    api = context.node.offline().undenied()
    names = call.flag("names") or "name" in call.given
    keys: dict[str, PinKey] = {}
    async with api.session() as session:
        paths = [await context.node.undenied().locate(text) for text in call.many("path")]
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
                    line["Expires"] = moment(entry.expires)
                if entry.unwalked is not None:
                    line["Unwalked"] = str(entry.unwalked)
                yield line
                continue
            key = PinKey(Type=kind, Name=entry.name if names else "")
            if entry.expires is not None:
                key["Expires"] = moment(entry.expires)
            if entry.unwalked is not None:
                key["Unwalked"] = str(entry.unwalked)
            keys[cid] = key
    if not call.flag("stream"):
        yield PinKeys(Keys=keys)
