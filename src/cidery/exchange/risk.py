"""What a session risks with sources that have not shown that their large blocks are right. Pure.

A block's hash says nothing before all of it is here, so a liar that sends small blocks rightly costs a large one. What
is asked of unproven sources at a time, and what they have spoilt, is bounded by a share of the whole fetch: a session
that meets liars goes on with those that have shown what they are worth. Sources that say they have all of it, and
readers of it, which have what they were sent, are two kinds, each with an account of its own.
"""

from collections.abc import Mapping
from math import inf

from cidery.exchange.source import LEAST_WANTS, Source
from cidery.exchange.wants import Wants

SHARES = {False: 1 / 9, True: 1 / 3}
"""Of the bytes of the fetch, as far as they are known: what may be asked at a time of unproven sources that have all,
and of readers: among these are many, and most of a crowd's blocks come from one that has sent none yet. One block
always may."""
SPOILT_COUNTS = 4
"""Times that what sources of a kind spoilt counts among that."""
PAUSE = 1.5
"""Seconds without anything new after which one more is tried all the same."""
LIE_PAUSES = 4.0
"""Each lie makes that so many times as long, and while somebody is asked for something it is as many times as long
again after one."""
MAX_PAUSE = 60.0
QUEUED = 0.3
"""Seconds, beside one and a half round trips, after which one that is tried and sends nothing has others to serve
first: it is asked for more, to choose from, unless one has lied. One that serves nobody else sends a block by then."""

LONG_LINE = 0.04
"""Seconds of a round trip from which on one that is tried is asked ahead: for a large block with the small one that is
its proof, and for a second one when half of the first is here, or a round trip before its end. If it lied, the answer
is withdrawn, so no more of that comes than in a round trip, which is what the line would else have rested for. One that
heeds no cancel can send as much unasked. Not any more once somebody lied."""
SHORTEST_LOOK = 0.02
"""Seconds between two looks at how much of a block is here."""


class Risk:
    """Of one session. Times are seconds of its clock."""

    def __init__(self) -> None:
        self.next_at: float | None = None
        """When there is something to decide again."""
        self._received = 0
        self._spoilt = {False: 0, True: 0}
        self._left = {False: 0.0, True: 0.0}
        """Bytes that may still be asked of unproven sources of a kind."""
        self._exception = False
        """One more may be tried, of whichever kind."""
        self._tried: dict[str, float] = {}
        """Unproven sources that owe a block -> when they were asked."""
        self._tried_at = float("-inf")
        """When one was last tried, or lied."""
        self._pause = PAUSE
        self._block = 0
        self._now = 0.0

    def came(self, size: int) -> None:
        """A block that was wanted."""
        self._received += size

    def lied(self, source: Source, size: int, now: float) -> None:
        """It sent other bytes than it was asked for."""
        self._spoilt[source.partial] += size
        self._tried_at, self._pause = now, min(MAX_PAUSE, LIE_PAUSES * self._pause)

    def weigh(self, sources: Mapping[str, Source], wants: Wants, block: int, since: float, now: float) -> None:
        """``wants`` are of ``block`` bytes each, it is assumed; nothing new came ``since``. O(sources on trial)."""
        self._block, self._now, self.next_at, self._exception = block, now, None, False
        whole = self._received + len(wants) * block
        for partial, spoilt in self._spoilt.items():
            self._left[partial] = max(SHARES[partial] * whole, block) - SPOILT_COUNTS * spoilt
        for name in list(self._tried):
            source = sources.get(name)
            if source is None or not source.outstanding or self._trusts(source):
                del self._tried[name]
            else:
                self._left[source.partial] -= block
                self._look_at(self._queued_at(source))
                # half-way, since what comes ever faster will be here sooner than it seems
                self._look_at(now + max(SHORTEST_LOOK, (self._ahead_at(source) - now) / 2))
        if min(self._left.values()) < block:
            waits = wants.asked and any(self._spoilt.values())
            at = max(since, self._tried_at) + self._pause * (LIE_PAUSES if waits else 1.0)
            self._exception = now >= at
            self._look_at(at)

    def allows(self, source: Source) -> bool:
        """Whether one more want may go to it."""
        # called for each source at each poll: no further call for most of them
        if source.credit >= self._block and source.credit >= source.expected_block:
            return True
        if source.name not in self._tried:
            return self._exception or self._left[source.partial] >= self._block
        if any(self._spoilt.values()):
            return False
        if source.coming == frozenset():
            return self._now >= self._queued_at(source)
        return self._now >= self._ahead_at(source)

    def asks_ahead(self, source: Source) -> bool:
        """Whether it is asked for a large block before it has sent the small one that is its proof."""
        return (source.least_delay or 0.0) >= LONG_LINE and not any(self._spoilt.values())

    def asked(self, source: Source) -> bool:
        """A want goes to it; whether that leaves less for others."""
        if self._trusts(source) or source.name in self._tried:
            return False
        self._tried[source.name] = self._tried_at = self._now
        self._left[source.partial] -= self._block
        self._exception = False
        return True

    def _trusts(self, source: Source) -> bool:
        return source.credit >= self._block and source.credit >= source.expected_block

    def _queued_at(self, source: Source) -> float:
        return self._tried[source.name] + QUEUED + 1.5 * (source.least_delay or 0.0)

    def _ahead_at(self, source: Source) -> float:
        """When it is asked for one more, if by then nothing is known to be wrong."""
        round_trip = source.least_delay or 0.0
        if round_trip < LONG_LINE or len(source.outstanding) >= LEAST_WANTS:
            return inf
        return min((source.coming_since + source.ends_at) / 2, source.ends_at - round_trip)

    def _look_at(self, at: float) -> None:
        if self._now < at < inf:
            self.next_at = at if self.next_at is None else min(self.next_at, at)
