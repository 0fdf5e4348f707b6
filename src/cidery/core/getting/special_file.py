"""Targets that are written into and never replaced: devices, pipes, sockets, and the process's streams by name."""

import os
import re
import stat

from cidery.core.getting.target import CannotWrite
from cidery.multiformats.varint import Buffer

_OWN_STREAMS = {"/dev/stdout": 1, "/dev/stderr": 2}
_OWN_DESCRIPTOR = re.compile(r"/(?:dev|proc/self)/fd/([0-9]{1,9})")


def is_special(path: str | os.PathLike[str]) -> bool:
    """Whether a path leads to something other than a file, a directory or a free name; symlinks are followed."""
    text = os.path.abspath(os.fspath(path))
    if _own_stream(text) is not None:
        return True
    try:
        mode = os.stat(text).st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _own_stream(path: str) -> int | None:
    """The descriptor that a path names, on platforms with such paths."""
    if not os.path.lexists(path):
        return None
    match = _OWN_DESCRIPTOR.fullmatch(path)
    return int(match[1]) if match else _OWN_STREAMS.get(path)


class SpecialFile:
    """An open special file. Blocks, also until a pipe has a reader."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Raises CannotWrite."""
        self.path = os.path.abspath(os.fspath(path))
        own = _own_stream(self.path)
        try:
            # The descriptor itself, so that a redirected file continues at its position.
            self._fd = os.open(self.path, os.O_WRONLY) if own is None else os.dup(own)
        except OSError as exc:
            raise CannotWrite(self.path, (exc.strerror or str(exc)).lower()) from exc

    def write(self, data: Buffer) -> None:
        """Write all of it. Raises CannotWrite; BrokenPipeError when the reader has gone."""
        view = memoryview(data)
        try:
            while len(view):
                view = view[os.write(self._fd, view) :]
        except BrokenPipeError:
            raise
        except OSError as exc:
            raise CannotWrite(self.path, (exc.strerror or str(exc)).lower()) from exc

    def close(self) -> None:
        os.close(self._fd)
