"""How many peers are sent blocks at a time: the fewest that carry the most. Pure.

::

    measured --> more or fewer are tried, measured --> these, if that is better
       ^                                                 | else
       +------------------- a pause ---------------------+

Nothing can be told while slots are unused. So what is carried is measured while peers wait for a slot, over some turns
each; of a turn that began before, or is under way, the part counts that falls into the measurement.
"""

from collections.abc import Collection
from math import exp2

LEAST_SLOTS = 1
"""Peers served at a time at least, and at first: of a slow line each block is as early as it can be."""
MOST_SLOTS = 64
GAIN = 0.5
"""More slots are kept if they carry at least this share of what they would if the line were not full..."""
CLEAR = 0.9
"""... if they carry this share, it is far from full, and twice as many are tried at once..."""
CLEAR_FROM = 3
"""... from so many slots on: of few a try too many has each block of a slow line come late."""
LOSS = 0.95
"""Fewer are kept if they carry at least this share of what more did."""
UNUSED = 0.25
"""Share of the slots' time that may be unused in a measurement; what was used is what counts then. Also the share of
turns after which nobody waits for a slot."""
SLOW_TURN = 0.5
"""Seconds of a turn from which on one slot is tried at a time, else twice as many: a try takes long."""
LEAST_PERIOD = 0.5
"""Seconds of one measurement, at least; and two messages per slot."""
FIRST_PAUSE = 5.0
"""Seconds until the number of slots is tried anew after a try in vain; doubles each time."""
MAX_PAUSE = 60.0
TRY_REST = 4.0
"""Times of a try in vain until the next one, at least: while large blocks go over a slow line a try takes long, and two
blocks on their way at once are both late."""
BEST_HALF_LIFE = 20.0
"""Seconds after which the most that was carried counts for half."""


class Slots:
    """Of one node. Times are seconds of any one clock."""

    def __init__(self, now: float) -> None:
        self.count = LEAST_SLOTS
        self._since = self._noted_at = now
        """When the measurement began, and until when the unused slots are counted."""
        self._bytes = self._turns_bytes = self._turns_seconds = self._unused = 0.0
        """What left in it, what the turns that ended in it carried in how long, and the seconds of unused slots."""
        self._messages = self._alone = 0
        """Turns that ended in it, and those of them after which nobody waited for a slot."""
        self._best = 0.0
        """Most bytes per second that the present number carried, fading: it looks worse with slow peers, and with
        peers that others are sending to."""
        self._before: tuple[int, float] | None = None
        """(slots, bytes per second) before the current try of another number."""
        self._up = True
        self._try_at = now
        self._pause = FIRST_PAUSE

    def note(self, used: int, now: float) -> None:
        """So many were used until now."""
        self._unused += max(0, self.count - used) * (now - self._noted_at)
        self._noted_at = now

    def ended(self, size: int, began: float, under_way: Collection[float], now: float, *, others_wait: bool) -> None:
        """A turn carried so many bytes since it began; when others began that are under way."""
        self._messages += 1
        self._alone += not others_wait
        if self._alone > UNUSED * self._messages and not others_wait:
            self._restart(now)
            return
        share = (now - self._since) / (now - began) if began < self._since else 1.0
        self._bytes += size * share
        self._turns_bytes += size
        self._turns_seconds += now - began
        took, messages = now - self._since, self._messages
        if took < LEAST_PERIOD or messages < 2 * self.count:
            return
        rate = self._rate(under_way, now)
        self._restart(now)
        self._judge(rate, took, messages, now)

    # --- inside

    def _restart(self, now: float) -> None:
        self._since = self._noted_at = now
        self._bytes = self._turns_bytes = self._turns_seconds = self._unused = 0.0
        self._messages = self._alone = 0

    def _rate(self, under_way: Collection[float], now: float) -> float:
        """Bytes per second in this measurement. Turns under way are as fast as those that ended."""
        took = now - self._since
        pace = self._turns_bytes / self._turns_seconds if self._turns_seconds else 0.0
        carried = self._bytes + pace * sum(now - max(began, self._since) for began in under_way)
        # turns of a fast line end at once, and nothing is used all the time: then it is what it is
        used = took - self._unused / self.count if self._unused < UNUSED * self.count * took else took
        return carried / used

    def _judge(self, rate: float, took: float, messages: int, now: float) -> None:
        clear = False
        if self._before is not None:
            slots, rate_before = self._before
            more = self.count / slots - 1
            if rate < rate_before * (1 + GAIN * more if more > 0 else LOSS):
                self.count, self._up = slots, not self._up
                self._try_at = now + max(self._pause, TRY_REST * took)
                self._pause = min(MAX_PAUSE, 2 * self._pause)
                self._before = None
                return
            clear = more > 0 and self.count >= CLEAR_FROM and rate >= rate_before * (1 + CLEAR * more)
            self._pause = FIRST_PAUSE
            self._best = 0.0
        self._before = None
        self._best = max(rate, self._best * exp2(-took / BEST_HALF_LIFE))
        if now >= self._try_at:
            slow = took * self.count > SLOW_TURN * messages and not clear
            step = 1 if slow else self.count if self._up else self.count // 2
            wanted = min(MOST_SLOTS, max(LEAST_SLOTS, self.count + (step if self._up else -step)))
            if wanted == self.count:
                self._up = not self._up
            else:
                self._before, self.count = (self.count, self._best), wanted
