"""Waiting for what other processes bring about."""

import time
from collections.abc import Callable


def until(holds: Callable[[], object], seconds: float = 40.0) -> None:
    """Ask again and again. Raises AssertionError when the time is over."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.05)
