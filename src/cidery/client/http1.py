"""The client half of HTTP/1.1 that the RPC needs, without IO: one request head, one response.

Hand-written because both standard clients drop trailers, and the RPC reports errors after the first byte in the
trailer ``X-Stream-Error``; it also starts faster than importing one.

Obligations of the caller: feed receive_data() until done, receive_eof() when the connection ends; after each call take
body() bytes.

Spec: https://www.rfc-editor.org/rfc/rfc9112
"""

from __future__ import annotations

from cidery.errors import RemoteProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_HEAD = 64 * 1024
"""Most bytes of a response head or of trailers."""
MAX_QUERY = 256 * 1024
"""Longest query put into the request line, in bytes: Kubo accepts four times as much, including all headers."""
MAX_CHUNK_LINE = 1024
"""Most bytes of a chunk-size line with its extensions."""


class BadResponse(RemoteProtocolError):
    """The other end does not speak HTTP/1.1, or stopped in the middle."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"bad answer from the RPC server: {self.reason}"


class NoAnswer(BadResponse):
    """The connection ended before the first byte of an answer."""


class _State:
    """Names of states; no Enum, whose making takes longer than reading an answer."""

    HEAD = "head"
    LENGTH = "body of known length"
    UNTIL_CLOSE = "body until the connection closes"
    CHUNK_SIZE = "chunk size"
    CHUNK = "chunk"
    CHUNK_END = "line end after a chunk"
    TRAILERS = "trailers"
    DONE = "done"


class ResponseReader:
    """Reads one response. ``status`` is 0 until the head is complete."""

    def __init__(self) -> None:
        self.status = 0
        self.reason = ""
        self.interim: dict[str, str] | None = None
        """Headers of the last interim response (100 Continue); None before one."""
        self.headers: dict[str, str] = {}
        """Lower-case name -> value; repeated ones joined by a comma."""
        self.trailers: dict[str, str] = {}
        self._state = _State.HEAD
        self._buffer = bytearray()
        self._body: list[bytes] = []
        self._left = 0

    @property
    def done(self) -> bool:
        return self._state is _State.DONE

    @property
    def reusable(self) -> bool:
        """Whether another response may follow on the connection: this one ended by itself, and nothing came after."""
        framed = "content-length" in self.headers or "transfer-encoding" in self.headers or self.status == 204
        return self.done and framed and not self._buffer and self.headers.get("connection", "").lower() != "close"

    def body(self) -> list[bytes]:
        """Body bytes that arrived since the last call."""
        taken, self._body = self._body, []
        return taken

    def receive_data(self, data: bytes) -> None:
        """Raises BadResponse; the connection must then be closed."""
        if self._state in (_State.LENGTH, _State.CHUNK) and not self._buffer and len(data) <= self._left:
            self._take(data)
            return
        if self._state is _State.UNTIL_CLOSE:
            self._body.append(data)
            return
        self._buffer += data
        while self._state is not _State.DONE and self._step():
            pass

    def receive_eof(self) -> None:
        """Raises BadResponse if the response was not complete, NoAnswer if there was none."""
        if self._state is _State.UNTIL_CLOSE:
            self._state = _State.DONE
        if self._state is _State.HEAD and not self._buffer and self.interim is None:
            raise NoAnswer(
                "the connection closed without one; is the daemon still running? If it speaks TLS, say https://"
            )
        if self._state is not _State.DONE:
            raise BadResponse("the connection closed before the end; is the daemon still running?")

    def _take(self, data: bytes) -> None:
        if data:
            self._body.append(data)
        self._left -= len(data)
        if self._left == 0:
            self._state = _State.CHUNK_END if self._state is _State.CHUNK else _State.DONE

    def _step(self) -> bool:
        """One element from the buffer; False when more bytes are needed."""
        state = self._state
        if state is _State.HEAD:
            return self._read_head()
        if state is _State.UNTIL_CLOSE:
            self._body.append(bytes(self._buffer))
            self._buffer.clear()
            return False
        if state in (_State.LENGTH, _State.CHUNK):
            if not self._buffer:
                return False
            data = bytes(memoryview(self._buffer)[: self._left])
            del self._buffer[: len(data)]
            self._take(data)
            return True
        if state is _State.TRAILERS:
            return self._read_trailers()
        line = self._line()
        if line is None:
            return False
        if state is _State.CHUNK_END:
            if line:
                raise BadResponse("a chunk is longer than it says")
            self._state = _State.CHUNK_SIZE
        else:
            self._begin_chunk(line)
        return True

    def _line(self) -> bytes | None:
        end = self._buffer.find(b"\r\n")
        if end < 0:
            if len(self._buffer) > MAX_CHUNK_LINE:
                raise BadResponse("a chunk line does not end")
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line

    def _begin_chunk(self, line: bytes) -> None:
        digits = line.partition(b";")[0].strip()
        # RFC 9112 section 7.1: chunk-size = 1*HEXDIG; int() alone would also take signs and underscores.
        if not digits or len(digits) > 15 or digits.strip(b"0123456789abcdefABCDEF"):
            raise BadResponse("a chunk size is not hexadecimal")
        self._left = int(digits, 16)
        self._state = _State.CHUNK if self._left else _State.TRAILERS

    def _read_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > MAX_HEAD:
                raise BadResponse("the head is too long")
            return False
        first, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
        del self._buffer[: end + 4]
        version, _, rest = first.partition(" ")
        code, _, self.reason = rest.partition(" ")
        if not version.startswith("HTTP/1.") or len(code) != 3 or not _is_number(code):
            raise BadResponse("it is not HTTP/1.1")
        if code.startswith("1"):  # RFC 9110 section 15.2: a final response follows an interim one
            self.interim = _fields(lines)
            return True
        self.status = int(code)
        self.headers = _fields(lines)
        self._begin_body()
        return True

    def _begin_body(self) -> None:
        if self.status in (204, 304):
            self._state = _State.DONE
        elif self.headers.get("transfer-encoding", "").lower() == "chunked":
            self._state = _State.CHUNK_SIZE
        elif (length := self.headers.get("content-length")) is not None:
            if not _is_number(length) or len(length) > 19:
                raise BadResponse("the content length is not a number")
            self._left = int(length)
            self._state = _State.LENGTH if self._left else _State.DONE
        else:
            self._state = _State.UNTIL_CLOSE

    def _read_trailers(self) -> bool:
        if self._buffer.startswith(b"\r\n"):
            del self._buffer[:2]
            self._state = _State.DONE
            return True
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > MAX_HEAD:
                raise BadResponse("the trailers are too long")
            return False
        self.trailers = _fields(self._buffer[:end].decode("utf-8", "replace").split("\r\n"))
        del self._buffer[: end + 4]
        self._state = _State.DONE
        return True


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()  # isdigit() alone accepts superscripts, which int() does not


def _fields(lines: list[str]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name:
            raise BadResponse("a header line has no name")
        name, value = name.lower(), value.strip()
        fields[name] = f"{fields[name]}, {value}" if name in fields else value
    return fields


_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
"""RFC 3986 section 2.3, unreserved characters."""


def quote(text: str) -> str:
    """Percent-encode all but unreserved characters. Importing urllib for it would take longer than a call."""
    return quote_bytes(text.encode("utf-8", "surrogateescape"))


def quote_bytes(data: bytes) -> str:
    """As quote()."""
    if _PLAIN.issuperset(data):
        return data.decode("ascii")
    return "".join(chr(byte) if byte in _PLAIN else f"%{byte:02X}" for byte in data)


def request_head(
    host: str,
    path: list[str],
    query: list[tuple[str, str]],
    *,
    content_type: str = "",
    agent: str = "cidery",
    last: bool = True,
    headers: Sequence[tuple[str, str]] = (),
) -> bytes:
    """A POST to ``/api/v0/<path>``; with a content type, its body follows in chunks, else the request is complete.

    ``last``: the connection ends with the response.
    A query that servers may find too long is sent as a form, which only Cidery reads.
    """
    target = "/api/v0/" + "/".join(map(quote, path))
    parameters = "&".join(f"{quote(name)}={quote(text)}" for name, text in query)
    form = b""
    if len(parameters) > MAX_QUERY and not content_type:
        form = parameters.encode("ascii")
    elif parameters:
        target += f"?{parameters}"
    lines = [f"POST {target} HTTP/1.1", f"Host: {host}", f"User-Agent: {agent}"]
    lines += ["Connection: close"] if last else []
    lines += [f"{name}: {text}" for name, text in headers]
    if content_type:
        lines += [f"Content-Type: {content_type}", "Transfer-Encoding: chunked"]
    else:
        lines += ["Content-Type: application/x-www-form-urlencoded"] if form else []
        lines += [f"Content-Length: {len(form)}"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + form


def chunk_frame(length: int) -> bytes:
    """What precedes a chunk; ``b"\\r\\n"`` follows it. Length 0 ends the body (then one more line end)."""
    return f"{length:x}\r\n".encode()
