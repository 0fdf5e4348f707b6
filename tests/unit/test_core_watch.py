"""Sessions watched by name."""

import pytest

from cidery.blockstore.memory import MemoryStore
from cidery.core.session import StoreSession
from cidery.core.watch import MAX_ENDED, NoSuchSession, WatchedSessions
from cidery.exchange.stats import SessionStats
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


async def test_what_is_said_beside_sessions_counts_while_none_waits_for_others() -> None:
    watched = WatchedSessions()
    with watched.doing("mine", "resolving the name") as say:
        assert watched.stats("mine").stage == "resolving the name"
        say("asking 3 routers")
        with watched.doing("mine", "dialling"):
            assert watched.stats("mine").stage == "dialling"
        assert watched.stats("mine").stage == "asking 3 routers"
        async with watched.watch("mine", Waiting()):
            assert watched.stats("mine").stage == "finding"
    with pytest.raises(NoSuchSession):
        watched.stats("other")
    assert watched.stats("mine").stage == "done"


async def test_two_calls_under_one_name_may_overlap() -> None:
    watched = WatchedSessions()
    first, second = watched.doing("mine", "asking the routers"), watched.doing("mine", "dialling")
    first.__enter__()
    say = second.__enter__()
    first.__exit__(None, None, None)
    say("handing it over")
    assert watched.stats("mine").stage == "handing it over"
    second.__exit__(None, None, None)
    with pytest.raises(NoSuchSession):
        watched.stats("mine")


class Waiting(StoreSession):
    """A session that waits for others."""

    def __init__(self) -> None:
        super().__init__(MemoryStore())

    def stats(self) -> SessionStats:
        return SessionStats("finding", (0, 0), {}, 0)
