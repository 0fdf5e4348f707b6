"""HTTP/1.1 over one stream of a connection: a request out, the answer's head and body back; and the other side.

Spec: https://github.com/libp2p/specs/tree/master/http
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from cidery.budgets import STREAM_ANSWERS
from cidery.errors import CideryError, RemoteProtocolError
from cidery.http.message import MAX_TARGET, Piece, Request, Response, bytes_of, text
from cidery.identity.peer_id import PeerId
from cidery.ipld.car_reader import CarReader
from cidery.libp2p.io.stream import Stream
from cidery.multiformats.cid import CID, CIDError
from cidery.multiformats.varint import Buffer

if TYPE_CHECKING:
    import h11

log = logging.getLogger("cidery.retrieval")

PROTOCOL = "/http/1.1"
CAR_TYPE = "application/vnd.ipld.car"
MAX_HEAD = 64 * 1024
"""Bytes of a request's or an answer's head."""
READ_SIZE = 256 * 1024
HEAD_SECONDS = 30.0
"""Longest wait for the head of a request."""


class BadHttp(RemoteProtocolError):
    """Bytes on a stream that are not HTTP, or an unsuccessful answer."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"HTTP over a stream: {self.reason}"


class HttpStream(Protocol):
    """The part of a Stream that is needed."""

    async def read(self, limit: int) -> bytes: ...

    async def write(self, *data: Buffer) -> None: ...


async def fetch(stream: HttpStream, host: str, target: str, accept: str) -> tuple[int, AsyncGenerator[bytes, None]]:
    """Ask for ``target``; returns status and body. Raises BadHttp, StreamReset, StreamCut."""
    import h11

    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
    headers = [("Host", host), ("Accept", accept), ("Connection", "close")]
    request = h11.Request(method="GET", target=target.encode(), headers=headers)
    head = connection.send(request) or b""
    await stream.write(head + (connection.send(h11.EndOfMessage()) or b""))
    while True:
        event = await _next_event(connection, stream)
        if isinstance(event, h11.Response):
            return event.status_code, _body(connection, stream)
        if not isinstance(event, h11.InformationalResponse):
            raise BadHttp("it ends before its head does")


async def _body(connection: h11.Connection, stream: HttpStream) -> AsyncGenerator[bytes, None]:
    import h11

    while True:
        event = await _next_event(connection, stream)
        if isinstance(event, h11.Data):
            yield bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            return
        else:
            raise BadHttp("it ends before its body does")


async def _next_event(connection: h11.Connection, stream: HttpStream) -> object:
    import h11

    while True:
        try:
            event = connection.next_event()
            if event is not h11.NEED_DATA:
                return event
            connection.receive_data(await stream.read(READ_SIZE))
        except h11.ProtocolError as exc:
            raise BadHttp(str(exc)) from exc


class StreamServer:
    """Answers requests on inbound streams. ``handler`` as the gateway's; one request per stream.

    A whole DAG is streamed to one peer only. When others ask for it too, the stream ends: by Bitswap they get it
    from each other.
    """

    def __init__(
        self,
        handler: Callable[[Request], Awaitable[Response]],
        asks: Callable[[PeerId, CID], bool] = lambda _peer, _root: False,
        sent: Callable[[PeerId, Sequence[CID], int], None] = lambda _peer, _cids, _size: None,
    ) -> None:
        """``asks``: notes that a peer wants a DAG, and tells whether others do, too.

        ``sent``: notes the bytes of content that a peer was sent, and the blocks in them as far as they are known.
        """
        self._handler = handler
        self._asks = asks
        self._sent = sent
        self._running: Counter[PeerId] = Counter()
        self._whole: dict[Stream, CID] = {}
        """Streams that carry a whole DAG."""

    def on_crowd(self, root: CID, _newcomer: PeerId, _others: Sequence[PeerId]) -> None:
        """More than one peer asks for a DAG."""
        for stream in [stream for stream, of in self._whole.items() if of.multihash == root.multihash]:
            stream.reset("others want it, too: use Bitswap")

    async def __call__(self, stream: Stream) -> None:
        """The handler of the protocol: an exception ends the stream."""
        peer = stream.connection.peer
        self._running[peer] += 1
        try:
            await self._answer(stream, crowded=self._running[peer] > STREAM_ANSWERS.amount)
        finally:
            self._running[peer] -= 1
            if not self._running[peer]:
                del self._running[peer]

    async def _answer(self, stream: Stream, *, crowded: bool) -> None:
        import h11

        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
        async with asyncio.timeout(HEAD_SECONDS):
            event = await _next_event(connection, stream)
        if not isinstance(event, h11.Request):
            raise BadHttp("a stream without a request")
        target = event.target.decode("latin-1")
        root = _whole_dag(target)
        if root is not None and self._asks(stream.connection.peer, root):
            crowded = True
        if len(target) > MAX_TARGET:
            response = text(414, f"a target of more than {MAX_TARGET} characters")
        elif crowded:
            response = text(429, f"more than {STREAM_ANSWERS.size}, or others want the same", {"Retry-After": "1"})
        else:
            headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in event.headers}
            try:
                response = await self._handler(Request(event.method.decode("latin-1"), target, headers))
            except Exception:
                # A peer's request must not bring the daemon down.
                log.exception("%s failed", target[:200])
                response = text(500, "internal error")
        if response.status == 200:
            response = self._counted(stream.connection.peer, response)
        if root is not None:
            self._whole[stream] = root
        try:
            await self._send(connection, stream, response, head_only=event.method == b"HEAD")
        finally:
            self._whole.pop(stream, None)

    def _counted(self, peer: PeerId, response: Response) -> Response:
        """The answer, of which each piece is noted as sent when it was."""
        body, archive = response.body, response.headers.get("Content-Type", "").startswith(CAR_TYPE)

        async def noted(pieces: AsyncGenerator[Piece, None]) -> AsyncGenerator[Buffer, None]:
            reader = CarReader() if archive else None
            async with aclosing(pieces):
                async for one in pieces:
                    piece = bytes_of(one)
                    yield piece
                    blocks = reader.receive_data(piece) if reader is not None else []
                    self._sent(peer, [placed.block.cid for placed in blocks], len(piece))

        async def whole(data: bytes) -> AsyncGenerator[Buffer, None]:
            yield data

        length = len(body) if isinstance(body, bytes) else response.length
        return replace(response, body=noted(whole(body) if isinstance(body, bytes) else body), length=length)

    @staticmethod
    async def _send(connection: h11.Connection, stream: Stream, response: Response, *, head_only: bool) -> None:
        import h11

        body = response.body
        headers = [(name, value) for name, value in response.headers.items()] + [("Connection", "close")]
        length = len(body) if isinstance(body, bytes) else response.length
        if length is not None and response.status not in (204, 304):
            headers.append(("Content-Length", str(length)))
        try:
            head = connection.send(h11.Response(status_code=response.status, headers=headers, reason=b"")) or b""
            await stream.write(head)
            if not head_only:
                if isinstance(body, bytes):
                    await _write(connection, stream, body)
                else:
                    async for piece in body:
                        await _write(connection, stream, bytes_of(piece))
            await stream.write(connection.send(h11.EndOfMessage()) or b"")
        except (h11.LocalProtocolError, CideryError) as exc:
            # The head may have been sent: resetting the stream tells the reader that the answer is incomplete.
            stream.reset(str(exc))
        finally:
            if not isinstance(body, bytes):
                await body.aclose()


def _whole_dag(target: str) -> CID | None:
    """The root, if a request is for a whole DAG."""
    path, _, query = target.partition("?")
    if query != "format=car" or not path.startswith("/ipfs/"):
        return None
    try:
        return CID.parse(path.removeprefix("/ipfs/"))
    except CIDError:
        return None


async def _write(connection: h11.Connection, stream: Stream, data: Buffer) -> None:
    import h11

    if len(data):
        parts = connection.send_with_data_passthrough(h11.Data(data=data))  # type: ignore[arg-type]
        await stream.write(*(parts or ()))
