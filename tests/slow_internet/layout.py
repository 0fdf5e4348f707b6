"""Hosts far apart on slow lines: network namespaces whose cards end in ``forwarder.py``, without a way out."""

import sys
import threading
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from peers.line_peer import LinePeer
from peers.little_internet import Host, Space, require_namespaces

FORWARDER = Path(__file__).resolve().parent / "forwarder.py"
MTU = 4000
"""Bytes of a packet: a line of 5 Mbit/s is held by one for 6 ms, and the forwarder has few to carry."""
MBIT = 125_000.0


class SlowInternet:
    """The wires and their hosts; all gone after close(). Rates in bytes per second, distances in seconds one way."""

    def __init__(self, folder: Path) -> None:
        require_namespaces()
        self._stack = ExitStack()
        self._wire = Space(["unshare", "--user", "--map-root-user", "--net"])
        self._stack.callback(self._wire.close)
        command = [*self._wire.within, sys.executable, str(FORWARDER)]
        self._wires = self._stack.enter_context(LinePeer(command, folder / "forwarder.log"))
        self._turn = threading.Lock()
        """Of its commands; they may come from several threads."""
        self.hosts: list[Host] = []

    def _ask(self, *words: object) -> dict[str, Any]:
        with self._turn:
            return self._wires.ask(*words)

    def host(self, up: float = 0.0, down: float = 0.0) -> Host:
        """A new machine whose line carries so much; 0: no limit."""
        number = len(self.hosts) + 1
        address = f"10.77.{number // 250}.{number % 250}"
        host = Host([*self._wire.within, "unshare", "--net"], address)
        self._stack.callback(host.close)
        device = self._ask("add", address)["device"]
        self._wire.ip("link", "set", device, "netns", str(host.pid))
        host.ip("link", "set", device, "name", "eth0", "mtu", str(MTU), "up")
        host.ip("address", "add", f"{address}/16", "dev", "eth0")
        host.ip("route", "add", "default", "dev", "eth0")
        self.hosts.append(host)
        self.line(host, up, down)
        return host

    def line(self, host: Host, up: float, down: float) -> None:
        self._ask("line", host.address, up, down)

    def apart(self, seconds: float) -> None:
        """The distance of all hosts that have none of their own."""
        self._ask("apart", seconds)

    def queue(self, size: int) -> None:
        """Bytes that wait before a line for each pair of hosts. TCP doubles what it sends until something is lost: over
        a long line it finds the end of a queue of less than a round trip before that of the line."""
        self._ask("queue", size)

    def distance(self, one: Host, other: Host, seconds: float, loss: float = 0.0) -> None:
        self._ask("distance", one.address, other.address, seconds, loss)

    def unplug(self, host: Host) -> None:
        """Pull its cable on the far side: the host itself does not see that either."""
        self._ask("plug", host.address, 0)

    def plug(self, host: Host) -> None:
        self._ask("plug", host.address, 1)

    def cut(self, ones: Iterable[Host], others: Iterable[Host], *, cut: bool = True) -> None:
        """Cut the ways between two groups, or mend them."""
        self._ask("cut", [host.address for host in ones], [host.address for host in others], int(cut))

    def carried(self) -> dict[str, tuple[int, int]]:
        """Address -> bytes that went up and down its line so far, with all headers."""
        return {address: (up, down) for address, (up, down) in self._ask("carried")["carried"].items()}

    def close(self) -> None:
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
