"""How long the event loop is ever held: every bench prints it.

    python bench/lag.py FILE daemon ...

runs ``cidery daemon ...`` with a meter in its loop. At SIGUSR1 it writes the worst since the last time into FILE: ms
late by the clock, and ms of processor time of the loop's thread in one such wait, which other processes cannot add to.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from cidery.node.heap import short_passes

INTERVAL = 0.002
"""Seconds between two looks at the clock."""


class LagMeter:
    """``worst``: the longest delay of a timer, in seconds, while the context is open."""

    def __init__(self) -> None:
        self.worst = 0.0
        self._task: asyncio.Task[None] | None = None
        self._heap = short_passes()

    async def __aenter__(self) -> Self:
        self._heap = short_passes()
        self._heap.__enter__()  # as the daemon does when it is ready
        self._task = asyncio.get_running_loop().create_task(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None  # made on entry
        self._heap.__exit__(None, None, None)
        self._task.cancel()

    async def _watch(self) -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(INTERVAL)
            self.worst = max(self.worst, time.perf_counter() - began - INTERVAL)


def runner() -> asyncio.Runner:
    """A runner as the daemon has it: uvloop where it installs, short thread switches."""
    sys.setswitchinterval(0.0005)
    try:
        import uvloop
    except ImportError:
        return asyncio.Runner()
    return asyncio.Runner(loop_factory=uvloop.new_event_loop)


class _Meter:
    """Looks at the clock in a loop; tells and forgets the worst at a signal."""

    def __init__(self, loop: asyncio.AbstractEventLoop, file: Path) -> None:
        self._loop = loop
        self._file = file
        self._late = self._busy = 0.0
        self._due, self._spent = time.perf_counter(), time.thread_time()
        signal.signal(signal.SIGUSR1, self._tell)
        loop.call_soon(self._look)

    def _look(self) -> None:
        now, spent = time.perf_counter(), time.thread_time()
        self._late = max(self._late, now - self._due)
        self._busy = max(self._busy, spent - self._spent)
        self._due, self._spent = now + INTERVAL, spent
        self._loop.call_later(INTERVAL, self._look)

    def _tell(self, number: int, frame: object) -> None:
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{self._late * 1000} {self._busy * 1000}")
        os.replace(fresh, self._file)
        self._late = self._busy = 0.0


def worst_of(pid: int, file: Path) -> tuple[float, float]:
    """What the daemon of this file has met since the last time: ms late, ms of processor time."""
    file.unlink(missing_ok=True)
    os.kill(pid, signal.SIGUSR1)
    deadline = time.monotonic() + 10
    while not file.exists():
        if time.monotonic() > deadline:
            raise SystemExit("the daemon does not tell its lag")
        time.sleep(0.005)
    late, busy = file.read_text().split()
    return float(late), float(busy)


def main() -> None:
    import cidery.node.daemon as daemon
    from cidery.cli.main import run

    file, made = Path(sys.argv[1]), daemon.loop_factory() or asyncio.new_event_loop

    def metered() -> asyncio.AbstractEventLoop:
        loop = made()
        loop.call_soon(_Meter, loop, file)
        return loop

    def factory() -> Callable[[], asyncio.AbstractEventLoop]:
        return metered

    daemon.loop_factory = factory
    sys.argv[1:] = sys.argv[2:]
    run()


if __name__ == "__main__":
    main()
