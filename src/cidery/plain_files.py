"""Opens the files of a repository: a pipe, folder, socket or device in the place of one is said, and never waited for.

Imports little: each command reads such a file. Files that the user names may be pipes, and are not opened here.
"""

from __future__ import annotations

import errno
import os
import stat

from cidery.errors import IntegrityError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

_FLAGS = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
"""Of each opening. The last is for pipes: without it, opening one waits for somebody at its other end."""
GROWTH = 4096
"""Bytes that are read beyond the size that a file had: it may be written meanwhile."""
_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFDIR: "a folder",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class NotAFile(IntegrityError, OSError):
    """Something else is where a repository has a file. An OSError, too: who opens files expects that they may fail."""

    def __init__(self, path: str | Path, kind: str) -> None:
        super().__init__(errno.EINVAL, f"it is {kind}, not a file", str(path))
        self.path = path
        self.kind = kind

    def __str__(self) -> str:
        return f"{self.path} is {self.kind}, not a file; move it away, and put the file back if there is a copy"


def check_plain(path: str | Path) -> None:
    """For who opens the file in another way. Raises NotAFile; a file that is missing is none of its business."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        if os.path.islink(path):
            raise NotAFile(path, "a link to nothing") from None
        return
    if not stat.S_ISREG(mode):
        raise NotAFile(path, _KINDS.get(stat.S_IFMT(mode), "something else"))


def open_plain(path: str | Path, flags: int = os.O_RDONLY, mode: int = 0o600) -> int:
    """A descriptor of a regular file, as os.open(). Never waits for another process. Raises NotAFile, OSError."""
    try:
        fd = os.open(path, flags | _FLAGS, mode)
    except OSError:
        if not flags & os.O_EXCL:
            check_plain(path)
        raise
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            check_plain(path)
            raise NotAFile(path, "something else")  # it has changed since
    except BaseException:
        os.close(fd)
        raise
    return fd


def read_plain(path: str | Path, most: int) -> bytes:
    """The first ``most`` bytes of a regular file. Raises as open_plain()."""
    with os.fdopen(open_plain(path), "rb") as file:
        return file.read(min(most, os.fstat(file.fileno()).st_size + GROWTH))


def new_plain(path: str | Path) -> BinaryIO:
    """A regular file to be written, empty, made or emptied in place, mode 0644. Raises as open_plain()."""
    return os.fdopen(open_plain(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), "wb")


def write_plain(path: str | Path, data: bytes) -> None:
    """Make or replace a regular file in place, without a sync. Raises as open_plain()."""
    with new_plain(path) as file:
        file.write(data)
