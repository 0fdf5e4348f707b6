"""Two whole nodes with paths below their connection, on the loopback, which counts as long here."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import pytest

from cidery.blockstore.memory import MemoryStore
from cidery.identity.keys import PrivateKey
from cidery.libp2p.io import long_line, upgraded
from cidery.libp2p.io.byte_network import TcpNetwork
from cidery.libp2p.io.connection import Connection
from cidery.libp2p.io.private_network import PrivateNetwork
from cidery.libp2p.io.stream import Stream
from cidery.libp2p.io.upgraded import UpgradedConnection
from cidery.multiformats.address_filter import AddressFilter
from cidery.multiformats.multiaddr import Multiaddr
from cidery.node.network import NodeNetwork
from peers.waiting import until_async

COUNT = 5
SIZE = 3_000_000

until = partial(until_async, seconds=10.0)
only_with_info = pytest.mark.skipif(
    not hasattr(socket, "TCP_INFO"), reason="the system does not tell how long a line is"
)


def make_loopback_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_line, "LONG_ROUND_TRIP", 0.0)
    monkeypatch.setattr(long_line, "SHORT_ROUND_TRIP", 0.0)
    monkeypatch.setattr(upgraded, "paths_for", lambda _: COUNT)


@asynccontextmanager
async def two(
    *, bound: bool = True, listen: str = "/ip4/127.0.0.1/tcp/0", swarm_key: bytes | None = None
) -> AsyncIterator[tuple[UpgradedConnection, UpgradedConnection]]:
    """Both ends of a connection between nodes that send back what they are sent."""

    async def echo(stream: Stream) -> None:
        while data := await stream.read(1 << 16):
            await stream.write(data)

    async with AsyncExitStack() as stack:
        tcp = TcpNetwork(AddressFilter())
        nodes = [
            NodeNetwork(
                PrivateKey.generate_ed25519(os.urandom),
                MemoryStore(),
                network=None if swarm_key is None else PrivateNetwork(tcp, swarm_key, os.urandom),
            )
            for _ in range(2)
        ]
        for node in nodes:
            await node.serve("/echo", echo)
            await node.start((Multiaddr.parse(listen),))
            stack.push_async_callback(node.close)
        server, client = nodes
        (addr,) = server.swarm.listen_addrs()
        await client.connect(addr.with_peer(server.swarm.local_peer.multihash))
        (ours,), (theirs,) = client.swarm.connections(), server.swarm.connections()
        assert isinstance(ours, UpgradedConnection) and isinstance(theirs, UpgradedConnection)
        if bound:
            await until(lambda: carried(ours) == carried(theirs) == COUNT)
        yield ours, theirs


def carried(connection: UpgradedConnection) -> int:
    """The paths that it can send over."""
    return 0 if connection._paths is None else sum(path.carries for path in connection._paths._paths.values())


async def echoed(connection: Connection, size: int = SIZE) -> None:
    """Send more than any buffer holds there and back."""
    data, got = os.urandom(size), bytearray()
    stream = await connection.open_stream(["/echo"])

    async def send() -> None:
        await stream.write(data)
        stream.close_write()

    async with asyncio.timeout(30):
        sending = asyncio.create_task(send())
        while part := await stream.read(1 << 16):
            got += part
        await sending
    assert got == data
