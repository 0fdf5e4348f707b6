"""One source of blocks within a session: what it has, its outstanding wants, its speed, how much may be in flight.

The window follows the bandwidth-delay product: it grows with every block that arrives while the delay stays near the
smallest one seen (so it doubles each round trip at first), and shrinks while blocks queue up on the way.
"""

from collections.abc import Callable, Container
from math import exp, inf

from cidery.exchange.stats import SourceState
from cidery.multiformats.cid import CID

FIRST_WINDOW = 2 * 1024 * 1024
"""Bytes in flight before anything is known of a source that is alone: two blocks of 1 MiB, or eight of 256 KiB."""
LEAST_WINDOW = 512 * 1024
"""Least bytes in flight, and the first ones to one of several sources: a slow one must not hold much."""
LEAST_WANTS = 2
"""Wants that may always be in flight, however large: one on its way, one to follow without a pause."""
CROWD_WANTS = 4
"""As many to a complete source that serves several readers: it sends each of them what the others lack."""
MAX_WINDOW = 32 * 1024 * 1024
"""Most bytes in flight to one source: 2.6 Gbit/s over 100 ms."""
MAX_WANTS = 512
"""Most wants in flight to one source; boxo keeps 1024 per peer and drops the rest."""
ASSUMED_BLOCK = 256 * 1024
"""Assumed size in bytes of an unknown block."""
MAX_BROKEN = 3
"""Blocks that a source claimed to have and did not send, after which it is asked no more."""
PATIENCE = 8
"""Waits for which bytes of an incomplete block count as progress: a large block over a long line takes several
round trips, but a source that sends a trickle for ever must not hold a want."""
QUEUEING_SLACK = 0.05
"""Seconds of queueing that are no sign of congestion: a source's scheduling, a batch, a disk."""
WRONG_COSTS = 8
"""Right bytes that it takes to make up for one of a wrong block."""
FIRST_ANSWER = 0.2
"""Seconds, beside two round trips, that a source of which nothing is known has for an answer."""
LONGEST_FIRST = 4.0
"""As many, while bytes of it come."""
IN_VAIN = 1.0
"""Seconds that a source was waited for in vain, from which on it keeps out no far one, however near it is."""
RATE_MEMORY = 3.0
"""Seconds after which a measured rate counts for a third."""


class Experience:
    """What a session has seen of its sources, taken together."""

    __slots__ = ("readers_rate", "vain")

    def __init__(self) -> None:
        self.readers_rate = 0.0
        """Smoothed bytes per second of the readers that sent a block; 0.0: none has."""
        self.vain = 0.0
        """Seconds for which a complete source that had sent nothing was waited for in vain, the longest ones."""

    def measured(self, rate: float) -> None:
        """That of a reader which sent a block just now."""
        self.readers_rate = rate if not self.readers_rate else self.readers_rate + (rate - self.readers_rate) / 8


class Source:
    """A peer or server that answers wants. Times are seconds of the session's clock."""

    __slots__ = (
        "alive_at",
        "blocks",
        "broken",
        "bytes",
        "coming",
        "coming_bytes",
        "coming_since",
        "credit",
        "denials",
        "ends_at",
        "expected_block",
        "experience",
        "foretells",
        "gave",
        "has_any",
        "heard_at",
        "idle_rate",
        "last_answer",
        "least_delay",
        "missing",
        "name",
        "offered",
        "outstanding",
        "outstanding_bytes",
        "owes_since",
        "partial",
        "probe_at",
        "probe_pause",
        "probed",
        "progress_at",
        "proof",
        "proof_asked",
        "rate",
        "reads",
        "stalled",
        "waited",
        "window",
    )

    def __init__(
        self,
        name: str,
        round_trip: float | None,
        waited: float = 0.0,
        experience: Experience | None = None,
        *,
        gave: bool = False,
    ) -> None:
        self.name = name
        self.gave = gave
        """Whether it sent something that another session wanted."""
        self.experience = experience or Experience()
        self.outstanding: dict[CID, tuple[float, int]] = {}
        """Wanted block -> (asked at, bytes assumed)."""
        self.outstanding_bytes = 0
        self.window = FIRST_WINDOW
        self.least_delay = round_trip
        self.rate = 0.0
        """Smoothed bytes per second while it has outstanding wants, waits for its turn included."""
        self.idle_rate = 0.0
        self.offered: CID | None = None
        """Bytes per second without waits in its line; the block that it was asked for last since it offered that."""
        self.progress_at = 0.0
        """When it last answered, or was first asked after having nothing outstanding."""
        self.owes_since = 0.0
        """When it last sent a block, or was first asked for one after having nothing outstanding."""
        self.waited = waited
        """Seconds that a want was here in vain before another source took it; 0.0 as soon as a block comes."""
        self.heard_at = self.alive_at = 0.0
        """When bytes of its answers last arrived, whether or not they completed one, and when anything did."""
        self.coming_since, self.ends_at, self.coming_bytes, self.missing = 0.0, inf, 0, 0
        """When the first bytes of the message that is arriving were seen, when it will be whole, its bytes then, and
        those that it lacks."""
        self.coming: frozenset[CID] | None = frozenset()
        """The blocks of the message that is arriving; None: one is arriving, and what it holds is not known yet."""
        self.last_answer = ""
        """"have", "dont-have" or "block"."""
        self.credit = 0
        """Bytes of right blocks, less WRONG_COSTS times those of wrong ones; below 0 it is a liar."""
        self.proof: CID | None = None
        """What it was asked for to see whether it sends the like, and has not answered."""
        self.proof_asked = self.foretells = self.stalled = False
        self.expected_block = ASSUMED_BLOCK
        """Bytes that a want is assumed to bring: rises fast and falls slowly, as roots are small and leaves are not."""
        self.probed: set[CID] = set()
        """CIDs it was asked want-have for and has not answered."""
        self.has_any = False
        """It gave or confirmed a block of this session: later wants go to it unasked."""
        self.partial = False
        """It lacks some of what the session wants: it is asked only for what it said to have."""
        self.reads = False
        """It wants what this session wants, so it will soon have more of it."""
        self.denials = 0
        """DONT_HAVE answers in a row."""
        self.broken = 0
        """Blocks that it said to have and did not send."""
        self.probe_at = self.probe_pause = 0.0
        """When it may be asked again what it has, although it had nothing when it was asked last, and the wait."""
        self.blocks = self.bytes = 0

    def state(self, now: float) -> SourceState:
        """Its current state."""
        silent = now - max(self.progress_at, self.heard_at) if self.owes else None
        return SourceState(
            self.name, self.last_answer, silent, self.blocks, self.bytes, len(self.outstanding), self.stalled
        )

    @property
    def owes(self) -> bool:
        """Whether it was asked for something and has not answered."""
        return bool(self.outstanding or self.probed or self.proof)

    @property
    def usable(self) -> bool:
        """Whether it is known to have something, and answers."""
        return self.has_any and not self.stalled and not self.lies

    @property
    def awaited(self) -> bool:
        """Whether it was asked for a block before anything was known of it, and has not answered."""
        return bool(self.outstanding) and not (self.has_any or self.stalled or self.lies)

    @property
    def first_wait(self) -> float:
        """Seconds that it has for an answer if nothing is known of it."""
        return FIRST_ANSWER + 2 * (self.least_delay or 0.0)

    def keeps_until(self) -> float:
        """Until when others are left out for what this one may send: it must be heard of now and then."""
        round_trips = 2 * (self.least_delay or 0.0)
        if not (self.outstanding or self.proof):
            return float("inf")
        if not self.has_any:
            longest = self.owes_since + LONGEST_FIRST + round_trips
            return min(max(self.owes_since, self.heard_at) + self.first_wait, longest)
        since = self.owes_since if self.outstanding else self.progress_at
        return min(max(since, self.heard_at) + IN_VAIN + round_trips, since + PATIENCE * (IN_VAIN + round_trips))

    @property
    def lies(self) -> bool:
        """Whether it sent too much of what it was not asked for, for what it sent rightly."""
        return self.credit < 0

    @property
    def proven(self) -> bool:
        """Whether what it sent was what it was asked for, and it is there."""
        return self.credit > 0 and self.usable

    def may_have(self, denied: Container[str], holders: Container[str]) -> bool:
        """Whether it can be asked for a block, by which sources denied having it and which claimed it."""
        return self.name in holders if self.partial else self.name not in denied

    def has_room(self, *, crowd: bool = False, several: bool = False, trial: bool = False, ahead: bool = False) -> bool:
        """Whether one more want may be in flight. A few always may; to a complete source more in a ``crowd``.

        ``several``: other sources have something, too; ``trial``: others are proven, so no more is in flight than one
        want until it has sent the like; ``ahead``: that is asked for before its proof is here.
        """
        if self.lies:
            return not self.outstanding
        if trial and (self.proof is not None or not self.credit):
            return not self.outstanding and (ahead or self.proof is None)
        if len(self.outstanding) < (CROWD_WANTS if crowd and not self.partial else LEAST_WANTS):
            return True
        window = LEAST_WINDOW if several and not self.blocks else self.window
        return len(self.outstanding) < MAX_WANTS and self.outstanding_bytes < window

    def delay(self) -> float:
        """Seconds until everything requested would be here, by the measurements."""
        least = self.least_delay or 0.0
        return least + (self.outstanding_bytes / self.rate if self.rate else 0.0)

    def offer_cost(self) -> float:
        """Seconds until a block that it offers would be here: of a complete one, without waits in its line."""
        if self.partial:
            return self.cost()
        return (self.least_delay or 0.0) + (self.expected_block / self.idle_rate if self.idle_rate else 0.0)

    def cost(self) -> float:
        """Seconds until one block more would be here, by the measurements; by others' if it has sent nothing."""
        least = self.least_delay or 0.0
        bytes_before = self.outstanding_bytes + self.expected_block
        rate = self.rate or (self.experience.readers_rate if self.partial else 0.0)
        vain = 0.0 if self.blocks or self.partial else self.experience.vain
        return least + max(self.waited, vain, bytes_before / rate if rate else 0.0)

    def remaining(self, cid: CID, now: float, patience: float) -> float:
        """Seconds that a requested block may still take: by the measured rate; after ``patience`` as long again."""
        asked_at, _ = self.outstanding[cid]
        age = now - max(asked_at, self.owes_since)
        measured = self.delay() - (now - self.owes_since) if self.rate else 0.0
        return max(measured, age if age >= patience else 0.0)

    def hears(
        self,
        at: float,
        alive_at: float,
        coming: frozenset[CID] | None,
        now: float,
        ends_at: float = inf,
        missing: int = 0,
        arrived: int = 0,
    ) -> None:
        """Bytes came at time ``at``, of a message with these blocks (None: unknown ones) that is not whole yet.

        ``ends_at``: when it will be, at the rate at which it came so far; ``missing``: bytes until then, ``arrived``:
        those that are here. Who says which blocks those are ``foretells``: it knows what only our implementation does.
        """
        self.ends_at, self.coming_bytes, self.missing = ends_at, arrived + missing, missing
        self.foretells = self.foretells or bool(coming and missing)
        self.heard_at = max(self.heard_at, at)
        self.alive_at = max(self.alive_at, alive_at)
        if coming != self.coming:
            self.coming, self.coming_since = coming, now

    def brings(self, cid: CID, now: float, patience: float) -> bool:
        """Whether an outstanding block is on its way, and did not take longer than ``patience`` since it began."""
        if self.coming is None:
            on_its_way = next(iter(self.outstanding)) == cid  # the one asked first, most likely
        else:
            on_its_way = cid in self.coming
        return on_its_way and now < self.coming_since + patience

    def asked(self, cid: CID, now: float, *, offered: bool = False) -> None:
        if offered:
            self.offered = cid
        if not self.outstanding:
            self.progress_at = self.owes_since = now
        size = self.expected_block
        self.outstanding[cid] = (now, size)
        self.outstanding_bytes += size

    def answered(self, cid: CID, now: float) -> float | None:
        """Remove a want; returns how long it took, None if it was not outstanding."""
        known = self.outstanding.pop(cid, None)
        if known is None:
            return None
        asked_at, size = known
        self.outstanding_bytes -= size
        return now - asked_at

    def taken_away(self, cid: CID, now: float) -> None:
        """Another source is asked instead."""
        asked_at, _ = self.outstanding[cid]
        self.waited = max(self.waited, now - max(asked_at, self.owes_since))
        if not (self.blocks or self.partial):
            self.experience.vain = max(self.experience.vain, self.waited)
        self.answered(cid, now)

    def proves(self, size: int, now: float) -> None:
        """It sent what it was asked for once more."""
        self.credit += size
        self.progress_at = now
        self.last_answer = "block"

    def received(self, cid: CID, size: int, now: float) -> None:
        """A block arrived: update delay, rate and window."""
        since = now - self.owes_since
        delay = self.answered(cid, now)
        self.progress_at = self.owes_since = now
        self.waited = 0.0
        self.stalled, self.has_any, self.denials, self.last_answer = False, True, 0, "block"
        self.blocks += 1
        self.bytes += size
        self.credit += size
        self.expected_block = max(size, self.expected_block - (self.expected_block - size) // 4, 1)
        if since > 0 and delay is not None:
            sample = size / since
            share = max(0.125, 1 - exp(-since / RATE_MEMORY))
            if self.coming and cid in self.coming and now > self.coming_since:  # from the first bytes of the message
                self.idle_rate = size * len(self.coming) / (now - self.coming_since)
            if cid == self.offered and not self.partial:
                self.rate, self.idle_rate = 0.0, sample  # what was measured before held for a line that is no more
            self.rate = sample if not self.rate else self.rate + (sample - self.rate) * share
            if self.partial:
                self.experience.measured(self.rate)
        if delay is None:
            return
        self.least_delay = delay if self.least_delay is None else min(self.least_delay, delay)
        if delay < 2 * self.least_delay + QUEUEING_SLACK:
            self.window = min(MAX_WINDOW, self.window + size)
        else:
            self.window = max(LEAST_WINDOW, self.window - size // 8)

    def replied(self, now: float, asked_at: float | None = None, *, have: bool) -> None:
        """It gave an answer that is not a block."""
        self.progress_at = now
        self.last_answer = "have" if have else "dont-have"
        self.stalled = False
        if asked_at is not None:
            delay = now - asked_at
            self.least_delay = delay if self.least_delay is None else min(self.least_delay, delay)

    def release(self) -> list[CID]:
        """Remove everything outstanding, in the order it was requested."""
        cids = list(self.outstanding)
        self.outstanding.clear()
        self.outstanding_bytes = 0
        return cids

    def stall_deadline(self, wait: Callable[[float | None], float]) -> float | None:
        """When this source counts as stalled; None while it has nothing outstanding."""
        if self.stalled or not self.owes:
            return None
        return max(self.progress_at, self.heard_at, self.alive_at) + wait(self.least_delay)


def patient_deadline(progress_at: float, heard_at: float, wait: float) -> float:
    """``wait`` seconds after the last bytes, but at most PATIENCE waits after the last progress."""
    return max(progress_at + wait, min(heard_at + wait, progress_at + PATIENCE * wait))
