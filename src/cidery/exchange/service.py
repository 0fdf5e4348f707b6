"""The driver of a fetch session: local blocks immediately, others from sources; arriving blocks go into the store.

Knows no protocol: a ``Sources`` finds and asks the sources.
"""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import islice
from types import TracebackType
from typing import Protocol, Self

from cidery.blockstore.interface import BlockStore
from cidery.errors import CideryError
from cidery.exchange.begun import has_begun
from cidery.exchange.commands import Ask, Cancel, GiveUp, Search, Share
from cidery.exchange.failures import NobodyToAsk, NoSourceHasIt
from cidery.exchange.interface import PeerSources
from cidery.exchange.lonely import Lonely
from cidery.exchange.read_ahead import ReadAhead
from cidery.exchange.session import FetchSession
from cidery.exchange.stats import SessionState, SessionStats
from cidery.exchange.terms import EAGER, Terms
from cidery.exchange.waits import SessionWaits
from cidery.ipld.block import Block
from cidery.multiformats.cid import CID

KEPT_READY = 12 * 1024 * 1024
"""Bytes of arrived blocks kept in memory for the reader; beyond them stored blocks are read from the store."""
STORE_BATCH = 4 * 1024 * 1024
"""Bytes stored at a time."""
MAX_UNCHECKED = 64 * 1024
"""Prefetch hints waiting to be looked up in the store; further ones are dropped."""
SHOWN_WANTS = 3
"""Wants that a session lists when asked what it waits for."""
CHECK_BATCH = 256
"""Hints looked up at a time."""


class Sources(PeerSources, Protocol):
    """Sources of every kind, and the search for more."""

    def search(self, session: "NetworkSession", cid: CID) -> None:
        """Look for further sources that have ``cid``. A hint; a search already running for the session continues."""
        ...

    def stream(self, session: "NetworkSession", root: CID, source: str) -> None:
        """Begin to stream everything below ``root`` from a source, if it can and the line to it is long. A hint."""
        ...

    def end_stream(self, session: "NetworkSession") -> None:
        """End the stream of a session, if there is one; on_stream_end() follows."""
        ...

    def stage(self, session: "NetworkSession") -> str:
        """The state of a search for the session: "finding", "dialling", "" when none runs."""
        ...

    def alone(self) -> bool:
        """Whether no source is there and nothing is under way or configured that could find one."""
        ...


class NetworkSession:
    """One request's blocks. Satisfies ``core.session.BlockSession``; used by one task, within ``async with``."""

    def __init__(
        self,
        store: BlockStore | None,
        sources: Sources,
        *,
        clock: Callable[[], float],
        waits: SessionWaits,
        kept: bool = False,
        seed: int = 0,
        terms: Terms = EAGER,
    ) -> None:
        """``store`` None: blocks are verified, handed out and dropped ("to memory"). ``seed``: see FetchSession."""
        self.terms = terms
        self.on_fetched: Callable[[CID], None] | None = None
        """Called at the end with the first CID requested, if anything came from other nodes."""
        self.providers: Counter[str] = Counter()
        """Providers that searches "found", "reached", and "failed" to reach."""
        self.searched = False
        self._first: CID | None = None
        self._by_source: dict[str, tuple[int, int]] = {}
        self._local_blocks = self._local_bytes = 0
        self._store = store
        self._sources = sources
        self._clock = clock
        self._kept = kept
        self._machine = FetchSession(waits, clock(), seed=seed, in_order=store is None)
        self._ready: OrderedDict[CID, memoryview] = OrderedDict()
        self._ready_bytes = 0
        self._waiters: dict[CID, asyncio.Future[memoryview]] = {}
        self._unchecked: OrderedDict[CID, None] = OrderedDict()
        self._checking: asyncio.Task[None] | None = None
        self._unstored: OrderedDict[CID, Block] = OrderedDict()
        self._unstored_bytes = 0
        self._storing: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._failure: CideryError | None = None
        self._attached = False
        self._lonely = Lonely(sources.alone, lambda: self._end_waits(NobodyToAsk))
        self._waits = waits
        self._streamed_at = 0.0
        self._streaming = ""
        """The source that streams a whole DAG: until it ends, no other is asked for blocks."""
        self._expected: CID | None = None
        """Root of a DAG that will be read as a whole, until it is known whether one source can stream it."""
        self._taken = asyncio.Event()
        self._ahead = ReadAhead(paced=terms.paced)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._lonely.end()
        if self._timer is not None:
            self._timer.cancel()
        if self._attached:
            self._attached = False
            self._sources.detach(self)
        if self._checking is not None:
            self._checking.cancel()
        if self._storing is not None:
            await asyncio.wait([self._storing])
        if self.on_fetched is not None and self._first is not None and self._by_source:
            self.on_fetched(self._first)
        if self._failure is not None and kind is None:
            raise self._failure

    # --- the reader

    async def sync(self) -> None:
        """On return, every block received so far is stored durably. Raises as storing."""
        while self._storing is not None:
            await asyncio.wait([self._storing])
        if self._failure is not None:
            raise self._failure
        if self._store is not None:
            await self._store.sync()

    def stats(self) -> SessionStats:
        """Counters so far."""
        stage = self._machine.stage() if self._attached else "local"
        if stage in ("finding", "asking"):
            stage = self._sources.stage(self) or stage
        owing = tuple(name for name, source in self._machine.sources.items() if source.outstanding)
        if self._streaming:
            stage, owing = self._stream_stage(), (self._streaming,)
        local = self._local_blocks, self._local_bytes
        known = self._machine.sources.values()
        lacking = sum(source.last_answer == "dont-have" for source in known)
        providers = self.providers["found"], self.providers["reached"], self.providers["failed"]
        own = stage, local, dict(self._by_source), self._machine.duplicates, owing
        return SessionStats(*own, len(known), lacking, providers, self.searched)

    def _stream_stage(self) -> str:
        full = self._room() < 0  # the reader is slow, not the source
        if not full and self._clock() - self._streamed_at >= self._waits.stall(None):
            return "stalled"
        return "receiving" if self._streaming in self._by_source else "asking"

    def concerns(self, cid: CID) -> bool:
        """Whether it began with ``cid``, or wants it."""
        return self._first == cid or cid in self._machine.wants()

    def state(self) -> SessionState:
        """Its current state, source by source."""
        now = self._clock()
        sums = list(self._by_source.values())
        return SessionState(
            self.stats().stage,
            self._first,
            self._machine.wanted,
            tuple(islice(self._machine.wants(), SHOWN_WANTS)),
            sum(blocks for blocks, _ in sums),
            sum(size for _, size in sums),
            now - self._streamed_at if self._streaming else self._machine.silent(now),
            tuple(source.state(now) for source in self._machine.sources.values()),
        )

    def get_if_ready(self, cid: CID) -> bytes | memoryview | None:
        """The block if it is available without waiting."""
        if cid.is_identity:
            return cid.identity_data
        data = self._take(cid)
        if data is not None or self._store is None:
            return data
        local = self._store.get_if_ready(cid)
        return None if local is None else self._found(cid, local)

    async def get(self, cid: CID) -> bytes | memoryview:
        """The block, from the store or a source. Raises NoSourceHasIt, NobodyToAsk, and as storing. Cancel-safe."""
        if self._first is None:
            self._first = cid
        data = self.get_if_ready(cid)
        if data is not None:
            return data
        if self._store is not None and cid not in self._waiters:
            local = (await self._store.get_many([cid]))[0]
            if local is not None:
                return self._found(cid, local)
            if (data := self._take(cid)) is not None:
                return data
        if cid.names_nothing:
            self._put(cid, memoryview(b""))
            return b""
        if self._failure is not None:
            raise self._failure
        waiter = self._waiters.get(cid)
        if waiter is None:
            waiter = self._waiters[cid] = asyncio.get_running_loop().create_future()
        self._attach()
        self._ahead.waits()
        self._machine.need(cid, self._clock())
        self._turn()
        self._lonely.waits(asyncio.get_running_loop().call_later)
        try:
            return await waiter
        finally:
            self._waiters.pop(cid, None)

    def prefetch(self, cids: Sequence[CID]) -> None:
        """These will be requested soon, in this order."""
        if self._streaming and self._store is not None:
            # nothing of it was stored before, so what is not here is still to come
            self._want(cid for cid in cids if not self._machine.has_had(cid))
            return
        if self._store is None:
            self._attach()
            self._want(cid for cid in cids if not cid.is_identity and cid not in self._ready)
            self._turn()
            return
        for cid in cids:
            if len(self._unchecked) >= MAX_UNCHECKED:
                break
            if not cid.is_identity and cid not in self._ready and cid not in self._unstored:
                self._unchecked[cid] = None
        if self._unchecked and self._checking is None:
            self._checking = asyncio.get_running_loop().create_task(self._check())

    async def _check(self) -> None:
        """Request from the network only what the store does not have."""
        assert self._store is not None  # without a store, prefetch() requests directly
        try:
            while self._unchecked:
                batch = [self._unchecked.popitem(last=False)[0] for _ in range(min(CHECK_BATCH, len(self._unchecked)))]
                sizes = await self._store.size_many(batch)
                absent = [cid for cid, size in zip(batch, sizes, strict=True) if size is None]
                absent = [cid for cid in absent if cid not in self._ready and cid not in self._unstored]
                if absent:
                    self._attach()
                    self._want(absent)
                    self._turn()
        except CideryError as exc:
            self._fail(exc)
        finally:
            self._checking = None

    def _want(self, cids: Iterable[CID]) -> None:
        # what has no bytes is known by its name, and boxo up to 0.43 denies having it
        self._machine.want((cid for cid in cids if not cid.names_nothing), self._clock())

    def expect(self, root: CID) -> None:
        """Everything below ``root`` will be requested, depth first: over a long line a source may stream it all.

        Nothing is streamed when part of it is stored already: the rest may be, too; nor when several sources have it.
        A hint.
        """
        if root.is_identity or (self._store is not None and has_begun(self._store, root)):
            return
        self._attach()
        self._expected = root
        self._consider_stream()

    def _consider_stream(self) -> None:
        """Begin a stream if a single source has it all, and end it when it turns out that others have it, too."""
        if self._expected is not None:
            known, source = self._machine.sole_source(self._expected)
            root, self._expected = self._expected, None if known else self._expected
            if source:
                self._sources.stream(self, root, source)
        elif self._streaming and any(
            source.usable and name != self._streaming for name, source in self._machine.sources.items()
        ):
            self._sources.end_stream(self)

    # --- a stream of a whole DAG

    def on_stream(self, name: str) -> None:
        """A source begins to stream; nothing else is requested until on_stream_end()."""
        self._streaming, self._streamed_at = name, self._clock()

    def on_streamed(self, name: str, cid: CID, data: memoryview) -> None:
        """A verified block of the stream, wanted now or later."""
        self._streamed_at = self._clock()
        if cid not in self._unstored and cid not in self._ready:
            self._machine.on_streamed(cid, self._streamed_at)
            self._arrived(name, cid, data)

    async def room(self) -> None:
        """Wait until the reader and the store have taken enough of the received blocks."""
        while self._room() < 0 and self._attached:
            self._taken.clear()
            await self._taken.wait()

    def on_stream_end(self) -> None:
        """The stream has ended, complete or not: remaining wants are requested from all sources."""
        self._streaming = ""
        if self._attached:
            self._turn()

    # --- sources

    def on_source(self, name: str, round_trip: float | None, *, gave: bool = False) -> None:
        """A source can be asked."""
        self._lonely.meets()
        self._machine.add_source(name, round_trip, self._clock(), gave=gave)
        self._turn()

    def on_source_gone(self, name: str) -> None:
        self._machine.remove_source(name, self._clock())
        self._turn()

    def on_wanted(self, name: str, cids: Sequence[CID]) -> None:
        if any(self._machine.concerns(cid) for cid in cids):
            self._machine.on_reader(name, self._clock())

    def on_have(self, name: str, cid: CID) -> None:
        if (giver := self._machine.asked_of(cid)) is not None:
            self._listen_to(giver)  # whether it brings the block decides whether the want turns to the one that has it
        self._machine.on_have(name, cid, self._clock())

    def on_dont_have(self, name: str, cid: CID) -> None:
        self._machine.on_dont_have(name, cid, self._clock())

    def on_block(self, name: str, cid: CID, data: memoryview, came: int = 0) -> bool:
        """A verified block; False if this session did not want it. turn() follows at the end of a message."""
        if not self._machine.on_block(name, cid, came or len(data), self._clock()):
            return False
        self._arrived(name, cid, data)
        return True

    def on_wrong(self, name: str, size: int) -> None:
        self._machine.on_wrong(name, size, self._clock())

    def _arrived(self, name: str, cid: CID, data: memoryview) -> None:
        blocks, size = self._by_source.get(name, (0, 0))
        self._by_source[name] = (blocks + 1, size + len(data))
        waiter = self._waiters.pop(cid, None)
        if waiter is not None and not waiter.done():
            self._ahead.took(cid, len(data))
            waiter.set_result(data)
        else:
            self._ahead.came(cid, len(data))
            self._ready[cid] = data
            self._ready_bytes += len(data)
        self._put(cid, data)

    def _put(self, cid: CID, data: memoryview) -> None:
        if self._store is not None:
            self._unstored[cid] = Block(cid, data)
            self._unstored_bytes += len(data)
            if self._storing is None:
                self._storing = asyncio.get_running_loop().create_task(self._store_all())

    def turn(self) -> None:
        """After a batch of on_* calls: decide what to request next."""
        self._turn()

    # --- inside

    def _attach(self) -> None:
        if not self._attached:
            self._attached = True
            self._sources.attach(self)

    def _room(self, outstanding: int = 0) -> int:
        return self._ahead.room(outstanding, self._ready_bytes + self._unstored_bytes)

    def _take(self, cid: CID) -> memoryview | None:
        data = self._ready.pop(cid, None)
        if data is not None:
            self._ready_bytes -= len(data)
            self._took(cid, len(data))
        elif cid in self._unstored:
            data = memoryview(self._unstored[cid].data)
            self._took(cid, len(data))
        return data

    def _found(self, cid: CID, data: bytes | memoryview) -> bytes | memoryview:
        """A block of the store, where it may have been put by this session."""
        self._local_blocks += 1
        self._local_bytes += len(data)
        if self._ahead.unread(cid):
            self._took(cid, len(data))
        return data

    def _took(self, cid: CID, size: int) -> None:
        self._ahead.took(cid, size)
        self._taken.set()
        if self._attached and self._ahead.asks_on(self._machine.outstanding_bytes):
            self._turn()

    def _rests(self) -> bool:
        """Whether the reader has enough for now."""
        return self.terms.paced and not self._waiters and self._room() <= 0

    def _turn(self) -> None:
        now = self._clock()
        if len(self._machine.sources) > 1:
            self._listen()
        room = self._room(self._machine.outstanding_bytes)
        if self._expected is not None or self._streaming:
            self._consider_stream()
        resting = self._rests()
        for command in self._machine.poll(now, room, streams=self._streaming, resting=resting):
            match command:
                case Ask(source, blocks, haves):
                    self._sources.ask(self, source, blocks, haves)
                case Cancel(source, cids):
                    self._sources.cancel(self, source, cids)
                case Share(giver, source, cid, size):
                    self._sources.share(self, giver, source, cid, size)
                case Search(cid):
                    self._sources.search(self, cid)
                case GiveUp(stage, sources):
                    self._end_waits(partial(NoSourceHasIt, sources=sources, stage=stage))
        deadline = None if resting else self._machine.next_deadline()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if deadline is not None and self._attached:
            self._timer = asyncio.get_running_loop().call_later(max(0.001, deadline - now), self._on_deadline)

    def _listen(self) -> None:
        """Tell the machine what is arriving."""
        for name in [name for name, source in self._machine.sources.items() if source.owes]:
            self._listen_to(name)

    def _listen_to(self, name: str) -> None:
        self._machine.on_bytes(name, self._sources.heard(name), self._clock())

    def _on_deadline(self) -> None:
        self._listen()
        self._turn()

    def _end_waits(self, why: Callable[[CID], CideryError]) -> None:
        for cid, waiter in self._waiters.items():
            if not waiter.done():
                waiter.set_exception(why(cid))

    def _fail(self, exc: CideryError) -> None:
        self._failure = exc
        self._end_waits(lambda _: exc)

    async def _store_all(self) -> None:
        """Store arrived blocks, batch by batch, while the reader continues."""
        assert self._store is not None  # on_block() starts this only with a store
        try:
            while self._unstored:
                batch, size = [], 0
                for block in self._unstored.values():
                    batch.append(block)
                    size += len(block.data)
                    if size >= STORE_BATCH:
                        break
                # visible in this process at once; the index is committed in groups, which nothing waits for here
                await asyncio.to_thread(self._store.put_many_blocking, batch, kept=self._kept)
                for block in batch:
                    del self._unstored[block.cid]
                self._unstored_bytes -= size
                self._trim()
                self._taken.set()
                if self._attached:
                    self._turn()
        except CideryError as exc:
            self._unstored.clear()
            self._unstored_bytes = 0
            self._fail(exc)
        finally:
            self._storing = None

    def _trim(self) -> None:
        """Drop arrived blocks that the reader can equally well read from the store, the latest ones first."""
        while self._ready_bytes > KEPT_READY:
            cid, data = self._ready.popitem()
            if cid in self._unstored:
                self._ready[cid] = data
                break
            self._ready_bytes -= len(data)
