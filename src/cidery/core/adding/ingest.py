"""The worker-thread half of add(): read, hash, store. Nothing here touches the event loop.

Reading, hashing and writing free the GIL for buffers of this size, so two threads keep two cores busy. A job stores
its blocks in batches as it goes, so memory is bounded by MAX_BATCH per thread whatever the files are.
"""

import os
import stat
import threading
from collections.abc import Iterator, Sequence
from typing import NamedTuple, assert_never

from cidery.blockstore.filestore import Reference, References
from cidery.blockstore.interface import BlockStore
from cidery.core.adding.chunk_stream import cut
from cidery.core.adding.items import Bytes, CannotAdd, File, Folder, Identity, Item, Link, Stored, Stream, mtime_of
from cidery.core.adding.journal import AddJournal, NotRemembered, file_entry, identity_of
from cidery.core.adding.reader_process import SMALL_FILE, Leaf
from cidery.disk.file_reads import pread_exactly
from cidery.errors import Unavailable
from cidery.ipld.block import Block
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import RAW
from cidery.unixfs.importer import FileBuilder, leaf, symlink
from cidery.unixfs.layout import Child
from cidery.unixfs.metadata import Mtime
from cidery.unixfs.profile import Profile

MAX_BATCH = 4 << 20
"""Bytes of blocks collected before they go to the store: large writes, small memory."""
MAX_BATCH_BLOCKS = 512
"""Blocks collected before they go to the store, for tiny files."""
BIG_FILE = 8 << 20
"""Files above this many bytes are read by several threads, a range each."""
_OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)


class Stopped(Unavailable):
    """The add was cancelled while this thread worked for it."""


class Origin(NamedTuple):
    """The file that chunks come from, when its bytes stay there."""

    path: str
    found: os.stat_result
    offset: int = 0
    """Of the first chunk, in bytes."""


class FilePart(NamedTuple):
    """Where the chunks are in their file, for the journal."""

    identity: Identity
    start: int
    racy_from: int
    """The journal's value from before they were read."""


class Batch:
    """Blocks on their way to the store. Used by one thread."""

    def __init__(self, store: BlockStore | None, references: References | None = None) -> None:
        """``references``: where the leaves of files with an origin are noted instead of stored."""
        self._store = store
        self._blocks: list[Block] = []
        self._bytes = 0
        self._references = references
        self._noted: list[Reference] = []
        self._origin: Origin | None = None

    def begin(self, origin: Origin | None) -> None:
        """The raw blocks that follow are, in order, the bytes of this file."""
        self._origin = origin

    def put(self, block: Block) -> None:
        if self._store is None:
            return
        size = len(block.data)
        if self._references is not None and self._origin is not None and block.cid.codec == RAW and size:
            path, found, offset = self._origin
            self._origin = Origin(path, found, offset + size)
            if not block.cid.is_identity:
                self._noted.append(Reference(block.cid.multihash, path, offset, size, found.st_size, found.st_mtime_ns))
            if len(self._noted) >= MAX_BATCH_BLOCKS:
                self.flush()
            return
        self._blocks.append(block)
        self._bytes += len(block.data)
        if self._bytes >= MAX_BATCH or len(self._blocks) >= MAX_BATCH_BLOCKS:
            self.flush()

    def flush(self) -> None:
        if self._blocks and self._store is not None:
            self._store.put_many_blocking(self._blocks, kept=True)
        if self._noted and self._references is not None:
            self._references.put(self._noted)
        self._blocks = []
        self._noted = []
        self._bytes = 0


class Metadata(NamedTuple):
    """Metadata written into nodes along with the bytes."""

    preserve_mode: bool = False
    preserve_mtime: bool = False
    mode: int | None = None
    """Given for every entry; takes precedence over preserved values."""
    mtime: Mtime | None = None

    @property
    def any(self) -> bool:
        return self.preserve_mode or self.preserve_mtime or self.mode is not None or self.mtime is not None

    def of_item(self, mode: int | None, mtime: Mtime | None) -> tuple[int | None, Mtime | None]:
        """The mode and time to store for an entry with these."""
        return self.mode if self.mode is not None else mode, self.mtime if self.mtime is not None else mtime

    def of_file(self, found: os.stat_result) -> tuple[int | None, Mtime | None]:
        return self.of_item(
            stat.S_IMODE(found.st_mode) or None if self.preserve_mode else None,
            mtime_of(found) if self.preserve_mtime else None,
        )


class Finished(NamedTuple):
    """An item that is stored (files, symlinks)."""

    child: Child
    size: int
    """Bytes read."""
    mode: int | None
    mtime: Mtime | None


class Remembered(NamedTuple):
    """A file that an earlier run of the same add finished; add() checks whether it is still stored."""

    child: Child
    identity: Identity
    size: int
    mode: int | None
    mtime: Mtime | None


class BigFile(NamedTuple):
    """A file that was left to ingest_range()."""

    path: str
    found: os.stat_result
    mode: int | None
    mtime: Mtime | None


Result = Finished | Remembered | BigFile | None
"""The outcome of one item: stored, known from an earlier run, left to range(), or a directory."""


class Ingest:
    """The jobs of one add(). Methods run in worker threads, several at once."""

    def __init__(
        self,
        profile: Profile,
        store: BlockStore | None,
        metadata: Metadata,
        references: References | None = None,
        journal: AddJournal | None = None,
    ) -> None:
        """``store``: None to compute CIDs only. ``references``: for files whose bytes stay where they are."""
        self.references = references
        self.journal = journal
        self.profile = profile
        self.store = store
        self.metadata = metadata
        self.stop = threading.Event()
        self._racy_from = 0
        self._has_metadata = metadata.any

    def items(self, items: Sequence[Item], read: Sequence[Leaf | None] = (), entries: bytes = b"") -> list[Result]:
        """Read and store whole items; None for directories. Raises CannotAdd, Stopped and as the store.

        ``read``: files at paths among the items, in order, that a ReaderProcess may have read already, with their
        ``entries`` for the journal.
        """
        batch = Batch(self.store, self.references)
        out: list[Result] = []
        leaves = iter(read)
        noted = [entries]
        if self.journal is not None:
            self._racy_from = self.journal.racy_from()
        for item in items:
            if self.stop.is_set():
                raise Stopped("add was cancelled")
            match item:
                case Folder():
                    out.append(None)
                case Link():
                    out.append(self._link(item, batch))
                case File():
                    found = next(leaves, None)
                    out.append(self._file(item, batch, noted) if found is None else _store_leaf(found, batch))
                case Stored():
                    out.append(self._remembered(item))
                case Bytes():
                    out.append(self._bytes(item, batch, noted))
                case Stream():
                    raise AssertionError("batches() turns short streams into bytes, and long ones feed chunks()")
                case _:
                    assert_never(item)
        batch.flush()
        if self.journal is not None:
            self.journal.note_files(noted)
        return out

    def _link(self, item: Link, batch: Batch) -> Finished:
        _, mtime = self.metadata.of_item(None, item.mtime)
        child, block = symlink(self.profile, item.target, mtime)
        batch.put(block)
        return Finished(child, 0, None, mtime)

    def _bytes(self, item: Bytes, batch: Batch, noted: list[bytes]) -> Finished:
        batch.begin(None)
        mode, mtime = self.metadata.of_item(item.mode, item.mtime)
        child = self._build(cut(self.profile, item.data), mode, mtime, batch)
        if item.identity is not None:
            self._note(item.identity, child, noted)
        return Finished(child, len(item.data), mode, mtime)

    def _remembered(self, item: Stored) -> Remembered:
        """Raises NotRemembered."""
        known = self.journal.file(item.identity) if self.journal is not None else None
        if known is None:
            raise NotRemembered(item.name)
        mode, mtime = self.metadata.of_item(item.mode, item.mtime)
        return Remembered(known, item.identity, known.filesize, mode, mtime)

    def _build(self, chunks: Sequence[bytes], mode: int | None, mtime: Mtime | None, batch: Batch) -> Child:
        if len(chunks) <= 1 and not self.profile.trickle:
            child, block = leaf(self.profile, chunks[0] if chunks else b"", mode, mtime)
            batch.put(block)
            return child
        builder = FileBuilder(self.profile, mode, mtime)
        for chunk in filter(None, chunks):
            for block in builder.add_chunk(chunk):
                batch.put(block)
        child, blocks = builder.finish()
        for block in blocks:
            batch.put(block)
        return child

    def _file(self, item: File, batch: Batch, noted: list[bytes]) -> Finished | Remembered | BigFile:
        fd, found = open_regular(item.path, item.follow)
        try:
            mode, mtime = self.metadata.of_file(found) if self._has_metadata else (None, None)
            size = found.st_size
            identity = identity_of(found)
            if self.journal is not None and (known := self.journal.file(identity)) is not None:
                return Remembered(known, identity, size, mode, mtime)
            batch.begin(self.origin(item.path, found))
            if size > BIG_FILE:
                return BigFile(item.path, found, mode, mtime)
            try:
                if size <= self.profile.chunk_size:
                    data = os.read(fd, size + 1)  # one byte more, to notice a file that grew
                    if len(data) == size:
                        child = self._build(cut(self.profile, data), mode, mtime, batch)
                        self._note(identity, child, noted)
                        return Finished(child, size, mode, mtime)
                    os.lseek(fd, 0, os.SEEK_SET)
                if self.profile.chunker is None:
                    chunks = list(self._read_all(fd, size))
                else:
                    chunks = cut(self.profile, read_exactly(fd, size + 1))
            except OSError as exc:
                raise CannotAdd(item.path, (exc.strerror or str(exc)).lower()) from exc
            if sum(map(len, chunks)) != size:
                raise CannotAdd(item.path, "it changed size while it was read; add it again when it is still")
            child = self._build(chunks, mode, mtime, batch)
            self._note(identity, child, noted)
            return Finished(child, size, mode, mtime)
        finally:
            os.close(fd)

    def _note(self, identity: Identity, child: Child, noted: list[bytes]) -> None:
        if self.journal is not None:
            noted.append(file_entry(identity, child.cid.encode(), child.filesize, child.tsize, self._racy_from))

    def small_file(self, path: str, follow: bool, racy_from: int, entries: list[bytes]) -> Leaf | None:
        """A file of one leaf, read and hashed; None if it is not that, or cannot be read.

        Its entry for the journal goes to ``entries``; ``racy_from`` as file_entry() has it, 0 if there is no journal.
        """
        try:
            fd, found = open_regular(path, follow)
        except CannotAdd:
            return None
        try:
            size = found.st_size
            if size > SMALL_FILE:
                return None
            data = os.read(fd, size + 1)  # one byte more, to notice a file that grew
        except OSError:
            return None
        finally:
            os.close(fd)
        if len(data) != size:
            return None
        mode, mtime = self.metadata.of_file(found) if self._has_metadata else (None, None)
        child, block = leaf(self.profile, data, mode, mtime)
        cid = child.cid.encode()
        if racy_from:
            entries.append(file_entry(identity_of(found), cid, size, child.tsize, racy_from))
        return Leaf(cid, bytes(block.data), size, child.tsize, mode, mtime)

    def _read_all(self, fd: int, size: int) -> Iterator[bytes]:
        """Chunks of a whole file; one byte more is requested, to notice a file that grew."""
        chunk_size = self.profile.chunk_size
        left = size
        while left > chunk_size:
            chunk = read_exactly(fd, chunk_size)
            if not chunk:
                return
            yield chunk
            left -= len(chunk)
        last = read_exactly(fd, left + 1)
        if last:
            yield last

    def origin(self, path: str, found: os.stat_result, offset: int = 0) -> Origin | None:
        """The origin of the chunks of a file, if they stay there."""
        return Origin(os.path.abspath(path), found, offset) if self.references is not None else None

    def range(self, fd: int, path: str, found: os.stat_result, start: int, end: int) -> list[Child]:
        """Store the leaves of bytes ``[start, end)`` of a big file; ``start`` is a multiple of the chunk size."""
        racy_from = 0 if self.journal is None else self.journal.racy_from()
        batch = Batch(self.store, self.references)
        batch.begin(self.origin(path, found, start))
        out: list[Child] = []
        chunk_size = self.profile.chunk_size
        for at in range(start, end, chunk_size):
            if self.stop.is_set():
                raise Stopped("add was cancelled")
            wanted = min(chunk_size, end - at)
            try:
                chunk = pread_exactly(fd, wanted, at)
            except OSError as exc:
                raise CannotAdd(path, (exc.strerror or str(exc)).lower()) from exc
            if len(chunk) != wanted:
                raise CannotAdd(path, "it became shorter while it was read; add it again when it is still")
            child, block = leaf(self.profile, chunk)
            out.append(child)
            batch.put(block)
        batch.flush()
        if self.journal is not None:
            self.journal.note_part(identity_of(found), start, out, racy_from)
        return out

    def chunks(
        self, chunks: Sequence[bytes], origin: Origin | None = None, part: FilePart | None = None
    ) -> list[Child]:
        """Store the leaves of consecutive chunks of a stream, or of a file with ``origin``.

        ``part``: the file that they come from, for the journal, and where they start in it.
        """
        batch = Batch(self.store, self.references)
        batch.begin(origin)
        out: list[Child] = []
        for chunk in chunks:
            if self.stop.is_set():
                raise Stopped("add was cancelled")
            child, block = leaf(self.profile, chunk)
            out.append(child)
            batch.put(block)
        batch.flush()
        if self.journal is not None and part is not None:
            self.journal.note_part(part.identity, part.start, out, part.racy_from)
        return out

    def blocks(self, blocks: Sequence[Block]) -> None:
        """Store finished nodes."""
        batch = Batch(self.store)
        for block in blocks:
            batch.put(block)
        batch.flush()


def _store_leaf(found: Leaf, batch: Batch) -> Finished:
    cid = CID.decode(found.cid)
    batch.begin(None)
    batch.put(Block(cid, found.block))
    mtime = None if found.mtime is None else Mtime(*found.mtime)
    return Finished(Child(cid, found.size, found.tsize), found.size, found.mode, mtime)


def open_regular(path: str, follow: bool) -> tuple[int, os.stat_result]:
    """Open a regular file for reading: (descriptor, its stat). Never blocks on a pipe. Raises CannotAdd."""
    try:
        fd = os.open(path, _OPEN_FLAGS if follow else _OPEN_FLAGS | _NO_FOLLOW)
    except (OSError, ValueError) as exc:
        raise CannotAdd(path, (getattr(exc, "strerror", None) or str(exc)).lower()) from exc
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode):
        os.close(fd)
        raise CannotAdd(path, "it is no longer a file")
    return fd, found


def read_exactly(fd: int, size: int) -> bytes:
    """Up to ``size`` bytes; fewer only at the end of the file."""
    data = os.read(fd, size)
    if len(data) == size or not data:
        return data
    parts = [data]
    missing = size - len(data)
    while missing and (data := os.read(fd, missing)):
        parts.append(data)
        missing -= len(data)
    return b"".join(parts) if len(parts) > 1 else parts[0]
