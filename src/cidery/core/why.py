"""Explains the state of one CID: stored, pinned, announced, reachable; which peers have it, and where a fetch stalls.

Gathers facts from the store and the network at the same time, within a time limit, and ends with a verdict.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from typing import Any

from cidery.blockstore.drive import drive
from cidery.core.api import Api
from cidery.core.diagnosis.facts import Diagnosing, Fact, Hold, Pinned
from cidery.core.diagnosis.text import Finding, Show, details_of, kind_of, line_of
from cidery.core.diagnosis.verdict import Known, Verdict, verdict
from cidery.core.diagnosis.wholeness import wholeness
from cidery.core.reading.content_path import ContentPath
from cidery.core.reading.resolve import resolve
from cidery.core.session import StoreSession
from cidery.errors import CideryError, NotFound
from cidery.ipld.walk import Edge, walk_edges
from cidery.multiformats.cid import CID
from cidery.tasks import end

SECONDS = 10.0
"""How long it looks by default, in seconds."""
DECIDE_AFTER = 2.0
"""Seconds after which a DAG with nothing missing so far is assumed complete, so that asking the network can begin."""
LINGER = 1.5
"""Seconds that others have to answer once a holder is known."""


async def why(api: Api, cid: CID, *, seconds: float = SECONDS) -> AsyncGenerator[Fact | Verdict, None]:
    """Facts as they are learned, of which the last per subject counts; then the verdict, within ``seconds``.

    Fetches and stores nothing; offline, asks nothing outside this machine; with --lan, nothing beyond its networks.
    Raises what the store raises. Cancellation: safe (aclose).
    """
    async with aclosing(_Gathering(api, cid, seconds).run()) as facts:
        async for fact in facts:
            yield fact


async def findings(
    api: Api, path: ContentPath, *, seconds: float = SECONDS, show: Show = str
) -> AsyncGenerator[Finding, None]:
    """why() for the target of a path, or for its root if a block on the way is missing; as text and JSON.

    Raises as why(), and as resolving, except NotFound.
    """
    cid = path.root
    if path.segments:
        try:
            async with api.offline().session() as session:
                cid = await resolve(path, session)
        except NotFound:
            cid = path.root  # nothing below it can be resolved
    said: set[str] = set()
    async with aclosing(why(api, cid, seconds=seconds)) as facts:
        async for fact in facts:
            text = line_of(fact, api.clock(), show)
            yield Finding(kind_of(fact), "" if text in said else text, details_of(fact, show))
            said.add(text)


class _Gathering:
    def __init__(self, api: Api, cid: CID, seconds: float) -> None:
        self._api = api
        self._cid = cid
        self._clock: Callable[[], float] = asyncio.get_running_loop().time
        self._end = self._clock() + seconds
        self._queue: asyncio.Queue[Fact | None] = asyncio.Queue()
        self._target: asyncio.Future[tuple[CID, bool]] = asyncio.get_running_loop().create_future()
        """(the CID to ask others for, whether to dial): the first missing block, or the root if nothing is missing."""
        self._known = Known(cid, online=api.network is not None)

    async def run(self) -> AsyncGenerator[Fact | Verdict, None]:
        network = self._api.network.diagnosis() if self._api.network is not None else None
        work = [self._look_into_store(), self._look_through_pins()]
        if network is not None:
            work.append(self._ask_network(network))
        tasks = [asyncio.create_task(self._then_wake(one)) for one in work]
        running, lingering = len(tasks), False
        try:
            while running and (left := self._end - self._clock()) > 0:
                try:
                    async with asyncio.timeout(left):
                        fact = await self._queue.get()
                except TimeoutError:
                    break
                if fact is None:
                    running -= 1
                    continue
                self._known.learn(fact)
                if self._known.holders and not self._known.whole and not lingering:
                    lingering = True
                    self._end = min(self._end, self._clock() + LINGER)
                yield fact
            for task in tasks:
                if task.done():
                    task.result()  # a store that cannot be read gives no verdict
            yield verdict(self._known, self._api.clock())
        finally:
            await end(tasks)

    async def _then_wake(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        finally:
            self._queue.put_nowait(None)

    def _decide(self, cid: CID, *, dial: bool) -> None:
        if not self._target.done():
            self._target.set_result((cid, dial))

    async def _look_into_store(self) -> None:
        late = asyncio.get_running_loop().call_later(DECIDE_AFTER, lambda: self._decide(self._cid, dial=False))
        try:
            async with aclosing(wholeness(self._cid, self._api.blocks, clock=self._clock)) as steps:
                async for stored in steps:
                    if stored.missing:
                        self._decide(stored.missing[0], dial=True)
                    self._queue.put_nowait(stored)
            self._decide(self._cid, dial=False)
        finally:
            late.cancel()

    async def _look_through_pins(self) -> None:
        """The pin of the CID itself, else the first pin that reaches it, else the mutable files."""
        api, holds = self._api, list[Hold]()
        own = api.pins.get(self._cid)
        if own is not None and not own.expired(api.clock()):
            holds.append(Hold("recursive" if own.recursive else "direct", None, own.name, own.expires))
        (size,) = await api.blocks.size_many([self._cid])
        stored = size is not None or self._cid.is_identity
        if stored and (not holds or holds[0].kind == "direct"):
            self._queue.put_nowait(Pinned(tuple(holds), complete=False))
            now = api.clock()
            for pin in api.pins.every():
                if pin.recursive and not pin.expired(now) and await self._is_below(pin.cid):
                    holds.append(Hold("indirect", pin.cid, pin.name, pin.expires))
                    break
        files = api.files.recorded()
        if (
            stored
            and not holds
            and files is not None
            and (files.to_v1() == self._cid.to_v1() or await self._is_below(files))
        ):
            holds.append(Hold("files", files))
        self._queue.put_nowait(Pinned(tuple(holds), complete=True))

    async def _is_below(self, root: CID) -> bool:
        wanted = self._cid.to_v1()
        try:
            async for step in drive(walk_edges(root, unique=True, read_raw=False), StoreSession(self._api.blocks)):
                if isinstance(step, Edge) and step.target.to_v1() == wanted:
                    return True
        except CideryError:
            return False  # damaged below; `pin verify` tells the details
        return False

    async def _ask_network(self, network: Diagnosing) -> None:
        for fetch in network.fetches(self._cid):
            self._queue.put_nowait(fetch)
        self._queue.put_nowait(network.standing())
        self._queue.put_nowait(await network.announcement(self._cid))
        cid, dial = await self._target
        self._known.asked_for = cid
        async with aclosing(network.look(cid, dial=dial)) as facts:
            async for fact in facts:
                self._queue.put_nowait(fact)
