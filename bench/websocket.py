"""A WebSocket beside plain TCP on the same port, in turns: one stream each way over loopback, and Bitswap to memory.

    python bench/websocket.py [--mib 512] [--runs 7] [--streams-only]

What goes from who dialled is masked, which costs both ends. Streams: bytes of one, read and dropped, in two processes.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import multiprocessing.connection
import os
import resource
import statistics
import tempfile
import time
from pathlib import Path

from cidery.blockstore.memory import MemoryStore
from cidery.identity.keys import PrivateKey
from cidery.libp2p.io.stream import Stream
from cidery.multiformats.multiaddr import Multiaddr
from cidery.node.network import NodeNetwork
from lag import runner
from machine import warm_memory
from transfer import MARGIN, fetch_once, make_file, serve_process

TARGET = 0.8
"""Of plain TCP."""
LOOPBACK = "/ip4/127.0.0.1/tcp/0"
SINK, SOURCE = "/bench/sink/1.0.0", "/bench/source/1.0.0"
PIECE = bytes(1 << 20)
FORMS = ("tcp", "ws")
Pipe = multiprocessing.connection.Connection


def node() -> NodeNetwork:
    return NodeNetwork(PrivateKey.generate_ed25519(os.urandom), MemoryStore())


async def drained(stream: Stream) -> int:
    size = 0
    while data := await stream.read(1 << 20):
        size += len(data)
    return size


async def serve(pipe: Pipe) -> None:
    network = node()

    async def sink(stream: Stream) -> None:
        began = time.process_time()
        size = await drained(stream)
        await stream.write(size.to_bytes(8, "big") + int((time.process_time() - began) * 1e6).to_bytes(8, "big"))

    async def source(stream: Stream) -> None:
        for _ in range(int.from_bytes(await stream.read_exactly(8), "big")):
            await stream.write(PIECE)
        stream.close_write()

    await network.serve(SINK, sink)
    await network.serve(SOURCE, source)
    await network.start((Multiaddr.parse(LOOPBACK), Multiaddr.parse(f"{LOOPBACK}/ws")))
    pipe.send([str(addr.with_peer(network.swarm.local_peer.multihash)) for addr in network.swarm.listen_addrs()])
    await asyncio.to_thread(pipe.recv)
    await network.close()


def serve_streams(pipe: Pipe) -> None:
    with runner() as run:
        run.run(serve(pipe))


async def stream_once(addr: Multiaddr, mib: int, protocol: str) -> tuple[float, float]:
    """(MiB/s, CPU seconds per GiB of who received)."""
    network = node()
    await network.start(())
    await network.connect(addr)
    (connection,) = network.swarm.connections()
    stream = await connection.open_stream([protocol])
    began, busy = time.perf_counter(), time.process_time()
    if protocol == SINK:
        for _ in range(mib):
            await stream.write(PIECE)
        stream.close_write()
        size = int.from_bytes(await stream.read_exactly(8), "big")
        busy = int.from_bytes(await stream.read_exactly(8), "big") / 1e6
    else:
        await stream.write(mib.to_bytes(8, "big"))
        size = await drained(stream)
        busy = time.process_time() - busy
    seconds = time.perf_counter() - began
    assert size == mib << 20
    await network.close()
    return mib / seconds, busy * 1024 / mib


def streams(mib: int, runs: int) -> None:
    context = multiprocessing.get_context("spawn")
    pipe, theirs = context.Pipe()
    child = context.Process(target=serve_streams, args=(theirs,))
    child.start()
    addrs = dict(zip(FORMS, map(Multiaddr.parse, pipe.recv()), strict=True))
    for protocol, name in ((SOURCE, "one stream to who dialled"), (SINK, "one stream from who dialled, masked")):
        rates: dict[str, list[tuple[float, float]]] = {form: [] for form in FORMS}
        with runner() as run:
            for _ in range(runs):
                for form, addr in addrs.items():
                    rates[form].append(run.run(stream_once(addr, mib, protocol)))
        tcp, ws = (statistics.median(rate for rate, _ in rates[form]) for form in FORMS)
        busy = [statistics.median(seconds for _, seconds in rates[form]) for form in FORMS]
        ratio = statistics.median(theirs[0] / ours[0] for ours, theirs in zip(rates["tcp"], rates["ws"], strict=True))
        print(
            f"{name:36} tcp {tcp:4.0f} MiB/s, {busy[0]:.2f} s/GiB; ws {ws:4.0f} MiB/s, {busy[1]:.2f} s/GiB: "
            f"{ratio:.0%} ({TARGET:.0%} wanted)",
            flush=True,
        )
    pipe.send("stop")
    child.join()


def reader_seconds() -> float:
    """CPU seconds of the processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def bitswap(mib: int, runs: int) -> None:
    rates: dict[str, list[float]] = {form: [] for form in FORMS}
    cpu: dict[str, list[float]] = {form: [] for form in FORMS}
    with tempfile.TemporaryDirectory(dir=os.environ.get("CIDERY_BENCH_DIR")) as folder:
        make_file(Path(folder) / "file", mib)
        context = multiprocessing.get_context("spawn")
        pipe, theirs = context.Pipe()
        args = (Path(folder) / "server", Path(folder) / "file", theirs, "/ws")
        server = context.Process(target=serve_process, args=args)
        server.start()
        theirs.close()
        addr, cid = pipe.recv()
        for _ in range(runs):
            for form, dialled in (("tcp", addr.replace("/ws/", "/")), ("ws", addr)):
                warm_memory(MARGIN)
                before = reader_seconds()
                rates[form].append(fetch_once(dialled, cid, None)[0])
                cpu[form].append(reader_seconds() - before)
        pipe.send("stop")
        pipe.recv()
        server.join()
    for form, several in rates.items():
        spread, seconds = f"({min(several):.0f}-{max(several):.0f})", statistics.median(cpu[form])
        print(
            f"{form:3} {statistics.median(several):6.0f} MiB/s  {spread}, reader {seconds:.2f} s of CPU with its start"
        )
    tcp, ws = (statistics.median(rates[form]) for form in FORMS)
    print(f"Bitswap over a WebSocket: {ws / tcp:.0%} of plain TCP ({TARGET:.0%} wanted)")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--mib", type=int, default=512)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--streams-only", action="store_true")
    options = parser.parse_args()
    streams(options.mib, options.runs)
    if not options.streams_only:
        bitswap(options.mib, options.runs)


if __name__ == "__main__":
    main()
