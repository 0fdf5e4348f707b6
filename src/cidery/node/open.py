"""cidery.open(): the same node for programs without an event loop."""

from __future__ import annotations

import os
import sys

from cidery.client.address import find_daemon
from cidery.client.answer import DaemonGone
from cidery.errors import InvalidInput, Unavailable
from cidery.methods.blocking_surface import BlockingSurface
from cidery.methods.loop_thread import LoopThread
from cidery.node.location import api_authorities, repo_dir

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from cidery.client.address import Endpoint
    from cidery.client.client import Client
    from cidery.node.node import Node


URLS = ("http://", "https://")
"""Beginnings of the addresses of daemons that open() takes in place of a path."""


class NotOfADaemon(InvalidInput):
    """Arguments about a repository, with the address of a daemon, which has its own."""

    def __init__(self, names: str) -> None:
        super().__init__(names)
        self.names = names

    def __str__(self) -> str:
        return f"{self.names}: that is up to the daemon; give the path of a repository, or leave it out"


class SyncNode(BlockingSurface):
    """Blocking methods over a Node, or over a Client of the daemon that has the repository. Created by open().

    Its event loop runs in a thread of its own; methods may be called from any thread. In a child of fork(), all
    methods raise Forked, and closing it does nothing.
    """

    def __init__(self, inner: Node | Client, loop: LoopThread, *, attached: bool) -> None:
        super().__init__(inner, loop)
        self._node = inner
        self._attached = attached

    def close(self) -> None:
        """Close the node and end its thread. Idempotent. Raises what kept the network down, if nothing has.

        Interrupted (Ctrl-C), it is closed all the same, in its thread; close() again waits for that.
        """
        self.__exit__(None, None, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._loop.close(self._node.__aexit__(kind, exc, traceback))

    def within(self, seconds: float) -> BlockingSurface:
        """The same node, for calls that must not wait longer: each, and each step of an iterator, is cancelled after
        ``seconds`` and raises TookTooLong. ``node.within(10.0).read(cid)``; with asyncio: asyncio.timeout().
        """
        return BlockingSurface(self._node, self._loop, seconds)

    @classmethod
    def attaching(cls, client: Client) -> Self:
        """Raises DaemonGone, and as the calls of a client."""
        made = cls(client, LoopThread(), attached=True)
        try:
            made._loop.start()
            made._loop.run(client.__aenter__())
        except BaseException:
            made._loop.close()
            raise
        return made

    @classmethod
    def opening(cls, node: Node) -> Self:
        """Raises as a Node."""
        made = cls(node, LoopThread(node.__aenter__(), node.connect_behind), attached=False)
        try:
            made._loop.start()
        except BaseException:
            made.__exit__(*sys.exc_info())  # it may have been opened behind an interrupt
            raise
        return made

    @property
    def attached(self) -> bool:
        """Whether this is a client of a running daemon."""
        return self._attached


def open(
    path: str | os.PathLike[str] | None = None,
    *,
    profile: str | None = None,
    init: bool = True,
    offline: bool = False,
    read_only: bool = False,
    auth: str = "",
    authorities: str | os.PathLike[str] = "",
) -> SyncNode:
    """A node for scripts and notebooks: ``with cidery.open("repo") as node: node.add("photos")``.

    If a live daemon has the repository, this is a client of that daemon; else the repository is opened here. Arguments
    as Node; ``read_only`` reads the repository directly even if a daemon runs; ``auth`` is a secret for a daemon with
    API.Authorizations, and ``authorities`` a file of those who may have signed its certificate, as in Client.

    In place of a path, the URL of a daemon anywhere: ``cidery.open("https://node.example.org:5001", auth=...)``.

    Returns when the repository is open. The network comes up behind that, by itself: what is stored can be used at
    once, and what needs peers waits for it. What keeps it from coming up (a port in use) is logged, and raised by the
    first method that needs it, or else at the end of ``with``.

    Who has the repository for a moment, as a command or a daemon that starts or ends, is waited for: seconds at most.

    Raises:
        RepoLocked (another process, no daemon, or this one), RepoMissing, ConfigError, KuboRepo, RuntimeError (no
        thread can be started). For a URL: BadApiAddress, NotOfADaemon, DaemonGone, NoSecureConnection.
    """
    authorities = os.path.abspath(authorities) if authorities else api_authorities()
    if isinstance(path, str) and path.startswith(URLS):
        if profile or offline or read_only:
            raise NotOfADaemon("profile, offline and read_only")
        from cidery.client.client import Client

        return SyncNode.attaching(Client(path, auth=auth, authorities=authorities))
    repo = repo_dir(os.fspath(path) if path is not None else None)
    if profile and os.path.exists(os.path.join(repo, "config")):
        from pathlib import Path

        from cidery.node.profiles import warn_of_profiles

        warn_of_profiles(Path(repo), [name for name in profile.split(",") if name], stacklevel=2)
        profile = None  # the thread of the node would warn of a line of its own

    def made() -> Node:
        from cidery.node.node import Node

        return Node(path, profile=profile, init=init, offline=offline, read_only=read_only, network_first=False)

    def client_of(daemon: Endpoint) -> Client:
        from cidery.client.client import Client

        return Client(daemon, auth=auth, authorities=authorities)

    return SyncNode.opening(made()) if read_only else _of_repository(repo, client_of, made)


def _of_repository(repo: str, client_of: Callable[[Endpoint], Client], made: Callable[[], Node]) -> SyncNode:
    """Whoever has the repository, or it itself. Raises as open()."""
    while True:  # one round, and another for each daemon that has started meanwhile
        daemon = find_daemon(repo)
        if daemon is not None:
            try:
                return SyncNode.attaching(client_of(daemon))
            except DaemonGone:
                pass  # it ends, or a killed one left its api file behind
        try:
            return SyncNode.opening(made())
        except Unavailable as exc:
            from cidery.repo.lock import SERVING, RepoLocked

            if not isinstance(exc, RepoLocked) or exc.phase != SERVING or find_daemon(repo) in (None, daemon):
                raise
