"""HTTP gateways as sources of a fetch: good ones, absent ones, and those that lie, drip, redirect or fail."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from cidery.blockstore.memory import MemoryStore
from cidery.core.adding.add import AddOptions, add_root
from cidery.core.reading.cat import cat
from cidery.errors import CideryError
from cidery.exchange.failures import NoSourceHasIt
from cidery.exchange.waits import SessionWaits
from cidery.identity.keys import PrivateKey
from cidery.ipld.block import MAX_BLOCK
from cidery.multiformats.address_filter import AddressFilter
from cidery.multiformats.cid import CID
from cidery.multiformats.multiaddr import Multiaddr
from cidery.node.network import NodeNetwork
from cidery.retrieval.gateway_url import BadGateway, check_url, gateway_url
from cidery.unixfs.profile import UNIXFS_V1_2025, with_options

SMALL = AddOptions(with_options(UNIXFS_V1_2025, chunker="size-65536"))
Handle = Callable[[web.Request], Awaitable[web.StreamResponse]]


# --- addresses


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("/dns4/example.org/tcp/443/https", "https://example.org"),
        ("/dns/example.org/tcp/8443/tls/http", "https://example.org:8443"),
        ("/ip4/81.2.3.4/tcp/443/https", "https://81.2.3.4"),
        ("/ip6/2606:4700::1/tcp/443/tls/http", "https://[2606:4700::1]"),
        ("/dns4/example.org/tcp/443/tls/sni/example.org/http", "https://example.org"),
        ("/dns4/example.org/tcp/80/http", None),
        ("/ip4/10.0.0.1/tcp/443/https", None),
        ("/ip4/127.0.0.1/tcp/443/https", None),
        ("/ip4/81.2.3.4/tcp/4001", None),
        ("/ip4/81.2.3.4/udp/4001/quic-v1", None),
    ],
)
def test_addresses_of_strangers_lead_outside_and_by_https_only(text: str, url: str | None) -> None:
    assert gateway_url(Multiaddr.parse(text)) == url


def test_in_a_local_network_http_will_do() -> None:
    assert gateway_url(Multiaddr.parse("/ip4/127.0.0.1/tcp/8080/http"), local=True) == "http://127.0.0.1:8080"


@pytest.mark.parametrize("text", ["", "example.org", "ftp://x", "https://", "http://[", "https://x?y"])
def test_what_is_no_gateway_is_refused(text: str) -> None:
    with pytest.raises(BadGateway):
        check_url(text)


# --- fetching


@asynccontextmanager
async def server(handle: Handle) -> AsyncIterator[str]:
    async def call(request: web.Request) -> web.StreamResponse:
        return await handle(request)

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", call)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


class Gateway:
    """A good one over a store; notes what it is asked."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        self.asked: list[tuple[str, str]] = []
        self.asked_for_a_block = asyncio.Event()
        self.waits_for: Gateway | None = None
        """It gives nothing but its first block before that one was asked for one."""
        self.most = self.running = 0

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        assert request.query["format"] == "raw"
        assert request.headers["Accept"] == "application/vnd.ipld.raw"
        cid = CID.parse(request.path.removeprefix("/ipfs/"))
        self.asked.append((request.method, str(cid)))
        if request.method == "GET":
            self.asked_for_a_block.set()
            if self.waits_for is not None and len(self.asked) > 1:
                await self.waits_for.asked_for_a_block.wait()
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(0)
            data = (await self.store.get_many([cid]))[0]
        finally:
            self.running -= 1
        if data is None:
            return web.Response(status=404)
        return web.Response(body=data, content_type="application/vnd.ipld.raw")


@pytest.fixture
async def reader() -> AsyncIterator[NodeNetwork]:
    network = NodeNetwork(PrivateKey.generate_ed25519(os.urandom), MemoryStore())
    network._waits = SessionWaits(stall_base=5.0, give_up_base=5.0)
    yield network
    await network.close()


async def fetch(network: NodeNetwork, root: CID) -> bytes:
    async with asyncio.timeout(60), network.session(kept=False) as session:
        return b"".join([bytes(chunk) async for chunk in cat(root, session)])


async def owner(size: int) -> tuple[MemoryStore, CID, bytes]:
    store, data = MemoryStore(), os.urandom(size)
    return store, await add_root([data], store, SMALL), data


async def test_a_file_comes_from_a_gateway_block_by_block(reader: NodeNetwork) -> None:
    store, root, data = await owner(1_000_000)
    gateway = Gateway(store)
    async with server(gateway) as url:
        reader.gateways.add(url)
        assert await fetch(reader, root) == data
    blocks = [cid for method, cid in gateway.asked if method == "GET"]
    assert len(blocks) == len(set(blocks)) == 17
    assert reader.gateways.blocks_received == 17
    assert gateway.most <= 16


async def test_several_gateways_share_the_work(reader: NodeNetwork) -> None:
    store, root, data = await owner(6_000_000)
    one, two = Gateway(store), Gateway(store)
    one.waits_for, two.waits_for = two, one
    async with server(one) as first, server(two) as second:
        reader.gateways.add(first)
        reader.gateways.add(second)
        assert await fetch(reader, root) == data
    gets = [[cid for method, cid in gateway.asked if method == "GET"] for gateway in (one, two)]
    assert all(gets) and len(gets[0]) + len(gets[1]) <= 1.05 * len(set(gets[0] + gets[1]))


async def test_what_one_gateway_lacks_another_has(reader: NodeNetwork) -> None:
    store, root, data = await owner(500_000)
    async with server(Gateway(MemoryStore())) as empty, server(Gateway(store)) as full:
        reader.gateways.add(empty)
        reader.gateways.add(full)
        assert await fetch(reader, root) == data


async def liar(request: web.Request) -> web.StreamResponse:
    return web.Response(body=b"something else")


async def endless(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse()
    await answer.prepare(request)
    for _ in range(3 * MAX_BLOCK // 65536):
        await answer.write(bytes(65536))
    return answer


async def away(request: web.Request) -> web.StreamResponse:
    raise web.HTTPFound(request.path_qs)


async def broken(request: web.Request) -> web.StreamResponse:
    return web.Response(status=500)


async def cut(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse()
    answer.content_length = 1000
    await answer.prepare(request)
    await answer.write(b"half")
    assert request.transport is not None
    request.transport.abort()
    return answer


@pytest.mark.parametrize("bad", [liar, endless, away, broken, cut])
async def test_a_bad_gateway_is_left_and_the_others_finish(reader: NodeNetwork, bad: Handle) -> None:
    store, root, data = await owner(300_000)
    async with server(bad) as wrong, server(Gateway(store)) as right:
        reader.gateways.add(wrong)
        reader.gateways.add(right)
        assert await fetch(reader, root) == data


async def test_a_gateway_that_lied_is_never_asked_again(reader: NodeNetwork) -> None:
    asked = 0

    async def handle(request: web.Request) -> web.StreamResponse:
        nonlocal asked
        asked += 1
        return await liar(request)

    reader._waits = SessionWaits(stall_base=0.2, give_up_base=0.2)
    async with server(handle) as url:
        reader.gateways.add(url)
        for _ in range(2):
            with pytest.raises(NoSourceHasIt):
                await fetch(reader, CID.of(os.urandom(8)))
            after_first = asked
        assert asked == after_first
        before = asked
        reader.gateways.add(url)
        with pytest.raises(NoSourceHasIt):
            await fetch(reader, CID.of(os.urandom(8)))
        assert asked == before


async def test_a_gateway_that_was_added_later_serves_a_fetch_under_way(reader: NodeNetwork) -> None:
    store, root, data = await owner(300_000)
    async with server(Gateway(store)) as url:
        fetching = asyncio.create_task(fetch(reader, root))
        await asyncio.sleep(0)
        reader.gateways.add(url)
        assert await fetching == data


async def test_the_gateways_known_are_bounded(reader: NodeNetwork) -> None:
    for number in range(200):
        reader.gateways.add(f"https://gateway{number}.example")
    assert len(reader.gateways.gateways) == 64
    assert reader.gateways.gateways[-1] == "https://gateway199.example"


async def test_a_name_from_strangers_leads_to_public_addresses_only(reader: NodeNetwork) -> None:
    store, root, data = await owner(1000)
    gateway = Gateway(store)
    async with server(gateway) as url:
        url = url.replace("127.0.0.1", "localhost")
        reader.gateways.add(url, inside=False)
        with pytest.raises(CideryError):
            await fetch(reader, root)
        assert not gateway.asked
        reader.gateways._gateways.clear()
        reader.gateways.add(url)
        assert await fetch(reader, root) == data


async def test_filters_hold_for_gateways_too() -> None:
    nets = AddressFilter(["/ip4/127.0.0.0/ipcidr/8", "/ip6/::1/ipcidr/128"])
    reader = NodeNetwork(PrivateKey.generate_ed25519(os.urandom), MemoryStore(), addresses=nets)
    reader._waits = SessionWaits(stall_base=1.0, give_up_base=1.0)
    store, root, _ = await owner(1000)
    gateway = Gateway(store)
    try:
        async with server(gateway) as url:
            reader.gateways.add(url)
            assert not reader.gateways.gateways
            reader.gateways.add(url.replace("127.0.0.1", "localhost"))
            with pytest.raises(CideryError):
                await fetch(reader, root)
        assert not gateway.asked
    finally:
        await reader.close()
