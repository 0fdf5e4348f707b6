"""What is held for and against a peer. Below a threshold it loses its mesh links, then the rest.

The mesh's deliveries are judged by what went wrong: each time that a message had to be asked for after gossip, the
links of its mesh had not brought it. A link that never brings anything is found so in a quiet topic too, and an honest
one at the far end of the mesh, which has nothing to bring, is not punished for that.

Spec: https://github.com/libp2p/specs/blob/master/pubsub/gossipsub/gossipsub-v1.1.md#peer-scoring
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

GOSSIP_THRESHOLD = -10.0
"""Below: no gossip goes to the peer, and none from it is heeded."""
PUBLISH_THRESHOLD = -50.0
"""Below: our own messages are not sent to it."""
GRAYLIST_THRESHOLD = -80.0
"""Below: nothing of it is read."""
EXCHANGE_THRESHOLD = 0.0
"""Below: the peers that it names are not dialled."""
OPPORTUNISTIC_THRESHOLD = 1.0
"""A mesh whose median is below looks for better links."""

MESH_TIME_WEIGHT, MESH_TIME_CAP = 0.01, 100.0
"""P1, seconds in the mesh."""
FIRST_WEIGHT, FIRST_CAP = 0.5, 20.0
"""P2, messages that it brought first."""
MESH_WEIGHT, MESH_FREE, MESH_CREDIT = -1.0, 3.0, 4.0
"""P3, messages that its mesh missed: those that are free, and how many each message that it brought makes good."""
INVALID_WEIGHT = -10.0
"""P4, messages that are invalid, squared: three are too many."""
COLOCATION_WEIGHT, COLOCATION_FREE = -5.0, 10
"""P6, peers of one address beyond the free ones, squared."""
BEHAVIOUR_WEIGHT, BEHAVIOUR_FREE = -5.0, 2.0
"""P7, squared: GRAFTs within the back-off, floods, and promises not kept as below."""
PROMISE_FREE, PROMISE_CREDIT = 5.0, 2.0
"""Promises that a peer need not keep, and how many more for each that it kept: its answers may be late."""
DECAY, FAULT_DECAY = 0.98, 0.995
"""Of counters, at each heartbeat: halves in half a minute; faults in more than two."""
DECAY_TO_ZERO = 0.01
RETAIN_SECONDS = 600.0
"""For which a peer that leaves with a bad score is remembered, so that coming again does not clear it."""
MAX_RETAINED = 4096
"""Remembered so; the one that left first goes first."""


@dataclass(slots=True)
class _Link:
    """What a peer did for the mesh of one topic."""

    since: float
    brought: float = 0.0
    missed: float = 0.0

    @property
    def deficit(self) -> float:
        return max(0.0, self.missed - MESH_CREDIT * self.brought - MESH_FREE)


@dataclass(slots=True)
class _Record:
    address: str = ""
    """Its IP address; "" if that says nothing."""
    first: float = 0.0
    invalid: float = 0.0
    behaviour: float = 0.0
    kept: float = 0.0
    broken: float = 0.0
    """Promises to send what it had offered."""
    failures: float = 0.0
    """P3b, deficits squared of links that ended."""
    links: dict[str, _Link] = field(default_factory=dict)


class Scores:
    """Of all peers of one node."""

    def __init__(self) -> None:
        self._records: dict[bytes, _Record] = {}
        self._at: Counter[str] = Counter()
        self._left: dict[bytes, tuple[float, _Record]] = {}
        self._known: dict[bytes, float] = {}
        """Scores at ``_known_at``: a heartbeat asks for each of them many times."""
        self._known_at = 0.0

    def add(self, peer: bytes, address: str, now: float) -> None:
        left = self._left.pop(peer, None)
        record = left[1] if left is not None and left[0] > now else _Record()
        record.address = address
        self._records[peer] = record
        self._known.clear()
        if address:
            self._at[address] += 1

    def remove(self, peer: bytes, now: float) -> None:
        record = self._records.get(peer)
        if record is None:
            return
        for topic in list(record.links):
            self.unlinked(peer, topic)
        bad = self.score(peer, now) < 0
        del self._records[peer]
        self._known.clear()
        if record.address:
            self._at[record.address] -= 1
            if not self._at[record.address]:
                del self._at[record.address]
        if bad:
            record.first = 0.0
            self._left[peer] = (now + RETAIN_SECONDS, record)
            if len(self._left) > MAX_RETAINED:
                del self._left[next(iter(self._left))]

    def linked(self, peer: bytes, topic: str, now: float) -> None:
        if (record := self._of(peer)) is not None:
            record.links[topic] = _Link(now)

    def unlinked(self, peer: bytes, topic: str) -> None:
        record = self._of(peer)
        if record is not None and (link := record.links.pop(topic, None)) is not None:
            record.failures += link.deficit**2  # "sticky": leaving the mesh does not clear it

    def brought(self, peer: bytes, topic: str, *, first: bool) -> None:
        """A valid message came from it, before others or at about the same time."""
        record = self._of(peer)
        if record is None:
            return
        if first:
            record.first = min(FIRST_CAP, record.first + 1)
        if (link := record.links.get(topic)) is not None:
            link.brought += 1

    def missed(self, peer: bytes, topic: str) -> None:
        """A message had to be asked for, though this peer is in the topic's mesh."""
        record = self._of(peer)
        if record is not None and (link := record.links.get(topic)) is not None:
            link.missed += 1

    def invalid(self, peer: bytes) -> None:
        if (record := self._of(peer)) is not None:
            record.invalid += 1

    def misbehaved(self, peer: bytes, count: float = 1.0) -> None:
        if (record := self._of(peer)) is not None:
            record.behaviour += count

    def promised(self, peer: bytes, *, kept: bool) -> None:
        """A peer has sent a message that it had offered, or has not."""
        record = self._of(peer)
        if record is None:
            return
        if kept:
            record.kept += 1
        else:
            record.broken += 1

    def score(self, peer: bytes, now: float) -> float:
        """0.0 for a peer that is not known."""
        record = self._records.get(peer)
        if record is None:
            return 0.0
        if self._known_at != now:
            self._known.clear()
            self._known_at = now
        score = self._known.get(peer)
        if score is None:
            score = self._known[peer] = self._computed(record, now)
        return score

    def _of(self, peer: bytes) -> _Record | None:
        """The record, to be changed."""
        self._known.pop(peer, None)
        return self._records.get(peer)

    def _computed(self, record: _Record, now: float) -> float:
        total = FIRST_WEIGHT * record.first
        for link in record.links.values():
            total += MESH_TIME_WEIGHT * min(now - link.since, MESH_TIME_CAP) + MESH_WEIGHT * link.deficit**2
        total += MESH_WEIGHT * record.failures + INVALID_WEIGHT * record.invalid**2
        crowd = self._at[record.address] - COLOCATION_FREE if record.address else 0
        if crowd > 0:
            total += COLOCATION_WEIGHT * crowd**2
        unkept = max(0.0, record.broken - PROMISE_CREDIT * record.kept - PROMISE_FREE)
        excess = record.behaviour + unkept - BEHAVIOUR_FREE
        return total + BEHAVIOUR_WEIGHT * excess**2 if excess > 0 else total

    def decay(self, now: float) -> None:
        """At each heartbeat."""
        self._known.clear()
        for record in self._records.values():
            record.first = _less(record.first, DECAY)
            record.invalid = _less(record.invalid, FAULT_DECAY)
            record.behaviour = _less(record.behaviour, FAULT_DECAY)
            record.failures = _less(record.failures, FAULT_DECAY)
            record.kept, record.broken = _less(record.kept, FAULT_DECAY), _less(record.broken, FAULT_DECAY)
            for link in record.links.values():
                link.brought, link.missed = _less(link.brought, DECAY), _less(link.missed, DECAY)
        for peer in [peer for peer, (until, _) in self._left.items() if until <= now]:
            del self._left[peer]


def _less(value: float, factor: float) -> float:
    value *= factor
    return value if value > DECAY_TO_ZERO else 0.0
