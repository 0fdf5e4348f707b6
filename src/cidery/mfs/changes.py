"""All changes of the tree except to file contents: make, copy in, move, remove, mode and time, CID form.

Each is one step: all or nothing, also under concurrent use. With ``flush`` it is durable on return, else it may be
lost if the process dies before the next flush.
"""

from dataclasses import dataclass

from cidery.blockstore.drive import run
from cidery.errors import IntegrityError, InvalidInput
from cidery.ipld.block import Block
from cidery.ipld.walk import need
from cidery.mfs.blocks import Blocks
from cidery.mfs.files import MutableFiles
from cidery.mfs.overwrite import restated
from cidery.mfs.path import FilePath
from cidery.mfs.tree import (
    AlreadyThere,
    Folder,
    NoSuchFile,
    Step,
    WrongKind,
    find,
    folder_at,
    in_form,
    kind_of,
    make_folders,
    put,
    take,
)
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import DAG_PB, RAW
from cidery.multiformats.varint import Buffer
from cidery.unixfs.directory import DirectoryEntry
from cidery.unixfs.metadata import Mtime
from cidery.unixfs.node import Kind, decode_node
from cidery.unixfs.profile import Profile


class NotUnixFS(InvalidInput):
    """Something to be copied in that is neither file nor directory."""

    def __init__(self, cid: CID, reason: str) -> None:
        super().__init__(cid, reason)
        self.cid = cid
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.cid} must be a valid UnixFS node (dag-pb or raw codec): {self.reason}"


@dataclass(frozen=True, slots=True)
class Form:
    """A requested CID version and hash."""

    version: int
    hash_code: int

    def of(self, profile: Profile) -> Profile:
        return in_form(profile, self.version, self.hash_code)


def cumulative_size(cid: CID, block: Buffer) -> int:
    """Bytes of a DAG as its root states them: its own and those of its links. Raises as decode_node()."""
    return len(block) + sum(link.tsize or 0 for link in decode_node(cid, block).links)


async def mkdir(
    files: MutableFiles,
    blocks: Blocks,
    path: FilePath,
    *,
    parents: bool = False,
    form: Form | None = None,
    flush: bool = True,
) -> None:
    """Make a directory. ``parents``: also its missing parents, and no error if it exists.

    Raises AlreadyThere, NoSuchFile, WrongKind, and as MutableFiles.edit() and flush().
    """
    if not path.names:
        if parents:
            return
        raise AlreadyThere(path, "it is the root")
    profile = form.of(files.profile) if form else None

    def step(root: Folder) -> Step[None]:
        made = yield from make_folders(root, path, profile, parents=parents, exist_ok=parents)
        files.staging.add(made)

    async with files.protection.change(flush=flush):
        await files.edit(blocks, step)
        await files.done(flush=flush)


async def copy_in(
    files: MutableFiles,
    blocks: Blocks,
    source: CID,
    path: FilePath,
    *,
    force: bool = False,
    parents: bool = False,
    form: Form | None = None,
    flush: bool = True,
) -> None:
    """Give a stored file or directory a path; only its root block is read or fetched.

    Args:
        force: replace an existing file.
        form: of the directories that ``parents`` makes.
    Raises:
        NotUnixFS, AlreadyThere, NoSuchFile, WrongKind, and as MutableFiles.edit() and flush().
    """
    profile = form.of(files.profile) if form else None
    size = 0

    def step(root: Folder) -> Step[None]:
        if parents:
            files.staging.add((yield from make_folders(root, path.parent, profile)))
        folder, known = yield from find(root, path)
        if known is not None:
            if not force:
                raise AlreadyThere(path, "use --force to replace a file")
            if (yield from kind_of(known.cid)) is Kind.DIRECTORY:
                raise WrongKind(path, "a directory, not a file; remove it first")
        yield from put(folder, DirectoryEntry(path.name, source, size))

    async with files.protection.change(source, flush=flush):
        size = await _size_of(files, blocks, source)
        await files.edit(blocks, step)
        await files.done(flush=flush)


async def _size_of(files: MutableFiles, blocks: Blocks, source: CID) -> int:
    if source.codec not in (RAW, DAG_PB):
        raise NotUnixFS(source, "it has another codec")
    block = await run(need(source), files.over(blocks))
    try:
        return cumulative_size(source, block)
    except IntegrityError as exc:
        raise NotUnixFS(source, str(exc)) from exc


async def move(files: MutableFiles, blocks: Blocks, source: FilePath, target: FilePath, *, flush: bool = True) -> None:
    """Move a file or directory: into ``target`` if that is a directory, over it if it is a file, else to that path.

    Raises AlreadyThere, NoSuchFile, WrongKind, and as MutableFiles.edit() and flush().
    """
    if not source.names:
        raise WrongKind(source, "the root cannot be moved")

    def step(root: Folder) -> Step[None]:
        folder, entry = yield from find(root, source)
        if entry is None:
            raise NoSuchFile(source)
        to = target.child(source.name) if target.folder or not target.names else target
        into, known = yield from find(root, to)
        if known is not None and to.names != source.names and (yield from kind_of(known.cid)) is Kind.DIRECTORY:
            to = to.child(source.name)
            into, known = yield from find(root, to)
            if known is not None and to.names != source.names:
                raise AlreadyThere(to)
        if to.names == source.names:
            return
        if to.within(source):
            raise WrongKind(to, f"it is inside {source}, which cannot be moved there")
        opened = folder.opened.get(source.name)
        yield from take(folder, source.name)
        yield from put(into, entry._replace(name=to.name))
        if opened is not None:
            into.opened[to.name] = opened  # with its unwritten changes

    async with files.protection.change(flush=flush):
        await files.edit(blocks, step)
        await files.done(flush=flush)


async def remove(
    files: MutableFiles, blocks: Blocks, path: FilePath, *, recursive: bool = False, force: bool = False
) -> None:
    """Remove a file, or a directory with ``recursive``; durable.

    ``force``: whatever it is, unread, and no error if it does not exist.
    Raises NoSuchFile, WrongKind, and as MutableFiles.edit() and flush().
    """
    if not path.names:
        raise WrongKind(path, "the root cannot be removed")

    def step(root: Folder) -> Step[None]:
        try:
            folder, entry = yield from find(root, path)
        except NoSuchFile:
            if force:
                return
            raise
        if entry is None:
            if force:
                return
            raise NoSuchFile(path)
        if not (recursive or force) and (yield from kind_of(entry.cid)) is Kind.DIRECTORY:
            raise WrongKind(path, "path is a directory, use -r to remove directories")
        yield from take(folder, path.name)

    async with files.protection.change(flush=True):
        await files.edit(blocks, step)
        await files.done(flush=True)


async def restate(
    files: MutableFiles,
    blocks: Blocks,
    path: FilePath,
    *,
    mode: int | None = None,
    mtime: Mtime | None = None,
    flush: bool = True,
) -> None:
    """Set permission bits (0 removes them) or the time of modification. Raises NoSuchFile and as edit() and flush()."""

    def step(root: Folder) -> Step[None]:
        entry: DirectoryEntry | None = None
        if path.names:
            folder, entry = yield from find(root, path)
            if entry is None:
                raise NoSuchFile(path)
        if entry is None or (yield from kind_of(entry.cid)) is Kind.DIRECTORY:
            inner = yield from folder_at(root, path)
            inner.editor.mode = inner.editor.mode if mode is None else mode or None
            inner.editor.mtime = inner.editor.mtime if mtime is None else mtime
            inner.dirty = True
            return
        old = yield from need(entry.cid)
        new = restated(entry.cid, old, mode=mode, mtime=mtime)
        files.staging.add((new,))
        yield from put(folder, _replaced(entry, new))

    async with files.protection.change(flush=flush):
        await files.edit(blocks, step)
        await files.done(flush=flush)


def _replaced(entry: DirectoryEntry, block: Block) -> DirectoryEntry:
    return DirectoryEntry(entry.name, block.cid, cumulative_size(block.cid, block.data))


async def change_form(files: MutableFiles, blocks: Blocks, path: FilePath, form: Form, *, flush: bool = True) -> None:
    """Give a directory's own node, and new entries in it from now on, another CID version or hash.

    Raises WrongKind for the root, whose form the config decides, and for files; and as edit() and flush().
    """
    if not path.names:
        raise WrongKind(path, "the form of the root is set by Import.CidVersion and Import.HashFunction in the config")

    def step(root: Folder) -> Step[None]:
        folder = yield from folder_at(root, path)
        folder.profile = form.of(folder.profile)
        folder.editor.use(folder.profile)
        folder.dirty = True

    async with files.protection.change(flush=flush):
        await files.edit(blocks, step)
        await files.done(flush=flush)
