"""When a worker that ended is replaced. Pure."""

from __future__ import annotations

FIRST_WAIT = 0.1
"""Seconds until the first replacement: a worker that was killed is back at once."""
MAX_WAIT = 10.0
"""Longest wait, in seconds, for one that ends again and again."""
LASTED = 30.0
"""Seconds after which a worker counts as well: its next end is a first one again."""


class Respawn:
    """The replacements of one worker's place."""

    def __init__(self) -> None:
        self._wait = FIRST_WAIT

    def ended(self, began: float, now: float) -> float:
        """When to start the next one, after one that ran from ``began`` to ``now``, in seconds of one clock."""
        if now - began >= LASTED:
            self._wait = FIRST_WAIT
        at = now + self._wait
        self._wait = min(MAX_WAIT, self._wait * 2)
        return at
