"""A stream whose larger pieces are named by their place in a repository's segments, for a reader on the same machine.

Frames: ``D <bytes>\\n`` and as many bytes; ``X <segment> <offset> <bytes>\\n``, a range of a segment's file; ``E\\n``,
the end. Together they are the bytes of another stream, here TAR. The reader says what it has taken, a byte for each
range, because the writer keeps those ranges in place until then. Blocking, for clients; does not import asyncio.
"""

import os
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator

from cidery.blockstore.places import segment_name
from cidery.core.getting.target import write_at
from cidery.disk.file_part import FileEnded, FilePart
from cidery.errors import IntegrityError, Unavailable

MEDIA_TYPE = "application/x-cidery-extents"
"""Of the stream, and of the body by which a reader asks for it and says what it has taken."""
MAX_FRAME = 2 << 20
"""Most bytes of one piece, either way: those of a block."""
MAX_LINE = 80
"""Longest first line of a frame."""
SAY_EVERY = 4 << 20
"""Bytes taken after which the reader says so."""
OPEN_FILES = 4
"""Segments that a reader keeps open: ranges come in order, from one or two at a time."""


class BadExtents(IntegrityError):
    """A stream of extents that is malformed, or ends early."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"bad answer: {self.reason}; what came before is complete, repeat the command to get the rest"


class NotReadable(Unavailable):
    """A segment that this process cannot read: the bytes have to be sent."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path} cannot be read: {self.reason}"


class FileRange(FilePart):
    """A range of a segment, to be copied into another file."""

    __slots__ = ()

    def split(self, size: int) -> tuple["FileRange", "FileRange"]:
        """The first ``size`` bytes, and the others."""
        return self[:size], self[size:]

    def read(self) -> bytes:
        """Raises BadExtents."""
        try:
            return super().read()
        except FileEnded as exc:
            raise BadExtents("a segment ends early") from exc
        except OSError as exc:
            raise BadExtents((exc.strerror or str(exc)).lower()) from exc

    def copy_to(self, out: int, at: int) -> None:
        """Write the bytes into another file at ``at``, without a copy in this process where the system can do that.

        File systems that share extents (XFS, Btrfs) copy nothing. Raises OSError, BadExtents.
        """
        done = 0
        while done < self.size:
            moved = _copy(self.fd, out, self.size - done, self.offset + done, at + done)
            if moved <= 0:
                write_at(out, self[done:].read(), at + done)
                return
            done += moved


def _copy(source: int, out: int, size: int, offset: int, at: int) -> int:
    """Bytes that the system copied; 0 if it cannot copy between these files."""
    if not hasattr(os, "copy_file_range"):
        return 0
    try:
        return os.copy_file_range(source, out, size, offset, at)
    except OSError:
        return 0  # another file system, or one that cannot; a full disk is met again by the write


class Segments:
    """The segments of a repository, opened for reading. Close it."""

    def __init__(self, directory: str) -> None:
        """``directory``: ``blocks`` of the repository."""
        self._directory = directory
        self._open: OrderedDict[int, int] = OrderedDict()

    def range(self, number: int, offset: int, size: int) -> FileRange:
        """Raises NotReadable."""
        fd = self._open.get(number)
        if fd is None:
            path = os.path.join(self._directory, segment_name(number))
            try:
                fd = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0))
            except OSError as exc:
                raise NotReadable(path, (exc.strerror or str(exc)).lower()) from exc
            if len(self._open) >= OPEN_FILES:
                os.close(self._open.popitem(last=False)[1])
            self._open[number] = fd
        return FileRange(fd, offset, size)

    def close(self) -> None:
        for fd in self._open.values():
            os.close(fd)
        self._open.clear()


def can_read(directory: str) -> bool:
    """Whether the segments in ``blocks`` of a repository can be read by this process, as far as one can tell."""
    return os.access(directory, os.R_OK | os.X_OK)


def extent_pieces(
    chunks: Iterable[bytes], segments: Segments, say: Callable[[bytes], None]
) -> Iterator[memoryview | FileRange]:
    """The pieces of a stream of extents. A range is taken when the next piece is asked for; ``say`` sends that.

    Raises BadExtents, NotReadable, and as ``chunks`` and ``say``.
    """
    frames = _Frames(chunks)
    taken = size = 0
    while True:
        kind, *numbers = frames.line()
        if kind == b"D" and len(numbers) == 1 and numbers[0] <= MAX_FRAME:
            yield from frames.data(numbers[0])
        elif kind == b"X" and len(numbers) == 3 and numbers[2] <= MAX_FRAME:
            yield segments.range(*numbers)
            taken += 1
            size += numbers[2]
        elif kind != b"E" or numbers:
            raise BadExtents("a frame of no known kind")
        if taken and (kind == b"E" or size >= SAY_EVERY):
            say(bytes(taken))
            taken = size = 0
        if kind == b"E":
            frames.end()
            return


class _Frames:
    """Lines and data over chunks of any size."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._held = memoryview(b"")

    def _more(self) -> None:
        chunk = next(self._chunks, None)
        if chunk is None:
            raise BadExtents("it ends early")
        self._held = memoryview(bytes(self._held) + chunk if len(self._held) else chunk)

    def line(self) -> tuple[bytes, *tuple[int, ...]]:
        """The kind and the numbers of the next frame."""
        while True:
            line, found, _ = bytes(self._held[:MAX_LINE]).partition(b"\n")
            if found:
                break
            if len(line) >= MAX_LINE:
                raise BadExtents("a line that does not end")
            self._more()
        self._held = self._held[len(line) + 1 :]
        kind, *words = line.split(b" ")
        if not all(word.isdigit() and len(word) < 20 for word in words):
            raise BadExtents("a frame without its numbers")
        return kind, *map(int, words)

    def data(self, size: int) -> Iterator[memoryview]:
        while size:
            if not len(self._held):
                self._more()
            piece, self._held = self._held[:size], self._held[size:]
            size -= len(piece)
            yield piece

    def end(self) -> None:
        """Read on to the end, where an error may be told."""
        for chunk in (self._held, *self._chunks):
            if len(chunk):
                raise BadExtents("it goes on after its end")
