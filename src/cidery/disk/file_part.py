"""Bytes of an open file that are passed on without being read: the system copies them where they are wanted."""

from __future__ import annotations

from cidery.disk.file_reads import pread_exactly

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self


class FileEnded(OSError):
    """The file is shorter than the part of it."""


class FilePart:
    """``size`` bytes of the file ``fd`` from ``offset`` on. ``len()`` and slices are those of a sequence of bytes.

    Its maker keeps the file open and its bytes in place for the time that it promises.
    """

    __slots__ = ("fd", "offset", "size")

    def __init__(self, fd: int, offset: int, size: int) -> None:
        self.fd = fd
        self.offset = offset
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, part: slice) -> Self:
        start, stop, step = part.indices(self.size)
        if step != 1:
            raise ValueError("a part of a file has no gaps")
        return type(self)(self.fd, self.offset + start, max(0, stop - start))

    def read(self) -> bytes:
        """The bytes themselves. Raises OSError, FileEnded."""
        data = pread_exactly(self.fd, self.size, self.offset)
        if len(data) != self.size:
            raise FileEnded(f"a file ends {self.size - len(data)} bytes early")
        return data
