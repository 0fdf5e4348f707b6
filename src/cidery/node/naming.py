"""Names, composed: keys, stored records, DNS, fixed names of the environment. Satisfies what core.naming needs."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from cidery.core.keys import KeyRing
from cidery.core.naming import Naming
from cidery.dns.service import Dns
from cidery.identity.keys import PrivateKey
from cidery.identity.peer_id import PeerId
from cidery.namesys.publisher import NamePublisher, ValuePutting, keep_published
from cidery.namesys.resolver import NameResolver, ValueSearch
from cidery.repo.config import Config
from cidery.repo.keystore import Keystore
from cidery.repo.names import Names
from cidery.repo.state import State
from cidery.tasks import end

MAP_VARIABLES = ("IPFS_NS_MAP", "IPNS_NS_MAP")
"""Environment variable with fixed names, ``example.org:/ipfs/CID,...``: for tests, and where there is no DNS."""


class ValueRouting(ValuePutting, ValueSearch, Protocol):
    """What naming needs of the routing."""


def fixed_names() -> dict[str, str]:
    """Name or domain -> path, from the environment; malformed entries are ignored."""
    found: dict[str, str] = {}
    for variable in MAP_VARIABLES:
        for entry in os.environ.get(variable, "").split(","):
            name, colon, path = entry.strip().partition(":")
            if colon and path.startswith(("/ipfs/", "/ipns/")):
                found[name.lower() if "." in name else name] = path
    return found


@asynccontextmanager
async def republishing(naming: Naming, config: Config) -> AsyncIterator[None]:
    """Keep the names alive, own and followed ones, while the context is open."""
    if not config.names.republish_period:
        yield
        return
    rounds = asyncio.create_task(keep_published(naming.publisher, asyncio.sleep, config.names.republish_period))
    try:
        yield
    finally:
        await end([rounds])


def open_naming(
    config: Config, state: State, store: Keystore, routing: ValueRouting | None, elsewhere: ValueSearch | None = None
) -> Naming:
    """``routing``: None for an offline node. ``elsewhere``: finds records instead of it. Raises BadResolver."""
    names, keys = Names(state), KeyRing(config.private_key, store, os.urandom)
    dns, fixed = Dns(config.names.resolvers, time.monotonic), fixed_names()

    def resolver(search: ValueSearch | None) -> NameResolver:
        return NameResolver(
            names,
            dns,
            search,
            clock=time.monotonic,
            wall=time.time,
            fixed=fixed,
            max_ttl=config.names.max_cache_ttl,
        )

    async def key_of(name: PeerId) -> PrivateKey | None:
        return await asyncio.to_thread(keys.of, name)

    online = resolver(routing or elsewhere)
    return Naming(
        resolver=online,
        local=online if routing is None and elsewhere is None else resolver(None),
        publisher=NamePublisher(names, online, routing, key_of),
        keys=keys,
        names=names,
    )
