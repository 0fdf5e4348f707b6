"""Port mapping in a home network: a machine, and a gateway that speaks NAT-PMP, each on a host of its own."""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from peers.cidery_daemon import CideryDaemon
from peers.installed import HERE, js_nat_pmp_command
from peers.line_peer import LinePeer
from peers.little_internet import Host, LittleInternet

GATEWAY, MACHINE, OUTSIDE = "192.168.1.1", "192.168.1.2", "81.7.0.1"
PORT = 4001
UDP, TCP = 1, 2
"""Opcodes of a mapping."""
LISTENED = [f"/ip4/0.0.0.0/tcp/{PORT}", f"/ip4/0.0.0.0/udp/{PORT}/quic-v1"]
HOME = {"Addresses.Swarm": json.dumps(LISTENED), "Swarm.DisableNatPortMap": "false"}
MAPPED_SECONDS = 10.0
QUIET_SECONDS = 3.0
"""In which a node that may not ask has had the time to do so."""


@pytest.fixture
def home() -> Iterator[tuple[Host, Host]]:
    """The gateway and the machine behind it."""
    with LittleInternet() as internet:
        gateway, machine = internet.host(GATEWAY), internet.host(MACHINE)
        machine.ip("route", "replace", "default", "via", GATEWAY, "dev", "eth0", "onlink")
        yield gateway, machine


@pytest.fixture
def gateway(home: tuple[Host, Host], tmp_path: Path) -> Iterator[LinePeer]:
    command = [sys.executable, str(HERE / "nat_pmp_gateway.py"), GATEWAY, OUTSIDE]
    with LinePeer([*home[0].within, *command], tmp_path / "gateway.log") as peer:
        yield peer


def mappings(gateway: LinePeer, wanted: int, seconds: float = MAPPED_SECONDS) -> list[list[object]]:
    """The gateway's table as soon as it has so many rows: host, opcode, port inside, port outside, lifetime."""
    deadline = time.monotonic() + seconds
    while len(found := gateway.ask("mappings")["mappings"]) != wanted and time.monotonic() < deadline:
        time.sleep(0.1)
    return list(found)


def test_js_libp2ps_client_maps_ports_at_the_test_gateway(
    home: tuple[Host, Host], gateway: LinePeer, tmp_path: Path
) -> None:
    """Which shows that the gateway, written for these tests, speaks what others speak."""
    command = [*home[1].within, *js_nat_pmp_command(GATEWAY, MACHINE)]
    with LinePeer(command, tmp_path / "js.log") as client:
        assert client.ask("outside")["host"] == OUTSIDE
        for protocol in ("TCP", "UDP"):
            mapped = client.ask("map", str(PORT), protocol)
            assert (mapped["host"], mapped["port"]) == (OUTSIDE, PORT)
        assert sorted(mappings(gateway, 2)) == [[MACHINE, opcode, PORT, PORT, 3600] for opcode in (UDP, TCP)]
        client.ask("unmap", str(PORT), "TCP")
        assert mappings(gateway, 1) == [[MACHINE, UDP, PORT, PORT, 3600]]
        client.ask("unmap", str(PORT), "UDP")
        assert mappings(gateway, 0) == []


def told(node: CideryDaemon, wanted: set[str]) -> set[str]:
    """The node's addresses outside as soon as it has the wanted ones."""
    deadline = time.monotonic() + MAPPED_SECONDS
    while True:
        addrs = {addr.rpartition("/p2p/")[0] for addr in json.loads(node.run("id"))["Addresses"]}
        found = {addr for addr in addrs if OUTSIDE in addr}
        if found == wanted or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


ADDRESSES = {TCP: f"/ip4/{OUTSIDE}/tcp/{PORT}", UDP: f"/ip4/{OUTSIDE}/udp/{PORT}/quic-v1"}


@pytest.mark.parametrize("refused", [None, TCP, UDP])
def test_cidery_has_its_ports_mapped_tells_the_addresses_and_takes_them_back(
    home: tuple[Host, Host], gateway: LinePeer, tmp_path: Path, refused: int | None
) -> None:
    """TCP's and UDP's, each also where the other is refused; AutoNAT has both to judge."""
    if refused is not None:
        gateway.ask("refuse", str(refused))
    given = {opcode: addr for opcode, addr in ADDRESSES.items() if opcode != refused}
    with CideryDaemon(tmp_path / "node", HOME, within=home[1].within) as node:
        found = mappings(gateway, len(given))
        assert sorted(found) == sorted([MACHINE, opcode, PORT, PORT, 7200] for opcode in given)
        assert told(node, set(given.values())) == set(given.values())
        judged = node.run("swarm", "addrs", "autonat")
        assert all(addr in judged for addr in given.values()), judged
    assert mappings(gateway, 0) == []


@pytest.mark.parametrize("why", ["config", "private", "lan"])
def test_cidery_asks_no_gateway_where_it_may_not(
    home: tuple[Host, Host], gateway: LinePeer, tmp_path: Path, why: str
) -> None:
    config = dict(HOME)
    if why == "config":
        config["Swarm.DisableNatPortMap"] = "true"
    if why == "lan":
        config["Swarm.LocalOnly"] = "true"
    key = f"/key/swarm/psk/1.0.0/\n/base16/\n{'5c' * 32}\n" if why == "private" else ""
    with CideryDaemon(tmp_path / "node", config, key, home[1].within):
        time.sleep(QUIET_SECONDS)
        assert gateway.ask("mappings")["requests"] == 0
