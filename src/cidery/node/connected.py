"""Turns an open repository into a connected node: its network from the config, and its background work."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING

from cidery.blockstore.interface import BlockStore
from cidery.core.api import Api
from cidery.core.keeping.provide import ProvideKeys
from cidery.dns.service import Dns
from cidery.host_names import known_by_arithmetic
from cidery.http.late_handler import Handler, made_when_asked
from cidery.kad.records import Validators
from cidery.libp2p.protocols.announced import Announced
from cidery.multiformats.address_filter import AddressFilter
from cidery.namesys.validator import IpnsValidator
from cidery.node.announcing import AnnounceOf, announce_pins
from cidery.node.archives import serve_archives
from cidery.node.autotls import autotls_of, https_unserved
from cidery.node.naming import republishing
from cidery.node.network import AGENT, NodeNetwork
from cidery.node.network_parts import RetrievalOptions
from cidery.node.open_network import kad_options, local_options, open_network, relay_options
from cidery.node.routers import http_routers
from cidery.repo.config import Config
from cidery.repo.config_file import ConfigError
from cidery.repo.layout import RepoLayout
from cidery.retrieval.gateway_url import check_url

if TYPE_CHECKING:
    from cidery.node.swarm_gateway import SwarmGateway

log = logging.getLogger("cidery.node")


@asynccontextmanager
async def doing_its_part(
    network: NodeNetwork, api: Api, keys: ProvideKeys, https: SwarmGateway | None
) -> AsyncIterator[None]:
    """The background work of a connected node: announce, ask HTTP, serve archives over streams, renew names."""

    config = api.config
    if network.announcing is not None:
        announce_pins(network.announcing, keys, api.pins, network.spawn)
    await serve_archives(network, made_when_asked(partial(_site, api)))  # its modules take a tenth of a start
    served = nullcontext() if https is None else https.serving(api)
    with known_by_arithmetic(config.autotls.suffix) if config.autotls.arithmetic else nullcontext():
        async with http_routers(network.routing, config.routers), republishing(api.naming, config), served:
            yield


def _site(api: Api) -> Handler:
    from cidery.gateway.options import OVER_STREAMS
    from cidery.gateway.site import Site

    return Site(api, OVER_STREAMS).handle


def swarm_gateway(config: Config, swarm_key: bytes | None) -> SwarmGateway | None:
    """What answers HTTP on the port of the swarm, as configured. Raises ConfigError in a private network."""
    if not config.serving.on_swarm_port:
        return None
    if swarm_key is not None:
        raise ConfigError("Gateway.OnSwarmPort", "would give everybody the content of a private network; remove it")
    from cidery.node.swarm_gateway import SwarmGateway  # the HTTP server: few nodes have it here

    return SwarmGateway()


def opened_network(
    config: Config,
    layout: RepoLayout,
    blocks: BlockStore,
    keys: ProvideKeys,
    swarm_key: bytes | None,
    https: SwarmGateway | None,
) -> AbstractAsyncContextManager[NodeNetwork]:
    """Raises as open_network(), and InvalidInput for a gateway's URL."""
    provide = config.provide
    urls = tuple(map(check_url, config.gateways))
    names = config.names.resolvers is None or bool(config.names.resolvers)
    key, dns = config.private_key, Dns(config.names.resolvers, time.monotonic)
    autotls = autotls_of(config, key, layout.autotls, dns, AGENT, private=swarm_key is not None)
    if unserved := https_unserved(config, autotls):
        log.warning("Gateway.OnSwarmPort has no effect: %s", unserved)
    return open_network(
        key,
        blocks,
        cache=layout.cache,
        listen=config.swarm,
        bootstrap=config.bootstrap,
        peering=config.peering,
        conn_mgr=config.conn_mgr,
        security=config.security,
        transports=config.transports,
        relays=relay_options(config),
        addresses=AddressFilter(config.addr_filters, local_only=config.local_only, names=names),
        swarm_key=swarm_key,
        local=local_options(config, swarm_key),
        kad=kad_options(config),
        announce=AnnounceOf(keys, provide.interval, provide.fetched) if provide.enabled else None,
        gateways=RetrievalOptions(urls, routed=config.http_retrieval, local=config.loopback_lan),
        limits=config.limits,
        announced=Announced(config.announce, config.append_announce, config.no_announce),
        serve_autonat=config.serve_autonat,
        map_ports=config.map_ports and not config.local_only and swarm_key is None,
        dns=dns,
        validators=Validators({"ipns": IpnsValidator(time.time_ns)}),
        autotls=autotls,
        https=None if https is None else https.protocol,
    )
