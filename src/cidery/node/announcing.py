"""Connects the content of a node (pins, fetches) with announcing it in the DHT."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from cidery.core.keeping.provide import ProvideKeys
from cidery.kad.io.announce import AnnounceOptions, Announcing
from cidery.kad.io.dht import Dht
from cidery.repo.cache import Cache
from cidery.repo.pins import Pin, Pins


@dataclass(frozen=True, slots=True)
class AnnounceOf:
    """What a node announces."""

    keys: ProvideKeys
    interval: float
    """Seconds between two announcements of a key."""
    fetched: bool
    """Whether the roots of fetches are announced too."""

    def announcing(self, dhts: Sequence[Dht], cache: Cache, entropy: Callable[[int], bytes]) -> Announcing:
        return Announcing(
            dhts,
            cache,
            AnnounceOptions(self.interval),
            gather=self.keys.gather,
            still_here=self.keys.still_here,
            entropy=entropy,
            wall_clock=time.time,
        )


def announce_pins(
    announcing: Announcing, keys: ProvideKeys, pins: Pins, spawn: Callable[[Coroutine[Any, Any, None]], None]
) -> None:
    """From now on announce new pins: their roots at once, the rest with the sweep."""

    async def pinned(pin: Pin) -> None:
        async with aclosing(keys.of_pin(pin)) as batches:
            async for batch in batches:
                announcing.add(batch)

    def on_pinned(added: Sequence[Pin]) -> None:
        for pin in added:
            announcing.announce(pin.cid.multihash)
            spawn(pinned(pin))

    if keys.announces_roots():
        pins.on_added.append(on_pinned)
