"""Byte streams of the operating system: what is asked of its TCP."""

import asyncio
import socket

import pytest

from cidery.libp2p.io.byte_network import LONG_ROUND_TRIP, PATIENT, suit_distance

CONGESTION = getattr(socket, "TCP_CONGESTION", 0)


def rule(sock: socket.socket) -> bytes:
    return sock.getsockopt(socket.IPPROTO_TCP, CONGESTION, 16).rstrip(b"\0")


def begins_with(name: bytes) -> socket.socket:
    """A TCP socket that sends by this rule."""
    sock = socket.socket()
    try:
        sock.setsockopt(socket.IPPROTO_TCP, CONGESTION, name)
    except OSError as exc:
        sock.close()
        pytest.skip(f"the system does not let programs choose {name.decode()}: {exc}")
    return sock


class Over(asyncio.Transport):
    def __init__(self, sock: socket.socket | None) -> None:
        super().__init__({"socket": sock})


@pytest.mark.skipif(not CONGESTION, reason="only Linux lets a program choose")
def test_bbr_is_left_over_a_long_line_only():
    with begins_with(b"bbr") as sock:
        suit_distance(Over(sock), LONG_ROUND_TRIP / 2)
        assert rule(sock) == b"bbr"
        suit_distance(Over(sock), LONG_ROUND_TRIP)
        assert rule(sock) in PATIENT


@pytest.mark.skipif(not CONGESTION, reason="only Linux lets a program choose")
def test_another_rule_stays_over_a_long_line():
    with begins_with(b"reno") as sock:
        suit_distance(Over(sock), 10.0)
        assert rule(sock) == b"reno"


def test_what_has_no_socket_or_a_closed_one_is_left_alone():
    closed = socket.socket()
    closed.close()
    for sock in (None, closed):
        suit_distance(Over(sock), 10.0)
