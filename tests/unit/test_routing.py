"""Several routers as one: merged as they come, failures of one concern only that one."""

import asyncio
import random
from collections.abc import AsyncGenerator

import pytest

from cidery.errors import InvalidInput, Unavailable
from cidery.identity.peer_id import PeerId
from cidery.multiformats.cid import CID
from cidery.multiformats.multiaddr import Multiaddr
from cidery.routing.interface import FoundPeer
from cidery.routing.service import MAX_DIALS, MAX_PROVIDERS, JoinedRouting, ProviderSearch
from cidery.testing.virtual_clock import run_virtual

RANDOM = random.Random(1)
CONTENT = CID.of(b"x")


def peer() -> FoundPeer:
    return FoundPeer(PeerId(b"\x00\x24\x08\x01\x12\x20" + RANDOM.randbytes(32)), (Multiaddr.tcp("10.0.0.1", 1),))


class Router:
    """Gives peers at given times; ``fails`` at the end."""

    def __init__(self, *answers: tuple[float, FoundPeer], fails: bool = False) -> None:
        self.answers = answers
        self.fails = fails
        self.closed = False

    async def find_providers(self, cid: CID, count: int = 0) -> AsyncGenerator[FoundPeer, None]:
        try:
            for wait, found in self.answers:
                await asyncio.sleep(wait)
                yield found
            if self.fails:
                raise Unavailable("router is down")
        finally:
            self.closed = True

    async def find_peer(self, wanted: PeerId) -> FoundPeer | None:
        async for found in self.find_providers(CONTENT):
            return found
        return None

    async def search_value(self, key: bytes, quorum: int) -> AsyncGenerator[bytes, None]:
        yield key

    async def put_value(self, key: bytes, value: bytes) -> int:
        return 2

    async def provide(self, cid: CID) -> int:
        return 3


def joined(*routers: Router) -> JoinedRouting:
    routing = JoinedRouting()
    for one in routers:
        routing.providers.append(one)
        routing.peers.append(one)
        routing.values.append(one)
        routing.announcers.append(one)
    return routing


def find(routing: JoinedRouting, count: int = 0) -> list[FoundPeer]:
    async def main():
        return [one async for one in routing.find_providers(CONTENT, count)]

    return run_virtual(main())


def test_answers_come_in_the_order_of_time_and_each_peer_once():
    one, two, three = peer(), peer(), peer()
    assert find(joined(Router((3.0, one), (2.0, two)), Router((1.0, three), (3.0, one)))) == [three, one, two]


def test_a_router_that_fails_does_not_end_the_search():
    one, two = peer(), peer()
    assert find(joined(Router((1.0, one), fails=True), Router((5.0, two)))) == [one, two]
    assert find(joined(Router(fails=True))) == []
    assert find(JoinedRouting()) == []


def test_enough_answers_end_the_search_and_the_other_routers():
    slow = Router((1000.0, peer()))
    one = peer()
    assert find(joined(Router((1.0, one)), slow), count=1) == [one]
    assert slow.closed


def test_the_first_address_of_a_peer_wins_and_nobody_knowing_is_none():
    one, two = peer(), peer()

    async def main():
        assert await joined(Router((9.0, one)), Router((1.0, two)), Router(fails=True)).find_peer(one.peer) == two
        assert await joined(Router(), Router(fails=True)).find_peer(one.peer) is None

    run_virtual(main())


def test_values_and_announcements_go_to_all():
    async def main():
        routing = joined(Router(), Router())
        assert [value async for value in routing.search_value(b"k", 16)] == [b"k", b"k"]
        assert await routing.put_value(b"k", b"v") == 4 and await routing.provide(CONTENT) == 6
        assert not routing.empty and JoinedRouting().empty

    run_virtual(main())


class Unreachable(Router):
    """A router that never answers."""

    async def put_value(self, key, value):
        raise NoAnswer

    async def provide(self, cid):
        raise TimeoutError


class NoAnswer(Unavailable):
    def __str__(self):
        return "https://router.example: no answer in time"


class Refusing(Router):
    async def put_value(self, key, value):
        raise InvalidInput("the value is wrong")


def test_a_router_that_cannot_be_reached_is_named_and_the_others_get_the_value():
    async def main():
        failed = []
        assert await joined(Router(), Unreachable()).put_value(b"k", b"v", failed) == 2
        assert failed == ["https://router.example: no answer in time"]
        assert await joined(Unreachable()).put_value(b"k", b"v") == 0
        assert await joined(Router(), Unreachable()).provide(CONTENT) == 3
        with pytest.raises(InvalidInput, match="the value is wrong"):
            await joined(Router(), Refusing()).put_value(b"k", b"v")

    run_virtual(main())


def test_a_search_dials_some_at_a_time_and_counts_those_it_reached():
    dialling, most = 0, 0
    stages: list[str] = []

    async def dial(found: FoundPeer) -> None:
        nonlocal dialling, most
        dialling += 1
        most = max(most, dialling)
        await asyncio.sleep(1)
        dialling -= 1
        if found.addrs[0] == Multiaddr.tcp("10.0.0.2", 1):
            raise Unavailable("nobody there")

    async def main() -> int:
        dead = FoundPeer(peer().peer, (Multiaddr.tcp("10.0.0.2", 1),))
        router = Router((0.0, dead), *[(0.0, peer()) for _ in range(30)])
        return await ProviderSearch(joined(router), dial).run(CONTENT, stages.append)

    assert run_virtual(main()) == MAX_PROVIDERS - 1
    assert most <= MAX_DIALS and stages[0] == "finding" and "dialling" in stages


def test_a_search_that_is_cancelled_leaves_no_dial_behind():
    cancelled = []

    async def dial(found: FoundPeer) -> None:
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            cancelled.append(found)
            raise

    async def main() -> None:
        search = ProviderSearch(joined(Router((0.0, peer()), (0.0, peer()))), dial)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await search.run(CONTENT)

    run_virtual(main())
    assert len(cancelled) == 2
