"""Returns parts of a file to the file system: holes that read as zeros. Linux only; elsewhere nothing is freed."""

import errno
import os
import sys
from collections.abc import Callable
from functools import cache

KEEP_SIZE, PUNCH_HOLE = 0x01, 0x02
"""Flags of fallocate(2)."""


@cache
def _fallocate() -> Callable[[int, int, int, int], int] | None:
    if sys.platform != "linux":
        return None
    import ctypes  # late: only a full disk needs it

    found = getattr(ctypes.CDLL(None, use_errno=True), "fallocate64", None)
    if found is None:
        return None
    found.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    call: Callable[[int, int, int, int], int] = found
    return call


def punch_hole(fd: int, offset: int, length: int) -> bool:
    """Free the disk space of ``length`` bytes at ``offset``; returns whether it was possible. Needs no space itself."""
    call = _fallocate()
    if call is None:
        return False
    import ctypes

    while call(fd, KEEP_SIZE | PUNCH_HOLE, offset, length) != 0:
        if ctypes.get_errno() != errno.EINTR:
            return False
    return True


def disk_bytes(fd: int) -> int:
    """Disk space of a file, without holes."""
    found = os.fstat(fd)
    return found.st_blocks * 512 if hasattr(found, "st_blocks") else found.st_size
