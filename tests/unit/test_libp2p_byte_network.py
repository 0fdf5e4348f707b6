"""Byte streams of the operating system: what is asked of its TCP."""

import asyncio
import socket
import struct

import pytest

from cidery.libp2p.io import byte_network
from cidery.libp2p.io.byte_network import LONG_ROUND_TRIP, ROUND_TRIP_AT, suit_distance

CONGESTION = getattr(socket, "TCP_CONGESTION", 0)
only_linux = pytest.mark.skipif(not CONGESTION, reason="only Linux lets a program choose")


class Over(asyncio.Transport):
    def __init__(self, sock: object) -> None:
        super().__init__({"socket": sock})


class System:
    """A socket of a system that allows some rules, and has measured a round trip."""

    def __init__(self, allowed: set[bytes], round_trip: float, rule: bytes = b"bbr") -> None:
        self.allowed, self.rule = allowed, rule
        self.info = bytes(ROUND_TRIP_AT) + struct.pack("=I", int(1e6 * round_trip))

    def getsockopt(self, level: int, option: int, size: int) -> bytes:
        assert level == socket.IPPROTO_TCP
        return self.rule.ljust(16, b"\0") if option == CONGESTION else self.info[:size]

    def setsockopt(self, level: int, option: int, value: bytes) -> None:
        assert (level, option) == (socket.IPPROTO_TCP, CONGESTION)
        if value not in self.allowed:
            raise PermissionError
        self.rule = value


@only_linux
@pytest.mark.parametrize(
    ("allowed", "round_trip", "becomes"),
    [
        ({b"cubic", b"reno"}, LONG_ROUND_TRIP, b"cubic"),
        ({b"reno"}, 10.0, b"reno"),
        (set(), 10.0, b"bbr"),
        ({b"cubic", b"reno"}, 0.9 * LONG_ROUND_TRIP, b"bbr"),
    ],
)
def test_bbr_is_left_over_a_long_line_if_the_system_allows_it(allowed: set[bytes], round_trip: float, becomes: bytes):
    sock = System(allowed, round_trip)
    suit_distance(Over(sock))
    assert sock.rule == becomes


@only_linux
def test_another_rule_stays_over_a_long_line():
    sock = System({b"cubic", b"reno"}, 10.0, rule=b"vegas")
    suit_distance(Over(sock))
    assert sock.rule == b"vegas"


def test_what_has_no_socket_or_a_closed_one_is_left_alone():
    closed = socket.socket()
    closed.close()
    for sock in (None, closed):
        suit_distance(Over(sock))


@only_linux
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_the_round_trip_is_what_the_system_measured(loop: str, monkeypatch: pytest.MonkeyPatch):
    uvloop = pytest.importorskip("uvloop") if loop == "uvloop" else None

    async def rules(least: float) -> bytes:
        monkeypatch.setattr(byte_network, "LONG_ROUND_TRIP", least)
        server = await asyncio.start_server(lambda _, accepted: accepted.close(), "127.0.0.1", 0)
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        sock = writer.get_extra_info("socket")
        try:
            sock.setsockopt(socket.IPPROTO_TCP, CONGESTION, b"bbr")
        except OSError as exc:
            pytest.skip(f"the system does not let programs choose BBR: {exc}")
        try:
            suit_distance(writer.transport)
            return sock.getsockopt(socket.IPPROTO_TCP, CONGESTION, 16).rstrip(b"\0")
        finally:
            writer.close()
            await writer.wait_closed()
            server.close()
            await server.wait_closed()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop if uvloop else None) as runner:
        assert runner.run(rules(0.5)) == b"bbr", "on loopback"
        assert runner.run(rules(1e-6)) in (b"cubic", b"reno"), "some microseconds were measured"
