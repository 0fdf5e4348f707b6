"""The gateway on TCP: a bounded handler under the HTTP server, and the ``gateway`` file with its address."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from cidery.budgets import GATEWAY_CONNECTIONS, GATEWAY_REQUESTS
from cidery.errors import Unavailable
from cidery.gateway.places import BodyPlaces, Crowded, Reader
from cidery.http.authorization import AGENT
from cidery.http.message import Request, Response, text
from cidery.http.open_files import connections_for, open_files
from cidery.http.server import HttpServer
from cidery.multiformats.multiaddr import Multiaddr
from cidery.multiformats.varint import Buffer
from cidery.version import __version__

SLICE = 64 * 1024
"""Bytes handed to the socket at a time: unwritten data is not copied."""
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
) -> AsyncIterator[list[Multiaddr]]:
    """Serve until the context ends; yields the real addresses. ``address_file`` holds the first one's URL until then.

    Raises CannotListen.
    """
    bound: list[Multiaddr] = []
    most = connections_for(GATEWAY_CONNECTIONS, open_files())
    server = HttpServer(
        Bounded(handler), most=most, name=f"{AGENT}{__version__}", clock=time.time, tunnels=True, at_hand=at_hand
    )
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


class Bounded:
    """A handler that limits its concurrent requests, and the bodies being read."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._running = 0
        self._places = BodyPlaces(asyncio.get_running_loop().time)

    async def __call__(self, request: Request) -> Response:
        """Cancellation: the answer is dropped when the client disconnects."""
        if self._running >= GATEWAY_REQUESTS.amount:
            return text(429, "too many requests at once", {"Retry-After": "1"})
        self._running += 1
        place = AsyncExitStack()
        place.callback(self._ended)
        try:
            response, reader = await self._placed(request, place)
        except Crowded as exc:
            await place.aclose()
            return text(503, str(exc), {"Retry-After": "5"})
        except BaseException:
            await place.aclose()
            raise
        body = _pieces(request, response)
        if reader is None or body is None:
            await place.aclose()
            return response
        response.body = self._in_place(place, reader, body)
        await anext(response.body)  # started, so that its end frees the place, whatever happens
        return response

    def _ended(self) -> None:
        self._running -= 1

    async def _placed(self, request: Request, place: AsyncExitStack) -> tuple[Response, Reader | None]:
        """The answer, and the place of its body if it is read in pieces. Raises Crowded."""
        assert request.abort is not None  # set by the server
        response = await self._handler(request)
        body = _pieces(request, response)
        if body is None:
            return response, None
        full = self._places.full
        if full:  # a waiting body would hold the block it begins with: it is made again when it has its place
            await body.aclose()
        reader = await place.enter_async_context(self._places.taken(request.client, request.abort))
        return await self._handler(request) if full else response, reader

    async def _in_place(
        self, place: AsyncExitStack, reader: Reader, body: AsyncGenerator[Buffer, None]
    ) -> AsyncGenerator[Buffer, None]:
        """Yields nothing once, then the slices of the body."""
        clock = asyncio.get_running_loop().time
        try:
            yield b""
            async for piece in body:
                view = memoryview(piece)
                for start in range(0, len(view), SLICE):
                    with reader.taking(clock()):
                        yield view[start : start + SLICE]
        finally:
            await body.aclose()
            await place.aclose()


def _pieces(request: Request, response: Response) -> AsyncGenerator[Buffer, None] | None:
    return None if isinstance(response.body, bytes) or request.method == "HEAD" else response.body
