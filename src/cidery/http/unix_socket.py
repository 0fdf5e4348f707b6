"""A listening Unix socket in the file system: it replaces one that a killed process left, and goes with its owner."""

from __future__ import annotations

import errno
import os
import socket
import stat

MODE = 0o660
"""Permissions of the file: its user, and a proxy in its group."""


def bind_unix(path: str, mode: int = MODE) -> socket.socket:
    """A bound socket that does not listen yet, so that nobody can connect before its permissions are set.

    Raises OSError: EADDRINUSE if somebody listens there, EEXIST if the file is no socket.
    """
    _remove_stale(path)
    bound = socket.socket(socket.AF_UNIX)
    try:
        bound.bind(path)
        os.chmod(path, mode)
        bound.setblocking(False)
    except BaseException:
        bound.close()
        raise
    return bound


def _remove_stale(path: str) -> None:
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            raise FileExistsError(errno.EEXIST, "a file that is no socket is there", path)
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
    raise OSError(errno.EADDRINUSE, "another process listens there", path)


class SocketFile:
    """The file of a bound socket, for its removal."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._identity = self._look()

    def _look(self) -> tuple[int, int]:
        found = os.stat(self._path)
        return found.st_dev, found.st_ino

    def remove(self) -> None:
        """Remove the file, unless another process has replaced it."""
        try:
            if self._look() == self._identity:
                os.unlink(self._path)
        except FileNotFoundError:
            return
