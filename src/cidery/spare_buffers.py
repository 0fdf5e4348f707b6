"""Buffers of large blocks that are used again once nobody looks at them any more.

Fresh memory of a mebibyte costs half as much as decrypting it: the system clears and maps it page by page, and takes it
back as soon as it is freed.
"""

import weakref
from collections import deque

LEAST = 64 * 1024
"""Smaller buffers are made anew: for them, the C library keeps freed memory itself."""
KEPT = 12
"""Buffers that are remembered, lent or spare."""
MOST = 2 * 1024 * 1024 + 64 * 1024
"""Larger buffers are not kept: so KEPT of them are 25 MiB at most, of which bulk transfers of usual blocks use half."""


class SpareBuffers:
    """Lends buffers. Thread-safe: a buffer is taken out of the queue before it is examined."""

    def __init__(self) -> None:
        self._known: deque[bytearray] = deque()
        _everywhere.add(self)

    def take(self, size: int) -> memoryview:
        """Writable memory of ``size`` bytes with any content. It is lent for as long as a view of it exists."""
        if not LEAST <= size <= MOST:
            return memoryview(bytearray(size))
        known = self._known
        for _ in range(len(known)):
            try:
                buffer = known.popleft()
            except IndexError:  # another thread took it
                break
            if size <= len(buffer) <= 2 * size and _is_spare(buffer):
                view = memoryview(buffer)[:size]
                known.append(buffer)
                return view
            known.append(buffer)
        buffer = bytearray(size)
        view = memoryview(buffer)
        known.append(buffer)
        if len(known) > KEPT:
            known.popleft()
        return view

    def forget(self) -> None:
        """Give back those that are not lent, and do not take the others back."""
        self._known.clear()


_everywhere: weakref.WeakSet[SpareBuffers] = weakref.WeakSet()


def forget_all() -> None:
    """Give back the spare buffers of this process. To be called where they are made: in the loop's thread."""
    for spare in list(_everywhere):
        spare.forget()


def _is_spare(buffer: bytearray) -> bool:
    """Whether no view of it exists: only then Python lets its size change. Within its capacity nothing is moved."""
    try:
        last = buffer.pop()
    except BufferError:
        return False
    buffer.append(last)
    return True
