"""A pin at a service: asked for, with this node's addresses and connections to help, and waited for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from cidery.errors import CideryError, NotFound, Unavailable
from cidery.pinning.records import RemotePin, encode_pin
from cidery.tasks import Tasks, logged

if TYPE_CHECKING:
    from cidery.core.network import Network
    from cidery.multiformats.cid import CID
    from cidery.multiformats.multiaddr import Multiaddr
    from cidery.pinning.io.http_service import HttpPinningService

log = logging.getLogger("cidery.pinning")

FIRST_LOOK = 0.5
"""Seconds until a service is asked again how far it is, as in Kubo."""
LAST_LOOK = 10.0
"""Longest such time, to which it grows: what takes long is not sooner known."""
GROWTH = 1.3
MAX_FAILURES = 5
"""Questions in a row that may fail before the wait is given up."""
CONNECT_SECONDS = 10.0
"""Longest attempt to reach one of the service's peers."""


class RemotePinFailed(Unavailable):
    """The service could not pin it."""

    def __init__(self, request_id: str, details: str) -> None:
        super().__init__(request_id, details)
        self.request_id = request_id
        self.details = details

    def __str__(self) -> str:
        why = f": {self.details}" if self.details else ""
        return f'remote service failed to pin requestid="{self.request_id}"{why}'


class CannotFollow(Unavailable):
    """The service has the request, and does not say how far it is."""

    def __init__(self, request_id: str, cause: str) -> None:
        super().__init__(request_id, cause)
        self.request_id = request_id
        self.cause = cause

    def __str__(self) -> str:
        return f'failed to check pin status for requestid="{self.request_id}" due to error: {self.cause}'


def origins_of(network: Network | None) -> tuple[str, ...]:
    """Where the content can be fetched from this node."""
    return () if network is None else network.identity().addresses


async def remote_pin(
    service: HttpPinningService,
    cid: CID,
    *,
    name: str,
    network: Network | None,
    stored: bool,
    wait: bool,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> AsyncGenerator[RemotePin, None]:
    """The states of the pin as they become known, the last one when it is pinned, or at once without ``wait``.

    Args:
        network: to connect to the service's peers; None: offline.
        stored: whether the content is stored here, so that the service is told this node's addresses.
    Raises: RemotePinFailed, CannotFollow, and as the service.
    Cancellation: safe; the service continues.
    """
    state = await service.add(encode_pin(cid, name, origins_of(network) if stored else ()))
    async with _connecting(network, state.delegates) as connecting:
        delay, failures = FIRST_LOOK, 0
        while True:
            yield state
            if not wait:
                await connecting()  # a request that is just queued needs them later
            if not wait or state.status == "pinned":
                return
            if state.status == "failed":
                raise RemotePinFailed(state.request_id, state.details)
            await sleep(delay)
            delay = min(LAST_LOOK, delay * GROWTH)
            try:
                now = await service.get(state.request_id)
            except CideryError as exc:
                failures += 1
                if failures >= MAX_FAILURES or not isinstance(exc, Unavailable) or isinstance(exc, NotFound):
                    raise CannotFollow(state.request_id, str(exc)) from exc
                continue
            failures = 0
            if now.request_id != state.request_id:
                raise CannotFollow(state.request_id, f'remote service sent unexpected requestid="{now.request_id}"')
            state = now


@asynccontextmanager
async def _connecting(
    network: Network | None, delegates: tuple[Multiaddr, ...]
) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Connect to peers of the service meanwhile: the transfer then need not wait until it finds this node.

    Yields a wait for the attempts. Peers that are reached before the end stay connected.
    """
    tasks = Tasks()
    started = [
        tasks.spawn(logged(_reach(network, addr), log))
        for addr in delegates
        if network is not None and addr.peer_id_bytes is not None
    ]

    async def finished() -> None:
        if started:
            await asyncio.wait(started)

    try:
        yield finished
    finally:
        await tasks.close()


async def _reach(network: Network, addr: Multiaddr) -> None:
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            await network.connect(addr)
    except TimeoutError:
        log.debug("%s was not reached in time", addr)
