"""What the workers of one gateway count together."""

import asyncio
import os
from contextlib import AsyncExitStack

import pytest
from test_gateway_strangers import Remote, now

from cidery.budgets import GATEWAY_CLIENT_REQUESTS, STRANGER_FETCHES, STRANGER_NAMES, Bucket, Rate
from cidery.gateway.bounded import Bounded, Limits
from cidery.gateway.shared_counts import Running, SharedCounts, Spent
from cidery.gateway.strangers import Strangers, TooMuchFetched
from cidery.http.message import Request, Response
from cidery.testing.virtual_clock import run_virtual

CLIENT = "203.0.113.5"


def request() -> Request:
    return Request("GET", "/", {}, client=CLIENT, abort=lambda: None)


async def waiting(_: Request) -> Response:
    await asyncio.sleep(1)
    return Response(200)


def test_a_client_has_so_many_requests_at_once_at_all_workers_together():
    async def main():
        counts = SharedCounts(3)
        workers = [Bounded(waiting, shared=counts.of(number)) for number in range(3)]
        running = [
            asyncio.create_task(workers[number % 3](request())) for number in range(GATEWAY_CLIENT_REQUESTS.amount)
        ]
        await asyncio.sleep(0.1)
        assert [(await worker(request())).status for worker in workers] == [429] * 3
        await asyncio.gather(*running)
        assert (await workers[0](request())).status == 200

    run_virtual(main())


def test_all_clients_have_so_many_requests_at_once_at_all_workers_together():
    async def main():
        counts = SharedCounts(2)
        one, other = (Bounded(waiting, Limits(requests=3), shared=counts.of(number)) for number in range(2))
        running = [asyncio.create_task(worker(request())) for worker in (one, one, other)]
        await asyncio.sleep(0.1)
        assert {(await worker(request())).status for worker in (one, other)} == {429}
        counts.forget(0)  # it has died
        assert (await other(request())).status == 200
        await asyncio.gather(*running)

    run_virtual(main())


def test_a_stranger_has_its_fetches_and_names_at_all_workers_together():
    async def main():
        counts = SharedCounts(2)
        workers = [Strangers(now, counts.of(number)) for number in range(2)]
        async with AsyncExitStack() as stack:
            for number in range(STRANGER_FETCHES.amount):
                await stack.enter_async_context(workers[number % 2].fetching(CLIENT, Remote()))
            for worker in workers:
                with pytest.raises(TooMuchFetched):
                    await stack.enter_async_context(worker.fetching(CLIENT, Remote()))
        async with workers[0].fetching(CLIENT, Remote()):
            pass
        for number in range(int(STRANGER_NAMES.burst)):
            workers[number % 2].look_up(CLIENT)
        for worker in workers:
            with pytest.raises(TooMuchFetched):
                worker.look_up(CLIENT)
        workers[0].look_up("203.0.113.6")
        await asyncio.sleep(1 / STRANGER_NAMES.amount)
        workers[1].look_up(CLIENT)

    run_virtual(main())


def test_a_shared_bucket_fills_as_one_of_a_single_process():
    rate = Rate(2, 10, "", STRANGER_NAMES.per, "", "")
    shared, alone = SharedCounts(2).of(1).bucket(Spent.NAMES, rate, CLIENT), Bucket(rate, 100.0)
    for at, amount in ((100.0, 4), (100.5, 8), (101.0, 3), (107.0, 0), (130.0, 11), (130.0, 1)):
        assert shared.reserve(at, amount) == pytest.approx(alone.reserve(at, amount))
    for bucket in (shared, alone):
        bucket.give_back(2)
    assert shared.reserve(130.0, 1) == pytest.approx(alone.reserve(130.0, 1))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork()")
def test_a_worker_sees_what_another_process_counts():
    counts = SharedCounts(2)
    pid = os.fork()
    if pid == 0:
        counts.of(1).add(Running.FETCHES, CLIENT, 5)
        counts.of(1).bucket(Spent.BYTES, STRANGER_NAMES, CLIENT).reserve(1.0, 90)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    mine = counts.of(0)
    assert mine.others(Running.FETCHES, CLIENT) == 5 and mine.others(Running.FETCHES, "another") == 0
    assert mine.others(Running.CLIENT_REQUESTS, CLIENT) == 0
    assert mine.bucket(Spent.BYTES, STRANGER_NAMES, CLIENT).reserve(1.0, 0) == pytest.approx(30)
    counts.forget(1)
    assert mine.others(Running.FETCHES, CLIENT) == 0
