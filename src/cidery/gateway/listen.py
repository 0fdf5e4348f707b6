"""The gateway on TCP: an adapter of aiohttp's server to the handlers, and the ``gateway`` file with its address."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from cidery.errors import CideryError, Unavailable
from cidery.http.message import MAX_TARGET, Request, Response, text
from cidery.http.server_log import server_log
from cidery.multiformats.multiaddr import Multiaddr
from cidery.multiformats.varint import Buffer

MAX_REQUESTS = 1024
"""Requests answered at once; further ones are told to come back."""
SHUTDOWN_GRACE = 2.0
"""Seconds that running answers get to end when the daemon stops."""
WRITE_SECONDS = 60.0
"""Longest wait for a client to take the next piece: one that reads nothing must not hold a session for ever."""
log = logging.getLogger("cidery.gateway")

Handler = Callable[[Request], Awaitable[Response]]


class CannotListen(Unavailable):
    """The address is taken."""

    def __init__(self, addr: Multiaddr, reason: str) -> None:
        super().__init__(addr, reason)
        self.addr = addr
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"the gateway cannot listen on {self.addr}: {self.reason}; set Addresses.Gateway to a free port, or to []"
        )


@asynccontextmanager
async def listen(addrs: tuple[Multiaddr, ...], handler: Handler, address_file: Path) -> AsyncIterator[list[Multiaddr]]:
    """Serve until the context ends; gives the real addresses. ``address_file`` holds the first one's URL meanwhile.

    Raises CannotListen.
    """
    adapter = Adapter(handler)
    bound: list[Multiaddr] = []
    runners: list[web.ServerRunner] = []
    try:
        for addr in addrs:
            endpoint = addr.tcp_endpoint()
            if endpoint is None:
                raise CannotListen(addr, "it is no TCP address")
            runner = web.ServerRunner(
                web.Server(
                    adapter, handler_cancellation=True, access_log=None, logger=server_log("cidery.gateway.http")
                ),
                shutdown_timeout=SHUTDOWN_GRACE,
            )
            await runner.setup()
            runners.append(runner)
            try:
                await web.TCPSite(runner, *endpoint).start()
            except OSError as exc:
                raise CannotListen(addr, (exc.strerror or str(exc)).lower()) from exc
            bound.append(Multiaddr.tcp(endpoint[0], int(runner.addresses[0][1])))
        if bound:
            address_file.write_text(url_of(bound[0]), encoding="ascii")
        yield bound
    finally:
        if bound:
            address_file.unlink(missing_ok=True)
        for runner in runners:
            await runner.cleanup()


def url_of(addr: Multiaddr) -> str:
    """``http://host:port`` of a TCP address."""
    endpoint = addr.tcp_endpoint()
    assert endpoint is not None  # listen() bound it
    host, port = endpoint
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class Adapter:
    """The handler of an aiohttp server."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._running = 0

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Cancellation: the answer is dropped when the client goes away."""
        if len(request.raw_path) > MAX_TARGET:
            return await _send(request, text(414, f"a target of more than {MAX_TARGET} characters"))
        if self._running >= MAX_REQUESTS:
            return await _send(request, text(429, "too many requests at once", {"Retry-After": "1"}))
        self._running += 1
        try:
            response = await self._handler(_request_of(request))
        except Exception:
            # A request handler may not bring the daemon down.
            log.exception("%s %s failed", request.method, request.raw_path[:200])
            response = text(500, "internal error")
        try:
            return await _send(request, response)
        finally:
            self._running -= 1


def _request_of(request: web.BaseRequest) -> Request:
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        key = name.lower()
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    return Request(request.method, request.raw_path, headers, request.content.iter_chunked(64 * 1024))


async def _send(request: web.BaseRequest, response: Response) -> web.StreamResponse:
    body = response.body
    if isinstance(body, bytes):
        answer = web.Response(status=response.status, headers=response.headers, body=body)
        if response.status == 304:
            answer = web.Response(status=304, headers=response.headers)
        return answer
    try:
        stream = web.StreamResponse(status=response.status, headers=response.headers)
        if response.length is not None:
            stream.content_length = response.length
        if request.method == "HEAD":
            await stream.prepare(request)
            return stream
        return await _stream(request, stream, body)
    finally:
        await body.aclose()


async def _stream(
    request: web.BaseRequest, stream: web.StreamResponse, body: AsyncGenerator[Buffer, None]
) -> web.StreamResponse:
    await stream.prepare(request)
    try:
        async for piece in body:
            async with asyncio.timeout(WRITE_SECONDS):
                await stream.write(piece if isinstance(piece, bytes) else bytes(piece))
        await stream.write_eof()
    except (CideryError, TimeoutError) as exc:
        # The head is out: only a connection that breaks tells the client that this is not all.
        log.info("%s is cut off: %s", request.raw_path[:200], exc)
        if request.transport is not None:
            request.transport.abort()
    except ConnectionError:
        pass
    return stream
