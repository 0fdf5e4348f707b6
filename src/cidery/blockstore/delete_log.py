"""The deleted blocks, recorded outside the index: a rebuild of the index from the segments must not resurrect them.

``deleted.log`` is append-only. An entry is a multihash and a horizon: every record of that multihash that was in the
segments when it was written is dead, wherever it lies; records appended later are alive. Byte layout, big-endian:
crc32 u32 of the rest, next segment u32, kept segment u32, its end u32, cached segment u32, its end u32, length u8,
multihash.

An entry that covers no record of any segment has no meaning any more; a collector writes a log without such entries and
puts it in the place of the old one. It begins with an entry without a multihash: its "kept segment" is the generation
of the log, which the index notes together with how far it has applied the log, so that the two are never mixed up.
"""

import struct
import zlib
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from cidery.blockstore.places import LOG_NAME
from cidery.disk.platform_io import FileLayer, SyncPoint

PART_NAME = "deleted.log.part"
WRITE_BATCH = 1024
"""Entries written at a time when a log is trimmed."""
READ_CHUNK = 1 << 20
"""Bytes read at a time; an entry has at most 280."""

_FIXED = struct.Struct(">IIIIIIB")
_BODY = struct.Struct(">IIIIIB")


class Horizon(NamedTuple):
    """The end of the store at one moment: everything before it had been written."""

    next_segment: int
    """All segments from this number on are newer."""
    kept: int
    """The segment that kept blocks were being appended to, and its length then; 0, 0 if none was open."""
    kept_end: int
    cached: int
    cached_end: int

    def covers(self, segment: int, offset: int) -> bool:
        """Whether a record at this place was written before the horizon."""
        if segment >= self.next_segment:
            return False
        if segment == self.kept and self.kept_end:
            return offset < self.kept_end
        return not (segment == self.cached and self.cached_end) or offset < self.cached_end


class Tombstone(NamedTuple):
    multihash: bytes
    horizon: Horizon
    end: int
    """Offset in the log after this entry."""


class DeleteLog:
    """The log, created at the first delete. The writer appends; recovery and rebuild read."""

    def __init__(self, directory: Path, files: FileLayer) -> None:
        """Opens the log if there is one. Raises OSError."""
        self._files = files
        self._directory = directory
        self._path = directory / LOG_NAME
        self._part = directory / PART_NAME
        self._fd = files.open(self._path, write=True) if self._path.exists() else -1
        self.end = files.size(self._fd) if self._fd >= 0 else 0
        self._named = False  # a process that died may have made or replaced the log, and not synced its name
        first = next(self.entries(), None)
        self.generation = first.horizon.kept if first is not None and not first.multihash else 0
        """The number of times this log was replaced by a trimmed one."""
        self.trimmed_to = 0
        """Its size after the last trimming; 0 if that was in another process."""

    def append(self, multihashes: Sequence[bytes], horizon: Horizon) -> None:
        """Write and sync the entries: after this returns, no rebuild brings the blocks back. Raises OSError."""
        data = b"".join(_encode(key, horizon) for key in multihashes)
        if self._fd < 0:
            self._fd = self._files.open(self._path, write=True, create=True)
        if not self._named:
            self._files.sync_directory(self._directory, SyncPoint.DELETE_LOG_NAME)
            self._named = True
        try:
            self._files.write(self._fd, [data], self.end)
            self._files.sync(self._fd, SyncPoint.DELETE_LOG)
        except OSError:
            self._files.truncate(self._fd, self.end)
            raise
        self.end += len(data)

    def entries(self, start: int = 0) -> Iterator[Tombstone]:
        """Entries from the offset on, up to the first torn one."""
        buf, at = b"", start
        while self._fd >= 0:
            buf += self._files.read(self._fd, READ_CHUNK, at + len(buf))
            found = list(decode_tombstones(buf, at))
            if not found:
                return
            yield from found
            buf, at = buf[found[-1].end - at :], found[-1].end

    # -- trimming ----------------------------------------------------------------------------------------------------

    def begin_trimmed(self, next_segment: int, kept: Iterator[Tombstone]) -> "TrimmedLog":
        """Write the entries still needed into a new file, unsynced. For any one thread, concurrently with append().

        ``next_segment``: no segment has had this number or a higher one. Raises OSError, and then leaves no file.
        """
        if self._part.exists():  # of a process that died
            self._files.remove(self._part)
        fd = self._files.open(self._part, write=True, create=True)
        trimmed = TrimmedLog(self._files, fd, self._part)
        try:
            trimmed.write([_encode(b"", Horizon(next_segment, self.generation + 1, 0, 0, 0))])
            while batch := list(islice(kept, WRITE_BATCH)):
                trimmed.write([_encode(stone.multihash, stone.horizon) for stone in batch])
        except BaseException:
            trimmed.discard()
            raise
        return trimmed

    def replace_by(self, trimmed: "TrimmedLog", since: int) -> None:
        """Add the entries from the offset ``since`` on and replace this log with the trimmed one, durably.

        For the thread that appends. Raises OSError: then one of the two logs is in place, complete.
        """
        at = since
        try:
            while at < self.end and (data := self._files.read(self._fd, min(READ_CHUNK, self.end - at), at)):
                trimmed.write([data])
                at += len(data)
            self._files.sync(trimmed.fd, SyncPoint.DELETE_LOG_TRIMMED)
            self._files.replace(trimmed.path, self._path)
        except BaseException:
            trimmed.discard()
            raise
        old, self._fd, self.end = self._fd, trimmed.fd, trimmed.end
        self.generation += 1
        self.trimmed_to = self.end
        self._named = False
        self._files.close(old)
        self._files.sync_directory(self._directory, SyncPoint.DELETE_LOG_REPLACED)
        self._named = True

    def sync(self) -> None:
        """Make the contents of the log durable: they may so far be in the page cache only. Raises OSError."""
        if self._fd >= 0:
            self._files.sync(self._fd, SyncPoint.RECOVERED_LOG)

    def drop_torn_tail(self, good_end: int) -> None:
        """Truncate to the end of the last whole entry. Raises OSError.

        Not synced: if a power cut undoes it, the same tail is dropped again.
        """
        if good_end < self.end:
            self._files.truncate(self._fd, good_end)
            self.end = good_end

    def close(self) -> None:
        if self._fd >= 0:
            self._files.close(self._fd)


class TrimmedLog:
    """A new log being written."""

    def __init__(self, files: FileLayer, fd: int, path: Path) -> None:
        self._files = files
        self.fd = fd
        self.path = path
        self.end = 0

    def write(self, parts: Sequence[bytes]) -> None:
        """Raises OSError."""
        self._files.write(self.fd, parts, self.end)
        self.end += sum(map(len, parts))

    def discard(self) -> None:
        """Discard it. Raises OSError."""
        self._files.close(self.fd)
        self._files.remove(self.path)


def _encode(multihash: bytes, horizon: Horizon) -> bytes:
    body = _BODY.pack(*horizon, len(multihash)) + multihash
    return zlib.crc32(body).to_bytes(4, "big") + body


def decode_tombstones(buf: bytes, base: int = 0) -> Iterator[Tombstone]:
    """The complete entries at the start of ``buf``, which may be any bytes. ``base`` is added to the offsets."""
    at = 0
    while at + _FIXED.size <= len(buf):
        crc, *numbers, length = _FIXED.unpack_from(buf, at)
        end = at + _FIXED.size + length
        if end > len(buf) or zlib.crc32(buf[at + 4 : end]) != crc:
            return
        yield Tombstone(buf[end - length : end], Horizon(*numbers), base + end)
        at = end
