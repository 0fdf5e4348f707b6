"""Bytes that are filled after they are made.

Reading a MiB into place takes about 150 us; zeroing the place first, as every buffer of Python's own is, 35 us more,
and copying a buffer into bytes afterwards 60 us.

Spec: https://docs.python.org/3/c-api/bytes.html#c.PyBytes_FromStringAndSize ("If v is NULL, the contents of the bytes
object are uninitialized.")
"""

from __future__ import annotations

import sys
from io import BytesIO

_NEW = _ADDRESS = _VIEW = None
if sys.implementation.name == "cpython":
    import ctypes

    _NEW = ctypes.pythonapi.PyBytes_FromStringAndSize
    _NEW.restype, _NEW.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.c_ssize_t)
    _ADDRESS = ctypes.pythonapi.PyBytes_AsString
    _ADDRESS.restype, _ADDRESS.argtypes = ctypes.c_void_p, (ctypes.py_object,)
    _VIEW = ctypes.pythonapi.PyMemoryView_FromMemory
    _VIEW.restype, _VIEW.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int)
_WRITABLE = 0x200
"""PyBUF_WRITE."""
LEAST = 64 * 1024
"""Bytes below which zeroing costs less than going around it."""


class Fresh:
    """Room for ``length`` bytes.

    Fill all of ``view``, or drop it all: what is not filled is whatever the memory held before. The view does not keep
    the room alive, so nobody may write through it once the room is dropped: no thread that is left to itself.
    """

    __slots__ = ("_buffer", "_bytes", "view")

    def __init__(self, length: int) -> None:
        self._bytes: bytes | None = None
        self._buffer: BytesIO | None = None
        if _NEW is None or _ADDRESS is None or _VIEW is None or length < LEAST:
            self._buffer = BytesIO()
            if length:
                self._buffer.seek(length - 1)
                self._buffer.write(b"\0")
            self.view: memoryview = self._buffer.getbuffer()
            return
        self._bytes = _NEW(None, length)
        self.view = _VIEW(_ADDRESS(self._bytes), length, _WRITABLE)

    def done(self) -> bytes:
        """The bytes. Ends the view."""
        self.view.release()
        if self._buffer is not None:
            return self._buffer.getvalue()  # copies nothing
        assert self._bytes is not None  # one of the two
        return self._bytes
