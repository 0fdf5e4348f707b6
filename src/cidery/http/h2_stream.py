"""One request of an HTTP/2 connection and its answer, sent as far as the windows allow."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Protocol

from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError

from cidery.errors import CideryError
from cidery.http.body import RequestBody
from cidery.http.h2_request import HeaderList, head_fields
from cidery.http.message import Answered, Piece, Request, Response, bytes_of, text
from cidery.http.patience import WRITE_SECONDS
from cidery.http.served import Server

log = logging.getLogger("cidery.http")


class Frames(Protocol):
    """What a stream needs of its connection; see H2Connection. The methods raise ProtocolError for a closed stream."""

    server: Server

    def send_head(self, stream: int, fields: HeaderList, *, last: bool) -> None: ...

    def send_some(self, stream: int, data: memoryview, *, last: bool) -> int:
        """Send as much as the windows and the socket take now; returns how much that was."""
        ...

    async def writable(self) -> None:
        """Wait until the socket takes more."""
        ...

    def reset(self, stream: int, code: ErrorCodes) -> None: ...

    def read(self, stream: int, size: int) -> None:
        """Bytes of its body were read: the client may send as many more."""
        ...

    def ended(self, stream: H2Stream) -> None:
        """The stream is answered, or gone."""
        ...


class _Body(RequestBody):
    """A body that is acknowledged as it is read: a connection holds no more than its window."""

    def __init__(self, read: Callable[[int], None]) -> None:
        super().__init__(_nothing, _nothing)
        self._read = read

    def feed(self, data: bytes) -> None:
        if self._dropped:
            self._read(len(data))
        super().feed(data)

    def drop(self) -> None:
        held = self._held
        super().drop()
        if held:
            self._read(held)

    async def readany(self) -> bytes:
        data = await super().readany()
        if data:
            self._read(len(data))
        return data


class H2Stream:
    """Made for each request."""

    def __init__(self, number: int, frames: Frames) -> None:
        self.number = number
        self.body: RequestBody = _Body(lambda size: frames.read(number, size))
        self.task: asyncio.Task[None] | None = None
        self._frames = frames
        self._window = asyncio.Event()
        self._began = asyncio.get_running_loop().time()
        self._status = self._sent = 0
        self._whole = False

    def abort(self) -> None:
        """End it immediately, and none of the others."""
        self._frames.reset(self.number, ErrorCodes.CANCEL)

    def begin(self, request: Request, response: Response | None, *, at_hand: bool) -> None:
        """Answer, with ``response`` if it is given. ``at_hand``: what is at hand may be sent at once.

        Raises ProtocolError if the stream is gone.
        """
        server = self._frames.server
        if response is None and at_hand and server.at_hand is not None:
            response = server.at_hand(request)
        if response is None or not isinstance(response.body, bytes):
            work = self._answer(request)
        elif rest := self._send_now(request, response, response.body):
            work = self._send(rest, last=True)
        else:
            self._report(request)
            self._frames.ended(self)
            return
        self.task = asyncio.get_running_loop().create_task(self._finish(request, work))

    def widened(self) -> None:
        """A window was widened."""
        self._window.set()

    def gone(self) -> None:
        """The client gave it up, or the connection ended."""
        self.body.cut()
        self.body.drop()
        if self.task is not None and self.task is not asyncio.current_task():
            self.task.cancel()

    async def _finish(self, request: Request, work: Coroutine[None, None, None]) -> None:
        try:
            await work
        except (ProtocolError, ConnectionError) as exc:
            log.debug("stream %d ended: %s", self.number, exc)
        except TimeoutError:
            log.info("%s is cut off: its client takes nothing", request.target[:200])
            self.abort()
        finally:
            self.task = None
            self._report(request)
            self._frames.ended(self)

    def _report(self, request: Request) -> None:
        heard = self._frames.server.on_answered
        if heard:
            seconds = asyncio.get_running_loop().time() - self._began
            answered = Answered(request, self._status, self._sent, seconds, self._whole, "2.0")
            for hear in heard:
                hear(answered)

    async def _answer(self, request: Request) -> None:
        try:
            response = await self._frames.server.handler(request)
        except Exception:
            # A faulty request handler must not bring the daemon down.
            log.exception("%s %s failed", request.method, request.target[:200])
            response = text(500, "internal error")
        await self._frames.writable()
        body = response.body
        if isinstance(body, bytes):
            if rest := self._send_now(request, response, body):
                await self._send(rest, last=True)
            return
        try:
            bodiless = request.method == "HEAD"
            self._send_head(response, response.length, last=bodiless)
            self._whole = bodiless
            if not bodiless:
                await self._send_pieces(request, response, body)
        finally:
            await body.aclose()

    def _send_now(self, request: Request, response: Response, body: bytes) -> memoryview:
        """The head, and what the windows take of the body; returns the rest."""
        bodiless = response.status in (204, 304)
        length = None if bodiless else len(body) if response.length is None else response.length
        nothing = bodiless or request.method == "HEAD" or not body
        self._send_head(response, length, last=nothing)
        view = memoryview(body)[: 0 if nothing else None]
        self._whole = nothing
        return self._send_some(view, last=True) if view else view

    def _send_some(self, data: memoryview, *, last: bool) -> memoryview:
        """Returns what the windows do not take."""
        taken = self._frames.send_some(self.number, data, last=last)
        self._sent += taken
        self._whole = last and taken == len(data)
        return data[taken:]

    def _send_head(self, response: Response, length: int | None, *, last: bool) -> None:
        server = self._frames.server
        self._status = response.status
        self._frames.send_head(self.number, head_fields(response, server.name, server.date(), length), last=last)

    async def _send_pieces(self, request: Request, response: Response, body: AsyncGenerator[Piece, None]) -> None:
        try:
            async for piece in body:
                await self._send(memoryview(bytes_of(piece)), last=False)
        except (ProtocolError, ConnectionError, TimeoutError):
            raise
        except CideryError as exc:
            log.info("%s is cut off: %s", request.target[:200], exc)
            self._cut_off(response, exc)
            return
        except Exception as exc:
            log.exception("%s is cut off", request.target[:200])
            self._cut_off(response, exc)
            return
        self._send_some(memoryview(b""), last=True)

    def _cut_off(self, response: Response, error: Exception) -> None:
        """Tell the client that the answer is incomplete: with a trailer, or by a reset."""
        if response.error_trailers is None:
            self._frames.reset(self.number, ErrorCodes.INTERNAL_ERROR)
            return
        trailers = response.error_trailers(error).items()
        head = [(name.lower().encode(), value.encode("utf-8", "replace")) for name, value in trailers]
        self._frames.send_head(self.number, head, last=True)

    async def _send(self, data: memoryview, *, last: bool) -> None:
        """Raises TimeoutError if the client widens no window for WRITE_SECONDS."""
        while data:
            await self._frames.writable()
            self._window.clear()
            before, data = len(data), self._send_some(data, last=last)
            if len(data) == before:
                async with asyncio.timeout(WRITE_SECONDS):
                    await self._window.wait()


def _nothing() -> None:
    """There is nothing to be told when a body is waited for."""
