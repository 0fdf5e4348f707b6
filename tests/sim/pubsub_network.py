"""Many Gossip machines in virtual time: frames take a while, some are lost, some nodes are hostile.

A lost frame loses its messages and its gossip. Subscriptions and mesh links arrive: on a stream they cannot be lost
without its end. Hostile nodes take part in every mesh that lets them, pass nothing on, offer messages that they do not
have, send invalid ones, and ask for links that were ended.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from random import Random
from typing import NamedTuple

from cidery.pubsub.gossip import Gossip, Verdict
from cidery.pubsub.message import MESHSUB_1_2, Message, Rpc
from cidery.pubsub.parameters import HEARTBEAT

TOPIC = "weather"
INVALID = b"invalid"
MIN_DELAY, MAX_DELAY = 0.03, 0.07
"""Seconds that a frame takes. With a wider spread the first copy comes by more hops, and still sooner."""


class Outcome(NamedTuple):
    """What became of the messages."""

    delivered: float
    """Share of (message, honest node) that came."""
    hops: int
    """Within which 99.9 % of them came."""
    within: float
    """Share of all that came within 6 hops."""
    redundancy: float
    """Copies that an honest node received of a message beyond the first."""
    mesh_of_hostile: float
    """Share of the honest nodes' mesh links that lead to hostile ones, at the end."""
    seconds: float
    """Longest time to a delivery."""


def judge(message: Message) -> Verdict:
    return Verdict.REJECT if message.data.startswith(INVALID) else Verdict.ACCEPT


class PubsubNetwork:
    """``nodes`` of which a share is ``hostile``, each with some ``degree`` connections."""

    def __init__(self, nodes: int, *, degree: int, loss: float, hostile: float, seed: int) -> None:
        self.random = Random(seed)
        self.loss = loss
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = 0
        self.nodes = [Gossip(i.to_bytes(4), judge, Random(self.random.getrandbits(64))) for i in range(nodes)]
        self.hostile = set(self.random.sample(range(nodes), int(nodes * hostile)))
        self.honest = [i for i in range(nodes) if i not in self.hostile]
        self.neighbours: list[set[int]] = [set() for _ in range(nodes)]
        self.hops: dict[bytes, dict[int, tuple[int, float]]] = {}
        self._flushing: set[int] = set()
        self._connect(degree)
        for i in range(nodes):
            self.nodes[i].subscribe(TOPIC, 0.0)
            self.at(self.random.random(), lambda i=i: self._beat(i))  # type: ignore[misc]
            self._flush(i)

    def _connect(self, degree: int) -> None:
        count = len(self.nodes)
        for i in range(count):
            for other in self.random.sample(range(count), degree // 2):
                if other != i and other not in self.neighbours[i]:
                    self.neighbours[i].add(other)
                    self.neighbours[other].add(i)
                    self.nodes[i].add_peer(other.to_bytes(4), MESHSUB_1_2, "", 0.0, outbound=True)
                    self.nodes[other].add_peer(i.to_bytes(4), MESHSUB_1_2, "", 0.0, outbound=False)

    def at(self, when: float, what: Callable[[], None]) -> None:
        self._order += 1
        heapq.heappush(self._events, (when, self._order, what))

    def run(self, until: float) -> None:
        while self._events and self._events[0][0] <= until:
            self.now, _, what = heapq.heappop(self._events)
            what()
        self.now = until

    def _beat(self, i: int) -> None:
        self.nodes[i].heartbeat(self.now)
        if i in self.hostile:
            self._attack(i)
        self._flush(i)
        self.at(self.now + HEARTBEAT, lambda: self._beat(i))

    def _attack(self, i: int) -> None:
        for other in self.random.sample(sorted(self.neighbours[i]), min(3, len(self.neighbours[i]))):
            lies = [self.random.randbytes(12) for _ in range(20)]
            rpc = Rpc(ihave=[(TOPIC, lies)], graft=[TOPIC])
            if self.random.random() < 0.2:
                rpc.messages.append(Message(i.to_bytes(4), INVALID + bytes(8), self.random.randbytes(8), TOPIC))
            self._deliver(i, other, rpc)

    def _flush(self, i: int) -> None:
        if i not in self._flushing:
            self._flushing.add(i)
            self.at(self.now, lambda: self._send_all(i))

    def _send_all(self, i: int) -> None:
        self._flushing.discard(i)
        node = self.nodes[i]
        for peer in list(node.ready):
            while peer in node.ready:
                rpc = node.take(peer)
                if i in self.hostile:
                    rpc.messages.clear()
                self._deliver(i, int.from_bytes(peer), rpc)

    def _deliver(self, source: int, target: int, rpc: Rpc) -> None:
        if self.random.random() < self.loss:
            rpc.messages, rpc.ihave, rpc.iwant, rpc.idontwant = [], [], [], []
        delay = self.random.uniform(MIN_DELAY, MAX_DELAY)
        self.at(self.now + delay, lambda: self._receive(source, target, rpc))

    def _receive(self, source: int, target: int, rpc: Rpc) -> None:
        for message in self.nodes[target].on_rpc(source.to_bytes(4), rpc, self.now):
            known = self.hops.get(message.id)
            if known is not None:
                known[target] = (known.get(source, (0, 0.0))[0] + 1, self.now)
        if self.nodes[target].ready:
            self._flush(target)

    def publish(self, data: bytes) -> None:
        author = self.random.choice(self.honest)
        message = Message(author.to_bytes(4), data, int(self.now * 1e6).to_bytes(8), TOPIC)
        self.hops[message.id] = {author: (0, self.now)}
        self.nodes[author].publish(message, self.now)
        self._flush(author)

    def trial(self, messages: int, *, settle: float = 10.0, every: float = 0.5, after: float = 10.0) -> Outcome:
        """Let the mesh form, publish, wait; all in virtual seconds."""
        self.run(settle)
        before = sum(self.nodes[i].duplicates for i in self.honest)
        for n in range(messages):
            self.publish(n.to_bytes(4) + self.random.randbytes(64))
            self.run(self.now + every)
        self.run(self.now + after)
        honest = set(self.honest)
        arrived: list[tuple[int, float]] = []
        for known in self.hops.values():
            begun = min(at for _, at in known.values())
            arrived += [(hops, at - begun) for node, (hops, at) in known.items() if node in honest and hops]
        total = len(self.hops) * (len(honest) - 1)
        counts = sorted(hops for hops, _ in arrived)
        links = [int.from_bytes(peer) in self.hostile for i in self.honest for peer in self.nodes[i].links(TOPIC)]
        return Outcome(
            delivered=len(arrived) / total,
            hops=counts[min(len(counts) - 1, int(total * 0.999))],
            within=sum(hops <= 6 for hops in counts) / total,
            redundancy=(sum(self.nodes[i].duplicates for i in self.honest) - before) / total,
            mesh_of_hostile=sum(links) / max(1, len(links)),
            seconds=max(at for _, at in arrived),
        )
