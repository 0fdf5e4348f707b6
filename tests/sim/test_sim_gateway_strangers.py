"""Content that a stranger asks for and another one announces: no host of a private network is dialled for it."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from cidery.errors import CideryError
from cidery.exchange.terms import EAGER, Terms
from cidery.multiformats.cid import CID
from cidery.multiformats.multiaddr import Multiaddr
from cidery.routing.interface import FoundPeer
from cidery.testing import Simulation, simulate
from cidery.testing.memory_node import MemoryNode

PUBLIC = Terms(paced=True, public=True)
DATA = b"x" * 100_000
WAIT = 60.0


class Announced:
    """A router that names one provider."""

    def __init__(self, node: MemoryNode, *addrs: Multiaddr) -> None:
        self.found = FoundPeer(node.peer, addrs or (node.addr.without_peer(),))

    async def find_providers(self, cid: CID, count: int = 0) -> AsyncGenerator[FoundPeer, None]:
        yield self.found

    async def find_peer(self, peer: object) -> FoundPeer:
        return self.found


async def got(node: MemoryNode, cid: CID, terms: Terms) -> bool:
    try:
        async with asyncio.timeout(WAIT), node.network.session(kept=False, terms=terms) as session:
            await session.get(cid)
            return True
    except (CideryError, TimeoutError):
        return False


@pytest.mark.parametrize(
    ("public", "terms", "reached"), [(False, PUBLIC, False), (False, EAGER, True), (True, PUBLIC, True)]
)
def test_a_provider_is_dialled_for_a_stranger_at_public_addresses_only(
    public: bool, terms: Terms, reached: bool
) -> None:
    async def main(network: Simulation) -> None:
        (owner,) = await network.start(public=public)
        (node,) = await network.start(public=True)
        cid = await owner.add(DATA)
        node.network.routing.providers.append(Announced(owner))
        assert await got(node, cid, terms) is reached
        assert bool(node.connections) is reached

    simulate(main, seed=1)


def test_a_private_address_that_is_known_already_is_not_dialled_either() -> None:
    async def main(network: Simulation) -> None:
        (owner,) = await network.start(public=False)
        (node,) = await network.start(public=True)
        cid = await owner.add(DATA)
        announced = Announced(owner)
        announced.found = FoundPeer(owner.peer)  # without addresses
        node.network.swarm.peer_store.add_addrs(owner.peer, [owner.addr.without_peer()])
        node.network.routing.providers.append(announced)
        node.network.routing.peers.append(Announced(owner))
        assert not await got(node, cid, PUBLIC) and not node.connections
        assert await got(node, cid, EAGER)

    simulate(main, seed=1)


@pytest.mark.parametrize(
    "addr",
    ["/ip4/127.0.0.1/tcp/80", "/ip4/192.168.0.1/tcp/80", "/ip4/169.254.169.254/tcp/80", "/ip4/100.64.0.1/tcp/80",
     "/ip4/0.0.0.0/tcp/80", "/ip6/::1/tcp/80", "/ip6/fd00::1/tcp/80", "/ip6/fe80::1/tcp/80",
     "/ip6/::ffff:10.0.0.1/tcp/80", "/ip6/64:ff9b::a00:1/tcp/80",
     "/ip6/2002:a00:1::/tcp/80", "/dns4/localhost/tcp/80", "/ip4/224.0.0.1/tcp/80"],
)  # fmt: skip
def test_no_way_of_writing_a_private_address_leads_inside(addr: str) -> None:
    async def main(network: Simulation) -> None:
        (node,) = await network.start(public=True)
        reach = node.network.public_reach
        public = Multiaddr.parse("/ip4/8.8.8.8/tcp/80")
        assert await reach.dialable([Multiaddr.parse(addr), public]) == [public]

    simulate(main, seed=1)
