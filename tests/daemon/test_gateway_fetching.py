"""What the gateway of a daemon fetches from another one: of a part, for a slow reader, and after a client has left."""

import http.client
import json
import os
import random
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from peers.cidery_daemon import CideryDaemon
from peers.trees import write_file
from peers.waiting import until

CHUNK = 256 * 1024
SIZE = 64 * 1024 * 1024
WINDOW = 2 * 1024 * 1024
"""The first one of a paced session (exchange.read_ahead)."""
SMALL_BUFFER = 32 * 1024
QUIET = 4096
"""Bytes of pings and the like."""


class Pair:
    """A gateway, and the daemon that has the content."""

    def __init__(self, owner: CideryDaemon, node: CideryDaemon) -> None:
        self.owner, self.node = owner, node
        url = urlsplit((node.repo / "gateway").read_text())
        assert url.hostname and url.port
        self.host, self.port = url.hostname, url.port

    def served(self) -> int:
        """Bytes that the owner has sent, as blocks or as an archive, and what is around them."""
        return int(json.loads(self.owner.run("stats", "bw", "--enc", "json"))["TotalOut"])

    def wanted(self) -> list[str]:
        return self.node.run("bitswap", "wantlist").split()

    def opened(self, target: str, headers: str = "") -> socket.socket:
        """A request whose answer is taken as it is read: the system keeps little."""
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
        raw.settimeout(60)
        raw.connect((self.host, self.port))
        raw.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\n{headers}\r\n".encode())
        return raw


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("fetching")
    with CideryDaemon(folder / "owner") as owner, CideryDaemon(folder / "node") as node:
        node.connect(owner.addr)
        yield Pair(owner, node)


def added(pair: Pair, path: Path, size: int = SIZE) -> str:
    """A file that no test has fetched."""
    write_file(path, size, seed=random.randrange(1 << 60))
    return pair.owner.run("add", "-Q", "--chunker", f"size-{CHUNK}", "--raw-leaves", str(path)).strip()


def settled(pair: Pair) -> int:
    """What was served, once no more is."""
    last, since = pair.served(), time.monotonic()
    while time.monotonic() - since < 1.5:
        if (now := pair.served()) > last + QUIET:
            last, since = now, time.monotonic()
    return last


def read_body(raw: socket.socket, size: int) -> bytes:
    """The first bytes of a body."""
    got = b""
    while b"\r\n\r\n" not in got:
        got += raw.recv(4096)
    head, _, body = got.partition(b"\r\n\r\n")
    assert head.split()[1] in (b"200", b"206"), head
    while len(body) < size:
        body += raw.recv(min(SMALL_BUFFER, size - len(body)))
    return body[:size]


def test_a_part_in_the_middle_costs_the_blocks_on_its_way_and_no_others(pair: Pair, tmp_path: Path) -> None:
    cid, before = added(pair, tmp_path / "file"), pair.served()
    with pair.opened(f"/ipfs/{cid}", "Range: bytes=33000000-33000099\r\n") as raw:
        assert read_body(raw, 100) == (tmp_path / "file").read_bytes()[33_000_000:33_000_100]
    assert settled(pair) - before <= 2 * CHUNK, "the root, a node, and a leaf"


def test_an_open_part_costs_what_is_read_and_a_window(pair: Pair, tmp_path: Path) -> None:
    cid, before = added(pair, tmp_path / "file"), pair.served()
    with pair.opened(f"/ipfs/{cid}", "Range: bytes=33000000-\r\n") as raw:
        assert read_body(raw, 1) == (tmp_path / "file").read_bytes()[33_000_000:33_000_001]
        fetched = settled(pair) - before
    assert CHUNK <= fetched <= 2 * WINDOW + 3 * CHUNK, fetched


def test_a_reader_that_pauses_does_not_make_the_gateway_fetch_the_rest(pair: Pair, tmp_path: Path) -> None:
    cid, before = added(pair, tmp_path / "file"), pair.served()
    with pair.opened(f"/ipfs/{cid}") as raw:
        read_body(raw, 1 << 20)
        fetched = settled(pair) - before
        assert fetched <= 3 * (1 << 20) + 2 * WINDOW + (1 << 20), fetched
        rest = 0
        while rest < SIZE - (1 << 20):
            rest += len(raw.recv(1 << 20))
    assert pair.served() - before >= SIZE, "and it goes on when the reader does"


def test_a_client_that_goes_away_frees_its_wants(pair: Pair, tmp_path: Path) -> None:
    cid = added(pair, tmp_path / "file")
    missing = "bafkreifzjut3te7nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"
    with pair.opened(f"/ipfs/{missing}"):
        until(lambda: missing in pair.wanted())
    until(lambda: not pair.wanted())
    raw = pair.opened(f"/ipfs/{cid}")
    read_body(raw, 1000)
    raw.close()
    began = time.monotonic()
    until(lambda: not pair.wanted())
    assert time.monotonic() - began < 5


def open_files(node: CideryDaemon) -> int:
    return len(os.listdir(f"/proc/{node.pid}/fd"))


def test_a_crowd_of_which_half_leaves_leaves_nothing_behind(pair: Pair, tmp_path: Path) -> None:
    size = 4 * 1024 * 1024
    cids = [added(pair, tmp_path / f"file{at}", size) for at in range(4)]
    before = open_files(pair.node)

    def client(number: int) -> int:
        connection = http.client.HTTPConnection(pair.host, pair.port, timeout=90)
        try:
            connection.request("GET", f"/ipfs/{cids[number % len(cids)]}")
            answer = connection.getresponse()
            if answer.status == 503:
                return -1
            return len(answer.read(100_000 if number % 2 else size))
        finally:
            connection.close()

    with ThreadPoolExecutor(200) as pool:
        got = list(pool.map(client, range(200)))
    assert {one for one in got if one >= 0} <= {100_000, size}
    assert sum(one == size for one in got) >= 50
    until(lambda: not pair.wanted())
    until(lambda: open_files(pair.node) <= before + 2)
