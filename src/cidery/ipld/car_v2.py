"""The parts of a CARv2 around the CARv1 inside: pragma and header before it, an index behind it.

Spec: https://ipld.io/specs/transport/car/carv2/
"""

import struct
from collections.abc import Iterator

from cidery.ipld.block import Block
from cidery.ipld.car import encode_section_head
from cidery.ipld.car_reader import PRAGMA, V2_HEADER
from cidery.multiformats.varint import encode_uvarint

MULTIHASH_INDEX_SORTED = 0x0401
"""Multicodec of the index written, the same as go-car's."""
FULLY_INDEXED = b"\x80" + bytes(15)
"""Characteristics: every section is in the index."""
_COUNT = struct.Struct("<i")
_CODE = struct.Struct("<Q")
_BUCKET = struct.Struct("<IQ")
_OFFSET = struct.Struct("<Q")


class CarIndex:
    """Where each section of a CARv1 is. Memory: about 150 bytes per section."""

    def __init__(self, header: bytes) -> None:
        """``header``: of the CARv1, with its length in front."""
        self.size = len(header)
        """Bytes of the CARv1 so far."""
        self._entries: dict[tuple[int, int], list[bytes]] = {}  # hash code, digest length -> digest and offset

    def add(self, block: Block) -> None:
        """Note that the next section holds this block."""
        multihash = block.cid.decoded_multihash()
        entries = self._entries.setdefault((multihash.code, len(multihash.digest)), [])
        entries.append(multihash.digest + _OFFSET.pack(self.size))
        self.size += len(encode_section_head(block.cid, len(block.data))) + len(block.data)

    def encode_head(self) -> bytes:
        """Pragma and header, once every section was added."""
        start = len(PRAGMA) + V2_HEADER.size
        return PRAGMA + V2_HEADER.pack(FULLY_INDEXED, start, self.size, start + self.size)

    def encode(self) -> Iterator[bytes]:
        """The index in pieces: by hash function, then by length of digest, then by digest."""
        codes = sorted({code for code, _ in self._entries})
        yield encode_uvarint(MULTIHASH_INDEX_SORTED) + _COUNT.pack(len(codes))
        for code in codes:
            lengths = sorted(length for other, length in self._entries if other == code)
            yield _CODE.pack(code) + _COUNT.pack(len(lengths))
            for length in lengths:
                entries = sorted(self._entries[code, length])
                width = length + _OFFSET.size
                yield _BUCKET.pack(width, width * len(entries))
                yield b"".join(entries)
