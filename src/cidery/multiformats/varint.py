"""Unsigned varints: 7 bits per byte, least significant first, minimal, at most 9 bytes (63 bits).

Spec: https://github.com/multiformats/unsigned-varint
"""

from cidery.errors import InvalidInput

MAX_VARINT_BYTES = 9
"""Longest accepted encoding, in bytes ("implementations MUST restrict the size of the varint to a max of 9 bytes")."""

Buffer = bytes | bytearray | memoryview
"""The input of decoders: anything that can be indexed and sliced as bytes."""


class VarintError(InvalidInput):
    """Bytes that are not one minimal unsigned varint."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"bad varint: {self.reason}"


def encode_uvarint(value: int) -> bytes:
    """Encode ``0 <= value < 2**63``. Raises VarintError outside that range."""
    if 0 <= value < 0x80:
        return _ONE_BYTE[value]
    if value < 0 or value >= 1 << 63:
        raise VarintError(f"{value} is outside 0..2**63-1")
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


_ONE_BYTE = [bytes([i]) for i in range(0x80)]


def decode_uvarint(buf: Buffer, start: int = 0) -> tuple[int, int]:
    """Decode one unsigned varint at ``buf[start:]``.

    Accepts only the minimal encoding. O(1): reads at most 9 bytes. Trailing bytes are left alone.

    Returns:
        (value, end): ``0 <= value < 2**63``; ``end`` is the offset of the next unread byte.
    Raises:
        VarintError: truncated, longer than 9 bytes, or not minimal. Nothing else (fuzzed).
    Spec: https://github.com/multiformats/unsigned-varint
    """
    size = len(buf)
    if start < size and buf[start] < 0x80:
        return buf[start], start + 1
    value = shift = 0
    for at in range(start, min(size, start + MAX_VARINT_BYTES)):
        byte = buf[at]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if byte == 0:
                raise VarintError("not minimal")
            return value, at + 1
        shift += 7
    raise VarintError("truncated" if size - start < MAX_VARINT_BYTES else "longer than 9 bytes")
