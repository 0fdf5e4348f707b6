"""Waiting for what other processes bring about."""

import asyncio
import time
from collections.abc import Callable


def until(holds: Callable[[], object], seconds: float = 40.0) -> None:
    """Ask again and again. Raises AssertionError when the time is over."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.05)


async def until_async(holds: Callable[[], object], seconds: float = 30.0) -> None:
    """As until(), for what tasks of this loop bring about. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.01)
