"""Answers of the gateway, bounded."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from cidery.budgets import GATEWAY_BODIES, GATEWAY_CLIENT_REQUESTS
from cidery.core.session import NotStored
from cidery.gateway.bounded import Bounded, Limits, Stalled
from cidery.gateway.visitor import client_of
from cidery.http.body import RequestBody
from cidery.http.message import Request, Response
from cidery.multiformats.cid import CID


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


class Answering:
    """A handler whose answers come when it is told, in pieces."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.pieces: asyncio.Queue[bytes | Exception | None] = asyncio.Queue()
        self.closed = 0

    async def __call__(self, _: Request) -> Response:
        await self.go.wait()
        return Response(200, {}, self._body())

    async def _body(self) -> AsyncGenerator[bytes, None]:
        try:
            while (piece := await self.pieces.get()) is not None:
                if isinstance(piece, Exception):
                    raise piece
                yield piece
        finally:
            self.closed += 1


CORS = {"Access-Control-Allow-Origin": "*"}


async def tasks_of(bounded: Bounded, requests: list[Request]) -> list[asyncio.Task[Response]]:
    tasks = [asyncio.create_task(bounded(one)) for one in requests]
    await asyncio.sleep(0)
    return tasks


async def end(tasks: list[asyncio.Task[Response]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_request_too_many_is_told_to_come_again() -> None:
    bounded = Bounded(Answering(), Limits(requests=2), CORS)
    running = await tasks_of(bounded, [request("192.0.2.1"), request("192.0.2.2")])
    answer = await bounded(request("192.0.2.3"))
    assert (answer.status, answer.headers["Retry-After"], bounded.refused) == (429, "1", 1)
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    await end(running)
    assert bounded.running == 0


async def test_a_client_with_too_many_requests_is_refused_and_others_are_not() -> None:
    bounded = Bounded(answering := Answering(), Limits(requests=0))
    many = await tasks_of(bounded, [request("192.0.2.1")] * GATEWAY_CLIENT_REQUESTS.amount)
    assert (await bounded(request("192.0.2.1"))).status == 429
    other = await tasks_of(bounded, [request("192.0.2.2")])
    answering.go.set()
    answering.pieces.put_nowait(b"x")
    done, _ = await asyncio.wait(other + many, return_when=asyncio.FIRST_COMPLETED)
    assert bounded.refused == 1
    await end(many + other)
    assert bounded.running == len(done)  # its body is still to be read
    for task in done:
        body = task.result().body
        assert not isinstance(body, bytes)
        await body.aclose()
    assert bounded.running == 0


def client(address: str, **headers: str) -> str:
    return client_of(
        Request("GET", "/", {name.replace("_", "-"): text for name, text in headers.items()}, None, address)
    )


def test_clients_are_told_apart_by_address_and_by_net() -> None:
    assert client("192.0.2.7") == "192.0.2.7" == client("::ffff:192.0.2.7")
    assert client("2001:db8::1") == client("2001:db8::ffff:2") == "2001:db8::/64" != client("2001:db8:0:1::1")
    assert client("fe80::1%eth0") == "fe80::/64" and client("") == "" == client("nonsense")


def test_a_proxy_on_this_machine_says_for_whom_it_asks_and_nobody_else_may() -> None:
    assert client("127.0.0.1") == "" == client("::1", x_forwarded_for="unknown")
    assert client("127.0.0.1", x_forwarded_for="203.0.113.9, 198.51.100.4") == "198.51.100.4"
    assert client("192.0.2.7", x_forwarded_for="198.51.100.4") == "192.0.2.7"


async def test_content_that_does_not_come_in_time_is_a_504() -> None:
    bounded = Bounded(Answering(), Limits(retrieval=0.01), CORS)
    answer = await bounded(request("192.0.2.1"))
    assert (answer.status, answer.headers["Retry-After"], bounded.timeouts) == (504, "30", 1)
    assert answer.headers["Access-Control-Allow-Origin"] == "*" and bounded.running == 0


async def test_people_get_a_page_when_content_does_not_come_in_time() -> None:
    bounded = Bounded(Answering(), Limits(retrieval=0.01), CORS, html=True)
    asked = request("192.0.2.1")
    assert (await bounded(asked)).headers["Content-Type"].startswith("text/plain")
    asked.headers = {**asked.headers, "accept": "text/html"}
    page = await bounded(asked)
    assert isinstance(page.body, bytes)
    assert (page.status, page.headers["Retry-After"]) == (504, "30") and b"<h1>504" in page.body


async def test_a_first_piece_that_does_not_come_in_time_is_a_504_too() -> None:
    bounded = Bounded(answering := Answering(), Limits(retrieval=0.01))
    answering.go.set()
    assert (await bounded(request("192.0.2.1"))).status == 504
    assert (answering.closed, bounded.timeouts, bounded.running) == (1, 1, 0)


async def test_a_first_piece_that_cannot_be_had_has_its_own_status() -> None:
    bounded = Bounded(answering := Answering(), headers=CORS)
    answering.go.set()
    answering.pieces.put_nowait(NotStored(CID.of(b"x")))
    answer = await bounded(request("192.0.2.1"))
    assert (answer.status, answering.closed, bounded.running) == (404, 1, 0)
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


async def test_a_body_without_progress_is_cut_off() -> None:
    bounded = Bounded(answering := Answering(), Limits(retrieval=0.05))
    answering.go.set()
    answering.pieces.put_nowait(b"begun")
    answer = await bounded(request("192.0.2.1"))
    assert answer.status == 200
    with pytest.raises(Stalled, match="nothing came within"):
        await read(answer)
    assert (answering.closed, bounded.stalled, bounded.timeouts, bounded.running) == (1, 1, 0, 0)


async def test_an_answer_that_takes_too_long_ends_whatever_its_client_does() -> None:
    aborted = asyncio.Event()
    bounded = Bounded(answering := Answering(), Limits(duration=0.05))
    answering.go.set()
    answering.pieces.put_nowait(b"begun")
    asked = Request("GET", "/", {}, RequestBody(lambda: None, lambda: None), "192.0.2.1", aborted.set)
    answer = await bounded(asked)
    await aborted.wait()  # its client has read nothing
    assert not isinstance(answer.body, bytes) and bounded.overdue == 1
    await answer.body.aclose()
    assert bounded.running == 0


async def test_the_time_of_an_answer_ends_with_it() -> None:
    aborted: list[None] = []
    bounded = Bounded(answering := Answering(), Limits(duration=0.05))
    answering.go.set()
    for piece in (b"all", None):
        answering.pieces.put_nowait(piece)
    asked = Request("GET", "/", {}, RequestBody(lambda: None, lambda: None), "192.0.2.1", lambda: aborted.append(None))
    assert await read(await bounded(asked)) == b"all"
    await asyncio.sleep(0.1)
    assert not aborted and bounded.overdue == 0


async def test_an_empty_body_is_an_answer() -> None:
    bounded = Bounded(answering := Answering())
    answering.go.set()
    answering.pieces.put_nowait(None)
    assert await read(await bounded(request("192.0.2.1"))) == b"" and bounded.running == 0
