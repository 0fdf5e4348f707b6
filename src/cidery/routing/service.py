"""Several routers as one: all are asked at the same time, and answers are merged as they arrive.

Also the search for content during a fetch: providers are looked for and dialled, a few at a time.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import TypeVar

from cidery.errors import CideryError, LimitExceeded, NotFound, Unavailable
from cidery.identity.peer_id import PeerId
from cidery.multiformats.cid import CID
from cidery.routing.interface import Announcer, FoundPeer, PeerFinder, ProviderFinder, ValueRouting
from cidery.tasks import end

log = logging.getLogger("cidery.routing")
T = TypeVar("T")

MAX_QUEUED = 1024
"""Answers that wait for their reader; when there are this many, the routers wait."""
MAX_PROVIDERS = 10
"""Providers that one search looks for."""
MAX_DIALS = 10
"""Providers that one search dials concurrently."""


async def merged(sources: Sequence[AsyncGenerator[T, None]]) -> AsyncGenerator[T, None]:
    """The items of all sources, as they arrive. A failing one is logged and ends, the others continue. Cancel-safe."""
    queue: asyncio.Queue[tuple[T] | None] = asyncio.Queue(MAX_QUEUED)

    async def pour(source: AsyncGenerator[T, None]) -> None:
        try:
            async with aclosing(source) as items:
                async for one in items:
                    await queue.put((one,))
        except (CideryError, TimeoutError, OSError) as exc:
            log.debug("a router failed: %s", exc)
        await queue.put(None)

    tasks = [asyncio.create_task(pour(source)) for source in sources]
    running = len(tasks)
    try:
        while running:
            item = await queue.get()
            if item is None:
                running -= 1
            else:
                yield item[0]
    finally:
        await end(tasks)


class JoinedRouting:
    """Satisfies routing.interface.Router over any number of parts. The lists may change at any time."""

    def __init__(self, on_provided: Callable[[CID, int], Awaitable[None]] | None = None) -> None:
        """``on_provided`` is awaited after a provide(), with the number of peers that took the record."""
        self.providers: list[ProviderFinder] = []
        self.peers: list[PeerFinder] = []
        self.values: list[ValueRouting] = []
        self.announcers: list[Announcer] = []
        self._on_provided = on_provided

    @property
    def empty(self) -> bool:
        """Whether there is no router at all."""
        return not (self.providers or self.peers or self.values or self.announcers)

    async def find_providers(self, cid: CID, count: int = 0) -> AsyncGenerator[FoundPeer, None]:
        """See routing.interface.ProviderFinder."""
        seen: set[PeerId] = set()
        async with aclosing(merged([one.find_providers(cid, count) for one in self.providers])) as found:
            async for peer in found:
                if peer.peer not in seen:
                    seen.add(peer.peer)
                    yield peer
                    if len(seen) == count:
                        return

    async def find_peer(self, peer: PeerId) -> FoundPeer | None:
        """The first answer that has addresses. See routing.interface.PeerFinder."""
        tasks = [asyncio.create_task(finder.find_peer(peer)) for finder in self.peers]
        try:
            for task in asyncio.as_completed(tasks):
                try:
                    found = await task
                except (CideryError, TimeoutError, OSError) as exc:
                    log.debug("finding %s: %s", peer, exc)
                    continue
                if found is not None and found.addrs:
                    return found
            return None
        finally:
            await end(tasks)

    async def search_value(self, key: bytes, quorum: int) -> AsyncGenerator[bytes, None]:
        """The values of each router, each better than its own last one: the reader picks the best of all."""
        async with aclosing(merged([one.search_value(key, quorum) for one in self.values])) as values:
            async for value in values:
                yield value

    async def put_value(self, key: bytes, value: bytes, failed: list[str] | None = None) -> int:
        """See routing.interface.ValueRouting. An unreachable router delays no other.

        Args:
            failed: receives a line for each such router.
        """
        return await _sum([one.put_value(key, value) for one in self.values], failed)

    async def provide(self, cid: CID) -> int:
        """See routing.interface.Announcer."""
        taken = await _sum([one.provide(cid) for one in self.announcers])
        if taken and self._on_provided is not None:
            await self._on_provided(cid, taken)
        return taken


class ProviderSearch:
    """Finds and dials providers. A peer that is connected serves every fetch from then on."""

    def __init__(self, finder: ProviderFinder, dial: Callable[[FoundPeer], Awaitable[object]]) -> None:
        self._finder = finder
        self._dial = dial

    async def run(
        self,
        cid: CID,
        on_stage: Callable[[str], None] = lambda stage: None,
        on_provider: Callable[[str], None] = lambda what: None,
    ) -> int:
        """One search; returns how many providers were reached. ``on_stage`` receives "finding", "dialling".

        ``on_provider``: receives "found" for each, and later "reached" or "failed".
        """
        turns, dials = asyncio.Semaphore(MAX_DIALS), list[asyncio.Task[bool]]()

        async def dial(peer: FoundPeer) -> bool:
            async with turns:
                try:
                    await self._dial(peer)
                except (CideryError, TimeoutError, OSError) as exc:
                    log.debug("provider %s: %s", peer.peer, exc)
                    on_provider("failed")
                    return False
                on_provider("reached")
                return True

        on_stage("finding")
        try:
            async with aclosing(self._finder.find_providers(cid, MAX_PROVIDERS)) as found:
                async for peer in found:
                    on_stage("dialling")
                    on_provider("found")
                    dials.append(asyncio.create_task(dial(peer)))
            return sum(await asyncio.gather(*dials))
        finally:
            await end(dials)


async def _sum(works: Sequence[Awaitable[int]], failed: list[str] | None = None) -> int:
    """The sum of all results; an unreachable router counts nothing. Raises errors that mean an invalid value."""
    total = 0
    for one in await asyncio.gather(*works, return_exceptions=True):
        if isinstance(one, int):
            total += one
        elif isinstance(one, Unavailable | LimitExceeded | NotFound | TimeoutError | OSError):
            log.warning("a router failed: %s", one)
            if failed is not None:
                failed.append(str(one) or "a router did not answer in time")
        else:
            raise one
    return total
