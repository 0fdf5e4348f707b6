"""One connection of the HTTP server: requests in, answers out in order, with back-pressure on both sides."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from typing import TYPE_CHECKING, cast

import httptools

from cidery.disk.file_part import FilePart
from cidery.errors import CideryError
from cidery.http.body import RequestBody
from cidery.http.exchange import Exchange, has_body, is_tunnel
from cidery.http.file_sending import CAN_SEND, FileSender
from cidery.http.message import (
    MAX_HEADER_COUNT,
    NO_HOST,
    TOO_MANY_HEADERS,
    Piece,
    Request,
    Response,
    bytes_of,
    is_host,
    text,
)
from cidery.http.patience import HEAD_SECONDS, IDLE_SECONDS, LINGER_SECONDS, WRITE_SECONDS, too_slow
from cidery.http.served import Server
from cidery.http.status import REASONS

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from cidery.multiformats.varint import Buffer

MAX_HEADERS = 64 * 1024
"""Most bytes of the headers of one request, each with its colon, space and line end."""
AROUND_HEADER = len(": \r\n")
"""Bytes of a header beside its name and value."""
MAX_PIPELINED = 16
"""Requests read ahead of the one that is answered."""
CRLF = "\r\n"
JOINED = 64 * 1024
"""Chunks up to this many bytes are copied together with their frame; larger ones are passed on without a copy."""
log = logging.getLogger("cidery.http")


class Connection(asyncio.Protocol):
    """Made by the server for each connection."""

    def __init__(self, server: Server, *, secure: bool = False) -> None:
        """``secure``: over TLS."""
        self._server = server
        self._secure = secure
        self._sends_files = CAN_SEND and not secure
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._loop: asyncio.AbstractEventLoop
        self._reading = True
        self._client = ""
        self._target = b""
        self._headers: dict[str, str] = {}
        self._header_bytes = self._header_count = self._hosts = 0
        self._arriving: Exchange | None = None
        self._waiting: deque[Exchange] = deque()
        self._current: Exchange | None = None
        self.task: asyncio.Task[None] | None = None
        """The task that answers the current request."""
        self._refusal: Response | None = None
        self._writable: asyncio.Future[None] | None = None
        self._paused_writing = False
        self._timer: asyncio.TimerHandle | None = None
        self._expires = math.inf
        """When the connection ends, by the loop's clock; the timer may fire before, and is then set again."""

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's derives from nothing
        self._loop = asyncio.get_running_loop()
        peer = transport.get_extra_info("peername")
        self._client = str(peer[0]) if peer else ""
        self._server.opened(self, self._transport)
        self._expire_in(IDLE_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.closed(self)
        self._expire_in(None)
        for exchange in (*self._waiting, self._arriving, self._current):
            if exchange is not None:
                exchange.body.cut()
        self._waiting.clear()
        self._arriving = self._current = None  # no circle keeps the blocks of an answer until a pass of the collector
        self._transport = None
        if self._writable is not None and not self._writable.done():
            self._writable.set_exception(ConnectionResetError())
        if self.task is not None:
            self.task.cancel()
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        try:
            while data:
                try:
                    self._parser.feed_data(data)
                    break
                except httptools.HttpParserUpgrade as exc:
                    # "A server MAY ignore a received Upgrade header field" (RFC 9110, 7.8). What follows CONNECT are
                    # requests, too: the tunnel leads to this server.
                    data = data[exc.args[0] :]
                    self._parser = httptools.HttpRequestParser(self)
        except httptools.HttpParserError as exc:
            log.info("a request that is not HTTP: %s", " ".join(str(exc).split())[:200])
            self._refuse(self._refusal or text(400, "the request is not well-formed HTTP/1.1"))
        self._update_reading()

    def pause_writing(self) -> None:
        self._paused_writing = True

    def resume_writing(self) -> None:
        self._paused_writing = False
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    # --- the parser's callbacks

    def on_message_begin(self) -> None:
        self._target, self._headers = b"", {}
        self._header_bytes = self._header_count = self._hosts = 0
        if self._current is None:
            self._expire_in(HEAD_SECONDS)

    def on_url(self, url: bytes) -> None:
        self._target += url
        if len(self._target) > self._server.max_target:
            self._refusal = text(414, f"a target of more than {self._server.max_target} characters")
            raise ValueError("the target is too long")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_bytes += len(name) + len(value) + AROUND_HEADER
        self._header_count += 1
        if self._header_bytes > MAX_HEADERS or self._header_count > MAX_HEADER_COUNT:
            many = self._header_count > MAX_HEADER_COUNT
            self._refusal = text(431, TOO_MANY_HEADERS if many else f"more than {MAX_HEADERS} bytes of headers")
            raise ValueError("the headers are too long")
        key = name.decode("latin-1").lower()
        given = value.decode("latin-1")
        if key == "host":
            self._hosts += 1
        known = self._headers.get(key)
        self._headers[key] = given if known is None else f"{known}, {given}"

    def on_headers_complete(self) -> None:
        parser, headers = self._parser, self._headers
        version = parser.get_http_version()
        # "A server MUST respond with a 400 status code to any HTTP/1.1 request message that lacks a Host header field
        # and to any request message that contains more than one" (RFC 9112, 3.2)
        hosts = self._hosts
        if hosts > 1 or (hosts == 0 and version == "1.1"):
            self._refusal = text(400, "a request names one Host")
            raise ValueError("not one Host")
        target = self._origin_form(self._target.decode("latin-1"))
        # "... and to any request message that contains ... a Host header field with an invalid field value"
        if not is_host(headers.get("host", "")):
            self._refusal = text(400, NO_HOST)
            raise ValueError("no Host")
        expects = "expect" in headers and headers["expect"].lower() == "100-continue" and version == "1.1"
        body = RequestBody(self._send_continue if expects else _nothing, self._update_reading)
        method = parser.get_method().decode("latin-1")
        request = Request(method, target, headers, body, self._client, self.abort, self._secure, self._sends_files)
        keep_alive = parser.should_keep_alive() or "upgrade" in headers or method == "CONNECT"
        self._arriving = Exchange(request, body, self._loop.time(), keep_alive=keep_alive, chunked=version == "1.1")
        if self._current is None:
            self._answer_next(self._arriving)
        else:
            self._waiting.append(self._arriving)

    def _origin_form(self, target: str) -> str:
        """ "a server MUST accept the absolute-form": RFC 9112, 3.2.2. Its host replaces that of the header."""
        if target.startswith("/"):
            return target
        scheme, found, rest = target.partition("://")
        if not found or scheme.lower() not in ("http", "https"):
            return target
        end = min((at for at in map(rest.find, "/?#") if at >= 0), default=len(rest))
        self._headers["host"] = rest[:end]
        return rest[end:] if rest[end : end + 1] == "/" else f"/{rest[end:]}"

    def on_body(self, data: bytes) -> None:
        assert self._arriving is not None  # its head came before
        self._arriving.body.feed(data)

    def on_message_complete(self) -> None:
        assert self._arriving is not None  # its head came before
        arrived, self._arriving = self._arriving, None
        arrived.body.feed_eof()
        if arrived is self._current and self.task is None:  # it was answered before its body had ended
            self._next()

    # --- answering

    def _send_continue(self) -> None:
        if self._transport is not None:
            self._transport.write(f"HTTP/1.1 100 Continue\r\nServer: {self._server.name}\r\n\r\n".encode())

    def _answer_next(self, exchange: Exchange) -> None:
        server, following = self._server, exchange
        server.busy(self)
        self._expires = math.inf
        while True:  # no recursion: a single read may hold thousands of small requests
            self._current = following
            if server.at_hand is None or self._paused_writing or has_body(following.request):
                break
            response = server.at_hand(following.request)
            if response is None or not isinstance(response.body, bytes):
                break
            self._send_whole(following, response, response.body)
            self._report(following)
            if not self._is_over(following):
                return
            self._current = None
            if not self._waiting:
                self._rest()
                return
            following = self._waiting.popleft()
        self.task = self._loop.create_task(self._answer(following))

    async def _answer(self, exchange: Exchange) -> None:
        try:
            try:
                if exchange.request.method == "CONNECT" and self._server.tunnels:
                    response = Response(200)
                else:
                    response = await self._server.handler(exchange.request)
            except Exception:
                # A faulty request handler must not bring the daemon down.
                log.exception("%s %s failed", exchange.request.method, exchange.request.target[:200])
                response = text(500, "internal error")
            await self._send(exchange, response)
        except ConnectionError:
            self.abort()
        finally:
            self.task = None
            self._report(exchange)
        self._next()

    def _report(self, exchange: Exchange) -> None:
        if not self._server.on_answered:
            return
        left = 0 if exchange.whole or self._transport is None else self._transport.get_write_buffer_size()
        answered = exchange.answered(left, self._loop.time())
        for hear in self._server.on_answered:
            hear(answered)

    def _is_over(self, exchange: Exchange) -> bool:
        """Whether a request that was answered has ended, and the next may be answered."""
        if self._transport is None or self._transport.is_closing():
            return False
        if not exchange.body.complete:
            if not has_body(exchange.request):
                return False  # its end follows, in the same read
            exchange.body.drop()
            self._expire_in(LINGER_SECONDS)
            self._update_reading()
            return False
        if not exchange.keep_alive or self._server.closing:
            self.close()
            return False
        return True

    def _next(self) -> None:
        if self._current is None or not self._is_over(self._current):
            return  # or the connection was lost
        self._current = None
        if self._waiting:
            self._answer_next(self._waiting.popleft())
        else:
            self._rest()
        self._update_reading()

    def _rest(self) -> None:
        self._server.idle(self)
        self._expire_in(IDLE_SECONDS)

    async def _send(self, exchange: Exchange, response: Response) -> None:
        body = response.body
        if isinstance(body, bytes):
            self._send_whole(exchange, response, body)
            if self._paused_writing:
                await self._drain()  # a client that sends requests and reads no answers
            return
        try:
            chunked = response.length is None and exchange.chunked
            head = self._head(exchange, response, response.length, chunked=chunked)
            if exchange.request.method == "HEAD":
                self._write(head)
                exchange.whole = True
            else:
                await self._send_pieces(exchange, response, head, body, chunked)
        finally:
            await body.aclose()

    def _send_whole(self, exchange: Exchange, response: Response, body: bytes) -> None:
        bodiless = response.status in (204, 304) or is_tunnel(exchange, response)
        length = None if bodiless else len(body) if response.length is None else response.length
        head = self._head(exchange, response, length)
        if bodiless or exchange.request.method == "HEAD":
            self._write(head)
        else:
            self._write_piece(head, body, chunked=False)
            exchange.sent = len(body)
        exchange.whole = True

    async def _send_pieces(
        self, exchange: Exchange, response: Response, head: bytes, body: AsyncGenerator[Piece, None], chunked: bool
    ) -> None:
        if response.length is None and not chunked:
            exchange.keep_alive = False  # HTTP/1.0: the end of the connection ends the body
        sender = FileSender(self._loop)
        try:
            async for piece in body:
                begins, head = head, b""
                if isinstance(piece, FilePart) and not chunked:
                    self._write_piece(begins, b"", chunked)
                    await sender.send(piece, await self._emptied())
                else:
                    self._write_piece(begins, bytes_of(piece), chunked)
                exchange.sent += len(piece)
                if self._paused_writing and not exchange.may_hold(response, self._transport):
                    await self._drain()
        except (CideryError, TimeoutError) as exc:
            log.info("%s is cut off: %s", exchange.request.target[:200], exc)
            self._cut_off(response, exc, head, chunked)
            return
        except ConnectionError:
            raise
        except Exception as exc:
            log.exception("%s is cut off", exchange.request.target[:200])
            self._cut_off(response, exc, head, chunked)
            return
        finally:
            sender.close()
        if chunked:
            self._write(head + b"0\r\n\r\n")
        elif head:
            self._write(head)
        exchange.whole = True

    def _cut_off(self, response: Response, error: Exception, head: bytes, chunked: bool) -> None:
        """Tell the client that the answer is incomplete: with a trailer, or by breaking the connection."""
        if response.error_trailers is None or not chunked:
            if head:
                self._write(head)
                self.close()
            else:
                self.abort()
            return
        lines = "".join(f"{name}: {value}\r\n" for name, value in response.error_trailers(error).items())
        self._write(head + f"0\r\n{lines}\r\n".encode("utf-8", "replace"))

    def _write_piece(self, head: bytes, piece: Buffer, chunked: bool) -> None:
        size = len(piece)
        if not size and not head:
            return
        # asyncio 3.12 and 3.13 would watch a socket that is about to be closed, and never read the next of its number
        if self._transport is None or self._transport.is_closing():
            raise ConnectionResetError
        parts: list[Buffer] = [head] if head else []
        if chunked and size:
            parts += [f"{size:x}\r\n".encode(), piece, b"\r\n"]
        else:
            parts.append(piece)
        if len(parts) == 1 and not isinstance(piece, bytearray):
            self._transport.write(piece)
        elif size <= JOINED:
            self._transport.write(b"".join(parts))
        else:
            self._transport.writelines([bytes(part) if isinstance(part, bytearray) else part for part in parts])

    async def _emptied(self) -> asyncio.Transport:
        """The transport, when it has given everything to the system."""
        if self._transport is not None and self._transport.get_write_buffer_size():
            self._transport.set_write_buffer_limits(0)
            if self._paused_writing:
                await self._drain()
            if self._transport is not None:
                self._transport.set_write_buffer_limits()
        if self._transport is None:
            raise ConnectionResetError
        return self._transport

    def _write(self, data: bytes) -> None:
        if self._transport is None:
            raise ConnectionResetError
        self._transport.write(data)

    async def _drain(self) -> None:
        if self._transport is None:
            raise ConnectionResetError
        self._writable = self._loop.create_future()
        timer = self._loop.call_later(WRITE_SECONDS, too_slow, self._writable)  # asyncio.timeout() takes 5 us
        try:
            await self._writable
        finally:
            timer.cancel()
            self._writable = None

    def _head(self, exchange: Exchange, response: Response, length: int | None, *, chunked: bool = False) -> bytes:
        server, status = self._server, response.status
        more = ""
        if chunked:
            more = "\r\nTransfer-Encoding: chunked"
        elif length is not None:
            more = f"\r\nContent-Length: {length}"
        elif status not in (204, 304) and not is_tunnel(exchange, response):
            exchange.keep_alive = False
        if not exchange.keep_alive or server.closing:
            more += "\r\nConnection: close"
        elif not exchange.chunked:
            more += "\r\nConnection: keep-alive"
        exchange.begun, exchange.status = True, status
        lines = [f"HTTP/1.1 {status} {REASONS.get(status, '')}\r\nServer: {server.name}"]
        lines += map(": ".join, response.headers.items())
        # latin-1 by the RFC; other characters are left to the handlers, which send ASCII
        return f"{CRLF.join(lines)}{more}\r\n".encode("latin-1", "replace") + server.date() + b"\r\n"

    def _refuse(self, response: Response) -> None:
        """Answer data that is no request, and end the connection."""
        if self._transport is None or self._transport.is_closing():
            return
        current = self._current
        if current is not None and current is self._arriving and not current.begun and self.task is not None:
            self.task.cancel()  # the nonsense is in the body of the request that it would answer
            self._current = current = None
        if current is None:
            nothing, now = RequestBody(_nothing, _nothing), self._loop.time()
            exchange = Exchange(Request("", "", client=self._client), nothing, now, keep_alive=False, chunked=True)
            assert isinstance(response.body, bytes)  # text() made it
            self._send_whole(exchange, response, response.body)
            self._report(exchange)
            self.close()
        else:
            self.abort()

    # --- reading and ending

    def _update_reading(self) -> None:
        arriving = self._arriving
        full = (arriving is not None and arriving.body.full) or len(self._waiting) >= MAX_PIPELINED
        if full is not self._reading or self._transport is None or self._transport.is_closing():
            return
        self._reading = not full
        if full:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _expire_in(self, seconds: float | None) -> None:
        if seconds is None:
            self._expires = math.inf
            return
        self._expires = self._loop.time() + seconds
        if self._timer is None or self._timer.when() > self._expires:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(self._expires, self._look_at_clock)

    def _look_at_clock(self) -> None:
        self._timer = None
        if self._loop.time() >= self._expires:
            self.close()
        elif self._expires != math.inf:
            self._timer = self._loop.call_at(self._expires, self._look_at_clock)

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """What runs for it now."""
        return [] if self.task is None else [self.task]

    def drain(self) -> None:
        """Take no further requests; the running one is answered, and says so (the server is closing)."""
        if self._current is None:
            self.close()

    def close(self) -> None:
        """End the connection once the written data is sent."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """End the connection immediately."""
        if self._transport is not None:
            self._transport.abort()


def _nothing() -> None:
    """Nothing to send: the client does not wait for permission."""
