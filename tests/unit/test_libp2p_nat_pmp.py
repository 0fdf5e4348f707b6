"""NAT-PMP: the machine against a gateway in virtual time, and the socket against one on loopback."""

import asyncio
import sys
import time
from ipaddress import IPv4Address

import pytest

from cidery.libp2p.io.nat_pmp import NatPmpRouter, default_gateway
from cidery.libp2p.io.port_mapping import Carrier, Port, PortMapping, PortMappings
from cidery.libp2p.protocols.nat_pmp import (
    CHECK_EVERY,
    FIRST_WAIT,
    LEAST_RENEWAL,
    LIFETIME,
    MAX_TRIES,
    TCP_OPCODE,
    UDP_OPCODE,
    AddressAnswer,
    Epoch,
    MappingAnswer,
    NatPmp,
    NatPmpError,
    Refusal,
    decode,
    encode_address_request,
    encode_mapping_request,
)
from cidery.multiformats.multiaddr import Multiaddr
from peers.nat_pmp_gateway import Gateway, serve

OUTSIDE = "203.0.113.7"


class Line:
    """A machine and a gateway, and the time between them."""

    def __init__(self, opcode: int = TCP_OPCODE) -> None:
        self.now = 1000.0
        self.gateway = Gateway(OUTSIDE, lambda: self.now)
        self.up = True
        self.sent: list[tuple[float, bytes]] = []
        self.machine = NatPmp(opcode, 4001, self.now)
        self._carry()

    def _carry(self) -> None:
        while (out := self.machine.data_to_send()) is not None:
            self.sent.append((self.now, out))
            if self.up and (answer := self.gateway.answer(out, "192.168.1.2")) is not None:
                self.machine.receive_data(answer, self.now)

    def run(self, seconds: float) -> None:
        until = self.now + seconds
        while not self.machine.failure and self.machine.next_deadline() <= until:
            self.now = self.machine.next_deadline()
            self.machine.handle_deadline(self.now)
            self._carry()
        self.now = until


def test_the_port_is_mapped_in_two_exchanges_that_look_as_in_the_specification():
    line = Line()
    assert [data.hex() for _, data in line.sent] == ["0000", "000200000fa10fa100001c20"]
    assert line.machine.outside == (IPv4Address(OUTSIDE), 4001) and not line.machine.failure
    assert line.machine.release().hex() == "000200000fa1000000000000"


def test_answers_look_as_in_the_specification():
    assert decode(bytes.fromhex("0080000000000010cb007107")) == AddressAnswer(16, IPv4Address(OUTSIDE))
    assert decode(bytes.fromhex("00820000000000100fa10fa200000e10")) == MappingAnswer(16, TCP_OPCODE, 4001, 4002, 3600)
    udp = MappingAnswer(16, UDP_OPCODE, 4001, 4002, 3600)
    assert decode(bytes.fromhex("00810000000000100fa10fa200000e10")) == udp
    assert decode(udp.encode()) == udp
    assert decode(bytes.fromhex("0082000300000010")) == Refusal(16, 2, 3)


def test_a_udp_port_is_mapped_renewed_and_released_by_the_opcode_of_its_own():
    line = Line(UDP_OPCODE)
    assert line.machine.outside == (IPv4Address(OUTSIDE), 4001)
    line.run(LIFETIME)
    assert {data.hex() for _, data in line.sent if len(data) > 2} == {"000100000fa10fa100001c20"}
    assert line.gateway.mappings == {("192.168.1.2", UDP_OPCODE, 4001): (4001, LIFETIME)}
    assert line.machine.release().hex() == "000100000fa1000000000000"


@pytest.mark.parametrize(
    "data", ["", "00", "0000", "0280000000000010cb007107", "008000000000001000", "0085000000000010"]
)
def test_what_is_no_answer_is_refused(data: str):
    with pytest.raises(NatPmpError, match="^nat-pmp: "):
        decode(bytes.fromhex(data))


def test_another_port_outside_is_taken_as_it_is_given_and_asked_for_again():
    line = Line()
    line.gateway.taken = {4001, 4002}
    line.gateway.restart()
    line.run(LIFETIME)
    assert line.machine.outside == (IPv4Address(OUTSIDE), 4003)
    assert line.sent[-1][1] in (encode_mapping_request(TCP_OPCODE, 4001, 4003, LIFETIME), encode_address_request())


def test_a_silent_gateway_is_asked_nine_times_at_doubling_intervals_and_then_given_up():
    line = Line.__new__(Line)
    line.now, line.up, line.sent = 0.0, False, []
    line.gateway, line.machine = Gateway(OUTSIDE, lambda: line.now), NatPmp(TCP_OPCODE, 4001, 0.0)
    line._carry()
    line.run(1000)
    pauses = [after - before for (before, _), (after, _) in zip(line.sent, line.sent[1:], strict=False)]
    assert pauses == [FIRST_WAIT * 2**n for n in range(MAX_TRIES - 1)]
    assert line.machine.failure == "no answer" and line.machine.outside is None


def test_a_mapping_is_renewed_after_half_its_lifetime_and_looked_after_in_between():
    line = Line()
    line.run(LIFETIME)
    mapped = [at - 1000.0 for at, data in line.sent if len(data) > 2]
    assert mapped == [0.0, LIFETIME / 2, LIFETIME]
    checks = [at - 1000.0 for at, data in line.sent if len(data) == 2]
    assert checks[:3] == [0.0, CHECK_EVERY, 2 * CHECK_EVERY]


def test_a_gateway_that_gives_short_lifetimes_is_not_flooded():
    line = Line()
    line.gateway.longest = 1
    line.gateway.restart()
    line.run(CHECK_EVERY)  # noticed: mapped anew, for a second
    before = len(line.sent)
    line.run(LEAST_RENEWAL * 10)
    assert len(line.sent) - before <= 2 * 10


def test_a_gateway_that_started_anew_is_noticed_and_asked_again():
    line = Line()
    line.run(2 * CHECK_EVERY)
    line.gateway.restart()
    line.gateway.outside = IPv4Address("203.0.113.8")
    assert line.gateway.mappings == {}
    line.run(CHECK_EVERY)
    assert line.machine.outside == (IPv4Address("203.0.113.8"), 4001)
    assert line.gateway.mappings == {("192.168.1.2", 2, 4001): (4001, LIFETIME)}


@pytest.mark.parametrize(
    "epoch, after, anew", [(100, 0, False), (187, 100, False), (186, 100, False), (185, 100, True), (0, 100, True)]
)
def test_the_gateways_clock_may_run_slow_but_not_back(epoch: int, after: float, anew: bool):
    clock = Epoch()
    assert not clock.started_anew(100, 0.0)
    assert clock.started_anew(epoch, after) is anew


def test_a_refusal_ends_it_and_says_why():
    line = Line()
    line.gateway.refuses = True
    line.run(LIFETIME)
    assert line.machine.failure == "it has no ports left" and line.machine.outside is None


def test_a_gateway_without_an_address_or_that_gives_no_port_is_given_up():
    machine = NatPmp(TCP_OPCODE, 4001, 0.0)
    machine.receive_data(AddressAnswer(1, IPv4Address(0)).encode(), 0.0)
    assert machine.failure == "it has no address itself"
    machine = NatPmp(TCP_OPCODE, 4001, 0.0)
    machine.receive_data(AddressAnswer(1, IPv4Address(OUTSIDE)).encode(), 0.0)
    machine.receive_data(MappingAnswer(1, TCP_OPCODE, 4001, 0, 3600).encode(), 0.0)
    assert machine.failure == "it gives no port"


def test_answers_to_other_questions_change_nothing():
    machine = NatPmp(TCP_OPCODE, 4001, 0.0)
    for stray in (MappingAnswer(1, TCP_OPCODE, 4001, 4001, 60).encode(), Refusal(1, 2, 2).encode(), b"\x00", b""):
        machine.receive_data(stray, 0.0)
    assert not machine.failure and machine.outside is None
    machine.receive_data(AddressAnswer(1, IPv4Address(OUTSIDE)).encode(), 0.0)
    machine.receive_data(MappingAnswer(1, TCP_OPCODE, 5001, 5001, 60).encode(), 0.0)  # of another port
    machine.receive_data(MappingAnswer(1, UDP_OPCODE, 4001, 4001, 60).encode(), 0.0)  # of another protocol
    machine.receive_data(Refusal(1, UDP_OPCODE, 2).encode(), 0.0)
    assert machine.outside is None and not machine.failure


ROUTES = """Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
wlan0\t00000000\t{one}\t0003\t0\t0\t600\t00000000\t0\t0\t0
eth0\t00000000\t{two}\t0003\t0\t0\t100\t00000000\t0\t0\t0
eth0\t00000000\t00000000\t0001\t0\t0\t1\t00000000\t0\t0\t0
eth0\t{net}\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0
broken line
"""


def test_the_gateway_is_that_of_the_default_route_with_the_least_metric():
    def as_shown(address: str) -> str:
        return f"{int.from_bytes(IPv4Address(address).packed, sys.byteorder):08X}"

    table = ROUTES.format(one=as_shown("10.0.0.1"), two=as_shown("192.168.1.1"), net=as_shown("192.168.1.0"))
    assert default_gateway(table) == IPv4Address("192.168.1.1")
    assert default_gateway("") is None and default_gateway(ROUTES.format(one="x", two="1" * 99, net="")) is None


async def kept(port: int) -> tuple[PortMapping, asyncio.Event]:
    changed = asyncio.Event()
    made = PortMapping(
        lambda: Port(Carrier.TCP, 4001),
        changed.set,
        [NatPmpRouter(time.monotonic, lambda: IPv4Address("127.0.0.1"), port)],
    )
    made.start()
    return made, changed


async def test_a_port_is_mapped_by_nat_pmp_and_given_back():
    gateway = Gateway(OUTSIDE)
    served = await serve(gateway, "127.0.0.1", 0)
    made, changed = await kept(served.get_extra_info("sockname")[1])
    async with asyncio.timeout(5):
        await changed.wait()
    assert str(made.mapped) == f"/ip4/{OUTSIDE}/tcp/4001"
    assert gateway.mappings == {("127.0.0.1", 2, 4001): (4001, LIFETIME)}
    await made.close()
    assert gateway.mappings == {}
    served.close()


@pytest.mark.parametrize("refused", [(), (TCP_OPCODE,), (UDP_OPCODE,)])
async def test_tcp_and_udp_are_mapped_each_on_its_own_and_both_given_back(refused: tuple[int, ...]):
    gateway = Gateway(OUTSIDE)
    gateway.refused = set(refused)
    served = await serve(gateway, "127.0.0.1", 0)
    router = NatPmpRouter(time.monotonic, lambda: IPv4Address("127.0.0.1"), served.get_extra_info("sockname")[1])
    bound = [Multiaddr.parse(f"/ip4/0.0.0.0/{one}") for one in ("tcp/4001", "udp/4002/quic-v1")]
    outside = {TCP_OPCODE: f"/ip4/{OUTSIDE}/tcp/4001", UDP_OPCODE: f"/ip4/{OUTSIDE}/udp/4002/quic-v1"}
    wanted = [text for opcode, text in outside.items() if opcode not in refused]
    made = PortMappings(lambda: bound, lambda: None, [router])
    made.start()
    async with asyncio.timeout(5):
        while list(map(str, made.mapped)) != wanted or len(gateway.asked) < 2:
            await asyncio.sleep(0.01)
    assert {opcode for _, opcode, _ in gateway.mappings} == set(outside) - set(refused)
    await made.close()
    assert gateway.mappings == {}
    served.close()


async def test_a_closed_port_at_the_gateway_ends_it_at_once():
    served = await serve(Gateway(OUTSIDE), "127.0.0.1", 0)
    port = served.get_extra_info("sockname")[1]
    served.close()
    await asyncio.sleep(0)
    router = NatPmpRouter(time.monotonic, lambda: IPv4Address("127.0.0.1"), port)
    with pytest.raises(OSError, match="refused"):
        async with asyncio.timeout(5):
            await router.keep(Port(Carrier.TCP, 4001), lambda _: True)
