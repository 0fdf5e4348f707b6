"""Adds files and folders: scan, read, hash and store in two threads, assemble in order, one sync at the end.

An entry at the top level is reported only when everything up to it is durable; entries inside folders are reported
as they are stored. An add that was stopped may leave blocks in the store that nothing refers to.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Sequence
from typing import NamedTuple

from cidery.blockstore.filestore import References
from cidery.blockstore.interface import BlockStore
from cidery.core.adding.assembly import MAX_JOBS, assembled
from cidery.core.adding.batches import LongStream, Source, batches
from cidery.core.adding.events import Added, AddProgress
from cidery.core.adding.file_jobs import FileJobs, Memory, Step
from cidery.core.adding.ingest import Batch, BigFile, Finished, Ingest, Metadata, Result, open_regular
from cidery.core.adding.items import CannotAdd, Folder, Item, ScanOptions
from cidery.core.adding.journal import identity_of
from cidery.core.adding.tree import AddTree
from cidery.core.adding.whole_items import WholeItems
from cidery.core.adding.workers import Workers
from cidery.multiformats.cid import CID
from cidery.unixfs.metadata import Mtime
from cidery.unixfs.profile import UNIXFS_V1_2025, ImportOptionError, Profile
from cidery.waiting import Outcome, off_loop, result_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from concurrent.futures import Future

THREADS = 2
"""Worker threads per add: hashing is bound by the memory bus and the cores of small machines."""


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
    part: bool = False
    """Only some of the items: they are stored, but no folder is made of them, and the job waits for the rest."""
    references: References | None = None
    """Where references to the files of this machine are noted, whose bytes then stay uncopied; needs raw leaves."""

    @property
    def metadata(self) -> Metadata:
        return Metadata(self.scan.preserve_mode, self.scan.preserve_mtime, self.mode, self.mtime)


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
        self._pool = Workers(THREADS)
        self._jobs = FileJobs(self._ingest, memory, progress=options.progress)
        self._whole = WholeItems(self._ingest, self._jobs, memory)
        self._open: set[int] = set()

    async def close(self) -> None:
        """Stop the threads; returns when none is running, at most one chunk later."""
        self._ingest.stop.set()
        await self._whole.close()
        await self._pool.close()
        while self._open:
            os.close(self._open.pop())

    async def run(self, sources: Sequence[Source] | AsyncIterable[Item]) -> AsyncIterator[Added | AddProgress]:
        pending: deque[tuple[list[Item], Future[list[Result]] | Outcome[list[Result]]]] = deque()
        async for job in batches(sources, self._options.profile, self._options.scan):
            if isinstance(job, LongStream):
                while pending:
                    async for event in self._finish(*pending.popleft()):
                        yield event
                async for event in self._long(job):
                    yield event
                continue
            pending.append((job, self._whole.submit(job)))
            if len(pending) >= MAX_JOBS:
                async for event in self._finish(*pending.popleft()):
                    yield event
        while pending:
            async for event in self._finish(*pending.popleft()):
                yield event
        if self._options.part:
            await self._sync()
            return
        folders = await result_of(self._pool.submit(self._write_folders))
        if folders:
            await self._sync()
        for added in folders:
            yield added

    async def _sync(self) -> None:
        if not self._options.only_hash:
            await self._store.sync()

    async def _finish(
        self, items: list[Item], future: Future[list[Result]] | Outcome[list[Result]]
    ) -> AsyncIterator[Added | AddProgress]:
        """Place the results of one job into the tree."""
        events: list[Added] = []
        for item, result in zip(items, await self._whole.results(items, future), strict=True):
            if isinstance(item, Folder):
                self._tree.put_folder(item.name, *self._metadata.of_item(item.mode, item.mtime))
            elif isinstance(result, Finished):
                events.append(self._place(item.name, result))
            else:
                assert isinstance(result, BigFile)  # nothing is left Remembered
                async for part in self._big(item.name, result):
                    if isinstance(part, AddProgress):
                        yield part
                    else:
                        events.append(self._place(item.name, part))
        if any(event.root for event in events):
            await self._sync()
        for event in events:
            yield event

    def _place(self, name: str, done: Finished) -> Added:
        name = name or str(done.child.cid)
        self._tree.put(name, done.child)
        is_root = "/" not in name and not self._options.wrap
        return Added(name, done.child.cid, done.child.tsize, done.size, is_root, done.mode, done.mtime)

    def _assemble(
        self, name: str, jobs: AsyncIterator[Step], mode: int | None, mtime: Mtime | None
    ) -> AsyncIterator[AddProgress | Finished]:
        return assembled(name, jobs, mode, mtime, ingest=self._ingest, pool=self._pool, progress=self._options.progress)

    async def _big(self, name: str, big: BigFile) -> AsyncIterator[AddProgress | Finished]:
        fd, before = await off_loop(open_regular, big.path, True)
        self._open.add(fd)  # if this is interrupted, close() closes it once no thread reads it
        if not os.path.samestat(before, big.found):
            raise CannotAdd(big.path, "it was replaced while it was read")
        racy_from = self._jobs.racy_from()
        jobs = self._jobs.of_file(fd, big.path, before)
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
            await off_loop(self._memory.journal.note_file, identity_of(before), finished.child, racy_from)
        yield finished

    async def _long(self, stream: LongStream) -> AsyncIterator[Added | AddProgress]:
        item = stream.item
        racy_from = self._jobs.racy_from()
        mode, mtime = self._metadata.of_item(item.mode, item.mtime)
        async for part in self._assemble(item.name, self._jobs.of_stream(stream), mode, mtime):
            if isinstance(part, AddProgress):
                yield part
                continue
            if self._memory is not None and item.identity is not None:
                await off_loop(self._memory.journal.note_file, item.identity, part.child, racy_from)
            event = self._place(item.name, part)
            if event.root:
                await self._sync()
            yield event

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
