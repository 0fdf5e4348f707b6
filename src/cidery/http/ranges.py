"""Parts of a representation: the Range header, and answers of several parts. Pure.

Spec: https://www.rfc-editor.org/rfc/rfc9110#section-14
"""

from __future__ import annotations

from typing import NamedTuple

from cidery.errors import InvalidInput

MAX_RANGES = 16
"""Most ranges of one request: more are no reader's, and each costs a part."""
MAX_DIGITS = 18
"""Digits of a position that are read; a number of more, leading zeros apart, lies behind the end of every file."""
BEYOND = 10**MAX_DIGITS
"""Behind the end of every file, in bytes."""


class Unsatisfiable(InvalidInput):
    """Every range begins after the end (416)."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size

    def __str__(self) -> str:
        return f"the range begins after the end, {self.size} bytes"


class Range(NamedTuple):
    """Bytes ``first`` to ``last``, both included."""

    first: int
    last: int

    @property
    def length(self) -> int:
        return self.last + 1 - self.first

    def of(self, size: int) -> str:
        """As Content-Range has it."""
        return f"bytes {self.first}-{self.last}/{size}"


def parse_ranges(header: str, size: int) -> list[Range]:
    """The ranges of a Range header over ``size`` bytes; empty: serve everything.

    Unknown units and malformed headers are ignored, as the RFC says; so are more than MAX_RANGES ranges, and several
    that together hold more than the whole. Raises Unsatisfiable.
    """
    unit, equals, texts = header.partition("=")
    if not equals or unit.strip().lower() != "bytes":
        return []
    parts = texts.split(",")
    if len(parts) > MAX_RANGES:
        return []
    ranges: list[Range] = []
    for text in parts:
        parsed = _parse(text.strip(), size)
        if parsed is None:
            return []
        if 0 <= parsed.first <= parsed.last:
            ranges.append(parsed)
    if not ranges:
        raise Unsatisfiable(size)
    if len(ranges) > 1 and sum(one.length for one in ranges) > size:
        return []
    return ranges


def _parse(text: str, size: int) -> Range | None:
    """One range, clipped to the end; an empty one if it lies behind it; None: malformed."""
    first, dash, last = text.partition("-")
    digits = [part for part in (first, last) if part]
    if not dash or not digits or not all(part.isascii() and part.isdigit() for part in digits):
        return None
    if not first:
        count = _number(last)
        return Range(max(0, size - count), size - 1) if count else Range(size, size - 1)
    if last and _is_less(last, first):
        return None
    start = _number(first)
    return Range(start, min(_number(last) if last else size - 1, size - 1)) if start < size else Range(size, size - 1)


def _number(digits: str) -> int:
    """At most BEYOND: int() refuses, and takes long for, thousands of digits."""
    short = digits.lstrip("0")
    return BEYOND if len(short) > MAX_DIGITS else int(short or "0")


def _is_less(one: str, other: str) -> bool:
    """Of two numbers in decimal digits, however many."""
    one, other = one.lstrip("0"), other.lstrip("0")
    return (len(one), one) < (len(other), other)


class Multipart(NamedTuple):
    """An answer of several parts (``multipart/byteranges``)."""

    boundary: str
    heads: tuple[bytes, ...]
    """What precedes each part."""
    tail: bytes
    length: int
    """Of the whole body, in bytes."""

    @property
    def media_type(self) -> str:
        return f"multipart/byteranges; boundary={self.boundary}"


def multipart(ranges: list[Range], size: int, media_type: str, boundary: str) -> Multipart:
    """The frame of several parts. ``boundary``: text that the content does not hold, as good as random."""
    heads = tuple(
        f"{'' if at == 0 else chr(13) + chr(10)}--{boundary}\r\nContent-Type: {media_type}\r\n"
        f"Content-Range: {one.of(size)}\r\n\r\n".encode()
        for at, one in enumerate(ranges)
    )
    tail = f"\r\n--{boundary}--\r\n".encode()
    length = sum(map(len, heads)) + sum(one.length for one in ranges) + len(tail)
    return Multipart(boundary, heads, tail, length)
