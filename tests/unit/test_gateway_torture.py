"""The gateway behind real sockets, against clients that break the rules of HTTP, or bend them."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import cidery
from cidery.gateway.bounded import Bounded
from cidery.gateway.options import GatewayOptions
from cidery.gateway.site import Site
from cidery.http import connection
from cidery.http.message import MAX_HEADER_COUNT
from cidery.http.server import HttpServer

HELLO = "bafkqabtimvwgy3yk"
"""An identity CID of ``hello``."""
OF_GET, OF_X = "Host: x\r\n", "X: \r\n"
GET = f"GET /ipfs/{HELLO} HTTP/1.1\r\n{OF_GET}"


class Gateway:
    """A port, and raw bytes to and from it."""

    def __init__(self, port: int, api: cidery.Node) -> None:
        self.port = port
        self.node = api

    async def exchange(self, *pieces: bytes, ends: bool = True) -> bytes:
        """Everything that comes back; ``ends``: after the pieces no more is sent."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            if ends:
                writer.write_eof()
            async with asyncio.timeout(20):
                return await reader.read()
        finally:
            writer.close()


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with cidery.Node(tmp_path / "repo", profile="test", offline=True) as node:
        site = Site(node.api, GatewayOptions(fetches=False, no_dnslink=True))
        server = HttpServer(
            Bounded(site.handle), most=64, name="test", clock=lambda: 0.0, tunnels=True, at_hand=site.at_hand
        )
        port = await server.listen("127.0.0.1", 0)
        try:
            yield Gateway(port, node)
        finally:
            await server.close(0.1)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (f"{GET}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
        (f"{GET}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (f"{GET}Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400),
        (f"{GET}Content-Length: +1\r\n\r\na", 400),
        (f"{GET}Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (f"{GET}X: a\0b\r\n\r\n", 400),
        (f"{GET}X Y: a\r\n\r\n", 400),
        (f"{GET}X : a\r\n\r\n", 400),
        (f"{GET} folded: a\r\n\r\n", 400),
        (f"{GET}Host: y\r\n\r\n", 400),
        (f"GET /ipfs/{HELLO} HTTP/1.1\r\n\r\n", 400),
        (f"GET /ipfs/{HELLO} HTTP/9.9\r\nHost: x\r\n\r\n", 400),
        (f"GET /ipfs/{HELLO}\0 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (f"G\x7fT /ipfs/{HELLO} HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        ("\x16\x03\x01\x02\x00\x01", 400),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (f"GET /ipfs/{'a' * 40_000} HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (f"{GET}X: {'a' * 70_000}\r\n\r\n", 431),
        (GET + "X:\r\n" * 10_000 + "\r\n", 431),
        (f"GET /ipfs/{HELLO} HTTP/1.1\r\nHost: \xfc.ipfs.localhost\r\n\r\n", 400),
        (f"GET /ipfs/{HELLO} HTTP/1.1\r\nHost: a\x01b\r\n\r\n", 400),
        (f"GET /ipfs/{HELLO} HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        (f"GET /ipfs/{HELLO} HTTP/1.1\r\nHost: a/b@c\r\n\r\n", 400),
        (f"GET http://\xfc/ipfs/{HELLO} HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (f"{GET}X-Forwarded-Host: \xfc.ipfs.localhost\r\n\r\n", 400),
        (f"POST /ipfs/{HELLO} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 405),
        ("GET /ipfs/%2e%2e/x HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        ("GET /ipfs/../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ],
)
async def test_what_is_not_http_or_not_asked_well_is_refused(gateway: Gateway, request_: str, status: int) -> None:
    answer = await gateway.exchange(request_.encode("latin-1"))
    assert answer.startswith(f"HTTP/1.1 {status} ".encode()), answer[:200]
    assert b"hello" not in answer


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ("X: a\r\n" * (MAX_HEADER_COUNT - 1), 200),
        ("X: a\r\n" * MAX_HEADER_COUNT, 431),
        (f"X: {'a' * (connection.MAX_HEADERS - len(OF_GET) - len(OF_X))}\r\n", 200),
        (f"X: {'a' * (connection.MAX_HEADERS - len(OF_GET) - len(OF_X) + 1)}\r\n", 431),
        (f"X: {'a' * 254}\r\n" * 255, 431),
    ],
)
async def test_headers_are_counted_with_all_their_bytes(gateway: Gateway, headers: str, status: int) -> None:
    answer = await gateway.exchange(f"{GET}{headers}\r\n".encode())
    assert answer.startswith(f"HTTP/1.1 {status} ".encode()), answer[:200]


@pytest.mark.parametrize(
    "request_",
    [
        f"{GET}Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk\r\n\r\n",
        f"{GET}Transfer-Encoding: chunked\r\n\r\n3;name=value\r\nabc\r\n0\r\nTrailer: x\r\n\r\n",
        f"GET http://other.example/ipfs/{HELLO} HTTP/1.1\r\nHost: x\r\n\r\n",
        f"CONNECT other.example:80 HTTP/1.1\r\nHost: other.example:80\r\n\r\n{GET}\r\n",
        f"CONNECT other.example:80 HTTP/1.1\r\nHost: other.example:80\r\n\r\nGET http://a/ipfs/{HELLO} HTTP/1.1\r\n"
        "Host: a\r\n\r\n",
        f"GET /ipfs/{HELLO} HTTP/1.0\r\n\r\n",
        f"\r\n\r\n{GET}\r\n",
        f"GET http://{HELLO}.ipfs.localhost/ HTTP/1.1\r\nHost: x\r\n\r\n",
        f"{GET}Expect: 100-continue\r\nContent-Length: 2\r\n\r\nab",
    ],
)
async def test_what_is_unusual_and_allowed_is_answered(gateway: Gateway, request_: str) -> None:
    answer = await gateway.exchange(request_.encode())
    assert answer.count(b"hello") == 1, answer
    if request_.startswith("CONNECT"):
        assert answer.startswith(b"HTTP/1.1 200 OK") and b"Content-Length" not in answer.partition(b"\r\n\r\n")[0]


async def test_requests_byte_by_byte_are_read(gateway: Gateway) -> None:
    answer = await gateway.exchange(*(bytes([byte]) for byte in f"{GET}\r\n".encode()))
    assert b"hello" in answer


async def test_a_head_that_does_not_end_ends_the_connection(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.1)
    answer = await gateway.exchange(f"{GET}X: ".encode(), ends=False)
    assert answer == b""


async def test_pipelined_requests_are_answered_in_order(gateway: Gateway) -> None:
    bodies = [bytes([65 + number]) * 200_000 for number in range(4)]
    cids = [await gateway.node.add(body) for body in bodies]
    requests = []
    for cid in cids:  # some are answered at once, some in a task: neither overtakes the other
        requests.append(f"GET /ipfs/{cid}?format=car HTTP/1.1\r\nHost: x\r\n\r\n{GET}\r\n")
    requests.append(f"{GET}Connection: close\r\n\r\n")
    answer = await gateway.exchange("".join(requests).encode(), ends=False)
    places = [answer.index(body[:1000]) for body in bodies]
    assert places == sorted(places) and answer.count(b"\r\n\r\nhello") == 5
    hellos = [found.start() for found in re.finditer(rb"\r\n\r\nhello", answer)]
    assert all(place < hello for place, hello in zip(places, hellos, strict=False))
    assert all(hello < place for place, hello in zip(places[1:], hellos, strict=False))


async def test_clients_that_leave_in_the_middle_leave_nothing_behind(gateway: Gateway) -> None:
    cid = await gateway.node.add(bytes(range(256)) * 40_000)
    before = {task.get_name() for task in asyncio.all_tasks()}

    async def client(number: int) -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(f"GET /ipfs/{cid} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        if number % 2:
            await reader.readexactly(50_000)
            writer.transport.abort()
            return 0
        body = await reader.read()
        writer.close()
        return len(body.partition(b"\r\n\r\n")[2])

    async with asyncio.timeout(60):
        got = await asyncio.gather(*(client(number) for number in range(60)))
    assert [size for size in got if size] == [256 * 40_000] * 30
    async with asyncio.timeout(10):
        while {task.get_name() for task in asyncio.all_tasks()} - before:
            await asyncio.sleep(0)


async def test_a_client_that_reads_no_answers_is_not_answered_without_end(gateway: Gateway) -> None:
    cid = await gateway.node.add(b"x" * 60_000)
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    request = f"GET /ipfs/{cid} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    written = 0
    try:
        async with asyncio.timeout(2):
            while True:
                writer.write(request * 100)
                await writer.drain()
                written += 100
    except TimeoutError:
        pass
    answered = 0
    writer.transport.resume_reading()  # type: ignore[attr-defined]
    async with asyncio.timeout(20):
        await reader.readexactly(1)
        answered += 1
    writer.transport.abort()
    assert answered and written < 100_000, "the server stopped reading"
