"""Places for bodies of the gateway, in virtual time."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from cidery.budgets import GATEWAY_BODIES
from cidery.gateway.places import LOOK_EVERY, PATIENCE, SLOW, BodyPlaces, Crowded
from cidery.testing.virtual_clock import run_virtual

MOST = GATEWAY_BODIES.amount


def made() -> tuple[BodyPlaces, list[str]]:
    return BodyPlaces(asyncio.get_running_loop().time), []


def now() -> float:
    return asyncio.get_running_loop().time()


async def read(places: BodyPlaces, order: list[str], client: str, name: str, blocked: float | None) -> None:
    """A reader that is done after a moment, or is blocked in one slice for so long."""
    ended = asyncio.Event()
    async with places.taken(client, ended.set) as reader:
        order.append(name)
        if blocked is None:
            await asyncio.sleep(0.01)
            return
        with reader.taking(now()):
            try:
                async with asyncio.timeout(blocked):
                    await ended.wait()
                order.append(f"{name} cut")
            except TimeoutError:
                order.append(f"{name} done")


def test_slow_readers_keep_their_places_while_nobody_waits():
    async def main():
        places, order = made()
        await asyncio.gather(*(read(places, order, "a", str(at), 100.0) for at in range(MOST)))
        assert not [line for line in order if line.endswith("cut")]

    run_virtual(main())


def test_the_slowest_reader_gives_its_place_to_a_newcomer():
    async def main():
        places, order = made()
        slow = []
        for at in range(MOST):
            slow.append(asyncio.create_task(read(places, order, "a", str(at), 100.0)))
            await asyncio.sleep(0.001)
        began = now()
        await read(places, order, "b", "new", None)
        assert now() - began <= SLOW + LOOK_EVERY + 0.01
        assert [line for line in order if "cut" in line] == ["0 cut"]
        await asyncio.gather(*slow)

    run_virtual(main())


def test_readers_that_are_not_slow_are_not_cut_and_who_waits_too_long_is_told():
    async def main():
        places, _ = made()
        async with AsyncExitStack() as stack:
            for _ in range(MOST):
                await stack.enter_async_context(places.taken("a", lambda: pytest.fail("it is not slow")))
            began = now()
            with pytest.raises(Crowded, match="answers are being read"):
                async with places.taken("b", lambda: None):
                    pass
            assert now() - began == pytest.approx(PATIENCE)
        async with places.taken("b", lambda: None):
            pass

    run_virtual(main())


def test_the_client_with_fewest_places_is_next_and_then_who_came_last():
    async def main():
        places, order = made()
        held = [asyncio.create_task(read(places, order, "crowd", str(at), 1.0)) for at in range(MOST)]
        await asyncio.sleep(0.5)
        order.clear()
        waiting = []
        for client, name in (("crowd", "c1"), ("one", "o1"), ("crowd", "c2"), ("two", "t1")):
            waiting.append(asyncio.create_task(read(places, order, client, name, None)))
            await asyncio.sleep(0.01)
        await asyncio.gather(*held, *waiting)
        assert [line for line in order if " " not in line] == ["t1", "o1", "c2", "c1"]

    run_virtual(main())


def test_a_waiter_that_goes_away_leaves_nothing_behind():
    async def main():
        places, order = made()
        held = [asyncio.create_task(read(places, order, "a", str(at), 1.0)) for at in range(MOST)]
        await asyncio.sleep(0.1)
        waiting = asyncio.create_task(read(places, order, "b", "gone", None))
        await asyncio.sleep(0.1)
        waiting.cancel()
        await asyncio.gather(*held, waiting, return_exceptions=True)
        assert "gone" not in order and not places._waiting and not places._readers and not places._of

    run_virtual(main())
