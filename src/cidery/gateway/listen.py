"""The gateway on TCP: a handler under the HTTP server, and the ``gateway`` file with its address."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from cidery.budgets import GATEWAY_CONNECTIONS
from cidery.errors import Unavailable, words_of
from cidery.gateway.counters import GatewayCounters
from cidery.http.authorization import AGENT
from cidery.http.message import Answered, Request, Response
from cidery.http.open_files import connections_for, open_files
from cidery.http.server import HttpServer
from cidery.http.tls import Certificate
from cidery.http.unix_socket import SocketFile, bind_unix
from cidery.multiformats.multiaddr import Multiaddr, MultiaddrError
from cidery.plain_files import write_plain
from cidery.version import __version__

SHUTDOWN_GRACE = 5.0
"""Seconds that running answers have to finish when the daemon stops."""

Handler = Callable[[Request], Awaitable[Response]]
AtHandHandler = Callable[[Request], Response | None]


class CannotListen(Unavailable):
    """The address is in use."""

    def __init__(self, addr: Multiaddr, reason: str) -> None:
        super().__init__(addr, reason)
        self.addr = addr
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"the gateway cannot listen on {self.addr}: {self.reason}; set Addresses.Gateway to a free port, or to []"
        )


def gateway_server(handler: Handler, at_hand: AtHandHandler | None, workers: int = 1) -> HttpServer:
    """A server with as many connections as a gateway may have. ``workers``: processes among which these are divided."""
    return HttpServer(
        handler,
        most=min(-(-GATEWAY_CONNECTIONS.amount // workers), connections_for(GATEWAY_CONNECTIONS, open_files())),
        name=f"{AGENT}{__version__}",
        clock=time.time,
        tunnels=True,
        at_hand=at_hand,
    )


@asynccontextmanager
async def listen(
    addrs: tuple[Multiaddr, ...],
    handler: Handler,
    address_file: Path,
    at_hand: AtHandHandler | None = None,
    counters: GatewayCounters | None = None,
    on_answered: Sequence[Callable[[Answered], None]] = (),
    certificate: Certificate | None = None,
) -> AsyncIterator[list[Multiaddr]]:
    """Serve until the context ends; yields the real addresses. ``address_file`` holds the first one's URL until then.

    At the end, running answers get SHUTDOWN_GRACE seconds. ``on_answered``: hear of each request at its end.
    ``certificate``: TCP addresses speak TLS. It is followed. Raises CannotListen, NotAFile.
    """
    bound: list[Multiaddr] = []
    files: list[SocketFile] = []
    written = False
    server = gateway_server(handler, at_hand)
    server.on_answered.extend(on_answered)
    if counters is not None:
        counters.server = server
        server.on_answered.append(counters)
    following = None if certificate is None else asyncio.create_task(certificate.follow())
    try:
        for addr in addrs:
            try:
                bound.append(await _start(server, addr, files, certificate))
            except OSError as exc:
                raise CannotListen(addr, words_of(exc)) from exc
        scheme = "http" if certificate is None else "https"
        url = next((url_of(addr, scheme) for addr in bound if addr.tcp_endpoint() is not None), None)
        if url is not None:
            write_plain(address_file, url.encode("ascii"))
            written = True
        yield bound
    finally:
        if written:
            address_file.unlink(missing_ok=True)
        for file in files:
            file.remove()
        if following is not None:
            following.cancel()
        await server.close(SHUTDOWN_GRACE)


async def _start(
    server: HttpServer, addr: Multiaddr, files: list[SocketFile], certificate: Certificate | None
) -> Multiaddr:
    """Listen; returns the address with the real port. Raises CannotListen, OSError."""
    path = addr.unix_path()
    if path is not None:
        bound = bind_unix(path)
        files.append(SocketFile(path))
        await server.listen_at(bound)
        return addr
    host, port = place_of(addr)
    return Multiaddr.tcp(host, await server.listen(host, port, certificate))


def place_of(addr: Multiaddr) -> tuple[str, int]:
    """Host and port of a TCP address to listen on. Raises CannotListen."""
    endpoint = addr.tcp_endpoint()
    if endpoint is None:
        raise CannotListen(addr, "it is neither a TCP address nor /unix/PATH")
    try:
        Multiaddr.tcp(*endpoint)
    except MultiaddrError as exc:
        raise CannotListen(addr, "it names a host, which may have several addresses; give one of these") from exc
    return endpoint


def url_of(addr: Multiaddr, scheme: str = "http") -> str:
    """``http://host:port`` of a TCP address."""
    endpoint = addr.tcp_endpoint()
    assert endpoint is not None  # the caller looked
    host, port = endpoint
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
