"""Every wait of the network is ``base + k x measured round trip``: the same code serves a LAN and another planet."""

from dataclasses import dataclass

CEILING = 6 * 3600.0
"""Longest wait, in seconds: nearest to farthest Mars is 6 to 44 minutes of round trip; six hours bears several."""
DIAL_ROUND_TRIPS = 8.0
"""Round trips that a dial may take beside its base: twice what it needs, with identify."""
HANDSHAKE_ROUND_TRIPS = 16.0
"""As DIAL_ROUND_TRIPS, for ``handshake_base``."""
UNKNOWN_ROUND_TRIP = 1.0
"""Assumed round trip in seconds before one was measured."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Bases in seconds, factors in round trips. One object per node, from its configuration."""

    dial_base: float = 5.0
    """The time to wait for a dial that the caller can do without. The dial itself continues for ``patience``."""
    handshake_base: float = 120.0
    """Security and muxer negotiation, some 3 round trips, with a peer that was dialled: as long as Linux tries to
    connect. The round trip is that of the TCP handshake, or what the peer store remembers."""
    patience: float = CEILING
    """A dial in all, and the handshake of a connection from outside, whose distance nobody knows. What is pending so
    long has a limited number of places; see protocols/pending.py."""
    datagram_base: float = 6.0
    """A peer dialled by datagrams says nothing at first, and no system gives it up: with four round trips, or the four
    seconds of an unknown one, as long as go-libp2p waits."""
    stream_base: float = 10.0
    """Agreement on a stream's protocol, and one small request and its answer."""
    idle_base: float = 15.0
    """A request's answer has begun but does not go on."""
    keepalive_base: float = 30.0
    """Silence after which a muxer pings."""
    dead_base: float = 20.0
    """Silence after such a ping until the connection is given up."""
    stall_base: float = 1.5
    """A source owes blocks and sends none: its wants go to another source."""
    search_base: float = 1.0
    """No source brings anything: others are looked for (Kubo's delay)."""
    give_up_base: float = 60.0
    """No source brings anything new for a session."""

    @staticmethod
    def wait(base: float, round_trip: float | None, factor: float = 4.0) -> float:
        """``base + factor x round trip`` seconds, at most CEILING. ``round_trip`` None: not measured yet."""
        return min(CEILING, base + factor * (UNKNOWN_ROUND_TRIP if round_trip is None else round_trip))

    def dial(self, round_trip: float | None) -> float:
        """Seconds that a caller with other things to do waits for a dial. ``round_trip``: remembered, if any."""
        return self.wait(self.dial_base, round_trip, 4.0 if round_trip is None else DIAL_ROUND_TRIPS)


class RoundTrip:
    """A smoothed round trip (RFC 6298 weights) and the least one seen. Seconds."""

    __slots__ = ("least", "smoothed")

    def __init__(self, first: float | None = None) -> None:
        self.smoothed = first
        self.least = first

    def sample(self, seconds: float) -> None:
        self.smoothed = seconds if self.smoothed is None else self.smoothed + (seconds - self.smoothed) / 8
        self.least = seconds if self.least is None else min(self.least, seconds)
