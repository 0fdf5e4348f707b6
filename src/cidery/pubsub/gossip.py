"""Gossipsub, without its IO: what arrives goes in with the time, what is to be sent waits in a bounded box per peer.

::

    add_peer, remove_peer, subscribe, unsubscribe, publish, on_rpc, heartbeat(now)
        ->  ready: peers for which something waits; take(peer): the next RPC for one

Spec: https://github.com/libp2p/specs/blob/master/pubsub/gossipsub/gossipsub-v1.1.md, and v1.2 for IDONTWANT
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from random import Random

from cidery.errors import LimitExceeded
from cidery.pubsub.history import History, Seen
from cidery.pubsub.mesh import Mesh
from cidery.pubsub.message import Message, Rpc
from cidery.pubsub.parameters import (
    GOSSIP_FACTOR,
    IDONTWANT_BYTES,
    IWANT_SECONDS,
    LAZY_DEGREE,
    MAX_IHAVE_IDS,
    MAX_OWN_TOPICS,
    MAX_PROMISED,
    MAX_PROMISES,
)
from cidery.pubsub.roster import Participant, Roster
from cidery.pubsub.scores import GOSSIP_THRESHOLD, GRAYLIST_THRESHOLD, PUBLISH_THRESHOLD, Scores


class TooManyTopics(LimitExceeded):
    """MAX_OWN_TOPICS are followed already."""

    def __str__(self) -> str:
        return f"this node follows {MAX_OWN_TOPICS} topics already; end some subscriptions first"


class Verdict(Enum):
    """What becomes of a message."""

    ACCEPT = "accept"
    """It is handed out and passed on."""
    IGNORE = "ignore"
    """It is neither; nobody is to blame."""
    REJECT = "reject"
    """It is neither, and held against who sent it."""


class Gossip:
    """One node's part. Peers are multihashes of their ids, times are seconds of any clock.

    ``check``: judges each message of a topic that is followed, once. ``chance``: all choices are made with it.
    """

    def __init__(self, local: bytes, check: Callable[[Message], Verdict], chance: Random) -> None:
        self.ready: dict[bytes, None] = {}
        """Peers for which something waits."""
        self.duplicates = self.accepted = self.rejected = 0
        """Messages that came."""
        self.roster = Roster()
        self.scores = Scores()
        self.seen = Seen()
        self._local = local
        self._check = check
        self._chance = chance
        self._mesh = Mesh(self.roster, self.scores, chance, self._touch)
        self._history = History()
        self._promises: dict[bytes, dict[bytes, float]] = {}
        """Id -> peers that were asked for it, and until when they have time."""

    # --- peers and topics

    def add_peer(self, peer: bytes, protocol: str, address: str, now: float, *, outbound: bool) -> bool:
        """A peer can be written to; False: it is passed over. ``address``: its IP address, "" if that says nothing."""
        known = self.roster.add(peer, protocol, outbound=outbound)
        if known is None:
            return False
        self.scores.add(peer, address, now)
        self.greet(peer)
        return True

    def greet(self, peer: bytes) -> None:
        """Tell a peer (again, on a new stream) what this node follows."""
        if (known := self.roster.peers.get(peer)) is not None:
            for topic in self._mesh.links:
                known.outbox.subscription(topic, True)
                self._touch(peer)

    def remove_peer(self, peer: bytes, now: float) -> None:
        if peer in self.roster.peers:
            self._mesh.gone(peer)
            self.scores.remove(peer, now)
            self.roster.remove(peer)
            self.ready.pop(peer, None)

    @property
    def topics(self) -> list[str]:
        """Those that this node follows."""
        return list(self._mesh.links)

    def followers(self, topic: str | None = None) -> list[bytes]:
        """The peers that follow a topic; None: any peer that takes part."""
        return list(self.roster.peers if topic is None else self.roster.followers.get(topic, ()))

    def links(self, topic: str) -> list[bytes]:
        """The peers in the mesh of a topic."""
        return list(self._mesh.links.get(topic, ()))

    def subscribe(self, topic: str, now: float) -> None:
        """Raises TooManyTopics."""
        if topic in self._mesh.links:
            return
        if len(self._mesh.links) >= MAX_OWN_TOPICS:
            raise TooManyTopics
        self._announce(topic, True)
        self._mesh.join(topic, now)

    def unsubscribe(self, topic: str, now: float) -> None:
        if topic in self._mesh.links:
            self._announce(topic, False)
            self._mesh.leave(topic, now)

    def _announce(self, topic: str, on: bool) -> None:
        for peer, known in self.roster.peers.items():
            known.outbox.subscription(topic, on)
            self._touch(peer)

    def take(self, peer: bytes) -> Rpc:
        """The next RPC for a peer, empty if there is none; it leaves ``ready`` with the last one."""
        known = self.roster.peers.get(peer)
        if known is None:
            return Rpc()
        rpc = known.outbox.take()
        if not known.outbox:
            self.ready.pop(peer, None)
        return rpc

    def offered(self) -> dict[bytes, bytes]:
        """Peers that others named -> signed record; each is returned once."""
        found, self._mesh.offered = self._mesh.offered, {}
        return found

    def _touch(self, peer: bytes) -> None:
        self.ready[peer] = None

    # --- messages

    def publish(self, message: Message, now: float) -> int:
        """Send a message of our own to every peer that follows its topic; returns to how many.

        "Flood publishing": an attacker that has taken over the mesh cannot keep our messages back.
        """
        self.seen.add(message, now)
        self._history.add(message)
        sent = 0
        for peer, known in self.roster.following(message.topic):
            if self.scores.score(peer, now) >= PUBLISH_THRESHOLD:
                sent += self._send(peer, known, message)
        return sent

    def _send(self, peer: bytes, known: Participant, message: Message) -> bool:
        taken = known.outbox.message(message)
        self._touch(peer)
        return taken

    def on_rpc(self, peer: bytes, rpc: Rpc, now: float) -> list[Message]:
        """What a peer sent; returns the messages to hand out."""
        known = self.roster.peers.get(peer)
        if known is None or self.scores.score(peer, now) < GRAYLIST_THRESHOLD:
            return []
        self._on_subscriptions(peer, rpc.subscriptions, now)
        known.wants_not(rpc.idontwant)
        for topic in rpc.graft:
            self._mesh.on_graft(peer, topic, now)
        for prune in rpc.prune:
            self._mesh.on_prune(peer, prune, now)
        accepted = [message for message in rpc.messages if self._on_message(peer, message, now)]
        if rpc.ihave or rpc.iwant:
            self._on_gossip(peer, known, rpc, now)
        return accepted

    def _on_subscriptions(self, peer: bytes, subscriptions: list[tuple[bool, str]], now: float) -> None:
        excess = False
        for on, topic in subscriptions:
            if on:
                if self.roster.follow(peer, topic):
                    self._mesh.followed(peer, topic, now)
                else:
                    excess = True
            else:
                self.roster.unfollow(peer, topic)
                self._mesh.unfollowed(peer, topic)
        if excess:
            self.scores.misbehaved(peer)

    def _on_message(self, peer: bytes, message: Message, now: float) -> bool:
        if message.topic not in self._mesh.links or message.author == self._local:
            return False
        if self.seen.knows(message.id):
            self.duplicates += 1
            self.seen.again(message.id, now)
            if (topic := self._history.carried(message.id, peer)) is not None:
                self.scores.brought(peer, topic, first=False)
            return False
        if self.seen.is_old(message):
            return False
        verdict = self._check(message)
        if verdict is Verdict.REJECT:
            self.rejected += 1
            self.scores.invalid(peer)
            return False  # its id stays unknown: others may send the message that has it by right
        self.seen.add(message, now)
        if verdict is Verdict.IGNORE:
            self._promises.pop(message.id, None)
            return False
        self.accepted += 1
        self._pass_on(peer, message)
        return True

    def _pass_on(self, peer: bytes, message: Message) -> None:
        topic = message.topic
        self._history.add(message)
        self._history.carried(message.id, peer)
        self.scores.brought(peer, topic, first=True)
        links = self._mesh.links[topic]
        asked = self._promises.pop(message.id, None)
        if asked is not None and peer in asked:
            self.scores.promised(peer, kept=True)
            for link in links:
                self.scores.missed(link, topic)
        for other, known in self.roster.following(topic):
            if other == peer or other == message.author or (known.meshes and other not in links):
                continue
            if known.says_idontwant and len(message.data) >= IDONTWANT_BYTES:
                known.outbox.idontwant(message.id)
            if message.id not in known.unwanted:
                self._send(other, known, message)

    # --- gossip

    def _on_gossip(self, peer: bytes, known: Participant, rpc: Rpc, now: float) -> None:
        if self.scores.score(peer, now) < GOSSIP_THRESHOLD:
            return
        for topic, ids in rpc.ihave:
            room = known.may_offer()
            if topic in self._mesh.links and room > 0:
                self._on_ihave(peer, known, ids[:room], now)
        asked = dict.fromkeys(rpc.iwant[:MAX_IHAVE_IDS])
        for message_id in asked:
            message = self._history.asked(message_id, peer)
            if message is not None and message_id not in known.unwanted:
                self._send(peer, known, message)

    def _on_ihave(self, peer: bytes, known: Participant, ids: list[bytes], now: float) -> None:
        wanted = []
        for one in ids:
            if self.seen.knows(one) or len(self._promises) >= MAX_PROMISED:
                continue
            asked = self._promises.setdefault(one, {})
            if peer not in asked and len(asked) < MAX_PROMISES:
                asked[peer] = now + IWANT_SECONDS
                wanted.append(one)
        if wanted:
            self._chance.shuffle(wanted)
            known.outbox.iwant(wanted)
            known.asked(len(wanted))
            self._touch(peer)

    def heartbeat(self, now: float) -> None:
        """Once a HEARTBEAT: scores, mesh, gossip, and what is to be forgotten."""
        self._broken_promises(now)
        self.scores.decay(now)
        self._mesh.maintain(now)
        self._emit_gossip(now)
        self._history.shift()
        self.seen.expire(now)
        for known in self.roster.peers.values():
            known.tick()

    def _broken_promises(self, now: float) -> None:
        """Note who offered messages and did not send them."""
        for one, asked in list(self._promises.items()):
            for peer in [peer for peer, until in asked.items() if until <= now]:
                del asked[peer]
                self.scores.promised(peer, kept=False)
            if not asked:
                del self._promises[one]

    def _emit_gossip(self, now: float) -> None:
        for topic, links in self._mesh.links.items():
            ids = self._history.ids(topic)
            if not ids:
                continue
            others = [
                peer
                for peer, known in self.roster.following(topic)
                if known.meshes and peer not in links and self.scores.score(peer, now) >= GOSSIP_THRESHOLD
            ]
            count = max(LAZY_DEGREE, int(len(others) * GOSSIP_FACTOR))
            for peer in self._chance.sample(others, min(count, len(others))):
                # each hears of other ids when there are more than it may be told
                told = ids if len(ids) <= MAX_IHAVE_IDS else self._chance.sample(ids, MAX_IHAVE_IDS)
                self.roster.peers[peer].outbox.ihave(topic, told)
                self._touch(peer)
