"""The protobuf wire format as a stream of fields, zero-copy: no schema, no generated code.

Network messages and dag-pb nodes are read by walking their fields; values of bytes fields are views into the
input, so a block is never copied on its way through Bitswap. Groups (wire types 3 and 4) are refused.

Spec: https://protobuf.dev/programming-guides/encoding/
"""

from collections.abc import Iterator

from cidery.errors import InvalidInput
from cidery.multiformats.varint import encode_uvarint

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
"""Wire types."""
MAX_FIELDS = 1 << 20
"""Most fields read from one message: limits the work that small fields can cause."""


class ProtobufError(InvalidInput):
    """Bytes that are not protobuf fields, or a field of the wrong wire type."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"bad protobuf: {self.reason}"


def _varint(buf: memoryview, at: int, size: int) -> tuple[int, int]:
    """Protobuf varints: up to 10 bytes and 64 bits, padding allowed (unlike multiformats varints)."""
    value = shift = 0
    while at < size and shift < 70:
        byte = buf[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >= 1 << 64:
                raise ProtobufError("varint over 64 bits")
            return value, at
        shift += 7
    raise ProtobufError("truncated varint" if at >= size else "varint over 10 bytes")


def read_fields(
    data: bytes | bytearray | memoryview, *, cut: bool = False
) -> Iterator[tuple[int, int, int, memoryview]]:
    """Walk the fields of one message.

    ``cut``: of a message whose end is missing. A field of type 2 that is not whole comes last, with its stated length
    as ``number`` and what there is of it as ``view``.

    Yields:
        (field number, wire type, number, view): ``number`` for wire types 0, 1 and 5; ``view`` for type 2, else empty.
    Raises:
        ProtobufError: truncated, bad wire type, field number 0, more than MAX_FIELDS. Nothing else (fuzzed).
    Cost: O(fields); bytes are not copied.
    """
    buf = memoryview(data)
    at, size, count = 0, len(buf), 0
    while at < size:
        count += 1
        if count > MAX_FIELDS:
            raise ProtobufError(f"more than {MAX_FIELDS} fields")
        key = buf[at]
        if key < 0x80:
            at += 1
        else:
            key, at = _varint(buf, at, size)
        number, wire = key >> 3, key & 7
        if number == 0 or number >= 1 << 29:
            raise ProtobufError(f"field number {number}")
        if wire == BYTES:
            length, at = _varint(buf, at, size)
            end = at + length
            if end > size:
                if cut:
                    yield number, BYTES, length, buf[at:size]
                    return
                raise ProtobufError("truncated bytes field")
            yield number, BYTES, 0, buf[at:end]
            at = end
        elif wire == VARINT:
            value, at = _varint(buf, at, size)
            yield number, VARINT, value, _EMPTY
        elif wire == FIXED64 or wire == FIXED32:
            width = 8 if wire == FIXED64 else 4
            if at + width > size:
                raise ProtobufError("truncated fixed field")
            yield number, wire, int.from_bytes(buf[at : at + width], "little"), _EMPTY
            at += width
        else:
            raise ProtobufError(f"wire type {wire}")


_EMPTY = memoryview(b"")


def expect(wire: int, wanted: int, name: str) -> None:
    """Raise ProtobufError unless the field came in the wire type its schema states."""
    if wire != wanted:
        raise ProtobufError(f"field {name} has wire type {wire}, not {wanted}")


def bytes_field(number: int, data: bytes | bytearray | memoryview) -> bytes:
    """One length-delimited field, copied. For large data use bytes_header() and pass the data on separately."""
    return b"".join((bytes_header(number, len(data)), data))


def bytes_header(number: int, length: int) -> bytes:
    """Key and length of a length-delimited field whose ``length`` bytes follow."""
    return encode_uvarint(number << 3 | BYTES) + encode_uvarint(length)


def varint_field(number: int, value: int) -> bytes:
    """One varint field; negative int64 values take the 10-byte two's complement form."""
    if value < 0:
        value += 1 << 64
    return encode_uvarint(number << 3) + _encode_64(value)


def _encode_64(value: int) -> bytes:
    if value < 1 << 63:
        return encode_uvarint(value)
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
