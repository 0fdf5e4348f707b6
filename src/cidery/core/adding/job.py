"""add() as a job: protected while it runs, pinned before it is reported, and resumed after an interruption."""

from collections.abc import AsyncGenerator, AsyncIterable, Callable, Sequence
from contextlib import AsyncExitStack, aclosing
from functools import partial

from cidery.blockstore.drive import drive
from cidery.blockstore.segments import SegmentStore
from cidery.core.adding.add import AddOptions, add
from cidery.core.adding.batches import Source
from cidery.core.adding.events import Added, AddProgress
from cidery.core.adding.file_jobs import Memory
from cidery.core.adding.items import Item
from cidery.core.adding.journal import AddJournal, add_key, local_paths
from cidery.core.jobs import JobDesk, JobRun, title_of
from cidery.core.session import StoreSession
from cidery.errors import NotFound
from cidery.ipld.walk import Edge, walk_edges
from cidery.multiformats.cid import CID
from cidery.repo.config import ImportConfig
from cidery.repo.pins import Pins
from cidery.unixfs.layout import Child
from cidery.unixfs.profile import Profile
from cidery.waiting import off_loop

PIN_BATCH = 128
"""Roots pinned in one transaction: each transaction waits for the disk."""
TICK_FILES = 64
"""Files between two looks at the clock."""


class Adding:
    """Adds files to a repository. Needs the lock."""

    def __init__(
        self, store: SegmentStore, pins: Pins, desk: JobDesk, imports: ImportConfig, clock: Callable[[], float]
    ) -> None:
        """``clock``: seconds since 1970-01-01 UTC."""
        self._store = store
        self._pins = pins
        self._desk = desk
        self._imports = imports
        self._clock = clock

    async def add(
        self,
        sources: Sequence[Source] | AsyncIterable[Item],
        options: AddOptions,
        *,
        pin: bool = True,
        pin_name: str = "",
        command: Sequence[str] = (),
        sender: str = "",
        title: str = "",
    ) -> AsyncGenerator[Added | AddProgress, None]:
        """add() as a job, protected while it runs; its roots are pinned recursively before they are reported.

        Files of this machine that an interrupted add of the same sources had stored are not read again.
        ``command``: the command line that repeats the add, for `jobs resume`. ``sender``: for items in a stream, the
        name that their sender gives this add (see sent_key()); ``title``: its name in `jobs`.

        Raises PinNameTooLong and as add(). Cancellation: safe; no root stays pinned that is not reported.
        """
        if options.only_hash:
            async for event in add(sources, self._store, options):
                yield event
            return
        paths = local_paths(sources)
        rules = (options.profile, options.metadata, options.references is not None)
        key = add_key(paths, *rules) if paths else self.sent_key(sender)
        held: list[Added] = []
        roots = done = 0
        async with AsyncExitStack() as stack:
            begun = self._desk.run("add", title or title_of(paths), key=key, details={"command": list(command)})
            run = await stack.enter_async_context(begun)
            memory = await self._memory(run, options, stack) if key else None
            counted = options._replace(progress=True)
            async for event in await stack.enter_async_context(aclosing(add(sources, self._store, counted, memory))):
                if isinstance(event, AddProgress):
                    run.bytes = done + event.bytes
                    run.tick()
                    if options.progress:
                        yield event
                    continue
                run.bytes = done = done + event.bytes
                run.files += 1
                if not run.files % TICK_FILES:
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
            if options.part:
                run.leave("the rest has not been sent yet")
            await self._pin(held, pin_name)
            for one in held:
                yield one

    def sent_key(self, sender: str) -> str:
        """The key of an add under the name that the sender of its files gave; "" for none."""
        return add_key([sender], self._imports) if sender else ""

    async def _memory(self, run: JobRun, options: AddOptions, stack: AsyncExitStack) -> Memory:
        """What an earlier run left, and where this run notes what it has stored."""
        journal = await off_loop(AddJournal, run.journal, self._clock, load=run.resumed)
        stack.callback(journal.close)
        return Memory(journal, partial(self._stored_whole, profile=options.profile))

    async def _stored_whole(self, nodes: Sequence[Child], profile: Profile) -> list[bool]:
        """Whether all blocks of each are stored as kept, or in a file of the user; notes them for a collector.

        2 us per leaf; for larger files, the cost of reading their inner nodes.
        """
        return [
            await self.walk_stored(node.cid)
            if node.filesize > profile.chunk_size or profile.trickle
            else self.are_kept([node.cid])
            for node in nodes
        ]

    def are_kept(self, cids: Sequence[CID]) -> bool:
        """Whether all are stored as kept, or in a file of the user; notes them for a collector."""
        places = self._store.touch(cids)
        return all(
            kept or (kept is None and self._store.is_elsewhere(cid)) for cid, kept in zip(cids, places, strict=True)
        )

    async def walk_stored(self, root: CID) -> bool:
        """are_kept() of everything below a root."""
        if not self.are_kept([root]):
            return False  # a raw root has no edge that would tell
        try:
            async for step in drive(walk_edges(root, unique=True, read_raw=False), StoreSession(self._store)):
                cid = step.target if isinstance(step, Edge) else root
                if not self.are_kept([cid]):
                    return False
        except NotFound:
            return False
        return True

    async def _pin(self, events: list[Added], name: str) -> None:
        now = self._clock()
        wanted = (self._pins.wanted(event.cid, name, now) for event in events if event.root)
        await self._pins.add(*(pin for pin in wanted if pin is not None))
