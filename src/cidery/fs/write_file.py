"""Files open for writing: kept aside until they are closed, then put in place in one step."""

from __future__ import annotations

import io
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING, cast

from fsspec.asyn import sync

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, BinaryIO, Self

MAX_IN_MEMORY = 16 << 20
"""Bytes of one open file in memory; more go to a temporary file."""
MODES = ("wb", "xb", "ab", "r+b", "w+b")


class MutableFile(io.IOBase):
    """Behaves as a local file: it can be read and seeked, which archives and HDF5 need."""

    def __init__(self, fs: Any, path: str, mode: str, *, autocommit: bool) -> None:
        """Raises ValueError for another mode, FileExistsError, IsADirectoryError, NotADirectoryError."""
        if mode not in MODES:
            raise ValueError(f"mode {mode!r} is none of rb, {', '.join(MODES)}")
        self.fs = fs
        self.path = self.full_name = path
        self.mode = mode
        self.autocommit = autocommit
        self.blocksize = 1 << 20
        self._file: Any = SpooledTemporaryFile(MAX_IN_MEMORY)  # noqa: SIM115  # closed with this file
        self._done = False
        try:
            sync(fs.loop, fs._check_writable, path, mode)
            if mode == "r+b":
                with fs.open(path, "rb") as now:
                    while data := now.read(self.blocksize):
                        self._file.write(data)
                self._file.seek(0)
        except BaseException:
            self.discard()
            super().close()
            raise

    def readable(self) -> bool:
        return "+" in self.mode

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self.mode != "ab"

    def write(self, data: Any) -> int:
        """Keep bytes for the end; returns how many."""
        self._check()
        return int(self._file.write(data))

    def read(self, size: int = -1) -> bytes:
        """Bytes that are in the file now. Raises OSError for a mode without reading."""
        self._check()
        if not self.readable():
            raise io.UnsupportedOperation("not readable")
        return bytes(self._file.read(size))

    def readinto(self, into: Any) -> int:
        data = self.read(len(into))
        into[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        self._check()
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        self._check()
        return int(self._file.tell())

    def truncate(self, size: int | None = None) -> int:
        self._check()
        self._file.truncate(size)
        return self.tell() if size is None else size

    def flush(self, force: bool = False) -> None:
        """Nothing becomes visible before close()."""

    def _check(self) -> None:
        if self.closed or self._done:
            raise ValueError("I/O operation on closed file")

    def close(self) -> None:
        """Put the file in place, unless a transaction does that later. Raises OSError; nothing has changed then."""
        if self.closed:
            return
        try:
            if self.autocommit and not self._done:
                self.commit()
        finally:
            super().close()

    def commit(self) -> None:
        """Put the file in place. Called by a transaction at its end."""
        if self._done:
            return
        try:
            mode = "create" if self.mode == "xb" else "overwrite"
            file = cast("BinaryIO", self._file)
            sync(self.fs.loop, self.fs._write_from, file, self.path, mode, append=self.mode == "ab")
        finally:
            self.discard()

    def discard(self) -> None:
        """Forget what was written."""
        self._done = True
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if exc is not None:
            self.discard()  # half a file is none
        self.close()

    def __del__(self) -> None:
        if not self.closed and not self._done:
            self.discard()
