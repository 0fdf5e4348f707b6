"""Connects the content of a node (pins, fetches) with announcing it in the DHT."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import aclosing

from cidery.core.keeping.provide import ProvideKeys
from cidery.kad.io.announce import AnnounceOptions, Announcing
from cidery.node.network import NodeNetwork
from cidery.repo.config import ProvideConfig
from cidery.repo.pins import Pin, Pins


def start_announcing(network: NodeNetwork, config: ProvideConfig, keys: ProvideKeys, pins: Pins) -> None:
    """Announce existing and new content until the network closes. Does nothing if the config says so."""
    if network.kad is None or network.cache is None or not config.enabled:
        return
    announcing = Announcing(
        network.kad.both,
        network.cache,
        AnnounceOptions(config.interval),
        gather=keys.gather,
        still_here=keys.still_here,
        entropy=network.entropy,
        wall_clock=time.time,
    )

    async def pinned(pin: Pin) -> None:
        async with aclosing(keys.of_pin(pin)) as batches:
            async for batch in batches:
                announcing.add(batch)

    def on_pinned(added: Sequence[Pin]) -> None:
        for pin in added:
            announcing.announce(pin.cid.multihash)
            network.spawn(pinned(pin))

    if keys.announces_roots():
        pins.on_added.append(on_pinned)
    if config.fetched:
        network.on_fetched = lambda cid: announcing.announce(cid.multihash, fetched=True)
    network.routing.on_provided = lambda cid, taken: announcing.note(cid.multihash, taken)
    network.run_announcing(announcing)
