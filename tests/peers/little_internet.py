"""Hosts with public addresses on one wire: network namespaces and a bridge, without root, without a way out.

Every host is a namespace of its own with one address and a default route onto the wire; all hosts hear each other. The
wire ends there: nothing that a host sends can leave this machine. Each namespace lives as long as a process that ends
with its standard input, so nothing is left behind when the test process dies.
"""

import shutil
import subprocess
from typing import Self

import pytest

COMMAND_SECONDS = 10.0
"""Longest command that sets something up."""
SPACES = ("--user", "--net", "--preserve-credentials")
WIRE = "wire"


def require_namespaces() -> None:
    """Skip the test where namespaces cannot be made."""
    for program in ("unshare", "nsenter", "ip"):
        if shutil.which(program) is None:
            pytest.skip(f"network namespaces need {program}: install util-linux and iproute2")
    make = ["unshare", "--user", "--map-root-user", "--net", "ip", "link", "add", WIRE, "type", "bridge"]
    tried = subprocess.run(make, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)
    if tried.returncode:
        pytest.skip(f"network namespaces cannot be made here: {tried.stderr.strip()}")


class Space:
    """One network namespace. ``within`` goes in front of a command that shall run in it."""

    def __init__(self, maker: list[str]) -> None:
        """``maker``: runs a command, given after it, in a new namespace."""
        # cat answers once the namespace is there, and ends with its input
        self._keeper = subprocess.Popen([*maker, "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._keeper.stdin is not None and self._keeper.stdout is not None  # Popen was asked for pipes
        self._keeper.stdin.write(b"\n")
        self._keeper.stdin.flush()
        if not self._keeper.stdout.read(1):
            raise AssertionError(f"no namespace: {maker} ended with {self._keeper.wait()}")
        self.pid = self._keeper.pid
        self.within = ["nsenter", "--target", str(self.pid), *SPACES, "--"]
        self.ip("link", "set", "lo", "up")

    def ip(self, *words: str) -> None:
        """One command of iproute2."""
        done = subprocess.run(
            [*self.within, "ip", *words], capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False
        )
        assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr.strip()}"

    def run(self, *command: str) -> None:
        """Any command in it."""
        done = subprocess.run(
            [*self.within, *command], capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False
        )
        assert done.returncode == 0, f"{command[0]}: {done.stderr.strip()}"

    def close(self) -> None:
        """End the keeper; the namespace goes with the last process in it. Idempotent."""
        assert self._keeper.stdin is not None and self._keeper.stdout is not None  # Popen was asked for pipes
        self._keeper.stdin.close()
        self._keeper.wait(COMMAND_SECONDS)
        self._keeper.stdout.close()


NAT = """
table ip nat {{
  chain post {{
    type nat hook postrouting priority 100;
    oifname "eth0" {masquerade};
  }}
}}
table ip wall {{
  chain through {{
    type filter hook forward priority 0; policy drop;
    iifname "lan" accept;
    ct state established,related accept;
  }}
  chain here {{
    type filter hook input priority 0; policy drop;
    iifname {{ "lan", "lo" }} accept;
    ct state established,related accept;
  }}
}}
"""


WALL = """
table ip wall {
  chain here {
    type filter hook input priority 0; policy drop;
    iifname "lo" accept;
    ct state established,related accept;
  }
}
"""


def require_nat() -> None:
    """Skip the test where the kernel's NAT cannot be used."""
    require_namespaces()
    if shutil.which("nft") is None:
        pytest.skip("NATs need nft: install nftables")
    make = ["unshare", "--user", "--map-root-user", "--net", "nft", NAT.format(masquerade="masquerade")]
    tried = subprocess.run(make, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)
    if tried.returncode:
        pytest.skip(f"the kernel has no NAT here: {tried.stderr.strip()}")


class Host(Space):
    """A machine on the wire."""

    def __init__(self, maker: list[str], address: str) -> None:
        super().__init__(maker)
        self.address = address

    def plug(self, *, in_: bool) -> None:
        """Put the plug of its network card in, or pull it."""
        self.ip("link", "set", "eth0", "up" if in_ else "down")

    def drop_inbound(self, port: int, protocol: str = "tcp") -> None:
        """Let nobody connect to a port: what it answers goes nowhere. TCP connections made from here still work.

        ``protocol``: "tcp" or "udp".
        """
        self.ip("rule", "add", "priority", "10", "ipproto", protocol, "sport", str(port), "blackhole")


class LittleInternet:
    """The wire and its hosts; all gone after close()."""

    def __init__(self) -> None:
        require_namespaces()
        self._wire = Space(["unshare", "--user", "--map-root-user", "--net"])
        self._hosts: list[Host] = []
        self._wire.ip("link", "add", WIRE, "type", "bridge")
        self._wire.ip("link", "set", WIRE, "up")

    def host(self, address: str) -> Host:
        """A new machine with this IPv4 address."""
        host = Host([*self._wire.within, "unshare", "--net"], address)
        self._hosts.append(host)
        port = f"port{len(self._hosts)}"
        self._wire.ip("link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", str(host.pid))
        self._wire.ip("link", "set", port, "master", WIRE, "up")
        host.ip("address", "add", f"{address}/32", "dev", "eth0")
        host.ip("link", "set", "eth0", "up")
        host.ip("route", "add", "default", "dev", "eth0")
        return host

    def wall(self, host: Host) -> None:
        """Let only what belongs to something sent out into a host: a firewall that keeps state."""
        host.run("nft", WALL)

    def home(self, router: Host, number: int, *, symmetric: bool = False) -> Host:
        """A machine behind a NAT of the kernel on ``router``, which lets in only what belongs to something sent out.

        ``symmetric``: each destination sees another, random port; else the port stays, as most home routers do it.
        """
        inside = Host([*self._wire.within, "unshare", "--net"], f"10.{number}.0.2")
        self._hosts.append(inside)
        self._wire.ip("link", "add", f"home{number}", "type", "veth", "peer", "name", "eth0", "netns", str(inside.pid))
        self._wire.ip("link", "set", f"home{number}", "netns", str(router.pid), "name", "lan")
        router.ip("address", "add", f"10.{number}.0.1/24", "dev", "lan")
        router.ip("link", "set", "lan", "up")
        inside.ip("address", "add", f"{inside.address}/24", "dev", "eth0")
        inside.ip("link", "set", "eth0", "up")
        inside.ip("route", "add", "default", "via", f"10.{number}.0.1")
        rules = NAT.format(masquerade="masquerade random,fully-random" if symmetric else "masquerade")
        router.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        router.run("nft", rules)
        return inside

    @property
    def on_the_wire(self) -> list[str]:
        """Goes in front of a command that shall watch the wire, the interface WIRE."""
        return self._wire.within

    def be_router(self, address: str) -> None:
        """Have the wire itself hold an address with its prefix length; nothing is passed on."""
        self._wire.ip("address", "add", address, "dev", WIRE)

    def close(self) -> None:
        for space in (*self._hosts, self._wire):
            space.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
