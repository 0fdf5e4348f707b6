"""What goes over the line when two nodes connect, segment by segment: each costs both sides a turn of their loops."""

import asyncio

from pytest import approx

from cidery.testing.memory_network import Link, MemoryNetwork
from cidery.testing.memory_node import memory_nodes
from cidery.testing.virtual_clock import run_virtual

LATENCY = 0.05
"""Seconds one way."""


class Tapped(MemoryNetwork):
    """Notes what each side hands to its socket, and when."""

    def __init__(self) -> None:
        super().__init__(3, Link(LATENCY))
        self.sent: list[tuple[float, str, int]] = []

    def carry(self, transport, pipe, data) -> None:
        if data is not None:
            self.sent.append((asyncio.get_running_loop().time(), transport.here[0], len(data)))
        super().carry(transport, pipe, data)


def test_a_connect_with_identify_on_both_sides_takes_three_round_trips_and_ten_segments():
    async def main():
        network = Tapped()
        async with memory_nodes(network, 2) as (one, other):
            began = asyncio.get_running_loop().time()
            await one.connect(other)
            took = asyncio.get_running_loop().time() - began
            assert one.network.identification.known.keys() == {other.peer}
            await asyncio.sleep(4 * LATENCY)
            assert other.network.identification.known.keys() == {one.peer}
            return took, [(at - began, host == one.address, size) for at, host, size in network.sent]

    took, sent = run_virtual(main())
    assert took == approx(6 * LATENCY)  # of TCP, of Noise, of identify
    ours = [(at, size) for at, is_ours, size in sent if is_ours]
    theirs = [(at, size) for at, is_ours, size in sent if not is_ours]
    # the proposal with the first message of Noise; its last one, and the request behind it; our answer; the end
    assert [at for at, _ in ours] == approx([LATENCY * n for n in (2, 4, 4, 6, 6)])
    # the header; the second message of Noise; their request; their answer, whole; the end of ours
    assert [at for at, _ in theirs] == approx([LATENCY * n for n in (2, 3, 5, 5, 7)])
    assert theirs[3][1] > 400 and ours[3][1] > 400  # negotiation, answer and end of an identify stream in one
