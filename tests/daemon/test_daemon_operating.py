"""What an operator sees of a running daemon: the gateway's log of requests, and metrics."""

import http.client
import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from prometheus_client.parser import text_string_to_metric_families

from peers.cidery_daemon import CideryDaemon


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CideryDaemon]:
    config = {"Gateway.AccessLog": '{"Path": "access.log", "Format": "json"}'}
    with CideryDaemon(tmp_path_factory.mktemp("operating") / "node", config=config) as node:
        yield node


def gateway(daemon: CideryDaemon) -> tuple[str, int]:
    url = urlsplit((daemon.repo / "gateway").read_text())
    assert url.hostname and url.port
    return url.hostname, url.port


def ask(host: str, port: int, target: str, method: str = "GET", **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(host, port, timeout=60)
    try:
        connection.request(method, target, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def lines(path: Path, count: int) -> list[dict[str, Any]]:
    deadline = time.monotonic() + 20
    while len(found := path.read_text().splitlines() if path.exists() else []) < count:
        assert time.monotonic() < deadline, found
        time.sleep(0.02)
    return [json.loads(line) for line in found]


def test_every_request_has_a_line_with_what_was_really_sent(daemon: CideryDaemon, tmp_path: Path) -> None:
    (tmp_path / "small").write_bytes(b"small file")
    (tmp_path / "large").write_bytes(os.urandom(24_000_000))
    small, large = daemon.add(tmp_path / "small"), daemon.add(tmp_path / "large")
    host, port = gateway(daemon)
    path = daemon.repo / "access.log"
    assert ask(host, port, f"/ipfs/{small}?format=raw", **{"User-Agent": 't"est'})[0] == 200
    assert ask(host, port, f"/ipfs/{small}?format=raw", "HEAD")[0] == 200
    assert len(ask(host, port, f"/ipfs/{large}?format=car")[1]) > 24_000_000
    assert ask(host, port, "/nothing")[0] == 404
    with socket.create_connection((host, port)) as raw:
        raw.sendall(f"GET /ipfs/{large}?format=car HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert raw.recv(1000)
    with socket.create_connection((host, port)) as raw:
        raw.sendall(b"nonsense\r\n\r\n")
        assert raw.recv(1000).startswith(b"HTTP/1.1 400")
    found = lines(path, 6)
    assert [(one["method"], one["status"], one["whole"]) for one in found[:4]] == [
        ("GET", 200, True), ("HEAD", 200, True), ("GET", 200, True), ("GET", 404, True),
    ]  # fmt: skip
    assert [one["bytes"] for one in found[:2]] == [10, 0] and found[2]["bytes"] > 24_000_000
    assert found[0]["client"] == "127.0.0.1" and found[0]["agent"] == 't"est' and found[2]["seconds"] > 0
    cut, nonsense = sorted(found[4:6], key=lambda one: one["status"])
    assert (cut["whole"], nonsense["status"], nonsense["method"]) == (False, 400, "")
    assert cut["bytes"] < 24_000_000


def test_a_log_that_was_moved_away_goes_on_after_a_hangup(daemon: CideryDaemon) -> None:
    host, port = gateway(daemon)
    path, moved = daemon.repo / "access.log", daemon.repo / "access.log.1"
    ask(host, port, "/before")
    lines(path, 1)
    path.rename(moved)
    daemon.signal(signal.SIGHUP)
    deadline = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < deadline
        ask(host, port, "/after")
    assert lines(path, 1)[-1]["target"] == "/after"
    assert ask(host, port, "/ipfs/bafkqaaa?format=raw")[0] == 200  # it lives


def test_prometheus_reads_what_the_daemon_has_counted(daemon: CideryDaemon) -> None:
    host, port = gateway(daemon)
    for _ in range(3):
        assert ask(host, port, "/ipfs/bafkqaaa?format=raw")[0] == 200
    rpc = (daemon.repo / "api").read_text().split("/")
    status, text = ask(rpc[2], int(rpc[4]), "/debug/metrics/prometheus")
    assert status == 200
    values = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }
    assert values["cidery_gateway_requests_total", ("code", "200"), ("kind", "raw")] >= 3
    assert values["ipfs_http_gw_responses_total", ("code", "200")] >= 3
    assert values["ipfs_http_gw_request_duration_seconds_bucket", ("le", "+Inf")] >= 3
    assert values[("ipfs_http_gw_concurrent_requests",)] == 0 and values[("cidery_peers",)] == 0
    assert values[("cidery_store_blocks",)] >= 0 and values[("process_resident_memory_bytes",)] > 1e6
    assert values[("cidery_denied_total",)] == 0 and ("cidery_bitswap_blocks_sent_total",) in values


def test_pages_and_foreign_hosts_do_not_read_the_metrics(daemon: CideryDaemon) -> None:
    rpc = (daemon.repo / "api").read_text().split("/")
    where = rpc[2], int(rpc[4]), "/debug/metrics/prometheus"
    assert ask(*where, Host="evil.example")[0] == 403
    assert ask(*where, Origin="https://evil.example")[0] == 403
    assert ask(*where, method="DELETE")[0] == 405
    assert ask(*where, method="HEAD")[0] == 200
