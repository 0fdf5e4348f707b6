"""Brings up the network of a node behind the first operations of its user.

Most of a start is imports: they run in a thread, module by module, so that a node that is closed meanwhile does not
wait for all of them. One task then holds the network from its start to its end.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from contextlib import AsyncExitStack, asynccontextmanager

from cidery.core.api import Api
from cidery.core.arriving import Arrival
from cidery.errors import CideryError
from cidery.late_imports import import_each

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import Protocol

    from cidery.core.api import Parts
    from cidery.node.network import NodeNetwork
    from cidery.repo.pins import Pin

    class Connecting(Parts, Protocol):
        """Parts whose network is still to come."""

        network: NodeNetwork | None

        async def connect(self, stack: AsyncExitStack) -> None: ...


MODULES = (
    "dataclasses",
    "cryptography.hazmat.primitives.asymmetric.ed25519",
    "cidery.identity.keys",
    "cidery.libp2p.protocols.noise",
    "cidery.libp2p.io.connection",
    "cidery.libp2p.io.swarm",
    "cidery.exchange.service",
    "cidery.bitswap.service",
    "cidery.kad.service",
    "cidery.libp2p.io.autonat",
    "cidery.node.network",
    "cidery.node.connected",
    "cidery.core.resume",
)
"""In this order each takes about a tenth of the whole."""

HEAD_START = 0.02
"""Seconds for the caller before the imports, which take ten times as long, begin to share the interpreter with it."""

log = logging.getLogger("cidery.node")


@asynccontextmanager
async def connected_behind(parts: Connecting) -> AsyncIterator[Arrival]:
    """A network that is on its way inside the context; it is up when Arrival.wait() returns."""
    arrival, closing = Arrival(), asyncio.Event()
    task = asyncio.get_running_loop().create_task(_hold(parts, arrival, closing))
    try:
        yield arrival
    finally:
        closing.set()
        if parts.network is None:
            task.cancel()
        await asyncio.wait([task])
        arrival.given_up()
        if not task.cancelled():
            task.result()


async def _hold(parts: Connecting, arrival: Arrival, closing: asyncio.Event) -> None:
    """Start the network, and the work that waits for one; end both when ``closing``."""
    early: list[Pin] = []
    parts.pins.on_added.append(early.extend)
    async with AsyncExitStack() as stack:
        try:
            await asyncio.sleep(HEAD_START)
            await _imported()
            before = len(parts.pins.on_added)
            await parts.connect(stack)
            from cidery.core.resume import going_on

            await stack.enter_async_context(going_on(Api(parts)))
        except CideryError as exc:
            log.warning("the network cannot be started: %s", exc)
            parts.network = None
            arrival.failed(exc)
            return
        except Exception as exc:
            log.exception("the network cannot be started")
            parts.network = None
            arrival.failed(exc)
            return
        finally:
            parts.pins.on_added.remove(early.extend)
        for hook in parts.pins.on_added[before - 1 :]:  # what was pinned before is announced as if it were now
            hook(early)
        assert parts.network is not None  # connect() sets it
        arrival.came(parts.network)
        await closing.wait()


async def _imported() -> None:
    """Import what a network needs, in a thread. Cancelled, it waits for the module under way only."""
    stop = threading.Event()
    running = asyncio.ensure_future(asyncio.to_thread(import_each, MODULES, stop.is_set))
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait([running])
        raise
