"""Relays of ours between nodes of ours, and hostile ones, in virtual time."""

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager

import pytest

from cidery.core.diagnosis.facts import ProviderAnswer
from cidery.kad.service import KadOptions
from cidery.libp2p.io.connection import Connection, Limited
from cidery.libp2p.io.dial_errors import DialFailed
from cidery.libp2p.io.reservations import Reservations
from cidery.libp2p.io.stream import Stream
from cidery.libp2p.protocols import autonat
from cidery.libp2p.protocols.dcutr import ATTEMPTS, HolePunch, PunchType
from cidery.libp2p.protocols.muxed_stream import StreamReset
from cidery.libp2p.protocols.relay_messages import (
    HOP,
    MAX_MESSAGE,
    STOP,
    Granted,
    HopMessage,
    HopType,
    Peer,
    Status,
    StopMessage,
    StopType,
)
from cidery.libp2p.protocols.relay_server import RelayLimits
from cidery.libp2p.protocols.relayed import DCUTR, through
from cidery.multiformats.cid import CID
from cidery.multiformats.multiaddr import Multiaddr
from cidery.node.relays import RelayOptions
from cidery.routing.interface import FoundPeer
from cidery.testing.memory_network import Link, MemoryNetwork
from cidery.testing.memory_node import MemoryNode, running
from cidery.testing.virtual_clock import run_virtual

LINK = Link(0.02)
ROUTER = "82.1.1.1"
FLOW = "/test/flow"


def _relay(network: MemoryNetwork) -> MemoryNode:
    return MemoryNode(network, 1, public=True, relays=RelayOptions(client=False, service=RelayLimits()))


def _behind(network: MemoryNetwork, number: int, *relays: MemoryNode, punch: bool = False) -> MemoryNode:
    """Nobody can dial it."""
    static = {relay.peer: [relay.addr.without_peer()] for relay in relays}
    return MemoryNode(network, number, public=True, router=ROUTER, relays=RelayOptions(static=static, punch=punch))


def _user(network: MemoryNetwork, number: int, *, punch: bool = False) -> MemoryNode:
    return MemoryNode(network, number, public=True, relays=RelayOptions(client=False, punch=punch))


def _open_to_all(relay: MemoryNode) -> None:
    """Three servers have said that it is public."""
    for server in (b"1", b"2", b"3"):
        relay.network.autonat.reachability.answered(relay.addr.without_peer().encode(), server, True)


def _reservations(node: MemoryNode) -> Reservations:
    assert node.network.relays is not None and node.network.relays.reservations is not None
    return node.network.relays.reservations


def _at(relay: MemoryNode, node: MemoryNode) -> Multiaddr:
    return through(relay.peer, relay.addr.without_peer()).with_peer(node.peer.multihash)


def _through(relay: MemoryNode, node: MemoryNode) -> Connection:
    """The relayed connection that a node has."""
    (found,) = [one for one in node.connections if one.relayed]
    return found


async def _reserved(node: MemoryNode, count: int = 1) -> None:
    async with asyncio.timeout(300):
        while len(_reservations(node).addrs()) < count:
            await asyncio.sleep(1.0)


@contextmanager
def _dishonest(*connections: Connection) -> Iterator[None]:
    """Peers that do not care that a connection is limited."""
    for connection in connections:
        connection.limited = False
        connection.config = type(connection.config)(
            {FLOW: _swallow}, connection.config.timeouts, connection.config.clock, connection.config.traffic
        )
    yield


async def _swallow(stream: Stream) -> None:
    while await stream.read(1 << 16):
        pass


def _three(seed: int, main: Callable[[MemoryNetwork, MemoryNode, MemoryNode, MemoryNode], Awaitable[None]]) -> None:
    """A relay that is open to all, a node behind it, and one that wants to reach that."""

    async def begin() -> None:
        network = MemoryNetwork(seed, LINK)
        relay = _relay(network)
        behind, user = _behind(network, 2, relay), _user(network, 3)
        async with running([relay, behind, user]):
            _open_to_all(relay)
            await _reserved(behind)
            await main(network, relay, behind, user)

    run_virtual(begin())


def test_a_node_behind_a_nat_is_reached_through_a_relay_but_content_is_not_sent() -> None:
    async def main(network: MemoryNetwork, relay: MemoryNode, behind: MemoryNode, user: MemoryNode) -> None:
        assert str(_at(relay, behind)) in behind.network.identity().addresses
        await user.network.connect(_at(relay, behind))
        connection = _through(relay, user)
        assert connection.limited and _through(relay, behind).limited
        assert [taken async for taken in user.network.ping(behind.name, 2)]
        with pytest.raises(Limited, match="a relay with limits only"):
            await connection.open_stream(["/ipfs/bitswap/1.2.0"])
        assert behind.name not in user.network.bitswap_stat().peers
        assert user.network.swarm.best(behind.peer) is None
        assert [one.limited for one in user.network.peers() if one.peer == behind.name] == [True]

    _three(1, main)


def test_a_hidden_node_dials_a_public_one_back_and_content_takes_that_way() -> None:
    async def main() -> None:
        network = MemoryNetwork(12, LINK)
        relay = _relay(network)
        behind, user = _behind(network, 2, relay, punch=True), _user(network, 3, punch=True)
        async with running([relay, behind, user]):
            _open_to_all(relay)
            await _reserved(behind)
            data = random.Random(12).randbytes(2 << 20)
            cid = await behind.add(data)
            await user.network.connect(_at(relay, behind))
            assert await user.read(cid) == data
            await asyncio.sleep(10.0)
            assert [one.relayed for one in user.connections if one.peer == behind.peer] == [False]
            view = behind.network.relaying()
            assert view is not None and "plain dial: direct at" in view.punches[user.name][0]

    run_virtual(main())


def test_who_has_given_an_attempt_up_is_answered_at_the_next_though_ours_still_runs() -> None:
    async def main() -> None:
        network = MemoryNetwork(13, LINK)
        relay = _relay(network)
        behind, user = _behind(network, 2, relay), _user(network, 3, punch=True)
        async with running([relay, behind, user]):
            _open_to_all(relay)
            await _reserved(behind)
            await user.network.connect(_at(relay, behind))
            nowhere = HolePunch(PunchType.CONNECT, (Multiaddr.parse("/ip4/82.1.1.1/tcp/1").encode(),))
            for _ in range(ATTEMPTS):
                stream = await _through(relay, behind).open_stream([DCUTR])
                await stream.write_message(nowhere.encode())
                HolePunch.expected(await stream.read_message(MAX_MESSAGE), PunchType.CONNECT)
                await stream.write_message(HolePunch(PunchType.SYNC).encode())
                assert await stream.read(1) == b"", "taken, and not refused"
            await asyncio.sleep(30.0)
            assert user.network.relays is not None and user.network.relays.punching is not None
            assert user.network.relays.punching._direct == {}

    run_virtual(main())


def test_inbound_streams_of_other_protocols_find_no_handler() -> None:
    async def main(network: MemoryNetwork, relay: MemoryNode, behind: MemoryNode, user: MemoryNode) -> None:
        await behind.serve(FLOW, _swallow)
        await user.network.connect(_at(relay, behind))
        connection = _through(relay, user)
        connection.limited = False
        with pytest.raises(Exception, match="does not speak|not supported|none of"):
            await connection.open_stream([FLOW])

    _three(2, main)


def test_a_circuit_ends_at_its_bytes_and_at_its_time() -> None:
    async def main(network: MemoryNetwork, relay: MemoryNode, behind: MemoryNode, user: MemoryNode) -> None:
        await user.network.connect(_at(relay, behind))
        near, far = _through(relay, user), _through(relay, behind)
        with _dishonest(near, far):
            stream = await near.open_stream([FLOW])
            for _ in range(100):
                await stream.write(bytes(1000))
            assert not near.closed.done()
            with pytest.raises(StreamReset):
                for _ in range(100):
                    await stream.write(bytes(1000))
                    await asyncio.sleep(0.1)
        assert near.closed.done()
        await user.network.connect(_at(relay, behind))
        again = _through(relay, user)
        await asyncio.sleep(119.0)
        assert not again.closed.done()
        await asyncio.sleep(2.0)
        assert again.closed.done()
        service = relay.network.relays and relay.network.relays.service
        assert service is not None and service.desk.circuits == 0

    _three(3, main)


def test_a_friend_is_fetched_from_without_limit() -> None:
    async def main() -> None:
        network = MemoryNetwork(4, LINK)
        relay = _relay(network)
        behind, user, other = _behind(network, 2, relay), _user(network, 3), _user(network, 4)
        async with running([relay, behind, user, other]):
            relay.network.peering_add([Multiaddr.parse(f"/p2p/{behind.name}")])
            await _reserved(behind)
            data = random.Random(4).randbytes(4 << 20)
            cid = await behind.add(data)
            await user.network.connect(_at(relay, behind))
            assert not _through(relay, user).limited
            assert await user.read(cid) == data
            with pytest.raises(DialFailed, match="has no reservation"):
                await behind.network.connect(_at(relay, other))

    run_virtual(main())


def test_a_reservation_is_renewed_for_hours_and_made_again_after_a_loss() -> None:
    async def main(network: MemoryNetwork, relay: MemoryNode, behind: MemoryNode, user: MemoryNode) -> None:
        service = relay.network.relays and relay.network.relays.service
        assert service is not None
        for _ in range(24):
            await asyncio.sleep(600.0)
            assert service.desk.reserved(asyncio.get_running_loop().time()) == [behind.peer]
        relay.network.swarm.disconnect(behind.peer)
        await asyncio.sleep(1.0)
        assert _reservations(behind).addrs() == []
        assert not any("circuit" in addr for addr in behind.network.identity().addresses)
        await _reserved(behind)

    _three(5, main)


def test_a_relay_serves_once_it_is_public_and_a_hidden_node_finds_two() -> None:
    async def main() -> None:
        network = MemoryNetwork(6, LINK)
        options = RelayOptions(service=RelayLimits())
        servers = [MemoryNode(network, n, public=True, kad=KadOptions(), relays=options) for n in range(1, 7)]
        hidden = MemoryNode(network, 9, public=True, router=ROUTER, kad=KadOptions(), relays=RelayOptions())
        user = _user(network, 10)
        async with running([*servers, hidden, user]):
            for node in (*servers[1:], hidden):
                await node.connect(servers[0])
            for one in servers:
                for other in servers:
                    if one is not other:
                        await one.connect(other)
            await asyncio.sleep(400.0)
            assert all(HOP in node.network.identity().protocols for node in servers)
            assert HOP not in hidden.network.identity().protocols
            relays = list(_reservations(hidden).relays.reservations)
            assert len(relays) == 2
            relay = next(node for node in servers if node.peer == relays[0])
            await user.network.connect(_at(relay, hidden))
            network.kill(relay.address)
            await asyncio.sleep(200.0)
            left = list(_reservations(hidden).relays.reservations)
            assert len(left) == 2 and relay.peer not in left, "the one that vanished is replaced"

    run_virtual(main())


# --- hostile ones


def _answering(answer: HopMessage) -> Callable[[Stream], Awaitable[None]]:
    async def hop(stream: Stream) -> None:
        await stream.read_message(MAX_MESSAGE)
        await stream.write_message(answer.encode())

    return hop


VICTIM = Multiaddr.parse("/ip4/10.0.0.9/tcp/22")


@pytest.mark.parametrize(
    "grant",
    [
        Granted(0),
        Granted(2**63),
        Granted(2**63, (b"\x04",)),
        Granted(2**63, (VICTIM.encode(),)),
        Granted(2**63, (Multiaddr.parse("/p2p-circuit").encode(),)),
    ],
    ids=["in the past", "nowhere", "garbage", "a private address", "a circuit"],
)
def test_a_relay_that_lies_about_its_reservation_gets_no_announcement(grant: Granted) -> None:
    async def main() -> None:
        network = MemoryNetwork(7, LINK)
        liar = MemoryNode(network, 1, public=True)
        behind = _behind(network, 2, liar)
        async with running([liar, behind]):
            answer = HopMessage(HopType.STATUS, granted=grant, status=Status.OK)
            await liar.serve(HOP, _answering(answer))
            await asyncio.sleep(30.0)
            assert _reservations(behind).addrs() == [] and _reservations(behind).failures
            assert not any("circuit" in addr for addr in behind.network.identity().addresses)

    run_virtual(main())


def test_a_relay_that_brings_another_than_it_named_or_without_a_reservation_is_refused() -> None:
    async def main(network: MemoryNetwork, relay: MemoryNode, behind: MemoryNode, user: MemoryNode) -> None:
        async def bring(node: MemoryNode, peer: MemoryNode) -> int:
            stream = await relay.open(node, STOP)
            await stream.write_message(StopMessage(StopType.CONNECT, Peer(peer.peer)).encode())
            return StopMessage.decode(await stream.read_message(MAX_MESSAGE) or b"").status

        assert await bring(behind, user) == Status.OK
        assert await bring(behind, relay) == Status.PERMISSION_DENIED
        assert await bring(behind, behind) == Status.PERMISSION_DENIED
        await user.connect(relay)
        assert await bring(user, behind) == Status.PERMISSION_DENIED
        stream = await relay.open(behind, STOP)
        await stream.write_message(b"\xff\xff")
        assert StopMessage.decode(await stream.read_message(MAX_MESSAGE) or b"").status == Status.MALFORMED

    _three(8, main)


def test_a_relay_that_vanishes_does_not_stop_a_fetch() -> None:
    async def main() -> None:
        network = MemoryNetwork(9, Link(0.02, bandwidth=1e6))
        relay = _relay(network)
        behind, user, other = _behind(network, 2, relay), _user(network, 3), _user(network, 4)
        async with running([relay, behind, user, other]):
            relay.network.peering_add([Multiaddr.parse(f"/p2p/{behind.name}")])
            await _reserved(behind)
            data = random.Random(9).randbytes(8 << 20)
            cid = await behind.add(data)
            assert await other.add(data) == cid
            await user.network.connect(_at(relay, behind))
            reading = asyncio.create_task(user.read(cid))
            await asyncio.sleep(1.5)
            assert not reading.done()
            network.kill(relay.address)
            await user.connect(other)
            assert await reading == data

    run_virtual(main())


def test_nobody_is_asked_about_reachability_through_a_relay() -> None:
    async def main() -> None:
        network = MemoryNetwork(10, LINK)
        relay = _relay(network)
        behind, user = _behind(network, 2, relay), _user(network, 3)
        async with running([relay, behind, user]):
            relay.network.peering_add([Multiaddr.parse(f"/p2p/{behind.name}")])
            await _reserved(behind)
            await user.network.connect(_at(relay, behind))
            connection = _through(relay, user)
            assert not connection.limited, "so that only AutoNAT itself can refuse"
            stream = await connection.open_stream([autonat.DIAL_REQUEST])
            request = autonat.DialRequest((user.addr.without_peer().encode(),), 7)
            await stream.write_message(request.encode())
            answer = autonat.decode(await stream.read_message(autonat.MAX_MESSAGE) or b"")
            assert answer == autonat.DialResponse(autonat.REJECTED)

    run_virtual(main())


def test_a_request_for_a_peer_beyond_two_relays_is_not_dialled() -> None:
    async def main(network: MemoryNetwork, relay: MemoryNode, behind: MemoryNode, user: MemoryNode) -> None:
        double = Multiaddr.parse(f"{_at(relay, behind)}/p2p-circuit/p2p/{relay.name}")
        with pytest.raises(DialFailed, match="no transport here"):
            await user.network.connect(double)

    _three(11, main)


@pytest.mark.parametrize("symmetric", [False, True], ids=["both keep ports", "one is symmetric"])
def test_two_hidden_nodes_punch_where_their_nats_keep_ports(symmetric: bool) -> None:
    async def main() -> None:
        network = MemoryNetwork(13, LINK)
        relay = _relay(network)
        behind = _behind(network, 2, relay, punch=True)
        options = RelayOptions(client=False, punch=True)
        user = MemoryNode(network, 3, public=True, router="83.1.1.1", relays=options)
        network.set_nat(user.address, "83.1.1.1", symmetric=symmetric)
        async with running([relay, behind, user]):
            _open_to_all(relay)
            await _reserved(behind)
            data = random.Random(13).randbytes(1 << 20)
            cid = await behind.add(data)
            began = asyncio.get_running_loop().time()
            await user.network.connect(_at(relay, behind))
            reading = asyncio.create_task(user.read(cid))
            await asyncio.sleep(60.0)
            view = behind.network.relaying()
            assert view is not None
            said = view.punches[user.name]
            if symmetric:
                assert [line for line in said if "attempt" in line and "no answer" in line] and not reading.done()
                assert user.network.swarm.best(behind.peer) is None
                reading.cancel()
            else:
                assert "attempt 1: direct at" in said[-1] and await reading == data
                (made,) = [one for one in user.connections if one.peer == behind.peer]
                assert not made.relayed and made.opened_at - began < 5.0 + 5.0

    run_virtual(main())


class _Names:
    """A router that knows one provider."""

    def __init__(self, found: FoundPeer) -> None:
        self._found = found

    async def find_providers(self, cid: CID, count: int = 0) -> AsyncGenerator[FoundPeer, None]:
        yield self._found


@pytest.mark.parametrize("punch", [False, True], ids=["relayed only", "dialled back"])
def test_why_says_what_became_of_a_provider_behind_a_relay(punch: bool) -> None:
    async def main() -> None:
        network = MemoryNetwork(14, LINK)
        relay = _relay(network)
        behind, user = _behind(network, 2, relay, punch=punch), _user(network, 3, punch=punch)
        async with running([relay, behind, user]):
            _open_to_all(relay)
            await _reserved(behind)
            cid = await behind.add(b"data")
            user.network.routing.providers.append(_Names(FoundPeer(behind.peer, (_at(relay, behind).without_peer(),))))
            last: ProviderAnswer | None = None
            async with aclosing(user.network.diagnosis().look(cid, dial=True)) as facts:
                async for fact in facts:
                    last = fact if isinstance(fact, ProviderAnswer) else last
            assert last is not None
            if punch:
                assert last.state == "connected"
            else:
                assert last.state == "failed" and "a relay with limits only" in last.failure
            standing = behind.network.diagnosis().standing()
            assert standing.relayed.startswith("Others reach this node through a relay, as /ip4/81.1.0.1/tcp/4001/p2p/")

    run_virtual(main())
