"""Reading a known part of a file."""

import os

if not hasattr(os, "pread"):
    import threading

    _SEEK = threading.Lock()


def pread_exactly(fd: int, size: int, offset: int) -> bytes:
    """As read_exactly() at an offset; on platforms without pread, only one thread reads at a time."""
    data = _pread(fd, size, offset)
    if len(data) == size or not data:
        return data
    parts = [data]
    missing = size - len(data)
    while missing and (data := _pread(fd, missing, offset + size - missing)):
        parts.append(data)
        missing -= len(data)
    return b"".join(parts)


def _pread(fd: int, size: int, offset: int) -> bytes:
    if hasattr(os, "pread"):
        return os.pread(fd, size, offset)
    with _SEEK:
        os.lseek(fd, offset, os.SEEK_SET)
        return os.read(fd, size)
