"""Hole punching through NATs of the kernel, in network namespaces: who is reached directly, and who cannot be.

Both nodes are behind routers that let in only what belongs to something sent out; the relay is of go-libp2p.
"""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from peers.cidery_daemon import CideryDaemon
from peers.installed import go_command, helia_command, kubo_command
from peers.line_peer import LinePeer
from peers.little_internet import Host, LittleInternet, require_nat
from peers.trees import digest, write_file
from peers.waiting import until

TCP, QUIC = "tcp/4001", "udp/4001/quic-v1"
RELAY = "90.1.0.1"
PUNCHED_WITHIN = 5.0
"""Seconds on a quiet machine (issue: 95 % of the pairs); tests allow thrice that."""


class Nats:
    """A relay on the wire, and homes behind NATs."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self._stack, self._folder = stack, folder
        self._internet = stack.enter_context(LittleInternet())
        self._homes = 0
        listen = [f"--listen=/ip4/{RELAY}/{form}" for form in (TCP, QUIC)]
        options = ("--relay", "default", "--reachability", "public", "--dht", "off")
        command = [*self._internet.host(RELAY).within, *go_command(*listen, *options)]
        self.relay = stack.enter_context(LinePeer(command, folder / "relay.log"))

    def home(self, kind: str) -> Host:
        self._homes += 1
        router = self._internet.host(f"{90 + self._homes}.{self._homes + 1}.0.1")
        return self._internet.home(router, self._homes, symmetric=kind == "symmetric")

    def walled(self) -> Host:
        """A host with a public address that nobody can dial."""
        self._homes += 1
        host = self._internet.host(f"{90 + self._homes}.{self._homes + 1}.0.1")
        self._internet.wall(host)
        return host

    def go(self, host: Host, form: str) -> LinePeer:
        """One that punches holes, and tells of it."""
        options = ("--holepunch", "--dht", "off", "--reachability", "private")
        command = [*host.within, *go_command("--listen", f"/ip4/{host.address}/{form}", *options)]
        return self._stack.enter_context(LinePeer(command, self._folder / f"go-{host.address}.log"))

    def js(self, host: Host, *, announces: bool) -> LinePeer:
        """One that punches holes by TCP, from another port than the one it listens on."""
        announce = ("--announce", f"/ip4/{host.address}/{TCP}") if announces else ()
        command = [*host.within, *helia_command("--listen", f"/ip4/{host.address}/{TCP}", "--dcutr", *announce)]
        return self._stack.enter_context(LinePeer(command, self._folder / f"js-{host.address}.log"))

    def open_(self) -> Host:
        """A host with a public address that everybody can dial."""
        self._homes += 1
        return self._internet.host(f"{90 + self._homes}.{self._homes + 1}.0.1")

    def kubo_relay(self) -> LinePeer:
        host, folder = self.open_(), self._folder / "kubo"
        folder.mkdir()
        command = kubo_command(folder / "repo", "--relay", "--listen", f"/ip4/{host.address}/{TCP}")
        return self._stack.enter_context(LinePeer([*host.within, *command], folder / "log"))

    def at(self, form: str) -> str:
        """The relay."""
        return f"/ip4/{RELAY}/{form}/p2p/{self.relay.peer_id}"

    def cidery(self, host: Host, form: str, **more: object) -> CideryDaemon:
        config: dict[str, object] = {"Addresses.Swarm": [f"/ip4/0.0.0.0/{form}"], "Routing.Type": "none"}
        config |= {key.replace("_", "."): value for key, value in more.items()}
        folder = self._folder / host.address
        texts = {key: json.dumps(value) for key, value in config.items()}
        return self._stack.enter_context(CideryDaemon(folder, texts, within=host.within))

    def behind(self, host: Host, form: str) -> CideryDaemon:
        """One that the relay has granted a reservation."""
        node = self.cidery(host, form, Swarm_RelayClient_StaticRelays=[self.at(form)])
        until(lambda: "/p2p-circuit/" in node.run("id"))
        return node


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[Nats]:
    require_nat()
    with ExitStack() as stack:
        yield Nats(stack, tmp_path)


def _direct(node: CideryDaemon, peer: str) -> bool:
    lines = [line for line in node.run("swarm", "peers").splitlines() if line.endswith(peer)]
    return any("/p2p-circuit/" not in line for line in lines)


@pytest.mark.parametrize("form", [TCP, QUIC], ids=["tcp", "quic"])
def test_two_nodes_behind_nats_that_keep_ports_reach_each_other(nats: Nats, form: str, tmp_path: Path) -> None:
    behind, dialler = nats.behind(nats.home("nat"), form), nats.cidery(nats.home("nat"), form)
    file = write_file(tmp_path / "file", 4 << 20, seed=41)
    cid = behind.add(file)
    began = time.monotonic()
    dialler.connect(f"{nats.at(form)}/p2p-circuit/p2p/{behind.peer_id}")
    until(lambda: _direct(dialler, behind.peer_id), 3 * PUNCHED_WITHIN)
    assert time.monotonic() - began < 3 * PUNCHED_WITHIN
    dialler.get(cid, tmp_path / "got")
    assert digest(tmp_path / "got") == digest(file)
    assert "Hole punching with" in dialler.run("swarm", "addrs", "autonat")


def test_where_a_nat_shows_each_peer_another_port_the_relay_remains(nats: Nats) -> None:
    behind, dialler = nats.behind(nats.home("symmetric"), QUIC), nats.cidery(nats.home("symmetric"), QUIC)
    dialler.connect(f"{nats.at(QUIC)}/p2p-circuit/p2p/{behind.peer_id}")
    told = f"Hole punching with {dialler.peer_id}: "
    until(lambda: "attempt 3: " in behind.run("swarm", "addrs", "autonat"), 60.0)
    line = next(one for one in behind.run("swarm", "addrs", "autonat").splitlines() if one.startswith(told))
    assert all(f"attempt {number}: no answer in time" in line for number in (1, 2, 3)), line
    assert not _direct(dialler, behind.peer_id)
    assert "Pong received" in dialler.run("ping", "-n", "1", behind.peer_id)


@pytest.mark.parametrize("form", [TCP, QUIC], ids=["tcp", "quic"])
def test_go_dials_and_ours_begins(nats: Nats, form: str) -> None:
    behind, go = nats.behind(nats.home("nat"), form), nats.go(nats.walled(), form)
    assert go.ask("connect", f"{nats.at(form)}/p2p-circuit/p2p/{behind.peer_id}")["limited"]
    until(lambda: _direct(behind, go.peer_id), 3 * PUNCHED_WITHIN)


@pytest.mark.parametrize("form", [TCP, QUIC], ids=["tcp", "quic"])
def test_ours_dials_and_go_begins(nats: Nats, form: str) -> None:
    go, dialler = nats.go(nats.walled(), form), nats.cidery(nats.home("nat"), form)
    go.ask("reserve", nats.at(form))
    dialler.connect(f"{nats.at(form)}/p2p-circuit/p2p/{go.peer_id}")
    ended = go.ask("wait-event", "EndHolePunch", 30)["event"]
    assert ended["details"]["Success"], ended
    until(lambda: _direct(dialler, go.peer_id), 3 * PUNCHED_WITHIN)


def test_js_asks_ours_behind_a_nat_to_dial_it(nats: Nats) -> None:
    """It was reached through the relay, cannot dial ours, and names where it is: ours dials there at the sign."""
    js, dialler = nats.js(nats.open_(), announces=True), nats.cidery(nats.home("nat"), TCP)
    js.ask("reserve", nats.at(TCP))
    dialler.connect(f"{nats.at(TCP)}/p2p-circuit/p2p/{js.peer_id}")
    until(lambda: _direct(dialler, js.peer_id), 3 * PUNCHED_WITHIN)
    assert "asked for: direct at" in dialler.run("swarm", "addrs", "autonat")


def test_ours_asks_js_behind_a_wall_to_dial_it(nats: Nats) -> None:
    """It can be dialled nowhere and names no address: what makes the connection direct is that it dials at our sign."""
    behind = nats.cidery(nats.open_(), TCP, Swarm_RelayClient_StaticRelays=[nats.at(TCP)])
    js = nats.js(nats.walled(), announces=False)
    until(lambda: "/p2p-circuit/" in behind.run("id"))
    js.ask("dial", f"{nats.at(TCP)}/p2p-circuit/p2p/{behind.peer_id}")
    until(lambda: _direct(behind, js.peer_id), 3 * PUNCHED_WITHIN)
    assert "attempt 1: direct at" in behind.run("swarm", "addrs", "autonat")


def test_a_relay_of_kubo_brings_ours_together(nats: Nats) -> None:
    kubo = nats.kubo_relay()
    behind = nats.cidery(nats.home("symmetric"), TCP, Swarm_RelayClient_StaticRelays=[kubo.addr])
    until(lambda: f"{kubo.addr}/p2p-circuit/p2p/{behind.peer_id}" in behind.run("id"))
    dialler = nats.cidery(nats.home("nat"), TCP)
    dialler.connect(f"{kubo.addr}/p2p-circuit/p2p/{behind.peer_id}")
    assert "Pong received" in dialler.run("ping", "-n", "2", behind.peer_id)
    assert not _direct(dialler, behind.peer_id)
