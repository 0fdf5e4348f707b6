"""How long the event loop is ever held: every bench prints it."""

from __future__ import annotations

import asyncio
import sys
import time
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
