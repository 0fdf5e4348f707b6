"""How much the peer may send on the streams of one Yamux session: windows that grow with what is used. Pure.

A window starts at 256 KiB and doubles while it is used up within a few round trips; all of a session share a budget.
"""

from cidery import budgets
from cidery.libp2p.protocols.timeouts import RoundTrip
from cidery.libp2p.protocols.yamux_stream import INITIAL_WINDOW, YamuxStream

MAX_WINDOW = 16 * 1024 * 1024
"""Largest window of one stream, in bytes: 1.3 Gbit/s over 100 ms."""
WINDOW_BUDGET = budgets.WINDOWS_GROWN.amount
BULK_RATE = 32 * 1024 * 1024
"""Bytes a second that a stream of bulk data is given a window for at once: growing to it by doubling would cost a long
line several round trips at a fraction of its rate."""
LEAST_TUNING_ROUND_TRIP = 0.005
"""Seconds; below it scheduling, not distance, sets the pace of window updates."""


class Windows:
    """Of the streams of one session. What a method returns is the credit to tell the peer, in bytes; 0: nothing."""

    def __init__(self, round_trip: RoundTrip) -> None:
        self.learned = INITIAL_WINDOW
        """The largest that a stream has grown to: new streams get it at once."""
        self.grown = 0
        """What all windows together have beyond their first size."""
        self._round_trip = round_trip

    def widen(self, stream: YamuxStream, wanted: int) -> int:
        """Grow a stream's window towards ``wanted`` within the bounds."""
        growth = max(0, min(wanted, MAX_WINDOW, stream.window + WINDOW_BUDGET - self.grown) - stream.window)
        stream.window += growth
        stream.credit += growth
        self.grown += growth
        return growth

    def open(self, stream: YamuxStream, wanted: int = 0) -> int:
        """Widen a new stream's window to what was learned, or to ``wanted``."""
        return self.widen(stream, max(wanted, self.learned))

    def expect_bulk(self, stream: YamuxStream) -> int:
        """Widen it for BULK_RATE over the measured round trip."""
        return self.widen(stream, int(BULK_RATE * (self._round_trip.smoothed or 0.0)))

    def consumed(self, stream: YamuxStream, size: int, now: float) -> int:
        """``size`` bytes were read: give back what was, once that is half a window."""
        stream.consumed += size
        if stream.consumed * 2 < stream.window:
            return 0
        delta, stream.consumed = stream.consumed, 0
        stream.credit += delta
        if now - stream.epoch < 4 * max(self._round_trip.smoothed or 0.0, LEAST_TUNING_ROUND_TRIP):
            delta += self.widen(stream, stream.window * 2)
            self.learned = max(self.learned, stream.window)
        stream.epoch = now
        return delta

    def close(self, stream: YamuxStream) -> None:
        """Its growth is free for others."""
        self.grown -= stream.window - INITIAL_WINDOW
