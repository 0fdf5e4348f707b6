"""`cidery gateway serve`: real workers beside a real daemon, over TCP and a Unix socket."""

import http.client
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from peers.cidery_daemon import CLI, CideryDaemon
from peers.gateway_workers import GatewayWorkers
from peers.line_peer import PeerFailed
from peers.waiting import until

NOWHERE = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"
DHT = {"Routing.Type": '"dht"'}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CideryDaemon]:
    with CideryDaemon(tmp_path_factory.mktemp("serve") / "node", DHT) as node:
        yield node


@pytest.fixture(scope="module")
def workers(daemon: CideryDaemon) -> Iterator[GatewayWorkers]:
    with GatewayWorkers(daemon.repo, daemon.repo.parent / "workers.log") as started:
        yield started


def test_what_is_added_later_is_served_too(daemon: CideryDaemon, workers: GatewayWorkers, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(data := os.urandom(3_000_000))
    cid = daemon.add(tmp_path / "file")
    assert workers.get(f"/ipfs/{cid}") == (200, data)
    assert workers.get(f"/ipfs/{cid}", Range="bytes=1000000-1000009") == (206, data[1_000_000:1_000_010])


def test_a_miss_is_fetched_by_the_daemon_and_names_are_resolved_by_it(
    daemon: CideryDaemon, workers: GatewayWorkers, tmp_path: Path
) -> None:
    with CideryDaemon(tmp_path / "owner", DHT) as owner:
        owner.connect(daemon.addr)
        (tmp_path / "file").write_bytes(data := os.urandom(5_000_000))
        cid = owner.add(tmp_path / "file")
        assert workers.get(f"/ipfs/{cid}") == (200, data)
        name = owner.run("name", "publish", "-Q", f"/ipfs/{cid}").strip()
        assert workers.get(f"/ipns/{name}", Range="bytes=0-9") == (206, data[:10])
        assert workers.get(f"/ipns/{name}?format=ipns-record")[0] == 200


def test_the_routing_api_is_answered_by_the_daemon(
    daemon: CideryDaemon, workers: GatewayWorkers, tmp_path: Path
) -> None:
    with CideryDaemon(tmp_path / "owner", DHT) as owner:
        owner.connect(daemon.addr)
        (tmp_path / "file").write_bytes(os.urandom(1000))
        cid = owner.add(tmp_path / "file")
        owner.run("provide", "once", cid)
        for accept in ("application/json", "application/x-ndjson"):
            status, body = workers.get(f"/routing/v1/providers/{cid}", Accept=accept)
            assert status == 200 and owner.peer_id.encode() in body
        assert workers.get("/routing/v1/peers/nonsense")[0] == 422


def test_what_a_denylist_names_is_served_by_no_worker(tmp_path: Path) -> None:
    with CideryDaemon(tmp_path / "node") as node, GatewayWorkers(node.repo, tmp_path / "log") as workers:
        (tmp_path / "file").write_bytes(b"to be denied")
        cid = node.add(tmp_path / "file")
        assert workers.get(f"/ipfs/{cid}") == (200, b"to be denied")
        (node.repo / "denylists").mkdir()
        (node.repo / "denylists" / "own.deny").write_text(f"name: My own\n---\n/ipfs/{cid}\n")
        until(lambda: all(workers.get(f"/ipfs/{cid}")[0] == 410 for _ in range(8)))


def test_what_is_for_workers_needs_the_token_of_the_repository(daemon: CideryDaemon) -> None:
    port = (daemon.repo / "api").read_text().rpartition("/")[2]
    for path in ("misses", "routing/v1/peers/x"):
        words = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-d", "x"]
        done = subprocess.run([*words, f"http://127.0.0.1:{port}/cidery/{path}"], capture_output=True, check=True)
        assert done.stdout == b"421"


def test_what_a_client_that_left_wanted_is_wanted_no_more(
    daemon: CideryDaemon, workers: GatewayWorkers, tmp_path: Path
) -> None:
    with CideryDaemon(tmp_path / "other", DHT) as other:
        other.connect(daemon.addr)
        with workers.connect() as client:
            client.sendall(f"GET /ipfs/{NOWHERE} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            until(lambda: NOWHERE in daemon.run("bitswap", "wantlist"))
        until(lambda: NOWHERE not in daemon.run("bitswap", "wantlist"))


def test_a_worker_that_dies_is_replaced_and_its_connections_wait(daemon: CideryDaemon, workers: GatewayWorkers) -> None:
    killed = workers.pids()[0]
    os.kill(killed, signal.SIGKILL)
    # half of these are dealt out to the place of the dead one
    assert [workers.get("/ipfs/bafkqaaa")[0] for _ in range(20)] == [200] * 20
    until(lambda: len(workers.pids()) == 2)
    assert killed not in workers.pids()
    assert f"worker {killed} ended" in workers.log.read_text()


def test_the_daemon_shows_what_all_workers_have_counted_and_what_a_dead_one_had(tmp_path: Path) -> None:
    with CideryDaemon(tmp_path / "node") as node, CideryDaemon(tmp_path / "peer") as peer:
        node.connect(peer.addr)  # somebody to wait for
        with GatewayWorkers(node.repo, tmp_path / "log") as workers:

            def answers() -> float:
                found = re.search(r'^ipfs_http_gw_responses_total\{code="200"\} (\d+)$', metrics(node), re.MULTILINE)
                return float(found[1]) if found else 0.0

            assert [workers.get("/ipfs/bafkqaaa")[0] for _ in range(20)] == [200] * 20
            until(lambda: answers() == 20)
            os.kill(workers.pids()[0], signal.SIGKILL)
            assert [workers.get("/ipfs/bafkqaaa")[0] for _ in range(20)] == [200] * 20
            until(lambda: answers() == 40)
            with workers.connect() as client:
                client.sendall(f"GET /ipfs/{NOWHERE} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                until(lambda: budgets(node)["gateway requests"] == {"Used": 1, "Limit": 4096})
                assert budgets(node)["gateway connections"]["Used"] >= 1
        assert answers() == 0, "that gateway has ended"
        assert not (node.repo / "gateway-workers").exists()


def test_without_a_daemon_any_worker_tells_what_all_have_counted(tmp_path: Path) -> None:
    with CideryDaemon(tmp_path / "node") as node:
        repo = node.repo
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with GatewayWorkers(repo, tmp_path / "log", f"--metrics=localhost:{port}") as workers:

        def value(name: str, path: str = "/metrics") -> float:
            found = re.search(rf"^{re.escape(name)} (\S+)$", metrics_at(port, path), re.MULTILINE)
            return float(found[1]) if found else 0.0

        assert [workers.get("/ipfs/bafkqaaa")[0] for _ in range(20)] == [200] * 20
        until(lambda: value('ipfs_http_gw_responses_total{code="200"}', "/debug/metrics/prometheus") == 20)
        until(lambda: value("cidery_gateway_workers") == 2)
        assert value("cidery_gateway_worker_resident_bytes") > 10_000_000
        os.kill(workers.pids()[0], signal.SIGKILL)
        # whatever is asked while one is dead is asked of the other
        assert all(value('ipfs_http_gw_responses_total{code="200"}') == 20 for _ in range(10))
        assert status_at(port, "/metrics") == 200
        assert status_at(port, "/metrics", Host="rebound.example") == 403
        assert status_at(port, "/metrics", Origin="http://page.example") == 403
        assert status_at(port, "/ipfs/bafkqaaa") == 404


def test_the_metrics_are_at_a_unix_socket_too_under_any_name(tmp_path: Path) -> None:
    with CideryDaemon(tmp_path / "node") as node:
        repo = node.repo
    path = tmp_path / "metrics.sock"
    with GatewayWorkers(repo, tmp_path / "log", f"--metrics=/unix{path}"):
        words = ["curl", "-s", "--unix-socket", str(path), "http://prometheus.example/metrics"]

        def told() -> bytes:
            return subprocess.run(words, capture_output=True, check=True, timeout=60).stdout

        assert told().startswith(b"# HELP cidery_info")
        until(lambda: b"cidery_gateway_workers 2\n" in told())


def test_workers_serve_where_they_cannot_write_and_say_what_is_missing(tmp_path: Path) -> None:
    with CideryDaemon(tmp_path / "node") as node:
        (tmp_path / "file").write_bytes(b"stored")
        cid = node.add(tmp_path / "file")
    (node.repo / "gateway-workers").write_bytes(b"in the way, as a file system that cannot be written is")
    with GatewayWorkers(node.repo, tmp_path / "log") as workers:
        assert workers.get(f"/ipfs/{cid}") == (200, b"stored")
    said = f"the metrics of the workers cannot be kept in {node.repo}/gateway-workers: file exists"
    assert workers.log.read_text() == f"{said}; they are not counted\n"
    with pytest.raises(PeerFailed, match=f"Error: {said}\n"):
        GatewayWorkers(node.repo, tmp_path / "log2", "--metrics=127.0.0.1:0")


def status_at(port: int, path: str, **headers: str) -> int:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.request("GET", path, headers=headers)
        return connection.getresponse().status


def metrics(node: CideryDaemon) -> str:
    return metrics_at(int((node.repo / "api").read_text().rpartition("/")[2]), "/debug/metrics/prometheus")


def metrics_at(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as answer:
        return str(answer.read(), "ascii")


def budgets(node: CideryDaemon) -> dict[str, dict[str, float | None]]:
    lines = json.loads(node.run("status", "--enc=json"))["Budgets"]
    return {line["Name"]: {"Used": line["Used"], "Limit": line["Limit"]} for line in lines}


def test_at_sigterm_a_running_answer_is_finished_and_nobody_else_gets_in(daemon: CideryDaemon, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(data := os.urandom(40_000_000))
    cid = daemon.add(tmp_path / "file")
    with GatewayWorkers(daemon.repo, tmp_path / "log") as workers:
        with workers.connect() as client, workers.connect() as idle:
            client.sendall(f"GET /ipfs/{cid} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            got = client.recv(1000)
            workers.process.send_signal(signal.SIGTERM)
            assert idle.recv(1) == b""  # so it stops
            until(lambda: refused(workers))
            while piece := client.recv(1 << 20):
                got += piece
        assert got.endswith(data) and got.startswith(b"HTTP/1.1 200 OK\r\n")
        assert workers.close() == 0


def refused(workers: GatewayWorkers) -> bool:
    try:
        workers.connect().close()
    except OSError:
        return True
    return False


def test_a_unix_socket_is_for_its_user_and_group_replaces_a_stale_one_and_goes_at_the_end(
    daemon: CideryDaemon, tmp_path: Path
) -> None:
    path = tmp_path / "gateway.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    with GatewayWorkers(daemon.repo, tmp_path / "log", f"--unix={path}"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        answer = subprocess.run(
            ["curl", "-s", "--unix-socket", str(path), "http://127.0.0.1/ipfs/bafkqabtimvwgy3yk"],
            capture_output=True,
            check=True,
        )
        assert answer.stdout == b"hello\n"
        with pytest.raises(PeerFailed, match="another process listens there"):
            GatewayWorkers(daemon.repo, tmp_path / "log2", f"--unix={path}")
        assert path.exists()
    assert not path.exists()


def test_a_relative_path_of_a_socket_is_below_the_current_folder(
    daemon: CideryDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with GatewayWorkers(daemon.repo, tmp_path / "log", "--unix=gateway.sock"):
        assert stat.S_ISSOCK((tmp_path / "gateway.sock").stat().st_mode)


def test_without_a_daemon_what_is_stored_is_served_and_the_rest_says_what_to_do(tmp_path: Path) -> None:
    with CideryDaemon(tmp_path / "node") as node:
        (tmp_path / "file").write_bytes(b"stored")
        cid = node.add(tmp_path / "file")
    with GatewayWorkers(node.repo, tmp_path / "log") as workers:
        assert workers.get(f"/ipfs/{cid}") == (200, b"stored")
        status, body = workers.get(f"/ipfs/{NOWHERE}")
        assert status == 404 and b"no daemon runs to fetch it; start it with: cidery daemon" in body
        node.start()  # and now there is one
        try:
            status, body = workers.get(f"/ipfs/{cid}?format=raw")
            assert (status, body) == (200, b"stored")
        finally:
            node.close()


ENDED_EARLY = """
import os, signal
from cidery.node import gateway_serve
fork = gateway_serve._Parent._fork
def ended(self, place):
    fork(self, place)
    os.kill(os.getpid(), signal.SIGTERM)
gateway_serve._Parent._fork = ended
from cidery.cli.main import run
run()
"""


def test_what_is_ended_while_it_starts_does_not_say_that_it_is_ready(daemon: CideryDaemon) -> None:
    words = [sys.executable, "-c", ENDED_EARLY, "gateway", "serve", "--workers=1", "--listen=127.0.0.1:0"]
    environment = {**os.environ, "CIDERY_PATH": str(daemon.repo)}
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, "Shutting down...\n", "")


def test_workers_end_with_a_parent_that_is_killed(daemon: CideryDaemon, tmp_path: Path) -> None:
    workers = GatewayWorkers(daemon.repo, tmp_path / "log")
    workers.close(signal.SIGKILL)
    until(lambda: refused(workers))


@pytest.mark.parametrize(
    "options, said",
    [
        (["--workers=0"], "from 1 to 256"),
        (["--listen=nonsense"], "such as /ip4/127.0.0.1/tcp/8080"),
        (["--listen=127.0.0.1"], "such as /ip4/127.0.0.1/tcp/8080 or 127.0.0.1:8080, not '127.0.0.1'"),
        (["--listen=/ip4/127.0.0.1/udp/1"], "neither a TCP address nor /unix/PATH; give another address with --listen"),
        (["--listen=/dns4/localhost/tcp/0"], "it names a host, which may have several addresses"),
        (["--unix=/nowhere/of/it"], "no such file or directory; give another address with --listen\n"),
        (["--unix="], "takes the path of a socket"),
        (["--listen=127.0.0.1:0", "--metrics=DAEMON"], "address already in use; give another address with --metrics\n"),
        (["--listen=/ip4/192.0.2.1/tcp/0"], "cannot listen on /ip4/192.0.2.1/tcp/0"),
        (["--listen=DAEMON"], "address already in use; give another address with --listen, or keep the daemon's own"),
    ],
)
def test_what_cannot_be_served_is_said_in_one_line(daemon: CideryDaemon, options: list[str], said: str) -> None:
    own = (daemon.repo / "gateway").read_text().removeprefix("http://")
    options = [option.replace("DAEMON", own) for option in options]
    words = [*CLI, "--repo-dir", str(daemon.repo), "gateway", "serve", *options]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and said in done.stderr and len(done.stderr.splitlines()) == 1
