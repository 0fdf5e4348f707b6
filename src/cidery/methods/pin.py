"""node.pin: what is kept from being collected as garbage."""

from __future__ import annotations

from contextlib import aclosing
from functools import cached_property

from cidery.methods.blocking import BlockingGroup, blocking, iterating
from cidery.methods.caller import Group, path_text, seconds_of
from cidery.methods.results import PinCheck, PinEntry, PinProgress, QueuedPin
from cidery.multiformats.cid import CID

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from cidery.methods.caller import Value
    from cidery.methods.pin_remote import BlockingRemote, Remote


class Pin(Group):
    """Pins: ``await node.pin.add(cid)`` keeps content until ``node.pin.rm(cid)``."""

    async def add(
        self,
        path: str | CID,
        *,
        recursive: bool = True,
        name: str = "",
        expires_in: float | None = None,
        progress: Callable[[PinProgress], None] | None = None,
    ) -> CID:
        """Pin content, and fetch what is missing of it; the pin is durable on return.

        Args:
            recursive: everything below too; False: this block alone.
            expires_in: seconds after which the pin ends; None: never.
            progress: called as blocks arrive.
        Raises: PathError, NotFound, CannotPin, and as the store.
        Cancellation: safe; there is no pin, and the blocks that have come may be collected.
        """
        last: CID | None = None
        values = self._caller.values(
            "pin add",
            path_text(path),
            recursive=recursive,
            name=name or None,
            expire_in=expires_in,
            progress=progress is not None,
        )
        async with aclosing(values):
            async for value in values:
                if "Progress" in value and progress is not None:
                    progress(PinProgress(value["Progress"], value.get("Bytes", 0)))
                for text in value["Pins"] or ():
                    last = CID.parse(text)
        assert last is not None  # the command pins what it is given, or raises
        return last

    async def queue(self, path: str | CID, *, recursive: bool = True, name: str = "") -> int:
        """Let a daemon pin it in the background, however long that takes; returns the number of the job.

        The request is on disk on return. A failed attempt is repeated, for 30 days. See status().
        """
        value = await self._value("pin add", path_text(path), recursive=recursive, name=name or None, background=True)
        return int(value["Queued"][0]["Job"])

    async def status(self, status: str = "") -> AsyncGenerator[QueuedPin, None]:
        """The pins that went through queue(), oldest first.

        Args:
            status: only "queued", "pinning", "pinned" or "failed" ones.
        """
        async with aclosing(self._caller.values("pin status", status=status or None)) as values:
            async for value in values:
                yield _queued(value)

    async def ls(
        self,
        *paths: str | CID,
        type: str = "all",
        name: str = "",
        limit: int | None = None,
        after: CID | None = None,
    ) -> AsyncGenerator[PinEntry, None]:
        """What is pinned: all of it, or what pins these paths. Indirect pins are listed only for type "all" and
        "indirect".

        Args:
            type: "all", "recursive", "direct" or "indirect".
            name: only pins whose name contains this.
            limit: most pins (1 to 10,000), for type "recursive" or "direct".
            after: only pins behind this one, the last of the page before, even if it is gone by now.
        Raises: NotPinned for a path that nothing pins.
        Cost: "recursive" and "direct" read no block; the others walk every recursive pin.
        """
        values = self._caller.values(
            "pin ls",
            *map(path_text, paths),
            type=type,
            name=name or None,
            names=True,
            stream=True,
            limit=limit,
            after=None if after is None else str(after),
        )
        async with aclosing(values):
            async for value in values:
                kind, _, through = value["Type"].partition(" through ")
                expires = value.get("Expires")
                yield PinEntry(
                    CID.parse(value["Cid"]),
                    kind,
                    value.get("Name", ""),
                    None if expires is None else seconds_of(expires),
                    CID.parse(through) if through else None,
                    value.get("Unwalked", ""),
                )

    async def rm(self, *paths: str | CID, recursive: bool = True) -> list[CID]:
        """Remove pins, all or none; returns their CIDs. ``recursive``: False refuses recursive pins.

        Raises: NotPinned, PathError.
        """
        value = await self._value("pin rm", *map(path_text, paths), recursive=recursive)
        return [CID.parse(text) for text in value["Pins"]]

    async def update(self, old: str | CID, new: str | CID, *, unpin: bool = True) -> CID:
        """Pin ``new`` as ``old`` is pinned: only what differs is looked at. Returns the CID pinned now.

        ``unpin``: whether the pin of ``old`` goes. Raises: NotPinned, NotFound.
        """
        value = await self._value("pin update", path_text(old), path_text(new), unpin=unpin)
        return CID.parse(value["Pins"][1])

    async def verify(self) -> AsyncGenerator[PinCheck, None]:
        """Read every block of every recursive pin: one result each. Raises PinsBroken after the last, if any is."""
        async with aclosing(self._caller.values("pin verify", verbose=True)) as values:
            async for value in values:
                bad = tuple((CID.parse(node["Cid"]), str(node["Err"])) for node in value.get("BadNodes", ()))
                yield PinCheck(CID.parse(value["Cid"]), value["Ok"], bad)

    @cached_property
    def remote(self) -> Remote:
        """Services that are asked to keep content."""
        from cidery.methods.pin_remote import Remote

        return Remote(self._caller)


def _queued(value: Value) -> QueuedPin:
    next_try = value.get("NextTry")
    return QueuedPin(
        job=value["Job"],
        path=value["Cid"],
        status=value["Status"],
        name=value.get("Name", ""),
        created=seconds_of(value["Created"]),
        blocks=value["Blocks"],
        bytes=value["Bytes"],
        attempts=value["Attempts"],
        error=value.get("Error", ""),
        next_try=None if next_try is None else seconds_of(next_try),
    )


class BlockingPin(BlockingGroup[Pin]):
    """The methods of Pin, blocking."""

    add = blocking(Pin.add)
    queue = blocking(Pin.queue)
    status = iterating(Pin.status)
    ls = iterating(Pin.ls)
    rm = blocking(Pin.rm)
    update = blocking(Pin.update)
    verify = iterating(Pin.verify)

    @cached_property
    def remote(self) -> BlockingRemote:
        """Services that are asked to keep content."""
        from cidery.methods.pin_remote import BlockingRemote

        return BlockingRemote(self._inner.remote, self._loop, self._seconds)
