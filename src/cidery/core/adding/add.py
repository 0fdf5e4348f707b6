"""Adds files and folders: scan, read, hash and store in two threads, assemble in order, one sync at the end.

An entry at the top level is reported only when everything up to it is durable; entries inside folders are reported
as they are stored. An add that was stopped may leave blocks in the store that nothing refers to.
"""

import asyncio
import os
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

from cidery.blockstore.filestore import References
from cidery.blockstore.interface import BlockStore
from cidery.core.adding.batches import LongStream, Source, batches, each
from cidery.core.adding.chunk_stream import chunks_of, file_pieces
from cidery.core.adding.ingest import (
    Batch,
    BigFile,
    FilePart,
    Finished,
    Ingest,
    Metadata,
    Origin,
    Remembered,
    Result,
    open_regular,
)
from cidery.core.adding.items import CannotAdd, File, Folder, Identity, Item, ScanOptions, Stored
from cidery.core.adding.journal import AddJournal, NotRemembered, identity_of
from cidery.core.adding.reader_process import START_AFTER, ReaderGone, ReaderProcess, can_read
from cidery.core.adding.tree import AddTree
from cidery.ipld.block import Block
from cidery.multiformats.cid import CID
from cidery.unixfs.importer import FileBuilder
from cidery.unixfs.layout import Child
from cidery.unixfs.metadata import Mtime
from cidery.unixfs.profile import UNIXFS_V1_2025, ImportOptionError, Profile

THREADS = 2
"""Worker threads per add: hashing is bound by the memory bus and the cores of small machines."""
MAX_JOBS = 6
"""Jobs handed to the threads and not yet assembled: keeps both busy while results are awaited in order."""
JOB_BYTES = 4 << 20
"""Bytes of a big file per job: the work that each thread repeats after a crash."""
JOB_CHUNKS = 1024
"""Chunks of a big file per job, for tiny chunk sizes."""
PROGRESS_BYTES = 256 * 1024
"""Bytes of a stream between two progress events, as in Kubo; or one chunk, if that is longer."""


class AddOptions(NamedTuple):
    """The options of ``add``."""

    profile: Profile = UNIXFS_V1_2025
    """Rules that decide the CID; unixfs.profile.with_options() derives one from command-line options."""
    scan: ScanOptions = ScanOptions()
    wrap: bool = False
    """Wrap everything in one more directory, so that names are kept."""
    only_hash: bool = False
    """Compute CIDs, store nothing."""
    progress: bool = False
    """Yield AddProgress for big files and streams."""
    mode: int | None = None
    """Permission bits for every entry."""
    mtime: Mtime | None = None
    """Time of modification for every entry."""
    references: References | None = None
    """Where references to the files of this machine are noted, whose bytes then stay uncopied; needs raw leaves."""

    @property
    def metadata(self) -> Metadata:
        return Metadata(self.scan.preserve_mode, self.scan.preserve_mtime, self.mode, self.mtime)


class Added(NamedTuple):
    """An entry is complete."""

    name: str
    """Relative path; the CID for a nameless file; "" for the wrapping directory."""
    cid: CID
    size: int
    """Cumulative size of its DAG, in bytes."""
    bytes: int
    """Bytes of content read for it; 0 for directories and symlinks."""
    root: bool
    """Whether it is a root: pin this one. It is durable."""
    mode: int | None = None
    mtime: Mtime | None = None


class AddProgress(NamedTuple):
    """Progress within a big file or stream."""

    name: str
    bytes: int
    """Bytes read of it so far."""


class Memory(NamedTuple):
    """Lets an add resume where it was interrupted."""

    journal: AddJournal
    whole: Callable[[Sequence[Child]], Awaitable[list[bool]]]
    """Whether all blocks of each are stored as kept; notes them for a collector."""


Step = Callable[[], list[Child]] | int
"""A job that makes leaves, or the number of stream bytes received."""


async def add(
    sources: Sequence[Source] | AsyncIterable[Item],
    store: BlockStore,
    options: AddOptions | None = None,
    memory: Memory | None = None,
) -> AsyncGenerator[Added | AddProgress, None]:
    """Add paths, bytes or items; events in Kubo's order: files and links as walked, then directories, roots last.

    With ``memory``, files that an earlier run stored are not read again, and files read now are noted in its journal.
    Limits: THREADS threads, about 60 MB of buffers, one index entry per added name.
    Raises:
        CannotAdd, BadName, TooManyCollisions, ImportOptionError, and as the store (disk full, read-only).
    Cancellation: safe at any point; threads stop within one chunk before this returns.
    """
    adding = _Adding(store, options or AddOptions(), memory)
    try:
        async for event in adding.run(sources):
            yield event
    finally:
        await adding.close()


async def add_root(
    sources: Sequence[Source] | AsyncIterable[Item], store: BlockStore, options: AddOptions | None = None
) -> CID:
    """As add(), but only the CID of the last root."""
    root: CID | None = None
    async for event in add(sources, store, options):
        if isinstance(event, Added) and event.root:
            root = event.cid
    if root is None:
        raise CannotAdd("nothing", "no file, folder or bytes were given")
    return root


class _Adding:
    """One add() in progress."""

    def __init__(self, store: BlockStore, options: AddOptions, memory: Memory | None) -> None:
        self._store = store
        self._memory = memory
        self._options = options
        self._metadata = options.metadata
        if options.references is not None and not options.profile.raw_leaves:
            raise ImportOptionError("files can stay where they are (--nocopy) with raw leaves only; use --raw-leaves")
        self._ingest = Ingest(
            options.profile,
            None if options.only_hash else store,
            options.metadata,
            options.references,
            None if memory is None else memory.journal,
        )
        self._tree = AddTree(options.mode, options.mtime)
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="cidery-add")
        # Whole small files spend their time in short system calls: two threads would only contend for the GIL.
        self._one = ThreadPoolExecutor(1, thread_name_prefix="cidery-add")
        self._open: set[int] = set()
        self._reader: ReaderProcess | None = None
        self._reader_helps = options.references is None and can_read(options.profile)
        self._files = 0
        self._behind = memory is not None and not memory.journal.is_empty
        """Whether the scan is still among the files that an earlier run stored, which need no reading."""

    async def close(self) -> None:
        """Stop the threads; returns when none is running, at most one chunk later."""
        self._ingest.stop.set()
        if self._reader is not None:
            await asyncio.to_thread(self._reader.close)
        for pool in (self._one, self._pool):
            await asyncio.to_thread(pool.shutdown, True, cancel_futures=True)
        while self._open:
            os.close(self._open.pop())

    async def run(self, sources: Sequence[Source] | AsyncIterable[Item]) -> AsyncIterator[Added | AddProgress]:
        pending: deque[tuple[list[Item], Future[list[Result]]]] = deque()
        async for job in batches(sources, self._options.profile, self._options.scan):
            if isinstance(job, LongStream):
                while pending:
                    async for event in self._finish(*pending.popleft()):
                        yield event
                async for event in self._long(job):
                    yield event
                continue
            pending.append((job, self._submit(job)))
            if len(pending) >= MAX_JOBS:
                async for event in self._finish(*pending.popleft()):
                    yield event
        while pending:
            async for event in self._finish(*pending.popleft()):
                yield event
        folders = await asyncio.wrap_future(self._pool.submit(self._write_folders))
        if folders:
            await self._sync()
        for added in folders:
            yield added

    def _submit(self, items: list[Item]) -> "Future[list[Result]]":
        """Store whole items; many small files are read and hashed by a second process."""
        paths = [(item.path, item.follow) for item in items if isinstance(item, File)]
        self._files += len(paths)
        if self._behind:
            return self._one.submit(self._ingest.items, items)
        if self._reader is None and self._reader_helps and self._files > START_AFTER:
            metadata = self._metadata
            try:
                self._reader = ReaderProcess(
                    self._options.profile,
                    (metadata.preserve_mode, metadata.preserve_mtime),
                    (metadata.mode, metadata.mtime),
                )
            except ReaderGone:
                self._reader_helps = False
        reader = self._reader
        if reader is None or not reader.ready or not self._reader_helps or not paths:
            return self._one.submit(self._ingest.items, items)
        reader.ask(paths, self._racy_from())
        return self._one.submit(self._with_reader, reader, items)

    def _with_reader(self, reader: ReaderProcess, items: list[Item]) -> list[Result]:
        """Runs in the thread."""
        try:
            leaves, entries = reader.answer() if self._reader_helps else ([], b"")
        except ReaderGone:
            self._reader_helps, leaves, entries = False, [], b""
        return self._ingest.items(items, leaves, entries)

    def _racy_from(self) -> int:
        """The journal's value, for files read from now on; 0 without a journal."""
        return self._memory.journal.racy_from() if self._memory is not None else 0

    async def _sync(self) -> None:
        if not self._options.only_hash:
            await self._store.sync()

    async def _finish(self, items: list[Item], future: "Future[list[Result]]") -> AsyncIterator[Added | AddProgress]:
        """Place the results of one job into the tree."""
        events: list[Added] = []
        results = await asyncio.wrap_future(future)
        if self._memory is not None and self._behind:
            if any(isinstance(result, Remembered) for result in results):
                results = await self._checked(self._memory, items, results)
            elif any(isinstance(result, Finished) for result in results):
                self._behind = False
        for item, result in zip(items, results, strict=True):
            if isinstance(item, Folder):
                self._tree.put_folder(item.name, *self._metadata.of_item(item.mode, item.mtime))
            elif isinstance(result, Finished):
                events.append(self._place(item.name, result))
            else:
                assert isinstance(result, BigFile)  # _checked() leaves nothing remembered
                async for part in self._big(item.name, result):
                    if isinstance(part, AddProgress):
                        yield part
                    else:
                        events.append(self._place(item.name, part))
        if any(event.root for event in events):
            await self._sync()
        for event in events:
            yield event

    async def _checked(self, memory: Memory, items: list[Item], results: list[Result]) -> list[Result]:
        """The results, with remembered files looked up in the store and read again if they are not there."""
        known = [result for result in results if isinstance(result, Remembered)]
        for result, whole in zip(known, await memory.whole([one.child for one in known]), strict=True):
            if whole:
                memory.journal.reused += result.size
            else:
                memory.journal.forget(result.identity)
        lost = [
            at
            for at, result in enumerate(results)
            if isinstance(result, Remembered) and memory.journal.file(result.identity) is None
        ]
        for at in lost:
            if isinstance(items[at], Stored):
                raise NotRemembered(items[at].name)
        again = await asyncio.wrap_future(self._one.submit(self._ingest.items, [items[at] for at in lost]))
        out: list[Result] = [
            Finished(result.child, result.size, result.mode, result.mtime) if isinstance(result, Remembered) else result
            for result in results
        ]
        for at, fresh in zip(lost, again, strict=True):
            out[at] = fresh
        return out

    def _place(self, name: str, done: Finished) -> Added:
        name = name or str(done.child.cid)
        self._tree.put(name, done.child)
        is_root = "/" not in name and not self._options.wrap
        return Added(name, done.child.cid, done.child.tsize, done.size, is_root, done.mode, done.mtime)

    async def _big(self, name: str, big: BigFile) -> AsyncIterator[AddProgress | Finished]:
        fd, before = await asyncio.to_thread(open_regular, big.path, True)
        self._open.add(fd)  # if this is interrupted, close() closes it once no thread reads it
        if not os.path.samestat(before, big.found):
            raise CannotAdd(big.path, "it was replaced while it was read")
        racy_from = self._racy_from()
        known = await self._known_parts(identity_of(before))
        jobs = self._ranges(fd, big.path, before, known)
        if self._options.profile.chunker is not None:
            jobs = self._cuts(fd, big.path, before, known)
        finished: Finished | None = None
        async for part in self._assemble(name, jobs, big.mode, big.mtime):
            if isinstance(part, Finished):
                finished = part
            else:
                yield part
        after = os.fstat(fd)
        self._open.discard(fd)
        os.close(fd)
        if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
            raise CannotAdd(big.path, "it changed while it was read; add it again when it is still")
        assert finished is not None  # _assemble ends with it
        if self._memory is not None:
            await asyncio.to_thread(self._memory.journal.note_file, identity_of(before), finished.child, racy_from)
        yield finished

    async def _known_parts(self, identity: Identity) -> dict[int, list[Child]]:
        """Leaves that an earlier run stored and that are still there, by their offsets."""
        if self._memory is None or self._memory.journal.is_empty:
            return {}
        parts = self._memory.journal.parts(identity)
        return {start: leaves for start, leaves in parts.items() if all(await self._memory.whole(leaves))}

    def _ranges(self, fd: int, path: str, found: os.stat_result, known: dict[int, list[Child]]) -> AsyncIterator[Step]:
        """Jobs for a big file in chunks of one size."""
        size, chunk_size = found.st_size, self._options.profile.chunk_size
        step = max(1, min(JOB_BYTES // chunk_size, JOB_CHUNKS)) * chunk_size

        def job(start: int) -> Step:
            end = min(start + step, size)
            leaves = known.get(start)
            if leaves is None or sum(leaf.filesize for leaf in leaves) != end - start:
                return partial(self._ingest.range, fd, path, found, start, end)
            return self._given(leaves)

        return each(map(job, range(0, size, step)))

    def _given(self, leaves: list[Child]) -> Callable[[], list[Child]]:
        assert self._memory is not None  # known parts come from it
        self._memory.journal.reused += sum(leaf.filesize for leaf in leaves)
        return lambda: leaves

    async def _cuts(
        self, fd: int, path: str, found: os.stat_result, known: dict[int, list[Child]]
    ) -> AsyncIterator[Step]:
        """Jobs for a big file with content-defined chunks: a cut depends only on the data after the previous one."""
        at = 0
        while (leaves := known.get(at)) and at < found.st_size:
            yield self._given(leaves)
            at += sum(leaf.filesize for leaf in leaves)
        await asyncio.to_thread(os.lseek, fd, at, os.SEEK_SET)
        if at < found.st_size:
            part = FilePart(identity_of(found), at, self._racy_from())
            chunks = chunks_of(file_pieces(fd), self._options.profile)
            async for job in self._groups(chunks, self._ingest.origin(path, found, at), part, at):
                yield job

    async def _long(self, stream: "LongStream") -> AsyncIterator[Added | AddProgress]:
        item = stream.item
        racy_from = self._racy_from()
        mode, mtime = self._metadata.of_item(item.mode, item.mtime)
        async for part in self._assemble(item.name, self._sent(stream), mode, mtime):
            if isinstance(part, AddProgress):
                yield part
                continue
            if self._memory is not None and item.identity is not None:
                await asyncio.to_thread(self._memory.journal.note_file, item.identity, part.child, racy_from)
            event = self._place(item.name, part)
            if event.root:
                await self._sync()
            yield event

    async def _sent(self, stream: "LongStream") -> AsyncIterator[Step]:
        """Jobs for a stream, following the part that its sender left out as already stored. Raises NotRemembered."""
        item, at = stream.item, 0
        known = await self._known_parts(item.identity) if item.has and item.identity is not None else {}
        while at < item.has:
            leaves = known.get(at)
            if not leaves:
                raise NotRemembered(item.name)
            yield self._given(leaves)
            at += sum(leaf.filesize for leaf in leaves)
        part = None if item.identity is None else FilePart(item.identity, at, self._racy_from())
        async for job in self._groups(stream.chunks, part=part, before=at):
            yield job

    async def _groups(
        self,
        chunks: AsyncIterator[bytes],
        origin: Origin | None = None,
        part: FilePart | None = None,
        before: int = 0,
    ) -> AsyncIterator[Step]:
        """``before``: bytes of the file in front of these chunks."""
        group: list[bytes] = []
        size, read, told = 0, before, before
        async for chunk in chunks:
            group.append(chunk)
            size += len(chunk)
            read += len(chunk)
            if self._options.progress and read - told >= PROGRESS_BYTES:
                yield read
                told = read
            if size >= JOB_BYTES or len(group) >= JOB_CHUNKS:
                yield partial(self._ingest.chunks, group, origin, part)
                origin = origin and origin._replace(offset=origin.offset + size)
                part = part and FilePart(part.identity, part.start + size, self._racy_from())
                group, size = [], 0
        if group:
            yield partial(self._ingest.chunks, group, origin, part)

    async def _assemble(
        self, name: str, jobs: AsyncIterator[Step], mode: int | None, mtime: Mtime | None
    ) -> AsyncIterator[AddProgress | Finished]:
        """Run jobs that make the leaves of one file, a few at a time; the Finished file comes last."""
        builder = FileBuilder(self._options.profile, mode, mtime)
        window: deque[Future[list[Child]]] = deque()
        nodes: list[Block] = []
        read = told = 0

        async def oldest() -> int:
            children = await asyncio.wrap_future(window.popleft())
            for child in children:
                nodes.extend(builder.add_leaf(child))
            return sum(child.filesize for child in children)

        async for job in jobs:
            if isinstance(job, int):
                told = job
                yield AddProgress(name, told)
                continue
            window.append(self._pool.submit(job))
            if len(window) >= MAX_JOBS:
                read += await oldest()
                if self._options.progress and read > told:
                    yield AddProgress(name, read)
        while window:
            read += await oldest()
        root, rest = builder.finish()
        await asyncio.wrap_future(self._pool.submit(self._ingest.blocks, nodes + rest))
        yield Finished(root, read, mode, mtime)

    def _write_folders(self) -> list[Added]:
        """Runs in a thread."""
        batch = Batch(None if self._options.only_hash else self._store)
        out: list[Added] = []
        wrap = self._options.wrap
        for path, folder, child in self._tree.finish(
            self._options.profile, batch.put, wrap=wrap, empty_dirs=self._options.scan.empty_dirs
        ):
            is_root = path == "" if wrap else "/" not in path
            out.append(Added(path, child.cid, child.tsize, 0, is_root, folder.mode, folder.mtime))
        batch.flush()
        return out
