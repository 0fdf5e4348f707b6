"""Locks between processes, on files. Imports little: a command that saves a file takes one."""

from __future__ import annotations

import errno
import os
import sys

from cidery.errors import Unavailable
from cidery.plain_files import open_plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

if sys.platform == "win32":
    import msvcrt

    def _try_lock(fd: int) -> None:
        # A byte far past the content, so that other processes can still read the holder's name.
        os.lseek(fd, 1 << 30, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)

    def _unlock(fd: int) -> None:
        """Closing does it: no child has the descriptor."""

    def _try_share(fd: int) -> None:
        """There are no shared locks of this kind; since the file could be opened, no process holds the lock now."""

    _try_look = _try_lock

else:
    import fcntl

    def _try_lock(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _unlock(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_UN)

    def _try_share(fd: int) -> None:
        # The two families of locks do not see each other on Linux, and other programs use one or the other.
        fcntl.lockf(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)

    def _try_look(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)


class FileLocked(Unavailable):
    """Another process holds the lock on a file."""

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return f"{self.path} is locked by another process; only one may write, stop it or open read-only"


def lock_file(path: str | Path) -> int:
    """Take the operating system's exclusive lock on ``path`` (created if missing), which ends with the process.

    Returns:
        A descriptor for unlock_file().
    Raises:
        FileLocked, NotAFile, OSError.
    """
    fd = open_plain(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _try_lock(fd)
    except OSError as exc:
        os.close(fd)
        if exc.errno in (errno.EAGAIN, errno.EACCES, errno.EDEADLK):
            raise FileLocked(path) from exc
        raise
    return fd


def unlock_file(fd: int) -> None:
    """End the lock of lock_file(), and close its descriptor, which alone would leave it to the children of fork()."""
    try:
        _unlock(fd)
    finally:
        os.close(fd)


def is_locked(path: str | Path) -> bool:
    """Whether a process, in whatever container, has the lock of lock_file(). False if that cannot be found out.

    Who takes the lock at this very moment finds it taken, so call it only where others try again.
    """
    try:
        fd = open_plain(path)
    except OSError:
        return False
    try:
        _try_look(fd)
    except OSError as exc:
        return exc.errno in (errno.EAGAIN, errno.EACCES, errno.EDEADLK)
    finally:
        os.close(fd)
    return False


def share_lock(path: str | Path) -> int:
    """Keep other processes from locking an existing file, with a lock that writes nothing and other readers can share.

    Returns:
        A descriptor to close when done. On Windows, only a lock held at this moment is noticed.
    Raises:
        FileLocked, NotAFile, OSError (FileNotFoundError: no such file).
    """
    try:
        fd = open_plain(path)
    except PermissionError as exc:
        if sys.platform == "win32":  # opened without sharing: that is the lock there
            raise FileLocked(path) from exc
        raise
    try:
        _try_share(fd)
    except OSError as exc:
        os.close(fd)
        if exc.errno in (errno.EAGAIN, errno.EACCES):
            raise FileLocked(path) from exc
        raise
    return fd
