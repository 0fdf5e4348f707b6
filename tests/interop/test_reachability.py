"""AutoNAT with real peers on a little Internet: hosts with public addresses, some of which nobody can connect to.

Kubo 0.22 speaks version 1, go-libp2p 0.51 and js-libp2p both. The server of version 1 of js is left out: it takes the
connection that the question came by for its dial, and closes it.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from peers.cidery_daemon import CideryDaemon
from peers.installed import go_command, helia_command, kubo_command
from peers.line_peer import LinePeer
from peers.little_internet import Host, LittleInternet

PORT = 4001
DHT = "/ipfs/kad/1.0.0"
VERDICT_SECONDS = 60.0
"""All servers are asked at once; Kubo waits 15 s for a dial that nobody answers. The rest is for a busy machine."""
ASKED_SECONDS = 60.0
"""Until a peer has asked us and believes the answer: Kubo waits 15 s after its start."""
POLL_SECONDS = 0.5


def listening(host: Host) -> str:
    return f"/ip4/{host.address}/tcp/{PORT}"


def comes_true(what: Callable[[], bool], seconds: float) -> bool:
    """Whether it is true within this time."""
    deadline = time.monotonic() + seconds
    while not what():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


class Machines:
    """Nodes on hosts of their own, each in a /16 of its own."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self._internet = stack.enter_context(LittleInternet())
        self._count = 0

    def host(self, *, open_: bool = True) -> Host:
        """``open_`` False: behind a firewall that lets nobody in."""
        self._count += 1
        host = self._internet.host(f"{80 + self._count}.{self._count}.0.1")
        if not open_:
            host.drop_inbound(PORT)
        return host

    def cidery(self, host: Host, *addrs: str) -> CideryDaemon:
        config = {"Addresses.Swarm": json.dumps(addrs or [listening(host)]), "Routing.Type": '"auto"'}
        folder = self._folder / f"cidery-{host.address}"
        return self._stack.enter_context(CideryDaemon(folder, config, within=host.within))

    def kubo(self, host: Host) -> LinePeer:
        folder = self._folder / f"kubo-{host.address}"
        folder.mkdir()
        command = kubo_command(folder / "repo", "--listen", listening(host))
        env = {"GOLOG_LOG_LEVEL": "error,autonat=debug"}
        return self._stack.enter_context(LinePeer([*host.within, *command], folder / "log", env))

    def go(self, host: Host) -> LinePeer:
        folder = self._folder / f"go-{host.address}"
        folder.mkdir()
        command = go_command("--listen", listening(host))
        return self._stack.enter_context(LinePeer([*host.within, *command], folder / "log"))

    def helia(self, host: Host, version: str, addr: str = "") -> LinePeer:
        folder = self._folder / f"helia-{host.address}"
        folder.mkdir()
        command = helia_command("--listen", addr or listening(host), "--autonat", version)
        return self._stack.enter_context(LinePeer([*host.within, *command], folder / "log"))


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    with ExitStack() as stack:
        yield Machines(tmp_path, stack)


def serves(asked: CideryDaemon, peer: str) -> bool:
    """Whether a peer says that it serves the public DHT."""
    return f'"{DHT}"' in asked.run("id", peer)


def test_cidery_serves_the_dht_where_kubo_go_and_helia_can_dial_it_and_not_behind_a_firewall(
    machines: Machines,
) -> None:
    # three servers have to agree, so each of them was understood
    gos = [machines.kubo(machines.host()), machines.go(machines.host())]
    helias = [machines.helia(machines.host(), "2") for _ in range(3)]
    reachable, hidden = machines.cidery(machines.host()), machines.cidery(machines.host(open_=False))
    paying = machines.cidery(*with_another_address(machines.host()))  # version 2 only: dial data
    asked = {paying: helias, reachable: [*gos, helias[0]], hidden: [*gos, helias[0]]}
    for node, servers in asked.items():
        assert verdict(node) == "unknown" and f'"{DHT}"' not in node.run("id")
        for server in servers:
            node.connect(server.addr)
    for node in (reachable, paying):
        assert comes_true(lambda node=node: verdict(node) == "reachable", VERDICT_SECONDS)
        assert comes_true(lambda node=node: f'"{DHT}"' in node.run("id"), ASKED_SECONDS)
    assert comes_true(lambda: verdict(hidden) == "unreachable", VERDICT_SECONDS)
    assert f'"{DHT}"' not in hidden.run("id")
    for node, servers in asked.items():  # the dial-backs have cost no connection
        assert all(server.peer_id in node.run("swarm", "peers") for server in servers)


def test_tcp_and_quic_are_judged_each_on_its_own(machines: Machines) -> None:
    """As behind a router that passes on one port and not the other: by three Ciderys, which dial back by QUIC, too."""
    servers = [machines.cidery(host, *by_both(host)) for host in (machines.host() for _ in range(3))]
    open_, half = machines.host(), machines.host()
    half.drop_inbound(PORT, "udp")
    reachable, half_hidden = (machines.cidery(host, *by_both(host)) for host in (open_, half))
    for node in (reachable, half_hidden):
        for server in servers:
            node.connect(next(addr for addr in json.loads(server.run("id"))["Addresses"] if "/tcp/" in addr))
    wanted = dict.fromkeys(by_both(open_), "reachable")
    assert comes_true(lambda: verdicts(reachable) == wanted, VERDICT_SECONDS), verdicts(reachable)
    wanted = dict(zip(by_both(half), ("reachable", "unreachable"), strict=True))
    assert comes_true(lambda: verdicts(half_hidden) == wanted, VERDICT_SECONDS), verdicts(half_hidden)


def test_a_kubo_learns_from_cidery_whether_it_can_be_reached(machines: Machines) -> None:
    node, witness = machines.cidery(machines.host()), machines.cidery(machines.host())
    reachable, hidden = machines.kubo(machines.host()), machines.kubo(machines.host(open_=False))
    node.connect(reachable.addr)
    assert comes_true(lambda: serves(node, reachable.peer_id), ASKED_SECONDS)
    assert hidden.ask("connect", witness.addr)["rc"] == 0
    assert comes_true(lambda: "NAT status is private" in hidden.log.read_text(), ASKED_SECONDS)
    assert not serves(witness, hidden.peer_id)


def test_a_go_learns_from_cidery_whether_it_can_be_reached(machines: Machines) -> None:
    nodes = [machines.cidery(machines.host()) for _ in range(2)]  # it believes no single one
    reachable, hidden = (machines.go(machines.host(open_=each)) for each in (True, False))
    for peer in (reachable, hidden):
        for node in nodes:
            assert peer.ask("connect", node.addr)["rc"] == 0
    # version 2 judges addresses, version 1 the node
    assert comes_true(lambda: listening_on(reachable) in verified_addrs(reachable), ASKED_SECONDS)
    assert comes_true(lambda: reachable.ask("reachability")["v1"] == "Public", ASKED_SECONDS)
    assert comes_true(lambda: hidden.ask("reachability")["v1"] == "Private", ASKED_SECONDS)
    assert comes_true(lambda: listening_on(hidden) in hidden.ask("reachability")["unreachable"], ASKED_SECONDS)
    assert serves(nodes[0], reachable.peer_id) and not serves(nodes[0], hidden.peer_id)


@pytest.mark.parametrize("version", ["1", "2"])
def test_a_helia_learns_from_cidery_whether_it_can_be_reached(machines: Machines, version: str) -> None:
    node = machines.cidery(machines.host())
    reachable, hidden = (machines.helia(machines.host(open_=each), version) for each in (True, False))
    assert not verified(reachable) and not verified(hidden)
    for peer in (reachable, hidden):
        peer.ask("dial", node.addr)
    assert comes_true(lambda: verified(reachable), ASKED_SECONDS)
    assert not verified(hidden)


def test_a_helia_pays_cidery_for_the_dial_of_another_address_than_it_is_seen_at(machines: Machines) -> None:
    host, addr = with_another_address(machines.host())
    helia, node = machines.helia(host, "2", addr), machines.cidery(machines.host())
    helia.ask("dial", node.addr)
    assert comes_true(lambda: verified(helia), ASKED_SECONDS)


def with_another_address(host: Host) -> tuple[Host, str]:
    """The host and what to listen on there: an address that its own connections do not come from."""
    other = f"1{host.address}"
    host.ip("address", "add", f"{other}/32", "dev", "eth0")
    return host, f"/ip4/{other}/tcp/{PORT}"


def by_both(host: Host) -> tuple[str, str]:
    """What to listen on: TCP and QUIC."""
    return listening(host), f"/ip4/{host.address}/udp/{PORT}/quic-v1"


def verdicts(node: CideryDaemon) -> dict[str, str]:
    """What a Cidery knows of each of its addresses."""
    lines = map(str.strip, node.run("swarm", "addrs", "autonat").splitlines())
    return {line.split()[0].partition("/p2p/")[0]: line.split()[-1] for line in lines if line.startswith("/")}


def verdict(node: CideryDaemon) -> str:
    """What a Cidery knows of its one address."""
    line = node.run("swarm", "addrs", "autonat").splitlines()[1]
    return line.split()[-1]


def listening_on(peer: LinePeer) -> str:
    """Its address without its id."""
    return peer.addr.split("/p2p/")[0]


def verified_addrs(peer: LinePeer) -> list[str]:
    """Own addresses that a peer believes can be dialled."""
    addrs: list[str] = peer.ask("verified")["addrs"]
    return addrs


def verified(helia: LinePeer) -> bool:
    """Whether a Helia believes that its own address can be dialled."""
    return verified_addrs(helia) != []
