"""What fetching for strangers may cost, in virtual time."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from cidery.budgets import STRANGER_BYTES, STRANGER_FETCHES, STRANGER_NAMES, STRANGER_WAITING
from cidery.exchange.stats import SessionStats
from cidery.gateway import strangers as module
from cidery.gateway.errors import failed
from cidery.gateway.strangers import MIB, Strangers, TooMuchFetched
from cidery.http.message import Request
from cidery.multiformats.cid import CID
from cidery.testing.virtual_clock import run_virtual

CID_ = CID.parse("bafkreifzjut3te7nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e")


class Remote:
    """A session whose blocks of so many bytes come from another node after so many seconds."""

    def __init__(self, size: int = MIB, seconds: float = 0.0) -> None:
        self.size, self.seconds, self.came, self.open = size, seconds, 0, False

    async def __aenter__(self) -> "Remote":
        self.open = True
        return self

    async def __aexit__(self, *_: object) -> None:
        self.open = False

    def get_if_ready(self, cid: CID) -> bytes | None:
        return None

    async def get(self, cid: CID) -> bytes:
        await asyncio.sleep(self.seconds)
        self.came += self.size
        return b""

    def stats(self) -> SessionStats:
        return SessionStats("receiving", (0, 0), {"peer": (1, self.came)}, 0)


def now() -> float:
    return asyncio.get_running_loop().time()


def test_one_client_has_so_many_fetches_at_once_and_others_are_not_concerned():
    async def main():
        strangers = Strangers(now)
        async with AsyncExitStack() as stack:
            for _ in range(STRANGER_FETCHES.amount):
                await stack.enter_async_context(strangers.fetching("a", Remote()))
            further = Remote()
            with pytest.raises(TooMuchFetched) as refused:
                async with strangers.fetching("a", further):
                    pass
            assert not further.open
            answer = failed(refused.value, Request("GET", "/"))
            assert (answer.status, answer.headers["Retry-After"]) == (429, "1")
            async with strangers.fetching("b", Remote()):
                pass
        async with strangers.fetching("a", Remote()):
            pass

    run_virtual(main())


def test_beyond_its_bytes_a_client_goes_on_at_the_rate_and_begins_nothing_new():
    async def main():
        strangers, began = Strangers(now), now()
        session = Remote(16 * MIB)
        async with strangers.fetching("a", session) as metered:
            while session.came < (STRANGER_BYTES.burst + 160) * MIB:
                await metered.get(CID_)
            assert now() - began == pytest.approx((160 - 16) / STRANGER_BYTES.amount, abs=0.1)
        with pytest.raises(TooMuchFetched) as refused:
            async with strangers.fetching("a", Remote()):
                pass
        assert refused.value.retry_after == 2
        await asyncio.sleep(refused.value.retry_after)
        async with strangers.fetching("a", Remote()):
            pass

    run_virtual(main())


def test_what_came_without_being_read_is_paid_for():
    async def main():
        strangers, session = Strangers(now), Remote()
        async with strangers.fetching("a", session):
            session.came = (STRANGER_BYTES.burst + 80) * MIB
        with pytest.raises(TooMuchFetched) as refused:
            async with strangers.fetching("a", Remote()):
                pass
        assert refused.value.retry_after == 10

    run_virtual(main())


def test_an_answer_waits_for_other_nodes_only_so_long():
    async def main():
        strangers, began = Strangers(now), now()
        async with strangers.fetching("a", Remote(seconds=50.0)) as session:
            await session.get(CID_)
            await asyncio.sleep(1000)  # a reader that takes its time costs nothing
            await session.get(CID_)
            with pytest.raises(TooMuchFetched):
                await session.get(CID_)
        assert now() - began == pytest.approx(1000 + STRANGER_WAITING.amount)

    run_virtual(main())


def test_the_accounts_are_bounded(monkeypatch):
    monkeypatch.setattr(module, "MAX_CLIENTS", 3)

    async def main():
        strangers = Strangers(now)
        async with strangers.fetching("held", Remote()):
            for number in range(10):
                async with strangers.fetching(str(number), Remote()):
                    pass
            assert len(strangers._accounts) <= 3 and "held" in strangers._accounts

    run_virtual(main())


def test_one_client_has_so_many_names_looked_up_and_then_one_a_second_and_others_are_not_concerned():
    async def main():
        strangers = Strangers(now)
        for _ in range(int(STRANGER_NAMES.burst)):
            strangers.look_up("a")
        with pytest.raises(TooMuchFetched) as refused:
            strangers.look_up("a")
        answer = failed(refused.value, Request("GET", "/"))
        assert (answer.status, answer.headers["Retry-After"]) == (429, "1")
        strangers.look_up("b")
        for _ in range(3):  # what was refused is not counted
            await asyncio.sleep(1 / STRANGER_NAMES.amount)
            strangers.look_up("a")
        with pytest.raises(TooMuchFetched):
            strangers.look_up("a")

    run_virtual(main())
