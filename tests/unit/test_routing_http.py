"""The HTTP routing API: records and filters, a client against servers that behave and that do not."""

import asyncio
import json
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from cidery.identity.keys import PrivateKey
from cidery.identity.peer_id import PeerId
from cidery.ipns.moment import NANOSECONDS
from cidery.ipns.name import routing_key
from cidery.ipns.record import sign
from cidery.multiformats.cid import CID
from cidery.multiformats.multiaddr import Multiaddr
from cidery.routing.http_records import (
    BITSWAP,
    GATEWAY,
    MAX_ADDRS,
    BadRecords,
    Filters,
    decode_line,
    decode_list,
    encode_peer,
)
from cidery.routing.interface import FoundPeer
from cidery.routing.io.http_router import BadRouter, HttpRouter, RouterFailed, base_url
from cidery.routing.service import JoinedRouting

CID_ = CID.of(b"content")
TCP, QUIC, WEB = (
    Multiaddr.parse(text)
    for text in ("/ip4/192.0.2.1/tcp/4001", "/ip4/192.0.2.1/udp/4001/quic-v1", "/dns4/example.org/tcp/443/https")
)


def some_peer(*addrs: Multiaddr, protocols: tuple[str, ...] = ()) -> FoundPeer:
    return FoundPeer(PrivateKey.generate_ed25519(os.urandom).peer_id, addrs, protocols)


# --- records


def test_records_are_read_as_they_were_written() -> None:
    for found in (some_peer(), some_peer(TCP, QUIC, protocols=(BITSWAP, GATEWAY))):
        assert decode_line(json.dumps(encode_peer(found)).encode()) == found


def test_old_schemas_are_read_and_unknown_ones_passed_over() -> None:
    peer = some_peer(TCP)
    record = encode_peer(peer)
    old = decode_line(json.dumps(record | {"Schema": "bitswap", "Protocol": "transport-bitswap"}).encode())
    assert old == FoundPeer(peer.peer, peer.addrs, (BITSWAP,))
    for schema in ("future", None, 5):
        assert decode_line(json.dumps(record | {"Schema": schema}).encode()) is None


def test_fields_that_make_no_sense_are_left_out() -> None:
    record = encode_peer(some_peer(TCP))
    odd = record | {"Addrs": ["junk", 5, None, str(TCP)] + [str(QUIC)] * 1000, "Protocols": {"a": 1}, "More": [[]]}
    found = decode_line(json.dumps(odd).encode())
    assert found is not None and found.addrs[0] == TCP and len(found.addrs) < MAX_ADDRS and found.protocols == ()
    assert decode_line(json.dumps(record | {"ID": "nobody"}).encode()) is None
    assert decode_line(json.dumps(record | {"Addrs": None}).encode()) is not None


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"Providers": 5}', b"null", b"[" * 100_000, b"\xff"])
def test_answers_that_make_no_sense_are_refused(body: bytes) -> None:
    with pytest.raises(BadRecords):
        decode_list(body, "Providers")


def test_an_empty_answer_has_several_forms() -> None:
    for body in (b"{}", b'{"Providers": null}', b'{"Providers": []}'):
        assert decode_list(body, "Providers") == []


def test_any_line_gives_a_record_none_or_its_own_error() -> None:
    chance = random.Random(1)
    line = json.dumps(encode_peer(some_peer(TCP, protocols=(BITSWAP,)))).encode()
    for _ in range(3000):
        broken = bytearray(line)
        for _ in range(chance.randint(1, 4)):
            broken[chance.randrange(len(broken))] = chance.choice(b'{}[]",:0\\\xff a')
        try:
            decode_line(bytes(broken))
        except BadRecords:
            continue


@pytest.mark.parametrize(
    ("addrs", "kept"),
    [
        ("", (TCP, QUIC, WEB)),
        ("tcp", (TCP, WEB)),
        ("TCP", (TCP, WEB)),
        ("!quic-v1", (TCP, WEB)),
        ("tcp,!https", (TCP,)),
        ("unknown,quic-v1", (QUIC,)),
    ],
)
def test_addresses_are_filtered(addrs: str, kept: tuple[Multiaddr, ...]) -> None:
    found = some_peer(TCP, QUIC, WEB)
    assert Filters.parse({"filter-addrs": addrs}).apply(found) == FoundPeer(found.peer, kept)


def test_peers_are_filtered() -> None:
    bare, bitswap, web_ = some_peer(), some_peer(TCP, protocols=(BITSWAP,)), some_peer(WEB, protocols=(GATEWAY,))
    everyone = (bare, bitswap, web_)

    def left(**query: str) -> list[FoundPeer]:
        filters = Filters.parse({name.replace("_", "-"): text for name, text in query.items()})
        return [found for found in everyone if filters.apply(found) is not None]

    assert left(filter_addrs="udp") == []
    assert left(filter_addrs="udp,unknown") == [bare]
    assert left(filter_protocols=f"{BITSWAP},{GATEWAY}") == [bitswap, web_]
    assert left(filter_protocols="unknown") == [bare]


# --- the client


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def server(handle: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def client(url: str, clock: Clock | None = None) -> AsyncIterator[HttpRouter]:
    router = HttpRouter(url, "test", clock or Clock())
    try:
        yield router
    finally:
        await router.close()


async def providers(router: HttpRouter, count: int = 0) -> list[FoundPeer]:
    return [found async for found in router.find_providers(CID_, count)]


@pytest.mark.parametrize("lines", [True, False])
async def test_providers_come_in_either_form(lines: bool) -> None:
    known = [some_peer(TCP, protocols=(BITSWAP,)), some_peer(WEB, protocols=(GATEWAY,))]

    async def handle(request: web.Request) -> web.Response:
        assert request.path == f"/routing/v1/providers/{CID_}"
        assert "transport-ipfs-gateway-http" in request.query["filter-protocols"]
        records = [encode_peer(found) for found in known]
        if lines:
            text = "".join(json.dumps(record) + "\n" for record in records)
            return web.Response(text=text, content_type="application/x-ndjson")
        return web.json_response({"Providers": records})

    async with server(handle) as url, client(url) as router:
        assert await providers(router) == known
        assert await providers(router, 1) == known[:1]


async def test_a_line_is_reported_before_the_next_one_comes() -> None:
    found, go_on = some_peer(TCP), asyncio.Event()

    async def handle(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await answer.prepare(request)
        await answer.write(json.dumps(encode_peer(found)).encode() + b"\n" + b'{"Sch')
        await go_on.wait()
        await answer.write(b'ema": "future"}\n')
        return answer

    async with server(handle) as url, client(url) as router:
        search = router.find_providers(CID_)
        assert await anext(search) == found
        go_on.set()
        assert [one async for one in search] == []


async def test_nothing_known_is_no_failure() -> None:
    async def handle(request: web.Request) -> web.Response:
        return web.Response(status=404)

    async with server(handle) as url, client(url) as router:
        assert await providers(router) == []
        assert await router.find_peer(some_peer().peer) is None
        assert [value async for value in router.search_value(routing_key(some_peer().peer), 1)] == []


async def test_peers_and_records_of_names_are_found_and_put() -> None:
    key = PrivateKey.generate_ed25519(os.urandom)
    record = sign(key, b"/ipfs/bafkqaaa", sequence=1, validity=1_900_000_000 * NANOSECONDS, ttl=0)
    found = FoundPeer(key.peer_id, (TCP,))
    kept: list[bytes] = []

    async def handle(request: web.Request) -> web.Response:
        if request.path.startswith("/routing/v1/peers/"):
            assert PeerId.parse(request.path.rpartition("/")[2]) == key.peer_id
            return web.json_response({"Peers": [encode_peer(found)]})
        assert request.path.startswith("/routing/v1/ipns/k51")
        if request.method == "PUT":
            kept.append(await request.read())
            return web.Response()
        return web.Response(body=kept[0], content_type="application/vnd.ipfs.ipns-record")

    async with server(handle) as url, client(url) as router:
        assert await router.find_peer(key.peer_id) == found
        assert await router.put_value(routing_key(key.peer_id), record.raw) == 1
        assert [value async for value in router.search_value(routing_key(key.peer_id), 1)] == [record.raw]
        assert await router.put_value(b"/pk/x", b"") == 0


async def endless(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    await answer.prepare(request)
    while True:
        await answer.write(b"\n" * 65536)


async def loop(request: web.Request) -> web.StreamResponse:
    raise web.HTTPFound(request.path)


async def broken(request: web.Request) -> web.StreamResponse:
    return web.Response(status=500)


async def page(request: web.Request) -> web.StreamResponse:
    return web.Response(text="<html>", content_type="text/html")


@pytest.mark.parametrize("handle", [endless, loop, broken, page])
async def test_a_router_that_fails_rests_longer_each_time(
    handle: Callable[[web.Request], Awaitable[web.StreamResponse]],
) -> None:
    clock = Clock()
    async with server(handle) as url, client(url, clock) as router:
        for rest in (5.0, 10.0, 20.0):
            with pytest.raises((RouterFailed, BadRecords)):
                await providers(router)
            asked = router.asked
            clock.now += rest - 0.1
            with pytest.raises(RouterFailed, match="rests"):
                await providers(router)
            assert router.asked == asked
            clock.now += 0.2


async def test_a_router_that_is_not_there_does_not_hold_up_the_others() -> None:
    known = some_peer(TCP)

    async def handle(request: web.Request) -> web.Response:
        return web.json_response({"Providers": [encode_peer(known)]})

    async with server(handle) as url, client(url) as good, client("http://127.0.0.1:9") as gone:
        joined = JoinedRouting()
        joined.providers += [gone, good]
        assert [found async for found in joined.find_providers(CID_)] == [known]


@pytest.mark.parametrize("url", ["", "cid.contact", "ftp://x", "https://", "http://[", "https://x?y"])
def test_what_is_no_router_is_refused(url: str) -> None:
    with pytest.raises(BadRouter):
        base_url(url)


def test_the_address_of_a_router_may_have_the_path_of_its_api() -> None:
    for url in ("https://cid.contact", "https://cid.contact/", "https://cid.contact/routing/v1"):
        assert base_url(url) == "https://cid.contact"
