"""The online half of a node, composed: swarm, identify and ping, Bitswap. Satisfies ``core.network.Network``."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any

from cidery.bitswap.service import BitswapService
from cidery.blockstore.interface import BlockStore
from cidery.core.denying import DenyingSession, denied_keys, judged
from cidery.core.network import (
    Bandwidth,
    BitswapStat,
    BudgetUse,
    CertificateState,
    ConnectedPeer,
    DhtStat,
    PeerIdentity,
    ProvideOff,
    ProvideStat,
    Relaying,
    RoutingOff,
)
from cidery.errors import InvalidInput
from cidery.exchange.service import NetworkSession
from cidery.exchange.terms import EAGER, Terms
from cidery.exchange.waits import SessionWaits
from cidery.identity.keys import PrivateKey
from cidery.identity.peer_id import PeerId
from cidery.kad.io.announce import Announcing
from cidery.kad.records import Validators
from cidery.kad.service import KadOptions, KadService
from cidery.libp2p.io.autonat import Autonat
from cidery.libp2p.io.byte_network import ByteNetwork
from cidery.libp2p.io.connection_config import Handler
from cidery.libp2p.io.dnsaddr import TxtResolver, dnsaddr_host, resolve_dnsaddr
from cidery.libp2p.io.identify import Identification
from cidery.libp2p.io.nat_pmp import NatPmpRouter
from cidery.libp2p.io.port_mapping import PortMappings
from cidery.libp2p.io.private_network import PrivateNetwork
from cidery.libp2p.io.stream_transport import WEBSOCKETS, WebSockets
from cidery.libp2p.io.swarm import SwarmConfig
from cidery.libp2p.io.upnp import UpnpRouter
from cidery.libp2p.protocols import noise
from cidery.libp2p.protocols.announced import Announced
from cidery.libp2p.protocols.bandwidth import Schedule
from cidery.libp2p.protocols.identify import Identify
from cidery.libp2p.protocols.timeouts import Timeouts
from cidery.libp2p.protocols.upgrade import TLS
from cidery.multiformats.address_filter import AddressFilter
from cidery.multiformats.cid import CID
from cidery.multiformats.multiaddr import Multiaddr
from cidery.node.announcing import AnnounceOf
from cidery.node.diagnosis import Diagnosis, Parts
from cidery.node.kad_view import dht_stat, provide_stat
from cidery.node.local import LocalOptions, LocalPeers, OwnAddresses
from cidery.node.network_errors import NoDns, PeerUnknown
from cidery.node.network_parts import RetrievalOptions, by_peer, close_in_turn, make_swarm, transports
from cidery.node.network_view import bandwidth, bitswap_stat, budgets, connected_peer, known_identity, own_identity
from cidery.node.public_reach import PublicReach
from cidery.node.reach import Reach
from cidery.node.relays import NodeRelays, RelayOptions, Surroundings
from cidery.node.upkeep import ConnectionLimits, Upkeep
from cidery.repo.cache import Cache
from cidery.retrieval.joined import JoinedSources
from cidery.retrieval.readers import Readers
from cidery.retrieval.service import GatewaySources
from cidery.routing.interface import FoundPeer, Router
from cidery.routing.service import JoinedRouting, ProviderSearch
from cidery.tasks import Tasks, in_thread
from cidery.version import __version__

log = logging.getLogger("cidery.node")

AGENT = f"cidery/{__version__}"
SAVE_PEERS_EVERY = 60.0
"""Seconds between two writes of the peer store."""
PING_INTERVAL = 1.0
"""Seconds between two pings of the ping command, as in other implementations."""


class NodeNetwork:
    """See ``core.network.Network`` for the methods."""

    certificate: Callable[[], CertificateState | None] = staticmethod(lambda: None)

    def __init__(
        self,
        private_key: PrivateKey,
        store: BlockStore,
        *,
        cache: Cache | None = None,
        kad: KadOptions | None = None,
        validators: Validators | None = None,
        dns: TxtResolver | None = None,
        announced: Announced | None = None,
        announce: AnnounceOf | None = None,
        gateways: RetrievalOptions | None = None,
        bandwidth: Schedule | None = None,
        security: tuple[str, ...] = (noise.PROTOCOL, TLS),
        max_connections: int = 256,
        limits: ConnectionLimits | None = None,
        addresses: AddressFilter | None = None,
        local: LocalOptions | None = None,
        serve_autonat: bool = True,
        map_ports: bool = False,
        timeouts: Timeouts | None = None,
        clock: Callable[[], float] = time.monotonic,
        entropy: Callable[[int], bytes] = os.urandom,
        network: ByteNetwork | None = None,
        quic: bool = False,
        websockets: WebSockets | None = WEBSOCKETS,
        relays: RelayOptions | None = None,
        first_sequence: int | None = None,
    ) -> None:
        """``clock``, ``entropy``, ``network``: the real ones, unless the node runs in a simulation.
        ``quic``, ``websockets``: beside what ``network`` is. ``map_ports``: ask the router to forward ports.
        ``validators``: of records other than public keys. ``store``: what a DenyingStore denies is not fetched either.
        ``local``, ``kad``, ``dns``, ``announce``, ``relays`` None: no discovery on local networks, no DHT, no /dnsaddr,
        nothing announced, no relays. ``announced``: which own addresses others are told; None: all."""
        timeouts = timeouts or Timeouts()
        self.store, self._denylists = judged(store)  # that of sessions, which do not ask for what is denied
        self.cache, self.entropy, self.filters = cache, entropy, addresses or AddressFilter()
        self._private = isinstance(network, PrivateNetwork)
        real = network is None or self._private
        self._wall_clock = time.time if real else clock
        config = SwarmConfig(timeouts, max_connections=max_connections, addresses=self.filters)
        carried_by = transports(config, network, websockets, clock, entropy, quic=quic)
        self.swarm = make_swarm(config, private_key, cache, carried_by, security, clock, entropy, bandwidth)
        self._own_addresses = OwnAddresses(clock) if real else None
        self.identification = self._make_identification(first_sequence, announced)
        self._waits = SessionWaits(timeouts.stall_base, timeouts.give_up_base, timeouts.search_base)
        self.bitswap = self._make_bitswap(store)
        self._dns, self._tasks, self.routing = dns, Tasks(), JoinedRouting(self._provided)
        options = gateways or RetrievalOptions()
        self.gateways, self.readers = self._make_gateways(options.urls), self._make_readers()
        self.sources = self._make_sources(options)
        self.validators = validators or Validators()
        self.kad = None if kad is None else self._make_kad(kad, cache, entropy, self._wall_clock)
        self.announcing = None if announce is None else self._make_announcing(announce)
        self._announces_fetched = announce is not None and announce.fetched
        self.autonat = self._make_autonat(entropy, serve_autonat)
        self.port_mapping = self._make_port_mapping() if map_ports else None
        self.upkeep = self._make_upkeep(entropy, limits or ConnectionLimits(max_connections, max_connections, 20.0))
        self.relays = None if relays is None else self._make_relays(relays)
        self.local = LocalPeers(local, self.swarm, self.identification, entropy) if local is not None else None

    def _make_identification(self, first_sequence: int | None, announced: Announced | None) -> Identification:
        sequence = time.time_ns() if first_sequence is None else first_sequence
        return Identification(
            self.swarm, AGENT, self.entropy, sequence, interfaces=self._own_addresses or list, announced=announced
        )

    def _make_bitswap(self, store: BlockStore) -> BitswapService:
        return BitswapService(
            self.swarm,
            store,
            clock=self.swarm.clock,
            agent_of=lambda peer: self._said(peer).agent_version,
            speaks=self._speaks,
        )

    def _make_gateways(self, urls: Sequence[str]) -> GatewaySources:
        gateways = GatewaySources(self.swarm, clock=self.swarm.clock, speaks=self._speaks, agent=AGENT)
        gateways.refuses = self._denies
        for url in urls:
            gateways.add(url)
        return gateways

    def _make_sources(self, options: RetrievalOptions) -> JoinedSources:
        routed, local, gateways = options.routed, options.local, self.gateways
        self.reach = Reach(self.swarm, gateways, self.routing.find_peer, routed=routed, local=local).reach
        """Connects to a peer that routing named, or notes its gateway; see Reach.reach()."""
        self.public_reach = PublicReach(self.routing, self.swarm, gateways, routed=routed)
        searches = ProviderSearch(self.routing, self.reach), ProviderSearch(self.public_reach, self.public_reach.reach)
        return JoinedSources(
            self.bitswap, self.gateways, *searches, lambda: self.upkeep.alone(self.routing, self.kad, self.local)
        )

    def _make_readers(self) -> Readers:
        readers = Readers(self.swarm, clock=self.swarm.clock, speaks=self._speaks, reads=self.bitswap.reads)

        def on_crowd(root: CID, newcomer: PeerId, others: Sequence[PeerId]) -> None:
            if not self._denies(root):
                readers.on_crowd(root, newcomer, others)

        self.bitswap.crowds.on_crowd.append(on_crowd)
        return readers

    def _make_announcing(self, announce: AnnounceOf) -> Announcing | None:
        if self.kad is None or self.cache is None:
            return None
        announcing = announce.announcing(self.kad.both, self.cache, self.entropy)
        announcing.refuses = denied_keys(self._denylists)
        return announcing

    def _make_autonat(self, entropy: Callable[[int], bytes], serve: bool) -> Autonat:
        autonat = Autonat(
            self.swarm,
            candidates=self.identification.public_addrs,
            speaks=self._speaks,
            agent_of=lambda peer: self._said(peer).agent_version,
            on_change=self._reachability_changed,
            entropy=entropy,
            serve=serve,
        )
        self.identification.on_learned.append(lambda _: autonat.notice())
        return autonat

    def _make_relays(self, options: RelayOptions) -> NodeRelays:
        def near() -> Awaitable[list[FoundPeer]]:
            return self.closest_peers(self.swarm.local_peer.multihash)

        peered, verdict = lambda: self.upkeep.peered().items(), lambda: self.autonat.verdict
        around = Surroundings(self.identification, peered, self._speaks, verdict, near, self._wall_clock)
        return NodeRelays(self.swarm, options, around)

    def _make_port_mapping(self) -> PortMappings:
        routers = NatPmpRouter(self.swarm.clock), UpnpRouter()
        return PortMappings(self.swarm.listen_addrs, self._mapping_changed, routers)

    def _make_upkeep(self, entropy: Callable[[int], bytes], limits: ConnectionLimits) -> Upkeep:
        return Upkeep(
            self.swarm,
            limits,
            dial=partial(self.connect, patient=False),
            knows_nobody=self._knows_nobody,
            value_of=self._value_of,
            entropy=entropy,
        )

    def _mapping_changed(self) -> None:
        assert self.port_mapping is not None  # it calls
        self.identification.mapped = self.port_mapping.mapped
        self.autonat.notice()
        self.spawn(self.identification.push())

    async def _moved(self, gone: set[str]) -> None:
        """The addresses of this machine have changed."""
        for peer in self.swarm.close_from(gone):
            if self.local is not None:
                self.local.seek(peer)
        await self.identification.push()

    def _speaks(self, peer: PeerId, protocol: str) -> bool:
        return protocol in self._said(peer).protocols

    def _reachability_changed(self, reachable: bool) -> None:
        log.info("others %s reach this node from outside", "can" if reachable else "cannot")
        if self.kad is not None:
            self.spawn(self.kad.set_reachable(reachable))

    def _knows_nobody(self) -> bool:
        """Whether bootstrap peers are needed."""
        if self.kad is not None:
            return not any(len(dht.table) for dht in self.kad.both)
        return not self.swarm.peers()

    def _value_of(self, peer: PeerId) -> int:
        """The value of a connection when there are too many: blocks before the DHT, the DHT before the rest."""
        if self.relays is not None and self.relays.protects(peer):
            return 3
        if self.bitswap.exchanged(str(peer)):
            return 2
        return int(self.kad is not None and any(peer in dht.table for dht in self.kad.both))

    def _make_kad(
        self, options: KadOptions, cache: Cache | None, entropy: Callable[[int], bytes], wall_clock: Callable[[], float]
    ) -> KadService:
        kad = KadService(
            self.swarm,
            cache=cache,
            validators=self.validators,
            options=options,
            speaks=self._speaks,
            own_addrs=self.identification.advertised_addrs,
            entropy=entropy,
            wall_clock=wall_clock,
            on_mode_changed=self.identification.push,
            refuses=denied_keys(self._denylists),
        )
        self.identification.on_learned.append(lambda peer: kad.learned(peer) if self.swarm.best(peer) else None)
        self.routing.providers.append(kad)
        self.routing.peers.append(kad)
        self.routing.values.append(kad)
        self.routing.announcers.append(kad)
        return kad

    def _said(self, peer: PeerId) -> Identify:
        return self.identification.known.get(peer, Identify())

    async def start(
        self,
        listen: tuple[Multiaddr, ...],
        bootstrap: tuple[Multiaddr, ...] = (),
        peering: tuple[Multiaddr, ...] = (),
    ) -> None:
        """Listen; dial the bootstrap peers and peered ones in the background. Raises CannotListen."""
        await self.swarm.listen((*listen, *(self.relays.listens if self.relays is not None else ())))
        self.upkeep.start([addr for addr in bootstrap if addr.peer_id_bytes is not None], by_peer(peering))
        self.spawn(self._save_peers())
        if self._own_addresses is not None:
            self.spawn(self._own_addresses.watch(self._moved))
        for part in (self.autonat, self.relays, self.port_mapping, self.local):
            if part is not None:
                part.start()
        if self.kad is not None:
            await self.kad.start()
        if self.announcing is not None:
            self.spawn(self.announcing.run())

    async def close(self) -> None:
        above = (self.upkeep, self.relays, self.autonat, self.port_mapping, self.local, self.kad)
        below = (self.readers, self.sources, self.gateways, self.bitswap, self.swarm)
        await close_in_turn(self._tasks, *above, *below)

    async def serve(self, protocol: str, handler: Handler) -> None:
        """Handle streams of one more protocol, and tell the peers."""
        self.swarm.handlers[protocol] = handler
        await self.identification.push()

    def spawn(self, work: Coroutine[Any, Any, object]) -> None:
        """Run a coroutine in the background until close()."""
        self._tasks.spawn(work)

    async def _provided(self, cid: CID, taken: int) -> None:
        if self.announcing is not None:
            await self.announcing.note(cid.multihash, taken)

    def _fetched(self, cid: CID) -> None:
        if self.announcing is not None:
            self.announcing.announce(cid.multihash, fetched=True)

    async def _save_peers(self) -> None:
        while True:
            await asyncio.sleep(SAVE_PEERS_EVERY)
            await in_thread(self.swarm.peer_store.save)

    # --- core.network.Network

    def session(self, *, kept: bool, keep_blocks: bool = True, terms: Terms = EAGER) -> NetworkSession | DenyingSession:
        """As fetch_session(); denied blocks are neither requested nor returned."""
        session = self.fetch_session(kept=kept, keep_blocks=keep_blocks, terms=terms)
        lists = self._denylists
        return session if lists is None or not lists.lists else DenyingSession(session, lists)

    def _denies(self, cid: CID) -> bool:
        lists = self._denylists
        return lists is not None and bool(lists.lists) and lists.block(cid) is not None

    def fetch_session(self, *, kept: bool, keep_blocks: bool = True, terms: Terms = EAGER) -> NetworkSession:
        """``keep_blocks`` False: blocks are handed out and dropped, and the store is not asked."""
        store = self.store if keep_blocks else None
        seed = int.from_bytes(self.entropy(8))
        waits, clock = self._waits, self.swarm.clock
        session = NetworkSession(store, self.sources, clock=clock, waits=waits, kept=kept, seed=seed, terms=terms)
        if self._announces_fetched:
            session.on_fetched = self._fetched
        return session

    def identity(self) -> PeerIdentity:
        return own_identity(self.swarm, self.identification.advertised_addrs(), AGENT)

    async def identify(self, peer: str) -> PeerIdentity:
        peer_id = PeerId.parse(peer)
        if peer_id == self.swarm.local_peer:
            return self.identity()
        if self.swarm.best(peer_id, limited=True) is None:
            if not self.swarm.peer_store.addrs(peer_id):
                raise PeerUnknown(peer_id)
            await self.swarm.dial(peer_id, patient=True)
        return known_identity(self.swarm, peer_id)

    async def connect(self, addr: Multiaddr, *, patient: bool = True) -> None:
        host = dnsaddr_host(addr)
        if host is None:
            await self.swarm.connect(addr, patient=patient)
            return
        if self._dns is None:
            raise NoDns(host)
        if addr.peer_id_bytes is None:
            raise InvalidInput(f"{addr} does not say which peer is there: add /p2p/PEER_ID")
        found = await resolve_dnsaddr(addr, self._dns)
        peer = PeerId.decode(addr.peer_id_bytes)
        await self.swarm.dial(peer, [one.without_peer() for one in found], patient=patient)

    def reachability(self) -> dict[str, str]:
        return {str(addr): state.value for addr, state in self.autonat.states().items()}

    def relaying(self) -> Relaying | None:
        return None if self.relays is None else self.relays.view()

    def peering_add(self, addrs: Sequence[Multiaddr]) -> list[str]:
        added = by_peer(addrs)
        for peer, known in added.items():
            self.upkeep.add(peer, known)
        return list(map(str, added))

    def peering_remove(self, peer: str) -> bool:
        return self.upkeep.remove(PeerId.parse(peer))

    def peering(self) -> dict[str, list[str]]:
        return {str(peer): list(map(str, addrs)) for peer, addrs in self.upkeep.peered().items()}

    async def disconnect(self, addr: Multiaddr) -> bool:
        if addr.peer_id_bytes is None:
            raise InvalidInput(f"{addr} does not say which peer: add /p2p/PEER_ID")
        return self.swarm.disconnect(PeerId.decode(addr.peer_id_bytes))

    def peers(self, only: str | None = None) -> list[ConnectedPeer]:
        found = self.swarm.connections(None if only is None else PeerId.parse(only))
        return [connected_peer(connection) for connection in found]

    def known_addrs(self) -> dict[str, list[str]]:
        return {str(peer): list(map(str, addrs)) for peer, addrs in self.swarm.peer_store.all_addrs().items()}

    def listen_addrs(self) -> list[str]:
        return [str(addr) for addr in self.identification.listened_addrs()]

    def ping(self, peer: str, count: int) -> AsyncIterator[float]:
        return self.identification.ping(PeerId.parse(peer), count, PING_INTERVAL)

    def _announcing(self) -> Announcing:
        if self.kad is None:
            raise RoutingOff
        if self.announcing is None:
            raise ProvideOff
        return self.announcing

    async def provide_stat(self) -> ProvideStat:
        return provide_stat(await self._announcing().stat())

    def provide_later(self, multihashes: Sequence[bytes]) -> None:
        self._announcing().add(multihashes)

    async def provide_clear(self) -> int:
        return await self._announcing().clear()

    def router(self) -> Router:
        if self.routing.empty:
            raise RoutingOff
        return self.routing

    def better_value(self, key: bytes, best: bytes | None, value: bytes) -> bytes | None:
        return self.validators.best(key, [value] if best is None else [value, best])

    async def closest_peers(self, key: bytes) -> list[FoundPeer]:
        if self.kad is None:
            raise RoutingOff
        return await self.kad.closest_peers(key)

    def dht_stats(self) -> list[DhtStat]:
        if self.kad is None:
            raise RoutingOff
        return [dht_stat(dht, self.swarm) for dht in self.kad.both]

    def diagnosis(self) -> Diagnosis:
        return Diagnosis(
            Parts(
                self.swarm,
                self.identification,
                self.bitswap,
                self.sources,
                self.routing.providers,
                self.announcing,
                routed=self.kad is not None,
                reachability=self.autonat.states,
                reach=self.reach,
                private=self._private,
                relaying=self.relaying,
            )
        )

    def bandwidth(self, peer: str, protocol: str) -> Bandwidth:
        return bandwidth(self.swarm.traffic, peer, protocol)

    def budgets(self) -> list[BudgetUse]:
        return budgets(self.swarm)

    def bitswap_stat(self) -> BitswapStat:
        return bitswap_stat(self.bitswap)
