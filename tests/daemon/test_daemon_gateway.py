"""The gateway of a running daemon, over TCP."""

import http.client
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from cidery.ipld.car_reader import CarReader
from peers.cidery_daemon import CideryDaemon


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CideryDaemon]:
    with CideryDaemon(tmp_path_factory.mktemp("gateway") / "node") as node:
        yield node


@pytest.fixture
def gateway(daemon: CideryDaemon) -> Iterator[http.client.HTTPConnection]:
    url = urlsplit((daemon.repo / "gateway").read_text())
    assert url.hostname == "127.0.0.1" and url.port
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=60)
    yield connection
    connection.close()


def get(
    gateway: http.client.HTTPConnection, target: str, method: str = "GET", **headers: str
) -> tuple[http.client.HTTPResponse, bytes]:
    gateway.request(method, target, headers=headers)
    answer = gateway.getresponse()
    return answer, answer.read()


def test_blocks_and_archives_come_over_one_connection(
    daemon: CideryDaemon, gateway: http.client.HTTPConnection, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(os.urandom(3_000_000))
    cid = daemon.add(tmp_path / "file")
    answer, body = get(gateway, f"/ipfs/{cid}?format=raw")
    assert answer.status == 200 and int(answer.headers["Content-Length"]) == len(body)
    answer, body = get(gateway, f"/ipfs/{cid}?format=car")
    reader = CarReader()
    found = reader.receive_data(body)
    reader.receive_eof()
    assert str(found[0][0].cid) == cid and len(found) == 4
    answer, body = get(gateway, f"/ipfs/{cid}?format=car", "HEAD")
    assert (answer.status, body) == (200, b"")
    assert answer.headers["Content-Type"].startswith("application/vnd.ipld.car; version=1")
    answer, body = get(gateway, "/ipfs/bafkqaaa?format=raw", "HEAD")
    assert (answer.status, body, answer.headers["Content-Length"]) == (200, b"", "0")
    answer, body = get(gateway, f"/ipfs/{cid}?format=raw", "HEAD")
    assert (answer.status, body) == (200, b"") and int(answer.headers["Content-Length"]) > 100


def test_an_archive_that_breaks_off_breaks_the_connection(
    daemon: CideryDaemon, gateway: http.client.HTTPConnection, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(os.urandom(8_000_000))
    cid = daemon.run("add", "-Q", "--pin=false", str(tmp_path / "file")).strip()
    daemon.run("block", "rm", daemon.run("refs", cid).split()[-1])
    gateway.request("GET", f"/ipfs/{cid}?format=car", headers={"Cache-Control": "only-if-cached"})
    answer = gateway.getresponse()
    assert answer.status == 200
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        answer.read()


def test_an_archive_that_breaks_off_before_its_first_byte_has_the_status_of_its_error(
    daemon: CideryDaemon, gateway: http.client.HTTPConnection
) -> None:
    archive = "vectors/gateway-conformance/fixtures/trustless_gateway_car/file-3k-and-3-blocks-missing-block.car"
    daemon.run("dag", "import", "--pin-roots=false", str(Path(__file__).parents[1] / archive))
    cid = "QmYhmPjhFjYFyaoiuNzYv8WGavpSRDwdHWe5B4M5du5Rtk"
    assert get(gateway, f"/ipfs/{cid}?format=car", **{"Cache-Control": "only-if-cached"})[0].status == 412


def test_a_client_that_goes_away_leaves_the_gateway_well(
    daemon: CideryDaemon, gateway: http.client.HTTPConnection, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(os.urandom(8_000_000))
    cid = daemon.add(tmp_path / "file")
    for _ in range(20):
        with socket.create_connection((gateway.host, gateway.port)) as raw:
            raw.sendall(f"GET /ipfs/{cid}?format=car HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            raw.recv(100)
    assert get(gateway, f"/ipfs/{cid}?format=raw")[0].status == 200


@pytest.mark.parametrize(
    "sent", [b"nonsense\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n"]
)
def test_garbage_ends_its_connection_only(gateway: http.client.HTTPConnection, sent: bytes) -> None:
    with socket.create_connection((gateway.host, gateway.port), timeout=60) as raw:
        raw.sendall(sent)
        assert raw.recv(20).startswith(b"HTTP/1.")
    assert get(gateway, "/ipfs/bafkqaaa?format=raw")[0].status == 200


def test_the_file_with_the_address_goes_with_the_daemon(tmp_path: Path) -> None:
    with CideryDaemon(tmp_path / "node") as node:
        assert (node.repo / "gateway").read_text().startswith("http://127.0.0.1:")
    assert not (node.repo / "gateway").exists()


def test_a_node_finds_content_through_the_routing_api_of_another(tmp_path: Path) -> None:
    """The owner and the server of the API know each other; the reader knows the API only."""
    with CideryDaemon(tmp_path / "server", {"Routing.Type": '"dht"'}) as server:
        router = (server.repo / "gateway").read_text()
        with (
            CideryDaemon(tmp_path / "owner", {"Routing.Type": '"dht"'}) as owner,
            CideryDaemon(tmp_path / "reader", {"Routing.DelegatedRouters": f'["{router}"]'}) as reader,
        ):
            owner.connect(server.addr)
            (tmp_path / "file").write_bytes(os.urandom(300_000))
            cid = owner.add(tmp_path / "file")
            owner.run("provide", "once", cid)
            assert owner.peer_id in reader.run("routing", "findprovs", cid)
            reader.get(cid, tmp_path / "got")
            assert (tmp_path / "got").read_bytes() == (tmp_path / "file").read_bytes()
            name = owner.run("name", "publish", "-Q", f"/ipfs/{cid}").strip()
            assert reader.run("name", "resolve", name).strip() == f"/ipfs/{cid}"


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/routing/v1/providers/nonsense", 422),
        ("/routing/v1/peers/nonsense", 422),
        ("/routing/v1/ipns/nonsense", 422),
        ("/routing/v1/providers/bafkqaaa", 501),
        ("/routing/v1/other", 404),
    ],
)
def test_the_routing_api_refuses_what_makes_no_sense(
    gateway: http.client.HTTPConnection, target: str, status: int
) -> None:
    assert get(gateway, target)[0].status == status
    assert get(gateway, "/routing/v1/providers/bafkqaaa", "OPTIONS")[0].status == 204


def test_what_cannot_be_checked_is_told_before_anything_is_waited_for(tmp_path: Path) -> None:
    with CideryDaemon(tmp_path / "node") as node:
        gateway = (node.repo / "gateway").read_text()
        rpc = "http://{1}:{3}".format(*(node.repo / "api").read_text().strip().strip("/").split("/"))
        for url, told in ((gateway, "the fixtures are not on this gateway"), (rpc, "is no IPFS gateway")):
            words, environment = node.command("gateway", "check", url)
            done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60, check=False)
            assert (done.returncode, done.stdout) == (2, "") and told in done.stderr, done
