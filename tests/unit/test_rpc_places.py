"""Places for calls of the RPC, in virtual time: what is stuck does not lock out the user."""

import asyncio
from contextlib import ExitStack

import pytest

from cidery.budgets import RPC_CALLS, RPC_SHORT_CALLS, RPC_UPLOADS
from cidery.commands.registry import find
from cidery.rpc.places import (
    BODY_SILENCE,
    CROWDED_SILENCE,
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
            with places.taken(ADD) as place:
                try:
                    await place.hear(asyncio.get_running_loop().create_future())
                except SilentBody:
                    ended.append(number)

        tasks = []
        for number in range(RPC_UPLOADS.amount):
            tasks.append(asyncio.create_task(stuck(number)))
            await asyncio.sleep(0.001)
        with pytest.raises(TooManyUploads), places.taken(ADD):
            pass
        await asyncio.sleep(CROWDED_SILENCE)
        with places.taken(ADD), places.taken(ADD):
            await asyncio.sleep(0.1)
            assert ended == [0, 1]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with ExitStack() as stack:
            for _ in range(RPC_UPLOADS.amount):
                stack.enter_context(places.taken(ADD))
            with pytest.raises(TooManyUploads), places.taken(ADD):
                pass

    run_virtual(main())


def test_a_busy_upload_keeps_its_place():
    async def main():
        places = Places()
        with ExitStack() as stack:
            for _ in range(RPC_UPLOADS.amount):
                stack.enter_context(places.taken(ADD))  # they store what came: none of them waits for its body
            await asyncio.sleep(10 * CROWDED_SILENCE)
            with pytest.raises(TooManyUploads), places.taken(ADD):
                pass
            with places.taken(ID):
                pass

    run_virtual(main())


def test_when_every_place_is_taken_short_calls_have_some_for_themselves_for_a_short_time():
    async def main():
        places = Places()
        with ExitStack() as stack:
            for _ in range(RPC_CALLS.amount):
                assert stack.enter_context(places.taken(LS)).seconds is None
            for crowded in (LS, BLOCK_GET, ADD):
                with pytest.raises((TooManyCalls, TooManyUploads)), places.taken(crowded):
                    pass
            for _ in range(RPC_SHORT_CALLS.amount):
                assert stack.enter_context(places.taken(ID)).seconds == SHORT_SECONDS
            with pytest.raises(TooManyCalls, match="256 calls are running"), places.taken(ID):
                pass
        with places.taken(ID) as place:
            assert place.seconds is None

    run_virtual(main())
