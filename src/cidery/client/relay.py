"""Requests of the HTTP routing API that a worker of the gateway passes on to the daemon, which has the routers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable

from cidery.client.address import Endpoint
from cidery.client.answer import DaemonGone, NoSecureConnection, call_headers, check_daemon
from cidery.client.blocking import RECEIVE_SIZE
from cidery.client.connections import connect
from cidery.client.http1 import BadResponse, ResponseReader
from cidery.core.misses import FOR_WORKERS
from cidery.http.message import BadRequest, Request, Response, text

MAX_BODY = 64 * 1024
"""Largest body passed on, in bytes: a record of a name has 10 KiB."""
CONNECT_SECONDS = 5.0
"""Longest wait for a connection: the daemon is on this machine."""
PASSED_ON = ("accept", "content-type")
"""Headers of the request that decide about the answer."""
_OF_CONNECTION = frozenset(("connection", "content-length", "date", "server", "transfer-encoding"))


class RoutingRelay:
    """For one worker."""

    def __init__(self, find: Callable[[], Endpoint | None]) -> None:
        """``find``: where the daemon is now; None: none runs."""
        self._find = find

    async def handle(self, request: Request) -> Response:
        """The daemon's answer, or 503. Cancel-safe: the daemon stops searching. Raises BadRequest."""
        endpoint = self._find()
        if endpoint is None:
            return text(503, "no daemon runs to be asked; start it with: cidery daemon")
        body = b""
        if request.body is not None:
            async for data in request.body:
                body += data
                if len(body) > MAX_BODY:
                    raise BadRequest(f"a body of more than {MAX_BODY} bytes")
        writer: asyncio.StreamWriter | None = None
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                reader, writer = await connect(endpoint)
            writer.write(_head(endpoint, request, len(body)) + body)
            answer = ResponseReader()
            while not answer.status:
                await _receive(reader, answer)
            check_daemon(endpoint, answer.status, answer.headers)
        except (OSError, BadResponse, DaemonGone, NoSecureConnection) as exc:
            _abort(writer)
            return text(503, f"the daemon does not answer: {exc}")
        except BaseException:
            _abort(writer)
            raise
        headers = {name.title(): value for name, value in answer.headers.items() if name not in _OF_CONNECTION}
        if request.method == "HEAD":
            _abort(writer)
            return Response(answer.status, headers)
        pieces = _pieces(reader, writer, answer)
        await anext(pieces)  # started, so that its end ends the connection, whatever happens
        return Response(answer.status, headers, pieces)


def _head(endpoint: Endpoint, request: Request, length: int) -> bytes:
    lines = [f"{request.method} {FOR_WORKERS}{request.target} HTTP/1.1", f"Host: {endpoint.authority}"]
    lines += [f"{name}: {value}" for name, value in call_headers(endpoint, body=False)]
    lines += [f"{name}: {request.headers[name]}" for name in PASSED_ON if name in request.headers]
    return "\r\n".join([*lines, f"Content-Length: {length}", "", ""]).encode("latin-1")


async def _receive(reader: asyncio.StreamReader, answer: ResponseReader) -> None:
    if data := await reader.read(RECEIVE_SIZE):
        answer.receive_data(data)
    else:
        answer.receive_eof()


async def _pieces(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: ResponseReader
) -> AsyncGenerator[bytes, None]:
    """Yields nothing once, then the body as it arrives."""
    try:
        yield b""
        while True:
            for piece in answer.body():
                yield piece
            if answer.done:
                return
            await _receive(reader, answer)
    finally:
        _abort(writer)


def _abort(writer: asyncio.StreamWriter | None) -> None:
    if writer is not None:
        writer.transport.abort()
