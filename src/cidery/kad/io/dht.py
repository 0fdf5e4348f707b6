"""One DHT (WAN or LAN) over the swarm: look-ups, records stored and found, and answers when it is a server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from cidery.budgets import DHT_REQUESTS, DHT_STREAMS
from cidery.errors import CideryError
from cidery.identity.peer_id import PeerId
from cidery.kad.io.rpc import Rpc
from cidery.kad.key import K, position
from cidery.kad.message import MAX_ADDRS, MAX_REQUEST, DhtMessage, MessageType, PeerInfo, Record
from cidery.kad.network_size import SPACE, NetworkSize, among_nearest
from cidery.kad.query import LONGEST, Ask, Lookup, LookupWaits
from cidery.kad.records import Validators
from cidery.kad.routing_table import RoutingTable
from cidery.kad.server import Server
from cidery.kad.stores import ProviderStore, ValueStore
from cidery.libp2p.io.connection import Connection
from cidery.libp2p.io.shares import ConnectionRates
from cidery.libp2p.io.stream import Stream
from cidery.libp2p.io.swarm import Swarm
from cidery.libp2p.protocols.addresses import Scope, keep
from cidery.libp2p.protocols.multistream import ProtocolNotSupported
from cidery.libp2p.protocols.timeouts import RoundTrip
from cidery.multiformats.multiaddr import Multiaddr, MultiaddrError
from cidery.tasks import Tasks, end

log = logging.getLogger("cidery.kad")

SLOW_BASE = 1.0
"""Seconds, beside round trips, until another peer is asked beside a slow one."""
ENOUGH_STORED = 15
"""Peers that took a record before provide() returns; the others follow in the background."""
SURE = 0.9
"""A peer this likely to be among the K nearest gets the record during the look-up."""
SERVER_IDLE = 60.0
"""Seconds, beside round trips, that a stream to us may be silent between two requests."""
MAX_STREAMS_PER_PEER = DHT_STREAMS.amount


@dataclass(frozen=True, slots=True)
class DhtConfig:
    """What differs between WAN and LAN."""

    name: str
    """"wan" or "lan"."""
    protocol: str
    scopes: frozenset[Scope]
    """Addresses that belong to this network."""
    provider_scopes: frozenset[Scope]
    """Addresses of providers that are believed."""
    diverse: bool
    """As of RoutingTable."""


class Dht:
    """See the module's text. Made by service.py, which owns its tasks."""

    def __init__(
        self,
        config: DhtConfig,
        swarm: Swarm,
        validators: Validators,
        *,
        providers: ProviderStore,
        values: ValueStore,
        speaks: Callable[[PeerId, str], bool],
        own_addrs: Callable[[], list[Multiaddr]],
        wall_clock: Callable[[], float],
        refuses: Callable[[bytes], bool] | None = None,
    ) -> None:
        """``refuses``: as Server."""
        self.config = config
        self.table = RoutingTable(swarm.local_peer, diverse=config.diverse)
        self.size = NetworkSize()
        self.lookups = 0
        self.requests_served = 0
        self.rpc = Rpc(swarm, config.protocol)
        self._swarm = swarm
        self._server = Server(
            self.table,
            providers,
            values,
            validators,
            scopes=config.scopes,
            addrs_of=self.addrs_of,
            learn=self.remember,
            refuses=refuses,
        )
        self._validators = validators
        self._speaks = speaks
        self._own_addrs = own_addrs
        self._wall_clock = wall_clock
        self._round_trip = RoundTrip()
        self._serving: dict[PeerId, int] = {}
        self._rate = ConnectionRates(DHT_REQUESTS, swarm.clock)
        self._background = Tasks()

    # --- who is there

    @property
    def is_server(self) -> bool:
        return self.config.protocol in self._swarm.handlers

    def serve(self, on: bool) -> bool:
        """Answer others, and say so by listing the protocol; returns whether that changed anything."""
        if on == self.is_server:
            return False
        # #client-and-server-mode: "DHT Servers MUST advertise the libp2p Kademlia protocol identifier"; "DHT Clients
        # MUST NOT advertise support for [it] nor offer [it] for incoming streams"
        if on:
            self._swarm.handlers[self.config.protocol] = self._answer
        else:
            del self._swarm.handlers[self.config.protocol]
        return True

    def learn(self, peer: PeerId) -> None:
        """A connected peer was identified: a server of this DHT with an address that fits gets a place."""
        # #bucket-size: "Note that DHT Clients are never included in a Routing Table."
        if not self._speaks(peer, self.config.protocol):
            self.table.remove(peer)
            return
        info = PeerInfo(peer, keep(self.addrs_of(peer), self.config.scopes))
        if info.addrs:
            self.table.answered(info, self._swarm.clock())

    def addrs_of(self, peer: PeerId) -> tuple[bytes, ...]:
        """What the peer store knows, binary."""
        return tuple(addr.encode() for addr in self._swarm.peer_store.addrs(peer)[:MAX_ADDRS])

    def remember(self, info: PeerInfo) -> None:
        """Put addresses that somebody told into the peer store."""
        addrs = parsed(info.addrs)
        if addrs:
            self._swarm.peer_store.add_addrs(info.peer, addrs)

    # --- look-ups

    def wait_for(self, base: float) -> float:
        return self._swarm.config.timeouts.wait(base, self._distance())

    def _distance(self) -> float | None:
        """Seconds of round trip to the others, as requests were answered; before that, to the nearest one connected."""
        if self._round_trip.smoothed is not None:
            return self._round_trip.smoothed
        connected = [one.round_trip.smoothed for one in self._swarm.connections() if one.peer in self.table]
        return min((seconds for seconds in connected if seconds is not None), default=None)

    def _waits(self) -> LookupWaits:
        timeouts = self._swarm.config.timeouts
        return LookupWaits(
            slow=lambda peer: self.wait_for(SLOW_BASE),
            dead=lambda peer: self.wait_for(timeouts.stream_base),
            longest=timeouts.wait(LONGEST, self._distance(), 40.0),
        )

    async def lookup(
        self,
        request: DhtMessage,
        on_answer: Callable[[Lookup, PeerInfo, DhtMessage], None] | None = None,
        *,
        wanted: int = 0,
        quorum: int = 0,
        sought: PeerId | None = None,
    ) -> Lookup:
        """Run one to its end. ``on_answer`` is called with each answer; the rest is as in query.Lookup. Cancel-safe."""
        now, clock = self._swarm.clock(), self._swarm.clock
        seeds = self.table.nearest(position(request.key))
        run = Lookup(
            request,
            self._swarm.local_peer,
            seeds,
            self._waits(),
            now,
            wanted=wanted,
            quorum=quorum,
            radius=self.size.radius(),
            sought=sought,
        )
        self.lookups += 1
        changed = asyncio.Event()
        tasks = Tasks()

        async def ask(one: Ask) -> None:
            answer = await self._ask(one, request)
            if answer is None:
                run.on_failure(one.info.peer, clock())
            else:
                run.on_answer(one.info.peer, answer, clock())
                if on_answer is not None:
                    on_answer(run, one.info, answer)
            changed.set()

        try:
            while True:
                changed.clear()
                for one in run.poll(clock()):
                    tasks.spawn(ask(one))
                deadline = run.next_deadline()
                if deadline is None:
                    break
                try:
                    async with asyncio.timeout(max(0.0, deadline - clock())):
                        await changed.wait()
                except TimeoutError:
                    continue
        finally:
            await tasks.close()
        self.table.looked_up(run.target, clock())
        if request.type is MessageType.FIND_NODE:
            self.size.sample([position(info.peer.multihash) ^ run.target for info in run.closest()])
        return run

    async def _ask(self, one: Ask, request: DhtMessage) -> DhtMessage | None:
        """The answer with its addresses filtered, None if there is none; the routing table learns of both."""
        peer, clock = one.info.peer, self._swarm.clock
        self.remember(PeerInfo(peer, keep(one.info.addrs, self.config.scopes)))
        began = clock()
        try:
            async with asyncio.timeout(max(0.0, one.deadline - began)):
                answer = await self.rpc.request(peer, request)
        except (CideryError, TimeoutError, OSError) as exc:
            log.debug("%s %s to %s: %s", self.config.name, request.type.name, peer, exc)
            if isinstance(exc, ProtocolNotSupported):
                self.table.remove(peer)
            else:
                self.table.failed(peer)
            return None
        self._round_trip.sample(clock() - began)
        self.table.answered(PeerInfo(peer, keep(self.addrs_of(peer), self.config.scopes) or one.info.addrs), clock())
        answer.closer = self._usable(answer.closer, self.config.scopes)
        answer.providers = [
            PeerInfo(info.peer, keep(info.addrs, self.config.provider_scopes))
            for info in answer.providers
            if info.peer != self._swarm.local_peer
        ]
        return answer

    def _usable(self, infos: list[PeerInfo], scopes: frozenset[Scope]) -> list[PeerInfo]:
        """Peers that can be dialled: with addresses of this network, told or known."""
        out = []
        for info in infos:
            addrs = keep(info.addrs, scopes) or keep(self.addrs_of(info.peer), scopes)
            if addrs:
                out.append(PeerInfo(info.peer, addrs))
        return out

    async def closest(self, key: bytes) -> list[PeerInfo]:
        """The K nearest live peers, nearest first. Empty: this DHT knows nobody."""
        return (await self.lookup(DhtMessage(MessageType.FIND_NODE, key))).closest(K)

    async def find_peer(self, peer: PeerId) -> PeerInfo | None:
        run = await self.lookup(DhtMessage(MessageType.FIND_NODE, peer.multihash), sought=peer)
        return run.found

    # --- providers

    async def find_providers(self, key: bytes, wanted: int) -> AsyncGenerator[PeerInfo, None]:
        """Providers as they are found, each once."""
        queue: asyncio.Queue[PeerInfo | None] = asyncio.Queue()
        seen: set[PeerId] = set()

        def on_answer(run: Lookup, info: PeerInfo, answer: DhtMessage) -> None:
            for provider in answer.providers:
                if provider.peer not in seen and len(seen) < (wanted or len(seen) + 1):
                    seen.add(provider.peer)
                    self.remember(provider)
                    queue.put_nowait(provider)

        async def search() -> None:
            try:
                await self.lookup(DhtMessage(MessageType.GET_PROVIDERS, key), on_answer, wanted=wanted)
            finally:
                queue.put_nowait(None)

        task = asyncio.create_task(search())
        try:
            while (provider := await queue.get()) is not None:
                yield provider
        finally:
            await end([task])

    def own_record(self, key: bytes) -> DhtMessage | None:
        """ADD_PROVIDER for this node; None without an address that this network can use."""
        # #content-provider-advertisement: "Providers MUST indicate their listen multiaddresses"
        addrs = keep(tuple(addr.encode() for addr in self._own_addrs()), self.config.scopes)
        if not addrs:
            return None
        return DhtMessage(MessageType.ADD_PROVIDER, key, providers=[PeerInfo(self._swarm.local_peer, addrs)])

    async def provide(self, key: bytes) -> int:
        """Announce one key now: store at the nearest peers, the sure ones during the look-up; returns how many took it.

        Returns when ENOUGH_STORED have it; the rest follows in the background.
        """
        record = self.own_record(key)
        if record is None or not len(self.table):
            return 0
        stores: dict[PeerId, asyncio.Task[bool]] = {}
        stored = 0

        def store(info: PeerInfo) -> None:
            if info.peer not in stores:
                task = stores[info.peer] = self.spawn(self.store_record(info.peer, record))
                task.add_done_callback(count)

        def count(task: asyncio.Task[bool]) -> None:
            nonlocal stored
            stored += not task.cancelled() and task.result()

        def on_answer(run: Lookup, info: PeerInfo, answer: DhtMessage) -> None:
            size = self.size.estimate()
            if size is not None:
                nearer = (position(info.peer.multihash) ^ run.target) / SPACE * size
                if among_nearest(nearer) >= SURE:
                    store(info)

        run = await self.lookup(DhtMessage(MessageType.FIND_NODE, key), on_answer)
        for info in run.holders():
            store(info)
        waiting = set(stores.values())
        while waiting and stored < ENOUGH_STORED:
            _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        return stored

    async def store_record(self, peer: PeerId, *records: DhtMessage) -> bool:
        """Send records that are not answered; False if they could not be sent."""
        try:
            async with asyncio.timeout(self.wait_for(self._swarm.config.timeouts.stream_base)):
                await self.rpc.tell(peer, *records)
        except (CideryError, TimeoutError, OSError) as exc:
            log.debug("%s record to %s: %s", self.config.name, peer, exc)
            self.table.failed(peer)
            return False
        return True

    # --- values

    async def search_value(self, key: bytes, quorum: int) -> AsyncGenerator[bytes, None]:
        """Valid values, each better than the one before; in the end those who had none or a worse one get the best."""
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        best: bytes | None = None

        def on_answer(run: Lookup, info: PeerInfo, answer: DhtMessage) -> None:
            nonlocal best
            if answer.record is not None and answer.record.key == key:
                better = self._validators.best(key, [answer.record.value, *([] if best is None else [best])])
                if better is not None and better != best:
                    best = better
                    queue.put_nowait(better)

        async def search() -> None:
            try:
                run = await self.lookup(DhtMessage(MessageType.GET_VALUE, key), on_answer, quorum=quorum)
                if best is not None:
                    outdated = [info.peer for info in run.without_record]
                    outdated += [peer for peer, record in run.records if record.value != best]
                    # #entry-correction: "the client MUST send the most recent valid record to any of the k closest DHT
                    # Servers [...] that did not return the latest version"
                    near = {info.peer for info in run.closest()}
                    message = DhtMessage(MessageType.PUT_VALUE, key, Record(key, best))
                    for peer in outdated:
                        if peer in near:
                            self.spawn(self._put(peer, message))
            finally:
                queue.put_nowait(None)

        task = asyncio.create_task(search())
        try:
            while (value := await queue.get()) is not None:
                yield value
        finally:
            await end([task])

    async def put_value(self, key: bytes, value: bytes) -> int:
        """Store at the nearest peers; returns how many confirmed it."""
        run = await self.lookup(DhtMessage(MessageType.FIND_NODE, key))
        message = DhtMessage(MessageType.PUT_VALUE, key, Record(key, value))
        done = await asyncio.gather(*(self._put(info.peer, message) for info in run.holders()))
        return sum(done)

    async def _put(self, peer: PeerId, message: DhtMessage) -> bool:
        try:
            async with asyncio.timeout(self.wait_for(self._swarm.config.timeouts.stream_base)):
                await self.rpc.request(peer, message)
        except (CideryError, TimeoutError, OSError) as exc:
            log.debug("%s PUT_VALUE to %s: %s", self.config.name, peer, exc)
            return False
        return True

    # --- serving

    async def _answer(self, stream: Stream) -> None:
        """One stream of a peer: requests in turn until it ends or idles."""
        assert isinstance(stream.connection, Connection)
        peer, connection = stream.connection.peer, stream.connection
        if self._serving.get(peer, 0) >= MAX_STREAMS_PER_PEER:
            stream.reset("too many streams of the DHT")
            return
        self._serving[peer] = self._serving.get(peer, 0) + 1
        try:
            # #rpc-messages: "Implementations MUST handle additional RPC request messages on an incoming stream."
            while True:
                async with asyncio.timeout(connection.wait(SERVER_IDLE)):
                    data = await stream.read_message(MAX_REQUEST)
                if data is None:
                    return
                if wait := self._rate.reserve(connection):
                    await asyncio.sleep(wait)
                answer = self._server.handle(peer, DhtMessage.decode(data), self._wall_clock())
                self.requests_served += 1
                if answer is not None:
                    async with asyncio.timeout(connection.wait(SERVER_IDLE)):
                        await stream.write_message(answer.encode())
        finally:
            self._serving[peer] -= 1
            if not self._serving[peer]:
                del self._serving[peer]

    # --- tasks

    def spawn(self, work: Coroutine[Any, Any, bool]) -> asyncio.Task[bool]:
        """A task that close() ends."""
        return self._background.spawn(work)

    async def close(self) -> None:
        await self._background.close()


def parsed(addrs: tuple[bytes, ...]) -> list[Multiaddr]:
    """Those that this version can read."""
    out = []
    for addr in addrs:
        try:
            out.append(Multiaddr.decode(addr))
        except MultiaddrError:
            continue
    return out
