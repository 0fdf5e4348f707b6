"""The limits of a running daemon's gateway, over TCP."""

import http.client
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest

from cidery.multiformats.cid import CID
from peers.cidery_daemon import CideryDaemon

SECONDS = 2.0
"""Gateway.RetrievalTimeout of the daemon."""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CideryDaemon]:
    folder = tmp_path_factory.mktemp("limits")
    config = {"Gateway.RetrievalTimeout": f'"{SECONDS:g}s"', "Gateway.MaxConcurrentRequests": "1"}
    # without a peer there is nobody to wait for, and a fetch fails at once
    with CideryDaemon(folder / "node", config) as node, CideryDaemon(folder / "peer") as peer:
        node.connect(peer.addr)
        yield node


def ask(daemon: CideryDaemon, target: str) -> tuple[int, dict[str, str], bytes]:
    url = urlsplit((daemon.repo / "gateway").read_text())
    assert url.hostname and url.port
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=60)
    try:
        connection.request("GET", target)
        answer = connection.getresponse()
        return answer.status, {name.lower(): text for name, text in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def test_what_nobody_has_is_a_504_in_time_and_meanwhile_others_are_told_to_come_again(daemon: CideryDaemon) -> None:
    missing = [f"/ipfs/{CID.of(bytes((77, number)))}?format=raw" for number in range(4)]
    began = time.monotonic()
    with ThreadPoolExecutor(len(missing)) as threads:
        found = list(threads.map(lambda target: ask(daemon, target), missing))
    assert time.monotonic() - began >= SECONDS
    assert sorted({status for status, _, _ in found}) == [429, 504]
    for status, headers, body in found:
        assert headers["retry-after"] == ("30" if status == 504 else "1")
        assert headers["access-control-allow-origin"] == "*"
        assert (b"nothing came within" if status == 504 else b"too many requests at once") in body


def test_a_client_that_reads_nothing_does_not_keep_the_gateway_from_others(daemon: CideryDaemon) -> None:
    url = urlsplit((daemon.repo / "gateway").read_text())
    with socket.create_connection((url.hostname or "", url.port or 0)) as raw:
        raw.sendall(b"GET /ipfs/bafkqaaa?format=raw HTTP/1.1\r\nHost: x\r\n\r\n")
        assert ask(daemon, "/ipfs/bafkqaaa?format=raw")[0] == 200
