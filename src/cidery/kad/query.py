"""One iterative look-up: ask those nearest to a key, learn of nearer ones, until nobody nearer is left. Pure.

    heard of --poll()--> asked --on_answer()--> answered
                           +--on_failure(), too late--> failed

ALPHA requests run at once; one that is slow stops counting and may still answer. The look-up ends when the WIDTH
nearest live peers have answered (or the BETA nearest have, and the rest of them are merely slow), when the goal of
the kind of look-up is reached, or when a bound is hit.

Somebody who fills the place round a key with identities of his own (an eclipse) makes the K nearest peers lie nearer
than chance would have them. With the size of the network known, the width grows to all peers of the region in which
K honest ones are expected, so that these are still among those asked.

Spec: https://specs.ipfs.tech/routing/kad-dht/#client-behavior
"""

from bisect import insort
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum
from heapq import nsmallest

from cidery.identity.peer_id import PeerId
from cidery.kad.key import K, position
from cidery.kad.message import DhtMessage, MessageType, PeerInfo, Record

ALPHA = 10
"""Requests that run at once: the specification's alpha."""
BETA = 3
"""Nearest peers that must have answered: the specification's beta, its resiliency."""
MAX_WIDTH = 4 * K
"""Most peers that count as nearest when the region round a key is unusually full."""
MAX_HEARD = 2048
"""Peers remembered by one look-up; farther ones are dropped."""
MAX_LEARNT = 2 * K
"""Peers taken from one answer, the nearest ones: K are customary."""
MAX_REQUESTS = 256
"""Requests of one look-up; 10,000 honest nodes take some 40, inventing peers without end gains nothing."""
LONGEST = 60.0
"""Seconds (beside round trips) after which a look-up ends with what it has."""


class _State(IntEnum):
    HEARD = 0
    ASKED = 1
    SLOW = 2
    ANSWERED = 3
    FAILED = 4


@dataclass(frozen=True, slots=True)
class Ask:
    """Send the look-up's request to a peer."""

    info: PeerInfo
    deadline: float
    """Clock seconds after which nobody waits for it."""


@dataclass(frozen=True, slots=True)
class LookupStats:
    """What a look-up cost."""

    requests: int
    answers: int
    failures: int
    hops: int
    """The longest chain of peers that led to one of the nearest."""
    seconds: float


class _Peer:
    __slots__ = ("at", "deadline", "distance", "hops", "info", "slow_at", "state")

    def __init__(self, info: PeerInfo, distance: int, hops: int) -> None:
        self.info = info
        self.distance = distance
        self.hops = hops
        self.state = _State.HEARD
        self.slow_at = self.deadline = 0.0

    def __lt__(self, other: "_Peer") -> bool:
        return self.distance < other.distance


@dataclass(frozen=True, slots=True)
class LookupWaits:
    """How long requests may take, in seconds; see libp2p.protocols.timeouts."""

    slow: Callable[[PeerId], float]
    """Then another peer is asked beside it."""
    dead: Callable[[PeerId], float]
    """Then it counts as failed."""
    longest: float = LONGEST


class Lookup:
    """One look-up. ``on_*`` take what happened, poll() gives requests, ``done`` tells the end."""

    def __init__(
        self,
        request: DhtMessage,
        local: PeerId,
        seeds: Iterable[PeerInfo],
        waits: LookupWaits,
        now: float,
        *,
        wanted: int = 0,
        quorum: int = 0,
        radius: int = 0,
        sought: PeerId | None = None,
    ) -> None:
        """``request``: FIND_NODE, GET_PROVIDERS or GET_VALUE with its key.

        Args:
            wanted: providers after which it ends; 0: no such goal.
            quorum: value records after which it ends; 0: no such goal.
            sought: the peer whose addresses end it.
            radius: distance within which K peers are expected; 0: not known.
        """
        self.request = request
        self.target = position(request.key)
        self.records: list[tuple[PeerId, Record]] = []
        """Value records, unchecked, by sender."""
        self.without_record: list[PeerInfo] = []
        """Who was asked for a value and had none."""
        self.providers: dict[PeerId, PeerInfo] = {}
        self.found: PeerInfo | None = None
        """The peer that was sought, with addresses."""
        self.done = False
        self._local = local
        self._sought = sought
        self._waits = waits
        self._wanted, self._quorum, self._radius = wanted, quorum, radius
        self._began = self._ended = now
        self._known: dict[PeerId, _Peer] = {}
        self._order: list[_Peer] = []
        self._running: dict[PeerId, _Peer] = {}
        self._requests = self._answers = self._failures = 0
        for info in seeds:
            self._hear(info, 0)

    # --- input

    def on_answer(self, peer: PeerId, answer: DhtMessage, now: float) -> None:
        """``answer`` is of this look-up's type and key; its addresses are filtered already."""
        known = self._running.pop(peer, None)
        if known is None or self.done:
            return
        known.state = _State.ANSWERED
        self._answers += 1
        if self._sought is not None and self.found is None:
            self.found = next((info for info in answer.closer if info.peer == self._sought and info.addrs), None)
        # #client-behavior: "any newly discovered peers are added to the candidate list"
        fresh = [info for info in answer.closer if info.peer not in self._known]
        if len(fresh) > MAX_LEARNT:
            fresh = nsmallest(MAX_LEARNT, fresh, key=lambda info: position(info.peer.multihash) ^ self.target)
        for info in fresh:
            self._hear(info, known.hops + 1)
        for info in answer.providers:
            self._provide(info)
        if self.request.type is MessageType.GET_VALUE:
            if answer.record is not None:
                self.records.append((peer, answer.record))
            else:
                self.without_record.append(known.info)

    def on_failure(self, peer: PeerId, now: float) -> None:
        # #client-behavior: "Invalid responses and timeouts are simply discarded."
        known = self._running.pop(peer, None)
        if known is not None:
            self._fail(known)

    def _fail(self, known: _Peer) -> None:
        known.state = _State.FAILED
        self._failures += 1
        self._order.remove(known)

    def _provide(self, info: PeerInfo) -> None:
        before = self.providers.get(info.peer)
        if before is None or len(before.addrs) < len(info.addrs):
            self.providers[info.peer] = info

    def _hear(self, info: PeerInfo, hops: int) -> None:
        if info.peer == self._local or info.peer in self._known:
            return
        peer = _Peer(info, position(info.peer.multihash) ^ self.target, hops)
        if len(self._known) >= MAX_HEARD:
            farthest = self._order[-1] if self._order else None
            if farthest is None or farthest < peer or farthest.state is not _State.HEARD:
                return
            self._order.pop()
            del self._known[farthest.info.peer]
        self._known[info.peer] = peer
        insort(self._order, peer)

    # --- output

    def poll(self, now: float) -> list[Ask]:
        """Requests to send now; also checks whether the look-up has ended."""
        if self.done:
            return []
        for peer in list(self._running.values()):
            if now >= peer.deadline:
                del self._running[peer.info.peer]
                self._fail(peer)
            elif peer.state is _State.ASKED and now >= peer.slow_at:
                peer.state = _State.SLOW
        if self._finished(now):
            self.done, self._ended = True, now
            return []
        asks: list[Ask] = []
        busy = sum(peer.state is _State.ASKED for peer in self._running.values())
        for peer in self._nearest():
            if busy + len(asks) >= ALPHA or self._requests >= MAX_REQUESTS:
                break
            if (
                peer.state is _State.HEARD
            ):  # "sending a request to the nearest peer to kid that has not yet been queried"
                peer.state = _State.ASKED
                peer.slow_at = now + self._waits.slow(peer.info.peer)
                peer.deadline = now + self._waits.dead(peer.info.peer)
                self._running[peer.info.peer] = peer
                self._requests += 1
                asks.append(Ask(peer.info, peer.deadline))
        return asks

    def next_deadline(self) -> float | None:
        """When poll() wants to be called at the latest; None once done."""
        if self.done:
            return None
        times = [peer.slow_at if peer.state is _State.ASKED else peer.deadline for peer in self._running.values()]
        return min([*times, self._began + self._waits.longest])

    def _nearest(self) -> list[_Peer]:
        """The peers that count: the K nearest that have not failed, and more of them if their region is crowded."""
        width = K
        if self._radius:
            while width < MAX_WIDTH and width < len(self._order) and self._order[width].distance < self._radius:
                width += 1
        return self._order[:width]

    def _finished(self, now: float) -> bool:
        # #content-provider-lookup: "Clients MAY terminate the lookup early if they are satisfied"
        if self._wanted and len(self.providers) >= self._wanted:
            return True
        # #quorum: "the minimum number of distinct responses a client must collect [...] to determine a valid result"
        if self._quorum and len(self.records) >= self._quorum:
            return True
        if self.found is not None:
            return True
        if now >= self._began + self._waits.longest:
            return True
        nearest = self._nearest()
        pending = [peer for peer in nearest if peer.state in (_State.HEARD, _State.ASKED)]
        if self._requests >= MAX_REQUESTS:
            pending = [peer for peer in pending if peer.state is _State.ASKED]
        if pending:
            return False
        # #termination: "until the beta closest reachable peers to kid have been queried"; "if all candidate peers have
        # been queried without discovering any new ones, the lookup MUST terminate". Here all of the width must have
        # answered, or be slow.
        slow = any(peer.state is _State.SLOW for peer in nearest[:BETA])
        return not slow or not self._running

    # --- the result

    def closest(self, count: int = K) -> list[PeerInfo]:
        """The nearest peers that answered, nearest first."""
        return [peer.info for peer in self._order if peer.state is _State.ANSWERED][:count]

    def holders(self) -> list[PeerInfo]:
        """Where a record of this key belongs: the K nearest, and all of a crowded region."""
        return [peer.info for peer in self._nearest() if peer.state is _State.ANSWERED]

    def stats(self) -> LookupStats:
        hops = max((peer.hops for peer in self._order[:K] if peer.state is _State.ANSWERED), default=0)
        return LookupStats(self._requests, self._answers, self._failures, hops + 1, self._ended - self._began)
