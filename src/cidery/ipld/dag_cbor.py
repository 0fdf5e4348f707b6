"""DAG-CBOR: the binary form of the data model. One value, one encoding.

The decoder accepts only the canonical form: shortest heads, map keys unique and ordered by length, then bytes, floats
of 64 bits, no indefinite lengths, no tag except 42 (a link), no NaN and no infinities. ``canonical=False`` is for plain
CBOR from elsewhere that is about to be re-encoded.

Spec: https://ipld.io/specs/codecs/dag-cbor/spec/
"""

import math
import struct
from collections.abc import Iterator

from cidery.ipld import dag_cbor_native
from cidery.ipld.data_model import MAX_INT, MAX_NESTING, MIN_INT, CodecError, NotEncodable, Value, kind_of
from cidery.multiformats.cid import CID, CIDError
from cidery.multiformats.varint import Buffer

_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _LIST, _MAP, _TAG, _SIMPLE = range(8)
_LINK_TAG = 42
_CONSTANTS: dict[int, Value] = {0xF4: False, 0xF5: True, 0xF6: None}
_FLOATS = {0xF9: struct.Struct(">e"), 0xFA: struct.Struct(">f"), 0xFB: struct.Struct(">d")}
_DOUBLE = _FLOATS[0xFB]
_LINK_HEAD = b"\xd8\x2a"
_USUAL_LINK = b"\xd8\x2a\x58\x25\x00"
"""The start of a link to a CIDv1 with a digest of 32 bytes, in a byte string of 37; most links are such."""
_USUAL_LINK_SIZE = len(_USUAL_LINK) + 36


class DagCborError(CodecError):
    """Bytes that are not one canonical DAG-CBOR value."""

    def __init__(self, reason: str, at: int) -> None:
        super().__init__("dag-cbor", f"{reason} at byte {at}")
        self.at = at


class _Open:
    """A list or map under construction."""

    __slots__ = ("items", "key", "last", "left", "map")

    def __init__(self, is_map: bool, count: int) -> None:
        self.map: dict[str, Value] | None = {} if is_map else None
        self.items: list[Value] = []
        self.left = count
        self.key = ""
        self.last = b""

    @property
    def value(self) -> Value:
        return self.items if self.map is None else self.map


def decode(block: Buffer, *, canonical: bool = True) -> Value:
    """Decode a whole block. O(len(block)) time and memory; the nesting is bounded by MAX_NESTING, without recursion.

    Args:
        canonical: False accepts longer heads, any order of keys and shorter floats too.
    Raises:
        DagCborError: with the offset and the reason. Nothing else (fuzzed).
    """
    buf = block if isinstance(block, bytes) else bytes(block)
    if canonical and dag_cbor_native.AVAILABLE:
        value, whole = dag_cbor_native.decode(buf)
        if whole:
            return value
    return decode_here(buf, canonical=canonical)


def decode_here(buf: bytes, *, canonical: bool = True) -> Value:
    """decode() in Python alone. Raises as decode()."""
    try:
        value, at = _decode(buf, canonical)
    except (IndexError, struct.error) as exc:
        raise DagCborError("truncated", len(buf)) from exc
    if at != len(buf):
        raise DagCborError("more than one value", at)
    return value


def _decode(buf: bytes, canonical: bool) -> tuple[Value, int]:
    around: list[_Open] = []
    here: _Open | None = None
    at, size = 0, len(buf)
    value: Value
    while True:
        if here is not None and here.map is not None:
            at = _read_key(buf, at, here, canonical)
        head = buf[at]
        if head in (0x80, 0xA0):
            value, at = ([] if head == 0x80 else {}), at + 1
        elif 0x80 <= head < 0xC0:
            start = at
            count, at = _read_head(buf, at, canonical)
            if count * (2 if head >= 0xA0 else 1) > size - at:
                raise DagCborError(f"{count} entries in {size - at} bytes", start)
            opened = _Open(head >= 0xA0, count)
            if count:
                if here is not None:
                    if len(around) + 2 > MAX_NESTING:
                        raise DagCborError(f"nested deeper than {MAX_NESTING}", start)
                    around.append(here)
                here = opened
                continue
            value = opened.value
        elif head < 0x18:
            value, at = head, at + 1
        elif head == 0xD8 and buf.startswith(_USUAL_LINK, at) and size - at >= _USUAL_LINK_SIZE:
            try:
                value = CID.decode(buf[at + len(_USUAL_LINK) : at + _USUAL_LINK_SIZE])
            except CIDError as exc:
                raise DagCborError(f"a link that is no CID ({exc.reason})", at) from exc
            at += _USUAL_LINK_SIZE
        else:
            value, at = _read_scalar(buf, at, canonical)
        while True:
            if here is None:
                return value, at
            if here.map is None:
                here.items.append(value)
            else:
                here.map[here.key] = value
            here.left -= 1
            if here.left:
                break
            value = here.value
            here = around.pop() if around else None


def _read_head(buf: bytes, at: int, canonical: bool) -> tuple[int, int]:
    """The argument of the head at ``at``, and the offset after it."""
    info = buf[at] & 0x1F
    if info < 24:
        return info, at + 1
    if info > 27:
        raise DagCborError("indefinite or reserved length", at)
    width = 1 << (info - 24)
    end = at + 1 + width
    if end > len(buf):
        raise DagCborError("truncated", at)
    number = int.from_bytes(buf[at + 1 : end], "big")
    if canonical and (number < 24 or (width > 1 and number < 1 << (4 * width))):
        raise DagCborError(f"{number} is not in its shortest form", at)
    return number, end


def _read_bytes(buf: bytes, at: int, canonical: bool) -> tuple[bytes, int]:
    size, start = _read_head(buf, at, canonical)
    end = start + size
    if end > len(buf):
        raise DagCborError(f"a string of {size} bytes, {len(buf) - start} are there", at)
    return buf[start:end], end


def _read_key(buf: bytes, at: int, here: _Open, canonical: bool) -> int:
    head = buf[at]
    if head >> 5 != _TEXT:
        raise DagCborError("a map key that is not text", at)
    if head < 0x78 and at + 1 + (head & 0x1F) <= len(buf):
        end = at + 1 + (head & 0x1F)
        raw = buf[at + 1 : end]
    else:
        raw, end = _read_bytes(buf, at, canonical)
    try:
        key = raw.decode()
    except UnicodeDecodeError as exc:
        raise DagCborError("text that is not UTF-8", at) from exc
    assert here.map is not None  # checked by the caller
    if here.map:
        if key in here.map:
            raise DagCborError(f"the key {key[:40]!r} twice", at)
        last = here.last
        if canonical and (len(raw), raw) < (len(last), last):
            raise DagCborError(f"the key {key[:40]!r} out of order", at)
    here.key, here.last = key, raw
    return end


def _read_scalar(buf: bytes, at: int, canonical: bool) -> tuple[Value, int]:
    """Anything but a list, a map and the smallest integers."""
    head = buf[at]
    major = head >> 5
    if major == _TEXT:
        raw, end = _read_bytes(buf, at, canonical)
        try:
            return raw.decode(), end
        except UnicodeDecodeError as exc:
            raise DagCborError("text that is not UTF-8", at) from exc
    if major == _TAG:
        return _read_link(buf, at, canonical)
    if major == _BYTES:
        return _read_bytes(buf, at, canonical)
    if major == _SIMPLE:
        return _read_simple(buf, at, canonical)
    number, end = _read_head(buf, at, canonical)
    return (number if major == _UNSIGNED else -1 - number), end


def _read_link(buf: bytes, at: int, canonical: bool) -> tuple[CID, int]:
    tag, start = _read_head(buf, at, canonical)
    if tag != _LINK_TAG:
        raise DagCborError(f"tag {tag}: only 42 (a link) is allowed", at)
    if buf[start] >> 5 != _BYTES:
        raise DagCborError("a link that is not a byte string", at)
    raw, end = _read_bytes(buf, start, canonical)
    if raw[:1] != b"\x00":
        # "the identity multibase prefix (0x00) ... must be included": the spec's section Links
        raise DagCborError("a link without the leading zero byte", at)
    try:
        return CID.decode(raw[1:]), end
    except CIDError as exc:
        raise DagCborError(f"a link that is no CID ({exc.reason})", at) from exc


def _read_simple(buf: bytes, at: int, canonical: bool) -> tuple[Value, int]:
    head = buf[at]
    if head in _CONSTANTS:
        return _CONSTANTS[head], at + 1
    form = _FLOATS.get(head)
    if form is None:
        raise DagCborError("a simple value that is no false, true, null or float", at)
    if canonical and head != 0xFB:
        raise DagCborError("a float of less than 64 bits", at)
    number: float = form.unpack_from(buf, at + 1)[0]
    if not math.isfinite(number):
        raise DagCborError("NaN or an infinity", at)
    return number, at + 1 + form.size


def encode(value: Value) -> bytes:
    """The canonical block of a value.

    Raises:
        NotEncodable: integers over 64 bits, NaN, infinities, keys that are not text, text with lone surrogates,
            nesting over MAX_NESTING, other types.
    """
    if dag_cbor_native.AVAILABLE:
        block = dag_cbor_native.encode(value)
        if block is not None:
            return block
    return encode_here(value)


def encode_here(value: Value) -> bytes:
    """encode() in Python alone. Raises as encode()."""
    parts: list[bytes] = []
    stack: list[Iterator[tuple[bytes, Value]]] = [iter(((b"", value),))]
    while stack:
        for prefix, item in stack[-1]:
            if prefix:
                parts.append(prefix)
            if isinstance(item, dict):
                parts.append(_head(_MAP, len(item)))
                stack.append(_entries(item))
            elif isinstance(item, list | tuple):
                parts.append(_head(_LIST, len(item)))
                stack.append(iter([(b"", one) for one in item]))
            else:
                parts.append(_scalar(item))
                continue
            if len(stack) - 1 > MAX_NESTING:
                raise NotEncodable("dag-cbor", f"nested deeper than {MAX_NESTING}")
            break
        else:
            stack.pop()
    return b"".join(parts)


def _entries(item: dict[str, Value]) -> Iterator[tuple[bytes, Value]]:
    entries: list[tuple[int, bytes, Value]] = []
    for key, value in item.items():
        if not isinstance(key, str):
            raise NotEncodable("dag-cbor", f"a map key of type {type(key).__name__}; keys are text")
        raw = _utf8(key)
        entries.append((len(raw), raw, value))
    entries.sort(key=lambda entry: entry[:2])
    return iter([(_head(_TEXT, size) + raw, value) for size, raw, value in entries])


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as exc:
        raise NotEncodable("dag-cbor", "text that is not valid Unicode") from exc


def _head(major: int, number: int) -> bytes:
    if number < 24:
        return _SMALL_HEADS[major << 5 | number]
    if number < 0x100:
        return bytes((major << 5 | 24, number))
    for code, width in ((25, 2), (26, 4), (27, 8)):
        if number < 1 << (8 * width):
            return bytes((major << 5 | code,)) + number.to_bytes(width, "big")
    raise NotEncodable("dag-cbor", f"the integer {number} has more than 64 bits")


_SMALL_HEADS = [bytes([code]) for code in range(256)]


def _scalar(item: Value) -> bytes:
    if isinstance(item, str):
        raw = _utf8(item)
        return _head(_TEXT, len(raw)) + raw
    if item is None or isinstance(item, bool):
        return b"\xf6" if item is None else b"\xf5" if item else b"\xf4"
    if isinstance(item, int):
        if not MIN_INT <= item <= MAX_INT:
            raise NotEncodable("dag-cbor", f"an integer of {item.bit_length()} bits, at most 64 are allowed")
        return _head(_UNSIGNED, item) if item >= 0 else _head(_NEGATIVE, -1 - item)
    if isinstance(item, CID):
        raw = item.encode()
        if len(raw) == 36:
            return _USUAL_LINK + raw
        return _LINK_HEAD + _head(_BYTES, len(raw) + 1) + b"\x00" + raw
    if isinstance(item, bytes | bytearray | memoryview):
        return _head(_BYTES, len(item)) + item
    if isinstance(item, float):
        if not math.isfinite(item):
            raise NotEncodable("dag-cbor", f"the float {item}")
        return b"\xfb" + _DOUBLE.pack(item)
    raise NotEncodable("dag-cbor", f"a value of type {kind_of(item)}")
