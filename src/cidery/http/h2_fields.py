"""How the fields of answers are written in HTTP/2: in place of the library's encoder, at a fifth of its cost. Pure.

Fields that most answers share are put into the client's table once and named by their index from then on. Others are
written as they are: what differs from answer to answer would only push the shared ones out, and Huffman's code costs
more than the bytes that it saves. The table is never changed once it is full, so that an entry keeps its number.

Spec: https://www.rfc-editor.org/rfc/rfc7541
"""

from __future__ import annotations

from collections.abc import Iterable

from hpack.table import HeaderTable

SHARED = frozenset(
    (
        b"accept-ranges",
        b"access-control-allow-headers",
        b"access-control-allow-methods",
        b"access-control-allow-origin",
        b"access-control-expose-headers",
        b"cache-control",
        b"content-security-policy",
        b"content-type",
        b"server",
        b"vary",
        b"x-content-type-options",
    )
)
"""Names of fields that have few values."""
MAX_TABLE = 4096
"""Bytes of the table that a client has without a word of it."""
OVERHEAD = 32
"""Bytes that an entry counts beside its name and value (4.1)."""
_STATIC = HeaderTable.STATIC_TABLE
_STATIC_FIELDS = {(bytes(name), bytes(value)): at for at, (name, value) in enumerate(_STATIC, 1) if value}
_STATIC_NAMES = {bytes(name): at for at, (name, _) in reversed(list(enumerate(_STATIC, 1)))}


class FieldEncoder:
    """For one connection. Satisfies what h2 needs of hpack.Encoder."""

    def __init__(self) -> None:
        self._most = MAX_TABLE
        self._size = 0
        self._known: dict[tuple[bytes, bytes], int] = {}
        """Fields in the client's table, by the order in which they were put there."""
        self._resized = b""

    @property
    def header_table_size(self) -> int:
        """Bytes of the client's table that are used at most."""
        return self._most

    @header_table_size.setter
    def header_table_size(self, size: int) -> None:
        size = min(size, MAX_TABLE)
        if size != self._most:
            # emptied first: "a change in the maximum size of the dynamic table is signaled" at the next block (4.2)
            self._most, self._size, self._known = size, 0, {}
            self._resized = b"\x20" + _integer(size, 5, 0x20)

    def encode(self, fields: Iterable[tuple[bytes, bytes]]) -> bytes:
        """The block of one list of fields; to be sent, since the table follows it."""
        out = bytearray(self._resized)
        self._resized = b""
        known = self._known
        for name, value in fields:
            order = known.get((name, value))
            if order is not None:
                out += _integer(len(_STATIC) + len(known) - order, 7, 0x80)
            elif (index := _STATIC_FIELDS.get((name, value))) is not None:
                out.append(0x80 | index)
            else:
                fits = name in SHARED and self._size + len(name) + len(value) + OVERHEAD <= self._most
                out += _literal(name, value, shared=fits)
                if fits:
                    known[bytes(name), bytes(value)] = len(known)
                    self._size += len(name) + len(value) + OVERHEAD
        return bytes(out)


def _literal(name: bytes, value: bytes, *, shared: bool) -> bytes:
    prefix, sign = (6, 0x40) if shared else (4, 0x00)
    index = _STATIC_NAMES.get(name)
    if index is not None:
        return _integer(index, prefix, sign) + _integer(len(value), 7, 0) + value
    return bytes((sign,)) + _integer(len(name), 7, 0) + name + _integer(len(value), 7, 0) + value


def _integer(value: int, bits: int, sign: int) -> bytes:
    """5.1. ``sign``: the bits in front."""
    most = (1 << bits) - 1
    if value < most:
        return bytes((sign | value,))
    out = bytearray((sign | most,))
    value -= most
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
