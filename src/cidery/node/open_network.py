"""Opens the online half of a node on its cache, as configured."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from math import ceil
from pathlib import Path

from cidery.blockstore.interface import BlockStore
from cidery.http.tls import Certificate
from cidery.identity.keys import PrivateKey
from cidery.kad.records import Validators
from cidery.kad.service import KadOptions
from cidery.libp2p.io.byte_network import TcpNetwork
from cidery.libp2p.io.dnsaddr import TxtResolver
from cidery.libp2p.io.first_request import MakeHttp
from cidery.libp2p.io.private_network import PrivateNetwork
from cidery.libp2p.io.stream_transport import WebSockets
from cidery.libp2p.protocols.announced import Announced
from cidery.libp2p.protocols.bandwidth import BandwidthLimits, Period, Schedule
from cidery.libp2p.protocols.pnet import fingerprint
from cidery.libp2p.protocols.relay_server import RelayLimits
from cidery.multiformats.address_filter import AddressFilter
from cidery.multiformats.multiaddr import Multiaddr
from cidery.node.announcing import AnnounceOf
from cidery.node.autotls import NodeAutoTls, alpn_of, listener_tls
from cidery.node.local import LocalOptions
from cidery.node.network import NodeNetwork
from cidery.node.network_parts import RetrievalOptions, by_peer
from cidery.node.relays import RelayOptions
from cidery.node.upkeep import ConnectionLimits
from cidery.repo.cache import Cache
from cidery.repo.config import Config, ConnMgrConfig, TransportsConfig
from cidery.repo.config_limits import LimitsConfig


@asynccontextmanager
async def open_network(
    private_key: PrivateKey,
    store: BlockStore,
    *,
    cache: Path,
    listen: tuple[Multiaddr, ...],
    bootstrap: tuple[Multiaddr, ...],
    peering: tuple[Multiaddr, ...] = (),
    conn_mgr: ConnMgrConfig,
    security: tuple[str, ...],
    addresses: AddressFilter,
    transports: TransportsConfig,
    relays: RelayOptions | None = None,
    swarm_key: bytes | None = None,
    local: LocalOptions | None = None,
    kad: KadOptions | None = None,
    validators: Validators | None = None,
    dns: TxtResolver | None = None,
    announced: Announced | None = None,
    announce: AnnounceOf | None = None,
    gateways: RetrievalOptions | None = None,
    limits: LimitsConfig | None = None,
    serve_autonat: bool = True,
    map_ports: bool = False,
    autotls: NodeAutoTls | None = None,
    https: MakeHttp | None = None,
) -> AsyncIterator[NodeNetwork]:
    """A started network over ``store``, closed at the end. Raises CannotListen, BadCertificate, and as the cache."""
    certificate = None if transports.tls is None else Certificate(*transports.tls, alpn_of(https=https is not None))
    with closing(await asyncio.to_thread(Cache.open, cache)) as opened:
        network = NodeNetwork(
            private_key,
            store,
            cache=opened,
            kad=kad,
            validators=validators,
            dns=dns,
            announced=announced,
            announce=announce,
            gateways=gateways,
            bandwidth=None if limits is None else bandwidth_of(limits),
            max_connections=2 * conn_mgr.high_water,
            limits=ConnectionLimits(conn_mgr.low_water, conn_mgr.high_water, conn_mgr.grace_period),
            security=security,
            quic=transports.quic and swarm_key is None,
            relays=relays if swarm_key is None else None,
            websockets=WebSockets(listener_tls(certificate, autotls), https) if transports.websocket else None,
            addresses=addresses,
            local=local,
            serve_autonat=serve_autonat,
            map_ports=map_ports,
            network=None if swarm_key is None else PrivateNetwork(TcpNetwork(addresses), swarm_key, os.urandom),
        )
        try:
            if certificate is not None:
                network.spawn(certificate.follow())
            await network.start(listen + (() if autotls is None else autotls.joins(network)), bootstrap, peering)
            yield network
        finally:
            await network.close()


def relay_options(config: Config) -> RelayOptions | None:
    """Relays as configured; None: none are used."""
    if not config.relays.enabled:
        return None
    service = config.relay_service
    limits = RelayLimits(
        seconds=ceil(service.duration),
        data=service.data,
        reserved_for=int(service.ttl),
        reservations=service.reservations,
        circuits=service.circuits,
        buffer=service.buffer,
        reservations_of_ip=service.per_ip,
        reservations_of_net=service.per_net,
    )
    static = by_peer(config.relays.static)
    return RelayOptions(config.relays.client, static, config.relays.punch, limits if service.enabled else None)


def bandwidth_of(config: LimitsConfig) -> Schedule:
    """Swarm.Limits as the connections obey them."""
    usual = BandwidthLimits(config.up, config.down, config.peer_up, config.peer_down)
    periods = [Period(one.start, one.end, frozenset(one.days), BandwidthLimits(*one.limits)) for one in config.schedule]
    return Schedule(usual, periods)


def local_options(config: Config, swarm_key: bytes | None) -> LocalOptions | None:
    """Discovery on local networks, as configured; None: disabled."""
    if not config.mdns:
        return None
    return LocalOptions(config.mdns_interfaces, "" if swarm_key is None else fingerprint(swarm_key))


def kad_options(config: Config) -> KadOptions | None:
    """The node's DHT participation, as configured; None: none."""
    if config.routing == "none":
        return None
    return KadOptions(
        wan_server=config.routing == "dhtserver",
        client_only=config.routing in ("dhtclient", "autoclient"),
        loopback=config.loopback_lan,
    )
