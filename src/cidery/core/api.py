"""The Api: what a node can do, as one object. Commands, the Python APIs and the gateway receive it already connected.

It provides the parts, and the operations that need more than one of them; single steps live in their own modules
of this package. Parts are created on first use: reading a file imports nothing that only adding needs.
"""

from __future__ import annotations

from contextlib import nullcontext

from cidery.core.reading.content_path import name_path, parse_path
from cidery.errors import Unavailable
from cidery.exchange.terms import EAGER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractAsyncContextManager, AbstractContextManager
    from pathlib import Path
    from typing import Protocol

    from cidery.blockstore.filestore import Filestore
    from cidery.blockstore.interface import BlockStore
    from cidery.blockstore.segments import SegmentStore
    from cidery.core.adding.job import Adding
    from cidery.core.arriving import Arrival
    from cidery.core.jobs import JobDesk
    from cidery.core.keeping.collector import Collector
    from cidery.core.keeping.pin_queue import PinQueue
    from cidery.core.lazy_session import AtHand
    from cidery.core.naming import Naming
    from cidery.core.network import BudgetUse, Network
    from cidery.core.pubsub import NodePubsub
    from cidery.core.reading.content_path import ContentPath
    from cidery.core.session import BlockSession
    from cidery.core.watch import WatchedSessions
    from cidery.denylist.denylists import Denylists
    from cidery.exchange.terms import Terms
    from cidery.http.exposition import Metric
    from cidery.libp2p.protocols.bandwidth_day import Spell
    from cidery.mfs.files import MutableFiles
    from cidery.multiformats.cid import CID
    from cidery.repo.config import Config
    from cidery.repo.denylists import DenyFiles
    from cidery.repo.pins import Pins
    from cidery.repo.provisional import ProvisionalRoots, RunningOperation

    class Parts(Protocol):
        """An open repository and its parts, each created once."""

        @property
        def path(self) -> Path:
            """The repository."""
            ...

        @property
        def config(self) -> Config: ...

        @property
        def store(self) -> SegmentStore: ...

        @property
        def blocks(self) -> Filestore:
            """The store, plus the user's files for content that was added without a copy: for reading."""
            ...

        @property
        def served(self) -> BlockStore:
            """``blocks`` without what is denied: for peers, and for readers that look before they open a session."""
            ...

        @property
        def pins(self) -> Pins: ...

        @property
        def collector(self) -> Collector: ...

        @property
        def provisional(self) -> ProvisionalRoots: ...

        @property
        def jobs(self) -> JobDesk: ...

        @property
        def pin_queue(self) -> PinQueue: ...

        @property
        def files(self) -> MutableFiles: ...

        @property
        def naming(self) -> Naming: ...

        @property
        def adding(self) -> Adding: ...

        @property
        def watched(self) -> WatchedSessions: ...

        @property
        def network(self) -> Network | None:
            """None: offline."""
            ...

        @property
        def pubsub(self) -> NodePubsub | None:
            """None: it is off, or the node is offline."""
            ...

        @property
        def arrival(self) -> Arrival | None:
            """The start of a network that comes up behind; None: there is no such start."""
            ...

        @property
        def elsewhere(self) -> Elsewhere | None:
            """The process that has the network, if this one asks another for what is not stored."""
            ...

        @property
        def other_budgets(self) -> list[Callable[[], list[BudgetUse]]]:
            """What is used beside those of the network: who runs something adds to this."""
            ...

        @property
        def other_metrics(self) -> list[Callable[[], list[Metric]]]:
            """What gateways beside the daemon's own have counted: who runs one adds to this."""
            ...

        @property
        def bandwidth_days(self) -> list[Callable[[], list[Spell]]]:
            """At most one: what went over the connections in the last day. A daemon adds it."""
            ...

        @property
        def deny_files(self) -> DenyFiles | None:
            """None: there are no denylists, and nobody looks for them."""
            ...

        def clock(self) -> float:
            """Seconds since 1970-01-01 UTC, for records."""
            ...

    class Elsewhere(Protocol):
        """Another process with the network; satisfied by client.misses.DaemonMisses."""

        def session(self, blocks: Filestore, terms: Terms) -> AbstractAsyncContextManager[BlockSession]:
            """A session of ``blocks`` and, for what is not there, of that process, which fetches on these terms."""
            ...


KEEP_BATCH = 16
"""Blocks held in memory while they are stored again: at most 32 MiB."""


class NoNetwork(Unavailable):
    """An operation that needs peers was requested of an offline node."""

    def __str__(self) -> str:
        return "this needs the network and the node is offline; start it with: cidery daemon"


class Api:
    """A connected node. Created by node/build.py, valid inside its context. The attributes are those of Parts."""

    def __init__(self, parts: Parts, *, offline: bool = False, denies: bool = True, watch_as: str = "") -> None:
        """``offline``: without the network, if there is one. ``denies``: whether denylists are obeyed. ``watch_as``:
        the name under which the operations of this object can be watched; "": they cannot."""
        self._parts = parts
        self._at_hand: AtHand | None = None
        self._offline = offline
        self._denies = denies
        self._watch_as = watch_as

    def offline(self) -> Api:
        """The same node without its network, for --offline."""
        return Api(self._parts, offline=True, denies=self._denies, watch_as=self._watch_as)

    def undenied(self) -> Api:
        """The same node, for what its operator checks and removes: denylists are not asked, except by the network."""
        return Api(self._parts, offline=self._offline, denies=False, watch_as=self._watch_as)

    def at_hand(self) -> Api:
        """The same node, of which locate() and lazy_session() wait for nothing: they raise NotAtHand instead, and
        session() does so always."""
        from cidery.core.lazy_session import AtHand

        made = Api(self._parts, offline=self._offline, denies=self._denies)
        made._at_hand = AtHand(self.served)
        return made

    def watched_as(self, name: str) -> Api:
        """The same node; its operations can be watched under ``name``."""
        return Api(self._parts, offline=self._offline, denies=self._denies, watch_as=name)

    @property
    def path(self) -> Path:
        return self._parts.path

    @property
    def config(self) -> Config:
        return self._parts.config

    @property
    def store(self) -> SegmentStore:
        return self._parts.store

    @property
    def blocks(self) -> Filestore:
        return self._parts.blocks

    @property
    def served(self) -> BlockStore:
        return self._parts.served

    @property
    def elsewhere(self) -> Elsewhere | None:
        return None if self._offline else self._parts.elsewhere

    @property
    def pins(self) -> Pins:
        return self._parts.pins

    @property
    def collector(self) -> Collector:
        return self._parts.collector

    @property
    def provisional(self) -> ProvisionalRoots:
        return self._parts.provisional

    @property
    def jobs(self) -> JobDesk:
        return self._parts.jobs

    @property
    def pin_queue(self) -> PinQueue:
        return self._parts.pin_queue

    @property
    def files(self) -> MutableFiles:
        return self._parts.files

    @property
    def adding(self) -> Adding:
        return self._parts.adding

    @property
    def watched(self) -> WatchedSessions:
        return self._parts.watched

    @property
    def other_budgets(self) -> list[Callable[[], list[BudgetUse]]]:
        return self._parts.other_budgets

    @property
    def other_metrics(self) -> list[Callable[[], list[Metric]]]:
        return self._parts.other_metrics

    @property
    def bandwidth_days(self) -> list[Callable[[], list[Spell]]]:
        return self._parts.bandwidth_days

    @property
    def deny_files(self) -> DenyFiles | None:
        return self._parts.deny_files

    @property
    def denylists(self) -> Denylists | None:
        """What is denied, for callers that do not go through locate() and session(); None: nothing."""
        files = self._parts.deny_files
        return files.denylists if files is not None and files.denylists.lists and self._denies else None

    @property
    def naming(self) -> Naming:
        return self._parts.naming.offline() if self._offline else self._parts.naming

    @property
    def network(self) -> Network | None:
        return None if self._offline else self._parts.network

    @property
    def pubsub(self) -> NodePubsub | None:
        return None if self._offline else self._parts.pubsub

    @property
    def arrival(self) -> Arrival | None:
        return None if self._offline else self._parts.arrival

    async def arrived(self) -> None:
        """Wait for a network that is still coming up. Raises what kept it from coming, as CannotListen. Cancel-safe."""
        if self.arrival is not None:
            await self.arrival.wait()

    def raise_untold(self) -> None:
        """Raise what kept the network from coming up, unless arrived() has raised it."""
        if self.arrival is not None:
            self.arrival.raise_untold()

    @property
    def online(self) -> Network:
        """The network. Raises NoNetwork."""
        if self.network is None:
            raise NoNetwork
        return self.network

    def clock(self) -> float:
        """Seconds since 1970-01-01 UTC, for records."""
        return self._parts.clock()

    def doing(self, what: str) -> AbstractContextManager[Callable[[str], None]]:
        """Report to watchers, in a few words, what is done inside the context; yields a setter of the words."""
        return self.watched.doing(self._watch_as, what) if self._watch_as else nullcontext(_unwatched)

    async def locate(self, text: str) -> ContentPath:
        """The content path behind any path; names are resolved. Raises PathError, NameNotFound, NoDnsLink, BadDomain,
        BadTarget, TooManyNames, NoSuchDomain, DnsUnavailable, Denied. Cancel-safe."""
        path = name_path(text)
        if path is None:
            return self.admitted(parse_path(text))
        if self._at_hand is not None:
            from cidery.core.lazy_session import NotAtHand

            raise NotAtHand
        await self.arrived()
        with self.doing("resolving the name"):
            return self.admitted(parse_path((await self.naming.resolver.resolve(path)).path))

    def admitted(self, path: ContentPath) -> ContentPath:
        """The path, if it is not denied. Raises Denied."""
        if (denylists := self.denylists) is not None:
            denylists.refuse_path(path.namespace, path.root, path.segments)
        return path

    def admit_name(self, name: str, below: str) -> None:
        """Raises Denied for a name, or a path below it, that is not to be resolved."""
        if (denylists := self.denylists) is not None:
            denylists.refuse_name(name, below)

    def session(
        self, *, kept: bool = False, name: str = "", terms: Terms = EAGER
    ) -> AbstractAsyncContextManager[BlockSession]:
        """Blocks for one request: from the store, and from peers when online.

        Args:
            kept: store arriving blocks as kept, not as cached.
            name: the name under which the session can be watched.
            terms: for whom and how eagerly it fetches.
        """
        if self._at_hand is not None:
            from cidery.core.lazy_session import NotAtHand

            raise NotAtHand
        from cidery.core.session import FilestoreSession

        opened: AbstractAsyncContextManager[BlockSession]
        if self.network is not None:
            opened = self.network.session(kept=kept, terms=terms)
        elif self.arrival is not None:
            from cidery.core.arriving import ArrivingSession

            opened = ArrivingSession(self.blocks, self.arrival, kept=kept, terms=terms)
        elif self.elsewhere is not None:
            opened = self.elsewhere.session(self.blocks, terms)
        else:
            opened = FilestoreSession(self.blocks)
        if self.network is None and (denylists := self.denylists) is not None:
            from cidery.core.denying import DenyingSession

            opened = DenyingSession(opened, denylists)
        name = name or self._watch_as
        return self.watched.watch(name, opened) if name else opened

    def lazy_session(self) -> AbstractAsyncContextManager[BlockSession]:
        """As session(), for a few blocks that are mostly stored: peers hear of it at the first that is not."""
        if self._at_hand is not None:
            return self._at_hand
        if self.network is None or self._watch_as or not self._denies:
            return self.session()
        from cidery.core.lazy_session import LazySession

        return LazySession(self.served, self.session)

    def operation(self, kind: str, *roots: CID) -> AbstractAsyncContextManager[RunningOperation]:
        """Blocks stored or found inside the context are spared by a collector until it ends. Needs the lock."""
        return self.provisional.operation(kind, roots, now=self.clock(), since_ordinal=self.store.next_ordinal)

    async def keep(self, cids: Sequence[CID], session: BlockSession) -> None:
        """Note blocks as found, for a collector, and store as kept those that are only cached or about to be evicted.

        Inside an operation(). Costs 2 us per block that is already kept. Raises as the session and the store.
        """
        from cidery.blockstore.interface import Durability
        from cidery.ipld.block import Block

        places = self.store.touch(cids)
        loose = [
            cid
            for cid, kept in zip(cids, places, strict=True)
            if not kept and (kept is not None or not self.store.is_elsewhere(cid))
        ]
        for start in range(0, len(loose), KEEP_BATCH):
            blocks = [Block(cid, await session.get(cid)) for cid in loose[start : start + KEEP_BATCH]]
            await self.store.put_many(blocks, kept=True, durability=Durability.VISIBLE)

    async def pin_stored(self, cid: CID) -> None:
        """Pin recursively what was just stored, as Kubo does: linked blocks may arrive later. Durable on return.

        Inside the operation() that stored it.
        """
        pin = self.pins.wanted(cid, "", self.clock())
        if pin is not None:
            await self.pins.add(pin)


def _unwatched(what: str) -> None:
    """Used when nothing is watched."""
