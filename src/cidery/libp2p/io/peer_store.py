"""What is known of peers: addresses, agent, protocols. Bounded in memory, kept on disk through a small table.

Addresses that a peer signed, or where it was reached, are kept before hearsay.
"""

import json
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from cidery.budgets import KNOWN_PEERS
from cidery.identity.peer_id import PeerId, PeerIdError
from cidery.libp2p.protocols.addresses import group_of
from cidery.libp2p.protocols.timeouts import CEILING
from cidery.multiformats.multiaddr import Multiaddr, MultiaddrError

MAX_PEERS = KNOWN_PEERS.amount
MAX_ADDRS_PER_PEER = 32
MAX_NETS = 4096
"""Groups of addresses whose distance is remembered; the one heard of longest ago is forgotten first."""
BACKOFF_BASE = 5.0
"""Seconds an address rests after its first failed dial; doubles with each further one."""
BACKOFF_CEILING = 600.0
"""Longest rest in seconds."""


class PeerTable(Protocol):
    """Where peers survive a restart. Values are opaque; losing them is harmless."""

    def load(self) -> Iterable[tuple[bytes, bytes]]: ...

    def save(self, items: Iterable[tuple[bytes, bytes]]) -> None: ...


@dataclass(slots=True)
class KnownPeer:
    """One peer."""

    addrs: OrderedDict[Multiaddr, None] = field(default_factory=OrderedDict)
    """Without /p2p; the most trusted first."""
    agent: str = ""
    protocols: tuple[str, ...] = ()
    public_key: bytes = b""
    protocol_version: str = ""
    record_sequence: int = -1
    """Sequence of the newest signed peer record seen."""
    round_trip: float | None = None
    """Seconds, as of the last connection."""


class PeerStore:
    """Peers by id."""

    def __init__(self, clock: Callable[[], float], table: PeerTable | None = None) -> None:
        self._peers: OrderedDict[PeerId, KnownPeer] = OrderedDict()
        self._failures: dict[Multiaddr, tuple[int, float]] = {}
        self._nets: OrderedDict[bytes, float] = OrderedDict()
        """Round trip in seconds by the group of addresses."""
        self._clock = clock
        self._table = table
        self._changed: set[PeerId] = set()
        if table is not None:
            for key, value in table.load():
                self._restore(key, value)

    def _restore(self, key: bytes, value: bytes) -> None:
        try:
            saved = json.loads(value)
            known = self.know(PeerId.decode(key))
            known.addrs.update((Multiaddr.parse(text), None) for text in saved["addrs"][:MAX_ADDRS_PER_PEER])
            known.agent = str(saved["agent"])
            if 0.0 < float(distance := saved.get("round_trip") or 0.0) <= CEILING:
                known.round_trip = float(distance)
                for addr in known.addrs:
                    self._note_net(addr, known.round_trip)
        except (ValueError, KeyError, TypeError, PeerIdError, MultiaddrError):
            return  # a damaged row of a cache: the peer will be met again

    def know(self, peer: PeerId) -> KnownPeer:
        """The entry of a peer, made if need be."""
        known = self._peers.get(peer)
        if known is None:
            known = self._peers[peer] = KnownPeer()
            if len(self._peers) > MAX_PEERS:
                forgotten, _ = self._peers.popitem(last=False)
                self._changed.discard(forgotten)
        self._peers.move_to_end(peer)
        self._changed.add(peer)
        return known

    def parted(self, peer: PeerId) -> None:
        """The last connection ended: who told no address cannot be dialled, and tells the rest when it comes again.

        Strangers that come under ever new ids would else drive out those whose addresses are known.
        """
        known = self._peers.get(peer)
        if known is not None and not known.addrs:
            del self._peers[peer]
            self._changed.discard(peer)

    def get(self, peer: PeerId) -> KnownPeer | None:
        return self._peers.get(peer)

    def add_addrs(self, peer: PeerId, addrs: Iterable[Multiaddr], *, trusted: bool = False) -> None:
        """Remember addresses. ``trusted``: signed by the peer, or it was reached there."""
        known = self.know(peer)
        for addr in addrs:
            bare = addr.without_peer()
            known.addrs[bare] = None
            if trusted:
                known.addrs.move_to_end(bare, last=False)
        while len(known.addrs) > MAX_ADDRS_PER_PEER:
            known.addrs.popitem()

    def addrs(self, peer: PeerId) -> list[Multiaddr]:
        """Known addresses, best first, without those that rest after failures (unless all do)."""
        known = self._peers.get(peer)
        if known is None:
            return []
        now = self._clock()
        ready = [addr for addr in known.addrs if self._failures.get(addr, (0, 0.0))[1] <= now]
        return ready or list(known.addrs)

    def note_round_trip(self, peer: PeerId, addr: Multiaddr, seconds: float) -> None:
        """How far a peer is that was reached at ``addr``."""
        self.know(peer).round_trip = seconds
        self._note_net(addr, seconds)

    def _note_net(self, addr: Multiaddr, seconds: float) -> None:
        """The nearest peer of a group counts at once, farther ones by an eighth: one that delays must not slow all."""
        group = group_of(addr.encode())
        if group is None:
            return
        before = self._nets.pop(group, seconds)
        self._nets[group] = min(seconds, before + (seconds - before) / 8)
        if len(self._nets) > MAX_NETS:
            self._nets.popitem(last=False)

    def round_trip(self, peer: PeerId, addr: Multiaddr) -> float | None:
        """Seconds to a peer as remembered, else to its neighbours (see group_of()); None: nothing is known."""
        known = self._peers.get(peer)
        if known is not None and known.round_trip is not None:
            return known.round_trip
        group = group_of(addr.encode())
        return None if group is None else self._nets.get(group)

    def dial_failed(self, addr: Multiaddr) -> None:
        """Let an address rest, longer with each failure in a row."""
        count = self._failures.get(addr, (0, 0.0))[0] + 1
        rest = min(BACKOFF_CEILING, BACKOFF_BASE * 2 ** min(count - 1, 10))
        if len(self._failures) > MAX_PEERS:
            self._failures.clear()
        self._failures[addr] = (count, self._clock() + rest)

    def dial_succeeded(self, addr: Multiaddr) -> None:
        self._failures.pop(addr, None)

    def all_addrs(self) -> dict[PeerId, list[Multiaddr]]:
        return {peer: list(known.addrs) for peer, known in self._peers.items() if known.addrs}

    def save(self) -> None:
        """Write what changed since the last save to the table. Some microseconds per changed peer."""
        if self._table is None:
            return
        rows = []
        for peer in self._changed:
            known = self._peers.get(peer)
            if known is not None and known.addrs:
                value = {"addrs": list(map(str, known.addrs)), "agent": known.agent, "round_trip": known.round_trip}
                rows.append((peer.multihash, json.dumps(value).encode()))
        self._changed.clear()
        self._table.save(rows)
