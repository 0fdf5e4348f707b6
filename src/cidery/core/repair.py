"""Checks every stored block and, on request, drops damaged ones or fetches them again from peers."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from enum import Enum

from cidery.blockstore.verify import Fault
from cidery.core.api import Api
from cidery.core.session import BlockSession
from cidery.errors import CideryError, NotFound, Unavailable
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import RAW


class Outcome(Enum):
    """What was done with a damaged block."""

    LEFT = "left as it is"
    UNREADABLE = "cannot be read now"
    """It may be intact, so it is left alone."""
    REMOVED = "removed"
    HEALED = "healed"
    NOT_HEALED = "removed, not healed"


@dataclass(frozen=True, slots=True)
class Repaired:
    """One damaged block."""

    cid: CID
    """Raw: the store does not know codecs."""
    reason: str
    """The defect."""
    outcome: Outcome
    failure: str = ""
    """Why it could not be healed."""


@dataclass(frozen=True, slots=True)
class RepairStep:
    """Findings since the last step."""

    blocks: int
    """Blocks checked so far."""
    repaired: tuple[Repaired, ...]


async def repair(
    api: Api, *, drop: bool = False, heal: bool = False, heal_timeout: float = 30.0
) -> AsyncGenerator[RepairStep, None]:
    """Read and hash every block.

    Args:
        drop: forget damaged blocks, whose bytes are of no use.
        heal: forget them, and fetch them from peers.
        heal_timeout: longest wait for one block, in seconds; 0: no limit.
    Raises:
        NoNetwork (when healing), and as the store.
    Cancellation: safe; each block is then removed, healed, or as it was.
    """
    network = api.online if heal else None
    async with AsyncExitStack() as stack:
        if drop or heal:
            await stack.enter_async_context(api.operation("repair"))
        steps = await stack.enter_async_context(aclosing(api.store.verify()))
        async for progress in steps:
            if not progress.faults or not (drop or heal):
                done = [_result(fault, Outcome.LEFT if fault.lost else Outcome.UNREADABLE) for fault in progress.faults]
                yield RepairStep(progress.blocks, tuple(done))
                continue
            removed, done = await _remove(api, progress.faults)
            if network is None:
                done += [_result(fault, Outcome.REMOVED) for fault in removed]
            else:
                for kept in (True, False):
                    wanted = [fault for fault in removed if fault.at.kept is kept]
                    async with network.session(kept=kept) as session:
                        done += await _heal(wanted, session, heal_timeout or None)
            yield RepairStep(progress.blocks, tuple(done))


async def _remove(api: Api, faults: Sequence[Fault]) -> tuple[list[Fault], list[Repaired]]:
    """(removed blocks, others); a block that was stored again in the meantime is in neither."""
    lost = [fault for fault in faults if fault.lost]
    gone = await api.store.discard(lost)
    removed = [fault for fault, done in zip(lost, gone, strict=True) if done]
    return removed, [_result(fault, Outcome.UNREADABLE) for fault in faults if not fault.lost]


async def _heal(faults: Sequence[Fault], session: BlockSession, seconds: float | None) -> list[Repaired]:
    cids = [_cid(fault) for fault in faults]
    session.prefetch(cids)
    done = []
    for fault, cid in zip(faults, cids, strict=True):
        failure = ""
        try:
            async with asyncio.timeout(seconds):
                await session.get(cid)
        except TimeoutError:
            failure = f"nobody sent it within {seconds:g} s"
        except (NotFound, Unavailable) as exc:
            failure = str(exc)
        done.append(_result(fault, Outcome.NOT_HEALED if failure else Outcome.HEALED, failure))
    try:
        await session.sync()
    except CideryError as exc:  # fetched but not stored: the disk is full, or worse
        return [_result(fault, Outcome.NOT_HEALED, str(exc)) for fault in faults]
    return done


def _cid(fault: Fault) -> CID:
    return CID(1, RAW, fault.multihash)


def _result(fault: Fault, outcome: Outcome, failure: str = "") -> Repaired:
    return Repaired(_cid(fault), fault.reason, outcome, failure)
