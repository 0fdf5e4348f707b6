"""The meshes: for each topic that this node follows, some peers that exchange its messages at once.

Spec: https://github.com/libp2p/specs/blob/master/pubsub/gossipsub/gossipsub-v1.1.md
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from cidery.pubsub.message import Offered, Prune
from cidery.pubsub.parameters import (
    BACKOFF,
    DEGREE,
    DEGREE_HIGH,
    DEGREE_LOW,
    DEGREE_OUT,
    DEGREE_SCORE,
    GRAFT_FLOOD,
    MAX_BACKOFF,
    MAX_BACKOFFS,
    MAX_EXCHANGED,
    MAX_OFFERED,
    OPPORTUNISTIC_PEERS,
    OPPORTUNISTIC_TICKS,
    UNSUBSCRIBE_BACKOFF,
)
from cidery.pubsub.roster import Participant, Roster
from cidery.pubsub.scores import EXCHANGE_THRESHOLD, OPPORTUNISTIC_THRESHOLD, Scores


class Mesh:
    """The links of this node. ``touched`` is called with each peer for which something waits."""

    def __init__(self, roster: Roster, scores: Scores, chance: Random, touched: Callable[[bytes], None]) -> None:
        self.links: dict[str, dict[bytes, None]] = {}
        """By topic; those that this node follows and no others."""
        self.offered: dict[bytes, bytes] = {}
        """Peers that others named -> signed record."""
        self._roster = roster
        self._scores = scores
        self._chance = chance
        self._touched = touched
        self._backoffs: dict[tuple[str, bytes], float] = {}
        self._ticks = 0

    def join(self, topic: str, now: float) -> None:
        self.links[topic] = {}
        for peer in self._candidates(topic, now)[:DEGREE]:
            self._graft(topic, peer, now)

    def leave(self, topic: str, now: float) -> None:
        for peer in list(self.links[topic]):
            self._prune(topic, peer, now, UNSUBSCRIBE_BACKOFF)
        del self.links[topic]

    def gone(self, peer: bytes) -> None:
        """A peer has left. Its back-offs stay."""
        for topic in self.links:
            self.unfollowed(peer, topic)

    def unfollowed(self, peer: bytes, topic: str) -> None:
        links = self.links.get(topic)
        if links is not None and peer in links:
            del links[peer]
            self._scores.unlinked(peer, topic)

    def followed(self, peer: bytes, topic: str, now: float) -> None:
        """A peer has begun to follow a topic: a small mesh takes it at once, not at the next heartbeat."""
        links = self.links.get(topic)
        if links is not None and len(links) < DEGREE and peer in self._candidates(topic, now):
            self._graft(topic, peer, now)

    def on_graft(self, peer: bytes, topic: str, now: float) -> None:
        """A peer asks for a link."""
        links, known = self.links.get(topic), self._roster.peers[peer]
        # "if the topic is not known, the router ignores the GRAFT": an answer would be an amplification
        if links is None or peer in links or topic not in known.topics or not known.meshes:
            return
        until = self._backoffs.get((topic, peer), 0.0)
        if now < until:
            # "the GRAFT is rejected, and the peer is penalised": the link was ended, and it knows for how long
            self._scores.misbehaved(peer, 2 if now < until - BACKOFF + GRAFT_FLOOD else 1)
        elif self._scores.score(peer, now) >= 0 and (len(links) < DEGREE_HIGH or known.outbound):
            links[peer] = None
            self._scores.linked(peer, topic, now)
            return
        self._refuse(topic, peer, now, BACKOFF)

    def on_prune(self, peer: bytes, prune: Prune, now: float) -> None:
        """A peer ends a link, and may name others."""
        links = self.links.get(prune.topic)
        if links is None:
            return
        linked = peer in links
        self.unfollowed(peer, prune.topic)
        seconds = BACKOFF if prune.backoff is None else min(float(prune.backoff), MAX_BACKOFF)
        self._back_off(prune.topic, peer, now + seconds)
        if linked and self._scores.score(peer, now) >= EXCHANGE_THRESHOLD:
            self._note_offered(prune.peers)

    def _note_offered(self, peers: tuple[Offered, ...]) -> None:
        for one in peers[:MAX_EXCHANGED]:
            # without a signed record it could be anybody's address: such are not dialled
            if one.record and one.peer not in self._roster.peers and len(self.offered) < MAX_OFFERED:
                self.offered[one.peer] = one.record

    def maintain(self, now: float) -> None:
        """At each heartbeat."""
        self._ticks += 1
        self._backoffs = {key: until for key, until in self._backoffs.items() if until > now}
        for topic in self.links:
            self._maintain(topic, now)

    def _maintain(self, topic: str, now: float) -> None:
        links = self.links[topic]
        for peer in [peer for peer in links if self._scores.score(peer, now) < 0]:
            self._prune(topic, peer, now, BACKOFF)
        if len(links) < DEGREE_LOW:
            for peer in self._candidates(topic, now)[: DEGREE - len(links)]:
                self._graft(topic, peer, now)
        elif len(links) > DEGREE_HIGH:
            for peer in self._superfluous(links, now):
                self._prune(topic, peer, now, BACKOFF)
        if len(links) >= DEGREE_LOW:
            outbound = sum(self._roster.peers[peer].outbound for peer in links)
            if outbound < DEGREE_OUT:
                for peer in self._candidates(topic, now, dialled=True)[: DEGREE_OUT - outbound]:
                    self._graft(topic, peer, now)
        if self._ticks % OPPORTUNISTIC_TICKS == 0 and len(links) > 1:
            self._look_for_better(topic, now)

    def _look_for_better(self, topic: str, now: float) -> None:
        scores = sorted(self._scores.score(peer, now) for peer in self.links[topic])
        median = scores[len(scores) // 2]
        if median < OPPORTUNISTIC_THRESHOLD:
            better = [one for one in self._candidates(topic, now) if self._scores.score(one, now) > median]
            for peer in better[:OPPORTUNISTIC_PEERS]:
                self._graft(topic, peer, now)

    def _superfluous(self, links: dict[bytes, None], now: float) -> list[bytes]:
        """The links to end: not the best ones, and not the last that we have dialled."""
        peers = list(links)
        self._chance.shuffle(peers)
        peers.sort(key=lambda peer: self._scores.score(peer, now), reverse=True)
        rest = peers[DEGREE_SCORE:]
        self._chance.shuffle(rest)
        kept = peers[:DEGREE_SCORE]
        wanting = DEGREE_OUT - sum(self._roster.peers[peer].outbound for peer in kept)
        dialled = [peer for peer in rest if self._roster.peers[peer].outbound][: max(0, wanting)]
        return [*(peer for peer in rest if peer not in dialled)][DEGREE - DEGREE_SCORE - len(dialled) :]

    def _candidates(self, topic: str, now: float, *, dialled: bool = False) -> list[bytes]:
        """Peers that could be linked, in any order. ``dialled``: only those that we have dialled."""
        links = self.links[topic]

        def fits(peer: bytes, known: Participant) -> bool:
            if not known.meshes or (dialled and not known.outbound) or peer in links or (topic, peer) in self._backoffs:
                return False
            return self._scores.score(peer, now) >= 0

        found = [peer for peer, known in self._roster.following(topic) if fits(peer, known)]
        self._chance.shuffle(found)
        return found

    def _graft(self, topic: str, peer: bytes, now: float) -> None:
        self.links[topic][peer] = None
        self._scores.linked(peer, topic, now)
        self._roster.peers[peer].outbox.graft(topic)
        self._touched(peer)

    def _prune(self, topic: str, peer: bytes, now: float, seconds: float) -> None:
        self.unfollowed(peer, topic)
        self._refuse(topic, peer, now, seconds)

    def _refuse(self, topic: str, peer: bytes, now: float, seconds: float) -> None:
        self._back_off(topic, peer, now + seconds)
        self._roster.peers[peer].outbox.prune(Prune(topic, backoff=int(seconds)))
        self._touched(peer)

    def _back_off(self, topic: str, peer: bytes, until: float) -> None:
        if len(self._backoffs) < MAX_BACKOFFS or (topic, peer) in self._backoffs:
            self._backoffs[topic, peer] = max(until, self._backoffs.get((topic, peer), 0.0))
