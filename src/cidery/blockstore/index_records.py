"""Encodes the values of the index, and the change of one commit. Decoders raise IndexDamaged and nothing else.

======== ========================= ==========================================================================
table    key                       value
======== ========================= ==========================================================================
blocks   multihash                 segment u32, offset u32, data length u32, head length u8, ordinal u64
segments segment u32               durable watermark u64, live bytes u64, live blocks u64
tails    segment u32, offset u32   multihashes committed past the watermark, each with its length u8 in front
counters name                      u64
======== ========================= ==========================================================================

All integers are big-endian, so keys sort by number.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from cidery.blockstore.segment_file import Location
from cidery.errors import IntegrityError

_LOCATION = struct.Struct(">IIIBQ")
LOCATION_SIZE = _LOCATION.size
_SEGMENT = struct.Struct(">QQQ")
_TAIL_KEY = struct.Struct(">II")
_NUMBER = struct.Struct(">Q")
_SEGMENT_KEY = struct.Struct(">I")

REBUILD_ADVICE = "delete the directory meta/index of the repository, it is rebuilt from the segments at the next start"


class IndexDamaged(IntegrityError):
    """The index holds a value that it never writes."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"the block index is damaged ({self.reason}); {REBUILD_ADVICE}"


class SegmentInfo(NamedTuple):
    """What the index knows about one segment."""

    watermark: int
    """Bytes from the start of the file that are certainly on disk."""
    live_bytes: int = 0
    """Bytes of the blocks that the index places here."""
    live_blocks: int = 0


class IndexChange(NamedTuple):
    """One transaction: applied completely or not at all."""

    puts: Sequence[tuple[bytes, Location]] = ()
    """A multihash that exists already moves to its new location."""
    deletes: Sequence[bytes] = ()
    watermarks: Mapping[int, int] = MappingProxyType({})
    """Segment -> bytes known to be on disk. Puts past it are noted in ``tails``."""
    counters: Mapping[bytes, int] = MappingProxyType({})
    dropped: Sequence[int] = ()
    """Segments whose files are gone."""

    def __bool__(self) -> bool:
        return bool(self.puts or self.deletes or self.watermarks or self.counters or self.dropped)


encode_location = _LOCATION.pack
encode_segment_key = _SEGMENT_KEY.pack
encode_tail_key = _TAIL_KEY.pack
encode_number = _NUMBER.pack


def decode_location(raw: bytes) -> Location:
    """Raises IndexDamaged: not 21 bytes, or a head too short for any CID."""
    if len(raw) != _LOCATION.size:
        raise IndexDamaged(f"block record of {len(raw)} bytes")
    found = Location._make(_LOCATION.unpack(raw))
    if found.head < 5:
        raise IndexDamaged(f"block record with a head of {found.head} bytes")
    return found


def encode_segment(info: SegmentInfo) -> bytes:
    return _SEGMENT.pack(*info)


def decode_segment(raw: bytes) -> SegmentInfo:
    """Raises IndexDamaged: not 24 bytes."""
    if len(raw) != _SEGMENT.size:
        raise IndexDamaged(f"segment record of {len(raw)} bytes")
    return SegmentInfo._make(_SEGMENT.unpack(raw))


def decode_segment_key(raw: bytes) -> int:
    """Raises IndexDamaged: not 4 bytes."""
    if len(raw) != _SEGMENT_KEY.size:
        raise IndexDamaged(f"segment key of {len(raw)} bytes")
    return int(_SEGMENT_KEY.unpack(raw)[0])


def decode_tail_key(raw: bytes) -> tuple[int, int]:
    """(segment, offset of the first record). Raises IndexDamaged: not 8 bytes."""
    if len(raw) != _TAIL_KEY.size:
        raise IndexDamaged(f"tail key of {len(raw)} bytes")
    segment, offset = _TAIL_KEY.unpack(raw)
    return segment, offset


def decode_number(raw: bytes) -> int:
    """Raises IndexDamaged: not 8 bytes."""
    if len(raw) != _NUMBER.size:
        raise IndexDamaged(f"counter of {len(raw)} bytes")
    return int(_NUMBER.unpack(raw)[0])


def encode_tail(multihashes: Iterable[bytes]) -> bytes:
    return b"".join(bytes([len(key)]) + key for key in multihashes)


def decode_tail(raw: bytes) -> list[bytes]:
    """Raises IndexDamaged: cut off inside a multihash."""
    found, at = [], 0
    while at < len(raw):
        end = at + 1 + raw[at]
        if end > len(raw):
            raise IndexDamaged("truncated tail record")
        found.append(raw[at + 1 : end])
        at = end
    return found
