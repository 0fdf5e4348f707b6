"""Whole nodes over WebSockets on the loopback: under TLS, in private networks, beside plain TCP on one port."""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from cidery.blockstore.memory import MemoryStore
from cidery.http.tls import Certificate
from cidery.identity.keys import PrivateKey
from cidery.libp2p.io import stream_transport, upgraded
from cidery.libp2p.io.byte_network import ByteNetwork, TcpNetwork
from cidery.libp2p.io.dial_errors import DialFailed
from cidery.libp2p.io.private_network import PrivateNetwork
from cidery.libp2p.io.stream import Stream
from cidery.libp2p.io.stream_transport import WEBSOCKETS, WebSockets
from cidery.libp2p.io.transport import CannotListen
from cidery.multiformats.address_filter import AddressFilter
from cidery.multiformats.multiaddr import Multiaddr
from cidery.node.network import NodeNetwork
from peers.certificates import write_certificate

LISTEN = "/ip4/127.0.0.1/tcp/0"
ALL = (LISTEN, f"{LISTEN}/ws", f"{LISTEN}/tls/ws")
KEY = bytes(range(32))
SIZE = 3_000_000


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ssl.SSLContext]:
    """Of a server that clients here trust."""
    cert, key = write_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    stream_transport._client_tls.cache_clear()
    yield Certificate(str(cert), str(key), ["http/1.1"]).context
    stream_transport._client_tls.cache_clear()


def private() -> ByteNetwork:
    return PrivateNetwork(TcpNetwork(AddressFilter()), KEY, os.urandom)


@asynccontextmanager
async def node(
    listen: Sequence[str] = (), websockets: WebSockets | None = WEBSOCKETS, network: ByteNetwork | None = None
) -> AsyncIterator[NodeNetwork]:
    """One that sends back what it is sent."""
    key = PrivateKey.generate_ed25519(os.urandom)
    made = NodeNetwork(key, MemoryStore(), websockets=websockets, network=network)

    async def echo(stream: Stream) -> None:
        while data := await stream.read(1 << 16):
            await stream.write(data)

    await made.serve("/echo", echo)
    await made.start(tuple(map(Multiaddr.parse, listen)))
    try:
        yield made
    finally:
        await made.close()


def addr_of(one: NodeNetwork, form: str) -> Multiaddr:
    found = next(addr for addr in one.swarm.listen_addrs() if str(addr).partition("/tcp/")[2].partition("/")[2] == form)
    return found.with_peer(one.swarm.local_peer.multihash)


async def echoed(one: NodeNetwork, other: NodeNetwork, form: str) -> None:
    """Connect, and send more than any buffer holds there and back."""
    async with asyncio.timeout(30):
        await one.connect(addr_of(other, form))
        (connection,) = one.swarm.connections()
        assert connection.remote_addr == addr_of(other, form).without_peer()
        (theirs,) = other.swarm.connections()
        assert str(theirs.remote_addr).partition("/tcp/")[2].partition("/")[2] == form
        data, got = os.urandom(SIZE), bytearray()
        stream = await connection.open_stream(["/echo"])

        async def send() -> None:
            await stream.write(data)
            stream.close_write()

        sending = asyncio.create_task(send())
        while part := await stream.read(1 << 16):
            got += part
        await sending
        assert got == data


@pytest.mark.parametrize("network", [None, private], ids=["public", "private"])
async def test_three_forms_share_a_port(certificate: ssl.SSLContext, network: type[ByteNetwork] | None) -> None:
    made = (lambda: None) if network is None else network
    async with node(ALL, WebSockets(lambda: certificate), made()) as server:
        assert len({str(addr).split("/")[4] for addr in server.swarm.listen_addrs()}) == 1
        for form in ("", "ws", "tls/ws"):
            async with node(network=made()) as client:
                await echoed(client, server, form)


async def test_a_form_that_is_not_listened_for_is_refused_at_once() -> None:
    async with node((f"{LISTEN}/ws",)) as server, node() as client:
        ws = addr_of(server, "ws")
        port = str(ws).split("/")[4]
        plain = Multiaddr.parse(f"/ip4/127.0.0.1/tcp/{port}").with_peer(server.swarm.local_peer.multihash)
        async with asyncio.timeout(5):
            with pytest.raises(DialFailed):
                await client.connect(plain)
        await client.connect(ws)


async def test_tls_without_a_certificate_cannot_be_listened_on() -> None:
    with pytest.raises(CannotListen, match=r"Swarm\.TLS"):
        async with node(ALL):
            pass


async def test_a_certificate_that_is_not_trusted_is_said_to_be_none(
    certificate: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    async with node(ALL, WebSockets(lambda: certificate)) as server, node() as client:
        with pytest.raises(DialFailed, match="certificate is not trusted here: self.signed certificate"):
            await client.connect(addr_of(server, "tls/ws"))


async def test_another_peer_behind_the_certificate_is_not_taken_for_the_one_dialled(
    certificate: ssl.SSLContext,
) -> None:
    async with node(ALL, WebSockets(lambda: certificate)) as server, node() as client:
        own = client.swarm.local_peer.multihash
        wrong = addr_of(server, "tls/ws").without_peer().with_peer(own[:-1] + bytes([own[-1] ^ 1]))
        with pytest.raises(DialFailed):
            await client.connect(wrong)
        assert client.swarm.connections() == []


@pytest.mark.parametrize("port", ["tcp", "http", "silent http"])
async def test_what_answers_no_upgrade_is_given_up_with_its_answer(port: str) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if port == "http":
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        elif port == "tcp":
            writer.write(b"\x13/multistream/1.0.0\n\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    number = server.sockets[0].getsockname()[1]
    async with server, node() as client:
        addr = Multiaddr.parse(f"/ip4/127.0.0.1/tcp/{number}/ws").with_peer(
            PrivateKey.generate_ed25519(os.urandom).peer_id.multihash
        )
        words = {"http": "404", "tcp": "multistream", "silent http": "handshake|closed|ends"}[port]
        async with asyncio.timeout(10):
            with pytest.raises(DialFailed, match=words):
                await client.connect(addr)


@pytest.mark.parametrize(
    "sent",
    [b"\x16\x03\x01\x00\x05hello", b"\x16\x03\x03\xff\xff" + bytes(100), b"\x16\x03\x01" + b"\xa5" * 9000],
    ids=range(3),
)
async def test_garbage_in_tls_ends_that_connection_only(certificate: ssl.SSLContext, sent: bytes) -> None:
    async with node(ALL, WebSockets(lambda: certificate)) as server, node() as client:
        port = int(str(addr_of(server, "")).split("/")[4])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        async with asyncio.timeout(5):
            with suppress(ConnectionResetError):
                await reader.read()
        writer.close()
        await echoed(client, server, "tls/ws")


async def test_an_end_in_the_midst_of_tls_ends_the_connection(certificate: ssl.SSLContext) -> None:
    async with node(ALL, WebSockets(lambda: certificate)) as server:
        port = int(str(addr_of(server, "")).split("/")[4])
        context = ssl.create_default_context()
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        async with asyncio.timeout(5):
            assert (await reader.read()).startswith(b"HTTP/1.1 426 ")
            writer.close()
            while server.swarm.pending_inbound:
                await asyncio.sleep(0)


@pytest.mark.parametrize("network", [None, private], ids=["public", "private"])
async def test_the_socket_below_each_form_is_looked_at_once_by_both_sides(
    certificate: ssl.SSLContext, network: type[ByteNetwork] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[object] = []
    watched = upgraded.LongLine
    monkeypatch.setattr(watched, "over", lambda transport, _: seen.append(transport.get_extra_info("socket")))
    made = (lambda: None) if network is None else network
    async with node(ALL, WebSockets(lambda: certificate), made()) as server:
        for form in ("", "ws", "tls/ws"):
            seen.clear()
            async with node(network=made()) as client:
                await echoed(client, server, form)
            assert len(seen) == 2 and all(sock is not None for sock in seen), form
