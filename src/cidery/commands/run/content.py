"""add, cat, get, ls and refs."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from datetime import datetime, timedelta

from cidery.blockstore.drive import run
from cidery.commands.bind import BadCall
from cidery.commands.cid_text import cid_text
from cidery.commands.context import Body, Caller, Context
from cidery.commands.definition import Call
from cidery.commands.definitions.content import AddEvent, LsLink, LsObject, LsResult, RefLine
from cidery.commands.job_command import command_of
from cidery.core.add import Added, AddOptions, AddProgress
from cidery.core.add_items import AddItem, ScanOptions
from cidery.core.api import Api, import_profile
from cidery.core.cat import cat as cat_file
from cidery.core.cat import file_size
from cidery.core.ignore_rules import IgnoreRules
from cidery.core.ls import LsEntry
from cidery.core.ls import ls as ls_entries
from cidery.core.nocopy import Roots
from cidery.core.refs import EDGE_FORMAT, format_edge, refs_local
from cidery.core.refs import refs as walk_refs
from cidery.core.resolve import resolve
from cidery.core.tar import gzip_stream, tar_stream
from cidery.mfs.changes import copy_in
from cidery.mfs.path import parse_file_path
from cidery.multiformats.varint import Buffer
from cidery.unixfs.data import MODE_MASK, Mtime
from cidery.unixfs.node import Kind
from cidery.unixfs.profile import Profile, profile, with_options
from cidery.unixfs.reader import read_node

JOIN_BYTES = 128 * 1024
"""Bytes sent at once at least, but for the last: each send costs some system calls on both sides."""
MAX_RULES_FILE = 1 << 20
"""Most characters of --ignore-rules-path that are read."""
DEFAULT_GZIP = 6
"""Compression level when none is given: zlib's own choice."""


def add_profile(api: Api, call: Call) -> Profile:
    """The config's rules changed by the options. Raises ImportOptionError."""
    named = call.text("cid-profile")
    base = profile(named) if named else import_profile(api.config.imports)
    return with_options(
        base,
        cid_version=call.number_or_none("cid-version"),
        raw_leaves=call.flag("raw-leaves") if "raw-leaves" in call.given else call.flag("nocopy") or None,
        chunker=call.text("chunker") or None,
        max_links=call.number_or_none("max-file-links"),
        hash_name=call.text("hash") or None,
        stores_metadata=_metadata_options(call) != (None, None)
        or call.flag("preserve-mode")
        or call.flag("preserve-mtime"),
        trickle=call.flag("trickle") if "trickle" in call.given else None,
        inline_limit=call.number("inline-limit") if call.flag("inline") else None,
        directory_links=call.number_or_none("max-directory-links"),
        hamt_fanout=call.number_or_none("max-hamt-fanout"),
    )


def _metadata_options(call: Call) -> tuple[int | None, Mtime | None]:
    """--mode and --mtime; a mode of 0 means none, as Kubo's does. Raises BadCall."""
    seconds, nanoseconds = call.number_or_none("mtime"), call.number_or_none("mtime-nsecs")
    if nanoseconds is not None and seconds is None:
        raise BadCall("option 'mtime-nsecs' needs --mtime")
    if nanoseconds is not None and not 0 <= nanoseconds < 10**9:
        raise BadCall("option 'mtime-nsecs' takes 0 to 999999999")
    text = call.text("mode")
    try:
        mode = int(text, 8 if text[:1] == "0" and text.isdigit() else 0) if text else 0
    except ValueError:
        mode = -1
    if not 0 <= mode <= MODE_MASK:
        raise BadCall(f"option 'mode' takes permission bits such as 0644, not {text[:40]!r}")
    return mode or None, None if seconds is None else Mtime(seconds, nanoseconds or 0)


def ignore_rules(call: Call) -> IgnoreRules | None:
    """--ignore-rules-path and --ignore, in this order: the latter win. Raises BadCall, BadRule."""
    lines: list[str] = []
    path = call.text("ignore-rules-path")
    if path:
        try:
            with open(path, encoding="utf-8", errors="surrogateescape") as file:
                lines = file.read(MAX_RULES_FILE).splitlines()
        except OSError as exc:
            raise BadCall(f"cannot read the rules in {path}: {(exc.strerror or str(exc)).lower()}") from exc
    return IgnoreRules([*lines, *call.texts("ignore")]) or None


def scan_options(call: Call, *, ignore: bool = True) -> ScanOptions:
    """How folders are read. Raises BadCall, BadRule."""
    return ScanOptions(
        recursive=call.flag("recursive"),
        hidden=call.flag("hidden"),
        empty_dirs=call.flag("empty-dirs"),
        dereference=call.flag("dereference-symlinks"),
        preserve_mode=call.flag("preserve-mode"),
        preserve_mtime=call.flag("preserve-mtime"),
        ignore=ignore_rules(call) if ignore else None,
    )


async def _wanted_metadata(uploads: AsyncIterator[AddItem], call: Call, roots: Roots | None) -> AsyncIterator[AddItem]:
    """Clients may send what nobody asked to store."""
    modes, times = call.flag("preserve-mode"), call.flag("preserve-mtime")
    nocopy = call.flag("nocopy")
    async for item in uploads:
        if nocopy and item.kind is Kind.FILE:
            if item.path is None:
                raise BadCall("option 'nocopy' needs files of the machine of the daemon, named by Abspath-Encoded")
            if roots is not None:
                await asyncio.to_thread(roots.check, item.path)
            item = item._replace(data=None, stream=None)
        elif item.path is not None:
            item = item._replace(path=None)
        yield item._replace(mode=item.mode if modes else None, mtime=item.mtime if times else None)


async def add(context: Context, call: Call) -> AsyncIterator[AddEvent]:
    api = context.node
    if call.text("to-files") and call.flag("only-hash"):
        raise BadCall("options 'to-files' and 'only-hash' exclude each other: nothing would be stored")
    mode, mtime = _metadata_options(call)
    roots: Roots | None = None
    if call.flag("nocopy") and context.caller is not Caller.HERE:
        roots = Roots(api.config, api.path, owner=context.caller is Caller.OWNER)
    options = AddOptions(
        profile=add_profile(api, call),
        scan=scan_options(call, ignore=context.uploads is None),
        mode=mode,
        mtime=mtime,
        references=api.blocks.references if call.flag("nocopy") else None,
        wrap=call.flag("wrap-with-directory"),
        only_hash=call.flag("only-hash"),
        progress=call.flag("progress"),
    )
    sources = call.many("path") if context.uploads is None else _wanted_metadata(context.uploads, call, roots)
    command = command_of(call, "path") if context.uploads is None else []
    adding = api.add(
        sources,
        options,
        pin=call.flag("pin"),
        pin_name=call.text("pin-name"),
        command=command,
        sender=call.text("resume-key") if context.uploads is not None and not call.flag("nocopy") else "",
        title=call.text("job-title"),
    )
    async with aclosing(adding) as events:
        async for event in events:
            yield await _add_event(api, call, event)


async def _add_event(api: Api, call: Call, event: Added | AddProgress) -> AddEvent:
    if isinstance(event, AddProgress):
        return AddEvent(Name=event.name, Bytes=event.bytes)
    if event.root and call.text("to-files"):
        await _to_files(api, event, call.text("to-files"))
    done = AddEvent(Name=event.name, Hash=cid_text(event.cid, call), Size=str(event.size))
    if event.mode is not None:
        done["Mode"] = f"{event.mode:04o}"
    if event.mtime is not None:
        done["Mtime"] = event.mtime.seconds
        if event.mtime.nanoseconds:
            done["MtimeNsecs"] = event.mtime.nanoseconds
    if call.flag("progress") and event.bytes:
        done["Bytes"] = event.bytes
    return done


async def _to_files(api: Api, added: Added, path: str) -> None:
    """As ``files cp``. Raises BadPath and as it."""
    target = parse_file_path(path)
    if target.folder or not target.names:
        target = target.child(added.name or str(added.cid))
    async with api.session() as session:
        await copy_in(api.files, session, added.cid, target, force=False, parents=False, flush=True)


async def cat(context: Context, call: Call) -> Body:
    """Several files one after the other; offset and length count over all of them, as Kubo's do."""
    offset, length = call.number("offset"), call.number_or_none("length")
    if offset < 0 or (length is not None and length < 0):
        raise BadCall("options 'offset' and 'length' take numbers from 0 up")
    paths = [await context.node.locate(text) for text in call.many("path")]
    api = context.node
    async with api.session(name=call.text("session")) as session:
        sizes = [await file_size(path, session) for path in paths]
    total = max(0, sum(sizes) - offset)
    wanted = total if length is None else min(length, total)

    async def chunks() -> AsyncGenerator[bytes | memoryview, None]:
        skip, left = offset, wanted
        async with api.session(name=call.text("session")) as session:
            for path, size in zip(paths, sizes, strict=True):
                here = min(left, max(0, size - skip))
                if here:
                    if here == size:
                        session.expect(await resolve(path, session))
                    async for chunk in _frozen(cat_file(path, session, skip, here)):
                        yield chunk
                skip, left = max(0, skip - size), left - here
                if not left:
                    return

    return Body(chunks(), wanted)


async def get(context: Context, call: Call) -> Body:
    """TAR, gzipped with --compress; a client unpacks it. Its length is what the tree states, for progress only."""
    path = await context.node.locate(call.one("path"))
    api = context.node
    compress, archive = call.flag("compress"), call.flag("archive")
    level = call.number_or_none("compression-level") or DEFAULT_GZIP
    if not 1 <= level <= 9:
        raise BadCall(f"option 'compression-level' takes 1 to 9, not {level}")
    skip = call.number("skip-files"), call.number("skip-bytes")
    if min(skip) < 0:
        raise BadCall("options 'skip-files' and 'skip-bytes' take numbers from 0 up")
    async with api.session(name=call.text("session")) as session:
        root = await resolve(path, session)
        node = await run(read_node(root), session)
    is_file = node.kind is Kind.FILE
    total = node.size if is_file else sum(link.tsize or 0 for link in node.links)

    async def chunks() -> AsyncGenerator[bytes | memoryview, None]:
        async with api.session(name=call.text("session")) as session:
            if compress and not archive and is_file:
                stream = _frozen(cat_file(root, session))
            else:
                stream = tar_stream(root, session, path.name, skip_files=skip[0], skip_bytes=skip[1])
            async for chunk in gzip_stream(stream, level) if compress else _joined(stream):
                yield chunk

    return Body(chunks(), None if compress else total, "application/gzip" if compress else "")


async def _joined(chunks: AsyncIterator[bytes | memoryview]) -> AsyncIterator[bytes | memoryview]:
    """The same bytes with small pieces put together: a folder of small files is a third headers and padding."""
    held: list[bytes | memoryview] = []
    size = 0
    async for chunk in chunks:
        held.append(chunk)
        size += len(chunk)
        if size >= JOIN_BYTES:
            yield held[0] if len(held) == 1 else b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)


async def _frozen(chunks: AsyncIterator[Buffer]) -> AsyncIterator[bytes | memoryview]:
    async for chunk in chunks:
        yield bytes(chunk) if isinstance(chunk, bytearray) else chunk


def _link(entry: LsEntry, call: Call) -> LsLink:
    link = LsLink(
        Name=entry.name,
        Hash=cid_text(entry.cid, call),
        Size=entry.size,
        Type=int(entry.type),
        Target=entry.target,
    )
    if entry.mode is not None:
        link["Mode"] = entry.mode & MODE_MASK
    if entry.mtime is not None:
        link["ModTime"] = _time_text(entry.mtime)
    return link


def _time_text(mtime: Mtime) -> str:
    """RFC 3339 in UTC; seconds as they are for times that no calendar has."""
    try:
        day = datetime(1970, 1, 1) + timedelta(seconds=mtime.seconds)
    except OverflowError:
        return f"@{mtime.seconds}"
    fraction = f".{mtime.nanoseconds:09}".rstrip("0") if mtime.nanoseconds else ""
    return f"{day.isoformat()}{fraction}Z"


async def ls(context: Context, call: Call) -> AsyncIterator[LsResult]:
    """One value with all objects; with --stream one value per entry."""
    paths = [(text, await context.node.locate(text)) for text in call.many("path")]
    look = {"resolve_type": call.flag("resolve-type") or call.flag("long"), "size": call.flag("size")}
    objects: list[LsObject] = []
    async with context.node.session() as session:
        for text, path in paths:
            links: list[LsLink] = []
            async for entry in ls_entries(path, session, **look):
                if call.flag("stream"):
                    yield LsResult(Objects=[LsObject(Hash=text, Links=[_link(entry, call)])])
                else:
                    links.append(_link(entry, call))
            objects.append(LsObject(Hash=text, Links=links))
    if not call.flag("stream"):
        yield LsResult(Objects=objects)


async def refs(context: Context, call: Call) -> AsyncIterator[RefLine]:
    form = call.text("format")
    if call.flag("edges"):
        if "format" in call.given:
            raise BadCall("options 'edges' and 'format' exclude each other")
        form = EDGE_FORMAT
    paths = [await context.node.locate(text) for text in call.many("path")]
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
                yield RefLine(Ref=format_edge(edge, form), Err="")


async def refs_here(context: Context, call: Call) -> AsyncIterator[RefLine]:
    async for cid in refs_local(context.node.blocks):
        yield RefLine(Ref=cid_text(cid, call), Err="")
