"""Pubsub over the swarm: one stream to each peer that takes part, one from it, and a heartbeat.

Streams are one-way: what a peer says comes on a stream that it opens. What waits for a peer is in the machine, bounded,
and written by a task per peer, so a peer that reads slowly delays nobody else.

Spec: https://github.com/libp2p/specs/blob/master/pubsub/README.md#stream-management
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from random import Random

from cidery.errors import CideryError, LimitExceeded
from cidery.identity.envelope import EnvelopeError, open_peer_record
from cidery.identity.peer_id import PeerId
from cidery.libp2p.io.connection import Connection
from cidery.libp2p.io.stream import Stream
from cidery.libp2p.io.swarm import Swarm
from cidery.libp2p.protocols.addresses import Scope, scope_of
from cidery.multiformats.multiaddr import Multiaddr, MultiaddrError
from cidery.pubsub.gossip import Gossip, Verdict
from cidery.pubsub.io.discovery import MAX_LOOKS, meet
from cidery.pubsub.io.subscription import MAX_WAITING, Subscription
from cidery.pubsub.message import MAX_RPC, PROTOCOLS, Message, Rpc
from cidery.pubsub.parameters import DEGREE, FIRST_HEARTBEAT, HEARTBEAT, MAX_OWN_TOPICS
from cidery.pubsub.signing import BadSignature, check_signature, sign
from cidery.routing.interface import FoundPeer, Router
from cidery.tasks import Tasks

log = logging.getLogger("cidery.pubsub")

MAX_DATA = MAX_RPC - 8192
"""Bytes of one published message: with its topic and signature it must fit a frame."""
MAX_UNREAD = 0
"""Messages that wait for nobody."""
AT_A_TIME = 32
"""Messages whose signatures are checked between two turns of the loop."""
MAX_TRIES, RETRY = 4, 1.0
"""Streams that are opened to one connected peer before it is left alone, and seconds before the second, doubling."""
MAX_READERS = 1000
"""Subscriptions of this node at a time."""


class TooLong(LimitExceeded):
    """A message that no peer would take."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size

    def __str__(self) -> str:
        return f"a message of {self.size} bytes, or more: at most {MAX_DATA} can be published; publish a CID instead"


class TooManyReaders(LimitExceeded):
    """MAX_READERS subscriptions are open."""

    def __str__(self) -> str:
        return f"{MAX_READERS} subscriptions are open already; end some first"


class PubsubService:
    """One per node. ``seqno``: of the first message, larger than in any earlier run (nanoseconds since 1970 are)."""

    def __init__(
        self,
        swarm: Swarm,
        *,
        chance: Random,
        seqno: int,
        protocols: tuple[str, ...] = PROTOCOLS,
        router: Router | None = None,
        dial: Callable[[FoundPeer], Awaitable[object]] | None = None,
    ) -> None:
        """``protocols``: PROTOCOLS, or FLOODSUB alone. ``router``, ``dial``: by which followers are met."""
        self.checks: dict[str, Callable[[Message], Verdict]] = {}
        """Topic -> what judges its messages, beside their signatures."""
        self.on_follower: list[Callable[[PeerId, str], None]] = []
        """Called for each peer that has begun to follow a topic of ours."""
        self._swarm = swarm
        self._protocols = protocols
        self._router, self._dial = router, dial
        self._seqno = seqno
        self._gossip = Gossip(swarm.local_peer.multihash, self._judge, chance)
        self._readers: dict[str, dict[Subscription, None]] = {}
        self._looks = asyncio.Semaphore(MAX_LOOKS)
        self._meeting: dict[str, asyncio.Task[None]] = {}
        self._wake: dict[bytes, asyncio.Event] = {}
        self._writers: dict[PeerId, asyncio.Task[None]] = {}
        self._reading: dict[PeerId, Stream] = {}
        self._tasks = Tasks()
        for protocol in protocols:
            swarm.handlers[protocol] = self._receive
        swarm.on_disconnected.append(self._disconnected)

    def start(self) -> None:
        self._tasks.spawn(self._beat())

    async def close(self) -> None:
        for topic in list(self._readers):
            for reader in self._readers[topic]:
                reader.end()
        await self._tasks.close()

    # --- what the node does

    def publish(self, topic: str, data: bytes) -> int:
        """Sign a message and send it to whoever follows the topic; returns to how many peers. Raises TooLong."""
        if len(data) + len(topic.encode()) > MAX_DATA:
            raise TooLong(len(data))
        message = sign(self._swarm.identity, topic, data, self._seqno)
        self._seqno += 1
        sent = self._gossip.publish(message, self._now())
        self._hand_out(message)
        self._flush()
        return sent

    @contextmanager
    def subscription(self, topic: str, *, unread: bool = False) -> Iterator[Subscription]:
        """Follow a topic while the context is open. Raises TooManyTopics, TooManyReaders.

        ``unread``: nobody reads the messages, a check of the topic takes what it wants.
        """
        if sum(map(len, self._readers.values())) >= MAX_READERS:
            raise TooManyReaders
        self._gossip.subscribe(topic, self._now())
        reader = Subscription(topic, MAX_UNREAD if unread else MAX_WAITING)
        self._readers.setdefault(topic, {})[reader] = None
        if topic not in self._meeting and self._router is not None and self._dial is not None:
            enough = partial(self._has_enough, topic)
            work = meet(topic, self._router, self._dial, enough, self._swarm.clock, self._looks)
            self._meeting[topic] = self._tasks.spawn(work)
        self._flush()
        try:
            yield reader
        finally:
            del self._readers[topic][reader]
            if not self._readers[topic]:
                del self._readers[topic]
                if (meeting := self._meeting.pop(topic, None)) is not None:
                    meeting.cancel()
                self._gossip.unsubscribe(topic, self._now())
                self._flush()

    def _has_enough(self, topic: str) -> bool:
        return len(self.peers(topic)) >= DEGREE

    def topics(self) -> list[str]:
        """Those that are followed here; at most MAX_OWN_TOPICS."""
        assert len(self._gossip.topics) <= MAX_OWN_TOPICS  # subscribe() sees to it
        return self._gossip.topics

    def peers(self, topic: str | None = None) -> list[PeerId]:
        """Connected peers that follow a topic; None: any that take part."""
        return [PeerId(peer) for peer in self._gossip.followers(topic)]

    def value_of(self, peer: PeerId) -> int:
        """Its worth when there are too many connections, as Upkeep has it: links as much as who exchanges blocks."""
        key = peer.multihash
        if any(key in self._gossip.links(topic) for topic in self._gossip.topics):
            return 2
        return int(any(key in self._gossip.followers(topic) for topic in self._readers))

    def reset(self, author: PeerId | None) -> int:
        """Forget the numbers of messages of an author, or of all, below which messages are old; returns of how many."""
        return self._gossip.seen.reset(None if author is None else author.multihash)

    # --- peers

    def learned(self, peer: PeerId, protocols: tuple[str, ...]) -> None:
        """A connected peer has said what it speaks."""
        spoken = next((one for one in self._protocols if one in protocols), None)
        connection = self._swarm.best(peer)
        if spoken is None or connection is None or peer in self._writers:
            return
        address = _address(connection)
        if self._gossip.add_peer(peer.multihash, spoken, address, self._now(), outbound=connection.outbound):
            self._wake[peer.multihash] = asyncio.Event()
            self._writers[peer] = self._tasks.spawn(self._serve(peer))

    def _disconnected(self, peer: PeerId) -> None:
        self._reading.pop(peer, None)
        if (writer := self._writers.pop(peer, None)) is not None:
            writer.cancel()
        self._forget(peer.multihash)

    def _forget(self, key: bytes) -> None:
        self._wake.pop(key, None)
        self._gossip.remove_peer(key, self._now())

    async def _serve(self, peer: PeerId) -> None:
        """Write to a peer while it is connected; a few times anew if its stream ends."""
        for tries in range(MAX_TRIES):
            try:
                await self._write(peer)
            except (CideryError, TimeoutError) as exc:
                log.debug("pubsub to %s: %s", peer, exc)
            await asyncio.sleep(RETRY * 2**tries)
            self._gossip.greet(peer.multihash)
        self._forget(peer.multihash)

    async def _write(self, peer: PeerId) -> None:
        connection = self._swarm.best(peer)
        if connection is None:
            return
        stream = await connection.open_stream(self._protocols)
        key = peer.multihash
        wake = self._wake[key]
        try:
            while True:
                wake.clear()
                while key in self._gossip.ready:
                    await stream.write_message(self._gossip.take(key).encode())
                await wake.wait()
        finally:
            stream.reset("pubsub to this peer has ended")

    async def _receive(self, stream: Stream) -> None:
        """A peer's stream: "the latest one counts"."""
        peer = stream.connection.peer
        if (earlier := self._reading.get(peer)) is not None:
            earlier.reset("another stream has taken its place")
        self._reading[peer] = stream
        self.learned(peer, (stream.protocol,))
        try:
            async for data in stream.messages(MAX_RPC):
                await self._take(peer, Rpc.decode(data))
                del data  # the next one may never come
        finally:
            if self._reading.get(peer) is stream:
                del self._reading[peer]

    async def _take(self, peer: PeerId, rpc: Rpc) -> None:
        """What a peer said, a few messages at a time: others have their turn between."""
        key, messages = peer.multihash, rpc.messages
        rpc.messages = []
        self._apply(key, rpc)
        for topic in dict.fromkeys(topic for on, topic in rpc.subscriptions if on):
            if topic in self._readers:
                for hook in self.on_follower:
                    hook(peer, topic)
        for start in range(0, len(messages), AT_A_TIME):
            self._apply(key, Rpc(messages=messages[start : start + AT_A_TIME]))
            await asyncio.sleep(0)

    def _apply(self, key: bytes, rpc: Rpc) -> None:
        for message in self._gossip.on_rpc(key, rpc, self._now()):
            self._hand_out(message)
        self._flush()

    def _hand_out(self, message: Message) -> None:
        for reader in self._readers.get(message.topic, ()):
            reader.put(message)

    def _judge(self, message: Message) -> Verdict:
        try:
            check_signature(message)
        except BadSignature as exc:
            log.debug("%s", exc)
            return Verdict.REJECT
        check = self.checks.get(message.topic)
        return Verdict.ACCEPT if check is None else check(message)

    def _flush(self) -> None:
        for key in self._gossip.ready:
            if (wake := self._wake.get(key)) is not None:
                wake.set()

    def _now(self) -> float:
        return self._swarm.clock()

    async def _beat(self) -> None:
        await asyncio.sleep(FIRST_HEARTBEAT)
        while True:
            self._gossip.heartbeat(self._now())
            self._flush()
            for record in self._gossip.offered().values():
                self._tasks.spawn(self._dial_offered(record))
            await asyncio.sleep(HEARTBEAT)

    async def _dial_offered(self, record: bytes) -> None:
        """A peer that another named, by its own signed record; private addresses of strangers are not dialled."""
        try:
            said = open_peer_record(record)
            addrs = [Multiaddr.decode(addr) for addr in said.addrs if scope_of(addr) is Scope.PUBLIC]
            if addrs:
                await self._swarm.dial(said.peer, addrs)
        except (EnvelopeError, MultiaddrError, CideryError, TimeoutError, OSError) as exc:
            log.debug("a peer that another named: %s", exc)


def _address(connection: Connection) -> str:
    """The IP address that a score is held against; "" in local networks, where none is scarce."""
    addr = connection.remote_addr
    if addr is None or scope_of(addr.encode()) is not Scope.PUBLIC:
        return ""
    return addr.host() or ""
