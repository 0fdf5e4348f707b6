"""Pins: DAGs kept on purpose. Adding a recursive pin walks everything below it; the table knows only roots."""

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

from cidery.blockstore.drive import drive
from cidery.core.reading.blocks import block_get
from cidery.core.reading.content_path import ContentPath
from cidery.core.reading.resolve import resolve
from cidery.core.session import BlockSession
from cidery.errors import IntegrityError, InvalidInput, LimitExceeded, NotFound
from cidery.ipld.walk import Edge, Visited, walk_edges
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import RAW
from cidery.repo.pins import PINS_PAGE, Pin, pin_key

PROGRESS_BLOCKS = 256
"""Blocks between two reports of progress."""
TYPES = ("all", "direct", "indirect", "recursive")
"""Types that pin_ls() accepts."""


LEAF_BATCH = 256
"""Leaves looked up at a time."""
LEAVES_AHEAD = 1024
"""Leaves requested and not yet awaited: as many as several sources can have under way."""

Keep = Callable[[Sequence[CID]], Awaitable[None]]
"""Ensures that blocks stay; implemented by Api.keep."""
Sizes = Callable[[Sequence[CID]], Awaitable[list[int | None]]]
"""Sizes of stored blocks in bytes, None for others; implemented by a store's size_many."""


class PinTable(Protocol):
    """What this module needs of the table; implemented by repo.pins.Pins."""

    def get(self, cid: CID) -> Pin | None: ...

    def page(self, after: bytes = b"", limit: int = PINS_PAGE) -> list[Pin]: ...

    async def add(self, *pins: Pin) -> None: ...

    async def remove(self, cids: Sequence[CID]) -> list[bool]: ...

    async def replace(self, old: CID, pin: Pin, *, keep_old: bool) -> None: ...


class NotPinned(NotFound):
    """A CID without a pin."""

    def __init__(self, cid: CID, through: CID | None = None, unknown: "Unwalked | None" = None) -> None:
        super().__init__(cid, through, unknown)
        self.cid = cid
        self.through = through
        self.unknown = unknown

    def __str__(self) -> str:
        if self.through is not None:
            return f"{self.cid} is pinned indirectly; unpin {self.through}, which holds it"
        if self.unknown is not None:
            return f"{self.cid} is not pinned, as far as can be told: {self.unknown}"
        return f"{self.cid} is not pinned"


class Unwalked(NamedTuple):
    """A pin that holds more than could be listed."""

    pin: CID
    at: CID
    """The block where the walk ended."""
    reason: str

    def __str__(self) -> str:
        where = "" if self.at == self.pin else f"{self.at} below "
        return f"what {where}{self.pin} links to is not known ({self.reason})"


class PinConflict(InvalidInput):
    """A pin of the other kind exists."""

    def __init__(self, cid: CID, reason: str) -> None:
        super().__init__(cid, reason)
        self.cid = cid
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.cid} {self.reason}"


class PinProgress(NamedTuple):
    """Progress of a walk. The last one has ``done``."""

    cid: CID
    blocks: int
    """Blocks seen so far."""
    bytes: int
    """Their bytes."""
    done: bool = False


class PinnedEntry(NamedTuple):
    """One line of pin_ls()."""

    cid: CID
    type: str
    """"direct", "recursive" or "indirect"."""
    name: str = ""
    through: CID | None = None
    """For an indirect one: a recursive pin that reaches it."""
    expires: float | None = None
    """Time when it expires, in seconds since 1970; None: never."""
    unwalked: Unwalked | None = None
    """Why its contents could not be listed in full; such an entry repeats that of a pin."""


async def pin_add(
    path: str | CID | ContentPath,
    session: BlockSession,
    pins: PinTable,
    *,
    now: float,
    keep: Keep | None = None,
    sizes: Sizes | None = None,
    recursive: bool = True,
    name: str = "",
    expires: float | None = None,
) -> AsyncGenerator[PinProgress, None]:
    """Fetch missing blocks, then write the pin, durably; ``now`` and ``expires`` in seconds since 1970.

    ``keep`` is called with every block seen, before the pin is written: a concurrent collector must
    spare them, and none may stay evictable. With ``sizes``, raw leaves that are stored are not
    read: pinning again what is already stored costs some microseconds per block.
    A recursive pin replaces a direct one of the same CID, and a new name replaces the old one.
    Raises PinConflict for a direct pin where a recursive one is, PinNameTooLong, NotFound, and as the walk.
    Cancellation: safe; fetched blocks stay, no pin is written.
    """
    root = await resolve(path, session)
    if recursive:
        session.expect(root)
    known = pins.get(root)
    if not recursive:
        if known is not None and known.recursive:
            raise PinConflict(root, "is pinned recursively already; remove that pin first")
        size = len(await block_get(root, session))
        if keep is not None:
            await keep([root])
        await session.sync()  # a durable pin must not refer to a block that is not durable
        await pins.add(Pin(root, False, name, now, expires))
        yield PinProgress(root, 1, size, done=True)
        return
    blocks = size = 0
    async for blocks, size in _fetched(root, session, keep, sizes):
        yield PinProgress(root, blocks, size)
    if known is not None and known.recursive and not name:
        name = known.name
    await session.sync()
    await pins.add(Pin(root, True, name, now, expires))
    yield PinProgress(root, blocks, size, done=True)


async def _fetched(
    root: CID, session: BlockSession, keep: Keep | None, sizes: Sizes | None
) -> AsyncIterator[tuple[int, int]]:
    """Walk everything below ``root``, fetch missing blocks and keep all; yields (blocks, bytes) now and then."""
    leaves = _Leaves(session, sizes)
    blocks = size = 0
    fresh: list[CID] = []
    async for step in drive(walk_edges(root, unique=True, read_raw=root.codec == RAW), session):
        if isinstance(step, Visited):
            blocks += 1
            size += step.size
            fresh.append(step.cid)
        elif isinstance(step, Edge) and step.target.codec == RAW:
            fresh.append(step.target)
            await leaves.add(step.target)
        if len(fresh) - leaves.pending >= PROGRESS_BLOCKS:
            fresh = await leaves.settled(fresh, keep)
            yield blocks + leaves.blocks, size + leaves.bytes
    await leaves.finish()
    if keep is not None:
        await keep(fresh)
    yield blocks + leaves.blocks, size + leaves.bytes


class _Leaves:
    """Raw blocks found by a walk: stored ones are counted, the rest is fetched in order, many at a time."""

    def __init__(self, session: BlockSession, sizes: Sizes | None) -> None:
        self._session = session
        self._sizes = sizes
        self._unknown: list[CID] = []
        self._coming: deque[CID] = deque()
        self.blocks = 0
        self.bytes = 0

    @property
    def pending(self) -> int:
        """Leaves that are not known to be stored yet."""
        return len(self._unknown) + len(self._coming)

    async def add(self, cid: CID) -> None:
        self._unknown.append(cid)
        if len(self._unknown) >= LEAF_BATCH:
            await self._look_up()
            await self._wait(LEAVES_AHEAD)

    async def _look_up(self) -> None:
        batch, self._unknown = self._unknown, []
        found = await self._sizes(batch) if self._sizes is not None else [None] * len(batch)
        missing = [cid for cid, size in zip(batch, found, strict=True) if size is None]
        self.blocks += len(batch) - len(missing)
        self.bytes += sum(size for size in found if size is not None)
        if missing:
            self._session.prefetch(missing)
            self._coming += missing

    async def _wait(self, left: int) -> None:
        while len(self._coming) > left:
            cid = self._coming.popleft()
            data = self._session.get_if_ready(cid)
            if data is None:
                data = await self._session.get(cid)
            self.blocks += 1
            self.bytes += len(data)

    async def settled(self, fresh: list[CID], keep: Keep | None) -> list[CID]:
        """Keep those of ``fresh`` that are stored; returns the others."""
        still = {*self._unknown, *self._coming}
        if keep is not None:
            await keep([cid for cid in fresh if cid not in still])
        return [cid for cid in fresh if cid in still]

    async def finish(self) -> None:
        """Wait for all."""
        await self._look_up()
        await self._wait(0)


class PinsBroken(IntegrityError):
    """Some pins are incomplete."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.count = count

    def __str__(self) -> str:
        return f"{self.count} pins are broken; go online and add them again to fetch the missing blocks"


async def pin_update(
    old: str | CID | ContentPath,
    new: str | CID | ContentPath,
    session: BlockSession,
    pins: PinTable,
    *,
    now: float,
    keep: Keep | None = None,
    sizes: Sizes | None = None,
    unpin: bool = True,
) -> tuple[CID, CID]:
    """Pin ``new`` recursively with the name and expiry of the pin of ``old``, which is removed if ``unpin``.

    Both or none; shared blocks are walked but not fetched again. Raises NotPinned, PinConflict for a direct pin, and
    as pin_add(). Cancellation: safe; no pin is changed.
    """
    before, after = await resolve(old, session), await resolve(new, session)
    known = pins.get(before)
    if known is None:
        raise NotPinned(before)
    if not known.recursive:
        raise PinConflict(before, "is pinned directly; only recursive pins can be updated")
    async for _ in _fetched(after, session, keep, sizes):
        continue
    await session.sync()
    pin = Pin(after, True, known.name, now, known.expires)
    await pins.replace(before, pin, keep_old=not unpin or before == after)
    return before, after


class VerifiedPin(NamedTuple):
    """The result of walking a pin."""

    cid: CID
    bad: tuple[tuple[CID, str], ...]
    """Missing or damaged blocks, and why; the walk ends at the first. Empty: the pin is complete."""


async def pin_verify(session: BlockSession, pins: PinTable, *, now: float) -> AsyncIterator[VerifiedPin]:
    """Walk everything below every pin; ``session`` should be the offline one. To find bit rot, use `repo verify`.

    O(pinned bytes).
    """
    for pin in every_pin(pins):
        if pin.expired(now):
            continue
        bad: tuple[tuple[CID, str], ...] = ()
        try:
            if pin.recursive:
                async for step in _below(pin.cid, session, read_raw=True):
                    if isinstance(step, Unwalked):
                        bad = ((step.at, step.reason),)
            else:
                await block_get(pin.cid, session)
        except NotFound as exc:
            bad = ((pin.cid, str(exc)),)
        yield VerifiedPin(pin.cid, bad)


async def pin_rm(
    path: str | CID | ContentPath, session: BlockSession, pins: PinTable, *, recursive: bool = True
) -> CID:
    """Remove the pin of exactly this CID. Raises as removable_pin()."""
    root, cid = await removable_pin(path, session, pins, recursive=recursive)
    await pins.remove((root,))
    return cid


async def removable_pin(
    path: str | CID | ContentPath, session: BlockSession, pins: PinTable, *, recursive: bool = True
) -> tuple[CID, CID]:
    """(the CID to remove, as it is pinned) of a pin. Raises NotPinned, PinConflict (recursive, ``recursive`` off)."""
    root = await resolve(path, session)
    known = pins.get(root)
    if known is None:
        holder = await _holder(root, session, pins)
        raise NotPinned(root, holder) if isinstance(holder, CID) else NotPinned(root, unknown=holder)
    if known.recursive and not recursive:
        raise PinConflict(root, "is pinned recursively; use --recursive to remove that pin")
    return root, known.cid


async def pin_ls(
    session: BlockSession,
    pins: PinTable,
    *,
    type: str = "all",
    name: str = "",
    paths: Sequence[str | CID | ContentPath] = (),
    now: float = 0.0,
    after: CID | None = None,
) -> AsyncIterator[PinnedEntry]:
    """Pins in the order of their CIDs, then indirect ones; or only those of ``paths``.

    ``after``: only those behind the pin of this CID, which may be gone by now.

    A pin with unreadable blocks below it comes once more, with ``unwalked``, after everything it is known to hold.

    Pins expired at ``now`` (seconds since 1970) are left out. ``name``: only pins whose name contains it
    (indirect ones have none). Indirect ones are found by walking every recursive pin in ``session``, which should be
    the offline one: O(blocks) time, O(CIDs) memory.
    Raises InvalidInput for another type, NotPinned for a path without a pin of that type.
    """
    if type not in TYPES:
        raise InvalidInput(f"unknown pin type {type!r}; use one of {', '.join(TYPES)}")
    if paths:
        for path in paths:
            yield await _one(await resolve(path, session), session, pins, type)
        return
    for pin in every_pin(pins, b"" if after is None else _position(after, pins)):
        if type in ("all", _type(pin)) and name in pin.name and not pin.expired(now):
            yield PinnedEntry(pin.cid, _type(pin), pin.name, expires=pin.expires)
    if name or type not in ("all", "indirect"):
        return
    seen: set[CID] = set()
    for pin in every_pin(pins):
        if not pin.recursive or pin.expired(now):
            continue
        async for step in _below(pin.cid, session):
            if isinstance(step, Unwalked):
                yield PinnedEntry(pin.cid, _type(pin), pin.name, expires=pin.expires, unwalked=step)
            elif isinstance(step, Edge) and step.target not in seen:
                seen.add(step.target)
                if pins.get(step.target) is None:
                    yield PinnedEntry(step.target, "indirect", through=pin.cid)


def _position(cid: CID, pins: PinTable) -> bytes:
    known = pins.get(cid)
    return pin_key(cid) if known is None else known.cursor


async def _below(root: CID, session: BlockSession, *, read_raw: bool = False) -> AsyncIterator[Edge | Unwalked]:
    """The CIDs below a pin; at the end, if the walk was incomplete, where and why."""
    at = root
    try:
        async for step in drive(walk_edges(root, unique=True, read_raw=read_raw), session):
            if isinstance(step, Edge):
                yield step
            elif isinstance(step, Visited):
                at = step.cid
    except NotFound as exc:
        yield Unwalked(root, getattr(exc, "cid", at), str(exc))
    except (IntegrityError, InvalidInput, LimitExceeded) as exc:
        yield Unwalked(root, at, str(exc))


async def _one(cid: CID, session: BlockSession, pins: PinTable, type: str) -> PinnedEntry:
    known = pins.get(cid)
    if known is not None and type in ("all", _type(known)):
        return PinnedEntry(known.cid, _type(known), known.name, expires=known.expires)
    if type == "indirect" or (known is None and type == "all"):
        holder = await _holder(cid, session, pins)
        if isinstance(holder, CID):
            return PinnedEntry(cid, "indirect", through=holder)
        raise NotPinned(cid, unknown=holder)
    raise NotPinned(cid)


async def _holder(cid: CID, session: BlockSession, pins: PinTable) -> CID | Unwalked | None:
    """The first recursive pin that reaches ``cid``; else one for which that is unknown."""
    unknown: Unwalked | None = None
    for pin in every_pin(pins):
        if not pin.recursive:
            continue
        async for step in _below(pin.cid, session):
            if isinstance(step, Unwalked):
                unknown = unknown or step
            elif step.target.to_v1() == cid.to_v1():
                return pin.cid
    return unknown


def _type(pin: Pin) -> str:
    return "recursive" if pin.recursive else "direct"


def every_pin(pins: PinTable, after: bytes = b"") -> Iterator[Pin]:
    """All pins in the order of their CIDs, expired ones included; read by pages. ``after``: as PinTable.page()."""
    page = pins.page(after)
    while page:
        yield from page
        page = pins.page(page[-1].cursor)
