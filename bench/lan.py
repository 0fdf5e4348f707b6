"""From cold starts on one local network, and from `add` to a stranger's first byte: ``python bench/lan.py [--runs 5]``.

"lan": two daemons that were never told of each other start at the same moment, find each other by multicast DNS on the
loopback interface, one adds, the other reads by CID; the clock starts with the processes. "stranger": owner and reader
are connected to a third node only, a server of the DHT; the clock starts with the `add`. All are daemons of their own,
on new repositories, driven over RPC.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, aclosing
from pathlib import Path
from typing import Self

from cidery.client.client import Client
from cidery.errors import CideryError
from cidery.multiformats.cid import CID
from cidery.node.create import create_repository

SIZE = 100_000
"""Bytes of the file: one block."""
FIND_SECONDS = 60.0
"""Longest wait for anything."""
TARGETS = {"lan": 3.0, "stranger": 1.0}
"""Seconds that are asked for at most."""
CIDERY = [sys.executable, "-m", "cidery"]
INSTALLED = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
"""The environment of what is started: an installed Cidery has its bytecode on disk."""
DHT: dict[str, object] = {"Routing.Type": "dht"}
DHT_CLIENT: dict[str, object] = {"Routing.Type": "dhtclient"}
"""In nobody's routing table: else the server would make them known to each other before anything is added."""
MDNS: dict[str, object] = {"Discovery.MDNS.Enabled": True, "Discovery.MDNS.Interfaces": ["127.0.0.1"]}


class Daemon:
    """One process; a context. The repository is made before it starts."""

    def __init__(self, root: Path, settings: dict[str, object]) -> None:
        create_repository(root, profiles=["test"])
        self._root = root
        config = json.loads((root / "config").read_text())
        for key, value in settings.items():
            *groups, last = key.split(".")
            table = config
            for group in groups:
                table = table.setdefault(group, {})
            table[last] = value
        (root / "config").write_text(json.dumps(config))
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Returns at once."""
        self._process = subprocess.Popen(
            [*CIDERY, "--repo-dir", str(self._root), "daemon"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=INSTALLED,
        )

    def wait_until_ready(self) -> None:
        """Until its RPC answers."""
        assert self._process is not None and self._process.stdout is not None  # started
        for line in self._process.stdout:
            if line.startswith("RPC API server"):
                break
        else:
            raise RuntimeError(f"the daemon on {self._root} did not start")
        self.client = Client((self._root / "api").read_text().strip())

    def run(self, *words: str) -> str:
        """A command line beside the daemon."""
        command = [*CIDERY, "--repo-dir", str(self._root), *words]
        return subprocess.run(command, check=True, capture_output=True, text=True, env=INSTALLED).stdout

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            assert self._process.stdout is not None  # asked for
            self._process.terminate()
            self._process.wait()
            self._process.stdout.close()
        shutil.rmtree(self._root)


async def first_byte(client: Client, cid: CID) -> None:
    async with asyncio.timeout(FIND_SECONDS), aclosing(client.cat(cid)) as chunks:
        async for _ in chunks:
            return


def cold_start(work: Path) -> tuple[float, float]:
    """Seconds from the start of both to both RPCs, and to the first byte at the second."""
    data = os.urandom(SIZE)
    with Daemon(work / "owner", DHT | MDNS) as owner, Daemon(work / "reader", DHT | MDNS) as reader:
        began = time.perf_counter()
        owner.start()
        reader.start()
        for daemon in (owner, reader):
            daemon.wait_until_ready()
        ready = time.perf_counter() - began

        async def transfer() -> None:
            await first_byte(reader.client, await owner.client.add(data))

        asyncio.run(transfer())
        return ready, time.perf_counter() - began


class Strangers:
    """Owner and reader that know one server of the DHT, and not each other; a context."""

    def __init__(self, work: Path) -> None:
        self._stack = ExitStack()
        types = {"server": DHT, "owner": DHT_CLIENT, "reader": DHT_CLIENT}
        daemons = [self._stack.enter_context(Daemon(work / name, kind)) for name, kind in types.items()]
        for daemon in daemons:
            daemon.start()
        for daemon in daemons:
            daemon.wait_until_ready()
        self._server, self._owner, self._reader = daemons
        self._address = self._server.run("swarm", "addrs", "local", "--id").split()[0]
        self._owner.run("swarm", "connect", self._address)
        self._reader.run("swarm", "connect", self._address)
        deadline = time.monotonic() + FIND_SECONDS
        while not all(self._knows_server(daemon) for daemon in (self._owner, self._reader)):
            if time.monotonic() > deadline:
                raise RuntimeError("the server did not get into the routing tables")
            time.sleep(0.1)

    def _knows_server(self, daemon: Daemon) -> bool:
        stats = json.loads(daemon.run("stats", "dht", "lan", "--enc=json"))
        return any(bucket["Peers"] for bucket in stats["Buckets"])

    def _met(self) -> list[str]:
        """The owner's addresses among the reader's connections."""
        owner = asyncio.run(self._owner.client.peer_id())
        return [address for address in self._reader.run("swarm", "peers").split() if address.endswith(owner)]

    def transfer(self) -> float:
        """Seconds from `add` to the first byte at the reader, who is not connected to the owner."""
        data = os.urandom(SIZE)
        for address in self._met():
            self._reader.run("swarm", "disconnect", address)
        assert not self._met()

        async def add_and_read() -> float:
            began = time.perf_counter()
            await first_byte(self._reader.client, await self._owner.client.add(data))
            return time.perf_counter() - began

        return asyncio.run(add_and_read())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def show(name: str, times: list[float], note: str = "") -> None:
    middle, target = statistics.median(times), TARGETS[name]
    verdict = "kept" if middle <= target else "MISSED"
    spread = f"({min(times):.2f}-{max(times):.2f})"
    print(f"{name:9} {middle:5.2f} s  {spread:12}  at most {target:.0f} s asked: {verdict}{note}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=os.environ.get("CIDERY_BENCH_DIR")) as folder:
        work = Path(folder)
        cold_start(work)  # writes the bytecode
        readies, firsts = zip(*(cold_start(work) for _ in range(options.runs)), strict=True)
        show("lan", list(firsts), f"  (both RPCs up after {statistics.median(readies):.2f} s)")
        with Strangers(work) as strangers:
            times = [strangers.transfer() for _ in range(options.runs)]
        show("stranger", times)


if __name__ == "__main__":
    try:
        main()
    except CideryError as exc:
        sys.exit(str(exc))
