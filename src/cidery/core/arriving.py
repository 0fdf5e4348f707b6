"""A network that comes up behind the first operations of a node, and the sessions of that time."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Self

from cidery.core.session import StoreSession
from cidery.exchange.stats import SessionStats
from cidery.exchange.terms import EAGER, Terms

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from cidery.blockstore.filestore import Filestore
    from cidery.core.network import Network
    from cidery.core.session import BlockSession
    from cidery.multiformats.cid import CID

MAX_HINTS = 4096
"""Blocks named ahead that are kept for the network; later hints are dropped."""


class Arrival:
    """The start of a network. Belongs to one event loop."""

    def __init__(self) -> None:
        self._network: asyncio.Future[Network] = asyncio.get_running_loop().create_future()
        self._told = False

    def came(self, network: Network) -> None:
        """It is up."""
        self._network.set_result(network)

    def failed(self, exc: Exception) -> None:
        """It cannot come up."""
        self._network.set_exception(exc)
        self._network.exception()  # raised by wait() or raise_untold(), not by the loop

    def given_up(self) -> None:
        """The node was closed before."""
        if not self._network.done():
            self._network.cancel()

    async def wait(self) -> Network:
        """The network, once it is up. Raises what kept it from coming. Cancel-safe."""
        try:
            return await asyncio.shield(self._network)
        except Exception:
            self._told = True
            raise

    def raise_untold(self) -> None:
        """Raise what kept it from coming, if wait() has not."""
        if self._network.done() and not self._network.cancelled() and not self._told:
            self._told = True
            self._network.result()


class ArrivingSession:
    """A BlockSession that reads the store, and waits for the network with the first block that is not there."""

    def __init__(self, blocks: Filestore, arrival: Arrival, *, kept: bool, terms: Terms = EAGER) -> None:
        self._local = StoreSession(blocks)
        self._arrival = arrival
        self._kept = kept
        self._terms = terms
        self._stack = AsyncExitStack()
        self._online: BlockSession | None = None
        self._root: CID | None = None
        self._hints: dict[CID, None] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> bool | None:
        return await self._stack.__aexit__(*exc)  # type: ignore[arg-type]

    @property
    def _now(self) -> BlockSession:
        return self._local if self._online is None else self._online

    def get_if_ready(self, cid: CID) -> bytes | memoryview | None:
        return self._now.get_if_ready(cid)

    async def get(self, cid: CID) -> bytes | memoryview:
        """The block. Raises as Arrival.wait() and the network's session. Cancel-safe."""
        if self._online is None:
            found = await self._local.find(cid)
            if found is not None:
                return found
            network = await self._arrival.wait()
            opened = network.session(kept=self._kept, terms=self._terms)
            self._online = await self._stack.enter_async_context(opened)
            if self._root is not None:
                self._online.expect(self._root)
            self._online.prefetch(tuple(self._hints))
            self._hints.clear()
        return await self._online.get(cid)

    def prefetch(self, cids: Sequence[CID]) -> None:
        if self._online is not None:
            self._online.prefetch(cids)
        elif len(self._hints) + len(cids) <= MAX_HINTS:
            self._hints.update(dict.fromkeys(cids))

    def expect(self, root: CID) -> None:
        self._root = root
        if self._online is not None:
            self._online.expect(root)

    async def sync(self) -> None:
        await self._now.sync()

    def stats(self) -> SessionStats:
        """Of both parts; before the network is up, of the store."""
        local = self._local.stats()
        if self._online is None:
            return local
        both = self._online.stats()
        return both._replace(local=(both.local[0] + local.local[0], both.local[1] + local.local[1]))
