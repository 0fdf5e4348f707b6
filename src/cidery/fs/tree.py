"""Reading UnixFS by path: what something is, its entries, and ranges of its bytes, from any source of blocks.

A range reads only the blocks on its way. Where a repository is on this machine, bytes that were checked before go
straight from its segment into the caller's buffer, without the event loop.
"""

from __future__ import annotations

import asyncio
import errno
from contextlib import asynccontextmanager
from io import BytesIO
from typing import TYPE_CHECKING, NamedTuple, cast

from cidery.blockstore.drive import drive, run
from cidery.core.reading.ls import EntryType, ls
from cidery.fs.errors import no_entry, not_a_folder
from cidery.fs.fresh_bytes import Fresh
from cidery.fs.node_cache import Known, Recent
from cidery.ipld.block import MAX_BLOCK
from cidery.ipld.walk import MAX_PENDING
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import DAG_PB, RAW
from cidery.unixfs.data import UnixFSError
from cidery.unixfs.directory_reader import find_link
from cidery.unixfs.node import Kind, UnixFSNode, decode_node
from cidery.unixfs.reader import MAX_FILE_DEPTH, read_file, read_node

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Sequence

    from cidery.blockstore.drive import BlockReader
    from cidery.core.session import BlockSession
    from cidery.fs.source import Source
    from cidery.multiformats.varint import Buffer
    from cidery.unixfs.metadata import Mtime

MAX_LINKS = 1 << 18
"""Links of the nodes kept: about 60 MB."""
MAX_LISTED = 1 << 18
"""Entries of the listings kept: about 60 MB."""
MAX_NAMES = 1 << 16
"""Entries of sharded directories kept one by one."""
MAX_ENTRIES = 1 << 20
"""Most entries of one listing."""
MAX_SYMLINKS = 40
"""Symlinks followed in one path (as Linux)."""
MAX_RANGE = 64 << 20
"""Longest range that is read into one buffer at once; longer ones are collected as they come."""
MAX_TOGETHER = 8 << 20
"""Longest range whose blocks are asked for in one request; those of longer ones come in several at a time."""
IN_LOOP = 256 * 1024
"""Bytes copied from segments on the event loop; more take a thread."""
_EMPTY = b"\n\x02\x08\x01"
"""The block of a directory without entries."""
_EMPTY_HASH = CID.of(_EMPTY, DAG_PB).multihash


class Entry(NamedTuple):
    """One entry of a directory, or what is at a path."""

    name: str
    cid: CID
    kind: Kind
    size: int
    """Bytes of a file; 0 for everything else."""
    mode: int | None = None
    mtime: Mtime | None = None
    target: str = ""
    """Of a symlink."""


class _Part(NamedTuple):
    """Bytes of a leaf that are wanted."""

    cid: CID
    size: int
    """Of the whole leaf."""
    start: int
    at: int
    """Where they go."""
    length: int
    data: Buffer | None = None
    """All of the leaf's bytes, if it was decoded already."""


class Tree:
    """What is below CIDs, as one source has it. For one event loop, except ``read_now()``."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._nodes: Recent[Known] = Recent(MAX_LINKS)
        self._listings: Recent[list[Entry]] = Recent(MAX_LISTED)
        self._names: Recent[CID] = Recent(MAX_NAMES)
        self._sizes: Recent[int] = Recent(MAX_NAMES)
        self._paths: Recent[CID] = Recent(MAX_NAMES)
        self.blocks_read = 0
        """Blocks that were read for their bytes or links; one that is read in parts counts each time."""

    # -- nodes -----------------------------------------------------------------------------------------------------

    async def _known(self, cid: CID, blocks: BlockReader) -> Known:
        """A node, decoded. Raises as read_node() and ``blocks``."""
        found = self._nodes.get(cid)
        if found is None:
            if cid.multihash == _EMPTY_HASH and cid.codec == DAG_PB:
                node: UnixFSNode = decode_node(cid, _EMPTY)
            else:
                self.blocks_read += 1
                node = await run(read_node(cid), blocks)
            found = Known(node)
            if cid.codec != RAW:  # its bytes are the block: the source has them
                self._nodes.put(cid, found, found.weight)
        return found

    async def look(self, root: CID, names: Sequence[str], path: str, span: tuple[int, int] | None = None) -> Entry:
        """What is at a path; symlinks inside the tree are followed. ``span``: bytes that will be read of a file there,
        so that where a request is dear they come with the path.

        Raises FileNotFoundError, NotADirectoryError, OSError (ELOOP), and CideryError as the reader and the source.
        """
        async with self._source.session() as blocks:
            return await self._look(root, names, path, span, blocks)

    def note_path(self, path: str, entry: Entry) -> None:
        """Remember the file at a path that cannot change."""
        if entry.kind is Kind.FILE:
            self._paths.put(path, entry.cid, 1)

    def known_path(self, path: str) -> CID | None:
        """The file at such a path. From any thread."""
        return self._paths.get(path)

    async def _look(
        self, root: CID, names: Sequence[str], path: str, span: tuple[int, int] | None, blocks: BlockReader
    ) -> Entry:
        if span is not None:
            span = (span[0], min(span[1], span[0] + MAX_TOGETHER))
        above: list[CID] = []
        at, left, followed = root, list(reversed(names)), 0
        told = False
        while True:
            if not told and not (self._is_known(at, left[-1]) if left else span is None or self._holds(at)):
                told = True
                await self._source.ahead(at, tuple(reversed(left)), span)
            size = await self._raw_size(at) if not left and at.codec == RAW else None
            if size is not None:
                return Entry("", at, Kind.FILE, size)
            known = await self._known(at, blocks)
            node = known.node
            if node.kind is Kind.SYMLINK:
                followed += 1
                if followed > MAX_SYMLINKS:
                    raise OSError(errno.ELOOP, "too many symlinks", path)
                if node.target.startswith("/"):
                    raise OSError(errno.ENOENT, f"a symlink to {node.target!r}, outside of the tree", path)
                left += reversed([one for one in node.target.split("/") if one not in ("", ".")])
                at = above.pop() if above else root
                continue
            while left and left[-1] == "..":
                left.pop()
                if not above:
                    raise OSError(errno.ENOENT, "a symlink leads above the root", path)
                at = above.pop()
                known = await self._known(at, blocks)
                node = known.node
            if not left:
                if at.codec == RAW:
                    self._sizes.put(at, node.size, 1)  # so that a range of it can be planned
                return Entry("", at, node.kind, node.size, node.mode, node.mtime)
            if node.kind is Kind.FILE:
                raise not_a_folder(path)
            child = await self._child(known, left.pop(), blocks)
            if child is None:
                raise no_entry(path)
            above.append(at)
            at = child

    def _is_known(self, folder: CID, name: str) -> bool:
        """Whether no block is needed to find an entry."""
        known = self._nodes.get(folder)
        return known is not None and (not known.node.fanout or self._names.get((folder, name)) is not None)

    def _holds(self, file: CID) -> bool:
        """Whether no block above the bytes of a file is needed to read some of it."""
        return file.codec == RAW or self._nodes.get(file) is not None

    async def _raw_size(self, cid: CID) -> int | None:
        size = self._sizes.get(cid)
        if size is None:
            size = await self._source.block_size(cid)
            if size is not None:
                self._sizes.put(cid, size, 1)
        return size

    async def _child(self, known: Known, name: str, blocks: BlockReader) -> CID | None:
        node = known.node
        if not node.fanout:
            return known.names.get(name)
        found = self._names.get((node.cid, name))
        if found is None:
            link = await run(find_link(node, name), blocks)
            if link is None:
                return None
            found = link.cid
            self._names.put((node.cid, name), found, 1)
        return found

    async def entries(self, folder: CID) -> list[Entry]:
        """All entries of a directory, by name. Raises OSError (EFBIG) over MAX_ENTRIES, and as the source."""
        found = self._listings.get(folder)
        if found is not None:
            return found
        if folder.multihash == _EMPTY_HASH:
            return []
        found = []
        async with self._source.session() as blocks:
            async for one in ls(folder, cast("BlockSession", blocks)):  # it reads, and no more
                _check_name(one.name, folder)
                if len(found) >= MAX_ENTRIES:
                    raise OSError(errno.EFBIG, f"a directory of more than {MAX_ENTRIES} entries", str(folder))
                kind = _KINDS.get(one.type, Kind.FILE)
                found.append(Entry(one.name, one.cid, kind, one.size, one.mode, one.mtime, one.target))
        found.sort(key=lambda entry: entry.name)
        self._listings.put(folder, found, 1 + len(found))
        return found

    # -- bytes -----------------------------------------------------------------------------------------------------

    def read_now(self, cid: CID, start: int, end: int) -> bytes | None:
        """Bytes ``[start, end)`` of a file, clipped to its end, if that needs neither a block nor a hash.

        From any thread; may wait for the disk.
        """
        parts = self._plan(cid, start, end, {})
        if not isinstance(parts, list):
            return None
        length = sum(part.length for part in parts)
        if length > MAX_RANGE:
            return None
        room = Fresh(length)
        missing = self._fill(parts, room.view)
        made = room.done()
        return made if not missing else None

    def _fill(self, parts: Sequence[_Part], into: memoryview) -> list[_Part]:
        """Copy what the source has at hand; returns the parts that it has not."""
        missing = []
        for part in parts:
            piece = into[part.at : part.at + part.length]
            if part.data is not None:
                piece[:] = memoryview(part.data)[part.start : part.start + part.length]
            elif self._source.read_part(part.cid, part.size, part.start, piece):
                self.blocks_read += 1
            else:
                missing.append(part)
        return missing

    def _plan(self, cid: CID, start: int, end: int, held: dict[CID, Known]) -> list[_Part] | CID:
        """The leaves of a range of a file; or a node that has to be read first, put into ``held``."""
        if cid.codec == RAW:
            size = self._sizes.get(cid)
            if size is None:
                return cid
            start, end = max(0, start), min(end, size)
            return [_Part(cid, size, start, 0, end - start)] if end > start else []
        known = held.get(cid) or self._nodes.get(cid)
        if known is None:
            return cid
        end = min(end, known.node.size)
        parts: list[_Part] = []
        stack: list[tuple[CID, int, int, int]] = [(cid, 0, known.node.size, 0)]
        while stack:
            at, base, size, depth = stack.pop()
            if at.codec == RAW:
                first, last = max(start, base), min(end, base + size)
                parts.append(_Part(at, size, first - base, first - start, last - first))
                continue
            known = held.get(at) or self._nodes.get(at)
            if known is None:
                return at
            node = known.node
            if node.kind is not Kind.FILE or node.size != size:
                raise UnixFSError(f"{at} is no part of {size} bytes, as the node above it says")
            if node.inline and base < end and base + len(node.inline) > start:
                first, last = max(start, base), min(end, base + len(node.inline))
                parts.append(_Part(at, len(node.inline), first - base, first - start, last - first, node.inline))
            children = known.children(max(0, start - base), end - base)
            if depth >= MAX_FILE_DEPTH or len(stack) + len(children) > MAX_PENDING:
                raise UnixFSError(f"{cid} is deeper than {MAX_FILE_DEPTH} or wider than {MAX_PENDING} links")
            for child in reversed(children):
                if node.blocksizes[child]:
                    stack.append(
                        (node.links[child].cid, base + known.start_of(child), node.blocksizes[child], depth + 1)
                    )
        return parts

    async def read(self, cid: CID, start: int, end: int) -> bytes:
        """Bytes ``[start, end)`` of a file, clipped to its end. Raises UnixFSError, NotAFile and as the source."""
        if end <= start:
            return b""
        async with self._source.session() as blocks:
            held: dict[CID, Known] = {}
            parts = self._plan(cid, start, end, held)
            while not isinstance(parts, list):
                if parts.codec == RAW:  # the file is one block, of a size that is not known yet
                    return await self._walked(cid, start, end, blocks)
                held[parts] = await self._known(parts, blocks)
                parts = self._plan(cid, start, end, held)
            length = sum(part.length for part in parts)
            if length > MAX_RANGE:
                return await self._walked(cid, start, end, blocks)
            span = (start, start + length)
            if not self._source.stored:
                room = Fresh(length)  # no thread writes into it
                await self._read_parts(self._fill(parts, room.view), cid, span, room.view, blocks)
                return room.done()
            buffer = _buffer(length)
            with buffer.getbuffer() as view:
                if length <= IN_LOOP:
                    missing = self._fill(parts, view)
                else:
                    missing = await asyncio.to_thread(self._fill, parts, view)
                await self._read_parts(missing, cid, span, view, blocks)
            return buffer.getvalue()

    async def _read_parts(
        self, parts: Sequence[_Part], cid: CID, span: tuple[int, int], into: memoryview, blocks: BlockReader
    ) -> None:
        if len(parts) > 1:
            await self._announce(parts, cid, span, blocks)
        for part in parts:
            await self._read_part(part, into, blocks)

    async def _announce(self, parts: Sequence[_Part], cid: CID, span: tuple[int, int], blocks: BlockReader) -> None:
        """Several leaves will be asked for: together, where a request is dear, else side by side."""
        if self._source.dear and span[1] - span[0] <= MAX_TOGETHER:
            if sum(blocks.get_if_ready(part.cid) is None for part in parts) > 1:
                await self._source.ahead(cid, (), span)
        else:
            blocks.prefetch([part.cid for part in parts])

    async def _read_part(self, part: _Part, into: memoryview, blocks: BlockReader) -> None:
        if part.cid.is_identity:
            data: bytes | memoryview | None = part.cid.identity_data
        else:
            data = blocks.get_if_ready(part.cid)
            if data is None:
                data = await blocks.get(part.cid)
        assert data is not None  # get() returns or raises
        if len(data) != part.size or len(data) > MAX_BLOCK:
            raise UnixFSError(f"{part.cid} holds {len(data)} bytes, its parent says {part.size}")
        self.blocks_read += 1
        into[part.at : part.at + part.length] = memoryview(data)[part.start : part.start + part.length]

    async def _walked(self, cid: CID, start: int, end: int, blocks: BlockReader) -> bytes:
        return b"".join([piece async for piece in self._pieces(cid, start, end, blocks)])

    async def _pieces(self, cid: CID, start: int, end: int | None, blocks: BlockReader) -> AsyncIterator[bytes]:
        length = None if end is None else end - start
        async for data in drive(read_file(cid, start, length), blocks):
            self.blocks_read += 1
            yield bytes(data.chunk)

    @asynccontextmanager
    async def pieces(self, cid: CID) -> AsyncGenerator[AsyncIterator[bytes], None]:
        """A whole file as it comes, at most MAX_BLOCK bytes at a time."""
        async with self._source.session() as blocks:
            yield self._pieces(cid, 0, None, blocks)


_KINDS = {
    EntryType.DIRECTORY: Kind.DIRECTORY,
    EntryType.HAMT_SHARD: Kind.DIRECTORY,
    EntryType.FILE: Kind.FILE,
    EntryType.SYMLINK: Kind.SYMLINK,
}


def _buffer(length: int) -> BytesIO:
    """Room for bytes whose getvalue() copies nothing: a copy of a MiB takes as long as reading it, and longer."""
    buffer = BytesIO()
    if length:
        buffer.seek(length - 1)
        buffer.write(b"\0")
    return buffer


def _check_name(name: str, folder: CID) -> None:
    """Names that could lead out of a folder they are saved to, or that no path can reach."""
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise OSError(errno.EIO, f"the directory has an entry named {name[:40]!r}, which no path can name", str(folder))
