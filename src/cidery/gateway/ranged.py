"""Answers with bytes of known length, whole or in parts: files and blocks.

Spec: https://www.rfc-editor.org/rfc/rfc9110#section-14, https://specs.ipfs.tech/http-gateways/path-gateway/#range-request-header
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from cidery.gateway.conditional import matches_strongly
from cidery.http.message import Piece, Request, Response, text
from cidery.http.ranges import Multipart, Range, Unsatisfiable, multipart, parse_ranges
from cidery.multiformats.varint import Buffer

_OF_CONTENT = ("Cache-Control", "Content-Disposition", "Etag", "Last-Modified", "Accept-Ranges")
"""Headers that say something of the content, which an answer without it has not."""
Read = Callable[[int, int], AsyncGenerator[Piece, None]]
"""Offset and length in bytes -> the bytes, in pieces."""


def ranges_of(request: Request, tag: str, size: int) -> list[Range]:
    """The parts that are wanted; empty: everything. Raises Unsatisfiable."""
    header = request.headers.get("range")
    if header is None or request.method not in ("GET", "HEAD"):
        return []
    condition = request.headers.get("if-range")
    if condition is not None and not matches_strongly(condition, tag):
        return []  # "a recipient ... MUST ignore the Range header field if the condition is false" (13.1.5)
    return parse_ranges(header, size)


def outside(headers: dict[str, str], error: Unsatisfiable) -> Response:
    """416, with the length that there is; without anything by which a cache would answer requests for all of it."""
    kept = {name: value for name, value in headers.items() if name not in _OF_CONTENT}
    return text(416, str(error), kept | {"Content-Range": f"bytes */{error.size}"})


def in_parts(ranges: list[Range], size: int, headers: dict[str, str], data: Buffer | None, read: Read) -> Response:
    """The answer.

    Args:
        ranges: parts of it; empty: everything.
        headers: Content-Type and Etag are among them. They are passed on.
        data: the whole content if it is at hand, and no more than a piece.
    """
    if len(ranges) > 1:
        # a hash of the content is as good as random: the content cannot hold it
        boundary = "".join(letter for letter in headers["Etag"] if letter.isalnum())
        frame = multipart(ranges, size, headers["Content-Type"], boundary)
        headers["Content-Type"] = frame.media_type
        return Response(206, headers, _several(frame, ranges, read), frame.length)
    if ranges:
        part = ranges[0]
        headers["Content-Range"] = part.of(size)
        if data is not None:
            return Response(206, headers, bytes(data[part.first : part.last + 1]))
        return Response(206, headers, read(part.first, part.length), part.length)
    if data is not None:
        return Response(200, headers, bytes(data))
    return Response(200, headers, read(0, size), size)


async def _several(frame: Multipart, ranges: list[Range], read: Read) -> AsyncGenerator[Piece, None]:
    for head, part in zip(frame.heads, ranges, strict=True):
        yield head
        async with aclosing(read(part.first, part.length)) as pieces:
            async for piece in pieces:
                yield piece
    yield frame.tail
