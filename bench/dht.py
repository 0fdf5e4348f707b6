"""The DHT: provider records on disk, look-ups a second, add to first fetch by a stranger, and an idle daemon.

    python bench/dht.py [RECORDS=1000000] [IDLE_SECONDS=180]

Nodes run on loopback: Cidery daemons in processes of their own, and for the idle figure 100 peers in one process.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

from cidery.blockstore.memory import MemoryStore
from cidery.identity.keys import PrivateKey
from cidery.identity.peer_id import PeerId
from cidery.kad.io.provider_store import EXPIRE_BATCH, MAX_PENDING, DiskProviders
from cidery.kad.message import DhtMessage, MessageType
from cidery.kad.service import KadOptions
from cidery.multiformats.multiaddr import Multiaddr
from cidery.node.network import NodeNetwork
from cidery.repo.cache import Cache

LOOPBACK = Multiaddr.parse("/ip4/127.0.0.1/tcp/0")
OPTIONS = KadOptions(loopback=True)
CLI = [sys.executable, "-m", "cidery"]
PEERS = 100
ADDS = 15


def anonymous_mib(pid: int | str = "self") -> float:
    match = re.search(r"RssAnon:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(match[1]) / 1024 if match else 0.0


def records(count: int) -> None:
    """Provider records of 2,000 peers in random order."""
    source = random.Random(1)
    peers = [PeerId(b"\x00\x24\x08\x01\x12\x20" + source.randbytes(32)) for _ in range(2000)]
    with tempfile.TemporaryDirectory() as folder:
        cache = Cache.open(Path(folder) / "cache")
        store = DiskProviders(cache.environment, cache.table("providers"), cache.table("provider-peers"))
        before, began, slowest = anonymous_mib(), time.perf_counter(), 0.0
        for at in range(count):
            store.add(b"\x12\x20" + hashlib.sha256(at.to_bytes(8, "big")).digest(), peers[at % 2000], 0.0)
            if store.pending == MAX_PENDING:
                flush = time.perf_counter()
                store.flush()
                slowest = max(slowest, time.perf_counter() - flush)
        store.flush()
        took = time.perf_counter() - began
        disk = (Path(folder) / "cache" / "data.mdb").stat().st_blocks * 512 / 1e6
        gets = []
        for _ in range(2000):
            key = b"\x12\x20" + hashlib.sha256(source.randrange(count).to_bytes(8, "big")).digest()
            one = time.perf_counter()
            assert store.get(key, 1.0)
            gets.append(time.perf_counter() - one)
        memory = anonymous_mib() - before
        expire = time.perf_counter()
        gone = sum(store.expire(1e6) for _ in range(10))
        expire = time.perf_counter() - expire
        assert gone == min(10 * EXPIRE_BATCH, count)
        print(
            f"{count:,} provider records: {disk:.0f} MB of disk (target 200 a million), {memory:.0f} MiB of memory "
            f"(target 50), {count / took:,.0f} a second, slowest batch {1e3 * slowest:.0f} ms, "
            f"get {1e6 * statistics.median(gets):.0f} us, expire {gone / expire:,.0f} a second"
        )
        cache.close()


async def swarm_of(
    stack: AsyncExitStack, count: int, first: str | None = None, *, upkeep: bool = True
) -> list[NodeNetwork]:
    """Connected nodes. ``upkeep`` False: they answer and ask nothing, and do not look for each other."""
    nodes: list[NodeNetwork] = []
    for _ in range(count):
        node = NodeNetwork(PrivateKey.generate_ed25519(os.urandom), MemoryStore(), kad=OPTIONS)
        await node.start((LOOPBACK,))
        stack.push_async_callback(node.close)
        assert node.kad is not None
        await asyncio.sleep(0)  # they have begun
        for task in () if upkeep else list(node.kad._tasks):
            task.cancel()
        entry = first or (str(nodes[0].identity().addresses[0]) if nodes else None)
        if entry is not None:
            await node.connect(Multiaddr.parse(entry))
        nodes.append(node)
    return nodes


async def lookups() -> None:
    """Look-ups of one node among 60, all in this process: both ends of each request are paid here."""
    async with AsyncExitStack() as stack:
        nodes = await swarm_of(stack, 60)
        await asyncio.sleep(20)
        node, dht = nodes[5], nodes[5].kad.lan if nodes[5].kad else None
        assert dht is not None and node is not None
        for _ in range(20):
            await dht.lookup(DhtMessage(MessageType.FIND_NODE, os.urandom(32)))
        began, cpu, sent = time.perf_counter(), time.process_time(), dht.rpc.sent
        await asyncio.gather(*(several(dht, 25) for _ in range(4)))
        took = time.perf_counter() - began
        print(
            f"look-ups of one node among {len(nodes)} on warm connections: {100 / took:.0f} a second, four at once, "
            f"{(dht.rpc.sent - sent) / 100:.0f} requests each, {10 * (time.process_time() - cpu):.1f} ms of CPU "
            "each for both ends"
        )


async def several(dht: object, count: int) -> None:
    for _ in range(count):
        await dht.lookup(DhtMessage(MessageType.FIND_NODE, os.urandom(32)))  # type: ignore[attr-defined]


class Daemon:
    """A Cidery daemon on loopback with the DHT of a LAN."""

    def __init__(self, folder: Path, kind: str = "dht") -> None:
        self.env = {**os.environ, "CIDERY_PATH": str(folder)}
        self.run("init", "--profile", "test")
        self.run("config", "Routing.Type", kind)
        self.run("config", "--json", "Swarm.ConnMgr.HighWater", "300")
        self.run("config", "--json", "Swarm.ConnMgr.LowWater", "200")
        self.process = subprocess.Popen([*CLI, "daemon"], env=self.env, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("Daemon is ready"):
                break
        self.addr = self.run("swarm", "addrs", "local", "--id").split()[0]

    def run(self, *words: str) -> str:
        return subprocess.run([*CLI, *words], env=self.env, check=True, capture_output=True).stdout.decode(
            errors="replace"
        )

    def close(self) -> None:
        self.process.terminate()
        self.process.wait()

    def cpu(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def first_fetch() -> None:
    """`cidery add`, then `cidery cat` by somebody who knows neither the owner nor who knows it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        middle, owner, reader = Daemon(folder / "m"), Daemon(folder / "o"), Daemon(folder / "r", "dhtclient")
        try:
            owner.run("swarm", "connect", middle.addr)
            reader.run("swarm", "connect", middle.addr)
            time.sleep(5)
            times = []
            for at in range(ADDS):
                (folder / "file").write_bytes(os.urandom(100_000))
                began = time.perf_counter()
                cid = owner.run("add", "-Q", str(folder / "file")).strip()
                reader.run("cat", cid)
                times.append(time.perf_counter() - began)
                if at == 0:
                    first = times[0]
                    continue
            print(
                f"add to fetched by a stranger on loopback, commands included: first {first:.2f} s (not connected to "
                f"the owner), then median {statistics.median(times[1:]):.2f} s (target 1 s)"
            )
        finally:
            for daemon in (middle, owner, reader):
                daemon.close()


def loopback_bytes() -> int:
    for line in Path("/proc/net/dev").read_text().splitlines():
        if line.strip().startswith("lo:"):
            return int(line.split()[1])
    return 0


async def idle(seconds: float) -> None:
    """A daemon with 100 peers that are connected, serve the DHT and do nothing; traffic of the whole loopback."""
    with tempfile.TemporaryDirectory() as name:
        daemon = await asyncio.to_thread(Daemon, Path(name) / "idle")
        try:
            async with AsyncExitStack() as stack:
                await swarm_of(stack, PEERS, daemon.addr, upkeep=False)
                await asyncio.sleep(60)  # the daemon's table has filled
                cpu, traffic, began = daemon.cpu(), loopback_bytes(), time.monotonic()
                await asyncio.sleep(seconds)
                hours = (time.monotonic() - began) / 3600
                used = (daemon.cpu() - cpu) / hours
                moved = (loopback_bytes() - traffic) / hours / 1e6
                memory = anonymous_mib(daemon.process.pid)
                count = len((await asyncio.to_thread(daemon.run, "swarm", "peers")).split())
                print(
                    f"idle daemon with {count} peers over {seconds:.0f} s: {used:.0f} CPU seconds an hour (target 60), "
                    f"{moved:.1f} MB an hour both ways, all of loopback (target 20), {memory:.0f} MiB of memory"
                )
        finally:
            daemon.close()


def idle_alone(seconds: str) -> None:
    """The idle figure in a network namespace of its own, where all of loopback is the daemon's."""
    again = [sys.executable, __file__, "--idle", seconds]
    inside = ["unshare", "-rn", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *again]
    if shutil.which("unshare") is None or subprocess.run(inside, check=False).returncode:
        print("no network namespace here: the traffic below counts everything on loopback")
        subprocess.run(again, check=True)


def main() -> None:
    if sys.argv[1:2] == ["--idle"]:
        asyncio.run(idle(float(sys.argv[2])))
        return
    records(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
    asyncio.run(lookups())
    first_fetch()
    idle_alone(sys.argv[2] if len(sys.argv) > 2 else "180")


if __name__ == "__main__":
    main()
