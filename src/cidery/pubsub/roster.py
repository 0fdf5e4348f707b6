"""The peers that take part in pubsub, and the topics that they follow. Bounded for each of them and in all."""

from __future__ import annotations

from collections.abc import Iterator

from cidery.pubsub.message import FLOODSUB, MESHSUB_1_2
from cidery.pubsub.outbox import Outbox
from cidery.pubsub.parameters import (
    IDONTWANT_TICKS,
    MAX_IDONTWANT,
    MAX_IHAVE,
    MAX_IHAVE_IDS,
    MAX_PEERS,
    MAX_TOPICS,
    MAX_TOPICS_OF_PEER,
)


class Participant:
    """A connected peer that speaks one of the protocols."""

    def __init__(self, protocol: str, *, outbound: bool) -> None:
        self.meshes = protocol != FLOODSUB
        self.says_idontwant = protocol == MESHSUB_1_2
        self.outbound = outbound
        """Whether we have dialled it: an attacker cannot make us do so."""
        self.outbox = Outbox()
        self.topics: set[str] = set()
        self.unwanted: dict[bytes, int] = {}
        """Ids that it has already -> heartbeats left."""
        self._ihave = self._asked = self._unwanted_now = 0

    def may_offer(self) -> int:
        """One more IHAVE has come: how many of its ids may be asked for."""
        self._ihave += 1
        return MAX_IHAVE_IDS - self._asked if self._ihave <= MAX_IHAVE else 0

    def asked(self, count: int) -> None:
        self._asked += count

    def wants_not(self, ids: list[bytes]) -> None:
        for one in ids[: MAX_IDONTWANT - self._unwanted_now]:
            self._unwanted_now += 1
            self.unwanted[one] = IDONTWANT_TICKS
            self.outbox.refused(one)

    def tick(self) -> None:
        """At each heartbeat."""
        self._ihave = self._asked = self._unwanted_now = 0
        self.unwanted = {one: ticks - 1 for one, ticks in self.unwanted.items() if ticks > 1}


class Roster:
    """See the module's text. Peers are multihashes of their ids."""

    def __init__(self) -> None:
        self.peers: dict[bytes, Participant] = {}
        self.followers: dict[str, dict[bytes, None]] = {}
        """Topic -> peers; forgotten with its last one."""
        self._count = 0

    def add(self, peer: bytes, protocol: str, *, outbound: bool) -> Participant | None:
        """None: there are too many, or it is here already."""
        if peer in self.peers or len(self.peers) >= MAX_PEERS:
            return None
        made = self.peers[peer] = Participant(protocol, outbound=outbound)
        return made

    def remove(self, peer: bytes) -> None:
        known = self.peers.get(peer)
        if known is not None:
            for topic in list(known.topics):
                self.unfollow(peer, topic)
            del self.peers[peer]

    def follow(self, peer: bytes, topic: str) -> bool:
        """False if that is too much."""
        known = self.peers[peer]
        if topic in known.topics:
            return True
        if len(known.topics) >= MAX_TOPICS_OF_PEER or self._count >= MAX_TOPICS:
            return False
        known.topics.add(topic)
        self.followers.setdefault(topic, {})[peer] = None
        self._count += 1
        return True

    def unfollow(self, peer: bytes, topic: str) -> None:
        known = self.peers[peer]
        if topic in known.topics:
            known.topics.remove(topic)
            self._count -= 1
            followers = self.followers[topic]
            del followers[peer]
            if not followers:
                del self.followers[topic]

    def following(self, topic: str) -> Iterator[tuple[bytes, Participant]]:
        """The peers that follow a topic."""
        for peer in self.followers.get(topic, ()):
            yield peer, self.peers[peer]
