"""TCP over a line of seconds: what is asked of the system's."""

import asyncio
import socket
import struct
from math import inf

import pytest

from cidery.libp2p.io import long_line
from cidery.libp2p.io.long_line import (
    DRAINING,
    FIRST_WINDOW,
    LONG_ROUND_TRIP,
    LOOKS,
    OVERFLOWING,
    PROBING,
    QUEUED,
    REMEMBERED,
    REST,
    LongLine,
    Measured,
    at_most,
    measured,
    together,
)
from cidery.testing.virtual_clock import run_virtual

CONGESTION = getattr(socket, "TCP_CONGESTION", 0)
INFO = getattr(socket, "TCP_INFO", 0)
only_linux = pytest.mark.skipif(not CONGESTION or not INFO, reason="only Linux lets a program choose")
ANY = frozenset({b"cubic", b"reno"})


class Over(asyncio.Transport):
    def __init__(self, sock: object) -> None:
        super().__init__({"socket": sock})


class System:
    """A socket of a system that allows some rules, and has measured a line."""

    def __init__(self, allowed: frozenset[bytes], round_trip: float, rule: bytes = b"bbr") -> None:
        self.allowed, self.rule = allowed, rule
        self.line = Measured(round_trip, round_trip, 0.0, False)
        self.limits: list[int] = []
        self.looks = 0
        self.closed = False

    def getsockopt(self, level: int, option: int, size: int) -> bytes:
        assert level == socket.IPPROTO_TCP
        if self.closed:
            raise OSError
        if option == CONGESTION:
            return self.rule.ljust(16, b"\0")
        self.looks += 1
        info = bytearray(256)
        struct.pack_into("=I", info, 24, 7 if self.line.busy else 0)
        struct.pack_into("=I", info, 68, int(1e6 * self.line.round_trip))
        struct.pack_into("=I", info, 148, int(1e6 * self.line.least_round_trip))
        struct.pack_into("=Q", info, 120, self.line.acked)
        struct.pack_into("=Q", info, 160, int(self.line.rate))
        return bytes(info[:size])

    def setsockopt(self, level: int, option: int, value: bytes) -> None:
        if level == socket.SOL_SOCKET:
            self.limits += struct.unpack("=Q", value)
            return
        assert (level, option) == (socket.IPPROTO_TCP, CONGESTION)
        if value not in self.allowed:
            raise PermissionError
        self.rule = value


@only_linux
@pytest.mark.parametrize(
    ("allowed", "round_trip", "becomes"),
    [
        (ANY, LONG_ROUND_TRIP, b"reno"),
        (frozenset({b"cubic"}), 10.0, b"cubic"),
        (frozenset(), 10.0, b"bbr"),
        (ANY, 0.9 * LONG_ROUND_TRIP, b"bbr"),
    ],
)
def test_bbr_is_left_over_a_long_line_if_the_system_allows_it(
    allowed: frozenset[bytes], round_trip: float, becomes: bytes
):
    async def main() -> None:
        sock = System(allowed, round_trip)
        line = LongLine.over(Over(sock), asyncio.get_running_loop())
        assert sock.rule == becomes and (line is None) is (becomes == b"bbr")
        if line is not None:
            line.close()

    run_virtual(main())


@only_linux
def test_another_rule_stays_over_a_long_line():
    async def main() -> None:
        sock = System(ANY, 10.0, rule=b"vegas")
        line = LongLine.over(Over(sock), asyncio.get_running_loop())
        assert sock.rule == b"vegas" and line is not None
        line.close()

    run_virtual(main())


def test_what_has_no_socket_or_a_closed_one_is_left_alone():
    async def main() -> None:
        closed = socket.socket()
        closed.close()
        for sock in (None, closed):
            assert LongLine.over(Over(sock), asyncio.get_running_loop()) is None

    run_virtual(main())


@pytest.mark.parametrize(
    ("round_trip", "limit"),
    [(10.0, inf), (10 * QUEUED, inf), (10.1 * QUEUED, 100.0), (10 * OVERFLOWING, 100.0), (20.0, DRAINING * 100.0)],
)
def test_it_is_held_to_the_rate_of_the_line_while_there_is_a_queue(round_trip: float, limit: float):
    assert at_most(Measured(round_trip, 10.0, 50.0, True), 100.0, known=False) == limit
    assert at_most(Measured(round_trip, 10.0, 50.0, True), 100.0, known=True) == min(limit, PROBING * 100.0)
    assert at_most(Measured(round_trip, 10.0, 0.0, True), 0.0, known=True) == inf, "nothing was measured yet"


@only_linux
def test_the_limit_follows_what_is_measured_and_lets_it_try_for_more_when_the_queue_is_empty():
    async def main() -> None:
        sock = System(ANY, 10.0)
        line = LongLine.over(Over(sock), asyncio.get_running_loop())
        assert line is not None and not sock.limits
        for round_trip, rate in ((10.0, 100e3), (14.0, 125e3), (14.0, 90e3), (16.0, 90e3), (10.5, 90e3), (10.5, 125e3)):
            sock.line = Measured(round_trip, 10.0, rate, True)
            await asyncio.sleep(round_trip / LOOKS + 5.0)
        assert sock.limits == [125_000, 112_500, 156_250]
        sock.line = Measured(14.0, 10.0, 90e3, True)
        await asyncio.sleep(REMEMBERED * 14.0)
        assert sock.limits[3:] == [125_000, 90_000], "what was measured long ago is forgotten"
        line.close()

    run_virtual(main())


@only_linux
def test_a_line_that_rests_is_looked_at_rarely_and_one_that_is_closed_no_more():
    async def main() -> None:
        sock = System(ANY, 10.0)
        line = LongLine.over(Over(sock), asyncio.get_running_loop())
        assert line is not None
        await asyncio.sleep(1000.0)
        before = sock.looks
        await asyncio.sleep(10 * REST * 10.0)
        assert 9 <= sock.looks - before <= 11
        sock.closed = True
        await asyncio.sleep(1000.0)
        sock.closed, before = False, sock.looks
        await asyncio.sleep(1000.0)
        assert sock.looks == before, "a socket that is closed is not looked at again"
        line.close()
        other = LongLine.over(Over(sock), asyncio.get_running_loop())
        assert other is not None
        other.close()
        before = sock.looks
        await asyncio.sleep(1000.0)
        assert sock.looks == before

    run_virtual(main())


@only_linux
@pytest.mark.parametrize("limits", [[], [125_000]])
def test_a_line_that_turns_out_not_to_be_long_is_held_and_looked_at_no_more(limits: list[int]):
    async def main() -> None:
        sock = System(ANY, 10.0)
        line = LongLine.over(Over(sock), asyncio.get_running_loop())
        assert line is not None
        if limits:
            sock.line = Measured(14.0, 10.0, 125e3, True)
            await asyncio.sleep(10.0)
        sock.line = Measured(0.001, 0.0005, 90e3, True)
        await asyncio.sleep(10.0)
        before = sock.looks
        await asyncio.sleep(1000.0)
        assert sock.looks == before, "four times in each millisecond"
        assert sock.limits == ([*limits, 2**64 - 1] if limits else [])
        line.close()

    run_virtual(main())


@only_linux
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_the_line_is_what_the_system_measured(loop: str, monkeypatch: pytest.MonkeyPatch):
    uvloop = pytest.importorskip("uvloop") if loop == "uvloop" else None

    async def rules(least: float) -> bytes:
        monkeypatch.setattr(long_line, "LONG_ROUND_TRIP", least)
        server = await asyncio.start_server(lambda _, accepted: accepted.close(), "127.0.0.1", 0)
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        sock = writer.get_extra_info("socket")
        try:
            sock.setsockopt(socket.IPPROTO_TCP, CONGESTION, b"bbr")
        except OSError as exc:
            pytest.skip(f"the system does not let programs choose BBR: {exc}")
        try:
            line = measured(sock)
            assert line is not None and 0 < line.least_round_trip <= line.round_trip < 0.5
            watched = LongLine.over(writer.transport, asyncio.get_running_loop())
            if watched is not None:
                watched.close()
            return sock.getsockopt(socket.IPPROTO_TCP, CONGESTION, 16).rstrip(b"\0")
        finally:
            writer.close()
            await writer.wait_closed()
            server.close()
            await server.wait_closed()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop if uvloop else None) as runner:
        assert runner.run(rules(0.5)) == b"bbr", "on loopback"
        assert runner.run(rules(1e-6)) in (b"cubic", b"reno"), "some microseconds were measured"


@only_linux
def test_a_line_over_which_little_went_is_not_held_to_that():
    async def main() -> None:
        sock = System(ANY, 2.0)
        line = LongLine.over(Over(sock), asyncio.get_running_loop())
        assert line is not None
        sock.line = Measured(2.5, 2.0, 40.0, True)
        await asyncio.sleep(10.0)
        assert sock.limits == [FIRST_WINDOW // 2], "as much as TCP begins with, in a round trip"
        line.close()

    run_virtual(main())


def test_several_connections_over_one_line_are_one_sender():
    quiet, one, other = (
        Measured(10.0, 10.0, 900e3, False, 5_000),
        Measured(12.0, 10.2, 600e3, True, 70_000),
        Measured(14.0, 10.1, 700e3, True, 80_000),
    )
    assert together([one]) == one
    assert together([quiet, one, other]) == Measured(13.0, 10.0, 0.0, True, 155_000), "what arrives tells the rate"
    assert together([quiet, quiet]) == Measured(10.0, 10.0, 0.0, False, 10_000)


@only_linux
def test_what_is_added_carries_in_equal_parts_what_arrives_in_all():
    async def main() -> None:
        socks = [System(ANY, 10.0) for _ in range(5)]
        for sock in socks:
            sock.line = Measured(14.0, 10.0, 0.0, True)
        line = LongLine.over(Over(socks[0]), asyncio.get_running_loop())
        assert line is not None
        for sock in socks[1:]:
            line.add(Over(sock))
            assert sock.rule != b"bbr"
        pause = 14.0 / LOOKS
        for look in range(1, 6):
            for sock in socks:
                sock.line = Measured(14.0, 10.0, 0.0, True, int(look * pause * 20e3))
            await asyncio.sleep(pause)
        assert all(23e3 <= sock.limits[-1] <= 26e3 for sock in socks), "of 100 kB/s four carry a quarter each"
        gone = Over(socks[4])
        line.remove(gone)
        before = socks[4].looks
        await asyncio.sleep(10 * pause)
        assert socks[4].looks == before
        line.close()

    run_virtual(main())
