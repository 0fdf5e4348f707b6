"""Connect including identify over loopback, and what a command and an idle daemon cost.

python bench/connect.py [--runs 50]
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import multiprocessing.connection
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cidery.blockstore.memory import MemoryStore
from cidery.identity.keys import PrivateKey
from cidery.multiformats.multiaddr import Multiaddr
from cidery.node.network import NodeNetwork
from lag import LagMeter, runner
from others import start_kubo

LOOPBACK = Multiaddr.parse("/ip4/127.0.0.1/tcp/0")
CIDERY = [sys.executable, "-m", "cidery"]


async def listen(pipe: multiprocessing.connection.Connection) -> None:
    network = NodeNetwork(PrivateKey.generate_ed25519(os.urandom), MemoryStore())
    await network.start((LOOPBACK,))
    pipe.send(network.identity().addresses[0])
    await asyncio.to_thread(pipe.recv)
    await network.close()


def listen_process(pipe: multiprocessing.connection.Connection) -> None:
    with runner() as run:
        run.run(listen(pipe))


async def connect_times(addr: Multiaddr, runs: int) -> tuple[list[float], float]:
    """Milliseconds of each fresh connection, and the largest loop lag."""
    times = []
    async with LagMeter() as lag:
        network = NodeNetwork(PrivateKey.generate_ed25519(os.urandom), MemoryStore())
        await network.start((LOOPBACK,))
        for _ in range(runs):
            began = time.perf_counter()
            await network.connect(addr)
            times.append((time.perf_counter() - began) * 1000)
            await network.disconnect(addr)
            await asyncio.sleep(0.02)
        await network.close()
    return times, lag.worst


def show(name: str, times: list[float], target: str) -> None:
    print(f"{name:34} {statistics.median(times):6.1f} ms  ({min(times):.1f}-{max(times):.1f})  {target}")


def command_times(runs: int, *command: str) -> list[float]:
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append((time.perf_counter() - began) * 1000)
    return times


def idle_daemon(work: Path) -> float:
    """RSS of a daemon that does nothing, in MB."""
    repo = str(work / "idle")
    subprocess.run([*CIDERY, "--repo-dir", repo, "init", "--profile", "test"], check=True, capture_output=True)
    daemon = subprocess.Popen([*CIDERY, "--repo-dir", repo, "daemon"], stdout=subprocess.PIPE, text=True)
    try:
        assert daemon.stdout is not None
        for line in daemon.stdout:
            if "ready" in line:
                break
        time.sleep(2)
        status = Path(f"/proc/{daemon.pid}/status").read_text(encoding="ascii")
        return int(status.split("VmRSS:")[1].split()[0]) * 1024 / 1e6
    finally:
        daemon.terminate()
        daemon.wait()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=50)
    runs = parser.parse_args().runs
    context = multiprocessing.get_context("spawn")
    pipe, theirs = context.Pipe()
    child = context.Process(target=listen_process, args=(theirs,))
    child.start()
    with runner() as run:
        times, lag = run.run(connect_times(Multiaddr.parse(pipe.recv()), runs))
    pipe.send("stop")
    child.join()
    show("connect + identify, ours to ours", times, "target <= 10 ms")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        with start_kubo(work / "one") as one, start_kubo(work / "two") as two:
            with runner() as run:
                to_kubo, _ = run.run(connect_times(Multiaddr.parse(one.addr), runs))
            show("connect + identify, ours to Kubo", to_kubo, "")
            show("Kubo to Kubo (one try)", [two.ask("connect", one.addr)["seconds"] * 1000], "")
        print(f"largest loop lag {lag * 1000:.0f} ms")
        show(
            "cidery version",
            command_times(21, str(Path(sys.executable).parent / "cidery"), "version"),
            "target <= 60 ms",
        )
        show("python -c pass", command_times(21, sys.executable, "-c", "pass"), "the floor")
        print(f"idle daemon {idle_daemon(work):.0f} MB RSS, target <= 90 MB")


if __name__ == "__main__":
    main()
