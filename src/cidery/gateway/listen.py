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
from cidery.http.tls import Certificate
from cidery.http.unix_socket import SocketFile, bind_unix
from cidery.multiformats.multiaddr import Multiaddr
from cidery.multiformats.varint import Buffer
from cidery.version import __version__

SLICE = 256 * 1024
"""Bytes handed to the socket at a time, as many as the system takes: unwritten data is not copied."""
SLICE_IN_A_CROWD = 64 * 1024
"""The same when all places are taken, so that slow readers show."""
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


def gateway_server(handler: Handler, at_hand: AtHandHandler | None) -> HttpServer:
    """A server that limits its requests and the bodies being read."""
    return HttpServer(
        Bounded(handler),
        most=connections_for(GATEWAY_CONNECTIONS, open_files()),
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
    certificate: Certificate | None = None,
) -> AsyncIterator[list[Multiaddr]]:
    """Serve until the context ends; yields the real addresses. ``address_file`` holds the first one's URL until then.

    At the end, running answers get SHUTDOWN_GRACE seconds. ``certificate``: TCP addresses speak TLS. It is followed.
    Raises CannotListen.
    """
    bound: list[Multiaddr] = []
    files: list[SocketFile] = []
    server = gateway_server(handler, at_hand)
    following = None if certificate is None else asyncio.create_task(certificate.follow())
    try:
        for addr in addrs:
            try:
                bound.append(await _start(server, addr, files, certificate))
            except OSError as exc:
                raise CannotListen(addr, (exc.strerror or str(exc)).lower()) from exc
        scheme = "http" if certificate is None else "https"
        url = next((url_of(addr, scheme) for addr in bound if addr.tcp_endpoint() is not None), None)
        if url is not None:
            address_file.write_text(url, encoding="ascii")
        yield bound
    finally:
        if bound:
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
    path, endpoint = addr.unix_path(), addr.tcp_endpoint()
    if path is not None:
        bound = bind_unix(path)
        files.append(SocketFile(path))
        await server.listen_at(bound)
        return addr
    if endpoint is None:
        raise CannotListen(addr, "it is neither a TCP address nor /unix/PATH")
    return Multiaddr.tcp(endpoint[0], await server.listen(*endpoint, certificate))


def url_of(addr: Multiaddr, scheme: str = "http") -> str:
    """``http://host:port`` of a TCP address."""
    endpoint = addr.tcp_endpoint()
    assert endpoint is not None  # the caller looked
    host, port = endpoint
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


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
                step = SLICE_IN_A_CROWD if self._places.full else SLICE
                for start in range(0, len(view), step):
                    with reader.taking(clock()):
                        yield view[start : start + step]
        finally:
            await body.aclose()
            await place.aclose()


def _pieces(request: Request, response: Response) -> AsyncGenerator[Buffer, None] | None:
    return None if isinstance(response.body, bytes) or request.method == "HEAD" else response.body
