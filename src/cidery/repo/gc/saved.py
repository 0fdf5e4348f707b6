"""A mark on disk, so that a killed collection resumes where it was.

The file lies next to the index and names it by its inode: ordinals mean nothing without it. It is written without a
sync: a kill loses nothing, and after a power cut a torn file is recognized and the mark starts over.

Layout: magic, crc32 u32 of the rest, then a JSON header line, then the sections it lists with their lengths.
"""

import json
import os
import sys
import zlib
from pathlib import Path
from typing import NamedTuple

from cidery.blockstore.bitmap import Bitmap
from cidery.multiformats.varint import VarintError, decode_uvarint, encode_uvarint
from cidery.plain_files import read_plain, write_plain
from cidery.repo.gc.links import Target
from cidery.repo.gc.mark import Mark

MARK_NAME = "mark"
MAGIC = b"cidery mark 1\n"
MAX_AGE = 24 * 3600.0
"""Seconds after which a mark is not resumed: too much of what it spares has become garbage since."""
MAX_TARGET = 256
"""Most bytes of one target."""


class MarkStart(NamedTuple):
    """When a mark began."""

    since: int
    """Blocks with this ordinal or a higher one are spared."""
    started: float
    """Seconds since 1970-01-01 UTC."""


class MarkFile:
    """The file of one index."""

    def __init__(self, index_path: Path) -> None:
        self._path = index_path / MARK_NAME
        self._index_file = index_path / "data.mdb"

    def save(self, mark: Mark, start: MarkStart) -> None:
        """Replace the file. Raises OSError."""
        sections = [bytes(mark.live), *(bytes(bitmap) for bitmap in mark.walked.values())]
        sections += [_encode_targets(mark.stack), _encode_targets(mark.missing)]
        header = {
            "since": start.since,
            "started": start.started,
            "index": self._index_file.stat().st_ino,
            "codecs": list(mark.walked),
            "sizes": [len(section) for section in sections],
            "blocks": mark.blocks,
            "strict": mark.strict,
        }
        body = json.dumps(header).encode() + b"\n" + b"".join(sections)
        part = self._path.with_name(MARK_NAME + ".part")
        write_plain(part, MAGIC + zlib.crc32(body).to_bytes(4, "big") + body)
        part.replace(self._path)

    def load(self, mark: Mark, now: float) -> MarkStart | None:
        """Fill ``mark`` from the file; None, and an unchanged mark, if there is nothing to resume. Raises OSError.

        Missing blocks may have arrived since, with links of their own: the caller looks them up again.
        """
        try:
            data = read_plain(self._path, sys.maxsize)  # of one's own: as long as the marks of all blocks are
        except FileNotFoundError:
            return None
        at = len(MAGIC) + 4
        if data[: len(MAGIC)] != MAGIC or zlib.crc32(data[at:]) != int.from_bytes(data[len(MAGIC) : at], "big"):
            return None
        line, _, rest = data[at:].partition(b"\n")
        header = json.loads(line)
        if header["index"] != self._index_file.stat().st_ino or not 0 <= now - header["started"] < MAX_AGE:
            return None
        sections = []
        for size in header["sizes"]:
            sections.append(rest[:size])
            rest = rest[size:]
        live, *walked, stack, missing = sections
        targets, gaps = _decode_targets(stack), _decode_targets(missing)
        if targets is None or gaps is None:
            return None
        mark.live = Bitmap(live)
        mark.walked = {codec: Bitmap(bits) for codec, bits in zip(header["codecs"], walked, strict=True)}
        mark.stack, mark.strict = targets, header["strict"]
        mark.missing = set(gaps)
        mark.blocks = header["blocks"]
        return MarkStart(header["since"], header["started"])

    def remove(self) -> None:
        """The collection has finished: remove the file. Raises OSError."""
        for path in (self._path, self._path.with_name(MARK_NAME + ".part")):
            if path.exists():
                os.unlink(path)


def _encode_targets(targets: "list[Target] | set[Target]") -> bytes:
    return b"".join(encode_uvarint(codec) + bytes([len(key)]) + key for codec, key in targets)


def _decode_targets(data: bytes) -> list[Target] | None:
    found: list[Target] = []
    at = 0
    try:
        while at < len(data):
            codec, at = decode_uvarint(data, at)
            end = at + 1 + data[at]
            found.append((codec, data[at + 1 : end]))
            at = end
    except (VarintError, IndexError):
        return None
    return found
