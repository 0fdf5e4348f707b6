"""What a node refused or gave up for want of room, in one line of log a minute: a flood must not flood the log too."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter

EVERY = 60.0
"""Seconds that a line sums up."""


class Shedding:
    """Counts by kind."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._counts: Counter[str] = Counter()
        self._timer: asyncio.TimerHandle | None = None

    def note(self, what: str) -> None:
        """One more, as "handshakes ended"; the first begins a minute."""
        self._counts[what] += 1
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(EVERY, self.report)

    def report(self) -> None:
        """Write the line now, if there is anything to say. Also at the end of the node."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._counts:
            said = ", ".join(f"{count} {what}" for what, count in sorted(self._counts.items()))
            self._log.warning("beyond the budgets in the last minute: %s", said)
            self._counts.clear()
