"""How long nothing has come in a session: when to search for more sources, and when to give up. Pure."""

from collections.abc import Collection, Iterable

from cidery.exchange.source import Source, patient_deadline
from cidery.exchange.waits import SessionWaits
from cidery.exchange.wants import Wants

SEARCH_AGAIN = 10.0
"""Seconds between the first two searches of a session that receives nothing; doubles each time."""
MAX_SEARCH_PAUSE = 300.0
"""Longest pause between two searches, in seconds."""


class Silence:
    """Of one session. Times are seconds of its clock."""

    def __init__(self, waits: SessionWaits, now: float) -> None:
        self.gave_up = False
        self.since = now
        """When something new last came, or the first was wanted."""
        self._waits = waits
        self._longest_delay: float | None = None
        self._searched_at: float | None = None
        self._pause = SEARCH_AGAIN

    def begin(self, now: float) -> None:
        """Something is wanted after nothing was, or after all was given up."""
        self.since = now
        self.gave_up = False

    def broken(self, now: float, delay: float | None = None) -> None:
        """Something new came, from a source with this least delay."""
        self.since = now
        self._searched_at, self._pause = None, SEARCH_AGAIN
        if delay is not None:
            self._longest_delay = max(self._longest_delay or 0.0, delay)

    def search_at(self, wants: Wants, sources: Iterable[str]) -> float:
        """The time of the next search."""
        if self._waits.search_base is None:
            return float("inf")
        if self._searched_at is not None:
            return self._searched_at + self._pause
        if not wants or all(name in wants.all[wants.first()].denied for name in sources):
            return self.since  # no source is left that may have it: waiting is useless
        return self.since + self._waits.search_base

    def searched(self, now: float) -> None:
        if self._searched_at is not None:
            self._pause = min(MAX_SEARCH_PAUSE, 2 * self._pause)
        self._searched_at = now

    def give_up_at(self, sources: Collection[Source]) -> float:
        delays = [s.least_delay for s in sources if s.least_delay is not None]
        # one that owes blocks, has sent others and is alive serves others first: a queue is no silence
        queued = (s.alive_at for s in sources if s.blocks and s.outstanding)
        heard_at = max((s.heard_at for s in sources), default=0.0)
        heard_at = max(heard_at, max(queued, default=0.0))
        return patient_deadline(self.since, heard_at, self._waits.give_up(max(delays, default=self._longest_delay)))
