"""The slow internet of namespaces keeps its promises: rates, distances, cut ways, and no way out."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from peers.little_internet import Host
from slow_internet import scenarios
from slow_internet.layout import MBIT, SlowInternet
from slow_internet.programs import no_namespaces

SEND = """
import socket, sys
with socket.create_connection((sys.argv[1], 80), 5) as line:
    line.sendall(bytes(int(sys.argv[2])))
    line.shutdown(socket.SHUT_WR)
    line.recv(1)
"""
RECEIVE = """
import socket, sys
with socket.create_server(("0.0.0.0", 80)) as server:
    print("ready", flush=True)
    for _ in range(int(sys.argv[1])):
        line, _ = server.accept()
        with line:
            while line.recv(1 << 16):
                pass
"""

KNOCK = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], 80), 1).close()
except TimeoutError:
    print("silence")
except ConnectionRefusedError:
    print("refused")
"""


@pytest.fixture(autouse=True)
def possible() -> None:
    if reason := no_namespaces():
        pytest.skip(reason)


def test_real_daemons_fetch_over_it_and_their_bytes_are_counted(tmp_path: Path):
    size = 2 << 20
    got = scenarios.from_sources(tmp_path, "cidery", size, [16 * MBIT] * 2, [0.02] * 2)
    assert not got.failure and got.ideal < got.seconds < 30
    assert sum(got.shares) == pytest.approx(1.0, abs=0.2) and 0 <= got.overhead < 0.2


@pytest.fixture
def internet(tmp_path: Path) -> Iterator[SlowInternet]:
    with SlowInternet(tmp_path) as made:
        yield made


class Receiver:
    """Accepts connections in turn and reads them to their end."""

    def __init__(self, host: Host, count: int = 1) -> None:
        command = [*host.within, sys.executable, "-c", RECEIVE, str(count)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None  # Popen was asked for a pipe
        assert self._process.stdout.readline() == "ready\n"

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()


def send(source: Host, target: Host, size: int) -> float:
    began = time.monotonic()
    subprocess.run([*source.within, sys.executable, "-c", SEND, target.address, str(size)], check=True, timeout=60)
    return time.monotonic() - began


def test_an_uplink_carries_its_rate_and_a_packet_takes_its_time(internet: SlowInternet):
    sender, receiver = internet.host(up=8 * MBIT), internet.host()
    internet.apart(0.05)
    with Receiver(receiver):
        took = send(sender, receiver, 3_000_000)
    assert 3.0 < took < 4.2  # three seconds, two round trips, TCP's slow start and the start of Python
    up, down = internet.carried()[sender.address][0], internet.carried()[receiver.address][1]
    assert 3_000_000 < down <= up < 3_300_000


def reaches(source: Host, address: str) -> bool:
    """Whether a SYN is answered; nobody listens, so the answer is a refusal."""
    words = [*source.within, sys.executable, "-c", KNOCK, address]
    return subprocess.run(words, capture_output=True, text=True, check=True, timeout=20).stdout == "refused\n"


def test_nothing_passes_a_cut_way_or_a_pulled_cable_and_nothing_leaves(internet: SlowInternet):
    one, other = internet.host(), internet.host()
    assert reaches(one, other.address)
    internet.cut([one], [other])
    assert not reaches(one, other.address)
    internet.cut([one], [other], cut=False)
    internet.unplug(other)
    assert not reaches(one, other.address)
    internet.plug(other)
    assert reaches(one, other.address)
    assert not reaches(one, "1.1.1.1")
