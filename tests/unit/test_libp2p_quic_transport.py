"""QUIC over loopback sockets: dialling, listening, who is let in, what is shared, and what a hostile peer can do."""

import asyncio
import errno
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import cast

import pytest

from cidery.blockstore.memory import MemoryStore
from cidery.budgets import UNPROVEN_HANDSHAKES
from cidery.errors import CideryError
from cidery.identity.keys import PrivateKey
from cidery.libp2p.io.connection import ConnectionFailed
from cidery.libp2p.io.dial_errors import DialFailed
from cidery.libp2p.io.quic_connection import QuicConnection
from cidery.libp2p.io.quic_transport import QuicTransport
from cidery.libp2p.io.stream import Stream
from cidery.libp2p.io.transport import CannotListen
from cidery.libp2p.io.udp_socket import Datagrams, UdpSocket
from cidery.libp2p.io.upgraded import UpgradedConnection
from cidery.libp2p.protocols.bandwidth import BandwidthLimits, Schedule
from cidery.libp2p.protocols.qh3_core import Qh3Core, opening
from cidery.libp2p.protocols.quic_core import SAFE_DATAGRAM
from cidery.libp2p.protocols.timeouts import Timeouts
from cidery.multiformats.address_filter import AddressFilter
from cidery.multiformats.multiaddr import Multiaddr
from cidery.node import network_parts
from cidery.node.network import NodeNetwork
from quic_pair import datagrams_of, identity

QUIC = Multiaddr.parse("/ip4/127.0.0.1/udp/0/quic-v1")
TCP = Multiaddr.parse("/ip4/127.0.0.1/tcp/0")


@asynccontextmanager
async def nodes(*listen: tuple[Multiaddr, ...], **options: object) -> AsyncIterator[list[NodeNetwork]]:
    """Nodes that listen so. ``options``: as NodeNetwork's, for all."""
    made: list[NodeNetwork] = []
    try:
        for addrs in listen:
            key = PrivateKey.generate_ed25519(os.urandom)
            made.append(NodeNetwork(key, MemoryStore(), **{"quic": True, **options}))  # type: ignore[arg-type]
            await made[-1].start(addrs)
        yield made
    finally:
        for node in made:
            await node.close()


def quic_addr(node: NodeNetwork) -> Multiaddr:
    found = next(addr for addr in node.swarm.listen_addrs() if addr.quic_endpoint())
    return found.with_peer(node.swarm.local_peer.multihash)


def endpoint(node: NodeNetwork) -> tuple[str, int]:
    found = quic_addr(node).quic_endpoint()
    assert found is not None
    return found


async def eventually(condition) -> None:  # type: ignore[no-untyped-def]
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


async def echo(stream: Stream) -> None:
    while data := await stream.read(1 << 16):
        await stream.write(data)


async def test_two_nodes_connect_identify_and_ping() -> None:
    async with nodes((QUIC,), (QUIC,)) as (one, two):
        await two.connect(quic_addr(one))
        (there,) = two.peers()
        assert there.addr == str(quic_addr(one).without_peer()) and there.direction == "outbound"
        assert (there.security, there.muxer) == ("", "")
        (here,) = one.peers()
        # the socket that listens dials, too: others see the address at which this node can be reached
        assert here.addr == str(quic_addr(two).without_peer())
        assert [rtt async for rtt in two.ping(str(one.swarm.local_peer), 2)]
        assert one.identification.known[two.swarm.local_peer].agent_version.startswith("cidery/")


async def test_streams_carry_bytes_both_ways_and_are_counted() -> None:
    async with nodes((QUIC,), ()) as (one, two):
        one.swarm.handlers["/echo"] = echo
        await two.connect(quic_addr(one))
        stream = await two.swarm.open_stream(one.swarm.local_peer, ["/echo"])
        data = os.urandom(3 << 20)

        async def send() -> None:
            await stream.write(data)
            stream.close_write()

        sending = asyncio.create_task(send())
        assert await stream.read_exactly(len(data)) == data
        assert await stream.read(10) == b""
        await sending
        totals = two.bandwidth("", "")
        assert totals.total_in > len(data) and totals.total_out > len(data)
        assert two.bandwidth(str(one.swarm.local_peer), "").total_in > len(data)
        assert two.bandwidth("", "/echo").total_in == len(data)


async def test_a_limit_on_sending_holds_quic_too() -> None:
    rate = 1_000_000
    slow = Schedule(BandwidthLimits(up=rate))
    async with nodes((QUIC,), (), bandwidth=slow) as (one, two):
        one.swarm.handlers["/echo"] = echo
        await two.connect(quic_addr(one))
        stream = await two.swarm.open_stream(one.swarm.local_peer, ["/echo"])
        began = time.monotonic()
        data = bytes(2 * rate)
        sending = asyncio.create_task(stream.write(data))
        assert len(await stream.read_exactly(len(data))) == len(data)
        await sending
        assert time.monotonic() - began > 1.0


async def test_another_peer_at_the_address_is_not_taken_for_the_one_dialled() -> None:
    async with nodes((QUIC,), (), ()) as (one, two, other):
        wrong = quic_addr(one).with_peer(other.swarm.local_peer.multihash)
        with pytest.raises(DialFailed, match="the peer at this address is"):
            await two.connect(wrong)
        assert not two.peers()
        await eventually(lambda: not one.peers())


class Deaf:
    """A UDP port where nobody answers."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.addr = Multiaddr.quic(*self._socket.getsockname())

    def __enter__(self) -> Multiaddr:
        return self.addr

    def __exit__(self, *_: object) -> None:
        self._socket.close()


async def test_a_dial_where_nobody_answers_ends_soon_and_where_the_peer_is_known_to_be_far_later() -> None:
    waits = Timeouts()
    assert waits.wait(waits.datagram_base, None) == 10.0, "as long as go-libp2p waits for a stranger"
    async with nodes((), timeouts=Timeouts(datagram_base=0.1)) as (node,):
        transport = node.swarm._transports[1]
        peer = PrivateKey.generate_ed25519(os.urandom).peer_id
        with Deaf() as addr:
            began = time.monotonic()
            with pytest.raises(ConnectionFailed, match="in time"):
                await transport.dial(addr, peer, node.swarm._end, seconds=60, round_trip=0.01)
            assert time.monotonic() - began < 1.0
            with pytest.raises(TimeoutError):
                await transport.dial(addr, peer, node.swarm._end, seconds=1.0, round_trip=5.0)


async def test_who_has_answered_has_the_time_of_silence_for_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """What follows the first datagram of the answer is late: the dial goes on beyond the wait for that."""
    async with nodes((QUIC,)) as (one,), nodes((), timeouts=Timeouts(datagram_base=0.2)) as (two,):
        began, take = list[float](), QuicConnection.receive

        def late(connection: QuicConnection, several: Sequence[bytes], source: tuple[str, int]) -> None:
            if connection.outbound and not began:
                began.append(time.monotonic())
                asyncio.get_running_loop().call_later(0.6, later, connection, several[1:], source)
                several = several[:1]
            elif connection.outbound and time.monotonic() - began[0] < 0.6:
                return  # sent again
            take(connection, several, source)

        def later(connection: QuicConnection, several: Sequence[bytes], source: tuple[str, int]) -> None:
            take(connection, several, source)
            connection.flush()

        monkeypatch.setattr(QuicConnection, "receive", late)
        addr = quic_addr(one).without_peer()
        end = two.swarm._end
        made = await two.swarm._transports[1].dial(addr, one.swarm.local_peer, end, seconds=20, round_trip=0.01)
        assert time.monotonic() - began[0] >= 0.6
        made.close("done")


async def test_an_address_in_use_is_told() -> None:
    async with nodes((QUIC,)) as (one,):
        taken = quic_addr(one).without_peer()
        with pytest.raises(CannotListen, match="in use"):
            async with nodes((taken,)):
                pass


async def test_a_node_without_quic_does_not_dial_it() -> None:
    async with nodes((QUIC,)) as (one,), nodes((QUIC,), quic=False) as (two,):
        assert two.listen_addrs() == []
        with pytest.raises(DialFailed, match="no transport here"):
            await two.connect(quic_addr(one))


async def test_addresses_on_which_nothing_listens_are_named(caplog: pytest.LogCaptureFixture) -> None:
    strange = Multiaddr.parse("/ip4/127.0.0.1/udp/0/quic-v1/webtransport")
    async with nodes((QUIC, strange)) as (one,):
        assert len(one.listen_addrs()) == 1
    async with nodes((QUIC,), quic=False):
        pass
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == [
        f"no transport here listens on {strange}",
        f"no transport here listens on {QUIC}",
    ]


async def test_forbidden_addresses_are_neither_dialled_nor_let_in() -> None:
    loopback = AddressFilter(["/ip4/127.0.0.0/ipcidr/8"])
    async with nodes((QUIC,), addresses=loopback) as (closed,), nodes((QUIC,)) as (free,):
        with pytest.raises(DialFailed, match="forbidden"):
            await closed.connect(quic_addr(free))
        target = endpoint(closed)
        client = Qh3Core.dialling(identity(1), target, SAFE_DATAGRAM, 0.0)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(0.3)
            for datagram in datagrams_of(client, 0.0):
                sock.sendto(datagram, target)
            with pytest.raises(TimeoutError):
                await asyncio.to_thread(sock.recv, 2000)


async def test_a_closed_connection_is_closed_at_the_other_end_at_once() -> None:
    async with nodes((QUIC,), ()) as (one, two):
        await two.connect(quic_addr(one))
        began = time.monotonic()
        assert two.swarm.disconnect(one.swarm.local_peer)
        await eventually(lambda: not one.peers())
        assert time.monotonic() - began < 2.0


async def test_tcp_and_quic_of_one_peer_are_both_dialled() -> None:
    async with nodes((QUIC, TCP), ()) as (one, two):
        peer = one.swarm.local_peer
        await two.swarm.dial(peer, one.swarm.listen_addrs())
        assert isinstance(two.swarm.best(peer), QuicConnection | UpgradedConnection)


async def test_a_dial_for_autonat_comes_from_a_port_that_the_peer_has_never_sent_to_and_leaves_nothing() -> None:
    """A router that lets answers in would let in the port that a connection goes to, and nobody else."""
    async with nodes((QUIC,), (QUIC,)) as (asker, server):
        await asker.connect(quic_addr(server))
        await eventually(server.peers)
        sockets = len(os.listdir("/proc/self/fd"))
        probe = await server.swarm.probe(asker.swarm.local_peer, quic_addr(asker), 5)
        await eventually(lambda: len(asker.peers()) == 2)
        ports = {addr.quic_endpoint()[1] for c in asker.swarm.connections() if (addr := c.remote_addr)}
        assert len(ports) == 2 and endpoint(server)[1] in ports
        probe.close("over")
        await eventually(lambda: len(asker.peers()) == 1)
        assert len(os.listdir("/proc/self/fd")) == sockets
        with pytest.raises(TimeoutError):
            await server.swarm.probe(asker.swarm.local_peer, Multiaddr.parse("/ip4/127.0.0.1/udp/9/quic-v1"), 0.3)
        await eventually(lambda: len(os.listdir("/proc/self/fd")) == sockets)


async def test_garbage_and_broken_beginnings_disturb_nobody() -> None:
    async with nodes((QUIC,), ()) as (one, two):
        await two.connect(quic_addr(one))
        target, rng = endpoint(one), random.Random(7)
        client = Qh3Core.dialling(identity(1), target, SAFE_DATAGRAM, 0.0)
        (hello,) = datagrams_of(client, 0.0)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for _ in range(200):
                sock.sendto(rng.randbytes(rng.randrange(0, 1500)), target)
            for at in range(0, len(hello), 7):
                sock.sendto(hello[:at] + bytes((hello[at] ^ 0xFF,)) + hello[at + 1 :], target)
            await asyncio.sleep(0)
        assert [rtt async for rtt in two.ping(str(one.swarm.local_peer), 1)]
        assert len(one.peers()) == 1


async def test_half_open_handshakes_are_bounded_and_further_ones_prove_their_address() -> None:
    async with nodes((QUIC,), ()) as (one, two):
        target = endpoint(one)
        answers = []
        for number in range(UNPROVEN_HANDSHAKES.amount + 8):
            client = Qh3Core.dialling(identity(number % 3), target, SAFE_DATAGRAM, 0.0)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.settimeout(5)
                for datagram in datagrams_of(client, 0.0):
                    sock.sendto(datagram, target)
                answers.append(opening(await asyncio.to_thread(sock.recv, 2000)))
        transport = next(t for t in one.swarm._transports if isinstance(t, QuicTransport))
        assert len(transport._unproven) == UNPROVEN_HANDSHAKES.amount
        assert [bool(answer and answer.token) for answer in answers] == [False] * UNPROVEN_HANDSHAKES.amount + [
            True
        ] * 8
        await two.connect(quic_addr(one))  # an honest peer proves its address and comes in
        assert len(two.peers()) == 1


async def test_an_answer_to_a_forged_source_is_at_most_three_times_as_long() -> None:
    async with nodes((QUIC,)) as (one,):
        target = endpoint(one)
        client = Qh3Core.dialling(identity(1), target, SAFE_DATAGRAM, 0.0)
        sent = got = 0
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(1.5)
            for datagram in datagrams_of(client, 0.0):
                sock.sendto(datagram, target)
                sent += len(datagram)
            try:
                while True:
                    got += len(await asyncio.to_thread(sock.recv, 2000))
            except TimeoutError:
                pass
        assert 0 < got <= 3 * sent


async def test_a_peer_that_vanishes_mid_transfer_ends_its_streams() -> None:
    async with nodes((QUIC,), ()) as (one, two):
        one.swarm.handlers["/echo"] = echo
        await two.connect(quic_addr(one))
        stream = await two.swarm.open_stream(one.swarm.local_peer, ["/echo"])
        await stream.write(b"hello")
        assert await stream.read_exactly(5) == b"hello"
        one.swarm.disconnect(two.swarm.local_peer)
        with pytest.raises(CideryError):
            await stream.read(1)


async def test_nothing_is_left_of_connections_that_ended() -> None:
    async with nodes((QUIC,), ()) as (one, two):
        for _ in range(5):
            await two.connect(quic_addr(one))
            two.swarm.disconnect(one.swarm.local_peer)
            await eventually(lambda: not one.peers())
        for node in (one, two):
            transport = next(t for t in node.swarm._transports if isinstance(t, QuicTransport))
            assert not transport._ids and not transport._targets and not transport._unproven


class LossyLine(asyncio.DatagramProtocol):
    """Between a dialler and ``target``: loses some datagrams and lets others overtake."""

    def __init__(self, target: tuple[str, int], lost: float, late: float) -> None:
        self._target, self._lost, self._late = target, lost, late
        self._random = random.Random(5)
        self._dialler: tuple[str, int] | None = None
        self.dropped = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if addr != self._target:
            self._dialler = addr
        to = self._target if addr != self._target else self._dialler
        if self._random.random() < self._lost:
            self.dropped += 1
            return
        delay = 0.01 if self._random.random() < self._late else 0.0
        asyncio.get_running_loop().call_later(delay, self._transport.sendto, data, to)


async def test_bytes_arrive_whole_over_a_line_that_loses_and_reorders() -> None:
    async with nodes((QUIC,), ()) as (one, two):
        one.swarm.handlers["/echo"] = echo
        loop = asyncio.get_running_loop()
        made, line = await loop.create_datagram_endpoint(
            lambda: LossyLine(endpoint(one), 0.03, 0.02), local_addr=("127.0.0.1", 0)
        )
        try:
            through = Multiaddr.quic(*made.get_extra_info("sockname")[:2])
            await two.connect(through.with_peer(one.swarm.local_peer.multihash))
            stream = await two.swarm.open_stream(one.swarm.local_peer, ["/echo"])
            data = os.urandom(300_000)
            sending = asyncio.create_task(stream.write(data))
            assert await stream.read_exactly(len(data)) == data
            await sending
            assert line.dropped > 5
        finally:
            made.close()


async def test_a_device_that_cannot_segment_is_sent_single_datagrams() -> None:
    class NoSegments:
        """What a batch meets where only the kernel can segment: it is refused until segmentation is off."""

        off = False

        def recv(self) -> Datagrams:
            raise BlockingIOError

        def send(self, datagrams: list[bytes], addr: tuple[object, ...]) -> int:
            if not self.off:
                raise OSError(errno.EIO, "Input/output error")
            for datagram in datagrams:
                sock._socket.sendto(datagram, addr)
            return len(datagrams)

        def disable_gso(self) -> None:
            self.off = True

    sock = UdpSocket.bound("127.0.0.1", 0, lambda _: None)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as reader:
        reader.bind(("127.0.0.1", 0))
        reader.settimeout(5)
        sock.batch_by(lambda _: NoSegments())
        sock.send([b"one", b"two"], reader.getsockname())
        assert [reader.recv(10), reader.recv(10)] == [b"one", b"two"]
    sock.close()


async def test_a_peer_learns_at_its_next_datagram_that_a_node_was_killed_and_has_begun_anew() -> None:
    key = PrivateKey.generate_ed25519(os.urandom)
    async with nodes(()) as (two,):
        killed = NodeNetwork(key, MemoryStore(), quic=True)
        await killed.start((QUIC,))
        addr = quic_addr(killed)
        await two.connect(addr)
        transport = next(t for t in killed.swarm._transports if isinstance(t, QuicTransport))
        transport.close()  # as a kill does: nobody is told
        again = NodeNetwork(key, MemoryStore(), quic=True)
        await again.start((addr.without_peer(),))
        try:
            (connection,) = two.swarm.connections()
            began = time.monotonic()
            connection.ping()
            await eventually(connection.closed.done)
            assert time.monotonic() - began < 2.0
        finally:
            await again.close()
            await killed.close()


async def test_both_versions_of_ip_have_the_same_port_and_are_dialled() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    everywhere = tuple(Multiaddr.parse(f"/{host}/udp/{port}/quic-v1") for host in ("ip4/0.0.0.0", "ip6/::"))
    async with nodes(everywhere, (), ()) as (one, *others):
        assert tuple(one.swarm.listen_addrs()) == everywhere
        for host, other in zip(("127.0.0.1", "::1"), others, strict=True):
            await other.connect(Multiaddr.quic(host, port).with_peer(one.swarm.local_peer.multihash))
            assert [Multiaddr.parse(peer.addr).host() for peer in other.peers()] == [host]


async def test_a_library_that_cannot_be_loaded_turns_quic_off_and_not_the_node(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with nodes((QUIC,), (QUIC, TCP)) as (one, two):
        monkeypatch.setitem(sys.modules, "cidery.libp2p.protocols.qh3_core", None)
        for _ in range(2):
            with pytest.raises(DialFailed, match="no transport here"):
                await two.connect(quic_addr(one))
        assert [record.message for record in caplog.records if "QUIC is off" in record.message] == [
            record.message for record in caplog.records if "qh3 cannot be loaded" in record.message
        ]
        assert len([record for record in caplog.records if "QUIC is off" in record.message]) == 1
        tcp = next(addr for addr in two.swarm.listen_addrs() if addr.tcp_endpoint())
        await one.connect(tcp.with_peer(two.swarm.local_peer.multihash))


async def test_a_package_that_is_missing_is_told_once_and_leaves_tcp(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(network_parts, "find_spec", lambda name: None)
    async with nodes((QUIC, TCP)) as (one,):
        assert [addr for addr in one.listen_addrs() if "quic" in addr] == []
        assert one.listen_addrs() and "QUIC is off: the package qh3 is not installed" in caplog.text


def test_a_node_that_listens_on_quic_has_not_imported_the_library_yet() -> None:
    code = """
import asyncio, os, sys
from cidery.blockstore.memory import MemoryStore
from cidery.identity.keys import PrivateKey
from cidery.multiformats.multiaddr import Multiaddr
from cidery.node.network import NodeNetwork

async def main():
    node = NodeNetwork(PrivateKey.generate_ed25519(os.urandom), MemoryStore(), quic=True)
    await node.start((Multiaddr.parse("/ip4/127.0.0.1/udp/0/quic-v1"),))
    assert node.listen_addrs()
    print(sorted({name.partition(".")[0] for name in sys.modules} & {"qh3", "OpenSSL"}))
    await node.close()

asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
