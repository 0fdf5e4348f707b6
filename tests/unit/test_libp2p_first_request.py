"""A port under TLS for peers and for HTTP: who comes is told by the first request, whatever its pieces."""

import asyncio
import os
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from cidery.blockstore.memory import MemoryStore
from cidery.http.connection import Connection
from cidery.http.h2_connection import H2Connection
from cidery.http.message import Request, Response
from cidery.http.server import HttpServer
from cidery.http.tls import Certificate
from cidery.identity.keys import PrivateKey
from cidery.libp2p.io import stream_transport
from cidery.libp2p.io.first_request import MAX_HEAD, MakeHttp
from cidery.libp2p.io.stream_transport import WebSockets
from cidery.multiformats.multiaddr import Multiaddr
from cidery.node.network import NodeNetwork
from peers.certificates import write_certificate
from peers.h2_client import H2Client, unverified

LISTEN = "/ip4/127.0.0.1/tcp/0"
BOTH = (LISTEN, f"{LISTEN}/tls/ws")
LARGE = 3_000_000


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ssl.SSLContext]:
    cert, key = write_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    stream_transport._client_tls.cache_clear()
    yield Certificate(str(cert), str(key)).context
    stream_transport._client_tls.cache_clear()


async def answer(request: Request) -> Response:
    return Response(200, {}, bytes(LARGE) if request.target == "/large" else b"hello")


@asynccontextmanager
async def http_server() -> AsyncIterator[MakeHttp]:
    server = HttpServer(answer, most=8, name="test", clock=time.time)

    def protocol(chosen: str) -> asyncio.Protocol:
        return H2Connection(server) if chosen == "h2" else Connection(server, secure=True)

    try:
        yield protocol
    finally:
        await server.close(1.0)


@asynccontextmanager
async def node(tls: WebSockets, listen: tuple[str, ...] = BOTH) -> AsyncIterator[NodeNetwork]:
    made = NodeNetwork(PrivateKey.generate_ed25519(os.urandom), MemoryStore(), websockets=tls)
    await made.start(tuple(map(Multiaddr.parse, listen)))
    try:
        yield made
    finally:
        await made.close()


def secured(one: NodeNetwork) -> Multiaddr:
    found = next(addr for addr in one.swarm.listen_addrs() if str(addr).endswith("/tls/ws"))
    return found.with_peer(one.swarm.local_peer.multihash)


def port_of(one: NodeNetwork) -> int:
    return int(str(secured(one)).split("/")[4])


async def asked(port: int, *pieces: bytes) -> bytes:
    """The whole answer to a request in pieces."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=unverified("http/1.1"))
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0)
    async with asyncio.timeout(20):
        said = await reader.read()
    writer.close()
    with suppress(ConnectionError, ssl.SSLError):
        await writer.wait_closed()
    return said


async def test_peers_and_http_share_a_port(certificate: ssl.SSLContext) -> None:
    async with (
        http_server() as http,
        node(WebSockets(lambda: certificate, http)) as one,
        node(WebSockets(), ()) as other,
    ):
        head = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        for pieces in ([head], [bytes([byte]) for byte in head], [head[:20], head[20:]]):
            assert (await asked(port_of(one), *pieces)).endswith(b"\r\n\r\nhello")
        large = await asked(port_of(one), head.replace(b"/ ", b"/large ", 1))
        assert len(large.partition(b"\r\n\r\n")[2]) == LARGE
        await other.connect(secured(one))
        assert [str(connection.remote_addr) for connection in one.swarm.connections()][0].endswith("/tls/ws")
        assert not one.swarm.pending_inbound


async def test_http_2_is_told_by_the_handshake(certificate: ssl.SSLContext) -> None:
    async with http_server() as http, node(WebSockets(lambda: certificate, http)) as one:
        async with H2Client(port_of(one)) as client:
            status, _, body = await client.answer(client.ask("/large"))
            assert (status, len(body)) == (200, LARGE)


@pytest.mark.parametrize(
    "sent",
    [
        b"\x13/multistream/1.0.0\n" * 900,
        b"x" * (MAX_HEAD + 10),
        b"GET / HTTP/1.1\r\nHost: a\r\nA: " + b"b" * (MAX_HEAD * 6) + b"\r\n\r\n",
    ],
    ids=range(3),
)
async def test_garbage_under_tls_is_answered_or_ended_and_others_go_on(
    certificate: ssl.SSLContext, sent: bytes
) -> None:
    async with (
        http_server() as http,
        node(WebSockets(lambda: certificate, http)) as one,
        node(WebSockets(), ()) as other,
    ):
        with suppress(ConnectionError, ssl.SSLError):
            said = await asked(port_of(one), sent)
            assert said == b"" or said.startswith(b"HTTP/1.1 4")
        assert not one.swarm.pending_inbound
        await other.connect(secured(one))


async def test_who_says_nothing_is_one_of_the_pending_handshakes(certificate: ssl.SSLContext) -> None:
    async with http_server() as http, node(WebSockets(lambda: certificate, http)) as one:
        _, writer = await asyncio.open_connection("127.0.0.1", port_of(one), ssl=unverified("http/1.1"))
        writer.write(b"GET / HTTP/1.1\r\n")
        async with asyncio.timeout(5):
            while not one.swarm.pending_inbound:
                await asyncio.sleep(0)
            writer.close()
            while one.swarm.pending_inbound:
                await asyncio.sleep(0)


async def test_nobody_answers_http_where_nobody_does(certificate: ssl.SSLContext) -> None:
    async with node(WebSockets(lambda: certificate, lambda _: None)) as one, node(WebSockets(), ()) as other:
        assert await asked(port_of(one), b"GET / HTTP/1.1\r\nHost: a\r\n\r\n") == b""
        await other.connect(secured(one))


async def test_tls_is_turned_away_until_there_is_a_certificate(certificate: ssl.SSLContext) -> None:
    now: list[ssl.SSLContext] = []
    async with node(WebSockets(lambda: now[0] if now else None)) as one, node(WebSockets(), ()) as other:
        with pytest.raises((ConnectionError, ssl.SSLError)):
            await asyncio.open_connection("127.0.0.1", port_of(one), ssl=unverified("http/1.1"))
        now.append(certificate)
        await other.connect(secured(one))
