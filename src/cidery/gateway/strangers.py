"""What strangers may have others asked for: fetches at a time, bytes, waiting, and names looked up, of each client.

What is stored costs them nothing, and a name whose target is known neither. Beyond a limit they get 429 and the time
after which to try again; an answer that has begun slows down to the rate.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from cidery.budgets import STRANGER_BYTES, STRANGER_FETCHES, STRANGER_NAMES, STRANGER_WAITING, Bucket
from cidery.core.session import BlockSession
from cidery.errors import LimitExceeded
from cidery.exchange.stats import SessionStats
from cidery.gateway.shared_counts import Running, SharedBucket, Spent, WorkerCounts
from cidery.multiformats.cid import CID

MAX_CLIENTS = 16 * 1024
"""Strangers whose accounts are kept; beyond it the account of the one that came first and has no fetch is dropped."""
MIB = 1 << 20
BUSY_SECONDS = 1
"""Seconds after which one whose fetches run may try again."""
LATER_SECONDS = 30
"""Seconds after which content may be available for which one has waited."""


class TooMuchFetched(LimitExceeded):
    """A client's limit on fetching, or on looking up names."""

    def __init__(self, reason: str, retry_after: int) -> None:
        super().__init__(reason, retry_after)
        self.reason = reason
        self.retry_after = retry_after
        """Seconds."""

    def __str__(self) -> str:
        return f"{self.reason}: try again in {self.retry_after} s; what is stored here is not limited"


class _Account:
    """Of one client."""

    def __init__(self, client: str, now: float, shared: WorkerCounts | None) -> None:
        self.running = 0
        self.bytes: Bucket | SharedBucket
        self.names: Bucket | SharedBucket
        if shared is None:
            self.bytes, self.names = Bucket(STRANGER_BYTES, now), Bucket(STRANGER_NAMES, now)
        else:
            self.bytes = shared.bucket(Spent.BYTES, STRANGER_BYTES, client)
            self.names = shared.bucket(Spent.NAMES, STRANGER_NAMES, client)


class Strangers:
    """The accounts of one gateway."""

    def __init__(self, clock: Callable[[], float], shared: WorkerCounts | None = None) -> None:
        """``shared``: with the other workers of the gateway, whose clock is the same."""
        self._clock = clock
        self._shared = shared
        self._accounts: OrderedDict[str, _Account] = OrderedDict()
        self.running = 0
        """Fetches of all clients."""

    @asynccontextmanager
    async def fetching(
        self, client: str, opened: AbstractAsyncContextManager[BlockSession]
    ) -> AsyncIterator[BlockSession]:
        """``opened``, on the account of ``client``. Raises TooMuchFetched."""
        account = self._account(client)
        shared = self._shared
        others = 0 if shared is None else shared.others(Running.FETCHES, client)
        if account.running + others >= STRANGER_FETCHES.amount:
            raise TooMuchFetched(f"more than {STRANGER_FETCHES.size} of one client at once", BUSY_SECONDS)
        debt = account.bytes.reserve(self._clock(), 0.0)
        if debt > 0:
            raise TooMuchFetched(f"more than {STRANGER_BYTES.size}, of one client", math.ceil(debt))
        account.running += 1
        self.running += 1
        if shared is not None:
            shared.add(Running.FETCHES, client, 1)
        try:
            async with opened as session:
                metered = Metered(session, account.bytes, self._clock)
                try:
                    yield metered
                finally:
                    metered.owes()  # what came and was not read counts, too
        finally:
            account.running -= 1
            self.running -= 1
            if shared is not None:
                shared.add(Running.FETCHES, client, -1)

    def look_up(self, client: str) -> None:
        """Count a name that is about to be looked up for ``client``. Raises TooMuchFetched."""
        names = self._account(client).names
        if (debt := names.reserve(self._clock())) > 0:
            names.give_back()
            raise TooMuchFetched(f"more than {STRANGER_NAMES.size}, of one client", math.ceil(debt))

    def _account(self, client: str) -> _Account:
        account = self._accounts.pop(client, None) or _Account(client, self._clock(), self._shared)
        self._accounts[client] = account
        if len(self._accounts) > MAX_CLIENTS:
            idle = next((name for name, one in self._accounts.items() if not one.running and name != client), None)
            if idle is not None:
                del self._accounts[idle]
        return account


class Metered:
    """A BlockSession whose bytes from other nodes are paid for, and whose reader waits a limited time."""

    def __init__(self, session: BlockSession, account: Bucket | SharedBucket, clock: Callable[[], float]) -> None:
        self._session = session
        self._account = account
        self._clock = clock
        self._paid = 0
        self._waited = 0.0
        """Seconds that get() has waited for blocks."""

    def owes(self) -> float:
        """Seconds until what has come is paid for."""
        came = sum(size for _, size in self._session.stats().by_source.values())
        new, self._paid = came - self._paid, came
        return self._account.reserve(self._clock(), new / MIB)

    def get_if_ready(self, cid: CID) -> bytes | memoryview | None:
        return None if self.owes() > 0 else self._session.get_if_ready(cid)

    async def get(self, cid: CID) -> bytes | memoryview:
        """As BlockSession.get(), after a pause if the account is in debt. Raises TooMuchFetched. Cancel-safe."""
        if (debt := self.owes()) > 0:
            await asyncio.sleep(debt)
        found = self._session.get_if_ready(cid)
        if found is not None:
            return found
        began = self._clock()
        try:
            async with asyncio.timeout(max(0.0, STRANGER_WAITING.amount - self._waited)):
                return await self._session.get(cid)
        except TimeoutError as exc:
            reason = f"it took more than {STRANGER_WAITING.size} to get this"
            raise TooMuchFetched(reason, LATER_SECONDS) from exc
        finally:
            self._waited += self._clock() - began

    def prefetch(self, cids: Sequence[CID]) -> None:
        self._session.prefetch(cids)

    def expect(self, root: CID) -> None:
        self._session.expect(root)

    async def sync(self) -> None:
        await self._session.sync()

    def stats(self) -> SessionStats:
        return self._session.stats()

    async def __aenter__(self) -> Metered:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Its maker ends the session."""
