"""Tests of a program over IPFS: whole nodes in memory, on a clock that jumps, the same in every run.

pytest test_with_a_network.py
"""

from cidery.testing import Link, Simulation
from cidery.testing.pytest_plugin import CideryNetwork

SIZE = 2_000_000


def test_a_reader_gets_what_the_owner_added(cidery_network: CideryNetwork) -> None:
    async def main(network: Simulation) -> None:
        owner, reader = await network.start(2)
        data = network.random.randbytes(SIZE)
        cid = await owner.add(data)
        await reader.connect(owner)
        assert await reader.read(cid) == data

    cidery_network.run(main)


def test_a_slow_line_takes_the_time_it_takes(cidery_network: CideryNetwork) -> None:
    async def main(network: Simulation) -> float:
        owner, reader = await network.start(2)
        network.set_link(owner, reader, Link(latency=0.3, bandwidth=100_000))
        cid = await owner.add(network.random.randbytes(SIZE))
        await reader.connect(owner)
        began = network.now
        await reader.read(cid)
        return network.now - began

    assert SIZE / 100_000 < cidery_network.run(main) < 2 * SIZE / 100_000  # virtual seconds
