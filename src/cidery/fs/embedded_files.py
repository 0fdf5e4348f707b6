"""Mutable files of a repository, changed by this process, which then has the repository's lock.

It keeps the lock until it has been idle for a moment, so that a burst of writes opens the repository once, and other
processes that write in bursts get their turn.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from cidery.mfs import changes
from cidery.mfs.path import parse_file_path
from cidery.mfs.writing import Writing, write
from cidery.node.build import Access, build
from cidery.node.lock_wait import locked
from cidery.repo.lock import RepoLocked

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Awaitable
    from pathlib import Path

    from cidery.core.api import Api
    from cidery.multiformats.cid import CID
    from cidery.repo.lock import RepoLock

IDLE_SECONDS = 0.25
"""How long this process keeps the repository's lock after a write: the next one mostly follows."""
HOLD_SECONDS = 3.0
"""How long it keeps the lock at most, so that other processes that write as this one does get their turn."""
LOCK_SECONDS = 60.0
"""Longest wait for such processes."""
GIVE_WAY = 0.05
"""Seconds between giving the lock away and wanting it again: more than others wait between two tries."""
HOLDER = "cidery files"
"""How the lock names this process: everybody waits for a short command."""


def _locked(path: Path) -> Awaitable[RepoLock]:
    return locked(path, HOLDER)


class EmbeddedFiles:
    """The changes; see source.Changing. Raise RepoLocked, and as mfs.changes."""

    def __init__(self, repo: Path, online: Api | None) -> None:
        """``online``: the repository, if this process has it open for writing anyway."""
        self._repo = repo
        self._api = online
        self._opening = asyncio.Lock()
        self._running = 0
        self._unused = asyncio.Event()
        self._unused.set()
        self._until = 0.0
        self._stack: AsyncExitStack | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._closing: asyncio.Task[None] | None = None

    async def write(self, path: str, content: AsyncIterable[bytes], offset: int | None) -> None:
        how = Writing(offset or 0, create=True, parents=True, truncate=offset is None)
        async with self._opened() as api, api.session() as session:
            await write(api.files, session, parse_file_path(path), content, how)

    async def mkdir(self, path: str, *, parents: bool) -> None:
        async with self._opened() as api, api.session() as session:
            await changes.mkdir(api.files, session, parse_file_path(path), parents=parents)

    async def remove(self, path: str, *, recursive: bool) -> None:
        async with self._opened() as api, api.session() as session:
            await changes.remove(api.files, session, parse_file_path(path), recursive=recursive)

    async def copy(self, source: CID, path: str) -> None:
        async with self._opened() as api, api.session() as session:
            await changes.copy_in(api.files, session, source, parse_file_path(path), force=True, parents=True)

    async def move(self, source: str, target: str) -> None:
        async with self._opened() as api, api.session() as session:
            await changes.move(api.files, session, parse_file_path(source), parse_file_path(target))

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[Api]:
        """The repository, open for writing."""
        async with self._opening:
            if self._stack is not None and time.monotonic() >= self._until:
                await self._give_way()
            if self._closing is not None:
                await asyncio.shield(self._closing)
            api = self._api = self._api or await self._open()
            self._running += 1
            self._unused.clear()
        try:
            yield api
        finally:
            self._running -= 1
            self._rest()

    async def _give_way(self) -> None:
        await self._unused.wait()
        await self.close()
        await asyncio.sleep(GIVE_WAY)

    async def _open(self) -> Api:
        """locked() waits for short commands; here those that come one after the other are waited for."""
        until = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                async with AsyncExitStack() as stack:
                    api = await stack.enter_async_context(build(self._repo, Access.WRITE, lock=_locked))
                    self._stack, self._until = stack.pop_all(), time.monotonic() + HOLD_SECONDS
                    return api
            except RepoLocked as exc:
                if exc.holder is None or exc.holder.command != HOLDER or time.monotonic() >= until:
                    raise

    def _rest(self) -> None:
        """Give the lock away when nothing is written for a while."""
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        if not self._running:
            self._unused.set()
        if not self._running and self._stack is not None:
            self._idle = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._begin_closing)

    def _begin_closing(self) -> None:
        if not self._running and self._closing is None and self._stack is not None:
            self._closing = asyncio.get_running_loop().create_task(self._close(self._stack))
            self._stack = self._api = None

    async def _close(self, stack: AsyncExitStack) -> None:
        try:
            await stack.aclose()
        finally:
            self._closing = None

    async def close(self) -> None:
        """Give the lock away now. Idempotent."""
        if self._idle is not None:
            self._idle.cancel()
        self._begin_closing()
        if self._closing is not None:
            await asyncio.shield(self._closing)
