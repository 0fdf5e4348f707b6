"""The format of a segment: a CARv1 whose sections are the records, and the checks of a record that is read back.

``NNNNNN.car`` = header with roots [bafkqaaa] (several readers refuse an empty list), then per block
``<uvarint length><CIDv1><data>``. Numbers are never reused; an even number is a segment of kept blocks, an odd one of
cached blocks, so that the class survives the loss of the index.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from cidery.blockstore.places import segment_name
from cidery.disk.platform_io import FileLayer
from cidery.errors import IntegrityError
from cidery.ipld.car import MAX_SECTION, MAX_SECTION_HEAD, CarError, decode_section_head, encode_header
from cidery.multiformats.cid import CID
from cidery.multiformats.multihash import MultihashError, matches
from cidery.multiformats.varint import VarintError, decode_uvarint

SEGMENT_BYTES = 256 * 1024 * 1024
"""Size at which a segment is full, in bytes: few files for a large store, little to rewrite when compacting."""
SEGMENT_HEADER = encode_header([CID(1, 0x55, b"\x00\x00")])
"""roots = [bafkqaaa], the identity CID of no bytes."""
SCAN_READ = 4 * 1024 * 1024
"""Bytes per read when a segment is scanned: at least one complete record."""

_NAME = re.compile(r"(\d{6,})\.car")


class Location(NamedTuple):
    """Where a block lies."""

    segment: int
    offset: int
    """Of the record, in bytes from the start of the file."""
    length: int
    """Of the data, in bytes."""
    head: int
    """Length of the bytes before the data in the record (uvarint and CID)."""
    ordinal: int
    """Counts blocks from 0, never reused: the block's bit in bitmaps over the store."""

    @property
    def end(self) -> int:
        """Offset of the next record."""
        return self.offset + self.head + self.length

    @property
    def kept(self) -> bool:
        return self.segment % 2 == 0


class Record(NamedTuple):
    """One record found in a scan."""

    multihash: bytes
    offset: int
    length: int
    head: int
    intact: bool
    """Whether the data matches the multihash."""


class CorruptSegment(IntegrityError):
    """A record that differs from its index entry: the file was damaged from outside, or the disk lost it."""

    def __init__(self, segment: int, offset: int, reason: str) -> None:
        super().__init__(segment, offset, reason)
        self.segment = segment
        self.offset = offset
        self.reason = reason

    def __str__(self) -> str:
        where = f"segment {segment_name(self.segment)} is damaged at byte {self.offset}"
        return f"{where}: {self.reason}; run `cidery repo verify` and add or get the data again"


def parse_segment_name(name: str) -> int | None:
    """The number in a segment's file name; None for other files."""
    found = _NAME.fullmatch(name)
    if found is None or segment_name(int(found[1])) != name:
        return None
    return int(found[1])


def segment_numbers(directory: Path) -> list[int]:
    """Numbers of all segments in the directory, ascending."""
    found = (parse_segment_name(entry.name) for entry in directory.iterdir())
    return sorted(number for number in found if number is not None)


def head_matches(head: bytes, multihash: bytes, length: int) -> bool:
    """Whether the head of a record names this multihash and this data length. O(1)."""
    if not head.endswith(multihash) or len(head) < 5:
        return False
    try:
        low, high = head[0], head[1]
        size, at = (low & 0x7F | high << 7, 2) if low >= 0x80 and 0 < high < 0x80 else decode_uvarint(head)
        if len(head) == at + 2 + len(multihash) and head[at] == 1 and head[at + 1] < 0x80:  # nearly all
            return size == len(head) - at + length
        version, codec_at = decode_uvarint(head, at)
        _, end = decode_uvarint(head, codec_at)
    except VarintError:
        return False
    return version == 1 and end + len(multihash) == len(head) and size == len(head) - at + length


def scan_records(files: FileLayer, fd: int, start: int, end: int) -> Iterator[Record]:
    """Walk and rehash the records of ``[start, end)``; stops before the first torn one.

    ``start`` is 0 (the header is then checked first) or the offset of a record. Torn means that there is no complete
    record: the framing is malformed or passes ``end``. A record whose data is wrong is yielded with ``intact`` False.
    Reads SCAN_READ bytes at a time; hashes every byte.
    """
    at = start
    if start == 0:
        if files.read(fd, len(SEGMENT_HEADER), 0) != SEGMENT_HEADER:
            return
        at = len(SEGMENT_HEADER)
    window, base = b"", at
    while at < end:
        window_end = base + len(window)
        if window_end < end and at + MAX_SECTION_HEAD + MAX_SECTION > window_end:
            window, base = files.read(fd, min(SCAN_READ, end - at), at), at
        try:
            section = decode_section_head(window, at - base)
        except CarError:
            return
        if base + section.data_end > end or section.data_end > len(window) or section.cid.version != 1:
            return
        data = memoryview(window)[section.data_start : section.data_end]
        head = base + section.data_start - at
        yield Record(section.cid.multihash, at, len(data), head, _intact(section.cid.multihash, data))
        at = base + section.data_end


def scan_heads(files: FileLayer, fd: int, end: int) -> Iterator[tuple[bytes, int]]:
    """(multihash, offset) of the records, unhashed, up to the first with malformed framing. Reads the file."""
    at = len(SEGMENT_HEADER)
    window, base = b"", at
    while at < end:
        if at + MAX_SECTION_HEAD > base + len(window) and base + len(window) < end:
            window, base = files.read(fd, min(SCAN_READ, end - at), at), at
        try:
            section = decode_section_head(window, at - base)
        except CarError:
            return
        yield section.cid.multihash, at
        at = base + section.data_end


def _intact(multihash: bytes, data: memoryview) -> bool:
    try:
        return matches(multihash, data)
    except MultihashError:
        return False
