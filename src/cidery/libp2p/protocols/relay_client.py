"""Through which relays this node can be reached: candidates, reservations, their renewal, and rests after failures.

Pure: time is an argument, in seconds of a clock that never goes back. Each turn names one relay to ask, and the
caller reports the outcome.

Spec: https://github.com/libp2p/specs/blob/master/relay/circuit-v2.md#reservation
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from cidery.identity.peer_id import PeerId
from cidery.libp2p.protocols.relay_messages import Granted, HopMessage, HopType, RelayError, RelayLimit, Status, meaning
from cidery.multiformats.multiaddr import Multiaddr

WANTED = 2
"""Relays at a time, as go-libp2p wants."""
MAX_CANDIDATES = 20
"""Remembered; the one named longest ago makes room."""
CANDIDATE_FOR = 30 * 60.0
"""Seconds that a candidate is one after it was last named."""
REST = 3600.0
"""Seconds for which a relay that refused or vanished is not asked again."""
FIXED_REST, FIXED_CEILING = 5.0, 600.0
"""The same for the user's own relays; doubles with each failure."""
LEAST_LIFE, MOST_LIFE = 30.0, 24 * 3600.0
"""Seconds of a reservation: one that ends sooner is none, a longer one is renewed as often."""
EARLY = 120.0
"""Seconds before its end that a reservation is renewed, or at three quarters of its life."""


class Refused(RelayError):
    """A relay said no."""

    def __init__(self, status: int) -> None:
        super().__init__(meaning(status))
        self.status = status


class Reservation(NamedTuple):
    """One that a relay granted."""

    relay: PeerId
    ends_at: float
    renew_at: float
    addrs: tuple[bytes, ...]
    """Of the relay, binary, with its /p2p."""
    limit: RelayLimit


def granted(message: HopMessage) -> tuple[Granted, RelayLimit]:
    """The answer to a RESERVE. Raises Refused, RelayError."""
    if message.type is not HopType.STATUS:
        raise RelayError("the answer is no status")
    if message.status != Status.OK:
        raise Refused(message.status)
    if message.granted is None:
        raise RelayError("a reservation without its end")
    return message.granted, message.limit or RelayLimit()


def connected(message: HopMessage) -> RelayLimit:
    """The answer to a CONNECT: the limit of what follows on the stream. Raises Refused, RelayError."""
    if message.type is not HopType.STATUS:
        raise RelayError("the answer is no status")
    if message.status != Status.OK:
        raise Refused(message.status)
    return message.limit or RelayLimit()


@dataclass(slots=True)
class _Candidate:
    addrs: tuple[Multiaddr, ...]
    named_at: float


class Relays:
    """``fixed``: the relays of the config; with any, no others are used, and all of them are."""

    def __init__(self, fixed: Iterable[tuple[PeerId, tuple[Multiaddr, ...]]] = ()) -> None:
        self.fixed = dict(fixed)
        self.reservations: dict[PeerId, Reservation] = {}
        self._candidates: OrderedDict[PeerId, _Candidate] = OrderedDict()
        self._rests: OrderedDict[PeerId, tuple[int, float]] = OrderedDict()
        """Failures in a row, and until when it rests."""

    @property
    def missing(self) -> int:
        """How many more relays are wanted."""
        wanted = len(self.fixed) or WANTED
        return max(0, wanted - len(self.reservations))

    # --- candidates

    def named(self, relay: PeerId, addrs: Iterable[Multiaddr], now: float) -> None:
        """A peer may be a relay."""
        if self.fixed:
            return
        self._candidates[relay] = _Candidate(tuple(addrs), now)
        self._candidates.move_to_end(relay)
        if len(self._candidates) > MAX_CANDIDATES:
            self._candidates.popitem(last=False)

    def next(self, now: float) -> tuple[PeerId, tuple[Multiaddr, ...]] | None:
        """The relay to ask now, with where it is; None: enough have granted, or all others rest."""
        for relay, reservation in self.reservations.items():
            if reservation.renew_at <= now and self._rested(relay, now):
                return relay, self._addrs(relay)
        if not self.missing:
            return None
        known = self.fixed or {
            relay: one.addrs for relay, one in self._candidates.items() if now - one.named_at < CANDIDATE_FOR
        }
        for relay, addrs in known.items():
            if relay not in self.reservations and self._rested(relay, now):
                return relay, addrs
        return None

    @property
    def wants_candidates(self) -> bool:
        return not self.fixed and self.missing > 0

    def _addrs(self, relay: PeerId) -> tuple[Multiaddr, ...]:
        if relay in self.fixed:
            return self.fixed[relay]
        one = self._candidates.get(relay)
        return () if one is None else one.addrs

    def _rested(self, relay: PeerId, now: float) -> bool:
        return self._rests.get(relay, (0, 0.0))[1] <= now

    # --- how it ended

    def took(self, relay: PeerId, grant: Granted, limit: RelayLimit, now: float, wall: float) -> Reservation:
        """A relay granted. ``wall``: seconds since 1970. Raises RelayError for a reservation of no use."""
        life = grant.expires - wall
        if life < LEAST_LIFE:
            raise RelayError(f"the reservation ends {life:.0f} seconds from now: a clock is wrong, or the relay lies")
        life = min(life, MOST_LIFE)
        renew = now + life - min(EARLY, life / 4)
        self._rests.pop(relay, None)
        made = self.reservations[relay] = Reservation(relay, now + life, renew, grant.addrs, limit)
        return made

    def failed(self, relay: PeerId, now: float) -> None:
        """It refused or did not answer. A reservation that could not be renewed stays valid until its end."""
        failures = self._rests.pop(relay, (0, 0.0))[0] + 1
        rest = min(FIXED_CEILING, FIXED_REST * 2.0 ** min(failures - 1, 10))
        if relay not in self.fixed and relay not in self.reservations:
            rest = REST
        self._rests[relay] = failures, now + rest
        while len(self._rests) > 16 * MAX_CANDIDATES:
            self._rests.popitem(last=False)

    def lost(self, relay: PeerId, now: float) -> bool:
        """The connection is gone, and with it the reservation; False if there was none."""
        if self.reservations.pop(relay, None) is None:
            return False
        self.failed(relay, now)
        return True

    def expire(self, now: float) -> list[PeerId]:
        """Drop the reservations that have ended. Returns their relays."""
        ended = [relay for relay, one in self.reservations.items() if one.ends_at <= now]
        for relay in ended:
            del self.reservations[relay]
        return ended
