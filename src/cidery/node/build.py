"""The composition root: from the directory of a repository to a connected Api. How a node is put together.

::

    config  ->  lock  ->  block store  ->  network (online nodes)  ->  the other parts, when first asked for  ->  Api
"""

from __future__ import annotations

import os
import time
from contextlib import AsyncExitStack, asynccontextmanager
from enum import Enum
from functools import cached_property
from typing import NamedTuple

from cidery.core.api import Api
from cidery.repo.layout import RepoLayout
from cidery.waiting import off_loop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from cidery.blockstore.filestore import Filestore
    from cidery.blockstore.interface import BlockStore
    from cidery.blockstore.segments import SegmentStore
    from cidery.client.misses import DaemonMisses
    from cidery.core.adding.job import Adding
    from cidery.core.arriving import Arrival
    from cidery.core.jobs import JobDesk
    from cidery.core.keeping.collector import Collector
    from cidery.core.keeping.pin_queue import PinQueue
    from cidery.core.naming import Naming
    from cidery.core.network import BudgetUse
    from cidery.core.pubsub import NodePubsub
    from cidery.core.session import BlockSession
    from cidery.core.watch import WatchedSessions
    from cidery.http.exposition import Metric
    from cidery.libp2p.protocols.bandwidth_day import Spell
    from cidery.mfs.files import MutableFiles
    from cidery.node.network import NodeNetwork
    from cidery.repo.config import Config
    from cidery.repo.denylists import DenyFiles
    from cidery.repo.jobs import Job
    from cidery.repo.lock import RepoLock
    from cidery.repo.mfs_root import MfsRoot
    from cidery.repo.pins import Pins
    from cidery.repo.provisional import ProvisionalRoots, RunningOperation
    from cidery.repo.state import State


class Access(Enum):
    """How the repository is opened."""

    READ = "read"
    """Without the lock, concurrently with the process that writes; sees its commits."""
    WRITE = "write"
    """With the lock: the only process that changes anything."""


async def _locked(path: Path) -> RepoLock:
    """As lock_wait.locked(), which a reader need not import."""
    from cidery.node.lock_wait import locked

    return await locked(path)


@asynccontextmanager
async def build(
    path: Path,
    access: Access,
    *,
    online: bool = False,
    lasting: bool = False,
    elsewhere: DaemonMisses | None = None,
    lock: Callable[[Path], Awaitable[RepoLock]] = _locked,
) -> AsyncIterator[Api]:
    """Open a repository and connect its parts; everything is closed in reverse order at the end.

    Arguments as opened_parts(). ``elsewhere``: the daemon, asked for what is not stored; only with Access.READ.
    Raises as opened_parts(), and CannotListen, BadSwarmKey.
    """
    async with opened_parts(path, access, online=online, lasting=lasting, lock=lock) as parts:
        parts.elsewhere = elsewhere
        await parts.come_up()
        yield Api(parts)


@asynccontextmanager
async def opened_parts(
    path: Path,
    access: Access,
    *,
    online: bool = False,
    lasting: bool = False,
    instead: Instead | None = None,
    lock: Callable[[Path], Awaitable[RepoLock]] = _locked,
) -> AsyncIterator[OpenedParts]:
    """Open a repository, which needs no event loop. With one, come_up() follows, or connect_behind().

    Args:
        online: whether to listen and dial then; only with Access.WRITE.
        lasting: follow the files of denylists, as an online node does anyway.
        instead: what this run has instead of what the config says.
        lock: takes the lock for Access.WRITE, and waits for it as it likes.
    Raises:
        ConfigMissing, ConfigError, BadDenylist, as ``lock`` (RepoLocked), and what the store raises.
    """
    layout = RepoLayout(path)
    layout.check()
    async with AsyncExitStack() as stack:
        parts = OpenedParts(layout, stack, access is Access.READ, instead or Instead(), online, lasting)
        if online:
            parts.refuse_unheeded()
        if access is Access.WRITE:
            parts.make(parts.config)  # it must be valid before anything is changed
            parts.lock = stack.enter_context(await lock(layout.lock))
            if parts.lock.waited:  # the one that had the lock may have changed the config
                del parts.config
                if online:
                    parts.refuse_unheeded()
        await parts.open_store()
        await parts.open_denylists(warns=online or lasting)
        yield parts


class Instead(NamedTuple):
    """What a run has instead of what the config says, as far as it is given."""

    lan: bool = False
    """Keep to the local networks."""
    routing: str = ""
    """Instead of Routing.Type."""
    pubsub: bool | None = None
    """Instead of Pubsub.Enabled."""
    name_pubsub: bool | None = None
    """Instead of Ipns.UsePubsub."""

    def applied(self, config: Config) -> Config:
        if self.routing:
            config = config._replace(routing=self.routing)
        if self.pubsub is not None:
            config = config._replace(pubsub=config.pubsub._replace(enabled=self.pubsub))
        if self.name_pubsub is not None:
            config = config._replace(pubsub=config.pubsub._replace(ipns=self.name_pubsub))
        if not self.lan:
            return config
        from cidery.repo.config import kept_local

        return kept_local(config)


class OpenedParts:
    """The parts of one open repository; see core.api.Parts. Each is made once, after those that it needs.

    Closers are pushed on ``stack`` as parts are made, so everything is closed before what it was made of.
    """

    lock: RepoLock | None = None
    network: NodeNetwork | None = None
    arrival: Arrival | None = None
    elsewhere: DaemonMisses | None = None
    deny_files: DenyFiles | None = None
    pubsub: NodePubsub | None = None

    def __init__(
        self,
        layout: RepoLayout,
        stack: AsyncExitStack,
        read_only: bool,
        instead: Instead,
        online: bool,
        lasting: bool,
    ) -> None:
        self._layout = layout
        self.stack = stack
        self._read_only = read_only
        self._instead = instead
        self._online = online
        self._lasting = lasting
        self.other_budgets: list[Callable[[], list[BudgetUse]]] = []
        self.other_metrics: list[Callable[[], list[Metric]]] = []
        self.bandwidth_days: list[Callable[[], list[Spell]]] = []

    def refuse_unheeded(self) -> None:
        """Raises ConfigError for a setting that protects a node of Kubo and is not obeyed here."""
        from cidery.repo.config_file import read_raw
        from cidery.repo.config_unheeded import refuse_unheeded

        refuse_unheeded(read_raw(self._layout.config))

    async def open_store(self) -> None:
        """Open the block store, and for writing the state. Raises as SegmentStore.open(), State.open()."""
        from cidery.blockstore.segments import SegmentStore

        if self._read_only:
            from cidery.repo.config_file import lookup, read_raw

            # a reader needs one key of the config: checking all of it would take an eighth of a short command
            always = lookup(read_raw(self._layout.config), "Datastore.HashOnRead") is True
            self.store = SegmentStore.open(self.path, read_only=True, hash_on_read=always)
            self.stack.push_async_callback(self.store.close)
            return
        from cidery.repo.reserve import Reserve

        self.store = await off_loop(SegmentStore.open, self.path, hash_on_read=self.config.hash_on_read)
        self.stack.callback(Reserve(self.store.directory).keep_if_large)
        self.stack.push_async_callback(self.store.close)
        self.make(self.blocks)
        self._state = await off_loop(self._open_state)

    async def open_denylists(self, *, warns: bool) -> None:
        """Read the denylists, if there are any. Arguments as DenyFiles. Raises BadDenylist."""
        from cidery.node.deny_files import deny_folders
        from cidery.repo.denylist_places import list_files

        folders = deny_folders(self._layout.denylists)
        if list_files(folders):
            from cidery.repo.denylists import DenyFiles

            self.deny_files = DenyFiles(folders, warns=warns)
            await off_loop(self.deny_files.load)

    async def follow_denylists(self) -> None:
        """Obey changes of the denylists, and those that come later. Before the first use of other parts."""
        from cidery.node.deny_files import deny_folders, followed

        if self.deny_files is None:
            from cidery.repo.denylists import DenyFiles

            self.deny_files = DenyFiles(deny_folders(self._layout.denylists))
        await self.stack.enter_async_context(followed(self.deny_files))

    async def come_up(self) -> None:
        """Follow the denylists and connect, if this opening wants that. Raises as connect()."""
        if self._online or self._lasting:
            await self.follow_denylists()
        if self._online:
            await self.connect(self.stack)

    async def connect_behind(self) -> None:
        """Have the network come up behind, if this opening is online, and resume the node's work then; see
        Api.arrived()."""
        if not self._online:
            return
        from cidery.node.behind import connected_behind

        await self.follow_denylists()
        self.arrival = await self.stack.enter_async_context(connected_behind(self))

    async def connect(self, stack: AsyncExitStack) -> None:
        """Listen and dial, and start the background work of a connected node. Raises CannotListen, BadSwarmKey.

        ``stack``: what ends the network is pushed there.
        """
        from cidery.core.keeping.provide import ProvideKeys, parse_strategy
        from cidery.node.connected import doing_its_part, opened_network, swarm_gateway
        from cidery.node.swarm_key import read_swarm_key
        from cidery.repo.config import kept_private

        swarm_key = read_swarm_key(self._layout.swarm_key)
        if swarm_key is not None:
            self.config = kept_private(self.config)
        every = ProvideKeys(parse_strategy(self.config.provide.strategy), self.served, self.pins.every, self._root.get)
        https = swarm_gateway(self.config, swarm_key)
        opened = opened_network(self.config, self._layout, self.served, every, swarm_key, https)
        self.network = await stack.enter_async_context(opened)
        self.make(self.files)  # so that they are closed before the network
        await stack.enter_async_context(doing_its_part(self.network, Api(self), every, https))
        if self.config.pubsub.enabled or self.config.pubsub.ipns:
            from cidery.node.pubsub import opened_pubsub

            opened_service = opened_pubsub(self.network, self.naming, self.config.pubsub)
            self.pubsub = await stack.enter_async_context(opened_service)

    def make(self, *parts: object) -> None:
        """Naming a part makes it."""

    def clock(self) -> float:
        return time.time()

    @property
    def path(self) -> Path:
        return self._layout.root

    @cached_property
    def config(self) -> Config:
        """As this run has it. Raises ConfigMissing, ConfigError."""

        from cidery.repo.config import read_config
        from cidery.repo.config_file import read_raw

        config = read_config(read_raw(self._layout.config))
        return self._instead.applied(config)

    @cached_property
    def store(self) -> SegmentStore:
        raise AssertionError("open_store() comes first")

    @cached_property
    def blocks(self) -> Filestore:
        from cidery.blockstore.filestore import Filestore, References

        references = References(self._layout.filestore, read_only=self._read_only)
        self.stack.callback(references.close)
        self.store.elsewhere = references
        return Filestore(self.store, references)

    @cached_property
    def served(self) -> BlockStore:
        if self.deny_files is None:
            return self.blocks
        from cidery.core.denying import DenyingStore

        return DenyingStore(self.blocks, self.deny_files.denylists)

    @cached_property
    def _state(self) -> State:
        return self._open_state()

    def _open_state(self) -> State:
        from cidery.repo.state import State

        state = State.open(self._layout.state, read_only=self._read_only)
        self.stack.push_async_callback(off_loop, state.close)
        return state

    @cached_property
    def pins(self) -> Pins:
        from cidery.repo.pins import Pins

        return Pins(self._state)

    @cached_property
    def _root(self) -> MfsRoot:
        from cidery.repo.mfs_root import MfsRoot

        return MfsRoot(self._state)

    @cached_property
    def provisional(self) -> ProvisionalRoots:
        from cidery.repo.provisional import ProvisionalRoots

        return ProvisionalRoots(self._state, os.urandom, self.store.holding)

    @cached_property
    def jobs(self) -> JobDesk:
        from cidery.core.jobs import JobDesk
        from cidery.repo.jobs import Jobs

        jobs = Jobs(self._state, os.urandom, os.getpid(), _living(self._layout.lock) if self._read_only else None)
        return JobDesk(jobs, self._state, self.store, self.provisional, self._layout.jobs, time.time)

    @cached_property
    def collector(self) -> Collector:
        from cidery.core.keeping.collector import Collector
        from cidery.repo.gc.roots import GcRoots

        roots = GcRoots(self.pins, self.provisional, self._root, self._state.fence, self.jobs.jobs)
        return Collector(
            self.path, self.store, self.pins, self.provisional, roots, time.time, time.monotonic, self.jobs
        )

    @cached_property
    def pin_queue(self) -> PinQueue:
        import random

        from cidery.core.keeping.pin_queue import PinQueue

        return PinQueue(self.jobs, random.random)

    @cached_property
    def adding(self) -> Adding:
        from cidery.core.adding.job import Adding

        return Adding(self.store, self.pins, self.jobs, self.config.imports, time.time)

    @cached_property
    def watched(self) -> WatchedSessions:
        from cidery.core.watch import WatchedSessions

        return WatchedSessions()

    @cached_property
    def files(self) -> MutableFiles:
        from cidery.core.adding.import_profile import import_profile
        from cidery.mfs.files import MutableFiles
        from cidery.mfs.protection import Protection

        def open_blocks() -> AbstractAsyncContextManager[BlockSession]:
            return Api(self).session(kept=True) if self.network is not None else Api(self).offline().session()

        def open_record(kind: str) -> AbstractAsyncContextManager[RunningOperation]:
            return self.provisional.operation(kind, now=time.time(), since_ordinal=self.store.next_ordinal)

        files = MutableFiles(
            self.store,
            self._root,
            Protection(self.provisional, open_record),
            open_blocks,
            lambda: import_profile(self.config.imports),
            read_only=self._read_only,
        )
        self.stack.push_async_callback(files.close)
        return files

    @cached_property
    def naming(self) -> Naming:
        from cidery.node.naming import open_naming
        from cidery.repo.keystore import Keystore

        routing = None if self.network is None else self.network.routing
        naming = open_naming(self.config, self._state, Keystore(self._layout.keystore), routing, self.elsewhere)
        if self.deny_files is not None:
            naming.resolver.refuse = naming.local.refuse = self.deny_files.denylists.refuse_name
        return naming


def _living(lock: Path) -> Callable[[Job], bool]:
    """Whether a job's process has the repository: somebody has the lock, and it wrote the file last."""
    from cidery.disk.file_locks import is_locked
    from cidery.repo.lock import read_holder

    def lives(job: Job) -> bool:
        holder = read_holder(lock)
        return holder is not None and holder.pid == job.pid and is_locked(lock)

    return lives
