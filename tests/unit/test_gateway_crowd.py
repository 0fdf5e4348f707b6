"""A crowd at a gateway whose content another node has: half of it leaves, and nothing stays behind."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import cidery
from cidery.gateway.bounded import Bounded
from cidery.gateway.options import GatewayOptions
from cidery.gateway.site import Site
from cidery.http.server import HttpServer
from cidery.multiformats.multiaddr import Multiaddr
from cidery.node.network import NodeNetwork

CLIENTS = 200
SIZE = 3_000_000


class Gateway:
    """A port, the node behind it, and the one that has the content."""

    def __init__(self, port: int, node: cidery.Node, owner: cidery.Node) -> None:
        self.port, self.owner = port, owner
        network = node.api.network
        assert isinstance(network, NodeNetwork)
        self.network = network

    def left(self) -> tuple[int, int, int]:
        """Sessions at Bitswap, sessions at other sources, and wants."""
        return len(self.network.bitswap._sessions), len(self.network.gateways._sessions), self._wants()

    def _wants(self) -> int:
        return len(self.network.bitswap_stat().wantlist)


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with (
        cidery.Node(tmp_path / "owner", profile="test") as owner,
        cidery.Node(tmp_path / "node", profile="test") as node,
    ):
        await owner.api.arrived()
        await node.api.arrived()
        assert owner.api.network is not None and node.api.network is not None
        await node.api.network.connect(Multiaddr.parse(owner.api.network.identity().addresses[0]))
        site = Site(node.api, GatewayOptions(fetches=True, no_dnslink=True))
        server = HttpServer(Bounded(site.handle), most=1000, name="test", clock=lambda: 0.0, at_hand=site.at_hand)
        try:
            yield Gateway(await server.listen("127.0.0.1", 0), node, owner)
        finally:
            await server.close(0.1)


STREAMS = 2
"""Streams of Bitswap that one of two nodes opens to the other at its first question, and keeps."""


def handles_a_stream(task: asyncio.Task[object]) -> bool:
    return "Connection._handle" in repr(task.get_coro())


def sockets() -> int:
    """Open ones of this process; segments that hold what came stay open, too."""
    return sum(os.path.islink(one) and os.readlink(one).startswith("socket:") for one in descriptors())


def descriptors() -> list[str]:
    return [f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd")]


async def client(port: int, cid: str, *, leaves: bool) -> bytes:
    """The status line and how the answer ended."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"GET /ipfs/{cid} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        status = (await reader.readline()).split()[1]
        if leaves:
            await reader.read(40_000)
            writer.transport.abort()
            return b"left"
        while (await reader.readline()).strip():
            pass
        body = await reader.read()
        if status != b"200":
            return status
        return b"whole" if len(body) == SIZE else b"cut"  # the client's machine is busy: a slow reader makes room
    finally:
        writer.close()


async def test_a_crowd_of_which_half_leaves_in_the_middle_leaves_nothing_behind(gateway: Gateway) -> None:
    cids = [str(await gateway.owner.add(os.urandom(SIZE))) for _ in range(8)]
    await client(gateway.port, str(await gateway.owner.add(b"first")), leaves=False)  # the streams of Bitswap stay
    before, files = {task.get_name() for task in asyncio.all_tasks()}, sockets()
    async with asyncio.timeout(120):
        got = await asyncio.gather(
            *(client(gateway.port, cids[at % len(cids)], leaves=bool(at // len(cids) % 2)) for at in range(CLIENTS))
        )
        assert set(got) <= {b"left", b"whole", b"cut", b"503"} and got.count(b"whole") >= 20
        while gateway.left() != (0, 0, 0):
            await asyncio.sleep(0)
        while len(new := [task for task in asyncio.all_tasks() if task.get_name() not in before]) > STREAMS or not all(
            map(handles_a_stream, new)
        ):
            await asyncio.sleep(0)
        while sockets() > files:
            await asyncio.sleep(0)


async def test_a_question_for_the_head_of_what_is_fetched_leaves_no_session(gateway: Gateway) -> None:
    cid = await gateway.owner.add(os.urandom(SIZE))
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(f"HEAD /ipfs/{cid} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    async with asyncio.timeout(20):
        assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
        writer.close()
        while gateway.left() != (0, 0, 0):
            await asyncio.sleep(0)


async def test_a_client_that_leaves_before_anything_came_leaves_no_want(gateway: Gateway) -> None:
    missing = "bafkreifzjut3te7nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(f"GET /ipfs/{missing} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    async with asyncio.timeout(20):
        while not gateway.left()[2]:
            await asyncio.sleep(0)
        writer.transport.abort()
        while gateway.left() != (0, 0, 0):
            await asyncio.sleep(0)
    del reader
