"""The gateway on TCP: a handler under the HTTP server, and the ``gateway`` file with its address."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from cidery.budgets import GATEWAY_CONNECTIONS
from cidery.errors import Unavailable
from cidery.gateway.counters import GatewayCounters
from cidery.http.authorization import AGENT
from cidery.http.message import Answered, Request, Response
from cidery.http.open_files import connections_for, open_files
from cidery.http.server import HttpServer
from cidery.multiformats.multiaddr import Multiaddr
from cidery.version import __version__

SHUTDOWN_GRACE = 2.0
"""Seconds that running answers have to finish when the daemon stops."""

Handler = Callable[[Request], Awaitable[Response]]


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


@asynccontextmanager
async def listen(
    addrs: tuple[Multiaddr, ...],
    handler: Handler,
    address_file: Path,
    at_hand: Callable[[Request], Response | None] | None = None,
    counters: GatewayCounters | None = None,
    on_answered: Sequence[Callable[[Answered], None]] = (),
) -> AsyncIterator[list[Multiaddr]]:
    """Serve until the context ends; yields the real addresses. ``address_file`` holds the first one's URL until then.

    ``on_answered``: hear of each request at its end. Raises CannotListen.
    """
    bound: list[Multiaddr] = []
    most = connections_for(GATEWAY_CONNECTIONS, open_files())
    server = HttpServer(
        handler, most=most, name=f"{AGENT}{__version__}", clock=time.time, tunnels=True, at_hand=at_hand
    )
    server.on_answered.extend(on_answered)
    if counters is not None:
        counters.server = server
        server.on_answered.append(counters)
    try:
        for addr in addrs:
            endpoint = addr.tcp_endpoint()
            if endpoint is None:
                raise CannotListen(addr, "it is no TCP address")
            try:
                port = await server.listen(*endpoint)
            except OSError as exc:
                raise CannotListen(addr, (exc.strerror or str(exc)).lower()) from exc
            bound.append(Multiaddr.tcp(endpoint[0], port))
        if bound:
            address_file.write_text(url_of(bound[0]), encoding="ascii")
        yield bound
    finally:
        if bound:
            address_file.unlink(missing_ok=True)
        await server.close(SHUTDOWN_GRACE)


def url_of(addr: Multiaddr) -> str:
    """``http://host:port`` of a TCP address."""
    endpoint = addr.tcp_endpoint()
    assert endpoint is not None  # listen() bound it
    host, port = endpoint
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
