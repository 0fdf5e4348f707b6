"""Which connections a Client makes, and which it uses again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path

import pytest

import cidery
from cidery.errors import CideryError, NotFound
from cidery.multiformats.multiaddr import Multiaddr
from cidery.rpc.listen import listen


class Counted:
    """Passes connections on, and counts them."""

    def __init__(self, addr: Multiaddr) -> None:
        endpoint = addr.tcp_endpoint()
        assert endpoint is not None
        self._to = endpoint
        self.made = 0
        self.open: set[asyncio.StreamWriter] = set()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        try:
            yield "127.0.0.1:{1}".format(*server.sockets[0].getsockname())
        finally:
            server.close()
            for one in [*self.open]:
                one.close()
            while self.open:
                await asyncio.sleep(0)

    async def _pass(self, incoming: asyncio.StreamReader, outgoing: asyncio.StreamWriter) -> None:
        self.made += 1
        there, back = await asyncio.open_connection(*self._to)
        self.open.add(outgoing)
        ways = [asyncio.create_task(_copy(incoming, back)), asyncio.create_task(_copy(there, outgoing))]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        await asyncio.wait(ways)
        for one in (back, outgoing):
            one.close()
            with suppress(OSError):
                await one.wait_closed()
        self.open.discard(outgoing)


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(65536):
            target.write(data)
            await target.drain()


@pytest.fixture
async def counted(tmp_path: Path) -> AsyncIterator[tuple[Counted, str]]:
    async with cidery.Node(tmp_path / "repo", profile="test", offline=True) as node:
        async with listen(node.api, node.api.config.api, {}, node.path / "api", lambda: None) as addrs:
            made = Counted(addrs[0])
            async with made.listening() as address:
                yield made, address


async def test_a_client_that_was_entered_uses_one_connection_for_calls_in_turn(counted: tuple[Counted, str]) -> None:
    between, address = counted
    async with cidery.Client(address) as client:
        cid = await client.add(b"content")
        await client.peer_id()  # an upload ends the connection that it had
        made = between.made
        for _ in range(5):
            assert await client.read(cid) == b"content"
            with pytest.raises(NotFound):
                await client.pin.rm("bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy")
        assert between.made == made, "an error of a command does not end the connection"
        await asyncio.gather(*(client.read(cid) for _ in range(8)))
        assert made < between.made <= made + 8
        made = between.made
        await asyncio.gather(*(client.read(cid) for _ in range(8)))
        assert between.made == made
    assert await client.read(cid) == b"content", "it can be used after its end"
    assert between.made == made + 1


async def test_a_client_that_was_not_entered_keeps_none(counted: tuple[Counted, str]) -> None:
    between, address = counted
    client = cidery.Client(address)
    for _ in range(3):
        await client.peer_id()
    assert between.made == 3


async def test_an_answer_that_was_left_ends_its_connection(counted: tuple[Counted, str]) -> None:
    between, address = counted
    async with cidery.Client(address) as client:
        cid = await client.add(bytes(4_000_000))
        await client.peer_id()
        made = between.made
        async with aclosing(client.cat(cid)) as chunks:
            async for _ in chunks:
                break
        assert await client.read(cid, 0, 5) == bytes(5)
        assert between.made == made + 1


async def test_a_connection_that_the_daemon_ended_is_not_used(counted: tuple[Counted, str]) -> None:
    between, address = counted
    async with cidery.Client(address) as client:
        who = await client.peer_id()
        for one in [*between.open]:
            one.close()
        while between.open:
            await asyncio.sleep(0)
        assert await client.peer_id() == who
        assert between.made == 2


async def test_another_loop_makes_connections_of_its_own(counted: tuple[Counted, str]) -> None:
    _, address = counted
    async with cidery.Client(address) as client:
        who = await client.peer_id()
        assert await asyncio.to_thread(lambda: asyncio.run(client.peer_id())) == who
        assert await client.peer_id() == who


async def test_nobody_there_leaves_nothing_open() -> None:
    with pytest.raises(CideryError):
        async with cidery.Client("127.0.0.1:1"):
            pass
