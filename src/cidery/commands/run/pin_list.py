"""pin ls."""

from collections.abc import AsyncIterator

from cidery.commands.bind import BadCall
from cidery.commands.cid_text import cid_text, upgrades
from cidery.commands.context import Context
from cidery.commands.definition import Call
from cidery.commands.definitions.pin import (
    PinKey,
    PinKeys,
    PinLine,
)
from cidery.commands.moment import moment
from cidery.commands.paging import Page, page_of
from cidery.core.keeping.pin import PinnedEntry, pin_ls
from cidery.multiformats.cid import CID


def _type(entry: PinnedEntry, call: Call) -> str:
    """As Kubo: ``indirect through CID`` when one CID was asked for."""
    if entry.through is not None and call.many("path"):
        return f"{entry.type} through {cid_text(entry.through, call)}"
    return entry.type


def _page(call: Call) -> tuple[Page | None, CID | None]:
    """(the page, the pin after which it begins). Raises BadCall."""
    page = page_of(call)
    if page is None:
        return None, None
    if call.many("path"):
        raise BadCall("option 'limit' lists all pins: leave out the path")
    if call.text("type") not in ("recursive", "direct"):
        raise BadCall("option 'limit' needs 'type' recursive or direct: indirect pins have no order to go on in")
    if upgrades(call):
        raise BadCall("option 'limit' shows each CID as it is pinned: leave out 'cid-base' and its like")
    return page, page.cid()


async def ls(context: Context, call: Call) -> AsyncIterator[PinKeys | PinLine]:
    """One value with all pins; with --stream one value per pin."""
    api = context.node.offline().undenied()
    names = call.flag("names") or "name" in call.given
    page, after = _page(call)
    left = -1 if page is None else page.limit
    keys: dict[str, PinKey] = {}
    async with api.session() as session:
        paths = [await context.node.undenied().locate(text) for text in call.many("path")]
        entries = pin_ls(
            session, api.pins, type=call.text("type"), name=call.text("name"), paths=paths, now=api.clock(), after=after
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
                left -= 1
                if not left:
                    break
                continue
            key = PinKey(Type=kind, Name=entry.name if names else "")
            if entry.expires is not None:
                key["Expires"] = moment(entry.expires)
            if entry.unwalked is not None:
                key["Unwalked"] = str(entry.unwalked)
            keys[cid] = key
            left -= 1
            if not left:
                break
    if not call.flag("stream"):
        yield PinKeys(Keys=keys)
