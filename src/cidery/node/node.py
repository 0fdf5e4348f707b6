"""Node: a repository opened in this process, with asyncio methods.

What a method needs is imported by it: opening a node for one of them must not wait for the others.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack, aclosing
from pathlib import Path

from cidery.errors import InvalidInput, LocalProtocolError
from cidery.node.build import Access, build
from cidery.node.location import repo_dir

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable
    from types import TracebackType
    from typing import Self

    from cidery.core.adding.items import Item
    from cidery.core.api import Api
    from cidery.core.diagnosis.text import Report
    from cidery.core.reading.content_path import ContentPath
    from cidery.core.reading.ls import LsEntry
    from cidery.multiformats.cid import CID
    from cidery.multiformats.varint import Buffer
    from cidery.repo.jobs import Job


class NotOpen(LocalProtocolError):
    """A method was called before or after the ``with`` that opens the node."""

    def __str__(self) -> str:
        return "the node is not open; use it inside `async with cidery.Node(path)` or `with cidery.open(path)`"


class NotAPath(InvalidInput):
    """An object that names no content."""

    def __init__(self, given: str) -> None:
        super().__init__(given)
        self.given = given

    def __str__(self) -> str:
        return f"a {self.given} does not name content: give a CID, or a path as text"


class Node:
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
        self._opened: Api | None = None

    async def __aenter__(self) -> Self:
        """Raises RepoMissing, RepoLocked (names the process), ConfigError, KuboRepo, and as the store."""
        if self._init and not (self.path / "config").exists():
            from cidery.node.create import create_repository

            await asyncio.to_thread(create_repository, self.path, profiles=self._profiles)
        elif self._profiles and (self.path / "config").exists():
            from cidery.node.profiles import warn_of_profiles

            warn_of_profiles(self.path, self._profiles, stacklevel=2)
        online, behind = not self._offline, not self._network_first
        async with AsyncExitStack() as stack:
            api = await stack.enter_async_context(build(self.path, self._access, online=online, behind=behind))
            if online and not behind:
                from cidery.core.resume import going_on

                await stack.enter_async_context(going_on(api))
            self._opened, self._stack = api, stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        stack, self._stack = self._stack, None
        opened, self._opened = self._opened, None
        if stack is not None:
            await stack.aclose()
        if opened is not None and kind is None:
            opened.raise_untold()

    @property
    def api(self) -> Api:
        """All other operations of a node. Raises NotOpen."""
        if self._opened is None:
            raise NotOpen
        return self._opened

    async def _located(self, path: str | CID) -> ContentPath:
        """Raises NotOpen, NotAPath and as Api.locate()."""
        from cidery.core.reading.content_path import ContentPath
        from cidery.multiformats.cid import CID

        if isinstance(path, str):
            return await self.api.locate(path)
        if not isinstance(path, CID):
            raise NotAPath(type(path).__name__)
        return self.api.admitted(ContentPath(path))

    async def peer_id(self) -> str:
        """This node's peer id."""
        return self.api.config.peer_id

    async def add(
        self,
        source: str | os.PathLike[str] | Buffer | AsyncIterable[Buffer],
        *,
        hidden: bool = False,
        wrap: bool = False,
        only_hash: bool = False,
        pin: bool = True,
        name: str = "",
    ) -> CID:
        """Add a file or folder (a path), bytes, or a stream of bytes; durable on return.

        The CID depends on the Import section of the config.

        Args:
            hidden: include names with a leading dot inside folders.
            wrap: wrap it in one more directory, so that its name is kept.
            name: the name of bytes or a stream in that directory.
        Raises:
            CannotAdd, NotAddable, and as the store (disk full, read-only).
        Cancellation: safe; nothing stays pinned.
        """
        from cidery.core.adding.add import AddOptions
        from cidery.core.adding.events import Added
        from cidery.core.adding.import_profile import import_profile
        from cidery.core.adding.items import Bytes, CannotAdd, ScanOptions, Stream, source_of

        match source_of(source):
            case str(path):
                sources: list[str | Item] = [path]
            case bytes(data):
                sources = [Bytes(data, name)]
            case stream:
                sources = [Stream(stream, name)]
        api = self.api
        options = AddOptions(
            profile=import_profile(api.config.imports), scan=ScanOptions(hidden=hidden), wrap=wrap, only_hash=only_hash
        )
        root: CID | None = None
        async with aclosing(api.adding.add(sources, options, pin=pin)) as events:
            async for event in events:
                if isinstance(event, Added) and event.root:
                    root = event.cid
        if root is None:
            raise CannotAdd(str(source)[:80], "there is nothing in it")
        return root

    async def cat(
        self, path: str | CID, offset: int = 0, length: int | None = None
    ) -> AsyncGenerator[bytes | memoryview, None]:
        """The bytes of a file in order, ``[offset, offset+length)``; only the blocks needed are read or fetched.

        Raises:
            PathError, NotAFile, NotFound, InvalidInput (negative numbers).
        Cancellation: safe.
        """
        from cidery.core.reading.cat import cat

        api = self.api
        where = await self._located(path)
        async with api.session() as session:
            async for chunk in cat(where, session, offset, length):
                yield bytes(chunk) if isinstance(chunk, bytearray) else chunk

    async def get(self, path: str | CID, target: str | os.PathLike[str]) -> Path:
        """Save a file or folder as ``target``; returns it. Nothing is written outside; a repeated call resumes.

        Raises:
            PathError, NotFound, UnsafeName, InTheWay, CannotWrite.
        Cancellation: safe; complete files stay.
        """
        from cidery.core.getting.get import get
        from cidery.core.getting.record import GetRecord

        api = self.api
        where = await self._located(path)
        record = await asyncio.to_thread(GetRecord.open, api.jobs.directory, str(where), os.fspath(target), api.clock)
        keep = True
        try:
            async with api.session() as session:
                async for _ in get(where, session, target, record):
                    continue
            keep = False
        finally:
            if record is not None:
                record.close(keep=keep)
        return Path(target)

    async def why(self, path: str | CID, *, seconds: float = 10.0) -> Report:
        """The state of a CID: stored, announced, reachable; which peers have it, where it stalls, what to do.

        Takes at most ``seconds``; nothing is fetched. ``print()`` it. Raises PathError and as the store.
        Cancellation: safe. For facts as they are learned: cidery.core.why.findings().
        """
        from cidery.core.diagnosis.text import report_of
        from cidery.core.why import findings

        await self.api.arrived()
        where = await self._located(path)
        return report_of([one async for one in findings(self.api, where, seconds=seconds)])

    async def jobs(self) -> list[Job]:
        """Long operations: running, interrupted and finished ones. See also `node.api.jobs`."""
        return self.api.jobs.every()

    async def ls(self, path: str | CID) -> list[LsEntry]:
        """The entries of a directory, in stored order (by name). Raises PathError, NotFound."""
        from cidery.core.reading.ls import ls

        where = await self._located(path)
        async with self.api.session() as session:
            return [entry async for entry in ls(where, session)]
