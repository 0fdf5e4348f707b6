"""Followers of a topic are found by provider records: those of go-libp2p, so that each side finds the other.

The record is that of a CID made of the topic's name; nobody has such a block.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import aclosing

from cidery.errors import CideryError
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import RAW
from cidery.routing.interface import FoundPeer, Router

log = logging.getLogger("cidery.pubsub")

NAMESPACE = "floodsub:"
"""What go-libp2p-pubsub puts before a topic, whatever the protocol."""
MAX_FOUND = 20
"""Peers that one look dials."""
LOOK_EVERY = 60.0
"""Seconds between two looks while there are too few followers."""
ANNOUNCE_EVERY = 12 * 3600.0
"""Seconds between two announcements: records last for 48 hours at most peers, for 24 at some."""
MAX_LOOKS = 4
"""Topics for which a node looks, or is announced, at a time: names that strangers look up become topics, too."""
LOOK_SECONDS = 30.0
"""Longest look."""


def topic_cid(topic: str) -> CID:
    """The CID under which followers of a topic are announced."""
    return CID.of((NAMESPACE + topic).encode(), RAW)


async def meet(
    topic: str,
    router: Router,
    dial: Callable[[FoundPeer], Awaitable[object]],
    enough: Callable[[], bool],
    clock: Callable[[], float],
    turns: asyncio.Semaphore,
) -> None:
    """Announce that this node follows a topic, and look for others until there are enough; for ever.

    ``turns``: shared by all topics. Cancellation: ends it.
    """
    announced = -ANNOUNCE_EVERY
    while True:
        try:
            async with turns, asyncio.timeout(LOOK_SECONDS):
                if not enough():
                    await _look(topic_cid(topic), router, dial)
        except (CideryError, TimeoutError, OSError) as exc:
            log.debug("looking for followers of %.60r: %s", topic, exc)
        if clock() - announced >= ANNOUNCE_EVERY:
            try:
                async with turns:
                    if await router.provide(topic_cid(topic)):
                        announced = clock()
            except (CideryError, TimeoutError, OSError) as exc:
                log.debug("announcing %.60r: %s", topic, exc)
        await asyncio.sleep(LOOK_EVERY)


async def _look(cid: CID, router: Router, dial: Callable[[FoundPeer], Awaitable[object]]) -> None:
    async with aclosing(router.find_providers(cid, MAX_FOUND)) as found:
        async for peer in found:
            try:
                await dial(peer)
            except (CideryError, TimeoutError, OSError) as exc:
                log.debug("follower %s: %s", peer.peer, exc)
