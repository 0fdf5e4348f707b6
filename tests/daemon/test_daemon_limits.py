"""Limits of speed of running daemons, over TCP on this machine: within five percent, from both sides."""

import http.client
import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from peers.cidery_daemon import CideryDaemon
from peers.trees import write_file

RATE = 3_000_000
SIZE = 12_000_000
"""Four seconds of it."""
WINDOW = 2.0
"""Seconds that are measured: 5 % of them are far longer than a question to the daemon takes."""


@pytest.fixture
def pair(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[CideryDaemon, CideryDaemon]]:
    """Owner and reader, the one whose direction is limited with the limit."""
    limit = {f"Swarm.Limits.{request.param}": f'"{RATE // 1_000_000}MB"'}
    owner, reader = (limit, None) if request.param.endswith("Up") else (None, limit)
    with ExitStack() as stack:
        yield (
            stack.enter_context(CideryDaemon(tmp_path / "owner", owner)),
            stack.enter_context(CideryDaemon(tmp_path / "reader", reader)),
        )


def total(node: CideryDaemon, direction: str) -> tuple[float, int]:
    """When, and how many bytes have gone. Over the RPC itself: the start of a command takes longer than 5 %."""
    port = int((node.repo / "api").read_text().rpartition("/")[2])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.connect()
        asked = time.monotonic()
        connection.request("POST", "/api/v0/stats/bw")
        shown = json.loads(connection.getresponse().readline())
        return (asked + time.monotonic()) / 2, int(shown[direction])
    finally:
        connection.close()


def after_bytes(owner: CideryDaemon, reader: CideryDaemon, size: int) -> list[tuple[float, int]]:
    """What has gone on both sides as soon as the reader has ``size`` bytes."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        if (came := total(reader, "TotalIn"))[1] >= size:
            return [total(owner, "TotalOut"), came]
    raise AssertionError(f"{size} bytes did not come")


@pytest.mark.parametrize("pair", ["Up", "Down", "PeerUp", "PeerDown"], indirect=True)
def test_a_limit_holds_within_five_percent_for_whoever_counts(
    pair: tuple[CideryDaemon, CideryDaemon], tmp_path: Path
) -> None:
    owner, reader = pair
    write_file(tmp_path / "file", SIZE)
    cid = owner.add(tmp_path / "file")
    reader.connect(owner.addr)
    getting = threading.Thread(target=reader.get, args=(cid, tmp_path / "got"))
    getting.start()
    try:
        before = after_bytes(owner, reader, RATE // 2)
        after = after_bytes(owner, reader, int(RATE * (0.5 + WINDOW)))
        assert getting.is_alive()
    finally:
        getting.join()
    for (at, earlier), (then, later) in zip(before, after, strict=True):
        assert 0.95 * RATE < (later - earlier) / (then - at) < 1.05 * RATE
    assert (tmp_path / "got").read_bytes() == (tmp_path / "file").read_bytes()
