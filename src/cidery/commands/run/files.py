"""files: the commands of mutable files."""

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator

from cidery.blockstore.drive import run
from cidery.commands.bind import BadCall
from cidery.commands.cid_text import cid_text
from cidery.commands.context import Body, Context
from cidery.commands.definition import Call
from cidery.commands.definitions.files import STAT_FORMAT, FileEntry, FilesListed, FileStat, Flushed
from cidery.commands.definitions.message_output import MessageOutput
from cidery.commands.paging import page_of
from cidery.core.adding.batches import each
from cidery.core.adding.items import Bytes, Item, Stream
from cidery.core.api import Api
from cidery.core.reading.cat import cat as cat_file
from cidery.core.reading.cat import file_size
from cidery.core.reading.content_path import last_name
from cidery.core.reading.ls import EntryType, LsEntry, NoPages
from cidery.core.reading.ls import ls as ls_entries
from cidery.core.reading.resolve import resolve
from cidery.core.session import BlockSession
from cidery.errors import CideryError, InvalidInput, NotFound
from cidery.ipld.walk import need, read_links
from cidery.mfs import changes
from cidery.mfs.changes import Form, NotUnixFS
from cidery.mfs.path import parse_file_path
from cidery.mfs.tree import WrongKind, new_folder
from cidery.mfs.writing import Writing
from cidery.mfs.writing import write as write_file
from cidery.multiformats.cid import CID
from cidery.multiformats.varint import Buffer
from cidery.unixfs.data import MODE_MASK
from cidery.unixfs.metadata import Mtime
from cidery.unixfs.node import Kind, UnixFSNode, decode_node
from cidery.unixfs.profile import parse_hash
from cidery.unixfs.reader import read_node

PERMISSIONS = 0o777
"""Bits that chmod keeps."""
SYMLINK_MODE = 0o1000000777
"""The mode that Kubo shows for a symlink, which stores none: Go's symlink bit and all permissions."""


class CannotRemove(InvalidInput):
    """Some of several paths could not be removed; the others were."""

    def __init__(self, errors: list[CideryError]) -> None:
        super().__init__(errors)
        self.errors = errors

    def __str__(self) -> str:
        return "can't remove some files: " + "; ".join(str(error) for error in self.errors)


class PastTheEnd(InvalidInput):
    """A read that begins beyond the end of a file."""

    def __init__(self, offset: int, size: int) -> None:
        super().__init__(offset, size)
        self.offset = offset
        self.size = size

    def __str__(self) -> str:
        return f"offset was past end of file ({self.offset} > {self.size})"


def _form(api: Api, call: Call) -> Form | None:
    """The CID format that --cid-version and --hash select."""
    version, hash_name = call.number_or_none("cid-version"), call.text("hash")
    if version is None and not hash_name:
        return None
    if version not in (None, 0, 1):
        raise BadCall(f"option 'cid-version' takes 0 or 1, not {version}")
    if hash_name:
        return Form(1, parse_hash(hash_name.lower()))
    assert version is not None  # one of the two was given
    return Form(version, parse_hash("sha2-256"))


def _is_content(text: str) -> bool:
    return text.startswith(("/ipfs/", "/ipns/", "ipfs:", "ipns:"))


async def _cid_of(api: Api, session: BlockSession, text: str) -> CID:
    """The current CID of a content path or of a mutable file."""
    if _is_content(text):
        return await resolve(await api.locate(text), session)
    return await api.files.resolve(session, parse_file_path(text))


async def chcid(context: Context, call: Call) -> None:
    api = context.node
    path, form = parse_file_path(call.one("path")), _form(api, call)
    if form is None and path.names:
        return
    async with api.session() as session:
        await changes.change_form(api.files, session, path, form or Form(1, 0), flush=call.flag("flush"))


async def chmod(context: Context, call: Call) -> None:
    text = call.one("mode")
    if not (text.isascii() and text.isdigit() and len(text) <= 12 and not set(text) & set("89")):
        raise BadCall(f"a mode is an octal number such as 0644, not {text[:40]!r}")
    mode = int(text, 8)
    if mode > MODE_MASK:
        raise BadCall(f"a mode has at most the bits 07777, not {text}")
    mode &= PERMISSIONS  # as Kubo: a foreign file must not let anyone become another user
    api, path = context.node, parse_file_path(call.one("path"))
    async with api.session() as session:
        await changes.restate(api.files, session, path, mode=mode, flush=call.flag("flush"))


async def touch(context: Context, call: Call) -> None:
    api, path = context.node, parse_file_path(call.one("path"))
    seconds, nanoseconds = call.number_or_none("mtime"), call.number_or_none("mtime-nsecs")
    if nanoseconds is not None and not 0 <= nanoseconds < 10**9:
        raise BadCall(f"option 'mtime-nsecs' takes 0 to 999999999, not {nanoseconds}")
    mtime = _now(api) if seconds is None else Mtime(seconds, nanoseconds or 0)
    async with api.session() as session:
        await changes.restate(api.files, session, path, mtime=mtime, flush=call.flag("flush"))


def _now(api: Api) -> Mtime:
    seconds, fraction = divmod(api.clock(), 1)
    return Mtime(int(seconds), int(fraction * 1e9))


async def chroot(context: Context, call: Call) -> MessageOutput:
    if not call.flag("confirm"):
        raise BadCall("this is a potentially destructive operation; pass --confirm to proceed")
    api, text = context.node, call.optional("cid")
    async with api.offline().session() as session:
        before = api.files.recorded()
        if text is None:
            folder, block = new_folder(api.files.profile)
            api.files.staging.add((block,))
            root = folder.saved.cid
        else:
            root = CID.parse(text.removeprefix("/ipfs/"))
        await api.files.replace_root(api.files.over(session), root)
    new = cid_text(root, call)
    if before is None:
        return MessageOutput(Message=f"MFS root set to {new}\n")
    old = cid_text(before, call)
    said = f"MFS root changed from {old} to {new}\nThe old root {old} will be garbage collected unless pinned.\n"
    return MessageOutput(Message=said)


async def cp(context: Context, call: Call) -> None:
    api, source = context.node, call.one("source")
    target = parse_file_path(call.one("dest"))
    if target.folder or not target.names:
        target = target.child(last_name(source) if _is_content(source) else parse_file_path(source).name)
    async with api.session() as session:
        cid = await _cid_of(api, session, source)
        await changes.copy_in(
            api.files,
            session,
            cid,
            target,
            force=call.flag("force"),
            parents=call.flag("parents"),
            flush=call.flag("flush"),
        )


async def flush(context: Context, call: Call) -> Flushed:
    api = context.node
    path = parse_file_path(call.optional("path") or "/")
    root = await api.files.flush()
    if path.names:
        async with api.session() as session:
            root = await api.files.resolve(session, path)
    return Flushed(Cid=cid_text(root, call))


async def mkdir(context: Context, call: Call) -> None:
    api, path = context.node, parse_file_path(call.one("path"))
    async with api.session() as session:
        await changes.mkdir(
            api.files,
            session,
            path,
            parents=call.flag("parents"),
            form=_form(api, call),
            flush=call.flag("flush"),
        )


async def mv(context: Context, call: Call) -> None:
    api = context.node
    source, target = parse_file_path(call.one("source")), parse_file_path(call.one("dest"))
    async with api.session() as session:
        await changes.move(api.files, session, source, target, flush=call.flag("flush"))


async def rm(context: Context, call: Call) -> AsyncIterator[str]:
    """A line for each path that could not be removed, as Kubo sends them; the error at the end has them all."""
    if not call.flag("flush"):
        raise BadCall("files rm always flushes for safety; the option 'flush' cannot be false for it")
    api = context.node
    errors: list[CideryError] = []
    async with api.session() as session:
        for text in call.many("path"):
            try:
                await changes.remove(
                    api.files,
                    session,
                    parse_file_path(text),
                    recursive=call.flag("recursive"),
                    force=call.flag("force"),
                )
            except (InvalidInput, NotFound) as exc:
                errors.append(exc)
                yield str(exc)
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise CannotRemove(errors)


async def write(context: Context, call: Call) -> None:
    assert context.uploads is not None  # the definition's file argument; the CLI opens local paths
    api, path = context.node, parse_file_path(call.one("path"))
    offset, count = call.number_or_none("offset") or 0, call.number_or_none("count")
    if offset < 0 or (count is not None and count < 0):
        raise BadCall("options 'offset' and 'count' take numbers from 0 up")
    how = Writing(
        offset,
        count,
        call.flag("create"),
        call.flag("parents"),
        call.flag("truncate"),
        call.flag("raw-leaves") if "raw-leaves" in call.given else None,
        _form(api, call),
        _now(api),
    )
    async with api.session() as session:
        async for item in context.uploads:
            source = _content(item)
            await write_file(api.files, session, path, source, how, flush=call.flag("flush"))
            return
    raise BadCall("file argument 'data' is required")


def _content(item: Item) -> AsyncIterable[Buffer]:
    match item:
        case Bytes(data):
            return each((data,))
        case Stream(stream):
            return stream
        case _:
            raise BadCall("file argument 'data' takes the content of a file")


async def read(context: Context, call: Call) -> Body:
    api, path = context.node, parse_file_path(call.one("path"))
    offset, count = call.number_or_none("offset") or 0, call.number_or_none("count")
    if offset < 0 or (count is not None and count < 0):
        raise BadCall("options 'offset' and 'count' take numbers from 0 up")
    async with api.session() as session:
        cid = await api.files.resolve(session, path)
        node = await run(read_node(cid), api.files.over(session))
        if node.kind is not Kind.FILE:
            raise WrongKind(path, f"a {node.kind.value}, not a file")
        size = await file_size(cid, session)
    if offset > size:
        raise PastTheEnd(offset, size)
    length = size - offset if count is None else min(count, size - offset)

    async def chunks() -> AsyncGenerator[bytes | memoryview, None]:
        async with api.session() as session:
            async for chunk in cat_file(cid, session, offset, length):
                yield bytes(chunk) if isinstance(chunk, bytearray) else chunk

    return Body(chunks(), length)


async def ls(context: Context, call: Call) -> FilesListed:
    api, path = context.node, parse_file_path(call.optional("path") or "/")
    long, page = call.flag("long"), page_of(call)
    limit, after = (None, "") if page is None else page
    async with api.session() as session:
        staged = api.files.over(session)
        cid = await api.files.resolve(session, path)
        node = await run(read_node(cid), staged)
        if node.kind is not Kind.DIRECTORY:
            if page is not None:
                raise NoPages(cid)
            return FilesListed(Entries=[_entry(path.name, node.cid, node.size, False, call)])
        listed = [one async for one in ls_entries(cid, staged, resolve_type=long, size=long, limit=limit, after=after)]
    return FilesListed(Entries=[_listed(one, call) for one in listed])


def _listed(one: LsEntry, call: Call) -> FileEntry:
    return _entry(one.name, one.cid, one.size, one.type in (EntryType.DIRECTORY, EntryType.HAMT_SHARD), call)


def _entry(name: str, cid: CID, size: int, folder: bool, call: Call) -> FileEntry:
    if not call.flag("long"):
        return FileEntry(Name=name, Type=0, Size=0, Hash="")
    return FileEntry(Name=name, Type=int(folder), Size=size, Hash=cid_text(cid, call))


async def stat(context: Context, call: Call) -> FileStat:
    if sum((call.flag("hash"), call.flag("size"), call.text("format") != STAT_FORMAT)) > 1:
        raise BadCall("options 'hash', 'size' and 'format' exclude each other")
    api = context.node.offline() if call.flag("with-local") else context.node
    async with api.session() as session:
        staged = api.files.over(session)
        cid = await _cid_of(api, session, call.one("path"))
        block = await run(need(cid), staged)
        try:
            node = decode_node(cid, block)
        except CideryError as exc:
            raise NotUnixFS(cid, str(exc)) from exc
        result = _stat_of(node, block, call)
        if call.flag("with-local"):
            result["WithLocality"] = True
            result["Local"], result["SizeLocal"] = await _locality(cid, staged)
    return result


def _stat_of(node: UnixFSNode, block: Buffer, call: Call) -> FileStat:
    result = FileStat(
        Hash=cid_text(node.cid, call),
        Size=node.size,
        CumulativeSize=changes.cumulative_size(node.cid, block),
        Blocks=len(node.links),
        Type="directory" if node.kind is Kind.DIRECTORY else "file",
    )
    mode = SYMLINK_MODE if node.kind is Kind.SYMLINK and not node.mode else (node.mode or 0) & MODE_MASK
    if mode:
        result["Mode"] = f"{mode:04o}"
    if node.mtime is not None:
        result["Mtime"] = node.mtime.seconds
        if node.mtime.nanoseconds:
            result["MtimeNsecs"] = node.mtime.nanoseconds
    return result


async def _locality(root: CID, blocks: BlockSession) -> tuple[bool, int]:
    """Whether all of a DAG is stored here, and how many bytes; shared parts count each time, as in the caller."""
    known: dict[CID, tuple[bool, int]] = {}
    stack: list[tuple[CID, list[CID] | None, int]] = [(root, None, 0)]
    while stack:
        cid, below, size = stack.pop()
        if below is not None:
            found = [known[target] for target in below]
            known[cid] = all(whole for whole, _ in found), size + sum(part for _, part in found)
        elif cid not in known:
            try:
                block = await run(need(cid), blocks)
            except NotFound:
                known[cid] = False, 0
                continue
            below = [target for target, _ in await run(read_links(cid, block), blocks)]
            stack.append((cid, below, len(block)))
            stack += [(target, None, 0) for target in below]
    return known[root]
