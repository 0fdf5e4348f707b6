"""Removes single blocks on request, except those that a pin or the mutable files still need."""

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

from cidery.blockstore.drive import drive
from cidery.blockstore.interface import BlockStore
from cidery.core.keeping.pin import PinTable, every_pin
from cidery.core.session import BlockSession
from cidery.errors import IntegrityError, InvalidInput, LimitExceeded, NotFound
from cidery.ipld.walk import Edge, walk_edges
from cidery.multiformats.cid import CID


class Removal(NamedTuple):
    """The outcome for one block."""

    cid: CID
    reason: str
    """Why it was not removed; "": it was removed."""
    absent: bool = False
    """It was not stored."""


class SomeNotRemoved(InvalidInput):
    """Blocks to be removed are in use, or were not stored."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.count = count

    def __str__(self) -> str:
        return f"some blocks were not removed ({self.count}); each line above says why"


async def block_rm(
    cids: Sequence[CID], store: BlockStore, session: BlockSession, pins: PinTable, files_root: CID, *, now: float
) -> AsyncIterator[Removal]:
    """Remove blocks that nothing needs, durably; one result per CID, in order.

    Args:
        session: of stored blocks; it is walked below every recursive pin and below ``files_root``, the root of
            the mutable files.
        now: seconds since 1970: expired pins hold nothing.
    Cost: O(blocks pinned) time, O(CIDs below one pin) memory. Cancellation: safe; none or all removable ones are gone.
    """
    held = await _holders({cid.multihash for cid in cids}, session, pins, files_root, now)
    free = [cid for cid in dict.fromkeys(cids) if cid.multihash not in held and pins.get(cid) is None]
    gone = dict(zip(free, await store.delete_many(free), strict=True)) if free else {}
    for cid in cids:
        if cid.multihash in held:
            yield Removal(cid, held[cid.multihash])
        elif gone.get(cid, False):
            yield Removal(cid, "")
        else:
            yield Removal(cid, "it is not stored here", absent=True)


async def _holders(
    multihashes: set[bytes], session: BlockSession, pins: PinTable, files_root: CID, now: float
) -> dict[bytes, str]:
    """Why blocks have to stay, by multihash: the same bytes may be pinned under another codec."""
    held: dict[bytes, str] = {}

    def note(cid: CID, reason: str) -> None:
        if cid.multihash in multihashes:
            held.setdefault(cid.multihash, reason)

    for pin in every_pin(pins):
        if not pin.expired(now):
            note(pin.cid, f"pinned: {'recursive' if pin.recursive else 'direct'}")
    for root, reason in [
        *((pin.cid, f"pinned: indirect via {pin.cid}") for pin in every_pin(pins) if pin.recursive),
        (files_root, "used by the mutable files"),
    ]:
        if len(held) == len(multihashes):
            break
        note(root, reason)
        try:
            async for step in drive(walk_edges(root, unique=True, read_raw=False), session):
                if isinstance(step, Edge):
                    note(step.target, reason)
        except NotFound:
            continue  # nothing is known about what lies below a missing block
        except (IntegrityError, InvalidInput, LimitExceeded) as exc:
            for multihash in multihashes:
                held.setdefault(multihash, f"it may be below {root}, which cannot be read to its end: {exc}")
    return held
