"""QUIC beside TCP: one stream over loopback, connecting over a delay, and what it adds to a daemon.

    python bench/quic.py [--mib 256] [--runs 5] [--go PROGRAM]

Streams: two processes, each with a node; bytes of one stream, read and dropped, TCP with Noise and QUIC in turns.
Connecting: through a forwarder that only delays, in round trips, until the peer is authenticated and identified.
``--go``: the built Go peer of tests/peers/go, to itself.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib
import multiprocessing
import multiprocessing.connection
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import cast

from cidery.blockstore.memory import MemoryStore
from cidery.identity.keys import PrivateKey
from cidery.libp2p.io.stream import Stream
from cidery.multiformats.multiaddr import Multiaddr
from cidery.node.network import NodeNetwork
from lag import LagMeter, runner
from others import LinePeer

TCP, QUIC = "/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"
ROUND_TRIP = 0.2
"""Seconds, of the delaying forwarder."""
SINK = "/bench/sink/1.0.0"
PIECE = bytes(1 << 20)
CIDERY = [sys.executable, "-m", "cidery"]
Pipe = multiprocessing.connection.Connection


def node() -> NodeNetwork:
    return NodeNetwork(PrivateKey.generate_ed25519(os.urandom), MemoryStore(), quic=True)


async def serve(pipe: Pipe) -> None:
    network = node()

    async def sink(stream: Stream) -> None:
        began, size = time.process_time(), 0
        while data := await stream.read(1 << 20):
            size += len(data)
        await stream.write(size.to_bytes(8, "big") + int((time.process_time() - began) * 1e6).to_bytes(8, "big"))

    await network.serve(SINK, sink)
    await network.start((Multiaddr.parse(TCP), Multiaddr.parse(QUIC)))
    pipe.send([str(addr.with_peer(network.swarm.local_peer.multihash)) for addr in network.swarm.listen_addrs()])
    async with LagMeter() as lag:
        await asyncio.to_thread(pipe.recv)
    pipe.send(lag.worst)
    await network.close()


def serve_process(pipe: Pipe) -> None:
    with runner() as run:
        run.run(serve(pipe))


async def send(addr: Multiaddr, mib: int) -> tuple[float, float, float]:
    """(MiB/s, CPU seconds per GiB of the sender, of the receiver) of one stream."""
    network = node()
    await network.start(())
    await network.connect(addr)
    assert addr.peer_id_bytes is not None
    (connection,) = network.swarm.connections()
    stream = await connection.open_stream([SINK])
    began, busy = time.perf_counter(), time.process_time()
    for _ in range(mib):
        await stream.write(PIECE)
    stream.close_write()
    size = int.from_bytes(await stream.read_exactly(8), "big")
    theirs = int.from_bytes(await stream.read_exactly(8), "big") / 1e6
    seconds, busy = time.perf_counter() - began, time.process_time() - busy
    assert size == mib << 20
    await network.close()
    return mib / seconds, busy * 1024 / mib, theirs * 1024 / mib


class Delay(asyncio.DatagramProtocol):
    """A UDP forwarder that delays each way by half a round trip, and counts flights: datagrams sent close together."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._loop = asyncio.get_running_loop()
        self._client: tuple[str, int] | None = None
        self.flights: list[tuple[float, bool]] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        onward = addr != self._target
        if onward:
            self._client = addr
        now = self._loop.time()
        if not self.flights or self.flights[-1][1] is not onward or now - self.flights[-1][0] > ROUND_TRIP / 4:
            self.flights.append((now, onward))
        to = self._target if onward else self._client
        self._loop.call_later(ROUND_TRIP / 2, self._transport.sendto, data, to)


async def delayed_tcp(port: int) -> asyncio.Server:
    """As Delay, for TCP; connecting to it costs the round trip that a SYN and its answer take."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while data := await reader.read(65536):
            loop.call_later(ROUND_TRIP / 2, writer.write, data)

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(ROUND_TRIP)
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))

    return await asyncio.start_server(forward, "127.0.0.1", 0)


async def connect_round_trips(addrs: list[Multiaddr]) -> dict[str, float]:
    """Round trips until the peer is authenticated, and until it is identified too."""
    out: dict[str, float] = {}
    for addr in addrs:
        endpoint = addr.tcp_endpoint() or addr.quic_endpoint()
        assert endpoint is not None and addr.peer_id_bytes is not None
        if addr.tcp_endpoint():
            server = await delayed_tcp(endpoint[1])
            through = Multiaddr.tcp("127.0.0.1", server.sockets[0].getsockname()[1])
        else:
            made, delay = await asyncio.get_running_loop().create_datagram_endpoint(
                lambda to=endpoint: Delay(to), local_addr=("127.0.0.1", 0)
            )
            through = Multiaddr.quic("127.0.0.1", made.get_extra_info("sockname")[1])
        network = node()
        await network.start(())
        importlib.import_module("cidery.libp2p.protocols.qh3_core")  # once per process, some 60 ms
        began = time.perf_counter()
        authenticated: list[float] = []
        network.swarm.on_connected.insert(0, lambda _, to=authenticated: _note(to))  # type: ignore[misc]
        await network.connect(through.with_peer(addr.peer_id_bytes))
        name = "tcp" if addr.tcp_endpoint() else "quic"
        out[f"{name} authenticated"] = (authenticated[0] - began) / ROUND_TRIP
        out[f"{name} identified"] = (time.perf_counter() - began) / ROUND_TRIP
        await network.close()
    return out


async def _note(to: list[float]) -> None:
    to.append(time.perf_counter())


def idle_daemon(folder: Path, quic: bool) -> tuple[float, float]:
    """(seconds of processor time until ready, MB of RSS two seconds later)."""
    repo = str(folder / f"idle-{quic}-{time.monotonic_ns()}")
    command = [*CIDERY, "--repo-dir", repo]
    subprocess.run([*command, "init", "--profile", "test"], check=True, capture_output=True)
    addrs = f'["{TCP}"' + (f', "{QUIC}"]' if quic else "]")
    subprocess.run([*command, "config", "--json", "Addresses.Swarm", addrs], check=True)
    subprocess.run(
        [*command, "config", "--json", "Swarm.Transports.Network.QUIC", "true" if quic else "false"], check=True
    )
    daemon = subprocess.Popen([*command, "daemon"], stdout=subprocess.PIPE, text=True)
    try:
        assert daemon.stdout is not None
        for line in daemon.stdout:
            if "ready" in line:
                break
        fields = Path(f"/proc/{daemon.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        busy = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        time.sleep(2)
        status = Path(f"/proc/{daemon.pid}/status").read_text(encoding="ascii")
        return busy, int(status.split("VmRSS:")[1].split()[0]) * 1024 / 1e6
    finally:
        daemon.terminate()
        daemon.wait()


def go_to_go(program: str, folder: Path, mib: int) -> dict[str, float]:
    """MiB/s of the Go peer's own stream to itself."""
    out = {}
    for name, listen in (("tcp", TCP), ("quic", QUIC)):
        with (
            LinePeer([program, "--listen", listen], folder / f"go-{name}-one") as one,
            LinePeer([program, "--listen", listen], folder / f"go-{name}-two") as two,
        ):
            two.ask("connect", one.addr)
            flow = two.ask("send", one.peer_id, mib << 20)["flowSeconds"]
            out[name] = mib / flow
    return out


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--mib", type=int, default=256)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--go", default="", help="the built Go peer")
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    pipe, theirs = context.Pipe()
    child = context.Process(target=serve_process, args=(theirs,))
    child.start()
    addrs = [Multiaddr.parse(text) for text in pipe.recv()]
    figures: dict[str, list[tuple[float, float, float]]] = {"tcp": [], "quic": []}
    with runner() as run:
        for _ in range(options.runs):
            for addr in addrs:
                figures["tcp" if addr.tcp_endpoint() else "quic"].append(run.run(send(addr, options.mib)))
    for name, several in figures.items():
        rates, ours, other = (list(column) for column in zip(*several, strict=True))
        print(
            f"{name:5} one stream {statistics.median(rates):6.0f} MiB/s ({min(rates):.0f}-{max(rates):.0f}),"
            f" CPU s/GiB: sender {statistics.median(ours):.2f}, receiver {statistics.median(other):.2f}"
        )
    with runner() as run:
        for name, trips in run.run(connect_round_trips(addrs)).items():
            print(f"{name:20} {trips:.2f} round trips of {ROUND_TRIP * 1000:.0f} ms")
    pipe.send("stop")
    print(f"largest loop lag of the receiver {pipe.recv() * 1000:.0f} ms")
    child.join()
    with tempfile.TemporaryDirectory() as folder:
        idle = {quic: [idle_daemon(Path(folder), quic) for _ in range(options.runs)] for quic in (False, True)}
        for quic, several in idle.items():
            busy, rss = (statistics.median(column) for column in zip(*several, strict=True))
            print(f"idle daemon {'with' if quic else 'without'} QUIC: {busy:.2f} CPU s to start, {rss:.1f} MB RSS")
        if options.go:
            for name, rate in go_to_go(options.go, Path(folder), options.mib).items():
                print(f"Go to Go, {name}: {rate:.0f} MiB/s")


if __name__ == "__main__":
    main()
