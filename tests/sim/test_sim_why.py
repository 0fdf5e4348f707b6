"""What nodes say of a CID, in virtual time: who has it, who does not answer, who cannot be dialled."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from cidery.core.diagnosis.facts import Answer, NetworkFact, PeerAnswer, ProviderAnswer, RouterAnswer
from cidery.ipld.block import Block
from cidery.kad.service import KadOptions
from cidery.multiformats.cid import CID
from cidery.routing.interface import FoundPeer
from cidery.testing.memory_network import Link, MemoryNetwork
from cidery.testing.memory_node import MemoryNode, memory_nodes
from cidery.testing.virtual_clock import run_virtual

BIG = Block(CID.of(bytes(5000)), bytes(5000))
SMALL = Block(CID.of(b"small"), b"small")


class Router:
    """Names peers, then fails or stays silent."""

    def __init__(self, *found: FoundPeer, silent: bool = False) -> None:
        self._found = found
        self._silent = silent

    async def find_providers(self, cid: CID, count: int = 0) -> AsyncGenerator[FoundPeer, None]:
        for peer in self._found:
            yield peer
        if self._silent:
            await asyncio.sleep(1e6)
        else:
            raise TimeoutError("the router is gone")


async def look(node: MemoryNode, cid: CID, seconds: float, *, dial: bool = True) -> list[NetworkFact]:
    """The last fact of each subject, after at most ``seconds``."""
    last: dict[tuple[type, str], NetworkFact] = {}
    try:
        async with asyncio.timeout(seconds), aclosing(node.network.diagnosis().look(cid, dial=dial)) as facts:
            async for fact in facts:
                last[type(fact), fact.router if isinstance(fact, RouterAnswer) else fact.peer] = fact
    except TimeoutError:
        pass
    return list(last.values())


def test_peers_say_whether_they_have_it_and_nothing_is_fetched():
    async def main():
        network = MemoryNetwork(1, Link(0.05))
        async with memory_nodes(network, 4) as (reader, owner, other, frozen):
            await owner.put([BIG, SMALL])
            for node in (owner, other, frozen):
                await reader.connect(node)
            network.freeze(reader.address, frozen.address)
            for block, answer in ((BIG, Answer.HAVE), (SMALL, Answer.BLOCK)):
                facts = await look(reader, block.cid, 10.0)
                answers = {fact.peer: fact.answer for fact in facts if isinstance(fact, PeerAnswer)}
                assert answers[owner.name] is answer and answers[other.name] is Answer.DONT_HAVE
                assert answers[frozen.name] is Answer.WAITING
                assert await reader.store.size_many([block.cid]) == [None]
            assert not reader.network.bitswap.wantlist()

    run_virtual(main())


def test_providers_that_routers_name_are_dialled_and_asked():
    async def main():
        network = MemoryNetwork(2, Link(0.05))
        async with memory_nodes(network, 4) as (reader, owner, liar, gone):
            await owner.put([BIG])
            found = [FoundPeer(one.peer, (one.addr.without_peer(),)) for one in (owner, liar, gone)]
            await gone.network.swarm.close()
            reader.network.routing.providers.append(Router(*found))
            facts = await look(reader, BIG.cid, 300.0)
            dialled = {fact.peer: fact for fact in facts if isinstance(fact, ProviderAnswer)}
            assert dialled[owner.name].state == dialled[liar.name].state == "connected"
            assert dialled[gone.name].state == "failed" and gone.name in dialled[gone.name].failure
            answers = {fact.peer: fact.answer for fact in facts if isinstance(fact, PeerAnswer)}
            assert answers == {owner.name: Answer.HAVE, liar.name: Answer.DONT_HAVE}
            (router,) = [fact for fact in facts if isinstance(fact, RouterAnswer)]
            assert (router.providers, router.failure, router.done) == (3, "the router is gone", True)

    run_virtual(main())


def test_an_owner_dials_nobody_and_a_silent_router_is_left_when_the_time_is_over():
    async def main():
        network = MemoryNetwork(3, Link(0.05))
        async with memory_nodes(network, 2) as (owner, other):
            owner.network.routing.providers.append(
                Router(FoundPeer(other.peer, (other.addr.without_peer(),)), silent=True)
            )
            began = asyncio.get_running_loop().time()
            facts = await look(owner, BIG.cid, 10.0, dial=False)
            assert asyncio.get_running_loop().time() - began == 10.0
            assert {fact.state for fact in facts if isinstance(fact, ProviderAnswer)} == {"not dialled"}
            assert not next(fact for fact in facts if isinstance(fact, RouterAnswer)).done
            assert owner.connections == []

    run_virtual(main())


def test_each_dht_is_named_and_one_that_knows_nobody_says_so():
    async def main():
        network = MemoryNetwork(4, Link(0.05))
        async with memory_nodes(network, 2, kad=KadOptions()) as (reader, owner):
            await reader.connect(owner)
            await asyncio.sleep(2.0)
            assert await owner.kad.provide(BIG.cid) == 1
            await asyncio.sleep(1.0)
            routers = {
                fact.router: fact for fact in await look(reader, BIG.cid, 60.0) if isinstance(fact, RouterAnswer)
            }
            assert routers["DHT wan"].knows == 0 and routers["DHT lan"].knows == 1
            assert routers["records held here"].providers == 1

    run_virtual(main())


def test_a_fetch_under_way_tells_of_whom_it_waits():
    async def main():
        network = MemoryNetwork(5, Link(0.05))
        async with memory_nodes(network, 2) as (reader, owner):
            await reader.connect(owner)

            async def fetch() -> None:
                async with reader.session() as session:
                    await session.get(BIG.cid)

            task = asyncio.create_task(fetch())
            await asyncio.sleep(5.0)
            (found,) = reader.network.diagnosis().fetches(BIG.cid)
            assert found.state.root == BIG.cid and found.state.wanted == 1 and found.state.silent == 5.0
            (source,) = found.state.sources
            assert (source.source, source.last_answer) == (owner.name, "dont-have")
            facts = await look(reader, BIG.cid, 60.0)
            assert [fact.answer for fact in facts if isinstance(fact, PeerAnswer)] == [Answer.DONT_HAVE]
            await owner.put([BIG])
            await task
            assert reader.network.diagnosis().fetches(BIG.cid) == []

    run_virtual(main())
