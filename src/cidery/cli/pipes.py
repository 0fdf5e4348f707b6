"""Files that are read to their end without a known size: standard input, named pipes, /dev/stdin, /dev/fd/N."""

from __future__ import annotations

import os
import stat
import sys

from cidery.client.multipart import CannotUpload

TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncio import Future
    from collections.abc import AsyncIterator
    from typing import BinaryIO

    from cidery.client.multipart import Readable

READ_SIZE = 1 << 20
"""Bytes read at a time."""


def is_pipe(path: str) -> bool:
    """Whether a path leads to a pipe or to a device such as a terminal."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)


def is_added_as_pipe(path: str) -> bool:
    """As is_pipe() for ``add``, which stores symlinks unchanged and refuses devices."""
    try:
        is_fifo = stat.S_ISFIFO(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False
    return is_fifo and (path.startswith("/dev/") or not os.path.islink(path))


def raw_stdin() -> BinaryIO:
    """Standard input without a buffer: the buffer's lock, held by a waiting thread, would break the exit."""
    return open(sys.stdin.fileno(), "rb", buffering=0, closefd=False)


class Pipe:
    """A pipe by its path, opened on first read and closed at its end."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file: BinaryIO | None = None

    def read(self, size: int, /) -> bytes:
        """Blocks until the pipe has a writer. Raises CannotUpload."""
        try:
            if self._file is None:
                self._file = open(self._path, "rb", buffering=0)
            data = self._file.read(size)
        except OSError as exc:
            raise CannotUpload(self._path, (exc.strerror or str(exc)).lower()) from exc
        if not data:
            self._file.close()
        return data


async def chunks_from(source: Readable) -> AsyncIterator[bytes]:
    """Reads in a thread that may be left behind: a read from a terminal or a pipe cannot be interrupted."""
    import asyncio
    import threading

    loop = asyncio.get_running_loop()
    while True:
        arrived: Future[bytes] = loop.create_future()

        def settle(arrived: Future[bytes], data: bytes, error: BaseException | None) -> None:
            if arrived.done():
                return
            if error is None:
                arrived.set_result(data)
            else:
                arrived.set_exception(error)

        def read(arrived: Future[bytes] = arrived) -> None:
            data, error = b"", None
            try:
                data = source.read(READ_SIZE)
            except (OSError, CannotUpload) as exc:
                error = exc
            if not loop.is_closed():
                loop.call_soon_threadsafe(settle, arrived, data, error)

        threading.Thread(target=read, daemon=True).start()
        if not (data := await arrived):
            return
        yield data
