"""cidery.open(): the same node for programs without an event loop."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING, TypeVar

from cidery.client.address import find_daemon
from cidery.client.answer import DaemonGone
from cidery.node.location import repo_dir

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Coroutine, Iterator
    from pathlib import Path
    from types import TracebackType
    from typing import Any, Self

    from cidery.client.client import Client
    from cidery.core.diagnosis.text import Report
    from cidery.core.reading.ls import LsEntry
    from cidery.multiformats.cid import CID
    from cidery.multiformats.varint import Buffer
    from cidery.node.node import Node
    from cidery.repo.jobs import Job

T = TypeVar("T")

READ_AHEAD = 4
"""Chunks of cat() held for a slow reader: some MiB."""


class SyncNode:
    """Blocking methods over a Node, or over a Client of the daemon that has the repository. Created by open().

    Its event loop runs in a thread of its own; methods may be called from any thread.
    """

    def __init__(self, inner: Node | Client, *, attached: bool) -> None:
        self._inner = inner
        self._attached = attached
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="cidery-loop", daemon=True)
        self._closed = False
        self._thread.start()
        try:
            self._run(inner.__aenter__())
        except BaseException:
            self._stop()
            raise

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        if self._loop.is_closed():
            from cidery.node.node import NotOpen

            work.close()
            raise NotOpen
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except KeyboardInterrupt:
            future.cancel()
            raise

    def _stop(self) -> None:
        self._closed = True
        self._run(self._loop.shutdown_asyncgens())
        self._run(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def close(self) -> None:
        """Close the node and end its thread. Idempotent. Raises what kept the network down, if nothing has."""
        self.__exit__(None, None, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._closed:
            return
        try:
            self._run(self._inner.__aexit__(kind, exc, traceback))
        finally:
            self._stop()

    @property
    def attached(self) -> bool:
        """Whether this is a client of a running daemon."""
        return self._attached

    def peer_id(self) -> str:
        """The node's peer id."""
        return self._run(self._inner.peer_id())

    def add(
        self,
        source: str | os.PathLike[str] | Buffer,
        *,
        hidden: bool = False,
        wrap: bool = False,
        only_hash: bool = False,
        pin: bool = True,
        name: str = "",
    ) -> CID:
        """As Node.add()."""
        return self._run(self._inner.add(source, hidden=hidden, wrap=wrap, only_hash=only_hash, pin=pin, name=name))

    def cat(self, path: str | CID, offset: int = 0, length: int | None = None) -> Iterator[bytes | memoryview]:
        """As Node.cat(), as a blocking iterator; if it is closed early, the rest is not fetched."""
        chunks: asyncio.Queue[bytes | memoryview | None] = asyncio.Queue(READ_AHEAD)
        self._run(_nothing())  # raises NotOpen
        # One task runs the whole generator: a session belongs to one task.
        pump = asyncio.run_coroutine_threadsafe(_pump(self._inner.cat(path, offset, length), chunks), self._loop)
        try:
            while (chunk := self._run(chunks.get())) is not None:
                yield chunk
            pump.result()
        finally:
            pump.cancel()

    def read(self, path: str | CID, offset: int = 0, length: int | None = None) -> bytes:
        """The bytes of a file as one object."""
        return b"".join(self.cat(path, offset, length))

    def get(self, path: str | CID, target: str | os.PathLike[str]) -> Path:
        """As Node.get()."""
        return self._run(self._inner.get(path, target))

    def why(self, path: str | CID, *, seconds: float = 10.0) -> Report:
        """As Node.why()."""
        return self._run(self._inner.why(path, seconds=seconds))

    def jobs(self) -> list[Job]:
        """As Node.jobs()."""
        return self._run(self._inner.jobs())

    def ls(self, path: str | CID) -> list[LsEntry]:
        """As Node.ls()."""
        return self._run(self._inner.ls(path))


async def _nothing() -> None:
    """Done at once."""


async def _pump(
    source: AsyncGenerator[bytes | memoryview, None], chunks: asyncio.Queue[bytes | memoryview | None]
) -> None:
    try:
        async for chunk in source:
            await chunks.put(chunk)
    finally:
        await source.aclose()
        if not chunks.full():
            chunks.put_nowait(None)
        elif (task := asyncio.current_task()) is not None and not task.cancelling():
            await chunks.put(None)


def open(
    path: str | os.PathLike[str] | None = None,
    *,
    profile: str | None = None,
    init: bool = True,
    offline: bool = False,
    read_only: bool = False,
    auth: str = "",
) -> SyncNode:
    """A node for scripts and notebooks: ``with cidery.open("repo") as node: node.add("photos")``.

    If a live daemon has the repository, this is a client of that daemon; else the repository is opened here. Arguments
    as Node; ``read_only`` reads the repository directly even if a daemon runs; ``auth`` is a secret for a daemon with
    API.Authorizations, as in Client.

    Returns when the repository is open. The network comes up behind that, by itself: what is stored can be used at
    once, and what needs peers waits for it. What keeps it from coming up (a port in use) is logged, and raised by the
    first method that needs it, or else at the end of ``with``.

    Raises:
        RepoLocked (another process, no daemon), RepoMissing, ConfigError, KuboRepo.
    """
    repo = repo_dir(os.fspath(path) if path is not None else None)
    daemon = None if read_only else find_daemon(repo)
    if daemon is not None:
        from cidery.client.client import Client

        if profile:
            from pathlib import Path

            from cidery.node.profiles import warn_of_profiles

            warn_of_profiles(Path(repo), profile.split(","), stacklevel=2)
        try:
            return SyncNode(Client(daemon, auth=auth), attached=True)
        except DaemonGone:
            daemon = None  # a killed daemon left its api file behind
    from cidery.node.node import Node

    node = Node(path, profile=profile, init=init, offline=offline, read_only=read_only, network_first=False)
    return SyncNode(node, attached=False)
