"""One RPC call on an asyncio connection: the counterpart of client/blocking.py for programs with an event loop."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Self

from cidery.client.address import Endpoint
from cidery.client.answer import (
    MAX_ERROR_BODY,
    ValueLines,
    call_headers,
    category_in,
    check_daemon,
    check_end,
    error_of,
    gone,
)
from cidery.client.blocking import RECEIVE_SIZE
from cidery.client.connections import Connections, close_stream
from cidery.client.http1 import BadResponse, ResponseReader, chunk_frame, request_head
from cidery.errors import CideryError
from cidery.tasks import end


class AsyncAnswer:
    """One call as an async context: entering sends it and reads the head, leaving ends the connection, unless another
    call may follow on it.

    The daemon cancels a call whose connection ends. Raises as client.blocking.call().
    """

    def __init__(
        self,
        endpoint: Endpoint,
        path: list[str],
        query: list[tuple[str, str]],
        *,
        body: AsyncIterator[bytes] | None = None,
        content_type: str = "",
        connections: Connections | None = None,
    ) -> None:
        """``connections``: where one may be left over, and kept."""
        self._endpoint = endpoint
        headers = call_headers(endpoint, body=body is not None)
        self._connections = connections or Connections(endpoint)
        self._keeps = body is None and self._connections.keeping  # an upload may end in the middle
        last = not self._keeps
        self._head = request_head(
            endpoint.authority, path, query, content_type=content_type, last=last, headers=headers
        )
        self._body = body
        self._reader = ResponseReader()
        self._upload: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        endpoint = self._endpoint
        self._incoming, self._outgoing = await self._connections.take()
        try:
            self._outgoing.write(self._head)
            if self._body is not None:
                await self._begin_upload(self._body)
            while self._reader.status == 0:
                await self._receive_head()
            check_daemon(endpoint, self._reader.status, self._reader.headers)
            if self._reader.status != 200:
                raise await self._error()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    async def _close(self) -> None:
        if self._upload is not None:
            await end([self._upload])
        if self._keeps and self._reader.reusable:
            await self._connections.give((self._incoming, self._outgoing))
        else:
            await close_stream(self._outgoing)

    async def _begin_upload(self, body: AsyncIterator[bytes]) -> None:
        """As the blocking client: the intended daemon asks for the body first."""
        while self._endpoint.token and self._reader.interim is None:
            await self._receive_head()
            if self._reader.status:
                return  # it wants no body
        if self._reader.interim is not None:
            check_daemon(self._endpoint, 100, self._reader.interim)
        self._upload = asyncio.create_task(self._send(body))

    async def _receive_head(self) -> None:
        try:
            await self._receive()
        except BadResponse as exc:
            if (error := gone(self._endpoint, exc, uploads=self._upload is not None)) is None:
                raise
            raise error from exc

    async def _send(self, body: AsyncIterator[bytes]) -> None:
        async for data in body:
            if data:
                if self._outgoing.is_closing():  # asyncio 3.12 and 3.13 would watch a socket that is closed
                    raise ConnectionResetError
                self._outgoing.writelines((chunk_frame(len(data)), data, b"\r\n"))
                await self._outgoing.drain()
        self._outgoing.write(chunk_frame(0) + b"\r\n")
        await self._outgoing.drain()

    async def _receive(self) -> None:
        receiving = asyncio.ensure_future(self._incoming.read(RECEIVE_SIZE))
        try:
            if self._upload is not None and not self._upload.done():
                await asyncio.wait([receiving, self._upload], return_when=asyncio.FIRST_COMPLETED)
            self._raise_upload_failure()
            data = await receiving
        except ConnectionError:
            data = b""
        finally:
            receiving.cancel()
        if data:
            self._reader.receive_data(data)
        else:
            self._reader.receive_eof()

    def _raise_upload_failure(self) -> None:
        """Errors of our own body; a broken connection shows in the answer, or its end."""
        if self._upload is not None and self._upload.done() and not self._upload.cancelled():
            failure = self._upload.exception()
            if failure is not None and not isinstance(failure, ConnectionError):
                raise failure

    async def _error(self) -> CideryError:
        body = bytearray()
        while not self._reader.done and len(body) < MAX_ERROR_BODY:
            await self._receive()
            body += b"".join(self._reader.body())
        body += b"".join(self._reader.body())
        return error_of(self._reader.status, self._reader.reason, bytes(body), category_in(self._reader.headers))

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body. Raises RpcError for an error after the first byte, BadResponse for a cut one."""
        while True:
            for chunk in self._reader.body():
                yield chunk
            if self._reader.done:
                break
            await self._receive()
        check_end(self._reader)

    async def values(self) -> AsyncIterator[dict[str, Any]]:
        """The body as JSON values, one per line; raises as chunks()."""
        lines = ValueLines()
        async for chunk in self.chunks():
            for value in lines.receive_data(chunk):
                yield value
        for value in lines.receive_eof():
            yield value
