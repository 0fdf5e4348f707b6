"""WebSocket on the port of plain TCP, with and without TLS, with go-libp2p 0.51, Helia 7 and Kubo 0.22."""

import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from peers.certificates import write_certificate
from peers.cidery_daemon import CideryDaemon
from peers.installed import go_command, helia_command, kubo_command
from peers.line_peer import LinePeer, PeerFailed
from peers.trees import digest, write_file

Make = Callable[..., CideryDaemon]
CHANGED_SECONDS = 20.0
"""Until a changed certificate is in use: the node looks every five seconds."""
POLL_SECONDS = 0.3
SMALL = 3 * 1024 * 1024
LISTEN = "/ip4/127.0.0.1/tcp/0"
PORT_SHARED = {"Addresses.Swarm": f'["{LISTEN}", "{LISTEN}/ws"]'}
WS_LISTEN = ("--listen", f"{LISTEN}/ws")


@pytest.fixture(params=["go", "helia", "kubo"])
def peer(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LinePeer]:
    """One that listens on a WebSocket, and on nothing else."""
    (tmp_path / "peer").mkdir()
    command = {
        "go": lambda: go_command(*WS_LISTEN),
        "helia": lambda: helia_command(*WS_LISTEN),
        "kubo": lambda: kubo_command(tmp_path / "peer" / "repo", *WS_LISTEN),
    }[request.param]()
    with LinePeer(command, tmp_path / "peer" / "log") as started:
        yield started


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_certificate(tmp_path_factory.mktemp("certificate"))


def addr_of(node: CideryDaemon, form: str) -> str:
    """The address whose transport ends so."""
    return next(one for one in node.run("swarm", "addrs", "local", "--id").split() if f"{form}/p2p/" in one)


def fetch(peer: LinePeer, cid: str, target: Path) -> None:
    try:
        assert peer.ask("get", cid, str(target))["rc"] == 0
    except PeerFailed:
        peer.ask("cat", cid, str(target))  # Helia's word


def dial(peer: LinePeer, addr: str) -> None:
    try:
        assert peer.ask("connect", addr)["rc"] == 0
    except PeerFailed:
        peer.ask("dial", addr)


def test_cidery_dials_a_websocket_and_gets_a_file(cidery: Make, peer: LinePeer, tmp_path: Path) -> None:
    file = write_file(tmp_path / "file", SMALL, seed=31)
    cid = peer.ask("add", str(file))["cid"]
    node = cidery()
    assert "/ws/p2p/" in peer.addr
    node.connect(peer.addr)
    node.get(cid, tmp_path / "got")
    assert digest(tmp_path / "got") == digest(file)
    assert "/ws" in node.run("swarm", "peers")


def test_a_peer_dials_the_websocket_on_the_port_of_tcp_and_gets_a_file(
    cidery: Make, peer: LinePeer, tmp_path: Path
) -> None:
    file = write_file(tmp_path / "file", SMALL, seed=32)
    node = cidery(PORT_SHARED)
    cid = node.add(file)
    addr = addr_of(node, "/ws")
    assert addr.replace("/ws/", "/") == node.addr, "one port"
    dial(peer, addr)
    assert "/ws" in node.run("swarm", "peers")
    fetch(peer, cid, tmp_path / "got")
    assert digest(tmp_path / "got") == digest(file)
    plain = cidery()
    plain.connect(node.addr)
    assert "/ws" not in plain.run("swarm", "peers")


@pytest.mark.parametrize("form", ["/ip4/127.0.0.1/tcp/{}/tls/ws", "/dns4/localhost/tcp/{}/wss"])
def test_a_go_dials_a_websocket_under_tls(
    cidery: Make, certificate: tuple[Path, Path], tmp_path: Path, form: str
) -> None:
    cert, key = certificate
    tls = f'{{"CertFile": "{cert}", "KeyFile": "{key}"}}'
    listen = f'["{LISTEN}", "{LISTEN}/ws", "{LISTEN}/tls/ws"]'
    node = cidery({"Addresses.Swarm": listen, "Swarm.TLS": tls})
    addr = addr_of(node, "/tls/ws")
    port = addr.split("/")[4]
    assert {one.split("/")[4] for one in node.run("swarm", "addrs", "local").split()} == {port}
    with LinePeer(go_command("--ca", str(cert)), tmp_path / "go.log") as go:
        said = go.ask("connect", f"{form.format(port)}/p2p/{node.peer_id}")
        assert said["muxer"] == "/yamux/1.0.0"
        assert go.ask("ping", node.peer_id)["ok"]
        assert "/tls/ws" in node.run("swarm", "peers")
        assert addr.split("/p2p/")[0] in go.ask("identified", node.peer_id)["addrs"], "it is announced"
    with LinePeer(go_command(), tmp_path / "go2.log") as stranger, pytest.raises(PeerFailed, match="certificate"):
        stranger.ask("connect", f"{form.format(port)}/p2p/{node.peer_id}")


def test_cidery_dials_a_websocket_under_tls_whose_certificate_it_trusts(
    cidery: Make, certificate: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cert, key = certificate
    doubting = cidery()
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    node = cidery()
    command = go_command("--listen", f"{LISTEN}/tls/ws", "--cert", str(cert), "--key", str(key))
    with LinePeer(command, tmp_path / "go.log") as go:
        port = go.addr.split("/")[4]
        with pytest.raises(PeerFailed, match="certificate"):
            node.connect(f"/ip4/127.0.0.1/tcp/{port}/tls/sni/other.example/ws/p2p/{go.peer_id}")
        for addr in (
            go.addr,
            f"/dns4/localhost/tcp/{port}/tls/ws/p2p/{go.peer_id}",
            f"/ip4/127.0.0.1/tcp/{port}/tls/sni/localhost/ws/p2p/{go.peer_id}",
        ):
            node.connect(addr)
            assert "Pong received" in node.run("ping", "-n", "1", go.peer_id)
            node.run("swarm", "disconnect", go.addr)
        with pytest.raises(PeerFailed, match="certificate"):
            doubting.connect(go.addr)


def test_a_changed_certificate_is_shown(cidery: Make, tmp_path: Path) -> None:
    (tmp_path / "tls").mkdir()
    cert, key = write_certificate(tmp_path / "tls")
    tls = f'{{"CertFile": "{cert}", "KeyFile": "{key}"}}'
    node = cidery({"Addresses.Swarm": f'["{LISTEN}", "{LISTEN}/tls/ws"]', "Swarm.TLS": tls})
    port = int(node.addr.split("/")[4])

    def is_shown() -> bool:
        return ssl.get_server_certificate(("127.0.0.1", port)).strip() == cert.read_text().strip()

    assert is_shown()
    write_certificate(tmp_path / "tls", of_rsa=True)
    deadline = time.monotonic() + CHANGED_SECONDS
    while not is_shown():
        assert time.monotonic() < deadline, "the old one stays"
        time.sleep(POLL_SECONDS)


def test_it_can_be_switched_off(cidery: Make, tmp_path: Path) -> None:
    node = cidery(PORT_SHARED | {"Swarm.Transports.Network.Websocket": "false"})
    assert "/ws" not in node.run("swarm", "addrs", "local")
    with LinePeer(go_command(*WS_LISTEN), tmp_path / "go.log") as go, pytest.raises(PeerFailed, match="cannot reach"):
        node.connect(go.addr)
