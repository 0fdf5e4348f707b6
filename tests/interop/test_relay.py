"""Relays with real peers: those of Go and js between two of ours; ours, Go and js behind one; what does not go over it.

Kubo 0.22's names public addresses only: interop/test_punching_nats.py.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from peers.cidery_daemon import CideryDaemon
from peers.installed import go_command, helia_command
from peers.line_peer import LinePeer, PeerFailed
from peers.waiting import until

Make = Callable[..., CideryDaemon]
TCP = "/ip4/127.0.0.1/tcp/0"


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LinePeer]:
    command = go_command("--listen", TCP, "--relay", "default", "--reachability", "public", "--dht", "off")
    with LinePeer(command, tmp_path_factory.mktemp("relay") / "log") as peer:
        yield peer


def _behind(cidery: Make, relay: LinePeer) -> CideryDaemon:
    """A node of ours that a relay has granted a reservation."""
    relays = {"Swarm.RelayClient.StaticRelays": json.dumps([relay.addr]), "Swarm.EnableHolePunching": "false"}
    node = cidery(relays)
    until(lambda: f"{relay.addr}/p2p-circuit/p2p/{node.peer_id}" in node.run("id"))
    return node


def _through(relay: LinePeer, peer_id: str) -> str:
    return f"{relay.addr}/p2p-circuit/p2p/{peer_id}"


def test_ours_reaches_ours_through_a_relay(cidery: Make, relay: LinePeer, tmp_path: Path) -> None:
    behind, dialler = _behind(cidery, relay), cidery()
    dialler.connect(_through(relay, behind.peer_id))
    assert "Pong received" in dialler.run("ping", "-n", "2", behind.peer_id)
    line = next(one for one in dialler.run("swarm", "peers", "-v").splitlines() if behind.peer_id in one)
    assert "/p2p-circuit/p2p/" in line and line.endswith("outbound limited")
    line = next(one for one in behind.run("swarm", "peers", "-v").splitlines() if dialler.peer_id in one)
    assert "/p2p-circuit/p2p/" in line and line.endswith("inbound limited")


def test_a_relay_of_js_brings_ours_together(cidery: Make, tmp_path: Path) -> None:
    with LinePeer(helia_command("--listen", TCP, "--relay"), tmp_path / "log") as js:
        behind, dialler = _behind(cidery, js), cidery()
        dialler.connect(_through(js, behind.peer_id))
        assert "Pong received" in dialler.run("ping", "-n", "2", behind.peer_id)
        line = next(one for one in behind.run("swarm", "peers", "-v").splitlines() if dialler.peer_id in one)
        assert "/p2p-circuit/p2p/" in line and line.endswith("inbound limited")


def test_js_reaches_ours_and_ours_reaches_js_through_a_relay(cidery: Make, relay: LinePeer, tmp_path: Path) -> None:
    behind = _behind(cidery, relay)
    with LinePeer(helia_command("--listen", TCP), tmp_path / "log") as js:
        js.ask("dial", _through(relay, behind.peer_id))
        (made,) = [one for one in js.ask("connections")["connections"] if one["peer"] == behind.peer_id]
        assert made["limited"] and "/p2p-circuit" in made["addr"]
        assert js.ask("ping", behind.peer_id)["milliseconds"] >= 0  # whole ones
        node = cidery()
        assert js.ask("reserve", relay.addr)["addrs"]
        node.connect(_through(relay, js.peer_id))
        assert "Pong received" in node.run("ping", "-n", "2", js.peer_id)


def test_ours_is_a_relay_between_js_peers(cidery: Make, tmp_path: Path) -> None:
    command = helia_command("--listen", TCP)
    with LinePeer(command, tmp_path / "behind") as behind, LinePeer(command, tmp_path / "dialler") as dialler:
        peered = [{"ID": behind.peer_id, "Addrs": [behind.addr.partition("/p2p/")[0]]}]
        node = cidery({"Peering.Peers": json.dumps(peered)})
        behind.ask("dial", node.addr)
        behind.ask("reserve", node.addr)
        dialler.ask("dial", f"{node.addr}/p2p-circuit/p2p/{behind.peer_id}")
        assert dialler.ask("ping", behind.peer_id)["milliseconds"] >= 0


def test_go_reaches_ours_through_a_relay(cidery: Make, relay: LinePeer, tmp_path: Path) -> None:
    behind = _behind(cidery, relay)
    with LinePeer(go_command("--listen", TCP, "--dht", "off"), tmp_path / "log") as go:
        made = go.ask("connect", _through(relay, behind.peer_id))
        assert made["limited"]
        assert len(go.ask("ping", behind.peer_id, 2)["milliseconds"]) == 2
        told = go.ask("identified", behind.peer_id)
        assert any("/p2p-circuit" in addr for addr in told["addrs"]), told


def test_ours_reaches_go_through_a_relay(cidery: Make, relay: LinePeer, tmp_path: Path) -> None:
    options = ("--listen", TCP, "--dht", "off", "--reachability", "private")
    node = cidery()
    with LinePeer(go_command(*options), tmp_path / "log") as go:
        assert go.ask("reserve", relay.addr)["voucher"]
        node.connect(_through(relay, go.peer_id))
        assert "Pong received" in node.run("ping", "-n", "2", go.peer_id)
        assert "/cidery-test/echo/1.0.0" in node.run("id", go.peer_id)


def test_a_peer_without_a_reservation_is_not_reached(cidery: Make, relay: LinePeer) -> None:
    node, other = cidery(), cidery()
    other.connect(relay.addr)
    with pytest.raises(PeerFailed, match="the peer has no reservation there"):
        node.connect(_through(relay, other.peer_id))


def test_the_reservation_ends_with_its_connection_and_is_made_again(cidery: Make, relay: LinePeer) -> None:
    node = _behind(cidery, relay)
    relay.ask("disconnect", node.peer_id)
    until(lambda: "/p2p-circuit" not in node.run("id"))
    until(lambda: "/p2p-circuit" in node.run("id"))


def test_relays_are_switched_off_as_in_kubo(cidery: Make, relay: LinePeer) -> None:
    node = cidery({"Swarm.Transports.Network.Relay": "false"})
    with pytest.raises(PeerFailed, match="no transport here"):
        node.connect(_through(relay, "12D3KooWEseb1CSSahxtzr4GYuMBDzVFzTnfR6CyWKAMKTLXGD8h"))
    assert "circuit" not in node.run("id")


def test_ours_is_a_relay_between_go_peers(cidery: Make, tmp_path: Path) -> None:
    command = go_command("--listen", TCP, "--dht", "off")
    with LinePeer(command, tmp_path / "behind") as behind, LinePeer(command, tmp_path / "dialler") as dialler:
        peered = [{"ID": behind.peer_id, "Addrs": [behind.addr.partition("/p2p/")[0]]}]
        node = cidery({"Peering.Peers": json.dumps(peered)})
        granted = behind.ask("reserve", node.addr)
        assert granted["voucher"] and granted["limitBytes"] == 0 and granted["limitSeconds"] == 0
        through = f"{node.addr}/p2p-circuit/p2p/{behind.peer_id}"
        made = dialler.ask("connect", through)
        assert not made["limited"], "a peer of the list has no limits"
        dialler.ask("send", behind.peer_id, 4 << 20)
        dialler.ask("receive", behind.peer_id, 4 << 20)
        with pytest.raises(PeerFailed, match="PERMISSION_DENIED|permission"):
            dialler.ask("reserve", node.addr)
