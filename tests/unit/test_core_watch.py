"""Sessions watched by name."""

import pytest

from cidery.blockstore.memory import MemoryStore
from cidery.core.drive import StoreSession
from cidery.core.watch import MAX_ENDED, NoSuchSession, WatchedSessions
from cidery.ipld.block import Block
from cidery.multiformats.cid import CID

DATA = b"one block"


async def _read(watched: WatchedSessions, name: str) -> None:
    store = MemoryStore()
    store.put_many_blocking([Block(CID.of(DATA), DATA)], kept=True)
    async with watched.watch(name, StoreSession(store)) as session:
        assert session.get_if_ready(CID.of(DATA)) == DATA
        assert watched.stats(name).stage == "local"


async def test_sessions_of_one_name_count_together_and_are_remembered_when_done() -> None:
    watched = WatchedSessions()
    await _read(watched, "mine")
    await _read(watched, "mine")
    stats = watched.stats("mine")
    assert stats.stage == "done" and stats.local == (2, 2 * len(DATA))


async def test_only_so_many_ended_sessions_are_remembered() -> None:
    watched = WatchedSessions()
    for n in range(MAX_ENDED + 1):
        await _read(watched, str(n))
    assert watched.stats(str(MAX_ENDED)).stage == "done"
    with pytest.raises(NoSuchSession, match="no session is named '0'"):
        watched.stats("0")
