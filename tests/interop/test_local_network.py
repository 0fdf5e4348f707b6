"""A local network without the Internet: hosts on one wire, with the public defaults. What they send is written down."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from peers.cidery_daemon import CideryDaemon
from peers.installed import HERE
from peers.line_peer import LinePeer, PeerFailed
from peers.little_internet import WIRE, Host, LittleInternet

ROUTER = "192.168.77.1"
NEAR = [ip_network(text) for text in ("192.168.77.0/24", "169.254.0.0/16", "224.0.0.0/24", "fe80::/10", "ff02::/16")]
"""Where a node that keeps to itself may send: its own network and the groups that no router passes on."""
ASKING = {53: "DNS", 5351: "NAT-PMP"}
"""Ports of the router that lead outside all the same."""
EXCHANGE_SECONDS = 10.0
"""From the start of both to the first byte; three on a quiet machine (bench/lan.py)."""
FOUND_SECONDS = 45.0
"""Until a node is found that has got its address late, or has it again: it looks at its own every few seconds."""
STOP_SECONDS = 3.0
"""To stop while look-ups of names, routers and peers are under way: a third of a second on a quiet machine."""
KEY = f"/key/swarm/psk/1.0.0/\n/base16/\n{'5c' * 32}\n"
ABSENT = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"
SIZE = 300 << 20
OUT_SECONDS = 3.0
"""For which a cable is out."""


class Lan:
    """Hosts with the addresses 192.168.77.11 and up, whose default route leads to a router that passes nothing on."""

    def __init__(self, folder: Path, stack: ExitStack, *, router: bool = True) -> None:
        self._folder = folder
        self._stack = stack
        self._router = router
        self.wire = stack.enter_context(LittleInternet())
        self.wire.be_router(f"{ROUTER}/24")
        command = [*self.wire.on_the_wire, sys.executable, str(HERE / "wire_watch.py"), WIRE]
        self._watch = stack.enter_context(LinePeer(command, folder / "watch.log"))
        self._count = 0

    def host(self) -> Host:
        self._count += 1
        host = self.wire.host(f"192.168.77.{10 + self._count}")
        host.ip("route", "del", "default")
        host.ip("route", "add", "192.168.77.0/24", "dev", "eth0")
        host.ip("route", "add", "224.0.0.0/4", "dev", "eth0")
        if self._router:
            host.ip("route", "add", "default", "via", ROUTER)
        return host

    def node(self, host: Host, *options: str, key: str = "", config: dict[str, str] | None = None) -> CideryDaemon:
        folder = self._folder / host.address
        node = CideryDaemon(folder, config, key, host.within, profile="", options=options)
        return self._stack.enter_context(node)

    def left(self) -> set[str]:
        """What went elsewhere since the last call: protocol, destination and port."""
        found = set()
        for protocol, text, port in self._watch.ask("forget")["seen"]:
            address = ip_address(text)
            if port in ASKING and text == ROUTER:
                found.add(f"{ASKING[port]} to the router")
            elif not any(address in network for network in NEAR if address.version == network.version):
                found.add(f"{protocol} to {text} port {port}")
        return found


@pytest.fixture
def lan(tmp_path: Path) -> Iterator[Lan]:
    with ExitStack() as stack:
        yield Lan(tmp_path, stack)


@pytest.fixture
def cut_off(tmp_path: Path) -> Iterator[Lan]:
    """A network without a router."""
    with ExitStack() as stack:
        yield Lan(tmp_path, stack, router=False)


def together(*makers: Callable[[], CideryDaemon]) -> list[CideryDaemon]:
    """Started at the same moment."""
    with ThreadPoolExecutor() as pool:
        return [future.result() for future in [pool.submit(make) for make in makers]]


def connected(one: CideryDaemon, other: CideryDaemon) -> bool:
    return other.peer_id in one.run("swarm", "peers")


def comes_true(what: Callable[[], bool], seconds: float) -> bool:
    """Whether it is true within this time; each question is a process, so this is no busy loop."""
    deadline = time.monotonic() + seconds
    while not what():
        if time.monotonic() > deadline:
            return False
    return True


@pytest.mark.parametrize("network", ["lan", "cut_off"])
def test_two_nodes_that_were_never_told_of_each_other_exchange_within_seconds(
    request: pytest.FixtureRequest, network: str, tmp_path: Path
) -> None:
    lan: Lan = request.getfixturevalue(network)
    one, other = lan.host(), lan.host()
    (tmp_path / "file").write_bytes(b"without the Internet")
    began = time.monotonic()
    owner, reader = together(lambda: lan.node(one), lambda: lan.node(other))
    cid = owner.add(tmp_path / "file")
    assert reader.run("cat", cid) == "without the Internet"
    assert time.monotonic() - began <= EXCHANGE_SECONDS
    print(f"{time.monotonic() - began:.2f} s from making both repositories to the last byte")


def test_a_node_with_the_defaults_is_seen_to_look_outside(lan: Lan) -> None:
    """Which shows that the watch sees what leaves."""
    node = lan.node(lan.host())
    with pytest.raises(PeerFailed):
        node.run("--timeout=2s", "cat", ABSENT)
    left = lan.left()
    assert "DNS to the router" in left or any(" port 53" in one for one in left), left
    assert any("239.255.255.250" in one for one in left) and "NAT-PMP to the router" in left, left
    began = time.monotonic()
    node.close()
    assert time.monotonic() - began <= STOP_SECONDS, "it waited for what does not answer"


def test_a_node_that_keeps_to_the_lan_sends_nothing_beyond_it(lan: Lan, tmp_path: Path) -> None:
    owner, reader = together(lambda: lan.node(lan.host(), "--lan"), lambda: lan.node(lan.host(), "--lan"))
    use_everything(owner, reader, tmp_path)
    for node in (owner, reader):
        node.close()
    assert lan.left() == set()


def test_a_private_network_sends_nothing_beyond_the_lan_and_lets_no_stranger_in(lan: Lan, tmp_path: Path) -> None:
    owner, reader = together(lambda: lan.node(lan.host(), key=KEY), lambda: lan.node(lan.host(), key=KEY))
    cid = use_everything(owner, reader, tmp_path)
    assert lan.left() == set()
    stranger = lan.node(lan.host(), "--lan")
    with pytest.raises(PeerFailed):
        stranger.connect(owner.addr.replace("127.0.0.1", owner_address(owner)))
    with pytest.raises(PeerFailed):
        stranger.run("--timeout=3s", "cat", cid)
    assert stranger.run("swarm", "peers") == ""
    assert {line.split("/p2p/")[-1] for line in owner.run("swarm", "peers").split()} == {reader.peer_id}
    assert lan.left() == set()


def owner_address(node: CideryDaemon) -> str:
    return next(line.split("/")[2] for line in node.run("id", "-f=<addrs>").splitlines() if "192.168.77." in line)


def use_everything(owner: CideryDaemon, reader: CideryDaemon, tmp_path: Path) -> str:
    """Whatever may look for something elsewhere; the CID of a file of the owner."""
    (tmp_path / "file").write_bytes(b"kept among us")
    cid = owner.add(tmp_path / "file")
    assert reader.run("cat", cid) == "kept among us"
    owner.run("name", "publish", "--allow-offline", f"/ipfs/{cid}")
    for words in (("cat", ABSENT), ("name", "resolve", "/ipns/example.com"), ("cat", "/ipns/example.org")):
        with pytest.raises(PeerFailed):
            reader.run("--timeout=3s", *words)
    return cid


def test_a_read_goes_on_when_a_cable_was_out(lan: Lan, tmp_path: Path) -> None:
    def pulled(host: Host) -> None:
        host.plug(in_=False)
        time.sleep(OUT_SECONDS)
        host.plug(in_=True)
        into_the_lan(host)

    read_while(lan, tmp_path, pulled)


def test_a_read_goes_on_when_the_reader_has_moved_to_another_address(lan: Lan, tmp_path: Path) -> None:
    def moved(host: Host) -> None:
        host.ip("address", "flush", "dev", "eth0")
        host.ip("address", "add", "192.168.77.99/24", "dev", "eth0")
        into_the_lan(host)

    read_while(lan, tmp_path, moved)


def read_while(lan: Lan, tmp_path: Path, change: Callable[[Host], None]) -> None:
    """A large file, read while something happens to the network of the reader."""
    one, other = lan.host(), lan.host()
    owner, reader = together(lambda: lan.node(one, "--lan"), lambda: lan.node(other, "--lan"))
    with (tmp_path / "file").open("wb") as file:
        file.truncate(SIZE)
        for at in range(0, SIZE, 1 << 20):
            file.seek(at)
            file.write(at.to_bytes(8, "big"))
    cid = owner.add(tmp_path / "file")
    assert comes_true(lambda: connected(reader, owner), FOUND_SECONDS)
    command, env = reader.command("cat", cid)
    began = time.monotonic()
    with (tmp_path / "got").open("wb") as out:
        reading = subprocess.Popen(command, env=env, stdout=out)
        try:
            while (tmp_path / "got").stat().st_size < SIZE // 20:
                assert time.monotonic() - began < FOUND_SECONDS
            change(other)
            at_change = (tmp_path / "got").stat().st_size
            assert reading.wait(4 * FOUND_SECONDS) == 0
        finally:
            reading.kill()
            reading.wait()
    print(f"changed after {at_change >> 20} MiB, over after {time.monotonic() - began:.1f} s")
    assert (tmp_path / "got").read_bytes() == (tmp_path / "file").read_bytes()


def into_the_lan(host: Host) -> None:
    """Routes that went with the cable or the address."""
    host.ip("route", "replace", "192.168.77.0/24", "dev", "eth0")
    host.ip("route", "replace", "224.0.0.0/4", "dev", "eth0")


def test_a_node_that_is_started_before_its_network_is_found_when_that_comes(lan: Lan, tmp_path: Path) -> None:
    one, other = lan.host(), lan.host()
    other.plug(in_=False)
    other.ip("address", "flush", "dev", "eth0")
    owner, late = together(lambda: lan.node(one, "--lan"), lambda: lan.node(other, "--lan"))
    (tmp_path / "file").write_bytes(b"late")
    cid = owner.add(tmp_path / "file")
    other.ip("address", "add", f"{other.address}/24", "dev", "eth0")
    other.plug(in_=True)
    into_the_lan(other)
    assert comes_true(lambda: connected(late, owner), FOUND_SECONDS)
    assert late.run("cat", cid) == "late"
