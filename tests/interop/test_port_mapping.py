"""Port mapping in a home network: a machine, and a gateway that speaks NAT-PMP, each on a host of its own."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from peers.cidery_daemon import CideryDaemon
from peers.installed import HERE, js_nat_pmp_command
from peers.line_peer import LinePeer
from peers.little_internet import Host, LittleInternet

GATEWAY, MACHINE, OUTSIDE = "192.168.1.1", "192.168.1.2", "203.0.113.7"
PORT = 4001
TCP = 2
"""Opcode of a mapping."""
HOME = {"Addresses.Swarm": f'["/ip4/0.0.0.0/tcp/{PORT}"]', "Swarm.DisableNatPortMap": "false"}
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


def test_js_libp2ps_client_maps_a_port_at_the_test_gateway(
    home: tuple[Host, Host], gateway: LinePeer, tmp_path: Path
) -> None:
    """Which shows that the gateway, written for these tests, speaks what others speak."""
    command = [*home[1].within, *js_nat_pmp_command(GATEWAY, MACHINE)]
    with LinePeer(command, tmp_path / "js.log") as client:
        assert client.ask("outside")["host"] == OUTSIDE
        mapped = client.ask("map", str(PORT))
        assert (mapped["host"], mapped["port"]) == (OUTSIDE, PORT)
        assert mappings(gateway, 1) == [[MACHINE, TCP, PORT, PORT, 3600]]
        client.ask("unmap", str(PORT))
        assert mappings(gateway, 0) == []


def test_cidery_has_its_port_mapped_tells_the_address_and_takes_it_back(
    home: tuple[Host, Host], gateway: LinePeer, tmp_path: Path
) -> None:
    with CideryDaemon(tmp_path / "node", HOME, within=home[1].within) as node:
        assert mappings(gateway, 1) == [[MACHINE, TCP, PORT, PORT, 7200]]
        assert f"/ip4/{OUTSIDE}/tcp/{PORT}/" in node.run("id")
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
