"""A port that plain TCP and WebSockets share, besieged: what comes half, slowly, wrong or without end."""

import asyncio
import random

import pytest
from attacker import CARRIED
from test_sim_hostile_peers import besieged
from test_sim_transfers import now

from cidery.libp2p.io.websocket import UNREAD_ANSWERS
from cidery.libp2p.protocols.timeouts import CEILING
from cidery.libp2p.protocols.websocket import IDLE_FRAMES, LARGEST_UPGRADE, WebSocket
from cidery.testing.memory_network import MemoryNetwork, MemoryTransport, seeded_entropy
from cidery.testing.memory_node import PORT, MemoryNode
from cidery.testing.virtual_clock import run_virtual

REQUEST = b"".join(WebSocket.client(seeded_entropy(1), "victim:4001").data_to_send())
PING = b"\x89\xfd" + bytes(4) + bytes(125)


@pytest.fixture(autouse=True)
def carried():
    CARRIED.websocket = True
    yield
    CARRIED.websocket = False


class Raw(asyncio.Protocol):
    """Sends what a test wants."""

    def __init__(self) -> None:
        self.lost = asyncio.get_running_loop().create_future()
        self.came = bytearray()
        self.transport: MemoryTransport

    @classmethod
    async def dial(cls, network: MemoryNetwork, node: MemoryNode, first: bytes = b"") -> "Raw":
        made = await network.host("10.0.1.99").connect(cls, node.address, PORT)
        made.transport.write(first)
        return made

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, MemoryTransport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.came += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(exc)


def pending(victim: MemoryNode) -> int:
    return victim.network.swarm.pending_inbound


@pytest.mark.parametrize("sent", [b"", b"\x13", b"GE", REQUEST[:-3], REQUEST, REQUEST + b"\x82\xff"], ids=range(6))
def test_who_stops_anywhere_is_one_of_the_pending_handshakes_and_ends_with_them(sent):
    async def main():
        async with besieged() as (network, victim):
            attacker = await Raw.dial(network, victim, sent)
            await asyncio.sleep(3600)
            assert not attacker.lost.done() and pending(victim) == 1
            await asyncio.wait_for(attacker.lost, CEILING)
            assert pending(victim) == 0 and len(victim.connections) == 1

    run_virtual(main())


def test_a_flood_of_half_upgrades_is_bounded_as_all_handshakes_are():
    async def main():
        async with besieged() as (network, victim):
            limit = victim.network.swarm.config.max_pending_inbound
            attackers = [await Raw.dial(network, victim, REQUEST[: at % len(REQUEST)]) for at in range(limit + 30)]
            await asyncio.sleep(1)
            assert sum(one.lost.done() for one in attackers) == 30 and pending(victim) == limit

    run_virtual(main())


def test_a_slow_upgrade_goes_through_a_byte_at_a_time():
    async def main():
        async with besieged() as (network, victim):
            attacker = await Raw.dial(network, victim)
            for byte in REQUEST:
                attacker.transport.write(bytes([byte]))
                await asyncio.sleep(1)
            assert attacker.came.startswith(b"HTTP/1.1 101 ") and not attacker.lost.done()

    run_virtual(main())


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET /" + b"x" * LARGEST_UPGRADE + b"x" * 100,
        b"\x16\x03\x01\x02\x00\x01\x00",  # TLS, where there is no certificate
        b"\x16\x00\x00",
        REQUEST + random.Random(1).randbytes(5000),
        REQUEST + b"\x81\x85" + bytes(4) + b"hello",
        REQUEST + b"\x82\x05hello" + bytes(8),
        REQUEST + (b"\x8a\x80" + bytes(4)) * (IDLE_FRAMES + 1),
        REQUEST + b"\x82\xfe\xff\xff" + bytes(4) + b"\xff" * 0xFFFF,
        REQUEST + b"\x82\x94" + bytes(4) + b"\x13/multistream/1.0.0\n" + b"\x82\x84" + bytes(4) + b"\xff" * 4,
    ],
    ids=range(10),
)
def test_garbage_at_any_layer_ends_the_connection_at_once(sent):
    async def main():
        async with besieged() as (network, victim):
            attacker = await Raw.dial(network, victim, sent)
            await asyncio.wait_for(attacker.lost, 20)
            assert pending(victim) == 0 and len(victim.connections) == 1

    run_virtual(main())


@pytest.mark.parametrize("reads", [False, True])
def test_a_flood_of_pings_holds_a_bounded_amount_of_memory(reads):
    async def main():
        async with besieged() as (network, victim):
            attacker = await Raw.dial(network, victim, REQUEST)
            await asyncio.sleep(1)
            attacker.transport.reading = reads
            for _ in range(IDLE_FRAMES - 1):
                attacker.transport.write(PING)
            await asyncio.sleep(1)
            other = attacker.transport.other
            assert other is not None and other.get_write_buffer_size() <= UNREAD_ANSWERS + IDLE_FRAMES * 127
            for _ in range(10):
                attacker.transport.write(PING)
            await asyncio.wait_for(attacker.lost, 20)

    run_virtual(main())


def test_a_frame_that_never_ends_before_authentication_is_bounded_as_all_handshakes_are():
    async def main():
        async with besieged() as (network, victim):
            head = b"\x82\xff" + (1 << 40).to_bytes(8, "big") + bytes(4)
            attacker = await Raw.dial(network, victim, REQUEST + head + b"\x13/multistream/1.0.0\n\x07/noise\n")
            began = now()
            while not attacker.lost.done():
                attacker.transport.write(bytes(10_000))
                await asyncio.sleep(0.1)
            assert now() - began < 20

    run_virtual(main())
