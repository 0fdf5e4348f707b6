"""The gateway over TLS and HTTP/2, of the daemon and of workers, with curl and httpx as clients."""

import json
import os
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from peers.certificates import write_certificate
from peers.cidery_daemon import CLI, CideryDaemon
from peers.gateway_workers import GatewayWorkers
from peers.h2_client import unverified

DATA = bytes(range(256)) * 20_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tls")


@pytest.fixture(scope="module")
def daemon(folder: Path) -> Iterator[CideryDaemon]:
    cert, key = write_certificate(folder)
    config = {
        "Gateway.TLS": json.dumps({"CertFile": str(cert), "KeyFile": str(key)}),
        "Addresses.Gateway": json.dumps(["/ip4/127.0.0.1/tcp/0", f"/unix{folder}/gateway.sock"]),
    }
    with CideryDaemon(folder / "node", config) as node:
        yield node


@pytest.fixture(scope="module")
def cid(daemon: CideryDaemon, folder: Path) -> str:
    (folder / "file").write_bytes(DATA)
    return daemon.add(folder / "file")


def url_of(daemon: CideryDaemon) -> str:
    return (daemon.repo / "gateway").read_text()


def curl(*words: str) -> bytes:
    return subprocess.run(["curl", "-s", *words], capture_output=True, check=True, timeout=60).stdout


def test_curl_speaks_http_2_with_the_daemon_and_verifies_its_certificate(
    daemon: CideryDaemon, cid: str, folder: Path
) -> None:
    url = url_of(daemon)
    assert url.startswith("https://127.0.0.1:")
    got = curl(
        "--cacert", str(folder / "cert.pem"), "--http2", "-w", "%{http_version} %{http_code}", f"{url}/ipfs/{cid}"
    )
    assert got == DATA + b"2 200"
    got = curl("--cacert", str(folder / "cert.pem"), "--http1.1", "-w", " %{http_version}", f"{url}/ipfs/{cid}")
    assert got == DATA + b" 1.1"


def test_httpx_gets_many_things_over_one_connection(daemon: CideryDaemon, cid: str) -> None:
    with httpx.Client(http2=True, verify=False, base_url=url_of(daemon)) as client:
        answer = client.get(f"/ipfs/{cid}", headers={"Range": "bytes=256-511"})
        assert (answer.http_version, answer.status_code, answer.content) == ("HTTP/2", 206, DATA[256:512])
        assert client.get(f"/ipfs/{cid}?format=raw").status_code == 200
        assert client.get("/ipfs/nonsense").status_code == 400
        assert client.head(f"/ipfs/{cid}").headers["content-length"] == str(len(DATA))


def test_the_daemon_serves_at_a_unix_socket_too(daemon: CideryDaemon, cid: str, folder: Path) -> None:
    assert curl("--unix-socket", str(folder / "gateway.sock"), f"http://127.0.0.1/ipfs/{cid}") == DATA


def certificate_of(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as raw:
        with unverified("h2").wrap_socket(raw) as secured:
            return ssl.DER_cert_to_PEM_cert(secured.getpeercert(True) or b"").encode()


def test_workers_read_a_certificate_again_when_it_changes_and_keep_the_old_one_if_it_is_broken(
    daemon: CideryDaemon, tmp_path: Path
) -> None:
    cert, key = write_certificate(tmp_path)
    options = (f"--tls-cert={cert}", f"--tls-key={key}")
    with GatewayWorkers(daemon.repo, tmp_path / "log", *options, workers=1) as workers:
        first = cert.read_bytes()
        assert certificate_of(workers.port) == first
        good = key.read_bytes()
        key.write_bytes(b"half of a key")
        workers.process.send_signal(signal.SIGHUP)
        ends = time.monotonic() + 30
        while "the certificate in use stays" not in workers.log.read_text():
            assert time.monotonic() < ends
            time.sleep(0.05)
        assert certificate_of(workers.port) == first
        key.write_bytes(good)
        write_certificate(tmp_path, of_rsa=True)  # seen without a signal
        while certificate_of(workers.port) != cert.read_bytes():
            assert time.monotonic() < ends
            time.sleep(0.05)
        assert cert.read_bytes() != first


def test_a_worker_in_the_place_of_a_dead_one_has_the_last_certificate_that_was_one(
    daemon: CideryDaemon, tmp_path: Path
) -> None:
    cert, key = write_certificate(tmp_path)
    options = (f"--tls-cert={cert}", f"--tls-key={key}")
    with GatewayWorkers(daemon.repo, tmp_path / "log", *options, workers=1) as workers:
        first = certificate_of(workers.port)
        cert.unlink()
        os.kill(workers.pids()[0], signal.SIGKILL)
        assert certificate_of(workers.port) == first
        assert "no such file or directory" in workers.log.read_text()


@pytest.mark.parametrize(
    "options, said",
    [
        (["--tls-cert=/x"], "are given together"),
        (["--tls-cert=/nowhere/c", "--tls-key=/nowhere/k"], "no such file"),
        (["--tls-cert=KEY", "--tls-key=KEY"], "are no certificate with its key in pem: one of them has no pem block"),
    ],
)
def test_files_that_are_no_certificate_are_said_before_anything_starts(
    daemon: CideryDaemon, folder: Path, options: list[str], said: str
) -> None:
    options = [option.replace("KEY", str(folder / "key.pem")) for option in options]
    words = [*CLI, "--repo-dir", str(daemon.repo), "gateway", "serve", "--listen=127.0.0.1:0", *options]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and said in done.stderr.lower() and len(done.stderr.splitlines()) == 1


def test_workers_write_requests_of_both_versions_into_one_log(tmp_path: Path) -> None:
    cert, key = write_certificate(tmp_path)
    log = tmp_path / "access.log"
    with CideryDaemon(tmp_path / "node", {"Gateway.AccessLog": json.dumps({"Path": str(log)})}) as node:
        (tmp_path / "file").write_bytes(DATA)
        cid = node.add(tmp_path / "file")
        options = (f"--tls-cert={cert}", f"--tls-key={key}")
        with GatewayWorkers(node.repo, tmp_path / "log", *options) as workers:
            url = f"https://127.0.0.1:{workers.port}/ipfs/"
            for version in ("--http1.1", "--http2", "--http2"):
                assert curl("-k", version, url + cid) == DATA
            curl("-k", "--http2", url + "bafkqaaa")
        lines = log.read_text().splitlines()
    ends = sorted(line.partition('"GET ')[2].partition(' "')[0] for line in lines)
    whole = f'/ipfs/{cid} HTTP/{{}}" 200 {len(DATA)}'
    assert ends == sorted(
        [whole.format("1.1"), whole.format("2.0"), whole.format("2.0"), '/ipfs/bafkqaaa HTTP/2.0" 200 -']
    )


def test_a_running_answer_of_the_daemon_is_finished_at_sigterm(tmp_path: Path) -> None:
    with CideryDaemon(tmp_path / "node") as node:
        (tmp_path / "file").write_bytes(data := os.urandom(40_000_000))
        cid = node.add(tmp_path / "file")
        address = httpx.URL(url_of(node))
        with socket.create_connection((address.host, address.port or 0), timeout=60) as client:
            client.sendall(f"GET /ipfs/{cid} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            got = [client.recv(1000)]
            node.signal(signal.SIGTERM)
            ends = time.monotonic() + 30
            while (node.repo / "gateway").exists():  # it has begun to stop
                assert time.monotonic() < ends
                time.sleep(0.01)
            while piece := client.recv(1 << 20):
                got.append(piece)
        assert b"".join(got).endswith(data)


def test_what_is_answered_on_the_port_of_the_swarm_is_among_the_metrics(tmp_path: Path) -> None:
    cert, key = write_certificate(tmp_path)
    config = {
        "Gateway.OnSwarmPort": "true",
        "Swarm.TLS": json.dumps({"CertFile": str(cert), "KeyFile": str(key)}),
        "Addresses.Swarm": '["/ip4/127.0.0.1/tcp/0/tls/ws"]',
    }
    with CideryDaemon(tmp_path / "node", config) as node:
        port = node.addr.split("/")[4]
        for version in ("--http1.1", "--http2"):
            assert curl("-k", version, f"https://127.0.0.1:{port}/ipfs/bafkqabtimvwgy3yk?format=raw") == b"hello\n"
        api = (node.repo / "api").read_text().rpartition("/")[2].strip()
        metrics = curl(f"http://127.0.0.1:{api}/debug/metrics/prometheus").decode()
        assert 'cidery_gateway_requests_total{kind="raw",code="200"} 2\n' in metrics
