"""The HTTP server: idle connections make room, busy ones do not."""

import asyncio
import gc
import re
import socket
import time
import weakref
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from cidery.budgets import GATEWAY_CONNECTIONS, RPC_CONNECTIONS
from cidery.errors import words_of
from cidery.gateway import errors
from cidery.gateway.listen import CannotListen, place_of
from cidery.gateway.redirects_file import STATUSES
from cidery.http.body import RequestBody
from cidery.http.connection import JOINED
from cidery.http.message import Request, Response, text
from cidery.http.open_files import FEW_FILES, connections_for
from cidery.http.server import HttpServer
from cidery.http.status import REASONS
from cidery.multiformats.multiaddr import Multiaddr

MOST = 4
SOURCES = Path(errors.__file__).parents[1]
Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def serving(release: asyncio.Event, begun: asyncio.Semaphore | None = None) -> AsyncIterator[int]:
    """A server of at most MOST connections whose answers wait for ``release``."""

    async def handler(_: Request) -> Response:
        if begun is not None:
            begun.release()
        await release.wait()
        return text(200, "done")

    server = HttpServer(handler, most=MOST, name="test", clock=lambda: 0.0)
    try:
        yield await server.listen("127.0.0.1", 0)
    finally:
        await server.close(0.1)


async def ask(pair: Pair) -> None:
    pair[1].write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await pair[1].drain()


async def answered(pair: Pair) -> bool:
    """Whether an answer comes; False when the connection ends."""
    return b"200 OK" in await pair[0].readline()


async def test_the_connection_idle_longest_makes_room_for_a_new_one() -> None:
    release = asyncio.Event()
    release.set()
    async with serving(release) as port:
        pairs = [await asyncio.open_connection("127.0.0.1", port) for _ in range(MOST)]
        await ask(pairs[0])
        assert await answered(pairs[0])  # it was opened first, but is idle only since now
        pairs.append(await asyncio.open_connection("127.0.0.1", port))
        await ask(pairs[-1])
        assert await answered(pairs[-1])
        assert await pairs[1][0].read() == b""
        await ask(pairs[2])
        assert await answered(pairs[2])
        for _, writer in pairs:
            writer.close()


async def test_connections_with_a_request_stay_and_a_new_one_goes() -> None:
    release, begun = asyncio.Event(), asyncio.Semaphore(0)
    async with serving(release, begun) as port:
        pairs = [await asyncio.open_connection("127.0.0.1", port) for _ in range(MOST)]
        for pair in pairs:
            await ask(pair)
            await begun.acquire()
        late = await asyncio.open_connection("127.0.0.1", port)
        assert await late[0].read() == b""
        release.set()
        assert all([await answered(pair) for pair in pairs])
        for _, writer in (*pairs, late):
            writer.close()


class Held(bytearray):
    """Bytes that can be watched."""


async def test_what_an_answer_held_is_free_once_its_client_is_gone_without_a_pass_of_the_collector() -> None:
    watched: list[weakref.ref[Held]] = []
    gone = asyncio.Event()

    async def body() -> AsyncGenerator[bytes, None]:
        held = Held(1 << 24)
        watched.append(weakref.ref(held, lambda _: gone.set()))
        yield held
        yield b"never taken"

    async def handler(_: Request) -> Response:
        return Response(200, {}, body())

    server = HttpServer(handler, most=MOST, name="test", clock=lambda: 0.0)
    gc.collect()
    gc.disable()
    try:
        pair = await asyncio.open_connection("127.0.0.1", await server.listen("127.0.0.1", 0))
        await ask(pair)
        assert await answered(pair) and watched[0]() is not None
        pair[1].transport.abort()
        with suppress(ConnectionError):
            await pair[1].wait_closed()
        async with asyncio.timeout(10):
            await gone.wait()
    finally:
        gc.enable()
        await server.close(0.1)


async def test_a_target_in_absolute_form_is_a_path_and_a_host() -> None:
    asked: list[tuple[str, str]] = []

    async def handler(request: Request) -> Response:
        asked.append((request.target, request.header("host")))
        return text(200, "done")

    server = HttpServer(handler, most=MOST, name="test", clock=lambda: 0.0)
    pair = await asyncio.open_connection("127.0.0.1", await server.listen("127.0.0.1", 0))
    for target in ("http://example.org:80/a?b", "HTTP://example.org?b", "/http://other/"):
        pair[1].write(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        while await pair[0].readline() != b"done\n":
            pass
    pair[1].close()
    await server.close(0.1)
    assert asked == [("/a?b", "example.org:80"), ("/?b", "example.org"), ("/http://other/", "localhost")]


async def test_a_body_that_is_no_body_is_answered_before_the_connection_ends() -> None:
    async def handler(request: Request) -> Response:
        assert isinstance(request.body, RequestBody)
        while await request.body.readany():
            continue
        return text(200, "never")

    server = HttpServer(handler, most=MOST, name="test", clock=lambda: 0.0)
    reader, writer = await asyncio.open_connection("127.0.0.1", await server.listen("127.0.0.1", 0))
    writer.write(b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n")
    await writer.drain()
    writer.write(b"zz\r\n")
    async with asyncio.timeout(10):
        answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 400 ") and b"Connection: close" in answer
    writer.close()
    await server.close(0.1)


def test_few_files_leave_enough_for_the_swarm_and_for_local_work() -> None:
    few = connections_for(RPC_CONNECTIONS, FEW_FILES) + connections_for(GATEWAY_CONNECTIONS, FEW_FILES)
    assert FEW_FILES - few >= 640  # 320 of the swarm, and as many more
    assert connections_for(RPC_CONNECTIONS, 8192) == RPC_CONNECTIONS.amount
    assert connections_for(GATEWAY_CONNECTIONS, 8192) == GATEWAY_CONNECTIONS.amount
    assert connections_for(RPC_CONNECTIONS, 1) == 1


async def test_thousands_of_requests_in_one_read_are_answered_behind_one_that_waits() -> None:
    release = asyncio.Event()

    async def slow(_: Request) -> Response:
        await release.wait()
        return text(200, "slow")

    server = HttpServer(
        slow,
        most=MOST,
        name="test",
        clock=lambda: 0.0,
        at_hand=lambda request: None if request.target == "/slow" else text(200, request.target),
    )
    port = await server.listen("127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    count = 3000
    targets = ["/slow", *map(str, range(count))]
    writer.write(
        b"".join(b"GET %s HTTP/1.1\r\nHost: a\r\n\r\n" % f"/{one}".replace("//", "/").encode() for one in targets)
    )
    await asyncio.sleep(0)
    release.set()
    got = b""
    async with asyncio.timeout(20):
        while not got.endswith(b"\r\n\r\n/%d\n" % (count - 1)):
            got += await reader.read(1 << 20)
    assert got.count(b"HTTP/1.1 200 OK") == count + 1
    writer.close()
    await server.close(1.0)


async def test_a_port_that_is_taken_is_told_in_the_words_of_the_system_alone() -> None:
    server = HttpServer(answer_nothing, most=1, name="test", clock=time.time)
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError) as refusal:
        await server.listen("127.0.0.1", taken.getsockname()[1])
    assert words_of(refusal.value) == "address already in use"
    assert words_of(OSError("no number")) == "no number"


async def test_a_connection_that_ends_in_the_middle_of_an_answer_leaves_no_trace_in_the_loop() -> None:
    """asyncio 3.12 and 3.13 watch a closed socket after writelines(), so that the next one is never read."""

    async def pieces(request: Request) -> AsyncGenerator[bytes, None]:
        yield b"begun"
        assert request.abort is not None
        request.abort()
        yield bytes(2 * JOINED)

    async def handler(request: Request) -> Response:
        return Response(200, body=pieces(request)) if request.path == "/broken" else text(200, "done")

    server = HttpServer(handler, most=MOST, name="test", clock=lambda: 0.0)
    try:
        port = await server.listen("127.0.0.1", 0)
        for path in ("/broken", "/whole"):
            incoming, outgoing = await asyncio.open_connection("127.0.0.1", port)
            outgoing.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            with suppress(ConnectionResetError):
                said = await asyncio.wait_for(incoming.read(), 10)
            outgoing.close()
        assert b"done" in said
    finally:
        await server.close(0.1)


@pytest.mark.parametrize("addr", ["/dns4/localhost/tcp/8080", "/ip4/127.0.0.1/udp/8080", "/ip4/127.0.0.1/tcp/1/ws"])
def test_a_gateway_listens_at_ip_addresses_only(addr: str) -> None:
    with pytest.raises(CannotListen, match="it names a host|it is neither a TCP address"):
        place_of(Multiaddr.parse(addr))


async def answer_nothing(request: Request) -> Response:
    return Response(204)


def test_every_status_that_is_answered_has_its_phrase() -> None:
    assert {status for _, status in errors._STATUS} | set(STATUSES) <= set(REASONS)
    source = "".join(file.read_text(encoding="utf-8") for file in SOURCES.rglob("*.py"))
    given = {int(number) for number in re.findall(r"\b(?:Response|text|said)\(([2-5]\d\d)\b", source)}
    assert len(given) > 10 and given <= set(REASONS)
