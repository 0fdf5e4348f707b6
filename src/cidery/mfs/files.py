"""Mutable files: the operations, one at a time over one tree, written in groups, durable when flushed.

An operation is a step over the open directories (tree.py) that runs without a pause, so none sees another half done. A
block that it lacks is fetched while others run, then it starts again from the beginning; no operation holds anything
that another waits for. Reads get the CID of the whole tree and walk that: a snapshot.

A flush writes the changed directories, makes all blocks durable and then commits the root in one transaction. Callers
that wait for a flush at the same time share one. A collector spares unflushed changes (protection.py).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import cached_property
from typing import Any, TypeVar

from cidery.blockstore.drive import run
from cidery.blockstore.interface import BlockStore
from cidery.errors import Unavailable
from cidery.ipld.walk import Prefetch
from cidery.mfs.blocks import Blocks, StagedBlocks, Staging
from cidery.mfs.path import FilePath
from cidery.mfs.protection import Protection
from cidery.mfs.tree import Folder, NoSuchFile, Step, formed_like, from_below, new_folder, open_folder
from cidery.multiformats.cid import CID
from cidery.repo.mfs_root import MfsRoot, MfsRootDamaged
from cidery.unixfs.directory import DirectoryEntry
from cidery.unixfs.directory_reader import NoSuchEntry
from cidery.unixfs.layout import Child
from cidery.unixfs.profile import Profile
from cidery.unixfs.reader import resolve_path
from cidery.waiting import lock, loop_clock, loop_runs, turn

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio

MAX_UNFLUSHED = 256
"""Operations acknowledged without a flush, after which the next one flushes: how many a crash may lose (as Kubo)."""
BATCH_CHANGES = 8192
"""Changes between two flushes inside a batch: bounds memory and what a crash may lose, about 10 MB."""
OPEN_CHANGES = 65_536
"""Changes after which open directories are closed: their editors then hold at most some 100,000 entries (60 MB)."""
SLICE = 0.005
"""Longest run of steps between two turns of the event loop, in seconds, when none of them waits."""
FETCH_SECONDS = 60.0
"""Longest wait for a block of the tree that is not stored here (as Kubo)."""

R = TypeVar("R")
OpenBlocks = Callable[[], AbstractAsyncContextManager[Blocks]]
"""Opens a session for the tree's own reads."""


class TreeIncomplete(Unavailable):
    """A directory on the way is not stored here and could not be fetched."""

    def __init__(self, cid: CID) -> None:
        super().__init__(cid)
        self.cid = cid

    def __str__(self) -> str:
        return f"{self.cid}, a part of the mutable files, did not arrive within {FETCH_SECONDS:g} s; try again later"


class MutableFiles:
    """The tree of one repository. For one event loop; any number of tasks may call at once. Close it at the end."""

    def __init__(
        self,
        store: BlockStore,
        record: MfsRoot,
        protection: Protection,
        open_blocks: OpenBlocks,
        profile: Callable[[], Profile],
        *,
        read_only: bool = False,
    ) -> None:
        """Nothing is read, and ``profile`` is not asked, before the first call.

        Args:
            profile: gives the form of the root and of new files. Raises ImportOptionError.
            read_only: the record is read while another process writes; root() and resolve() work.
        """
        self._profile = profile
        self.staging = Staging(store)
        self.protection = protection
        self._store = store
        self._record = record
        self._open_blocks = open_blocks
        self._read_only = read_only
        self._root: Folder | None = None
        self._turn = lock()
        self._committing = lock()
        self._next_flush: asyncio.Task[None] | None = None
        self._unflushed = 0
        self._changes = 0  # since the last write of changed directories
        self._opened_changes = 0  # since the open directories were last closed
        self._committed: CID | None = None
        self._batches = 0
        self._pause_at = 0.0  # when the loop gets its next turn

    @cached_property
    def profile(self) -> Profile:
        """The form of the root and of new files. Raises ImportOptionError."""
        return self._profile()

    # -- steps -----------------------------------------------------------------------------------------------------

    async def edit(self, blocks: Blocks, step: Callable[[Folder], Step[R]]) -> R:
        """Run a step on the tree, alone and complete. Raises as the step and the store, and TreeIncomplete.

        Cancellation: the step has run or not.
        """
        staged = self.staging.over(blocks)
        fetched: dict[CID, bytes | memoryview] = {}
        await self._pause()
        while True:
            async with self._turn:
                root = await self._opened_root()
                done, result = _attempt(step(root), staged, fetched)
                if done:
                    self._changes += 1
                    self._opened_changes += 1
                    if self._changes >= BATCH_CHANGES:
                        await self._write_folders(root)
                    break
            fetched[result] = await _fetched(result, staged)
        await self.staging.relieve()
        return result  # type: ignore[no-any-return]  # _attempt returns a result of the step, or a CID

    async def _pause(self) -> None:
        """Give the loop a turn after SLICE seconds of steps that did not wait."""
        clock = loop_clock()
        if clock() >= self._pause_at:
            await turn()
            self._pause_at = clock() + SLICE

    async def done(self, *, flush: bool) -> None:
        """Call it after each change: flushes, or counts unflushed changes. Raises as flush()."""
        self._unflushed += 1
        if flush or self._unflushed >= (BATCH_CHANGES if self._batches else MAX_UNFLUSHED):
            await self.flush()

    @asynccontextmanager
    async def batch(self) -> AsyncIterator[None]:
        """Inside, changes with ``flush=False`` are flushed in larger groups; at the end all are durable."""
        self._batches += 1
        try:
            yield
        finally:
            self._batches -= 1
            await self.flush()

    # -- reading ---------------------------------------------------------------------------------------------------

    def over(self, blocks: Blocks) -> StagedBlocks:
        """``blocks`` with those of the tree that are not stored yet."""
        return self.staging.over(blocks)

    def recorded(self) -> CID | None:
        """The root as last committed; None: there is none, or its record cannot be read."""
        try:
            return self._record.get()
        except MfsRootDamaged:
            return None

    async def root(self) -> CID:
        """The CID of the current tree; its new blocks are readable, but not durable before a flush."""
        if self._read_only:
            return self._recorded().cid
        async with self._turn:
            folder = await self._opened_root()
            await self._write_folders(folder)
        await self.staging.settle()
        return folder.saved.cid

    async def resolve(self, blocks: Blocks, path: FilePath) -> CID:
        """The current target of a path. Raises NoSuchFile, NotADirectory, and as ``blocks``."""
        root = await self.root()
        try:
            return await run(resolve_path(root, path.names), self.over(blocks))
        except NoSuchEntry as exc:
            raise NoSuchFile(path) from exc

    # -- writing ---------------------------------------------------------------------------------------------------

    async def flush(self) -> CID:
        """Make everything acknowledged so far durable; returns the root. Callers at the same time share one flush.

        Raises as the store and the state; the changes are then kept, unflushed.
        Cancellation: safe, the flush continues.
        """
        if not loop_runs():
            await self._flush()
        else:
            import asyncio

            if self._next_flush is None:
                self._next_flush = asyncio.create_task(self._flush())
            await asyncio.shield(self._next_flush)
        assert self._committed is not None  # a flush commits a root
        return self._committed

    async def _flush(self) -> None:
        async with self._committing:
            self._next_flush = None  # later callers may have changed what this flush has passed
            async with self._turn:
                folder = await self._opened_root()
                self._unflushed = 0
                covered = self.protection.mark()
                await self._write_folders(folder)
                cid = folder.saved.cid
            await self.staging.settle()
            if cid != self._committed:
                await self._store.sync()
                await self._record.set(cid)
                self._committed = cid
            self.protection.covered(covered)

    async def close(self) -> None:
        """Flush the rest. Idempotent. Raises as flush()."""
        try:
            if self._root is not None and not self._read_only:
                await self.flush()
        finally:
            await self.protection.close()

    async def replace_root(self, blocks: Blocks, cid: CID) -> None:
        """Replace the whole tree with another, which must be stored here; durable. The old one is not read.

        Raises NotADirectory, and as the reader and flush().
        """
        async with self.protection.change(cid, flush=True):
            folder = await run(open_folder(formed_like(self.profile, cid), Child(cid, 0, 0)), blocks)
            async with self._turn:
                self._root = folder
            await self.flush()

    def _recorded(self) -> Child:
        """The root as stored, or an empty directory, whose block is staged."""
        found = self._record.get()
        if found is not None:
            return Child(found, 0, 0)
        folder, block = new_folder(self.profile)
        self.staging.add((block,))
        return folder.saved

    async def _opened_root(self) -> Folder:
        if self._root is None:
            await self.protection.discard_left_over()
            self._committed = self._record.get()
            if self._committed is not None:
                self._root = await self._reopened(self._recorded())
            else:
                async with self.protection.change(flush=False):  # the new root's block, up to the flush that names it
                    self._root = await self._reopened(self._recorded())
        return self._root

    async def _reopened(self, saved: Child) -> Folder:
        async with self._open_blocks() as blocks:
            folder = await run(open_folder(self.profile, saved), self.over(blocks))
        formed = formed_like(self.profile, saved.cid)
        # The config decides the form of the root: if that has changed, the root is rewritten.
        folder.dirty = (formed.cid_version, formed.hash_code) != (self.profile.cid_version, self.profile.hash_code)
        return folder

    async def _write_folders(self, root: Folder) -> None:
        """Write all changed directories while holding the turn. They are staged then; ``root.saved`` is the tree."""
        async with self._open_blocks() as blocks:
            staged = self.over(blocks)
            for parent, name, folder in from_below(root):
                if not folder.dirty:
                    continue
                edited = await run(folder.editor.finish(), staged)
                if parent is not None:
                    await run(parent.editor.insert(DirectoryEntry(name, edited.root.cid, edited.root.tsize)), staged)
                    parent.dirty = True
                self.staging.add(edited.blocks)
                folder.saved, folder.dirty = edited.root, False
                await self.staging.relieve()
        self._changes = 0
        if self._opened_changes >= OPEN_CHANGES:
            self._opened_changes = 0
            self._root = await self._reopened(root.saved)


def _attempt(step: Step[Any], blocks: Blocks, fetched: dict[CID, bytes | memoryview]) -> tuple[bool, Any]:
    """Run a step without a pause: (True, its result), or (False, the CID of a missing block)."""
    answer: bytes | memoryview | None = None
    try:
        while True:
            asked = step.send(answer)
            answer = None
            if isinstance(asked, Prefetch):
                continue
            answer = fetched[asked.cid] if asked.cid in fetched else blocks.get_if_ready(asked.cid)
            if answer is None:
                return False, asked.cid
    except StopIteration as stop:
        return True, stop.value
    finally:
        step.close()


async def _fetched(cid: CID, blocks: Blocks) -> bytes | memoryview:
    if not loop_runs():
        return await blocks.get(cid)
    import asyncio

    try:
        async with asyncio.timeout(FETCH_SECONDS):
            return await blocks.get(cid)
    except TimeoutError as exc:
        raise TreeIncomplete(cid) from exc
