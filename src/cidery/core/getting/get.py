"""Writes a tree to disk: safely (getting.target), and resuming where an earlier run stopped.

Data already on disk is hashed against the tree; only parts that differ or are missing are fetched. A file
appears under its name once it is complete.
"""

import hashlib
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from functools import partial
from typing import NamedTuple, TypeVar, TypeVarTuple

from cidery.blockstore.drive import drive, run
from cidery.core.getting.file_copy import FileCopy, is_leaf_of
from cidery.core.getting.record import GetRecord
from cidery.core.getting.special_file import is_special
from cidery.core.getting.target import InTheWay, Target, check_safe_name, restore
from cidery.core.reading.content_path import ContentPath
from cidery.core.reading.resolve import resolve
from cidery.core.session import BlockSession
from cidery.disk.file_reads import pread_exactly
from cidery.ipld.block import MAX_BLOCK
from cidery.ipld.walk import Data
from cidery.multiformats.cid import CID
from cidery.multiformats.varint import Buffer
from cidery.unixfs.node import Kind
from cidery.unixfs.reader import Offer, read_file, read_missing, read_node
from cidery.unixfs.tree import TreeEntry, walk_tree
from cidery.waiting import loop_clock, loop_runs

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

WRITE_BATCH = 4 << 20
"""Bytes collected before a thread writes them."""
WRITE_ITEMS = 64
"""Directories and small files collected before a thread writes them."""
SMALL_FILE = MAX_BLOCK
"""Files of one block are written in one step."""


class GetProgress(NamedTuple):
    """Progress of a get. The last one has ``done``."""

    name: str
    """Path of the entry being written, below the target; "" for the root."""
    written: int
    """Bytes of files that are on disk now, in total."""
    reused: int
    """Of these, bytes that were there before."""
    total: int
    """Bytes to expect in total, as the tree states (including the sizes of nodes); 0 if unknown."""
    done: bool = False


async def get(
    path: str | CID | ContentPath,
    session: BlockSession,
    target: str | os.PathLike[str],
    record: GetRecord | None = None,
) -> AsyncGenerator[GetProgress, None]:
    """Write the file, directory or symlink at ``path`` to ``target``, which is created or brought up to date.

    Existing files with other content are replaced; other files in existing directories are left alone. Files that
    ``record`` lists as written by an earlier run are not hashed again; the caller closes it.
    Limits: memory about WRITE_BATCH; depth and entries as walk_tree().
    Raises:
        PathError, NotFound, UnsafeName, InTheWay, CannotWrite, UnixFSError.
    Cancellation: safe; complete files stay, unfinished ones keep a name that ends in PART_SUFFIX.
    """
    if is_special(target):
        raise InTheWay(os.fspath(target), "a device, pipe or socket is there")
    root = await resolve(path, session)
    session.expect(root)
    place = await _in_thread(Target, target)
    try:
        async for progress in _Getting(session, place, record).run(root):
            yield progress
    finally:
        place.close()


async def is_file(path: str | CID | ContentPath, session: BlockSession) -> bool:
    """Whether a file or symlink is at ``path``, not a directory; what is below is expected to be read, too.

    Raises as resolve(), UnixFSError.
    """
    root = await resolve(path, session)
    session.expect(root)
    return (await run(read_node(root), session)).kind is not Kind.DIRECTORY


class _Getting:
    """One get() in progress."""

    def __init__(self, session: BlockSession, target: Target, record: GetRecord | None) -> None:
        self._session = session
        self._record = record
        self._landed: list[tuple[str, os.stat_result]] = []
        self._target = target
        self._jobs: list[Callable[[], int]] = []
        self._small: list[TreeEntry] = []
        self._links: list[TreeEntry] = []
        self._fresh = True
        self._written = 0
        self._reused = 0
        self._total = 0

    async def run(self, root: CID) -> AsyncIterator[GetProgress]:
        self._fresh = await _in_thread(self._target.kind, ()) is None
        async for entry in drive(walk_tree(root), self._session):
            for name in entry.path[-1:]:
                check_safe_name(name)  # before anything in the entry is fetched or written
            if not entry.path:
                self._total = entry.stated_size or 0
            if entry.kind is Kind.DIRECTORY:
                self._jobs.append(partial(self._directory, entry))
            elif entry.kind is Kind.SYMLINK:
                self._links.append(entry)
            elif entry.path and _is_small(entry):
                self._small.append(entry)
            else:
                await self._flush()
                async for _ in self._file(entry):
                    yield self._progress(entry)
            if len(self._jobs) + len(self._small) >= WRITE_ITEMS:
                await self._flush()
                yield self._progress(entry)
        await self._flush()
        # Symlinks come last, so that nothing in this tree can be written through one.
        self._jobs += [partial(self._symlink, entry) for entry in self._links]
        self._jobs.append(self._finish)
        await self._flush()
        yield GetProgress("", self._written, self._reused, self._total, done=True)

    def _progress(self, entry: TreeEntry) -> GetProgress:
        if self._record is not None:
            self._record.progress(self._written, self._total, loop_clock()())
        return GetProgress("/".join(entry.path), self._written, self._reused, self._total)

    async def _flush(self) -> None:
        """Write the directories and small files collected so far, in that order."""
        await self._run(self._jobs)
        small, self._small = self._small, []
        if small and not self._fresh:
            small = await _in_thread(lambda: [entry for entry in small if not self._is_there(entry)])
        size = 0
        for entry in small:
            data = await read_whole(entry.cid, self._session)
            self._jobs.append(partial(self._small_file, entry, data))
            size += len(data)
            if size >= WRITE_BATCH:
                await self._run(self._jobs)
                size = 0
        await self._run(self._jobs)

    async def _run(self, jobs: list[Callable[[], int]]) -> None:
        """Run and clear ``jobs``."""
        batch = jobs[:]
        jobs.clear()
        if batch:
            self._written += await _in_thread(self._run_batch, batch)

    def _run_batch(self, batch: list[Callable[[], int]]) -> int:
        written = sum(job() for job in batch)
        landed, self._landed = self._landed, []
        if self._record is not None and landed:
            self._record.finished(landed)
        return written

    def _land(self, entry: TreeEntry) -> None:
        """A file is complete, under its name."""
        if self._record is not None and (found := self._target.stat(entry.path)) is not None:
            self._landed.append(("/".join(entry.path), found))

    def _known(self, entry: TreeEntry) -> int:
        """Size of a file that an earlier run is known to have finished; -1 if it did not."""
        if self._record is None or not self._record.files:
            return -1
        found = self._target.stat(entry.path)
        return found.st_size if found is not None and self._record.is_whole("/".join(entry.path), found) else -1

    def _is_there(self, entry: TreeEntry) -> bool:
        """Whether a small file on disk is complete already."""
        known = self._known(entry)
        if known >= 0:
            self._written += known
            self._reused += known
            return True
        fd = self._target.open_file(entry.path)
        if fd is None:
            return False
        try:
            found = os.fstat(fd)
            size = found.st_size
            if found.st_nlink > 1 and (entry.mode, entry.mtime) != (None, None):
                return False  # its other hard links must not get this one's mode and time
            if size > SMALL_FILE or not is_leaf_of(entry.cid, pread_exactly(fd, size, 0), entry.mode, entry.mtime):
                return False
            restore(fd, entry.mode, entry.mtime)
        except OSError:
            return False  # it cannot be read or changed, so it is replaced
        finally:
            os.close(fd)
        self._written += size
        self._reused += size
        return True

    def _directory(self, entry: TreeEntry) -> int:
        self._target.make_directory(entry.path, entry.mode, entry.mtime)
        return 0

    def _small_file(self, entry: TreeEntry, data: bytes) -> int:
        self._target.write_file(entry.path, part_key(entry.cid), data, entry.mode, entry.mtime)
        self._land(entry)
        return len(data)

    def _symlink(self, entry: TreeEntry) -> int:
        self._target.write_symlink(entry.path, part_key(entry.cid), entry.target, entry.mtime)
        return 0

    def _landing(self, entry: TreeEntry) -> int:
        self._land(entry)
        return 0

    def _finish(self) -> int:
        self._target.finish()
        return 0

    async def _file(self, entry: TreeEntry) -> AsyncIterator[None]:
        """Write one file, reusing what is on disk of it; yields now and then."""
        known = -1 if self._fresh else await _in_thread(self._known, entry)
        if known >= 0:
            self._written += known
            self._reused += known
            return
        copy = await _in_thread(FileCopy, self._target, entry.path, part_key(entry.cid))
        name = "/".join(entry.path)
        if self._record is not None and (left := copy.unfinished()) is not None:
            copy.trusted = self._record.trusted(name, left[0])
        steps: AsyncIterator[Data | Offer] = drive(read_missing(entry.cid), self._session)
        pending = _Pending()
        try:
            async for step in steps:
                if isinstance(step, Offer):
                    if copy.has_source:
                        await _in_thread(copy.write, pending.take())
                        reused = await _in_thread(copy.reuse, step)
                        self._reused += reused
                        self._written += reused
                    continue
                pending.add(step.chunk)
                self._written += len(step.chunk)
                if pending.size >= WRITE_BATCH:
                    await _in_thread(copy.write, pending.take())
                    if self._record is not None and (left := copy.unfinished()) is not None:
                        self._record.part(name, *left)
                    yield
            await _in_thread(copy.write, pending.take())
            await _in_thread(copy.commit, entry.mode, entry.mtime)
            self._jobs.append(partial(self._landing, entry))
            yield
        except BaseException:
            copy.write(pending.take())  # a few MiB at most: data received is kept for the next run
            raise
        finally:
            copy.close()


async def _in_thread(work: Callable[[*Ts], T], *args: *Ts) -> T:
    """As tasks.in_thread(); without an event loop, here."""
    if not loop_runs():
        return work(*args)
    from cidery.tasks import in_thread

    return await in_thread(work, *args)


class _Pending:
    """Chunks that wait to be written."""

    def __init__(self) -> None:
        self._chunks: list[Buffer] = []
        self.size = 0

    def add(self, chunk: Buffer) -> None:
        self._chunks.append(chunk)
        self.size += len(chunk)

    def take(self) -> list[Buffer]:
        """Return all chunks, and forget them."""
        taken, self._chunks, self.size = self._chunks, [], 0
        return taken


def _is_small(entry: TreeEntry) -> bool:
    return entry.size is None or entry.size <= SMALL_FILE


async def read_whole(cid: CID, session: BlockSession) -> bytes:
    """All bytes of a small file."""
    parts: list[Buffer] = []
    async for step in drive(read_file(cid), session):
        parts.append(step.chunk)
    return bytes(parts[0]) if len(parts) == 1 else b"".join(parts)


def part_key(cid: CID) -> str:
    """The key of the unfinished file of this content: the same content resumes it, other content does not."""
    return hashlib.sha256(cid.encode()).hexdigest()[:16]
