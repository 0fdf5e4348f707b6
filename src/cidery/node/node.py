"""Node: a repository opened in this process, with asyncio methods.

What a method needs is imported by it: opening a node for one of them must not wait for the others.
"""

from __future__ import annotations

import os
from contextlib import AsyncExitStack, aclosing
from functools import cached_property
from pathlib import Path

from cidery.core.api import Api
from cidery.methods.call_errors import Forked, NotOpen
from cidery.methods.caller import path_text
from cidery.methods.surface import Surface
from cidery.node.build import Access, opened_parts
from cidery.node.location import repo_dir
from cidery.waiting import loop_runs, off_loop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator
    from types import TracebackType
    from typing import Any, Self

    from cidery.core.reading.content_path import ContentPath
    from cidery.methods.dag import Block
    from cidery.methods.in_process import InProcess
    from cidery.methods.results import GetProgress
    from cidery.multiformats.cid import CID
    from cidery.node.build import OpenedParts

__all__ = ["Node", "NotOpen"]


class Node(Surface):
    """An IPFS node in this process.

    ``async with Node("repo") as node`` opens the repository, creates it first if there is none (see ``init``), and goes
    online unless ``offline``. One process at a time writes a repository; with a daemon on it, use cidery.open() or
    Client.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        profile: str | None = None,
        init: bool = True,
        offline: bool = False,
        read_only: bool = False,
        network_first: bool = True,
    ) -> None:
        """Nothing is touched before ``async with``.

        Args:
            path: the repository; None: $CIDERY_PATH, $IPFS_PATH or ~/.cidery.
            profile: config profiles, separated by commas, for a repository that is made now ("test": loopback only).
                One that is there keeps its config; where that is otherwise, there is a ProfileNotApplied warning.
            init: whether to make the repository if there is none.
            read_only: open alongside the process that writes, without network; implies ``init=False``.
            network_first: False: the repository can be used as soon as it is open, and the network comes up behind it.
                What needs peers waits for it (``await node.api.arrived()``); what keeps it from coming up, as
                CannotListen, is logged, and raised by the first such operation, or else at the end of ``async with``.
        """
        self.path = Path(repo_dir(os.fspath(path) if path is not None else None))
        self._profiles = [name for name in (profile or "").split(",") if name]
        self._init = init and not read_only
        self._offline = offline or read_only
        self._network_first = network_first
        self._access = Access.READ if read_only else Access.WRITE
        self._stack: AsyncExitStack | None = None
        self._parts: OpenedParts | None = None
        """Whose network is to come up behind."""
        self._opened: Api | None = None
        self._pid = 0

    async def __aenter__(self) -> Self:
        """Raises RepoMissing, RepoLocked (names the process), ConfigError, KuboRepo, and as the store."""
        if self._opened is not None and self._pid == os.getpid():
            return self  # `async with await cidery.Node(path)`
        if self._init and not (self.path / "config").exists():
            from cidery.node.create import create_unless_there

            await off_loop(create_unless_there, self.path, profiles=self._profiles)
        elif self._profiles and (self.path / "config").exists():
            from cidery.node.profiles import warn_of_profiles

            warn_of_profiles(self.path, self._profiles, stacklevel=2)
        async with AsyncExitStack() as stack:
            online = not self._offline
            parts = await stack.enter_async_context(opened_parts(self.path, self._access, online=online))
            api = Api(parts)
            if not self._network_first:
                self._parts = parts
                if loop_runs():
                    await self.connect_behind()
            else:
                await parts.come_up()
                if online:
                    from cidery.core.resume import going_on

                    await stack.enter_async_context(going_on(api))
            self._opened, self._stack, self._pid = api, stack.pop_all(), os.getpid()
        return self

    async def connect_behind(self) -> None:
        """What a node with ``network_first=False`` that was opened without an event loop begins with in one."""
        if self._parts is not None:
            await self._parts.connect_behind()

    def __await__(self) -> Generator[Any, None, Self]:
        """As ``async with``, for a notebook: ``node = await cidery.Node(path)``, and ``await node.close()`` at last."""
        return self.__aenter__().__await__()

    async def close(self) -> None:
        """Close a node that ``await`` has opened. Idempotent. Raises what kept the network down, if nothing has."""
        await self.__aexit__(None, None, None)

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._pid != os.getpid():
            return  # all of it belongs to the parent of this child
        stack, self._stack = self._stack, None
        opened, self._opened = self._opened, None
        if stack is not None:
            await stack.aclose()
        if opened is not None and kind is None:
            opened.raise_untold()

    @property
    def api(self) -> Api:
        """The parts of the node. Raises NotOpen, Forked."""
        if self._opened is None:
            raise NotOpen
        if self._pid != os.getpid():
            raise Forked
        return self._opened

    @cached_property
    def _caller(self) -> InProcess:
        from cidery.methods.in_process import InProcess

        return InProcess(lambda: self.api, read_only=self._access is Access.READ)

    async def _located(self, path: str | CID) -> ContentPath:
        """Raises NotOpen, NotAPath and as Api.locate()."""
        from cidery.core.reading.content_path import ContentPath
        from cidery.multiformats.cid import CID

        if isinstance(path, CID):
            return self.api.admitted(ContentPath(path))
        return await self.api.locate(path_text(path))

    async def cat(
        self, path: str | CID, offset: int = 0, length: int | None = None
    ) -> AsyncGenerator[bytes | memoryview, None]:
        """As Surface.cat(), without the command: each chunk is handed over as it is."""
        from cidery.core.reading.cat import cat

        api = self.api
        where = await self._located(path)
        async with api.session() as session:
            async for chunk in cat(where, session, offset, length):
                yield bytes(chunk) if isinstance(chunk, bytearray) else chunk

    @cached_property
    def block(self) -> Block:
        """Raw blocks."""
        from cidery.node.direct import DirectBlock

        return DirectBlock(self._caller, lambda: self.api, self._located)

    async def get(
        self,
        path: str | CID,
        target: str | os.PathLike[str],
        *,
        progress: Callable[[GetProgress], None] | None = None,
    ) -> Path:
        """As Surface.get()."""
        from cidery.core.getting.get import get
        from cidery.core.getting.record import GetRecord
        from cidery.methods.results import GetProgress

        api = self.api
        where = await self._located(path)
        record = await off_loop(GetRecord.open, api.jobs.directory, str(where), os.fspath(target), api.clock)
        keep = True
        try:
            async with api.session() as session, aclosing(get(where, session, target, record)) as steps:
                async for step in steps:
                    if progress is not None:
                        progress(GetProgress(step.written, step.total or None))
            keep = False
        finally:
            if record is not None:
                record.close(keep=keep)
        return Path(target)
