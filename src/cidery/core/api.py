"""The Api: what a node can do, as one object. Commands, the Python faces and the gateway get it, already connected.

It holds the parts and offers the porcelain that needs more than one of them; single steps live in their own modules
of this package.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, AsyncExitStack, aclosing, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from cidery.blockstore.drive import drive
from cidery.blockstore.filestore import Filestore
from cidery.blockstore.interface import Durability
from cidery.blockstore.segments import SegmentStore
from cidery.core.add import Added, AddOptions, AddProgress, Memory, add
from cidery.core.add_batches import Source
from cidery.core.add_items import AddItem
from cidery.core.add_journal import AddJournal, add_key, local_paths
from cidery.core.car_job import identity_text, sent_archives
from cidery.core.filestore import FilestoreSession
from cidery.core.gc import Collector
from cidery.core.jobs import JobDesk, JobRun, title_of
from cidery.core.naming import Naming, locate
from cidery.core.pin_queue import PinQueue
from cidery.core.resolve import ContentPath
from cidery.core.sources import BlockSession, Network
from cidery.core.store_session import StoreSession
from cidery.core.watch import WatchedSessions
from cidery.errors import NotFound, Unavailable
from cidery.ipld.block import Block
from cidery.ipld.walk import Edge, walk_edges
from cidery.mfs.files import MutableFiles
from cidery.multiformats.cid import CID
from cidery.repo.config import Config, ImportConfig
from cidery.repo.pins import Pin, Pins
from cidery.repo.provisional import ProvisionalRoots, RunningOperation
from cidery.unixfs.chunker import parse_chunker
from cidery.unixfs.layout import Child
from cidery.unixfs.profile import Profile, ShardEstimate, parse_hash, with_chunker

KEEP_BATCH = 16
"""Blocks held in memory while they are stored again: at most 32 MiB."""
PIN_BATCH = 128
"""Roots pinned in one transaction: each transaction waits for the disk."""

TICK_FILES = 64
"""Files between two looks at the clock."""


class NoNetwork(Unavailable):
    """Something that needs peers was asked of an offline node."""

    def __str__(self) -> str:
        return "this needs the network and the node is offline; start it with: cidery daemon"


@dataclass(frozen=True, slots=True)
class Api:
    """A connected node. Made by node/build.py, valid inside its context."""

    path: Path
    """The repository."""
    config: Config
    store: SegmentStore
    blocks: Filestore
    """The store, and the user's files for what was added without a copy: for reading."""
    pins: Pins
    collector: Collector
    provisional: ProvisionalRoots
    jobs: JobDesk
    pin_queue: PinQueue
    files: MutableFiles
    naming: Naming
    network: Network | None
    """None: offline."""
    clock: Callable[[], float]
    """Seconds since 1970-01-01 UTC, for records."""
    watched: WatchedSessions = field(default_factory=WatchedSessions)
    watch_as: str = ""
    """Name under which others may watch what is done through this object; "": nobody does."""

    def offline(self) -> "Api":
        """The same node without its network, for --offline."""
        return replace(self, network=None, naming=self.naming.offline())

    def watched_as(self, name: str) -> "Api":
        """The same node; what is done through it can be watched under ``name``."""
        return replace(self, watch_as=name)

    def doing(self, what: str) -> AbstractContextManager[Callable[[str], None]]:
        """Say, to who watches, what is done inside the context, in a few words; gives what changes it."""
        return self.watched.doing(self.watch_as, what) if self.watch_as else nullcontext(_unwatched)

    async def locate(self, text: str) -> ContentPath:
        """The content path behind any path; names are resolved. Raises PathError, NameNotFound, NoDnsLink, BadDomain,
        BadTarget, TooManyNames, NoSuchDomain, DnsUnavailable. Cancel-safe."""
        with self.doing("resolving the name"):
            return await locate(text, self.naming.resolver)

    @property
    def online(self) -> Network:
        """The network. Raises NoNetwork."""
        if self.network is None:
            raise NoNetwork
        return self.network

    def session(self, *, kept: bool = False, name: str = "") -> AbstractAsyncContextManager[BlockSession]:
        """Blocks for one request: from the store, and from peers when online.

        Args:
            kept: what arrives is stored as kept, not as cached.
            name: others may watch how it is doing under this name.
        """
        opened: AbstractAsyncContextManager[BlockSession]
        opened = FilestoreSession(self.blocks) if self.network is None else self.network.session(kept=kept)
        name = name or self.watch_as
        return self.watched.watch(name, opened) if name else opened

    def operation(self, kind: str, *roots: CID) -> AbstractAsyncContextManager[RunningOperation]:
        """What is stored or found inside the context is spared by a collector until it ends. Needs the lock."""
        return self.provisional.operation(kind, roots, now=self.clock(), since_ordinal=self.store.next_ordinal)

    async def keep(self, cids: Sequence[CID], session: BlockSession) -> None:
        """Note blocks as found, for a collector, and store as kept what is only cached, or is just being forgotten.

        Inside an operation(). Costs 2 us a block that is kept already. Raises as the session and the store.
        """
        places = self.store.touch(cids)
        loose = [
            cid
            for cid, kept in zip(cids, places, strict=True)
            if not kept and (kept is not None or not self.store.is_elsewhere(cid))
        ]
        for start in range(0, len(loose), KEEP_BATCH):
            blocks = [Block(cid, await session.get(cid)) for cid in loose[start : start + KEEP_BATCH]]
            await self.store.put_many(blocks, kept=True, durability=Durability.VISIBLE)

    async def add(
        self,
        sources: Sequence[Source] | AsyncIterable[AddItem],
        options: AddOptions,
        *,
        pin: bool = True,
        pin_name: str = "",
        command: Sequence[str] = (),
        sender: str = "",
        title: str = "",
    ) -> AsyncGenerator[Added | AddProgress, None]:
        """core.add.add() as a job, protected while it runs, its roots pinned recursively before they are reported.

        Files of this machine that an interrupted add of the same sources had stored are not read again.
        ``command``: the words that begin the same add, for `jobs resume`. ``sender``: for items in a stream, what
        their sender calls this add (see sent_key()); ``title``: what `jobs` calls it.

        Raises PinNameTooLong and as core.add.add(). Cancellation: safe; nothing stays pinned that was not reported
        or about to be.
        """
        if options.only_hash:
            async for event in add(sources, self.store, options):
                yield event
            return
        paths = local_paths(sources)
        rules = (options.profile, options.metadata, options.references is not None)
        key = add_key(paths, *rules) if paths else self.sent_key(sender)
        held: list[Added] = []
        roots = done = 0
        async with AsyncExitStack() as stack:
            begun = self.jobs.run("add", title or title_of(paths), key=key, details={"command": list(command)})
            run = await stack.enter_async_context(begun)
            memory = await self._memory(run, options, stack) if key else None
            counted = replace(options, progress=True)
            async for event in await stack.enter_async_context(aclosing(add(sources, self.store, counted, memory))):
                if isinstance(event, AddProgress):
                    run.bytes = done + event.bytes
                    run.tick()
                    if options.progress:
                        yield event
                    continue
                done += event.bytes
                run.files += 1
                if not run.files % TICK_FILES:
                    run.bytes = done
                    run.tick()
                if not pin or not (event.root or held):
                    yield event
                    continue
                held.append(event)
                roots += event.root
                if roots >= PIN_BATCH:
                    await self._pin(held, pin_name)
                    for one in held:
                        yield one
                    held, roots = [], 0
            run.bytes = done
            await self._pin(held, pin_name)
            for one in held:
                yield one

    def sent_key(self, sender: str) -> str:
        """The key of an add whose files come from a sender that calls it so; "" for none."""
        return add_key([sender], self.config.imports) if sender else ""

    async def known_files(self, sender: str) -> AsyncGenerator[tuple[str, int], None]:
        """What an interrupted add or import of this sender has: files, and bytes from their start that are stored."""
        key = self.sent_key(sender)
        jobs = [*self.jobs.jobs.every("add", ended=False), *self.jobs.jobs.every("import", ended=False)]
        job = next((one for one in jobs if key and one.key == key), None)
        if job is None or self.jobs.jobs.runs(job):
            return
        if job.kind == "import":
            for text, size in await asyncio.to_thread(sent_archives, self.jobs.journal(job.id), job):
                yield text, size
            return
        journal = await asyncio.to_thread(AddJournal, self.jobs.journal(job.id), self.clock, load=True)
        for identity in journal.identities():
            whole = journal.file(identity)
            if whole is not None and await self._walk_stored(whole.cid):
                yield identity_text(identity), whole.filesize
                continue
            parts, at = journal.parts(identity), 0
            while (leaves := parts.get(at)) and self._are_kept([leaf.cid for leaf in leaves]):
                at += sum(leaf.filesize for leaf in leaves)
            if at:
                yield identity_text(identity), at

    async def _memory(self, run: JobRun, options: AddOptions, stack: AsyncExitStack) -> Memory:
        """What an earlier run left, and where this one notes what it has stored."""
        journal = await asyncio.to_thread(AddJournal, run.journal, self.clock, load=run.resumed)
        stack.callback(journal.close)
        return Memory(journal, partial(self._stored_whole, profile=options.profile))

    async def _stored_whole(self, nodes: Sequence[Child], profile: Profile) -> list[bool]:
        """Whether all blocks of each are stored as kept, or in a file of the user; notes them for a collector.

        2 us for a leaf; larger files cost the reading of their inner nodes.
        """
        return [
            await self._walk_stored(node.cid)
            if node.filesize > profile.chunk_size or profile.trickle
            else self._are_kept([node.cid])
            for node in nodes
        ]

    def _are_kept(self, cids: Sequence[CID]) -> bool:
        places = self.store.touch(cids)
        return all(
            kept or (kept is None and self.store.is_elsewhere(cid)) for cid, kept in zip(cids, places, strict=True)
        )

    async def _walk_stored(self, root: CID) -> bool:
        try:
            async for step in drive(walk_edges(root, unique=True, read_raw=False), StoreSession(self.store)):
                cid = step.target if isinstance(step, Edge) else root
                if not self._are_kept([cid]):
                    return False
        except NotFound:
            return False
        return True

    async def _pin(self, events: list[Added], name: str) -> None:
        await self.pins.add(*(pin for event in events if event.root and (pin := self._wanted_pin(event.cid, name))))

    def _wanted_pin(self, cid: CID, name: str) -> Pin | None:
        """What has to be written so that ``cid`` is pinned recursively, without an end; None: nothing."""
        known = self.pins.get(cid)
        if known is None or not known.recursive:
            return Pin(cid, True, name, self.clock())
        if name or known.expires is not None:
            return Pin(cid, True, name or known.name, self.clock())
        return None

    async def pin_stored(self, cid: CID) -> None:
        """Pin recursively what was just stored, as Kubo does: what it links to may come later. Durable on return.

        Inside the operation() that stored it.
        """
        pin = self._wanted_pin(cid, "")
        if pin is not None:
            await self.pins.add(pin)


def _unwatched(what: str) -> None:
    """Nobody watches."""


def import_profile(config: ImportConfig) -> Profile:
    """The rules of ``add`` that the config's Import section states."""
    chunker = parse_chunker(config.chunker)
    base = Profile(
        cid_version=config.cid_version,
        raw_leaves=config.raw_leaves,
        chunk_size=chunker.max_size,
        max_links=config.file_max_links,
        shard_estimate=ShardEstimate(config.hamt_estimation),
        hash_code=parse_hash(config.hash_function),
        shard_threshold=config.hamt_threshold,
        hamt_fanout=config.hamt_fanout,
        directory_links=config.directory_max_links,
        trickle=config.layout == "trickle",
    )
    return with_chunker(base, chunker)
