"""Peers that are far away are reached, and those that are dead delay nobody. In virtual time."""

import asyncio

import pytest
from test_sim_transfers import MARS, blocks, fetch, now

from cidery.errors import CideryError
from cidery.identity.keys import PrivateKey
from cidery.identity.peer_id import PeerId
from cidery.kad.service import KadOptions
from cidery.libp2p.io.dial_errors import DialFailed
from cidery.multiformats.multiaddr import Multiaddr
from cidery.routing.interface import FoundPeer
from cidery.testing.memory_network import Link, MemoryNetwork, seeded_entropy
from cidery.testing.memory_node import PORT, memory_nodes
from cidery.testing.virtual_clock import run_virtual


def stranger(number: int) -> PeerId:
    return PrivateKey.generate_ed25519(seeded_entropy(5000 + number)).peer_id


def dead(network: MemoryNetwork, node, number: int) -> tuple[PeerId, Multiaddr]:
    """A peer at an address where nothing answers."""
    host = f"10.77.{number // 250}.{1 + number % 250}"
    network.freeze(node.address, host)
    return stranger(number), Multiaddr.tcp(host, PORT)


@pytest.mark.parametrize("round_trip", [10.0, 6 * 60.0, MARS])
def test_a_cold_dial_reaches_any_planet_and_a_transfer_follows(round_trip):
    async def main():
        network = MemoryNetwork(7, Link(round_trip / 2))
        async with memory_nodes(network, 2) as (earth, mars):
            wanted = blocks(4)
            await earth.put(wanted)
            await mars.connect(earth)
            took = now() / round_trip
            for node in (earth, mars):  # as the handshake told: no ping can have come back
                assert node.connections[0].round_trip.smoothed == pytest.approx(round_trip, rel=0.05)
            await fetch(mars, wanted)
            assert abs(mars.connections[0].round_trip.smoothed - round_trip) < 0.5 * round_trip
            return took

    assert run_virtual(main()) < 3.1  # TCP, the handshake, identify


def test_who_has_other_things_to_do_goes_on_and_finds_the_far_peer_connected_later():
    async def main():
        network = MemoryNetwork(7, Link(MARS / 2))
        async with memory_nodes(network, 2) as (earth, mars):
            for number in range(5):
                with pytest.raises(DialFailed, match="still being dialled"):
                    await mars.network.swarm.dial(earth.peer, [earth.addr.without_peer()])
                assert now() == 9.0 * (number + 1)
            assert len(mars.network.swarm._pending_dials) == 2  # the first attempt and the last one
            await asyncio.sleep(5 * MARS)
            assert [one.peer for one in mars.connections] == [earth.peer]
            assert len(earth.connections) == 1
            # the next time it is known how far that is
            mars.network.swarm.disconnect(earth.peer)
            await asyncio.sleep(MARS)
            began = now()
            await mars.network.swarm.dial(earth.peer)
            assert now() - began < 6 * MARS

    run_virtual(main())


def test_a_hundred_dead_addresses_hide_no_live_one():
    async def main():
        network = MemoryNetwork(7, Link(0.05))
        async with memory_nodes(network, 2) as (one, two):
            addrs = [dead(network, one, number)[1] for number in range(100)]
            await one.network.swarm.dial(two.peer, [*addrs, two.addr.without_peer()])
            return now()

    assert run_virtual(main()) < 8


def test_dead_providers_delay_no_search_and_what_stays_pending_is_bounded():
    async def main():
        network = MemoryNetwork(7, Link(0.05))
        async with memory_nodes(network, 2) as (one, two):
            swarm = one.network.swarm

            async def reach(peer: PeerId, addr: Multiaddr) -> bool:
                try:
                    await one.network.reach(FoundPeer(peer, (addr,)))
                except CideryError:
                    return False
                return True

            lost = [dead(network, one, number) for number in range(300)]
            began = now()
            tries = [asyncio.ensure_future(reach(*each)) for each in lost]
            assert await reach(two.peer, two.addr.without_peer()) and now() - began < 5
            assert not any(await asyncio.gather(*tries)) and now() - began < 15
            await asyncio.sleep(1)
            assert len(swarm._pending_dials) <= 128 and len(swarm._dials) <= 128
            began = now()
            assert not await reach(*lost[-1]) and now() - began < 10

    run_virtual(main())


def test_a_network_that_is_back_is_noticed_by_the_next_dial_at_once():
    async def main():
        network = MemoryNetwork(7, Link(0.05))
        async with memory_nodes(network, 2) as (one, two):
            network.freeze(one.address, two.address)
            with pytest.raises(DialFailed):
                await one.network.swarm.dial(two.peer, [two.addr.without_peer()])
            await asyncio.sleep(60)
            network.thaw(one.address, two.address)
            began = now()
            await one.network.swarm.dial(two.peer, [two.addr.without_peer()])
            assert now() - began < 1

    run_virtual(main())


def test_a_node_of_mars_takes_part_in_a_dht_of_earth():
    async def main():
        network = MemoryNetwork(7, Link(0.02))
        async with memory_nodes(network, 9, kad=KadOptions(loopback=True)) as (mars, *earth):
            for node in earth:
                network.set_link(mars.address, node.address, Link(300.0))
                await node.connect(earth[0]) if node is not earth[0] else None
            await asyncio.sleep(60)
            held = blocks(1)[0]
            await earth[3].put([held])
            assert await earth[3].kad.provide(held.cid) > 0
            await mars.connect(earth[0])
            await asyncio.sleep(4 * 3600)
            assert len(mars.kad.lan.table) == 8
            found = [peer.peer async for peer in mars.kad.find_providers(held.cid, 1)]
            assert found == [earth[3].peer]
            began = now()  # a far peer in the table does not slow the look-ups of the others
            assert len(await earth[5].kad.closest_peers(b"anything")) >= 7
            assert now() - began < 30

    run_virtual(main())
