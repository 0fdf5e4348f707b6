"""How much of this node one peer's messages may take: when the reading of them pauses. Pure."""

from cidery.bitswap.message import STEP
from cidery.budgets import BITSWAP_WORK, Bucket

LEAST_PAUSE = 0.02
"""Seconds: less is owed until it is worth a timer."""


class PeerWork:
    """One peer's. What is spent at once is a STEP at most, then everybody else has a turn; over time, its rate."""

    def __init__(self, now: float) -> None:
        self._bucket = Bucket(BITSWAP_WORK, now)
        self._since = 0

    def spend(self, cost: int, now: float) -> float | None:
        """Seconds to pause after work of ``cost`` fields: 0.0 for a turn of the others, None to go on at once."""
        wait = self._bucket.reserve(now, cost)
        self._since += cost
        if wait < LEAST_PAUSE and self._since < STEP:
            return None
        self._since = 0
        return wait if wait >= LEAST_PAUSE else 0.0
