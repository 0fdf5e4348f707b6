"""A DHT of many nodes in virtual time, over the pure machines alone: tables, look-ups, servers, a heap of events.

A node costs some kilobytes, so that 10,000 fit. Messages are handed over as objects; a link has its latency; a node
that is gone answers nothing. Everything follows from the seed.
"""

from __future__ import annotations

import heapq
import random
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from cidery.identity.peer_id import PeerId
from cidery.kad.io.value_store import MemoryValues
from cidery.kad.key import BITS, K, position, prefix_range
from cidery.kad.message import DhtMessage, KadError, MessageType, PeerInfo
from cidery.kad.network_size import NetworkSize
from cidery.kad.query import Lookup, LookupWaits
from cidery.kad.records import RecordInvalid, Validators
from cidery.kad.routing_table import RoutingTable
from cidery.kad.server import PUBLIC, Server
from cidery.kad.stores import MemoryProviders

SLOW = 2.0
"""Seconds after which a look-up asks somebody else too: what the node's time-outs give at 100 ms of round trip."""
DEAD = 6.0
"""Seconds after which an unanswered request has failed."""


@dataclass
class SimNode:
    """One peer. ``sybil``: it answers with sybils only and keeps no records."""

    info: PeerInfo
    table: RoutingTable
    server: Server
    alive: bool = True
    sybil: bool = False
    joined: bool = True
    size: NetworkSize = field(default_factory=NetworkSize)

    @property
    def peer(self) -> PeerId:
        return self.info.peer


class DhtNetwork:
    """All nodes and the events between them."""

    def __init__(self, seed: int, latency: tuple[float, float] = (0.025, 0.075)) -> None:
        """``latency``: seconds one way, evenly spread between both."""
        self.random = random.Random(seed)
        self.now = 0.0
        self.messages = 0
        self.nodes: dict[PeerId, SimNode] = {}
        self.sybils: list[SimNode] = []
        self._latency = latency
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = 0
        self._sorted: list[tuple[int, PeerId]] = []

    # --- nodes

    def make_node(self, *, sybil: bool = False, multihash: bytes | None = None, net: int | None = None) -> SimNode:
        """A node at a random public address; ``net``: its /16."""
        peer = PeerId(multihash or b"\x00\x24\x08\x01\x12\x20" + self.random.randbytes(32))
        first, second = (
            (self.random.randrange(40, 220), self.random.randrange(256)) if net is None else divmod(net, 256)
        )
        ip = bytes((first, second, self.random.randrange(256), self.random.randrange(1, 255)))
        info = PeerInfo(peer, (b"\x04" + ip + b"\x06\x0f\xa1",))
        table = RoutingTable(peer, diverse=True)
        server = Server(
            table,
            MemoryProviders(),
            MemoryValues(),
            Validators(),
            scopes=PUBLIC,
            addrs_of=lambda peer: self.nodes[peer].info.addrs if peer in self.nodes else (),
            learn=lambda info: None,
        )
        node = self.nodes[peer] = SimNode(info, table, server, sybil=sybil)
        if sybil:
            self.sybils.append(node)
        return node

    def converge(self, nodes: Sequence[SimNode]) -> None:
        """Fill the tables as a network that has run for long would have them: K random peers per bucket."""
        self._sorted = sorted((node.table.at, node.peer) for node in self.nodes.values())
        for node in nodes:
            node.joined = False

    def fill(self, node: SimNode) -> None:
        """Give a converged node its table, when it is first needed."""
        if node.joined:
            return
        node.joined = True
        for shared in range(BITS):
            low, high = prefix_range((node.table.at >> (BITS - shared - 1)) ^ 1, shared + 1)
            first, last = bisect_left(self._sorted, (low,)), bisect_left(self._sorted, (high,))
            inside = range(first, last)
            for at in self.random.sample(inside, min(len(inside), K + 4)):
                node.table.answered(self.nodes[self._sorted[at][1]].info, self.now)
            low, high = prefix_range(node.table.at >> (BITS - shared - 1), shared + 1)
            if bisect_left(self._sorted, (high,)) - bisect_left(self._sorted, (low,)) <= 1:
                return  # nobody is nearer

    def join(self, node: SimNode, through: SimNode) -> None:
        """Enter by a known node: look up one's own place, then one key per bucket. Runs to its end."""
        node.table.answered(through.info, self.now)
        for key in node.table.refresh_keys(self.now, self.random.randbytes):
            self.run_lookup(node, DhtMessage(MessageType.FIND_NODE, key))
        for key in node.table.refresh_keys(self.now, self.random.randbytes)[1:]:
            self.run_lookup(node, DhtMessage(MessageType.FIND_NODE, key))

    def honest(self) -> list[SimNode]:
        return [node for node in self.nodes.values() if node.alive and not node.sybil]

    def kill(self, nodes: Sequence[SimNode]) -> None:
        for node in nodes:
            node.alive = False

    # --- events

    def at(self, when: float, what: Callable[[], None]) -> None:
        self._serial += 1
        heapq.heappush(self._events, (when, self._serial, what))

    def run(self, until: Callable[[], bool]) -> None:
        while not until():
            self.now, _, what = heapq.heappop(self._events)
            what()

    def run_to(self, when: float) -> None:
        """Let everything happen up to a time."""
        while self._events and self._events[0][0] <= when:
            self.now, _, what = heapq.heappop(self._events)
            what()
        self.now = when

    def delay(self) -> float:
        return self.random.uniform(*self._latency)

    # --- requests

    def send(
        self, sender: SimNode, to: PeerInfo, request: DhtMessage, answered: Callable[[DhtMessage | None], None]
    ) -> None:
        """Deliver a request; ``answered`` gets the answer, None for a refusal, and is never called by the dead."""
        self.messages += 1

        def arrive() -> None:
            node = self.nodes.get(to.peer)
            if node is None or not node.alive:
                return
            answer = self._answer(node, sender, request)
            if answer is not None:
                self.messages += 1
            self.at(self.now + self.delay(), lambda: answered(answer) if sender.alive else None)

        self.at(self.now + self.delay(), arrive)

    def _answer(self, node: SimNode, sender: SimNode, request: DhtMessage) -> DhtMessage | None:
        if node.sybil:
            return self._lie(request)
        self.fill(node)
        if not sender.sybil:
            node.table.answered(sender.info, self.now)
        try:
            return node.server.handle(sender.peer, request, self.now)
        except (KadError, RecordInvalid):
            return None

    def _lie(self, request: DhtMessage) -> DhtMessage:
        """The sybils nearest to the key, and nobody else; records are taken and dropped."""
        target = position(request.key)
        nearest = heapq.nsmallest(K, self.sybils, key=lambda one: one.table.at ^ target)
        return DhtMessage(request.type, request.key, closer=[one.info for one in nearest])

    # --- look-ups

    def lookup(self, node: SimNode, request: DhtMessage, done: Callable[[Lookup], None], **goal: int) -> None:
        """Start one; ``done`` gets it when it is over."""
        self.fill(node)
        waits = LookupWaits(slow=lambda peer: SLOW, dead=lambda peer: DEAD)
        seeds = node.table.nearest(position(request.key))
        lookup = Lookup(request, node.peer, seeds, waits, self.now, radius=node.size.radius(), **goal)
        over = False

        def turn() -> None:
            nonlocal over
            if over:
                return
            for ask in lookup.poll(self.now):
                self.send(node, ask.info, request, lambda answer, ask=ask: on_answer(ask.info, answer))
            deadline = lookup.next_deadline()
            if deadline is None:
                over = True
                finish()
            else:
                self.at(max(deadline, self.now), turn)

        def on_answer(info: PeerInfo, answer: DhtMessage | None) -> None:
            if answer is None:
                lookup.on_failure(info.peer, self.now)
                node.table.failed(info.peer)
            else:
                lookup.on_answer(info.peer, answer, self.now)
                node.table.answered(info, self.now)
            turn()

        def finish() -> None:
            node.table.looked_up(lookup.target, self.now)
            if request.type is MessageType.FIND_NODE:
                nearest = lookup.closest()
                node.size.sample([position(info.peer.multihash) ^ lookup.target for info in nearest])
            done(lookup)

        turn()

    def run_lookup(self, node: SimNode, request: DhtMessage, **goal: int) -> Lookup:
        ended: list[Lookup] = []
        self.lookup(node, request, ended.append, **goal)
        self.run(lambda: bool(ended))
        return ended[0]

    def provide(self, node: SimNode, key: bytes) -> Lookup:
        """Look up who is nearest and store a provider record there. Runs to the end of the look-up."""
        lookup = self.run_lookup(node, DhtMessage(MessageType.FIND_NODE, key))
        record = DhtMessage(MessageType.ADD_PROVIDER, key, providers=[node.info])
        for info in lookup.holders():
            self.send(node, info, record, lambda answer: None)
        self.run_to(self.now + 2 * self._latency[1])
        return lookup

    def find(self, node: SimNode, key: bytes) -> Lookup:
        return self.run_lookup(node, DhtMessage(MessageType.GET_PROVIDERS, key), wanted=1)


def converged(seed: int, count: int, *, sybils: int = 0) -> DhtNetwork:
    """A network that has run for long. ``sybils``: of the ``count``."""
    network = DhtNetwork(seed)
    nodes = [network.make_node(sybil=at < sybils) for at in range(count)]
    network.converge([node for node in nodes if not node.sybil])
    return network
