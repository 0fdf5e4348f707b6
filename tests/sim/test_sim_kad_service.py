"""The DHT of one node over days, in virtual time: what survives a restart, what is forgotten, who is asked first."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path

import pytest
from test_sim_kad_nodes import LINK, blocks, joined, now

from cidery.identity.keys import PrivateKey
from cidery.identity.peer_id import PeerId
from cidery.kad.io.provider_store import DiskProviders
from cidery.kad.records import RecordInvalid, Validators
from cidery.kad.routing_table import REFRESH_INTERVAL, STALE_AFTER
from cidery.kad.service import SAVE_EVERY, KadOptions, KadService
from cidery.kad.stores import VALIDITY, MemoryProviders
from cidery.libp2p.protocols import noise
from cidery.multiformats.cid import CID
from cidery.multiformats.multiaddr import Multiaddr
from cidery.node.network import NodeNetwork
from cidery.repo.cache import Cache
from cidery.testing.memory_network import MemoryNetwork, seeded_entropy
from cidery.testing.memory_node import PORT, MemoryNode, memory_nodes
from cidery.testing.virtual_clock import run_virtual


class Longest:
    """A namespace where the longer value is the better one, and "bad" is none."""

    def validate(self, key: bytes, value: bytes) -> None:
        if value == b"bad":
            raise RecordInvalid("it is bad")

    def select(self, key: bytes, values: list[bytes]) -> int:
        return max(range(len(values)), key=lambda at: len(values[at]))


@asynccontextmanager
async def with_disk(
    network: MemoryNetwork, number: int, folder: Path, options: KadOptions | None = None
) -> AsyncIterator[MemoryNode]:
    """A node whose cache is in ``folder``; the same again after a restart."""
    cache = Cache.open(folder)
    node = MemoryNode(network, number)
    node.network = NodeNetwork(
        node.key,
        node.store,
        cache=cache,
        kad=options or KadOptions(),
        validators=Validators({"ipns": Longest()}),
        security=(noise.PROTOCOL,),
        clock=asyncio.get_running_loop().time,
        entropy=seeded_entropy(number),
        network=network.host(node.address),
        first_sequence=number,
    )
    await node.network.start((Multiaddr.tcp(node.address, PORT),))
    try:
        yield node
    finally:
        await node.network.close()
        cache.close()


async def values(kad: KadService, key: bytes) -> list[bytes]:
    async with aclosing(kad.search_value(key)) as found:
        return [one async for one in found]


def test_tables_and_records_survive_a_restart_and_records_run_out(tmp_path: Path):
    (block,) = blocks(1, 3)
    name = b"/ipns/" + b"somebody"

    async def main():
        network = MemoryNetwork(1, LINK)
        async with AsyncExitStack() as running:
            others = await running.enter_async_context(memory_nodes(network, 4, kad=KadOptions()))
            async with with_disk(network, 20, tmp_path / "cache") as node:
                await joined([others[0], *others[1:], node])
                assert isinstance(node.kad.providers, DiskProviders)
                assert await others[2].kad.provide(block.cid) >= 4
                assert await node.kad.put_value(name, b"value") == 0  # the others know no such namespace
                await asyncio.sleep(SAVE_EVERY + 5)  # the table is written now and then, not only at the end
                known = {one.peer for one in node.kad.lan.table.entries()}
                assert len(known) == 4
            network.freeze("10.0.0.20", others[3].address)  # this one is gone when the node comes again
            async with with_disk(network, 20, tmp_path / "cache") as node:
                await asyncio.sleep(200)
                assert {one.peer for one in node.kad.lan.table.entries()} == known - {others[3].peer}
                assert [one.peer for one in node.kad.held(block.cid)] == [others[2].peer]
                assert await values(node.kad, name) == [b"value"]
                await running.aclose()  # two days of their pings would tell nothing
                await asyncio.sleep(VALIDITY + 120)
                assert node.kad.held(block.cid) == [] and await values(node.kad, name) == []
                assert isinstance(node.kad.providers, DiskProviders) and not node.kad.providers.pending

    run_virtual(main())


def test_a_table_is_filled_when_its_first_peer_comes_and_loses_those_that_fall_silent():
    async def main():
        network = MemoryNetwork(2, LINK)
        async with memory_nodes(network, 6, kad=KadOptions()) as nodes:
            await asyncio.sleep(100)
            assert all(len(node.kad.lan.table) == 0 for node in nodes)  # nobody knows anybody: nothing is asked
            await joined(nodes)
            first, gone = nodes[1], nodes[5]
            assert {one.peer for one in first.kad.lan.table.entries()} == {n.peer for n in nodes if n is not first}
            asked = first.kad.lan.rpc.sent
            for other in nodes[:5]:
                network.freeze(gone.address, other.address)
            await asyncio.sleep(2 * REFRESH_INTERVAL + STALE_AFTER)
            assert gone.peer not in first.kad.lan.table and len(first.kad.lan.table) == 4
            assert first.kad.lan.rpc.sent > asked

    run_virtual(main())


def test_a_client_stays_one_and_a_server_says_when_it_becomes_one():
    async def main():
        network = MemoryNetwork(3, LINK)
        async with memory_nodes(network, 2, kad=KadOptions(), public=True) as (one, other):
            await one.connect(other)
            await asyncio.sleep(5)
            said = other.network.identification.known
            assert one.kad.wan.config.protocol not in said[one.peer].protocols
            await one.kad.set_reachable(True)
            await asyncio.sleep(1)
            assert one.kad.wan.is_server and one.kad.wan.config.protocol in said[one.peer].protocols
            assert one.peer in other.kad.wan.table
            sequence = one.network.identification._sequence
            await one.kad.set_reachable(True)  # no news
            assert one.network.identification._sequence == sequence
            await one.kad.set_reachable(False)
            await asyncio.sleep(1)
            assert not one.kad.wan.is_server and one.peer not in other.kad.wan.table
        async with memory_nodes(network, 1, kad=KadOptions(client_only=True)) as (client,):
            await client.kad.set_reachable(True)
            assert not client.kad.wan.is_server and not client.kad.lan.is_server
            assert client.network.dht_stats()

    run_virtual(main())


def test_mode_changes_are_nobodys_business_without_a_listener():
    async def main():
        network = MemoryNetwork(3, LINK)
        async with memory_nodes(network, 1) as (node,):
            alone = KadService(
                node.network.swarm,
                cache=None,
                validators=Validators(),
                options=KadOptions(wan_server=True),
                speaks=lambda peer, protocol: False,
                own_addrs=list,
                entropy=seeded_entropy(1),
                wall_clock=now,
            )
            assert alone.wan.is_server
            await alone.set_reachable(False)
            assert alone.wan.is_server  # the user said so
            assert await alone.provide(blocks(1, 1)[0].cid) == 0 and await alone.closest_peers(b"x") == []
            assert await alone.find_peer(PeerId(b"\x00\x24\x08\x01\x12\x20" + bytes(32))) is None
            await alone.close()

    run_virtual(main())


def test_providers_held_here_come_first_and_each_once_and_no_more_than_wanted():
    async def main():
        network = MemoryNetwork(4, LINK)
        async with memory_nodes(network, 8, kad=KadOptions()) as nodes:
            await joined(nodes)
            reader, owners = nodes[0], nodes[3:7]
            (block,) = blocks(1, 5)
            for owner in owners:
                assert await owner.kad.provide(block.cid) >= 6
            await asyncio.sleep(5)  # the last records arrive

            async def found(count: int) -> list[PeerId]:
                async with aclosing(reader.kad.find_providers(block.cid, count)) as providers:
                    return [one.peer async for one in providers]

            held = [one.peer for one in reader.kad.held(block.cid)]
            assert set(held) == {owner.peer for owner in owners}
            began = now()
            assert await found(2) == held[:2] and now() == began  # nobody was asked
            everything = await found(0)
            assert everything[:4] == held and sorted(everything, key=bytes_of) == sorted(held, key=bytes_of)
            stranger = CID.of(b"nobody has this")
            assert [one async for one in reader.kad.find_providers(stranger, 1)] == []
            holds_one = nodes[7].kad
            holds_one.providers = MemoryProviders()
            holds_one.providers.add(block.cid.multihash, owners[0].peer, now())
            got = [one.peer async for one in holds_one.find_providers(block.cid, 3)]
            assert got[0] == owners[0].peer and len(set(got)) == 3

    run_virtual(main())


def bytes_of(peer: PeerId) -> bytes:
    return peer.multihash


def test_a_connected_peer_is_found_without_asking_and_an_unknown_one_is_not_found():
    async def main():
        network = MemoryNetwork(5, LINK)
        async with memory_nodes(network, 6, kad=KadOptions()) as nodes:
            await joined(nodes)
            one, other = nodes[0], nodes[1]
            began = now()
            found = await one.kad.find_peer(other.peer)
            assert found is not None and other.addr.without_peer() in found.addrs and now() == began
            stranger = PrivateKey.generate_ed25519(random.Random(8).randbytes).peer_id
            assert await one.kad.find_peer(stranger) is None
            nearest = await one.kad.closest_peers(b"a key")
            assert len(nearest) == 5 and all(peer.addrs for peer in nearest)

    run_virtual(main())


def test_values_come_from_here_first_and_then_only_better_ones(tmp_path: Path):
    name = b"/ipns/" + b"me"

    async def main():
        network = MemoryNetwork(6, LINK)
        async with (
            with_disk(network, 1, tmp_path / "one") as one,
            with_disk(network, 2, tmp_path / "two") as two,
            with_disk(network, 3, tmp_path / "three") as three,
        ):
            await joined([one, two, three])
            assert await two.kad.put_value(name, b"longer") == 2
            one.kad.values.put(name, b"short", now())
            assert await values(one.kad, name) == [b"short", b"longer"]
            with pytest.raises(RecordInvalid, match="older value"):
                await two.kad.put_value(name, b"old")
            with pytest.raises(RecordInvalid, match="bad"):
                await two.kad.put_value(name, b"bad")
            assert await two.kad.put_value(name, b"the longest of all") == 2
            assert await values(three.kad, name) == [b"the longest of all"]

    run_virtual(main())
