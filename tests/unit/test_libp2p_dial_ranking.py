"""Head starts of the addresses of a peer, and how a dial obeys them, in virtual time."""

import asyncio

import pytest

from cidery.identity.peer_id import PeerId
from cidery.libp2p.io.peer_dial import PeerDial
from cidery.libp2p.protocols.dial_ranking import NEAR_STEP, PUBLIC_STEP, RELAY_STEP, Ranked, ranked
from cidery.libp2p.protocols.pending import Pending
from cidery.multiformats.multiaddr import Multiaddr
from cidery.multiformats.multihash import SHA2_256, multihash
from cidery.testing.virtual_clock import run_virtual

PEER = PeerId(multihash(SHA2_256, b"peer"))
QUIC4, QUIC6 = "/ip4/81.2.3.4/udp/4001/quic-v1", "/ip6/2a00::1/udp/4001/quic-v1"
TCP4, TCP6 = "/ip4/81.2.3.4/tcp/4001", "/ip6/2a00::1/tcp/4001"
LAN_QUIC, LAN_TCP = "/ip4/192.168.1.5/udp/4001/quic-v1", "/ip4/192.168.1.5/tcp/4001"
HERE_QUIC, HERE_TCP = "/ip4/127.0.0.1/udp/4001/quic-v1", "/ip4/127.0.0.1/tcp/4001"
RELAYED = f"/ip4/9.9.9.9/tcp/4001/p2p/{PEER}/p2p-circuit"


def is_quic(addr: Multiaddr) -> bool:
    return addr.quic_endpoint() is not None


def rank(*texts: str, round_trip: float | None = None) -> Ranked:
    return ranked([Multiaddr.parse(text) for text in texts], is_quic=is_quic, round_trip=lambda _: round_trip)


@pytest.mark.parametrize(
    ("addrs", "round_trip", "delays"),
    [
        ([TCP4, QUIC4], None, {QUIC4: 0.0, TCP4: PUBLIC_STEP}),
        ([TCP4], None, {TCP4: 0.0}),
        (
            [TCP4, TCP6, QUIC4, QUIC6],
            0.08,
            {QUIC6: 0.0, QUIC4: PUBLIC_STEP, TCP6: 2 * PUBLIC_STEP, TCP4: 3 * PUBLIC_STEP},
        ),
        ([TCP4, QUIC4], 0.0019, {TCP4: 0.0, QUIC4: NEAR_STEP}),
        ([TCP4, QUIC4], 0.002, {QUIC4: 0.0, TCP4: PUBLIC_STEP}),
        ([LAN_QUIC, LAN_TCP], None, {LAN_TCP: 0.0, LAN_QUIC: NEAR_STEP}),
        ([LAN_QUIC, LAN_TCP], 0.03, {LAN_QUIC: 0.0, LAN_TCP: NEAR_STEP}),
        ([HERE_QUIC, HERE_TCP], None, {HERE_TCP: 0.0, HERE_QUIC: NEAR_STEP}),
        ([LAN_TCP, QUIC4, TCP4], None, {LAN_TCP: 0.0, QUIC4: 0.0, TCP4: PUBLIC_STEP}),
        ([RELAYED, TCP4], None, {TCP4: 0.0, RELAYED: RELAY_STEP}),
        ([RELAYED], None, {RELAYED: 0.0}),
        (["/dns4/a.example/tcp/1", "/dns6/a.example/tcp/1"], None, {"/dns6/a.example/tcp/1": 0.0}),
    ],
)
def test_who_goes_first(addrs: list[str], round_trip: float | None, delays: dict[str, float]) -> None:
    got = {str(addr): delay for addr, delay in rank(*addrs, round_trip=round_trip)}
    assert set(got) == set(addrs)
    assert {addr: got[addr] for addr in delays} == pytest.approx(delays)


class Answering:
    """Addresses that answer, or fail, after some seconds; notes when each was dialled."""

    def __init__(self, plan: dict[str, tuple[float, bool]]) -> None:
        self.plan = plan
        self.dialled: dict[str, float] = {}
        self.reason = ""

    async def dial(self, addr: Multiaddr, begun) -> "Answering":  # type: ignore[no-untyped-def]
        begun()
        self.dialled[str(addr)] = asyncio.get_running_loop().time()
        seconds, answers = self.plan[str(addr)]
        await asyncio.sleep(seconds)
        if not answers:
            raise OSError("refused")
        self.winner = str(addr)
        return self

    def close(self, reason: str) -> None:
        self.reason = reason


def race(plan: dict[str, tuple[float, bool]]) -> Answering:
    answering = Answering(plan)

    async def main() -> None:
        dial = PeerDial(
            PEER,
            answering.dial,  # type: ignore[arg-type]
            early=lambda _: 5.0,
            on_failure=lambda _: None,
            pending=Pending(100),
            rank=lambda addrs: ranked(addrs, is_quic=is_quic, round_trip=lambda _: None),
            clock=asyncio.get_running_loop().time,
        )
        began = asyncio.get_running_loop().time()
        dial.add(map(Multiaddr.parse, plan))
        await dial.run()
        answering.dialled = {addr: at - began for addr, at in answering.dialled.items()}

    run_virtual(main())
    return answering


def test_tcp_is_not_dialled_when_quic_answers_within_its_head_start() -> None:
    raced = race({TCP4: (0.05, True), QUIC4: (0.2, True)})
    assert raced.dialled == pytest.approx({QUIC4: 0.0}) and raced.winner == QUIC4


def test_tcp_wins_where_quic_is_dropped() -> None:
    raced = race({TCP4: (0.1, True), QUIC4: (30.0, False)})
    assert raced.dialled == pytest.approx({QUIC4: 0.0, TCP4: PUBLIC_STEP}) and raced.winner == TCP4


def test_a_head_start_ends_when_who_has_it_fails() -> None:
    raced = race({TCP4: (0.1, True), QUIC4: (0.01, False)})
    assert raced.dialled == pytest.approx({QUIC4: 0.0, TCP4: 0.01}, abs=0.002) and raced.winner == TCP4


def test_addresses_without_a_head_start_begin_at_once() -> None:
    raced = race({LAN_TCP: (0.2, True), QUIC4: (0.3, True), TCP4: (0.3, True)})
    assert raced.dialled == pytest.approx({LAN_TCP: 0.0, QUIC4: 0.0}) and raced.winner == LAN_TCP
