"""At the end two sources bring a block together: one its beginning, the other its end."""

import asyncio
from collections.abc import Callable

import pytest
from test_sim_cut_blocks import spoil
from test_sim_transfers import MIB, blocks, fetch, now

from cidery.bitswap import verification
from cidery.multiformats.cid import CID
from cidery.testing.host_line import HostLine
from cidery.testing.memory_network import Link, MemoryNetwork
from cidery.testing.memory_node import MemoryNode, memory_nodes
from cidery.testing.virtual_clock import run_virtual

RATE = 1e6
"""Bytes per second that a source sends."""
WANTED = blocks(3, MIB, seed=6)
"""Each brings one, then the last is shared."""
ALONE = 2.18
"""Seconds that it takes if one brings the last block alone."""

Change = Callable[[MemoryNetwork, MemoryNode, MemoryNode], None]
"""What is done to both, the one that sends the beginning first, when the end is asked for."""


def read(
    change: Change = lambda network, giver, taker: None, spoils: int | None = None
) -> tuple[float, float, int, int, int]:
    """Seconds; what came of the network for each byte; duplicates; blocks that were shared; peers that are left.

    ``spoils``: which of both sends other bytes of the last block.
    """

    async def main() -> tuple[float, float, int, int, int]:
        network, shared = MemoryNetwork(5, Link(0.02)), []
        async with memory_nodes(network, 3) as (reader, *sources):
            for node in sources:
                network.set_line(node.address, HostLine(RATE, RATE))
                await node.put(WANTED)
                await reader.connect(node)
            if spoils is not None:
                spoil(sources[spoils], WANTED[-1].cid)
            bitswap, nodes = reader.network.bitswap, {node.name: node for node in sources}
            assert bitswap is not None
            share = bitswap.share

            def shares(session, giver: str, source: str, cid: CID, size: int) -> None:
                shared.append(cid)
                share(session, giver, source, cid, size)
                change(network, nodes[giver], nodes[source])

            bitswap.share = shares  # type: ignore[method-assign]
            began, before = now(), network.carried(reader.address)[1]
            await asyncio.wait_for(fetch(reader, WANTED), 60)
            took = now() - began
            await asyncio.sleep(5.0)
            came = (network.carried(reader.address)[1] - before) / (len(WANTED) * MIB)
            assert len(bitswap._parts) == 0 and not bitswap._parts._shared
            return took, came, bitswap.duplicate_blocks, len(shared), len(reader.connections)

    return run_virtual(main())


def slower(times: float) -> Change:
    return lambda network, giver, taker: network.set_line(giver.address, HostLine(RATE / times, RATE / times))


def test_both_are_through_at_the_same_time_and_each_byte_comes_once():
    took, came, duplicates, shared, _ = read()
    assert shared == 1 and took < ALONE - 0.3 and came < 1.015 and not duplicates


def test_an_end_that_is_here_waits_for_its_beginning():
    took, came, duplicates, _, _ = read(slower(3))
    assert ALONE < took < ALONE + 1.0 and came < 1.015 and not duplicates


def test_an_end_does_not_wait_for_ever_for_a_beginning_that_comes_too_slowly():
    took, came, duplicates, _, peers = read(slower(100))
    assert took < ALONE + 2.5 and came < 1.2 and not duplicates and peers == 2


def test_an_end_waits_no_longer_than_its_bound(monkeypatch):
    monkeypatch.setattr(verification, "LONGEST_WAIT", 0.1)
    took, came, _, _, peers = read(slower(3))
    assert took < ALONE + 2.5 and came < 1.5 and peers == 2


@pytest.mark.parametrize(
    ("who", "how", "longer"), [(0, "kill", 0.8), (1, "kill", 0.1), (0, "unplug", 2.0), (1, "unplug", 1.5)]
)
def test_if_one_of_both_leaves_the_other_brings_what_is_missing(who, how, longer):
    took, came, duplicates, _, _ = read(
        lambda network, giver, taker: getattr(network, how)((giver, taker)[who].address)
    )
    assert took < ALONE + longer and came < 1.2 and not duplicates


@pytest.mark.parametrize("spoils", [0, 1])
def test_a_wrong_part_costs_the_block_once_more_and_blames_nobody_for_what_another_sent(spoils):
    took, came, _, shared, peers = read(spoils=spoils)
    assert shared and took < ALONE + 3.0 and came < 1.8 and peers == 2
