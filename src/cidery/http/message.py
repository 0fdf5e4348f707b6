"""A request and its response as values. Handlers are ``async def (Request) -> Response``; adapters carry them.

The target is kept as received, percent-escapes included, because content paths are compared byte for byte.

Spec: https://www.rfc-editor.org/rfc/rfc9110
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qsl

from cidery.disk.file_part import FilePart
from cidery.errors import InvalidInput
from cidery.multiformats.varint import Buffer

if TYPE_CHECKING:
    from cidery.http.body import RequestBody

Piece = Buffer | FilePart
"""Of a body. Parts of files are for requests that take them."""
MAX_TARGET = 32 * 1024
"""Longest request target, in characters: twice the longest path, for its escapes."""
MAX_HEADER_COUNT = 256
"""Most headers of one request; browsers send some 20, and proxies add as many."""
TOO_MANY_HEADERS = f"more than {MAX_HEADER_COUNT} headers"
_HOST = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=%:\[\]-]*")
NO_HOST = "Host is a name in ASCII or an address, with or without a port"
"""What is said to other ones."""
MAX_QUERY_FIELDS = 64
"""Most fields of a query."""


class BadRequest(InvalidInput):
    """A malformed request."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


@dataclass(eq=False, slots=True)
class Request:
    """The request of a client."""

    method: str
    target: str
    """As sent: path and query, percent-escaped."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Names in lower case; several of one name are joined by commas."""
    body: RequestBody | AsyncIterable[bytes] | None = None
    client: str = ""
    """IP address of the other end; "" if there is none."""
    abort: Callable[[], None] | None = None
    """Ends the connection immediately."""
    secure: bool = False
    """Whether it came over TLS."""
    takes_files: bool = False
    """Whether parts of files may be among the pieces of the answer's body: they need not be read to be sent."""

    @property
    def path(self) -> str:
        """The path, still escaped."""
        return self.target.partition("?")[0]

    def query(self) -> dict[str, str]:
        """The fields of the query, unescaped; the first of several with one name. Raises BadRequest."""
        try:
            fields = parse_qsl(self.target.partition("?")[2], keep_blank_values=True, max_num_fields=MAX_QUERY_FIELDS)
        except ValueError as exc:
            raise BadRequest(f"more than {MAX_QUERY_FIELDS} query fields") from exc
        return dict(reversed(fields))

    def header(self, name: str) -> str:
        """The value of a header, "" if absent; ``name`` in lower case."""
        return self.headers.get(name, "")


@dataclass(slots=True)
class Response:
    """The answer to it."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | AsyncGenerator[Piece, None] = b""
    """The adapter closes a generator, even if it is not read (HEAD). It raises to cut the connection."""
    length: int | None = None
    """Bytes of a generator's body, if known."""
    error_trailers: Callable[[Exception], dict[str, str]] | None = None
    """The trailers that report an error after the first byte; without them the connection is cut."""
    ahead: int = 0
    """Bytes of a generator's body that may wait for a client that sends all of its request before it reads."""


class Answered(NamedTuple):
    """A request that has ended, for logs and counters."""

    request: Request
    status: int
    """Of its answer; 0: there was none."""
    sent: int
    """Bytes of the body given to the system, without frames."""
    seconds: float
    """From the end of the request's head."""
    whole: bool
    """Whether all of the answer was sent: not when the client left, or the answer broke off."""
    version: str
    """1.0, 1.1 or 2.0."""


def bytes_of(piece: Piece) -> Buffer:
    """The bytes of a piece, for a body that cannot be sent otherwise. Raises as FilePart.read()."""
    return piece.read() if isinstance(piece, FilePart) else piece


def is_host(given: str) -> bool:
    """Whether this may be a Host: ``uri-host [ ":" port ]`` in the characters of RFC 3986; "" may be."""
    return _HOST.fullmatch(given) is not None


def text(status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """A line of plain text."""
    body = (message.rstrip("\n") + "\n").encode("utf-8", "replace")
    return Response(status, {"Content-Type": "text/plain; charset=utf-8", **(headers or {})}, body)
