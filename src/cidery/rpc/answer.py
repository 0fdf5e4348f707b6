"""Answers of the RPC: single errors, and streams that can still report an error after their first byte."""

import json
from typing import Any

from aiohttp import web

from cidery import __version__
from cidery.errors import CideryError, InvalidInput, LimitExceeded, Unavailable

SERVER = f"cidery/{__version__}"
_EXPOSED = "X-Stream-Output, X-Chunked-Output, X-Content-Length"
COMMON_HEADERS = {
    "Server": SERVER,
    "Vary": "Origin",
    "Access-Control-Allow-Headers": _EXPOSED,
    "Access-Control-Expose-Headers": _EXPOSED,
}
MAX_JOINED = 64 * 1024
"""Chunks up to this many bytes are copied together with their frame; larger ones are passed on as they are."""

CODE_NORMAL, CODE_CLIENT, CODE_LIMITED = 0, 1, 3
"""``Code`` in error answers, as Kubo numbers them."""
_BY_CATEGORY: tuple[tuple[type[BaseException], int, int], ...] = (
    (InvalidInput, 400, CODE_CLIENT),
    (LimitExceeded, 500, CODE_LIMITED),
    (Unavailable, 500, CODE_NORMAL),
    (CideryError, 500, CODE_NORMAL),
)
"""Category -> (status, code); the first that fits."""


def one_line(error: BaseException) -> str:
    """The message of an error on one line of Unicode."""
    text = str(error).encode("utf-8", "backslashreplace").decode()
    return " ".join(text.split()) or type(error).__name__


def error_answer(error: BaseException) -> web.Response:
    """The answer for an error before the first byte of a result."""
    status, code = next(((s, c) for kind, s, c in _BY_CATEGORY if isinstance(error, kind)), (500, CODE_NORMAL))
    body = json.dumps({"Message": one_line(error), "Code": code, "Type": "error"}, separators=(",", ":")) + "\n"
    return web.Response(status=status, text=body, content_type="application/json", headers=COMMON_HEADERS)


def text_answer(status: int, text: str, headers: tuple[tuple[str, str], ...] = ()) -> web.Response:
    """A plain answer for a request that is no call."""
    return web.Response(status=status, text=text + "\n" if text else "", headers={**COMMON_HEADERS, **dict(headers)})


class StreamAnswer(web.StreamResponse):
    """A body in chunks with the trailer X-Stream-Error, which the framework's own response cannot send.

    Spec: https://www.rfc-editor.org/rfc/rfc9112#section-7.1
    """

    _length_check = False  # as the framework's WebSocket response: it leaves the framing to us

    def __init__(self, content_type: str, extra: dict[str, str]) -> None:
        super().__init__(status=200, headers={**COMMON_HEADERS, **extra, "Content-Type": content_type})
        self._framed = True

    async def begin(self, request: web.BaseRequest) -> None:
        """Send the head."""
        self._framed = request.version >= (1, 1)
        if self._framed:
            self.headers["Transfer-Encoding"] = "chunked"
            self.headers["Trailer"] = "X-Stream-Error"
        else:
            self.force_close()
        await self.prepare(request)

    async def send(self, data: bytes | memoryview) -> None:
        """One chunk; waits while the receiver is slow."""
        if not data:
            return
        if not self._framed:
            await self.write(data)
            return
        frame = f"{len(data):x}\r\n".encode()
        if len(data) <= MAX_JOINED:
            await self.write(b"".join((frame, data, b"\r\n")))
            return
        await self.write(frame)
        await self.write(data)
        await self.write(b"\r\n")

    async def end(self, error: BaseException | None = None) -> None:
        """Finish; with an error the receiver learns that what it has is not all."""
        if self._framed:
            trailer = f"X-Stream-Error: {one_line(error)}\r\n".encode() if error is not None else b""
            await self.write(b"0\r\n" + trailer + b"\r\n")
        elif error is not None and self._req is not None and self._req.transport is not None:
            self._req.transport.abort()  # HTTP/1.0 has no other sign
            return
        await self.write_eof()


def value_line(value: Any) -> bytes:
    """One JSON value of a stream."""
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"
