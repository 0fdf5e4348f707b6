"""Records of names by pubsub: a follower of a name hears of a new record within a second.

::

    publish  -> the name's topic -> followers
    a name is looked up -> its topic is followed; the followers met there are asked once for the record they have
    a better one arrives -> the resolver's cache; a worse one goes no further, an invalid one counts against who sent it

Spec: https://specs.ipfs.tech/ipns/ipns-pubsub-router/
"""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import ExitStack

from cidery.errors import CideryError
from cidery.identity.peer_id import PeerId, PeerIdError
from cidery.ipns.name import name_of_routing_key, routing_key
from cidery.ipns.record import IpnsRecord, IpnsRecordError, check
from cidery.libp2p.io.fetch import fetch, serve_fetch
from cidery.libp2p.io.swarm import Swarm
from cidery.pubsub.gossip import Verdict
from cidery.pubsub.message import Message
from cidery.pubsub.service import PubsubService
from cidery.tasks import Tasks

log = logging.getLogger("cidery.namesys")

MAX_NAMES = 500
"""Names that are followed at a time; the one that was asked for longest ago makes room."""
MAX_FETCHES = 16
"""Records asked from followers at a time."""
ASKED_AT_ONCE = 8
"""Followers that are asked when a name begins to be followed."""
FIRST_ANSWER = 1.0
"""Seconds that a look-up waits here for the answers of followers; the other routers are asked meanwhile."""


def topic_of(name: PeerId) -> str:
    """ "/record/" + base64url-unpadded of the routing key."""
    return "/record/" + base64.urlsafe_b64encode(routing_key(name)).rstrip(b"=").decode()


class _Followed:
    """One name."""

    def __init__(self) -> None:
        self.open = ExitStack()
        self.best: IpnsRecord | None = None
        self.own = False
        """Whether it was published here."""
        self.answered = asyncio.Event()
        """Set with the first record, or when all that were asked have answered."""


class PubsubNames:
    """Satisfies routing.interface.ValueRouting for keys under /ipns/. ``now``: nanoseconds since 1970."""

    def __init__(self, pubsub: PubsubService, swarm: Swarm, now: Callable[[], int]) -> None:
        self.on_record: Callable[[PeerId, IpnsRecord], None] = lambda name, record: None
        """Called with each better record that arrives."""
        self._pubsub = pubsub
        self._swarm = swarm
        self._now = now
        self._names: dict[PeerId, _Followed] = {}
        self._by_topic: dict[str, PeerId] = {}
        self._fetching = asyncio.Semaphore(MAX_FETCHES)
        self._waiting = 0
        self._tasks = Tasks()
        serve_fetch(swarm, self._value_of)
        pubsub.on_follower.append(self._on_follower)

    async def close(self) -> None:
        await self._tasks.close()
        for followed in self._names.values():
            followed.open.close()
        self._names.clear()

    def names(self) -> list[PeerId]:
        """Those that are followed."""
        return list(self._names)

    def cancel(self, name: PeerId) -> bool:
        """Stop following a name; False if it was not followed. The next look-up follows it again."""
        followed = self._names.pop(name, None)
        if followed is None:
            return False
        topic = topic_of(name)
        del self._by_topic[topic]
        del self._pubsub.checks[topic]
        followed.open.close()
        return True

    def follow(self, name: PeerId, record: IpnsRecord | None = None) -> None:
        """Hear of new records of a name from now on; ``record``: what is known. Raises TooManyTopics."""
        self._followed(name)
        if record is not None:
            self._take(name, record)

    def _followed(self, name: PeerId) -> _Followed:
        if (known := self._names.pop(name, None)) is not None:
            self._names[name] = known  # asked for last
            return known
        if len(self._names) >= MAX_NAMES:
            self.cancel(next((one for one, known in self._names.items() if not known.own), next(iter(self._names))))
        followed = _Followed()
        topic = topic_of(name)
        self._pubsub.checks[topic] = lambda message: self._judge(name, message)
        try:
            followed.open.enter_context(self._pubsub.subscription(topic, unread=True))
        except CideryError:
            del self._pubsub.checks[topic]
            raise
        self._names[name], self._by_topic[topic] = followed, name
        peers = self._pubsub.peers(topic)[:ASKED_AT_ONCE]
        if peers:
            self._tasks.spawn(self._ask_all(name, followed, peers))
        else:
            followed.answered.set()
        return followed

    def _judge(self, name: PeerId, message: Message) -> Verdict:
        """Of messages of others; our own are not judged."""
        try:
            record = IpnsRecord.decode(message.data)
            record.check_signature(name)
        except IpnsRecordError:
            return Verdict.REJECT
        # one that has expired, or that another has outrun, is nobody's fault: it may have been long on its way
        return Verdict.ACCEPT if self._take(name, record) else Verdict.IGNORE

    def _take(self, name: PeerId, record: IpnsRecord) -> bool:
        """Keep a valid record if it is better than what is known here."""
        followed = self._names.get(name)
        if followed is None or record.is_over(self._now()):
            return False
        if followed.best is not None and record.rank <= followed.best.rank:
            return False
        followed.best = record
        followed.answered.set()
        self.on_record(name, record)
        return True

    def _value_of(self, key: bytes) -> bytes | None:
        """What a peer is answered."""
        try:
            followed = self._names.get(name_of_routing_key(key))
        except PeerIdError:
            return None
        if followed is None or followed.best is None or followed.best.is_over(self._now()):
            return None
        return followed.best.raw

    # --- followers

    def _on_follower(self, peer: PeerId, topic: str) -> None:
        """ "each node, upon a new peer's subscription, fetches the record from it"; it does so from us."""
        name = self._by_topic.get(topic)
        if name is not None and self._waiting < MAX_FETCHES * 8:
            self._tasks.spawn(self._ask(name, peer))

    async def _ask_all(self, name: PeerId, followed: _Followed, peers: list[PeerId]) -> None:
        await asyncio.gather(*(self._ask(name, peer) for peer in peers))
        followed.answered.set()

    async def _ask(self, name: PeerId, peer: PeerId) -> None:
        """Fetch a peer's record; a better one than ours is told to the others."""
        self._waiting += 1
        try:
            async with self._fetching:
                value = await fetch(self._swarm, peer, routing_key(name))
            if value is not None and self._take(name, record := check(value, name, self._now())):
                self._pubsub.publish(topic_of(name), record.raw)
        except (CideryError, TimeoutError) as exc:
            log.debug("the record of a follower: %s", exc)
        finally:
            self._waiting -= 1

    # --- routing.interface.ValueRouting

    async def search_value(self, key: bytes, quorum: int) -> AsyncGenerator[bytes, None]:
        """The best record that followers have; the name is followed from now on. See routing.interface.ValueRouting."""
        try:
            name = name_of_routing_key(key)
        except PeerIdError:
            return
        followed = self._followed(name)
        try:
            async with asyncio.timeout(FIRST_ANSWER):
                await followed.answered.wait()
        except TimeoutError:
            pass
        if followed.best is not None and not followed.best.is_over(self._now()):
            yield followed.best.raw

    async def put_value(self, key: bytes, value: bytes) -> int:
        """Tell the followers; returns how many peers were told. Raises IpnsRecordError."""
        try:
            name = name_of_routing_key(key)
        except PeerIdError:
            return 0  # public keys have no topic
        record = check(value, name, self._now())
        followed = self._followed(name)
        followed.own = True
        if followed.best is None or record.rank > followed.best.rank:
            followed.best = record
            followed.answered.set()
        return self._pubsub.publish(topic_of(name), followed.best.raw)
