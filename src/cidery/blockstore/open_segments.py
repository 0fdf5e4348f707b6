"""The open segment files, bounded in number, and reading one record from them."""

import threading
from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from cidery.blockstore.places import segment_name
from cidery.blockstore.segment_file import (
    SEGMENT_HEADER,
    CorruptSegment,
    Location,
    head_matches,
    scan_heads,
)
from cidery.disk.file_part import FilePart
from cidery.disk.platform_io import FileLayer, SyncPoint
from cidery.ipld.block import MAX_BLOCK
from cidery.ipld.car import MAX_SECTION_HEAD
from cidery.spare_buffers import SpareBuffers

MAX_OPEN = 128
"""Most segments open at a time (32 GiB of blocks): well below the usual limit of 1,024 descriptors per process."""
OWN_BUFFER = 64 * 1024
"""A record of at least this many bytes is read into its own buffer: copying it out of a shared one would cost more."""
READ_WINDOW = 1024 * 1024
"""Bytes read at a time for records that lie close together."""


class OpenSegment:
    """One open file. Closed when the last holder releases it, so that no reader ever meets a reused descriptor."""

    __slots__ = ("_files", "fd", "number")

    def __init__(self, files: FileLayer, number: int, fd: int) -> None:
        self._files = files
        self.number = number
        self.fd = fd

    def __del__(self) -> None:
        self._files.close(self.fd)


class Lane:
    """The segment that blocks of one class are appended to."""

    __slots__ = ("end", "segment")

    def __init__(self) -> None:
        self.segment: OpenSegment | None = None
        self.end = 0
        """Where the next record goes: the end of the last good one."""


class OpenSegments:
    """Segments by number; the least recently used are closed first. Thread-safe."""

    def __init__(self, directory: Path, files: FileLayer, *, writable: bool) -> None:
        self.directory = directory
        self.files = files
        self._writable = writable
        self._lock = threading.Lock()
        self._open: OrderedDict[int, OpenSegment] = OrderedDict()
        self._scratch = threading.local()
        self._spare = SpareBuffers()
        self._held: Counter[int] = Counter()

    def at_hand(self, number: int) -> OpenSegment | None:
        """The segment if it is open already. Never touches the disk."""
        with self._lock:
            found = self._open.get(number)
            if found is not None:
                self._open.move_to_end(number)
            return found

    def get(self, number: int) -> OpenSegment:
        """Open the segment if necessary. Raises OSError, including FileNotFoundError."""
        found = self.at_hand(number)
        if found is None:
            fd = self.files.open(self.directory / segment_name(number), write=self._writable)
            found = self._keep(OpenSegment(self.files, number, fd))
        return found

    def create(self, number: int) -> OpenSegment:
        """Create a segment with its header and sync the directory. Raises OSError, and then leaves no usable file."""
        fd = self.files.open(self.directory / segment_name(number), write=True, create=True)
        made = OpenSegment(self.files, number, fd)
        self.files.write(fd, [SEGMENT_HEADER], 0)
        self.files.sync_directory(self.directory, SyncPoint.SEGMENT_NAME)
        return self._keep(made)

    def remove(self, number: int) -> None:
        """Unlink the file and sync the directory; readers that have it open can finish. Raises OSError."""
        with self._lock:
            self._open.pop(number, None)
        self.files.remove(self.directory / segment_name(number))
        self.files.sync_directory(self.directory, SyncPoint.SEGMENT_NAME)

    def hold(self, number: int) -> None:
        """Until release(), nothing is removed from the file: somebody else reads it."""
        with self._lock:
            self._held[number] += 1

    def release(self, number: int) -> None:
        """End one hold()."""
        with self._lock:
            self._held[number] -= 1
            if not self._held[number]:
                del self._held[number]

    def is_held(self, number: int) -> bool:
        """Whether something may not be removed from the file now. Ask after the index has forgotten it."""
        with self._lock:
            return number in self._held

    def _keep(self, segment: OpenSegment) -> OpenSegment:
        with self._lock:
            kept = self._open.setdefault(segment.number, segment)
            self._open.move_to_end(segment.number)
            if len(self._open) > MAX_OPEN:
                self._open.popitem(last=False)
            return kept

    def close(self) -> None:
        """Release all files; those in use by a reader are closed when it is done."""
        with self._lock:
            self._open.clear()

    # -- records ---------------------------------------------------------------------------------------------------

    def read(self, at: Location, multihash: bytes) -> bytes:
        """The data of the record, checked against its own head. May wait for the disk.

        Raises:
            CorruptSegment: another record is there, or it is cut off. OSError: missing file and the like.
        """
        return self._read_record(at, multihash)[at.head :]

    def read_records(self, number: int, records: Sequence[tuple[bytes, Location]]) -> list[memoryview]:
        """Whole records of one segment, head and data, ascending; neighbours share one read. Raises as read()."""
        segment = self.get(number)
        found: list[memoryview] = []
        window, base = memoryview(b""), 0
        for i, (key, at) in enumerate(records):
            if at.end > base + len(window):
                base, end = at.offset, at.end
                for _, later in islice(records, i + 1, None):
                    if later.end - base > READ_WINDOW:
                        break
                    end = later.end
                window = memoryview(self.files.read(segment.fd, end - base, base))
            found.append(self._checked(window[at.offset - base : at.end - base], at, key))
        return found

    def _read_record(self, at: Location, multihash: bytes) -> bytes:
        segment = self.get(at.segment)
        raw = self.files.read(segment.fd, at.head + at.length, at.offset)
        self._checked(memoryview(raw), at, multihash)
        return raw

    @staticmethod
    def _checked(raw: memoryview, at: Location, multihash: bytes) -> memoryview:
        if len(raw) != at.head + at.length:
            raise CorruptSegment(at.segment, at.offset, "the file ends inside the record")
        if not head_matches(bytes(raw[: at.head]), multihash, at.length):
            raise CorruptSegment(at.segment, at.offset, "another record is there")
        return raw

    def heads(self, number: int) -> Iterator[tuple[bytes, int]]:
        """(multihash, offset) of the records of a segment, up to the first malformed one. Raises OSError."""
        segment = self.get(number)
        return scan_heads(self.files, segment.fd, self.files.size(segment.fd))

    def read_ready(self, at: Location, multihash: bytes) -> bytes | memoryview | None:
        """The same without waiting: None if the file is not open, its pages are cold, or another record is there."""
        number, offset, length, head, _ = at
        segment = self.at_hand(number)
        size = head + length
        if segment is None or size > MAX_SECTION_HEAD + MAX_BLOCK:
            return None
        if size >= OWN_BUFFER:
            into = self._spare.take(size)
            if self.files.read_ready(segment.fd, into, offset) != size:
                return None
            return into[head:].toreadonly() if head_matches(bytes(into[:head]), multihash, length) else None
        scratch = getattr(self._scratch, "bytes", None)
        if scratch is None:
            scratch = self._scratch.bytes = memoryview(bytearray(OWN_BUFFER))
        if self.files.read_ready(segment.fd, scratch[:size], offset) != size:
            return None
        return bytes(scratch[head:size]) if head_matches(bytes(scratch[:head]), multihash, length) else None

    @contextmanager
    def lent(self, at: Location, multihash: bytes) -> Iterator[FilePart | None]:
        """The data of the record as a part of its file, open in the context; None if it would have to be waited for.

        That is told by its first and last page: what lies between them was read or written together with them.
        """
        segment = self.at_hand(at.segment)
        start, last = at.offset + at.head, memoryview(bytearray(1))
        if segment is None or not self._has_ready_head(segment, at, multihash):
            yield None
        elif self.files.read_ready(segment.fd, last, start + at.length - 1) != 1:
            yield None
        else:
            yield FilePart(segment.fd, start, at.length)

    def _has_ready_head(self, segment: OpenSegment, at: Location, multihash: bytes) -> bool:
        head = memoryview(bytearray(at.head))
        ready = self.files.read_ready(segment.fd, head, at.offset) == at.head
        return ready and head_matches(bytes(head), multihash, at.length)

    def read_part(self, at: Location, start: int, into: memoryview) -> bool:
        """Bytes of a record's data, unchecked, from ``start`` on; False if the file ends before. Raises OSError."""
        segment = self.get(at.segment)
        offset = at.offset + at.head + start
        done = max(0, self.files.read_ready(segment.fd, into, offset))
        if done < len(into):
            rest = self.files.read(segment.fd, len(into) - done, offset + done)
            into[done : done + len(rest)] = rest
            done += len(rest)
        return done == len(into)
