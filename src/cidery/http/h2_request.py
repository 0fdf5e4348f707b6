"""Requests of HTTP/2 as the values that handlers take, and their answers as header lists. Pure.

Spec: https://www.rfc-editor.org/rfc/rfc9113#section-8
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from cidery.http.message import MAX_HEADER_COUNT, NO_HOST, TOO_MANY_HEADERS, Response, is_host, text

_OF_CONNECTIONS = frozenset(("connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"))
""" "An endpoint MUST NOT generate an HTTP/2 message containing connection-specific header fields": 8.2.2."""
HeaderList = list[tuple[bytes, bytes]]


class Head(NamedTuple):
    """The head of a request."""

    method: str
    target: str
    headers: dict[str, str]
    refusal: Response | None
    """The answer, if it is none that a handler may see."""


def head_of(fields: Iterable[tuple[bytes, bytes]], max_target: int) -> Head:
    """From the fields of a HEADERS frame, which the library has validated."""
    pseudo: dict[bytes, bytes] = {}
    headers: dict[str, str] = {}
    count = 0
    for name, value in fields:
        if name.startswith(b":"):
            pseudo[name] = value
            continue
        count += 1
        key, given = name.decode("latin-1"), value.decode("latin-1")
        known = headers.get(key)
        # "they MUST be concatenated into a single octet string using the two-octet delimiter": 8.2.3
        headers[key] = given if known is None else f"{known}{'; ' if key == 'cookie' else ', '}{given}"
    authority = pseudo.get(b":authority")
    if authority is not None:
        headers["host"] = authority.decode("latin-1")
    method, path = pseudo.get(b":method", b""), pseudo.get(b":path", b"")
    refusal = _refusal(method, path, max_target)
    if refusal is None and count > MAX_HEADER_COUNT:
        refusal = text(431, TOO_MANY_HEADERS)
    if refusal is None and not is_host(headers.get("host", "")):
        refusal = text(400, NO_HOST)
    return Head(method.decode("latin-1"), path.decode("latin-1"), headers, refusal)


def _refusal(method: bytes, path: bytes, max_target: int) -> Response | None:
    if len(path) > max_target:
        return text(414, f"a target of more than {max_target} characters")
    if method == b"CONNECT":
        return text(405, "this is no proxy over HTTP/2", {"Allow": "GET, HEAD, OPTIONS"})
    if not (path.startswith(b"/") or (path == b"*" and method == b"OPTIONS")):
        return text(400, "the path does not begin with /")
    if any(byte <= 0x20 or byte >= 0x7F for byte in path):
        return text(400, "the path holds characters that have to be escaped")
    return None


def head_fields(response: Response, server: str, date: bytes, length: int | None) -> HeaderList:
    """The fields of an answer. ``date``: the header line, as the server has it."""
    fields = [(b":status", str(response.status).encode()), (b"server", server.encode("latin-1", "replace"))]
    for name, value in response.headers.items():
        lower = name.lower()
        if lower not in _OF_CONNECTIONS:
            fields.append((lower.encode("latin-1", "replace"), value.strip().encode("latin-1", "replace")))
    if length is not None:
        fields.append((b"content-length", str(length).encode()))
    fields.append((b"date", date.strip()[len(b"Date: ") :]))
    return fields
