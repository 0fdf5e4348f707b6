"""HTTP/2 over TLS: real sockets, and a client that also does what no client should."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from h2.events import ConnectionTerminated, StreamReset
from h2.settings import SettingCodes

from cidery.budgets import H2_CONTROL, H2_RESETS, H2_STREAMS
from cidery.errors import Unavailable
from cidery.http.body import RequestBody
from cidery.http.h2_request import head_of
from cidery.http.message import MAX_HEADER_COUNT, Request, Response, text
from cidery.http.server import HttpServer
from cidery.http.tls import Certificate
from peers.certificates import write_certificate
from peers.h2_client import H2Client, unverified
from peers.waiting import until_async

BIG = bytes(range(256)) * 4096


class Handler:
    """Answers by path, and knows what became of its requests."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.cancelled = self.running = 0
        self.hold = asyncio.Event()

    async def __call__(self, request: Request) -> Response:
        self.requests.append(request)
        if request.path == "/big":
            return Response(200, {"Content-Type": "x/y"}, self._pieces(), len(BIG))
        if request.path == "/broken":
            return Response(200, {}, self._broken())
        if request.path == "/echo":
            assert isinstance(request.body, RequestBody)
            return Response(200, {}, b"".join([data async for data in request.body]))
        if request.path == "/hold":
            self.running += 1
            try:
                await self.hold.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
            finally:
                self.running -= 1
        return text(200, request.target)

    async def _pieces(self) -> AsyncGenerator[bytes, None]:
        for start in range(0, len(BIG), 1 << 16):
            yield BIG[start : start + (1 << 16)]

    async def _broken(self) -> AsyncGenerator[bytes, None]:
        yield b"some"
        raise Unavailable


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_certificate(tmp_path_factory.mktemp("tls"))


@asynccontextmanager
async def serving(
    files: tuple[Path, Path], handler: Handler, at_hand: Callable[[Request], Response | None] | None = None
) -> AsyncIterator[tuple[HttpServer, int]]:
    server = HttpServer(handler, most=8, name="test", clock=lambda: 1.0, at_hand=at_hand)
    try:
        yield server, await server.listen("127.0.0.1", 0, Certificate(*map(str, files)))
    finally:
        await server.close(0.1)


async def test_requests_of_one_connection_are_answered_at_the_same_time(files: tuple[Path, Path]) -> None:
    handler = Handler()
    async with serving(files, handler) as (_, port), H2Client(port) as client:
        held, quick, big = client.ask("/hold"), client.ask("/a%2Fb?x=%20"), client.ask("/big")
        await client.send()
        status, headers, body = await client.answer(quick)
        assert (status, body, headers["server"]) == (200, b"/a%2Fb?x=%20\n", "test")
        assert headers["date"] == "Thu, 01 Jan 1970 00:00:01 GMT" and headers["content-length"] == "13"
        status, headers, body = await client.answer(big)
        assert (status, body, headers["content-length"]) == (200, BIG, str(len(BIG)))
        handler.hold.set()
        assert (await client.answer(held))[0] == 200
        assert all(one.secure and one.headers["host"] == "127.0.0.1" for one in handler.requests)


async def test_head_has_no_body_and_a_body_is_read(files: tuple[Path, Path]) -> None:
    async with serving(files, Handler()) as (_, port), H2Client(port) as client:
        head = client.ask("/big", "HEAD")
        await client.send()
        status, headers, body = await client.answer(head)
        assert (status, body, headers["content-length"]) == (200, b"", str(len(BIG)))
        echo = client.ask("/echo", "POST", end=False)
        sent = 0
        while sent < 300_000:  # more than the window: it has to be widened
            size = min(client.machine.local_flow_control_window(echo), 16_384, 300_000 - sent)
            if size:
                client.machine.send_data(echo, b"z" * size, end_stream=sent + size == 300_000)
                await client.send()
                sent += size
            else:
                await client.receive()
        assert (await client.answer(echo))[2] == b"z" * 300_000


async def test_what_is_at_hand_is_answered_without_a_task_and_the_windows_are_obeyed(files: tuple[Path, Path]) -> None:
    handler = Handler()
    async with serving(files, handler, lambda _: Response(200, {}, BIG)) as (_, port):
        async with H2Client(port, acknowledges=False) as client:
            stream = client.ask("/at-hand")
            await client.send()
            while client.machine.remote_flow_control_window(stream):
                await client.receive()
            client.machine.increment_flow_control_window(1 << 21)
            client.machine.increment_flow_control_window(1 << 21, stream)
            await client.send()
            assert (await client.answer(stream))[2] == BIG
        assert handler.requests == []


async def test_a_request_that_its_client_resets_is_cancelled_at_once(files: tuple[Path, Path]) -> None:
    handler = Handler()
    async with serving(files, handler) as (_, port), H2Client(port) as client:
        held, other = client.ask("/hold"), client.ask("/hold")
        await client.send()
        await until_async(lambda: handler.running == 2)
        client.machine.reset_stream(held, 8)
        await client.send()
        await until_async(lambda: handler.cancelled == 1)
        assert handler.running == 1
        handler.hold.set()
        assert (await client.answer(other))[0] == 200


async def test_an_answer_that_fails_is_reset_and_the_connection_goes_on(files: tuple[Path, Path]) -> None:
    async with serving(files, Handler()) as (_, port), H2Client(port) as client:
        broken = client.ask("/broken")
        await client.send()
        with pytest.raises(ConnectionResetError):
            await client.answer(broken)
        after = client.ask("/after")
        await client.send()
        assert (await client.answer(after))[0] == 200


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [("/" + "a" * 40_000, "GET", 414), ("ipfs", "GET", 400), ("/a b", "GET", 400), ("/\u00e9", "GET", 400)],
)
async def test_targets_that_are_none_are_refused(files: tuple[Path, Path], path: str, method: str, status: int) -> None:
    handler = Handler()
    async with serving(files, handler) as (_, port), H2Client(port) as client:
        client.machine.config.validate_outbound_headers = False
        stream = client.ask(path, method)
        await client.send()
        assert (await client.answer(stream))[0] == status
    assert handler.requests == []


@pytest.mark.parametrize(
    ("authority", "count", "status"),
    [
        (b"a.example:80", MAX_HEADER_COUNT - 1, 0),
        (b"[::1]:80", MAX_HEADER_COUNT, 0),
        (b"x", MAX_HEADER_COUNT + 1, 431),
        (b"\xfc.ipfs.localhost", 0, 400),
        (b"a b", 0, 400),
        (b"a\x01", 0, 400),
    ],
)
def test_headers_without_end_and_hosts_that_are_none_are_refused(authority: bytes, count: int, status: int) -> None:
    fields = [(b":method", b"GET"), (b":path", b"/"), (b":authority", authority), *[(b"x", b"a")] * count]
    refusal = head_of(fields, 100).refusal
    assert (refusal.status if refusal is not None else 0) == status


async def test_at_the_end_running_requests_are_answered_and_further_ones_are_not(files: tuple[Path, Path]) -> None:
    handler = Handler()
    async with serving(files, handler) as (server, port), H2Client(port) as client, H2Client(port) as idle:
        held = client.ask("/hold")
        await client.send()
        await until_async(lambda: handler.running == 1)
        closing = asyncio.create_task(server.close(30))
        await idle.until_closed()
        await client.receive()
        assert any(isinstance(one, ConnectionTerminated) and one.error_code == 0 for one in client.events)
        handler.hold.set()
        # the library forgets its streams at a GOAWAY: the answer is looked for in what it drops
        left = b""
        while piece := await client._reader.read(1 << 16):
            left += piece
        assert left.count(b"/hold\n") == 1
        await closing
        assert held == 1 and handler.cancelled == 0


async def test_a_flood_of_resets_ends_the_connection(files: tuple[Path, Path]) -> None:
    handler = Handler()
    async with serving(files, handler) as (_, port), H2Client(port) as client:
        with suppress(ConnectionError):
            for _ in range(int(H2_RESETS.burst) + 100):
                client.machine.reset_stream(client.ask("/hold"), 8)
                await client.send()
        await client.until_closed()
        assert handler.running == 0 and len(handler.requests) <= H2_RESETS.burst + 1


@pytest.mark.parametrize("frame", ["ping", "settings"])
async def test_a_flood_of_frames_that_ask_for_nothing_ends_the_connection(files: tuple[Path, Path], frame: str) -> None:
    async with serving(files, Handler()) as (_, port), H2Client(port) as client:
        for _ in range(int(H2_CONTROL.burst) + 100):
            if frame == "ping":
                client.machine.ping(b"12345678")
            else:
                client.machine.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 65_535})
        with suppress(ConnectionError):
            await client.send()
        await client.until_closed()


async def test_more_requests_at_once_than_allowed_are_not_run(files: tuple[Path, Path]) -> None:
    handler = Handler()
    async with serving(files, handler) as (_, port), H2Client(port) as client:
        await client.receive()  # the settings
        client.machine.remote_settings[SettingCodes.MAX_CONCURRENT_STREAMS] = 1000
        client.machine.remote_settings.acknowledge()
        for _ in range(H2_STREAMS.amount + 20):
            client.ask("/hold")
        with suppress(ConnectionError):
            await client.send()
        await client.until_closed()
        await until_async(lambda: handler.running == 0)
        assert len(handler.requests) <= H2_STREAMS.amount


async def test_a_client_that_takes_nothing_does_not_make_answers_pile_up(files: tuple[Path, Path]) -> None:
    asked = 0

    def at_hand(_: Request) -> Response:
        nonlocal asked
        asked += 1
        return Response(200, {}, BIG)

    async with serving(files, Handler(), at_hand) as (_, port):
        client = H2Client(port)
        async with client:
            client.machine.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 1 << 28})
            client.machine.increment_flow_control_window(1 << 28)
            for _ in range(H2_STREAMS.amount):
                client.ask("/x")
            await client.send()
            await until_async(lambda: asked > 0)
            await asyncio.sleep(0)
            assert asked < 20


async def test_http_1_is_spoken_with_those_who_want_it(files: tuple[Path, Path]) -> None:
    handler = Handler()
    async with serving(files, handler) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=unverified("http/1.1"))
        writer.write(b"GET /one HTTP/1.1\r\nHost: x\r\n\r\n")
        assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
        assert handler.requests[0].secure
        writer.transport.abort()


async def test_what_is_no_http_2_ends_the_connection(files: tuple[Path, Path]) -> None:
    async with serving(files, Handler()) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=unverified("h2"))
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"HTTP/1.1" not in await asyncio.wait_for(reader.read(), 30)
        writer.transport.abort()


async def test_trouble_of_one_stream_is_told_apart_from_an_abort(files: tuple[Path, Path]) -> None:
    handler = Handler()
    async with serving(files, handler) as (_, port), H2Client(port) as client:
        held, other = client.ask("/hold"), client.ask("/hold")
        await client.send()
        await until_async(lambda: handler.running == 2)
        abort = handler.requests[0].abort
        assert abort is not None
        abort()
        with pytest.raises(ConnectionResetError):
            await client.answer(held)
        handler.hold.set()
        assert (await client.answer(other))[0] == 200
        assert not any(isinstance(one, StreamReset) and one.stream_id == other for one in client.events)
