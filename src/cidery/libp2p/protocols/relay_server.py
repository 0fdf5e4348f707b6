"""What a relay permits: who may have a reservation, who may have a circuit, and for how long. Pure, time an argument.

Spec: https://github.com/libp2p/specs/blob/master/relay/circuit-v2.md
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from cidery.budgets import RELAY_CONNECTS
from cidery.identity.peer_id import PeerId
from cidery.libp2p.protocols.addresses import host_of
from cidery.libp2p.protocols.relay_messages import RelayLimit, Status

MAX_CONNECTS_A_MINUTE = RELAY_CONNECTS.amount


class RelayLimits(NamedTuple):
    """``Swarm.RelayService`` of the config; the defaults are Kubo's."""

    seconds: int = 120
    """Of a circuit; 0: no limit."""
    data: int = 128 * 1024
    """Bytes of a circuit in each direction; 0: no limit."""
    reserved_for: int = 3600
    """Seconds of a reservation."""
    reservations: int = 128
    circuits: int = 16
    """Of one peer, on either end."""
    buffer: int = 2048
    """Bytes that are passed on at a time, per direction of a circuit."""
    reservations_of_ip: int = 8
    reservations_of_net: int = 32
    """Per /32 of IPv6, which stands for an autonomous system here as in the DHT."""


@dataclass(frozen=True, slots=True)
class _Reserved:
    ends_at: float
    ip: bytes
    net: bytes | None


class RelayDesk:
    """``is_friend``: a peer of the user's own list, for whom only the number of circuits is limited."""

    def __init__(self, limits: RelayLimits, is_friend: Callable[[PeerId], bool]) -> None:
        self.limits = limits
        self._is_friend = is_friend
        self._reserved: dict[PeerId, _Reserved] = {}
        self._circuits: Counter[PeerId] = Counter()
        self._asked: dict[PeerId, list[float]] = {}

    # --- reservations

    def reserve(self, peer: PeerId, addr: bytes | None, now: float, *, relayed: bool = False) -> Status:
        """A request from ``addr``. OK: it holds for ``limits.reserved_for`` seconds from now."""
        self._expire(now)
        # "A relay MUST NOT grant a reservation over a relayed connection"
        host = host_of(addr) if addr is not None else None
        if relayed or host is None:
            return Status.PERMISSION_DENIED
        net = host.packed[:4] if host.version == 6 else None
        wanted = _Reserved(now + self.limits.reserved_for, host.packed[:8], net)
        if not self._is_friend(peer) and not self._fits(peer, wanted):
            return Status.RESERVATION_REFUSED
        self._reserved[peer] = wanted
        return Status.OK

    def _fits(self, peer: PeerId, wanted: _Reserved) -> bool:
        others = [one for other, one in self._reserved.items() if other != peer and not self._is_friend(other)]
        of_ip = sum(one.ip == wanted.ip for one in others)
        of_net = sum(one.net == wanted.net for one in others) if wanted.net is not None else 0
        limits = self.limits
        return (
            len(others) < limits.reservations
            and of_ip < limits.reservations_of_ip
            and of_net < limits.reservations_of_net
        )

    def limit_for(self, peer: PeerId) -> RelayLimit | None:
        """Of circuits to a peer; None: there is none, as for friends."""
        limit = RelayLimit(self.limits.seconds, self.limits.data)
        return None if self._is_friend(peer) or not limit.limits else limit

    def gone(self, peer: PeerId) -> None:
        """ "The reservation ... remains valid until its expiration, as long as there is an active connection"."""
        self._reserved.pop(peer, None)
        self._asked.pop(peer, None)

    def reserved(self, now: float) -> list[PeerId]:
        self._expire(now)
        return list(self._reserved)

    def _expire(self, now: float) -> None:
        for peer in [peer for peer, one in self._reserved.items() if one.ends_at <= now]:
            del self._reserved[peer]

    # --- circuits

    @property
    def circuits(self) -> int:
        """Open now, each counted once."""
        return sum(self._circuits.values()) // 2

    def connect(self, source: PeerId, target: PeerId, us: PeerId, now: float, *, relayed: bool = False) -> Status:
        """A request for a circuit. OK: it counts until end()."""
        self._expire(now)
        # "relaying over a relayed connection": PERMISSION_DENIED; and nobody reaches himself, or us, this way
        if relayed or target in (source, us):
            return Status.PERMISSION_DENIED
        if self._asks_too_often(source, now):
            return Status.RESOURCE_LIMIT
        if target not in self._reserved:
            return Status.NO_RESERVATION
        if max(self._circuits[source], self._circuits[target]) >= self.limits.circuits:
            return Status.RESOURCE_LIMIT
        self._circuits[source] += 1
        self._circuits[target] += 1
        return Status.OK

    def end(self, source: PeerId, target: PeerId) -> None:
        """A circuit has ended, or did not come about."""
        for peer in (source, target):
            self._circuits[peer] -= 1
            if self._circuits[peer] <= 0:
                del self._circuits[peer]

    def _asks_too_often(self, peer: PeerId, now: float) -> bool:
        lately = [at for at in self._asked.get(peer, ()) if now - at < 60.0]
        self._asked[peer] = lately
        if len(lately) >= MAX_CONNECTS_A_MINUTE:
            return True
        lately.append(now)
        return False
