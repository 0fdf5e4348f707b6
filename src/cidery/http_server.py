"""The HTTP server under the RPC and the gateway: its connections are bounded, and idle ones make room for new ones.

Every connection is an open file, and a process may have so many: each server has a share, and a rest stays for the
store, the swarm and the user's own commands.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from cidery.budgets import Limit

WANTED_FILES = 8192
"""Open files that are asked of the system at start (as Kubo); the hard limit may be lower."""
FEW_FILES = 1024
"""What most systems allow without asking."""
UNSENT = 256 * 1024
"""Bytes that the system takes for a connection beyond what is on its way: else it takes 4 MiB for who reads nothing."""
SHARE = 3
"""A server may have one of so many of the files: the rest is for the swarm and for local work."""
Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
log = logging.getLogger("cidery.http")


def open_files() -> int:
    """How many files this process may have open, after asking for more."""
    try:
        import resource
    except ImportError:
        return WANTED_FILES  # Windows has no such limit
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED_FILES if hard == resource.RLIM_INFINITY else min(hard, WANTED_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError) as exc:
            log.info("no more than %d files can be open: %s", soft, exc)
            return soft
        return wanted
    return WANTED_FILES if soft == resource.RLIM_INFINITY else soft


def connections_for(limit: Limit, files: int) -> int:
    """Connections of a server: what its budget says, or its share of few files."""
    return min(limit.amount, max(1, files // SHARE // (2 if files <= FEW_FILES else 1)))


class Server(web.Server):
    """``handler`` is cancelled when its client goes away. At most ``most`` connections: see the module."""

    def __init__(self, handler: Handler, most: int) -> None:
        super().__init__(self._answer, handler_cancellation=True, access_log=None)
        self._inner = handler
        self._most = most
        self._idle: dict[RequestHandler, None] = {}
        """Connections without a request, the one idle longest first."""

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        if len(self.connections) > self._most:
            victim = next(iter(self._idle), handler)
            self._idle.pop(victim, None)
            log.debug("%d connections: one is closed", self._most)
            victim.force_close()
        self._idle[handler] = None
        option = getattr(socket, "TCP_NOTSENT_LOWAT", None)  # Linux and macOS
        opened = transport.get_extra_info("socket")
        if option is not None and opened is not None:
            opened.setsockopt(socket.IPPROTO_TCP, option, UNSENT)

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        self._idle.pop(handler, None)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        protocol = request.protocol
        self._idle.pop(protocol, None)
        try:
            return await self._inner(request)
        finally:
            if request.transport is not None:
                self._idle[protocol] = None
