"""Decodes large values without blocking the event loop: in a thread, without long pauses for other threads.

Decoders in Python release the interpreter lock every half millisecond. The cyclic garbage collector does not,
and it visits every object of a large value again and again; so it is paused until the work is done.
"""

import asyncio
import gc
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from cidery.ipld.links import SCAN_BYTES

T = TypeVar("T")


class _Collector:
    """The cyclic garbage collector of this process, disabled while anything needs that."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._was_on = False

    @contextmanager
    def paused(self) -> Iterator[None]:
        with self._lock:
            if not self._users:
                self._was_on = gc.isenabled()
                gc.disable()
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if not self._users and self._was_on:
                    gc.enable()


_COLLECTOR = _Collector()
_ONE_AT_A_TIME = threading.Lock()
"""The value of a hostile block takes some 200 MB while it is inspected."""


async def beside(work: Callable[[], T], size: int) -> T:
    """Run ``work``, which decodes ``size`` bytes: directly if they are few, else in a thread, one at a time.

    Raises as ``work``. Cancellation: the work runs to its end, its result is dropped.
    """
    if size <= SCAN_BYTES:
        return work()

    def alone() -> T:
        with _ONE_AT_A_TIME, _COLLECTOR.paused():
            return work()

    return await asyncio.to_thread(alone)
