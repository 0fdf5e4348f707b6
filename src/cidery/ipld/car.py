"""CARv1 framing: the header as it is written, and the heads of sections. Pure; no payload byte is copied.

A CAR is ``<uvarint length><header>`` and then sections ``<uvarint length><CID><data>``. The header is DAG-CBOR,
``{"roots": [CID, ...], "version": 1}``, written here in its canonical form; ``car_reader.py`` reads it.

Spec: https://ipld.io/specs/transport/car/carv1/
"""

from collections.abc import Sequence
from typing import NamedTuple

from cidery.errors import InvalidInput
from cidery.ipld.block import MAX_BLOCK
from cidery.multiformats.cid import CID, CIDError
from cidery.multiformats.varint import Buffer, VarintError, decode_uvarint, encode_uvarint

MAX_HEADER = 1 << 20
"""Longest header accepted, in bytes: about 20,000 roots."""
MAX_CID_BYTES = 160
"""Longest binary CID, in bytes: version, 9 of codec, 18 of multihash head, 128 of digest, rounded up."""
MAX_SECTION = MAX_BLOCK + MAX_CID_BYTES
"""Longest section accepted, in bytes, without its length."""
MAX_SECTION_HEAD = 9 + MAX_CID_BYTES
"""Bytes that always suffice to decode the head of a section: the longest varint and the longest CID."""

_ROOTS = b"\xa2\x65roots"
_VERSION = b"\x67version\x01"
_ARRAY, _BYTES = 0x80, 0x40
_LINK = b"\xd8\x2a"


class CarError(InvalidInput):
    """Bytes that are not a section of a CARv1, or too many roots for its header."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"bad CAR: {self.reason}"


class Section(NamedTuple):
    """Where one section lies in the buffer it was decoded from."""

    cid: CID
    data_start: int
    data_end: int
    """May lie past the end of the buffer: the head alone was decoded."""


def encode_header(roots: Sequence[CID]) -> bytes:
    """The header with its length in front."""
    body = bytearray(_ROOTS + _cbor_head(_ARRAY, len(roots)))
    for root in roots:
        link = b"\x00" + root.encode()
        body += _LINK + _cbor_head(_BYTES, len(link)) + link
    body += _VERSION
    return encode_uvarint(len(body)) + bytes(body)


def encode_section_head(cid: CID, length: int) -> bytes:
    """What goes in front of ``length`` bytes of data: uvarint length and the CID."""
    name = cid.encode()
    return encode_uvarint(len(name) + length) + name


def decode_section_head(buf: Buffer, start: int = 0) -> Section:
    """Decode the head of one section; MAX_SECTION_HEAD bytes from ``start`` always suffice.

    Raises:
        CarError: truncated, bad CID, longer than MAX_SECTION, shorter than its CID. Nothing else (fuzzed).
    Cost: O(1).
    """
    try:
        size, at = decode_uvarint(buf, start)
        if size > MAX_SECTION:
            raise CarError(f"section of {size} bytes, at most {MAX_SECTION} are allowed")
        cid, data_start = CID.decode_prefix(buf, at)
    except VarintError as exc:
        raise CarError(f"section length: {exc.reason}") from exc
    except CIDError as exc:
        raise CarError(f"section CID: {exc.reason}") from exc
    if data_start > at + size:
        raise CarError("section shorter than its CID")
    return Section(cid, data_start, at + size)


def _cbor_head(major: int, value: int) -> bytes:
    """Major type and argument in the shortest form, as DAG-CBOR demands."""
    if value < 24:
        return bytes([major | value])
    for code, width in ((24, 1), (25, 2), (26, 4)):
        if value < 1 << (8 * width):
            return bytes([major | code]) + value.to_bytes(width, "big")
    raise CarError(f"{value} roots, too many for one header")
