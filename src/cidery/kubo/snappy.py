"""Decompresses Snappy blocks. LevelDB uses it if told to; Kubo by default tells it not to.

Spec: https://github.com/google/snappy/blob/main/format_description.txt
"""

from cidery.errors import IntegrityError
from cidery.multiformats.varint import VarintError, decode_uvarint

_LITERAL, _COPY_1, _COPY_2 = 0, 1, 2
"""Kinds of element, in the low two bits of its tag; the one left (3) is a copy with an offset of four bytes."""


class SnappyError(IntegrityError):
    """Bytes that are not one Snappy block."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"bad snappy data: {self.reason}"


def decompress(data: bytes, limit: int) -> bytes:
    """The bytes of one block. O(len(data) + size of the result), no Python per byte.

    Args:
        limit: most bytes that the result may have; memory is bounded by it.
    Raises:
        SnappyError: and nothing else (fuzzed).
    """
    try:
        size, at = decode_uvarint(data, 0)
    except VarintError as exc:
        raise SnappyError(exc.reason) from exc
    if size > limit:
        raise SnappyError(f"{size} bytes, at most {limit} are allowed")
    out = bytearray()
    end = len(data)
    try:
        while at < end:
            tag = data[at]
            at += 1
            if tag & 3 == _LITERAL:
                length, at = _literal_length(data, tag, at)
                if length > end - at:
                    raise SnappyError("a literal goes beyond the end")
                out += data[at : at + length]
                at += length
            else:
                length, back, at = _copy(data, tag, at)
                if not 0 < back <= len(out):
                    raise SnappyError("a copy from before the beginning")
                _append_copy(out, length, back)
            if len(out) > size:
                raise SnappyError("more bytes than announced")
    except IndexError as exc:
        raise SnappyError("truncated") from exc
    if len(out) != size:
        raise SnappyError(f"{len(out)} bytes instead of {size}")
    return bytes(out)


def _literal_length(data: bytes, tag: int, at: int) -> tuple[int, int]:
    short = tag >> 2
    if short < 60:
        return short + 1, at
    width = short - 59
    if at + width > len(data):
        raise SnappyError("truncated")
    return int.from_bytes(data[at : at + width], "little") + 1, at + width


def _copy(data: bytes, tag: int, at: int) -> tuple[int, int, int]:
    """Length, distance back, and the offset after the element."""
    if tag & 3 == _COPY_1:
        return (tag >> 2 & 7) + 4, (tag >> 5) << 8 | data[at], at + 1
    width = 2 if tag & 3 == _COPY_2 else 4
    if at + width > len(data):
        raise SnappyError("truncated")
    return (tag >> 2) + 1, int.from_bytes(data[at : at + width], "little"), at + width


def _append_copy(out: bytearray, length: int, back: int) -> None:
    start = len(out) - back
    if back >= length:
        out += out[start : start + length]
    else:  # the copy overlaps what it makes: a pattern, repeated
        pattern = bytes(out[start:])
        out += (pattern * (length // back + 1))[:length]
