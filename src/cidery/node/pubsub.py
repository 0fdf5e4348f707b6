"""Pubsub of a connected node, composed: the service, the names that go over it, and the peers that take part."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import islice

from cidery.core.naming import Naming
from cidery.core.pubsub import NodePubsub
from cidery.errors import CideryError
from cidery.identity.peer_id import PeerId
from cidery.namesys.over_pubsub import MAX_NAMES, PubsubNames
from cidery.node.network import NodeNetwork
from cidery.pubsub.message import FLOODSUB, PROTOCOLS
from cidery.pubsub.service import PubsubService
from cidery.repo.config import PubsubConfig
from cidery.repo.names import FOLLOWED, OWN, StoredName


@asynccontextmanager
async def opened_pubsub(network: NodeNetwork, naming: Naming, config: PubsubConfig) -> AsyncIterator[NodePubsub | None]:
    """Take part while the context is open; None if the config has it off."""
    if not (config.enabled or config.ipns):
        yield None
        return
    known, routed = network.identification.known, not network.routing.empty
    service = PubsubService(
        network.swarm,
        chance=random.Random(int.from_bytes(network.entropy(8))),
        seqno=time.time_ns(),
        protocols=(FLOODSUB,) if config.router == "floodsub" else PROTOCOLS,
        router=network.routing if routed else None,
        dial=network.reach,
    )

    def learned(peer: PeerId) -> None:
        service.learned(peer, known[peer].protocols if peer in known else ())

    network.identification.on_learned.append(learned)
    for peer in list(known):
        learned(peer)
    network.upkeep.values.append(service.value_of)
    service.start()
    names = await _names(service, network, naming) if config.ipns else None
    await network.identification.push()
    try:
        yield NodePubsub(service, names)
    finally:
        network.identification.on_learned.remove(learned)
        network.upkeep.values.remove(service.value_of)
        if names is not None:
            network.routing.values.remove(names)
            await names.close()
        await service.close()


def _stored(naming: Naming, kind: bytes) -> list[StoredName]:
    return list(islice(naming.names.every(kind), MAX_NAMES))


async def _names(service: PubsubService, network: NodeNetwork, naming: Naming) -> PubsubNames:
    """Records go over pubsub beside the other routers; own names and those kept alive are followed at once."""
    names = PubsubNames(service, network.swarm, time.time_ns)
    names.on_record = naming.resolver.remember
    network.routing.values.append(names)
    for kind in (OWN, FOLLOWED):
        for stored in await asyncio.to_thread(_stored, naming, kind):
            try:
                names.follow(stored.name, stored.record)
            except CideryError:  # more than one node can follow
                return names
    return names
