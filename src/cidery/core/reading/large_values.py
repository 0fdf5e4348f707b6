"""Decodes large values without blocking the event loop: in a thread, without long pauses for other threads.

Decoders in Python release the interpreter lock every half millisecond. The cyclic garbage collector does not,
and it visits every object of a large value again and again; so it is paused until the work is done.
"""

import gc
import threading
from collections.abc import Callable
from typing import TypeVar

from cidery.ipld.links import SCAN_BYTES
from cidery.waiting import off_loop

T = TypeVar("T")


_ONE_AT_A_TIME = threading.Lock()
"""The value of a hostile block takes some 200 MB while it is inspected."""


async def in_thread_if_large(work: Callable[[], T], size: int) -> T:
    """Run ``work``, which decodes ``size`` bytes: directly if they are few, else in a thread, one at a time.

    Raises as ``work``. Cancellation: the work runs to its end, its result is dropped.
    """
    if size <= SCAN_BYTES:
        return work()

    def alone() -> T:
        with _ONE_AT_A_TIME:
            was_on = gc.isenabled()
            gc.disable()
            try:
                return work()
            finally:
                if was_on:
                    gc.enable()

    return await off_loop(alone)
