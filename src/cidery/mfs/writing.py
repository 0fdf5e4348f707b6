"""Writes bytes into a file: over existing ones, beyond its end, or into a new file.

The bytes become blocks while they arrive, without locking anything; only then the file gets its new root, if it is
unchanged. If it was changed in the meantime, the same bytes are written over the new version, so no write is lost.
"""

from collections.abc import AsyncIterable, AsyncIterator
from functools import partial
from typing import NamedTuple

from cidery.blockstore.drive import run
from cidery.errors import LimitExceeded
from cidery.ipld import dag_pb
from cidery.ipld.block import Block
from cidery.ipld.walk import need
from cidery.mfs.blocks import Blocks, read_bytes
from cidery.mfs.changes import Form, cumulative_size
from cidery.mfs.files import MutableFiles
from cidery.mfs.growth import Growth, reopen
from cidery.mfs.overwrite import cut_off, overwrite
from cidery.mfs.path import FilePath
from cidery.mfs.tree import Folder, NoSuchFile, Step, WrongKind, find, folder_at, formed_like, make_folders, put
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import RAW
from cidery.multiformats.varint import Buffer
from cidery.unixfs.data import NodeType, UnixFSData
from cidery.unixfs.directory import DirectoryEntry
from cidery.unixfs.layout import Child, dag_pb_block
from cidery.unixfs.metadata import Mtime
from cidery.unixfs.node import Kind, decode_node
from cidery.unixfs.profile import Profile
from cidery.unixfs.reader import read_node
from cidery.waiting import off_loop, turn

SPARSE_CHUNK = 4096
"""Bytes of a leaf of zeros between the end of a file and the offset of a write, as in Kubo."""
MAX_SPARSE = 1 << 30
"""Most zeros made by one write, in bytes: about a second of work."""
SPARSE_SLICE = 1024
"""Leaves of zeros made between two turns of the event loop: about a millisecond."""
THREAD_BYTES = 128 * 1024
"""Bytes from which on they are chunked and hashed in a thread: fewer take less time than the hop."""
CUT_BYTES = 4 << 20
"""Bytes collected before they are chunked."""


class TooSparse(LimitExceeded):
    """A write far beyond the end of a file."""

    def __init__(self, gap: int) -> None:
        super().__init__(gap)
        self.gap = gap

    def __str__(self) -> str:
        return f"the offset is {self.gap} bytes beyond the end of the file, at most {MAX_SPARSE} are filled with zeros"


class Writing(NamedTuple):
    """How to write."""

    offset: int = 0
    limit: int | None = None
    """Most bytes to take from the source; None: all."""
    create: bool = False
    parents: bool = False
    """Make missing directories above a new file."""
    truncate: bool = False
    """Truncate the file first."""
    raw_leaves: bool | None = None
    """None: as the CID version of the file implies."""
    form: Form | None = None
    """Of a new file, and of directories made; None: as their parent directory."""
    mtime: Mtime | None = None
    """New time for a file that has one."""


async def write(
    files: MutableFiles,
    blocks: Blocks,
    path: FilePath,
    source: AsyncIterable[Buffer],
    how: Writing,
    *,
    flush: bool = True,
) -> int:
    """Write the bytes of ``source``; returns how many.

    Limits: holds some 3 * CUT_BYTES and STAGED_BYTES, whatever arrives.
    Raises:
        NoSuchFile, WrongKind, TooSparse, as ``source``, and as MutableFiles.edit() and flush().
    Cancellation: safe; the file is then unchanged or, from the last moment on, written.
    """
    base, profile = await files.edit(blocks, lambda root: _look(files.profile, root, path, how))
    async with files.protection.change(flush=flush):
        content = _Content(files, blocks, profile, how)
        root = await content.make(base, _limited(source, how.limit))
        while True:
            found = await files.edit(blocks, partial(_attach, files, path, how, base, root))
            if found is None:
                break
            base = found.base
            written = read_bytes(root.cid, files.over(blocks), how.offset, content.written)
            root = await _Content(files, blocks, profile, how).make(base, written)
        await files.done(flush=flush)
    return content.written


async def _limited(source: AsyncIterable[Buffer], count: int | None) -> AsyncIterator[Buffer]:
    left = count
    async for chunk in source:
        if left is None:
            yield chunk
            continue
        if left > 0:
            yield memoryview(chunk)[:left]
        left -= len(chunk)
        if left <= 0:
            return


def _look(default: Profile, root: Folder, path: FilePath, how: Writing) -> Step[tuple[CID | None, Profile]]:
    """The file to write to, None for a new one, and the form of its nodes."""
    if not path.names or path.folder:
        raise WrongKind(path, "a directory, not a file")
    try:
        folder, entry = yield from find(root, path)
    except NoSuchFile:
        if not (how.create and how.parents):
            raise
        folder, entry = (yield from _nearest(root, path)), None
    if entry is None:
        if not how.create:
            raise NoSuchFile(path)
        profile = how.form.of(default) if how.form else folder.profile
    else:
        node = yield from read_node(entry.cid)
        if node.kind is not Kind.FILE:
            raise WrongKind(path, f"a {node.kind.value}, not a file")
        profile = formed_like(folder.profile, entry.cid)
    if how.raw_leaves is not None:
        profile = profile._replace(raw_leaves=how.raw_leaves)
    return (entry.cid if entry else None), profile


def _nearest(root: Folder, path: FilePath) -> Step[Folder]:
    """The directory that exists, nearest above a path."""
    folder = root
    for depth in range(1, len(path.names)):
        try:
            folder = yield from folder_at(root, FilePath(path.names[:depth]))
        except NoSuchFile:
            break
    return folder


class _Found(NamedTuple):
    """What is now at the path instead of the file that was written to."""

    base: CID | None


def _attach(
    files: MutableFiles, path: FilePath, how: Writing, base: CID | None, content: Child, root: Folder
) -> Step[_Found | None]:
    """Put the new content at the path, unless the file there is no longer the one it was made from."""
    if how.create and how.parents:
        form = how.form.of(files.profile) if how.form else None
        files.staging.add((yield from make_folders(root, path.parent, form)))
    folder, entry = yield from find(root, path)
    if entry is None and not how.create:
        raise NoSuchFile(path)
    now = entry.cid if entry is not None else None
    if now != base:
        if now is not None and (yield from read_node(now)).kind is not Kind.FILE:
            raise WrongKind(path, "it is no file any more")
        return _Found(now)
    yield from put(folder, DirectoryEntry(path.name, content.cid, content.tsize))
    return None


class _Content:
    """One file being made out of another and a stream."""

    def __init__(self, files: MutableFiles, blocks: Blocks, profile: Profile, how: Writing) -> None:
        self._files = files
        self._staging = files.staging
        self._blocks = files.over(blocks)
        self._profile = profile
        self._how = how
        self.written = 0

    async def make(self, base: CID | None, source: AsyncIterable[Buffer]) -> Child:
        """The root of the new content; all blocks are staged."""
        root, size = await self._start(base)
        growth: Growth | None = None
        gap = self._how.offset - size
        if gap > 0:
            growth = await self._grown(root)
            await self._add_zeros(growth, gap)
        at = self._how.offset
        held = bytearray()
        async for chunk in source:
            view = memoryview(chunk)
            self.written += len(view)
            if at < size and root is not None:
                inside = view[: size - at]
                root, blocks = await run(overwrite(root, at, inside, self._how.mtime), self._blocks)
                self._staging.add(blocks)
                await self._staging.relieve()
                at += len(inside)
                view = view[len(inside) :]
            held += view
            if len(held) >= CUT_BYTES + self._profile.chunk_size:
                growth = growth or await self._grown(root)
                await self._add_leaves(growth, held, final=False)
        if held:
            growth = growth or await self._grown(root)
            await self._add_leaves(growth, held, final=True)
        return await self._finished(root, growth)

    async def _start(self, base: CID | None) -> tuple[CID | None, int]:
        if base is None:
            return None, 0
        size = (await run(read_node(base), self._blocks)).size
        if not self._how.truncate or not size:
            return base, size
        root, blocks = await run(cut_off(base, self._how.mtime), self._blocks)
        self._staging.add(blocks)
        return root, 0

    async def _grown(self, root: CID | None) -> Growth:
        if root is None:
            return Growth(self._profile)
        return await run(reopen(self._profile, root), self._blocks)

    async def _add_leaves(self, growth: Growth, held: bytearray, *, final: bool) -> None:
        """Cut the held bytes into leaves, all of them if ``final``, and remove them."""
        raw = self._profile.raw_leaves or growth.raw
        data = bytes(held)
        if len(data) < THREAD_BYTES:
            leaves, end = _leaves(self._profile, data, raw, final)
        else:
            leaves, end = await off_loop(_leaves, self._profile, data, raw, final)
        del held[:end]
        for child, block in leaves:
            self._staging.add((block, *growth.add(child)))
        await self._staging.relieve()

    async def _add_zeros(self, growth: Growth, gap: int) -> None:
        if gap > MAX_SPARSE:
            raise TooSparse(gap)
        raw = self._profile.raw_leaves or growth.raw
        full, rest = divmod(gap, SPARSE_CHUNK)
        child, block = _leaf(self._profile, bytes(SPARSE_CHUNK), raw)
        if full:
            self._staging.add((block,))
        for number in range(full):
            self._staging.add(growth.add(child))
            if number % SPARSE_SLICE == 0:
                await turn()
        if rest:
            child, block = _leaf(self._profile, bytes(rest), raw)
            self._staging.add((block, *growth.add(child)))

    async def _finished(self, root: CID | None, growth: Growth | None) -> Child:
        if growth is None and root is not None:
            block = await run(need(root), self._blocks)
            node = decode_node(root, block)
            lone = len(node.links) == 1 and node.links[0].cid.codec == RAW and not len(node.inline)
            if not (lone and self._profile.raw_leaves):
                return Child(root, node.size, cumulative_size(root, block))
        growth = growth or await self._grown(root)
        child, blocks = growth.finish(self._how.mtime)
        self._staging.add(blocks)
        return child


def _leaves(profile: Profile, data: bytes, raw: bool, final: bool) -> tuple[list[tuple[Child, Block]], int]:
    """(leaves, the offset of the rest): the chunks whose end is certain, or all if nothing follows. CPU-bound."""
    out: list[tuple[Child, Block]] = []
    at = 0
    while at < len(data) and (final or at + profile.chunk_size <= len(data)):
        end = at + profile.chunk_size if profile.chunker is None else profile.chunker.next_cut(data, at)
        out.append(_leaf(profile, data[at:end], raw))
        at = min(end, len(data))
    return out, at


def _leaf(profile: Profile, data: bytes, raw: bool) -> tuple[Child, Block]:
    """A leaf in the form of the trickle layout."""
    if raw:
        block = Block(CID.of(data, RAW, hash_code=profile.hash_code), data)
    else:
        block = dag_pb_block(profile, dag_pb.encode((), UnixFSData(NodeType.RAW, data, len(data)).encode()))
    return Child(block.cid, len(data), len(block.data)), block
