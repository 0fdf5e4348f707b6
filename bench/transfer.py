"""Node to node by Bitswap over loopback: 1 GiB to memory and to disk, beside the bare probe of the same run.

    python bench/transfer.py [--mib 1024] [--runs 7] [--kubo] [--mixed]

Two processes with real nodes (Noise, Yamux, Bitswap, segment stores). "To memory": verified, then dropped. The limit is
bench/loopback_probe.py. ``--kubo`` adds Kubo 0.22 to Kubo 0.22.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import multiprocessing.connection
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from cidery.blockstore.drive import drive
from cidery.blockstore.memory import MemoryStore
from cidery.blockstore.segments import SegmentStore
from cidery.core.adding.add import add_root
from cidery.exchange.service import NetworkSession
from cidery.identity.keys import PrivateKey
from cidery.multiformats.cid import CID
from cidery.multiformats.multiaddr import Multiaddr
from cidery.node.network import NodeNetwork
from cidery.unixfs.reader import read_file
from lag import LagMeter, runner
from machine import warm_memory
from others import start_helia, start_kubo

LOOPBACK = Multiaddr.parse("/ip4/127.0.0.1/tcp/0")
MIXED_MIB = 128
"""Size of transfers with other implementations, in MiB."""
FOREIGN_SECONDS = 300.0
"""Longest wait for another implementation's transfer."""
MARGIN = 512
"""MiB of memory beside the file that a run may touch."""
Pipe = multiprocessing.connection.Connection


def make_file(path: Path, mib: int) -> None:
    with path.open("wb") as out:
        for _ in range(mib):
            out.write(os.urandom(1 << 20))


async def serve(root: Path, file: Path, pipe: Pipe, form: str = "") -> None:
    """``form``: the end of the address that it sends, which shares the port of plain TCP."""
    root.mkdir()
    store = SegmentStore.open(root)
    cid = await add_root([file], store)
    network = NodeNetwork(PrivateKey.generate_ed25519(os.urandom), store)
    await network.start((LOOPBACK, Multiaddr.parse(f"{LOOPBACK}{form}")) if form else (LOOPBACK,))
    async with LagMeter() as lag:
        pipe.send((network.identity().addresses[-1], str(cid)))
        while (order := await asyncio.to_thread(pipe.recv)) != "stop":
            pipe.send(str(await add_root([order], store)))
    pipe.send(lag.worst)
    await network.close()
    await store.close()


async def fetch(addr: str, cid: str, root: Path | None, pipe: Pipe) -> None:
    """``root`` None: to memory."""
    store = SegmentStore.open(root) if root is not None else None
    network = NodeNetwork(PrivateKey.generate_ed25519(os.urandom), store or MemoryStore())
    await network.start((LOOPBACK,))
    await network.connect(Multiaddr.parse(addr))
    async with LagMeter() as lag:
        began, size = time.perf_counter(), 0
        async with network.session(kept=False, keep_blocks=store is not None) as session:
            async for data in drive(read_file(CID.parse(cid)), session):
                size += len(data.chunk)
        if store is not None:
            await store.sync()
        seconds = time.perf_counter() - began
    assert isinstance(session, NetworkSession)
    pipe.send((size / seconds / 2**20, lag.worst, session.stats().duplicate_blocks))
    await network.close()
    if store is not None:
        await store.close()


def serve_process(root: Path, file: Path, pipe: Pipe, form: str = "") -> None:
    with runner() as run:
        run.run(serve(root, file, pipe, form))


def fetch_process(addr: str, cid: str, root: Path | None, pipe: Pipe) -> None:
    with runner() as run:
        run.run(fetch(addr, cid, root, pipe))


def fetch_once(addr: str, cid: str, root: Path | None) -> tuple[float, float, int]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    if root is not None:
        root.mkdir()
    child = context.Process(target=fetch_process, args=(addr, cid, root, theirs))
    child.start()
    theirs.close()
    result: tuple[float, float, int] = ours.recv()
    child.join()
    if root is not None:
        shutil.rmtree(root)
    return result


def probe(mib: int) -> float:
    script = Path(__file__).parent / "loopback_probe.py"
    out = subprocess.run([sys.executable, str(script), str(mib)], check=True, capture_output=True, text=True).stdout
    return float(out.split()[0])


def kubo_to_kubo(file: Path, work: Path) -> float:
    """MiB/s of Kubo 0.22 fetching from Kubo 0.22."""
    try:
        with start_kubo(work / "kubo-one") as one, start_kubo(work / "kubo-two") as two:
            cid = one.ask("add", str(file))["cid"]
            two.ask("connect", one.addr)
            began = time.perf_counter()
            two.ask("get", cid, str(work / "kubo-out"), seconds=FOREIGN_SECONDS)
            return file.stat().st_size / (time.perf_counter() - began) / 2**20
    finally:
        for left in work.glob("kubo-*"):
            shutil.rmtree(left) if left.is_dir() else left.unlink()


def mixed(work: Path, server: tuple[str, str], file: Path) -> dict[str, float]:
    """MiB/s of transfers with Kubo or Helia at one end or both.

    ``server``: address of ours and the CID it holds; ``file``: another one of MIXED_MIB, that the others hold.
    """
    size = MIXED_MIB << 20
    rates: dict[str, float] = {}

    def timed(name: str, fetch: Callable[[], object]) -> None:
        began = time.perf_counter()
        fetch()
        rates[name] = size / (time.perf_counter() - began) / 2**20

    ours, ours_cid = server
    with start_kubo(work / "kubo") as kubo, start_helia(work / "helia") as helia, start_helia(work / "helia2") as other:
        for name, peer, get in (("kubo", kubo, "get"), ("helia", helia, "cat")):
            cid = peer.ask("add", str(file))["cid"]
            rates[f"ours from {name}"] = fetch_once(peer.addr, cid, work / "client")[0]
            peer.ask("connect" if name == "kubo" else "dial", ours)
            out = str(work / f"{name}-out")
            timed(f"{name} from ours", lambda p=peer, g=get, o=out: p.ask(g, ours_cid, o, seconds=FOREIGN_SECONDS))  # type: ignore[misc]
        other.ask("dial", helia.addr)
        timed("helia from helia", lambda: other.ask("cat", cid, str(work / "helia-out2"), seconds=FOREIGN_SECONDS))
    for left in work.glob("helia-out*"):
        left.unlink()
    shutil.rmtree(work / "kubo-out", ignore_errors=True)
    (work / "kubo-out").unlink(missing_ok=True)
    return rates


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--kubo", action="store_true", help="also Kubo 0.22 to itself")
    parser.add_argument("--mixed", action="store_true", help="also with Kubo or Helia at the other end")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=os.environ.get("CIDERY_BENCH_DIR")) as folder:
        work = Path(folder)
        file = work / "file"
        make_file(file, options.mib)
        context = multiprocessing.get_context("spawn")
        pipe, theirs = context.Pipe()
        server = context.Process(target=serve_process, args=(work / "server", file, theirs))
        server.start()
        theirs.close()
        addr, cid = pipe.recv()
        figures: dict[str, list[float]] = {"limit": [], "memory": [], "disk": []}
        worst, duplicates = 0.0, 0
        for _ in range(options.runs):
            warm_memory(MARGIN)
            figures["limit"].append(probe(options.mib))
            for kind, root in (("memory", None), ("disk", work / "client")):
                warm_memory(options.mib + MARGIN if root is not None else MARGIN)
                rate, lag, doubled = fetch_once(addr, cid, root)
                figures[kind].append(rate)
                worst, duplicates = max(worst, lag), duplicates + doubled
        small = work / "small"
        foreign: dict[str, float] = {}
        if options.mixed:
            make_file(small, MIXED_MIB)
            pipe.send(str(small))
            served = (addr, pipe.recv())
            make_file(small, MIXED_MIB)
            foreign = mixed(work, served, small)
        pipe.send("stop")
        worst = max(worst, pipe.recv())
        server.join()
        limit = statistics.median(figures["limit"])
        for kind, rates in figures.items():
            middle = statistics.median(rates)
            spread = f"{min(rates):.0f}-{max(rates):.0f}"
            print(f"{kind:8} {middle:6.0f} MiB/s  ({spread})  {middle / limit:5.0%} of the limit")
        print(f"largest loop lag {worst * 1000:.0f} ms, duplicate blocks {duplicates}")
        for name, rate in foreign.items():
            print(f"{name:18} {rate:4.0f} MiB/s ({MIXED_MIB} MiB)")
        if options.kubo:
            kubo = statistics.median(kubo_to_kubo(file, work) for _ in range(min(3, options.runs)))
            print(f"kubo to kubo {kubo:.0f} MiB/s: ours to memory {statistics.median(figures['memory']) / kubo:.1f}x")


if __name__ == "__main__":
    main()
