"""One source of blocks within a session: its outstanding wants, its speed, and how much may be in flight to it.

The window follows the bandwidth-delay product: it grows with every block that arrives while the delay stays near the
smallest one seen (so it doubles each round trip at first), and shrinks while blocks queue up on the way.
"""

from collections import OrderedDict
from collections.abc import Callable

from cidery.exchange.stats import SourceState
from cidery.multiformats.cid import CID

FIRST_WINDOW = 2 * 1024 * 1024
"""Bytes in flight before anything is known about a source: two blocks of 1 MiB or eight of 256 KiB."""
LEAST_WINDOW = 512 * 1024
MAX_WINDOW = 32 * 1024 * 1024
"""Most bytes in flight to one source: 2.6 Gbit/s over 100 ms."""
MAX_WANTS = 512
"""Most wants in flight to one source; boxo keeps 1024 per peer and drops the rest."""
ASSUMED_BLOCK = 256 * 1024
"""Assumed size in bytes of an unknown block."""
PATIENCE = 8
"""Waits for which bytes of an incomplete block count as progress: a large block over a long line takes several
round trips, but a source that sends a trickle for ever must not hold a want."""
QUEUEING_SLACK = 0.05
"""Seconds of queueing that are no sign of congestion: a source's scheduling, a batch, a disk."""


class Source:
    """A peer or server that answers wants. Times are seconds of the session's clock."""

    __slots__ = (
        "blocks",
        "bytes",
        "denials",
        "expected_block",
        "has_any",
        "heard_at",
        "last_answer",
        "least_delay",
        "name",
        "outstanding",
        "outstanding_bytes",
        "parked",
        "probed",
        "progress_at",
        "rate",
        "stalled",
        "window",
    )

    def __init__(self, name: str, round_trip: float | None) -> None:
        self.name = name
        self.outstanding: dict[CID, tuple[float, int]] = {}
        """Wanted block -> (asked at, bytes assumed)."""
        self.outstanding_bytes = 0
        self.parked: OrderedDict[CID, None] = OrderedDict()
        """Wants that wait for room here because no other source has them, in order."""
        self.window = FIRST_WINDOW
        self.least_delay = round_trip
        self.rate = 0.0
        """Smoothed bytes per second while it has outstanding wants."""
        self.progress_at = 0.0
        """When it last answered, or was first asked after having nothing outstanding."""
        self.heard_at = 0.0
        """When bytes last arrived from it, whether or not they completed an answer."""
        self.last_answer = ""
        """"have", "dont-have" or "block"."""
        self.expected_block = ASSUMED_BLOCK
        """Bytes that a want is assumed to bring: rises fast and falls slowly, as roots are small and leaves are not."""
        self.probed: set[CID] = set()
        """CIDs it was asked want-have for and has not answered."""
        self.has_any = False
        """It gave or confirmed a block of this session: later wants go to it unasked."""
        self.denials = 0
        """DONT_HAVE answers in a row."""
        self.stalled = False
        self.blocks = self.bytes = 0

    def state(self, now: float) -> SourceState:
        """Its current state."""
        silent = now - max(self.progress_at, self.heard_at) if self.outstanding or self.probed else None
        return SourceState(
            self.name, self.last_answer, silent, self.blocks, self.bytes, len(self.outstanding), self.stalled
        )

    def has_room(self) -> bool:
        """Whether one more want may be in flight. A single one always may."""
        if not self.outstanding:
            return True
        return len(self.outstanding) < MAX_WANTS and self.outstanding_bytes < self.window

    def delay(self) -> float:
        """Seconds until a block requested now would be complete, by the measurements."""
        least = self.least_delay or 0.0
        return least + (self.outstanding_bytes / self.rate if self.rate else 0.0)

    def asked(self, cid: CID, now: float) -> None:
        if not self.outstanding:
            self.progress_at = now
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

    def received(self, cid: CID, size: int, now: float) -> None:
        """A block arrived: update delay, rate and window."""
        since = now - self.progress_at
        delay = self.answered(cid, now)
        self.progress_at = now
        self.stalled, self.has_any, self.denials, self.last_answer = False, True, 0, "block"
        self.blocks += 1
        self.bytes += size
        self.expected_block = max(size, self.expected_block - (self.expected_block - size) // 4, 1)
        if since > 0 and delay is not None:
            sample = size / since
            self.rate = sample if not self.rate else self.rate + (sample - self.rate) / 8
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
        if self.stalled or not (self.outstanding or self.probed):
            return None
        return patient_deadline(self.progress_at, self.heard_at, wait(self.least_delay))


def patient_deadline(progress_at: float, heard_at: float, wait: float) -> float:
    """``wait`` seconds after the last bytes, but at most PATIENCE waits after the last progress."""
    return max(progress_at + wait, min(heard_at + wait, progress_at + PATIENCE * wait))
