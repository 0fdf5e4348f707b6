"""Answers of the gateway, bounded."""

import asyncio
from collections.abc import AsyncGenerator

from cidery.budgets import GATEWAY_BODIES
from cidery.gateway.listen import Bounded
from cidery.http.body import RequestBody
from cidery.http.message import Request, Response


class Blocks:
    """A handler whose bodies hold a block from their making to their end."""

    def __init__(self) -> None:
        self.held = 0

    async def __call__(self, _: Request) -> Response:
        self.held += 1
        pieces = self._pieces()
        await anext(pieces)
        return Response(200, {}, pieces)

    async def _pieces(self) -> AsyncGenerator[bytes, None]:
        try:
            yield b""
            yield b"block"
        finally:
            self.held -= 1


def request(client: str) -> Request:
    return Request("GET", "/", {}, RequestBody(lambda: None, lambda: None), client, lambda: None)


async def read(response: Response) -> bytes:
    assert not isinstance(response.body, bytes)
    return b"".join([bytes(piece) async for piece in response.body])


async def test_a_body_that_waits_for_its_place_holds_nothing_and_is_made_again_for_it() -> None:
    blocks = Blocks()
    bounded = Bounded(blocks)
    reading = [await bounded(request("many")) for _ in range(GATEWAY_BODIES.amount)]
    waiting = asyncio.create_task(bounded(request("late")))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not waiting.done() and blocks.held == GATEWAY_BODIES.amount
    assert await read(reading[0]) == b"block"
    assert await read(await waiting) == b"block"
    for response in reading[1:]:
        assert await read(response) == b"block"
    assert blocks.held == 0
