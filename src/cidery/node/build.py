"""The composition root: from the directory of a repository to a connected Api. How a node is put together.

::

    config  ->  lock  ->  block store  ->  pins  ->  network (online nodes)  ->  mutable files  ->  Api
"""

import asyncio
import os
import random
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, closing, contextmanager
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from cidery.blockstore.filestore import Filestore, References
from cidery.blockstore.segments import SegmentStore
from cidery.commands.registry import first_words
from cidery.core.api import Api, import_profile
from cidery.core.gc import Collector
from cidery.core.jobs import JobDesk
from cidery.core.pin_queue import PinQueue
from cidery.core.provide import ProvideKeys, parse_strategy
from cidery.core.sources import BlockSession, Network
from cidery.core.store_session import StoreSession
from cidery.mfs.files import MutableFiles
from cidery.mfs.protection import Protection
from cidery.multiformats.address_filter import AddressFilter
from cidery.node.naming import open_naming, republishing
from cidery.node.routers import http_routers
from cidery.node.swarm_key import read_swarm_key
from cidery.repo.config import Config, Raw, kept_local, kept_private, parse_config, read_raw
from cidery.repo.config_unheeded import refuse_unheeded
from cidery.repo.gc_roots import GcRoots
from cidery.repo.jobs import Job, Jobs
from cidery.repo.keystore import Keystore
from cidery.repo.layout import RepoLayout
from cidery.repo.lock import Holder, RepoLock, RepoLocked, process_lives, read_holder
from cidery.repo.mfs_root import MfsRoot
from cidery.repo.pins import Pins
from cidery.repo.provisional import ProvisionalRoots, RunningOperation
from cidery.repo.state import State
from cidery.retrieval.gateway_url import check_url

if TYPE_CHECKING:
    from cidery.node.network import NodeNetwork

LOCK_WAIT = 10.0
"""Seconds that a command waits for others that have the repository: several scripts at once are no error."""
LOCK_POLL = 0.02
"""Seconds between two tries: an eighth of what the shortest command takes."""


class Access(Enum):
    """How the repository is opened."""

    READ = "read"
    """Without the lock, beside the process that writes; sees what that one has committed."""
    WRITE = "write"
    """With the lock: the only process that changes anything."""


@asynccontextmanager
async def build(
    path: Path, access: Access, *, online: bool = False, lan: bool = False, routing: str = ""
) -> AsyncIterator[Api]:
    """Open a repository and connect its parts; everything is closed in reverse order at the end.

    Args:
        online: whether to listen and dial; only with Access.WRITE.
        lan: keep to the local networks.
        routing: instead of Routing.Type of the config; "": as the config says.
    Raises:
        ConfigMissing, ConfigError, RepoLocked, and what the store raises.
    """
    layout = RepoLayout(path)
    layout.check()
    swarm_key = read_swarm_key(layout.swarm_key) if online else None
    raw = read_raw(layout.config)
    if online:
        refuse_unheeded(raw)
    config = _config(raw, lan, routing, swarm_key)
    read_only = access is Access.READ
    async with AsyncExitStack() as stack:
        if not read_only:
            stack.enter_context(await _locked(layout.lock))
        store = await asyncio.to_thread(SegmentStore.open, path, read_only=read_only)
        stack.push_async_callback(store.close)
        blocks = stack.enter_context(_with_files(layout, store, read_only))
        state = await asyncio.to_thread(State.open, layout.state, read_only=read_only)
        stack.push_async_callback(asyncio.to_thread, state.close)
        network: NodeNetwork | None = None
        if online:
            network = await stack.enter_async_context(_network(config, layout, blocks, swarm_key))
        pins = Pins(state)
        provisional = ProvisionalRoots(state, os.urandom, store.holding)
        desk = _job_desk(layout, store, state, provisional, read_only)
        roots = GcRoots(pins, provisional, MfsRoot(state), state.fence, desk.jobs)
        files = _mutable_files(store, blocks, state, provisional, network, config, read_only=read_only)
        stack.push_async_callback(files.close)
        naming = open_naming(config, state, Keystore(layout.keystore), None if network is None else network.routing)
        api = Api(
            path=path,
            config=config,
            store=store,
            blocks=blocks,
            pins=pins,
            collector=Collector(path, store, pins, provisional, roots, time.time, time.monotonic, desk),
            provisional=provisional,
            jobs=desk,
            pin_queue=PinQueue(desk, random.random),
            files=files,
            naming=naming,
            network=network,
            clock=time.time,
        )
        if network is not None:
            keys = ProvideKeys(parse_strategy(config.provide.strategy), blocks, pins.every, MfsRoot(state).get)
            await stack.enter_async_context(_online(network, api, keys))
        yield api


@asynccontextmanager
async def _online(network: "NodeNetwork", api: Api, keys: ProvideKeys) -> AsyncIterator[None]:
    """What a connected node does beside answering: announce, ask HTTP, serve archives over streams, renew names."""
    from cidery.gateway.site import Site
    from cidery.node.announcing import start_announcing
    from cidery.retrieval.stream_http import PROTOCOL, StreamServer

    config = api.config
    network.takes_gateways, network.local_gateways = config.http_retrieval, config.loopback_lan
    for url in config.gateways:
        network.gateways.add(check_url(url))
    start_announcing(network, config.provide, keys, api.pins)
    await network.serve(PROTOCOL, StreamServer(Site(api, fetches=False, routing=False).handle))
    async with http_routers(network.routing, config.routers), republishing(api.naming, config):
        yield


def _network(
    config: Config, layout: RepoLayout, blocks: Filestore, swarm_key: bytes | None
) -> "AbstractAsyncContextManager[NodeNetwork]":
    # imported here: an offline node, such as the CLI's own, starts without the network's libraries
    from cidery.dns.service import Dns
    from cidery.kad.records import Validators
    from cidery.libp2p.protocols.announced import Announced
    from cidery.namesys.validator import IpnsValidator
    from cidery.node.open_network import kad_options, local_options, open_network

    names = config.names.resolvers is None or bool(config.names.resolvers)
    return open_network(
        config.private_key,
        blocks,
        cache=layout.cache,
        listen=config.swarm,
        bootstrap=config.bootstrap,
        peering=config.peering,
        conn_mgr=config.conn_mgr,
        security=config.security,
        addresses=AddressFilter(config.addr_filters, local_only=config.local_only, names=names),
        swarm_key=swarm_key,
        local=local_options(config, swarm_key),
        kad=kad_options(config),
        announced=Announced(config.announce, config.append_announce, config.no_announce),
        serve_autonat=config.serve_autonat,
        map_ports=config.map_ports and not config.local_only and swarm_key is None,
        dns=Dns(config.names.resolvers, time.monotonic),
        validators=Validators({"ipns": IpnsValidator(time.time_ns)}),
    )


def _config(raw: Raw, lan: bool, routing: str, swarm_key: bytes | None) -> Config:
    """The config as this run has it. Raises ConfigError."""
    config = parse_config(raw)
    if routing:
        config = replace(config, routing=routing)
    if lan:
        config = kept_local(config)
    return config if swarm_key is None else kept_private(config)


@contextmanager
def _with_files(layout: RepoLayout, store: SegmentStore, read_only: bool) -> Iterator[Filestore]:
    """The store, and over it the files of the user that hold blocks."""
    references = References(layout.filestore, read_only=read_only)
    store.elsewhere = references
    with closing(references):
        yield Filestore(store, references)


def _mutable_files(
    store: SegmentStore,
    blocks: Filestore,
    state: State,
    provisional: ProvisionalRoots,
    network: Network | None,
    config: Config,
    *,
    read_only: bool,
) -> MutableFiles:
    def open_blocks() -> AbstractAsyncContextManager[BlockSession]:
        return StoreSession(blocks) if network is None else network.session(kept=True)

    def open_record(kind: str) -> AbstractAsyncContextManager[RunningOperation]:
        return provisional.operation(kind, now=time.time(), since_ordinal=store.next_ordinal)

    protection = Protection(provisional, open_record)
    return MutableFiles(
        store,
        MfsRoot(state),
        protection,
        open_blocks,
        lambda: import_profile(config.imports),
        read_only=read_only,
    )


def _job_desk(
    layout: RepoLayout, store: SegmentStore, state: State, provisional: ProvisionalRoots, read_only: bool
) -> JobDesk:
    jobs = Jobs(state, os.urandom, os.getpid(), _living(layout.lock) if read_only else None)
    return JobDesk(jobs, state, store, provisional, layout.jobs, time.time)


def _living(lock: Path) -> Callable[[Job], bool]:
    """Whether a job's process has the repository, told without its lock: it wrote the lock file last, and lives."""

    def lives(job: Job) -> bool:
        holder = read_holder(lock)
        return holder is not None and holder.pid == job.pid and process_lives(job.pid)

    return lives


async def _locked(path: Path) -> RepoLock:
    """The lock; while another command of this program has it, which will not be for long, wait. Raises RepoLocked."""
    deadline = time.monotonic() + LOCK_WAIT
    while True:
        try:
            return RepoLock.acquire(path, _command())
        except RepoLocked as exc:
            if not _ends_soon(exc.holder) or time.monotonic() >= deadline:
                raise
        await asyncio.sleep(LOCK_POLL)


def _ends_soon(holder: Holder | None) -> bool:
    """Whether a command holds the lock; also one that has not yet written who it is."""
    if holder is None:
        return True
    program, _, word = holder.command.partition(" ")
    return program == "cidery" and word != "daemon" and word in first_words()


def _command() -> str:
    """How the lock names this process to others."""
    program = os.path.basename(sys.argv[0] if sys.argv else "") or "python"
    return " ".join(["cidery" if program == "__main__.py" else program, *sys.argv[1:2]])
