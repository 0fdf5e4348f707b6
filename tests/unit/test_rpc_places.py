"""Places for calls of the RPC, in virtual time: what is stuck does not lock out the user."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from cidery.budgets import RPC_CALLS, RPC_SHORT_CALLS, RPC_UPLOADS, RPC_WAITING
from cidery.commands.registry import find
from cidery.rpc.places import (
    BODY_SILENCE,
    CROWDED_SILENCE,
    PLACE_SECONDS,
    SHORT_SECONDS,
    Place,
    Places,
    SilentBody,
    TooManyCalls,
    TooManyUploads,
)
from cidery.testing.virtual_clock import run_virtual


def command(*words: str):
    found = find(list(words))
    assert found is not None
    return found.command


ADD, ID, LS, BLOCK_GET = command("add"), command("id"), command("ls"), command("block", "get")


def test_a_body_that_falls_silent_ends():
    async def main():
        place = Place()
        began = asyncio.get_running_loop().time()
        with pytest.raises(SilentBody, match="nothing came for 600 s"):
            await place.hear(asyncio.get_running_loop().create_future())
        assert asyncio.get_running_loop().time() - began == BODY_SILENCE
        assert await place.hear(asyncio.sleep(BODY_SILENCE - 1, b"x")) == b"x"

    run_virtual(main())


def test_the_upload_that_is_silent_longest_gives_its_place_to_a_new_one():
    async def main():
        places = Places()
        ended: list[int] = []

        async def stuck(number: int) -> None:
            async with places.taken(ADD) as place:
                try:
                    await place.hear(asyncio.get_running_loop().create_future())
                except SilentBody:
                    ended.append(number)

        tasks = []
        for number in range(RPC_UPLOADS.amount):
            tasks.append(asyncio.create_task(stuck(number)))
            await asyncio.sleep(0.001)
        began = asyncio.get_running_loop().time()
        async with places.taken(ADD):
            await asyncio.sleep(0.1)
            assert asyncio.get_running_loop().time() - began <= CROWDED_SILENCE + 0.2 and ended == [0]
            async with places.taken(ADD):
                await asyncio.sleep(0.1)
                assert ended == [0, 1]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        async with AsyncExitStack() as stack:
            for _ in range(RPC_UPLOADS.amount):
                await stack.enter_async_context(places.taken(ADD))
            with pytest.raises(TooManyUploads):
                async with places.taken(ADD):
                    pass

    run_virtual(main())


def test_a_busy_upload_keeps_its_place():
    async def main():
        places = Places()
        async with AsyncExitStack() as stack:
            for _ in range(RPC_UPLOADS.amount):
                await stack.enter_async_context(
                    places.taken(ADD)
                )  # they store what came: none of them waits for its body
            await asyncio.sleep(10 * CROWDED_SILENCE)
            with pytest.raises(TooManyUploads):
                async with places.taken(ADD):
                    pass
            async with places.taken(ID):
                pass

    run_virtual(main())


def test_when_every_place_is_taken_short_calls_have_some_for_themselves_for_a_short_time():
    async def main():
        places = Places()
        async with AsyncExitStack() as stack:
            for _ in range(RPC_CALLS.amount):
                assert (await stack.enter_async_context(places.taken(LS))).seconds is None
            for crowded in (LS, BLOCK_GET, ADD):
                with pytest.raises((TooManyCalls, TooManyUploads)):
                    async with places.taken(crowded):
                        pass
            for _ in range(RPC_SHORT_CALLS.amount):
                assert (await stack.enter_async_context(places.taken(ID))).seconds == SHORT_SECONDS
            with pytest.raises(TooManyCalls, match="256 calls are running"):
                async with places.taken(ID):
                    pass
        async with places.taken(ID) as place:
            assert place.seconds is None

    run_virtual(main())


def test_a_thousand_calls_at_once_are_all_answered_in_their_order():
    async def main():
        places = Places()
        begun: list[int] = []

        async def call(number: int, what: object) -> None:
            async with places.taken(what):
                begun.append(number)
                await asyncio.sleep(1.0)

        async with asyncio.TaskGroup() as tasks:
            for number in range(1000):
                tasks.create_task(call(number, BLOCK_GET))
            await asyncio.sleep(0.5)
            assert len(begun) == RPC_CALLS.amount
            async with places.taken(ID) as place:
                assert place.seconds == SHORT_SECONDS, "what is short does not wait behind them"
        assert begun == list(range(1000))

    run_virtual(main())


def test_who_goes_away_leaves_its_turn_to_the_next():
    async def main():
        places = Places()
        answered: list[int] = []

        async def call(number: int) -> None:
            async with places.taken(LS):
                answered.append(number)

        async with AsyncExitStack() as stack:
            for _ in range(RPC_CALLS.amount - 1):
                await stack.enter_async_context(places.taken(LS))
            async with AsyncExitStack() as last:
                await last.enter_async_context(places.taken(LS))
                waiting = [asyncio.create_task(call(number)) for number in range(3)]
                await asyncio.sleep(0)
                waiting[1].cancel()
                await asyncio.sleep(0)
            waiting[0].cancel()  # it was called, and has not begun
            await asyncio.wait(waiting)
            assert answered == [2]

    run_virtual(main())


def test_who_waits_too_long_or_behind_too_many_is_refused():
    async def main():
        places = Places()
        async with AsyncExitStack() as stack:
            for _ in range(RPC_CALLS.amount):
                await stack.enter_async_context(places.taken(LS))
            began = asyncio.get_running_loop().time()
            waiting = [asyncio.create_task(places.taken(LS).__aenter__()) for _ in range(RPC_WAITING.amount)]
            await asyncio.sleep(0)
            with pytest.raises(TooManyCalls):
                await places.taken(LS).__aenter__()
            assert asyncio.get_running_loop().time() == began
            ends = await asyncio.gather(*waiting, return_exceptions=True)
            assert all(isinstance(end, TooManyCalls) for end in ends)
            assert asyncio.get_running_loop().time() - began == PLACE_SECONDS

    run_virtual(main())
