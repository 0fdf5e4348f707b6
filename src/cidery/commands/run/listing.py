"""ls and refs."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from cidery.blockstore.interface import BlockStore
from cidery.commands.bind import BadCall
from cidery.commands.cid_text import cid_text
from cidery.commands.context import Context
from cidery.commands.definition import Call
from cidery.commands.definitions.content import NO_TIME, LsLink, LsObject, LsResult, RefLine
from cidery.commands.paging import Page, page_of
from cidery.core.reading.ls import EntryType, LsEntry
from cidery.core.reading.ls import ls as ls_entries
from cidery.core.reading.refs import EDGE_FORMAT, format_edge, refs_local
from cidery.core.reading.refs import refs as walk_refs
from cidery.core.reading.refs_page import refs_page
from cidery.ipld.dag_pb import encode_name
from cidery.multiformats.cid import CID
from cidery.unixfs.data import MODE_MASK
from cidery.unixfs.metadata import Mtime

_GO_SPECIAL = ((0o4000, 1 << 23), (0o2000, 1 << 22), (0o1000, 1 << 20))
"""Bits of Unix and Go: setuid, setgid, sticky."""
_GO_KINDS = {EntryType.DIRECTORY: 1 << 31, EntryType.HAMT_SHARD: 1 << 31, EntryType.SYMLINK: 1 << 27}
"""https://pkg.go.dev/io/fs#FileMode"""


def _link(entry: LsEntry, call: Call) -> LsLink:
    return LsLink(
        Name=entry.name,
        Hash=cid_text(entry.cid, call),
        Size=entry.size,
        Type=int(entry.type),
        Target=entry.target,
        Mode=_go_mode(entry),
        ModTime=NO_TIME if entry.mtime is None else _time_text(entry.mtime),
    )


def _go_mode(entry: LsEntry) -> int:
    """Go's FileMode, as Kubo writes it: the file type and special bits are at other positions than in Unix."""
    mode = (entry.mode or 0) & MODE_MASK
    if not mode:
        return 0
    special = sum(bit for unix, bit in _GO_SPECIAL if mode & unix)
    return mode & 0o777 | special | _GO_KINDS.get(entry.type, 0)


def _time_text(mtime: Mtime) -> str:
    """RFC 3339 in UTC; plain seconds for times outside the calendar."""
    from datetime import datetime, timedelta

    try:
        day = datetime(1970, 1, 1) + timedelta(seconds=mtime.seconds)
    except OverflowError:
        return f"@{mtime.seconds}"
    fraction = f".{mtime.nanoseconds:09}".rstrip("0") if mtime.nanoseconds else ""
    return f"{day.isoformat()}{fraction}Z"


async def ls(context: Context, call: Call) -> AsyncIterator[LsResult]:
    """One value with all objects, sorted; with --stream one value per entry in stored order, preceded by one without
    entries for each object that has a heading. A page is in the order of the hashes of the names."""
    page = page_of(call)
    limit, after = (None, "") if page is None else page
    paths = [(text, await context.node.locate(text)) for text in call.many("path")]
    look = {"resolve_type": call.flag("resolve-type") or call.flag("long"), "size": call.flag("size")}
    objects: list[LsObject] = []
    async with context.node.session() as session:
        for text, path in paths:
            links: list[LsLink] = []
            if call.flag("stream") and (len(paths) > 1 or call.flag("headers")):
                yield LsResult(Objects=[LsObject(Hash=text, Links=[])])
            async for entry in ls_entries(path, session, **look, limit=limit, after=after):
                if call.flag("stream"):
                    yield LsResult(Objects=[LsObject(Hash=text, Links=[_link(entry, call)])])
                else:
                    links.append(_link(entry, call))
            if page is None:
                links.sort(key=lambda link: encode_name(link["Name"]))
            objects.append(LsObject(Hash=text, Links=links))
    if not call.flag("stream"):
        yield LsResult(Objects=objects)


async def refs(context: Context, call: Call) -> AsyncIterator[RefLine]:
    form = call.text("format")
    if call.flag("edges"):
        if "format" in call.given:
            raise BadCall("options 'edges' and 'format' exclude each other")
        form = EDGE_FORMAT
    if call.number("max-depth") < -1:
        raise BadCall("option 'max-depth' takes a number of links from 0 up, or -1 for no bound")
    paths = [await context.node.locate(text) for text in call.many("path")]
    if (page := page_of(call)) is not None:
        how = {name: call.flag(name) for name in ("recursive", "unique")}
        async with context.node.session() as session:
            links = refs_page(paths[0], session, page.after, page.limit, **how, max_depth=call.number("max-depth"))
            async for link in links:
                yield RefLine(Ref=format_edge(link.edge, form, lambda cid: cid_text(cid, call)), Err="", At=link.at)
        return
    seen: set[bytes] = set()
    async with context.node.session() as session:
        for path in paths:
            edges = walk_refs(
                path,
                session,
                recursive=call.flag("recursive"),
                unique=call.flag("unique"),
                max_depth=call.number("max-depth"),
            )
            async for edge in edges:
                if call.flag("unique") and len(paths) > 1:
                    if edge.target.encode() in seen:
                        continue
                    seen.add(edge.target.encode())
                yield RefLine(Ref=format_edge(edge, form, lambda cid: cid_text(cid, call)), Err="")


async def refs_here(context: Context, call: Call) -> AsyncIterator[RefLine]:
    async with aclosing(blocks_page(context.node.blocks, page_of(call))) as cids:
        async for cid in cids:
            yield RefLine(Ref=cid_text(cid, call), Err="")


async def blocks_page(store: BlockStore, page: Page | None) -> AsyncGenerator[CID, None]:
    """What is stored, or a part of it."""
    after = None if page is None else page.cid()
    left = -1 if page is None else page.limit
    async for cid in refs_local(store, b"" if after is None else after.multihash):
        yield cid
        left -= 1
        if not left:
            return
