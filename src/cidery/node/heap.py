"""Keeps full passes of Python's cycle collector short in a process that is ours: the daemon.

A full pass visits every container object and holds all threads meanwhile: 100 ms while a directory of 100,000 entries
is written. The survivors of a long pass are therefore set aside (gc.freeze()) and not visited again until the
process is idle: then everything is visited once, so that cyclic garbage is not kept for ever.

The C library, too, keeps freed memory that lies below small live objects: it is told to return it (trim()). So are
buffers of blocks that were kept for the next ones.
"""

import asyncio
import gc
import logging
import mmap
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from cidery import spare_buffers

SHORT_PASS = 0.005
"""Seconds that a full pass may take before its survivors are set aside: a tenth of the allowed lag."""
VISIT_EVERY = 600.0
"""Minimum seconds between two visits of the objects set aside."""
IDLE_SHARE = 0.05
"""Processor time per wall time below which the process is idle."""
IDLE_WINDOW = 1.0
"""Seconds over which that is measured."""
TRIM_EVERY = 10.0
"""Seconds between two looks at the memory of the process."""
TRIM_GROWTH = 32 * 1024 * 1024
"""Bytes above the lowest size ever measured at which freed memory is returned: some ms per 100 MB."""
log = logging.getLogger("cidery.node")


@contextmanager
def short_passes(clock: Callable[[], float] = time.perf_counter) -> Iterator[None]:
    """Inside the context, survivors of long full passes are set aside. Process-wide."""
    began = 0.0

    def watch(phase: str, info: dict[str, int]) -> None:
        nonlocal began
        if info["generation"] < 2:
            return
        if phase == "start":
            began = clock()
        elif clock() - began > SHORT_PASS:
            gc.freeze()

    visit()
    gc.callbacks.append(watch)
    try:
        yield
    finally:
        gc.callbacks.remove(watch)


def visit() -> None:
    """Visit everything once, whatever it takes, and set the survivors aside."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()


@asynccontextmanager
async def tended_heap() -> AsyncIterator[None]:
    """short_passes(), and a visit of the objects set aside when the process is idle."""
    with short_passes():
        tasks = [asyncio.create_task(_visit_when_idle()), asyncio.create_task(_give_back_when_grown())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


async def _visit_when_idle() -> None:
    while True:
        await asyncio.sleep(VISIT_EVERY)
        await _idle()
        visit()


async def _idle() -> None:
    """Wait until the process has little to do."""
    busy = IDLE_WINDOW
    while busy > IDLE_SHARE * IDLE_WINDOW:
        before = time.process_time()
        await asyncio.sleep(IDLE_WINDOW)
        busy = time.process_time() - before


async def _give_back_when_grown() -> None:
    """After a rush, visit the objects set aside and return freed memory; ever more rarely if that frees little."""
    trim = _trimmer()
    if trim is None:
        return
    least, wait = _resident(), TRIM_EVERY
    while True:
        await asyncio.sleep(wait)
        grown = _resident()
        least = min(least, grown)
        if grown - least <= TRIM_GROWTH:
            continue
        await _idle()
        before = _resident()
        spare_buffers.forget_all()
        visit()
        await asyncio.to_thread(trim)
        wait = TRIM_EVERY if before - _resident() > TRIM_GROWTH // 4 else min(2 * wait, VISIT_EVERY)


def _trimmer() -> Callable[[], object] | None:
    """The C library's function that returns freed memory; None without glibc."""
    import ctypes

    try:
        library = ctypes.CDLL(None)
        trim = library.malloc_trim
        _resident()
    except (OSError, AttributeError, TypeError) as exc:
        log.debug("freed memory is not given back here: %s", exc)
        return None
    return lambda: trim(0)


def _resident() -> int:
    """Bytes of memory of this process. Raises OSError if /proc does not report it."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * mmap.PAGESIZE
