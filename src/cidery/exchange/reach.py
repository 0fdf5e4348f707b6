"""Whether far sources are asked for what near ones have: only if they bring more together. Pure.

    near alone, measured --> all for a moment, measured --> all, if that was more
           ^                          |
           +------- a pause ----------+  else near alone: the reader's line is full

A source is far if its round trip is several times that of the nearest one. What no near source has is always asked of
the far ones.
"""

from collections.abc import Collection, Mapping
from enum import Enum
from math import inf

from cidery.exchange.choice import FAR, FAR_SECONDS
from cidery.exchange.source import IN_VAIN, Source

MEASURED_BLOCKS = 1
MEASURED_SECONDS = 0.25
"""Least length of a measurement."""
SLOW_SECONDS = 1.0
"""Seconds without a block of the near ones after which what is arriving of them is the measurement: a large block over
a slow line takes many."""
LONGEST_TRIAL = 4.0
"""Seconds, beside round trips of the far sources, until a trial is judged though not all of them have sent a block."""
MORE = 1.2
"""Times what the near ones bring alone, from which on the far ones are worth it."""
FIRST_PAUSE = 15.0
"""Seconds until the next trial after one in vain; doubles each time. Only one far source takes part in it."""


class Mode(Enum):
    NEAR = "near"
    TRIAL = "trial"
    ALL = "all"


class Reach:
    """Of one session. Times are seconds of its clock."""

    def __init__(self) -> None:
        self.mode = Mode.NEAR
        self._began: float | None = None
        self._last = 0.0
        self._bytes = self._blocks = 0
        self._near_blocks: list[tuple[float, int]] = []
        """Blocks of near sources within a trial: when each came, and its bytes."""
        self._near_rate = 0.0
        self._crowd = False
        self._begun: dict[str, int] = {}
        """Bytes of near ones' blocks that had come when the trial began."""
        self.trying: set[str] = set()
        """Far sources of a trial that have not sent a block yet; each is asked for one."""
        self._ends = 0.0
        self._next_trial = 0.0
        self._pause = 0.0
        self.next_at: float | None = None
        """When a source that says nothing keeps out far ones no longer."""
        self.counted: list[Source] = []
        """The sources that far ones may be left out for, as far() saw it last."""

    def rest(self) -> None:
        """Nothing is asked of anybody now."""
        self.next_at = None

    def far(self, sources: Collection[Source], now: float, *, crowd: bool = False) -> dict[str, Source]:
        """Those among the usable ones that are far. A near one that may still answer counts: the answers of far ones
        that were asked whether they have a block come before a large block of a near one.

        ``crowd``: there are readers, too, so one that says nothing for a while may serve others first.
        """
        self._crowd = crowd
        known = [one for one in sources if (one.usable or one.awaited) and one.least_delay is not None]
        ends = {one.name: inf if crowd and one.has_any else one.keeps_until() for one in known}
        self.next_at = min((at for at in ends.values() if now < at < inf), default=None)
        self.counted = [one for one in known if now < ends[one.name]]
        delays = (one.least_delay or 0.0 for one in self.counted if one.waited < IN_VAIN)
        limit = FAR * min(delays, default=inf) + FAR_SECONDS
        return {one.name: one for one in known if one.usable and (one.least_delay or 0.0) > limit}

    def held(self, far: dict[str, Source], now: float) -> set[str]:
        """The far sources that are not to be asked now for what near ones have. Without one, a trial rests."""
        if not far:
            self.trying = set()
            return set()
        if self.mode is Mode.TRIAL and (not self.trying & far.keys() or now >= self._ends):
            self._judge(now)
        elif self.mode is Mode.TRIAL and self._brings_more(far):
            self.trying, self.mode = set(), Mode.ALL
        rate = self._near(far, now) if self.mode is Mode.NEAR and now >= self._next_trial else None
        if rate is not None:
            self._near_rate = rate
            names = list(far)[: 1 if self._pause else None]
            self.trying = set(names)
            self.mode, self._ends = (
                Mode.TRIAL,
                now + LONGEST_TRIAL + 2 * max(one.least_delay or 0.0 for one in far.values()),
            )
            self._restart(now)
        if self.mode is Mode.ALL:
            return set()
        return {name for name, one in far.items() if name not in self.trying or one.outstanding}

    def received(self, name: str, size: int, now: float) -> None:
        """A block came."""
        if self._began is None:
            self._restart(now)  # what came until now began to come at an unknown time
            return
        self._bytes += size - self._begun.pop(name, 0)
        self._blocks, self._last = self._blocks + 1, now
        if self.mode is Mode.TRIAL and name not in self.trying:
            self._near_blocks.append((now, size))
        self.trying.discard(name)

    def sooner_alone(self, near: Collection[Source], wants: int, far: Source) -> bool:
        """Whether these would bring so many wants before a far source brings one, when no far one has a part of the
        reader's line any more, which is the case when the last of them has sent its last block.
        """
        if not near or not self._near_rate:
            return False
        size = sum(source.outstanding_bytes for source in near) + wants * max(one.expected_block for one in near)
        return max(source.least_delay or 0.0 for source in near) + size / self._near_rate < far.cost()

    # --- inside

    def _restart(self, now: float) -> None:
        self._began = self._last = now
        self._bytes = self._blocks = 0
        self._near_blocks = []

    def _near(self, far: Collection[str], now: float) -> float | None:
        """Bytes per second of the near ones; None: it is not known yet."""
        if self._measured():
            return self._rate()
        if self._crowd:  # whoever is slow now serves others, and readers are far by the length of lines
            return None
        near = [one for one in self.counted if one.outstanding and one.name not in far]
        asked_at = min((one.owes_since for one in near), default=inf)
        if self._blocks or now < asked_at + SLOW_SECONDS:
            if now < asked_at + SLOW_SECONDS < inf:
                self.next_at = min(asked_at + SLOW_SECONDS, inf if self.next_at is None else self.next_at)
            return None
        coming = [one for one in near if one.coming_since < now < one.ends_at < inf and one.coming]
        rates = {one.name: one.coming_bytes / (one.ends_at - one.coming_since) for one in coming}
        self._begun = {one.name: int(rates[one.name] * (now - one.coming_since)) for one in coming}
        return sum(rates.values()) or None

    def _measured(self) -> bool:
        return self._blocks >= MEASURED_BLOCKS and self._last >= (self._began or 0.0) + MEASURED_SECONDS

    def _rate(self) -> float:
        """Until the last block: what began to come since then would count for nothing."""
        return self._bytes / max(self._last - (self._began or 0.0), 1e-9)

    def _brings_more(self, far: Mapping[str, Source]) -> bool:
        """Whether that is plain before a far one has sent its block, by how fast all of these come, and what near ones
        have sent meanwhile: so that the far ones need not rest for a round trip until they are asked for more.
        """
        tried = [far[name] for name in self.trying if name in far]
        if len(tried) < len(self.trying) or not all(one.coming and one.ends_at < inf for one in tried):
            return False
        since = max(one.coming_since for one in tried)
        near = [(at, size) for at, size in self._near_blocks if at >= since]
        if len(near) < 2:
            return False
        rate = sum(size for _, size in near[1:]) / max(near[-1][0] - near[0][0], 1e-9)
        rate += sum(one.expected_block / max(one.ends_at - one.coming_since, 1e-9) for one in tried)
        return rate > MORE * self._near_rate

    def _judge(self, now: float) -> None:
        self.trying = set()
        if self._rate() > MORE * self._near_rate:
            self.mode = Mode.ALL
            return
        self.mode = Mode.NEAR
        self._pause = max(FIRST_PAUSE, 2 * self._pause)
        self._next_trial = now + self._pause
        self._restart(now)
