"""add."""

from collections.abc import AsyncIterator
from contextlib import aclosing

from cidery.commands.bind import BadCall
from cidery.commands.cid_text import cid_text
from cidery.commands.context import Caller, Context
from cidery.commands.definition import Call
from cidery.commands.definitions.content import AddEvent
from cidery.commands.ignore_options import ignore_rules
from cidery.commands.job_command import command_of
from cidery.core.adding.add import AddOptions
from cidery.core.adding.events import Added, AddProgress
from cidery.core.adding.import_profile import import_profile
from cidery.core.adding.items import Bytes, File, Folder, Item, Link, ScanOptions, Stored, Stream
from cidery.core.adding.nocopy import Roots
from cidery.core.api import Api
from cidery.unixfs.data import MODE_MASK
from cidery.unixfs.metadata import Mtime
from cidery.unixfs.profile import Profile, profile, with_options
from cidery.waiting import off_loop


def add_profile(api: Api, call: Call) -> Profile:
    """The config's rules, changed by the options. Raises ImportOptionError."""
    named = call.text("cid-profile")
    base = profile(named) if named else import_profile(api.config.imports)
    return with_options(
        base,
        version_stated=bool(named) or api.config.imports.cid_version is not None,
        cid_version=call.number_or_none("cid-version"),
        raw_leaves=call.flag("raw-leaves") if "raw-leaves" in call.given else call.flag("nocopy") or None,
        chunker=call.text("chunker") or None,
        max_links=call.number_or_none("max-file-links") or None,
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
    """--mode and --mtime; a mode of 0 means none, as in Kubo. Raises BadCall."""
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


def scan_options(call: Call, *, hidden: bool, ignore: bool = True) -> ScanOptions:
    """How folders are read; ``hidden``: Import.Hidden of the config. Raises BadCall, BadRule."""
    return ScanOptions(
        recursive=call.flag("recursive"),
        hidden=call.flag("hidden") if "hidden" in call.given else hidden,
        empty_dirs=call.flag("empty-dirs"),
        dereference=call.flag("dereference-symlinks"),
        dereference_args=call.flag("dereference-args"),
        preserve_mode=call.flag("preserve-mode"),
        preserve_mtime=call.flag("preserve-mtime"),
        ignore=ignore_rules(call) if ignore else None,
    )


async def _wanted_metadata(uploads: AsyncIterator[Item], call: Call, roots: Roots | None) -> AsyncIterator[Item]:
    """Drop the parts of a client's upload that are not to be stored."""
    modes, times = call.flag("preserve-mode"), call.flag("preserve-mtime")
    nocopy = call.flag("nocopy")
    async for item in uploads:
        match item:
            case Bytes() | Stream() | Stored() if nocopy:
                if item.abspath is None:
                    raise BadCall("option 'nocopy' needs files of the machine of the daemon, named by Abspath-Encoded")
                if roots is not None:
                    await off_loop(roots.check, item.abspath)
                yield File(item.abspath, item.name)
            case Bytes() | Stream() | Stored() | Folder():
                yield item._replace(mode=item.mode if modes else None, mtime=item.mtime if times else None)
            case Link():
                yield item._replace(mtime=item.mtime if times else None)
            case _:
                yield item


async def _unwrapped(uploads: AsyncIterator[Item]) -> tuple[bool, AsyncIterator[Item]]:
    """(whether all of an upload is in a folder without a name, which Go's clients send first; the other items)."""
    first = await anext(uploads, None)
    nameless = isinstance(first, Folder) and not first.name

    async def items() -> AsyncIterator[Item]:
        if first is not None and not nameless:
            yield first
        async for item in uploads:
            yield item

    return nameless, items()


async def add(context: Context, call: Call) -> AsyncIterator[AddEvent]:
    api, uploads, wrap = context.node, context.uploads, call.flag("wrap-with-directory")
    if uploads is not None:
        nameless, uploads = await _unwrapped(uploads)
        wrap = wrap or nameless
    if call.text("to-files") and call.flag("only-hash"):
        raise BadCall("options 'to-files' and 'only-hash' exclude each other: nothing would be stored")
    more = call.flag("more-follows")
    if more and (context.uploads is None or not call.text("resume-key") or call.text("to-files")):
        raise BadCall("option 'more-follows' needs files that are sent with a resume-key, and no 'to-files' yet")
    if more and (call.flag("only-hash") or call.flag("nocopy")):
        raise BadCall("option 'more-follows' stores files: not with 'only-hash' or 'nocopy'")
    if call.text("pin-name") and not call.flag("pin"):
        raise BadCall("option 'pin-name' needs --pin: without it nothing is pinned")
    mode, mtime = _metadata_options(call)
    roots: Roots | None = None
    if call.flag("nocopy") and context.caller is not Caller.HERE:
        roots = Roots(api.config, api.path, owner=context.caller is Caller.OWNER)
    options = AddOptions(
        profile=add_profile(api, call),
        scan=scan_options(call, hidden=api.config.imports.hidden, ignore=context.uploads is None),
        mode=mode,
        mtime=mtime,
        references=api.blocks.references if call.flag("nocopy") else None,
        wrap=wrap,
        only_hash=call.flag("only-hash"),
        part=more,
        progress=call.flag("progress"),
    )
    sources = call.many("path") if uploads is None else _wanted_metadata(uploads, call, roots)
    command = command_of(call, "path") if context.uploads is None else []
    adding = api.adding.add(
        sources,
        options,
        pin=call.flag("pin") and not more,
        pin_name=call.text("pin-name"),
        command=command,
        sender=call.text("resume-key") if context.uploads is not None and not call.flag("nocopy") else "",
        title=call.text("job-title"),
    )
    async with aclosing(adding) as events:
        told = 0
        async for event in events:
            if more or call.flag("roots-only") and not (isinstance(event, Added) and event.root):
                continue
            if isinstance(event, AddProgress):
                told = event.bytes
                yield AddEvent(Name=event.name, Bytes=told)
                continue
            if call.flag("progress") and event.bytes > told:
                # Clients count by lines without a Hash: the last one says that the file is complete.
                yield AddEvent(Name="" if event.name == str(event.cid) else event.name, Bytes=event.bytes)
            told = 0
            yield await _added(api, call, event)


async def _added(api: Api, call: Call, event: Added) -> AddEvent:
    if event.root and call.text("to-files"):
        await _to_files(api, event, call.text("to-files"))
    done = AddEvent(Name=event.name, Hash=cid_text(event.cid, call), Size=str(event.size))
    if event.mode is not None:
        done["Mode"] = f"{event.mode:04o}"
    if event.mtime is not None:
        done["Mtime"] = event.mtime.seconds
        if event.mtime.nanoseconds:
            done["MtimeNsecs"] = event.mtime.nanoseconds
    return done


async def _to_files(api: Api, added: Added, path: str) -> None:
    """As ``files cp``. Raises BadPath and as that command."""
    from cidery.mfs.changes import copy_in
    from cidery.mfs.path import parse_file_path

    target = parse_file_path(path)
    if target.folder or not target.names:
        target = target.child(added.name or str(added.cid))
    async with api.session() as session:
        await copy_in(api.files, session, added.cid, target, force=False, parents=False, flush=True)
