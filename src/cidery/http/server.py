"""HTTP/1.1 on TCP: one adapter from connections to request handlers, used by the RPC and the gateway.

The parser is llhttp (httptools), which refuses the ambiguities that request smuggling needs. A connection answers one
request at a time and reads ahead a bounded amount; the handler is cancelled when its client disconnects.

Spec: https://www.rfc-editor.org/rfc/rfc9112
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable

from cidery.http.connection import Connection
from cidery.http.dates import imf_fixdate
from cidery.http.message import MAX_TARGET, Answered, Request, Response
from cidery.http.secure_connection import SecureConnection
from cidery.http.served import Served
from cidery.http.tls import HANDSHAKE_SECONDS, Certificate

BACKLOG = 1024
"""Connections that the system queues while the loop is busy."""
UNSENT = 256 * 1024
"""Bytes that the system buffers for a connection beyond those in flight: else it buffers 4 MiB for a silent reader."""
log = logging.getLogger("cidery.http")
Handler = Callable[[Request], Awaitable[Response]]


class HttpServer:
    """Answers with ``handler`` until close(). Above ``most`` connections, the one idle longest is closed."""

    def __init__(
        self,
        handler: Handler,
        *,
        most: int,
        name: str,
        clock: Callable[[], float],
        max_target: int = MAX_TARGET,
        tunnels: bool = False,
        at_hand: Callable[[Request], Response | None] | None = None,
    ) -> None:
        """``name``: the Server header. ``clock``: seconds since 1970. ``max_target``: longest target, in bytes.
        ``tunnels``: answer CONNECT, for any host, with a tunnel to this server: nothing else can be reached.
        ``at_hand``: gives answers that need no waiting, without a task; None: ``handler`` is asked."""
        self.tunnels = tunnels
        self.at_hand = at_hand
        self.on_answered: list[Callable[[Answered], None]] = []
        """Called at the end of each request, also of one that was cut off; must return quickly."""
        self.handler = handler
        self.name = name
        self.max_target = max_target
        self._clock = clock
        self._most = most
        self._connections: set[Served] = set()
        self._idle: dict[Served, None] = {}
        """Idle connections, the one idle longest first."""
        self._servers: list[asyncio.Server] = []
        self._date = (0, b"")
        self._ended: asyncio.Event | None = None
        """Set when the last connection has ended, while closing."""
        self.closing = False

    @property
    def connections(self) -> int:
        """Open ones."""
        return len(self._connections)

    async def listen(self, host: str, port: int, certificate: Certificate | None = None) -> int:
        """Accept connections, with a certificate over TLS; returns the port, chosen by the system for 0.

        Raises OSError.
        """
        loop = asyncio.get_running_loop()
        if certificate is None:
            server = await loop.create_server(lambda: Connection(self), host, port, backlog=BACKLOG)
        else:
            server = await loop.create_server(
                lambda: SecureConnection(self),
                host,
                port,
                backlog=BACKLOG,
                ssl=certificate.context,
                ssl_handshake_timeout=HANDSHAKE_SECONDS,
            )
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    async def listen_at(self, bound: socket.socket, certificate: Certificate | None = None) -> None:
        """As listen(), at a bound socket, which then belongs to this server. A Unix socket gets no TLS."""
        loop = asyncio.get_running_loop()
        if bound.family == socket.AF_UNIX:
            server = await loop.create_unix_server(lambda: Connection(self), sock=bound, backlog=BACKLOG)
        elif certificate is None:
            server = await loop.create_server(lambda: Connection(self), sock=bound, backlog=BACKLOG)
        else:
            server = await loop.create_server(
                lambda: SecureConnection(self),
                sock=bound,
                backlog=BACKLOG,
                ssl=certificate.context,
                ssl_handshake_timeout=HANDSHAKE_SECONDS,
            )
        self._servers.append(server)

    async def close(self, grace: float) -> None:
        """Stop accepting, end idle connections; running answers get ``grace`` seconds, to their last byte, then they
        are cut off."""
        self.closing = True
        for server in self._servers:
            server.close()
        for connection in list(self._connections):
            connection.drain()
        if self._connections:
            self._ended = asyncio.Event()
            try:
                async with asyncio.timeout(grace):
                    await self._ended.wait()
            except TimeoutError:
                log.info("%d connections are cut off after %g s", len(self._connections), grace)
        left = [task for connection in self._connections for task in connection.tasks]
        for connection in list(self._connections):
            connection.abort()
        if left:
            await asyncio.wait(left, timeout=grace)

    # --- called by connections

    def opened(self, connection: Served, transport: asyncio.Transport) -> None:
        self._connections.add(connection)
        if len(self._connections) > self._most:
            next(iter(self._idle), connection).close()
        self._idle[connection] = None
        option = getattr(socket, "TCP_NOTSENT_LOWAT", None)  # Linux and macOS
        opened = transport.get_extra_info("socket")
        if option is not None and opened is not None and opened.family in (socket.AF_INET, socket.AF_INET6):
            opened.setsockopt(socket.IPPROTO_TCP, option, UNSENT)

    def busy(self, connection: Served) -> None:
        self._idle.pop(connection, None)

    def idle(self, connection: Served) -> None:
        if connection in self._connections:
            self._idle[connection] = None

    def closed(self, connection: Served) -> None:
        self._connections.discard(connection)
        self._idle.pop(connection, None)
        if self._ended is not None and not self._connections:
            self._ended.set()

    def date(self) -> bytes:
        """The Date header, which RFC 9110 section 6.6.1 requires of servers with a clock."""
        now = int(self._clock())
        if now != self._date[0]:
            self._date = (now, f"Date: {imf_fixdate(now)}\r\n".encode())
        return self._date[1]
