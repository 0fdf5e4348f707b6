"""What being a relay costs, and reaching others by every transport: each figure beside what is wanted of it.

    python bench/relay.py [--seconds 20] [--idle 30]

The relay is a process of its own, with 100 reservations and 20 circuits of strangers (a buffer of 2 KiB) over
loopback. Connecting over QUIC: bench/quic.py; streams over WebSockets: bench/websocket.py.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import multiprocessing.connection
import os
import subprocess
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import others  # noqa: F401  (for the folder of the test peers)
from cidery.blockstore.memory import MemoryStore
from cidery.identity.keys import PrivateKey
from cidery.identity.peer_id import PeerId
from cidery.libp2p.io.connection import Connection
from cidery.libp2p.io.stream import Stream
from cidery.libp2p.protocols.relay_server import RelayLimits
from cidery.libp2p.protocols.relayed import through
from cidery.multiformats.multiaddr import Multiaddr
from cidery.node.network import NodeNetwork
from cidery.node.relays import RelayOptions
from cidery.testing.memory_network import Link, MemoryNetwork
from cidery.testing.memory_node import MemoryNode, running
from cidery.testing.virtual_clock import run_virtual
from lag import runner

LOOPBACK = Multiaddr.parse("/ip4/127.0.0.1/tcp/0")
RESERVATIONS, CIRCUITS, RATE = 100, 20, 128 * 1024
WANTED_SHARE, WANTED_RSS = 0.15, 100.0
FLOW = "/bench/flow/1.0.0"
PIECES_A_SECOND = 8
WIDE = RelayLimits(seconds=0, data=1 << 40, reservations_of_ip=1000, reservations_of_net=1000)
"""As by default, but for one address and long circuits. They are limited, so the buffer is that for strangers."""
CIDERY = [sys.executable, "-m", "cidery"]
Pipe = multiprocessing.connection.Connection


def node(relays: RelayOptions) -> NodeNetwork:
    return NodeNetwork(PrivateKey.generate_ed25519(os.urandom), MemoryStore(), relays=relays)


async def relay(pipe: Pipe) -> None:
    """Answers each message by its CPU seconds and how many reservations and circuits there are."""
    network = node(RelayOptions(client=False, punch=False, service=WIDE))
    assert network.relays is not None and network.relays.service is not None
    network.relays._is_public = lambda: True  # type: ignore[method-assign]  # nobody can say so of loopback
    network.relays.service._public = lambda: True
    await network.start((LOOPBACK,))
    pipe.send(network.identity().addresses[0])
    while await asyncio.to_thread(pipe.recv) != "stop":
        view = network.relays.view()
        pipe.send((time.process_time(), view.reservations, view.circuits))
    await network.close()


def relay_process(pipe: Pipe) -> None:
    with runner() as run:
        run.run(relay(pipe))


async def reserved(at: Multiaddr) -> NodeNetwork:
    """A node that the relay has granted a reservation."""
    assert at.peer_id_bytes is not None
    static = {PeerId.decode(at.peer_id_bytes): [at.without_peer()]}
    network = node(RelayOptions(static=static, punch=False))
    await network.start((LOOPBACK,))
    while not network.relays or not network.relays.view().addresses:
        await asyncio.sleep(0.05)
    return network


def unlimited(connection: Connection) -> Connection:
    """Peers that send what they like over a limited connection: what is measured is the relay."""
    connection.limited = False
    connection.config = replace(connection.config, handlers={FLOW: swallow})
    return connection


async def swallow(stream: Stream) -> None:
    while await stream.read(1 << 16):
        pass


async def flow(stream: Stream, seconds: float) -> None:
    """RATE for some time."""
    began, piece = time.monotonic(), bytes(RATE // PIECES_A_SECOND)
    for number in range(int(seconds * PIECES_A_SECOND)):
        await stream.write(piece)
        await asyncio.sleep(max(0.0, began + (number + 1) / PIECES_A_SECOND - time.monotonic()))


async def load(addr: Multiaddr, pipe: Pipe, seconds: float, idle: float) -> None:
    async def state() -> tuple[float, int, int]:
        pipe.send("state")
        found: tuple[float, int, int] = await asyncio.to_thread(pipe.recv)
        return found

    async with AsyncExitStack() as stack:
        before = (await state())[0]
        targets = [await reserved(addr) for _ in range(RESERVATIONS)]
        for one in targets:
            stack.push_async_callback(one.close)
        asked, count, _ = await state()
        print(
            f"relay: {count} reservations ({RESERVATIONS} wanted), {(asked - before) / count * 1000:.1f} ms of CPU each"
        )
        await asyncio.sleep(idle)
        spent = (await state())[0] - asked
        hour = spent / idle * 3600 / count
        print(f"relay: a reservation that idles costs {hour:.2f} s of CPU an hour")
        callers = []
        for target in targets[:CIRCUITS]:
            caller = node(RelayOptions(client=False, punch=False))
            await caller.start((LOOPBACK,))
            stack.push_async_callback(caller.close)
            at = through(next(iter(target.swarm.peers())), addr.without_peer())
            await caller.connect(at.with_peer(target.swarm.local_peer.multihash))
            near = next(one for one in caller.swarm.connections() if one.relayed)
            far = next(one for one in target.swarm.connections() if one.relayed)
            callers.append((unlimited(near), unlimited(far)))
        for name, ways in (("one way", 1), ("both ways", 2)):
            streams = [await pair[way].open_stream([FLOW]) for pair in callers for way in range(ways)]
            began, busy = time.monotonic(), (await state())[0]
            await asyncio.gather(*(flow(stream, seconds) for stream in streams))
            taken = time.monotonic() - began
            now, _, circuits = await state()
            share = (now - busy) / taken
            print(
                f"relay: {circuits} circuits at {RATE // 1024} KiB/s {name} "
                f"({len(streams) * RATE * seconds / taken / 2**20:.1f} MiB/s in all): "
                f"{share:.1%} of a core ({WANTED_SHARE:.0%} wanted)"
            )
            for stream in streams:
                stream.close_write()


def idle_bytes() -> None:
    """What a reservation adds to an hour of an idle connection, in virtual time."""

    async def hour(*, reserves: bool) -> int:
        network = MemoryNetwork(1, Link(0.02))
        one = MemoryNode(network, 1, public=True, relays=RelayOptions(client=False, service=RelayLimits()))
        static = {one.peer: [one.addr.without_peer()]} if reserves else {}
        other = MemoryNode(network, 2, public=True, router="82.1.1.1", relays=RelayOptions(static=static))
        async with running([one, other]):
            one.network.peering_add([Multiaddr.parse(f"/p2p/{other.name}")])
            await other.connect(one)
            await asyncio.sleep(60)
            before = network.bytes
            await asyncio.sleep(3600)
            return network.bytes - before

    with_, without = (run_virtual(hour(reserves=reserves)) for reserves in (True, False))
    print(f"relay: an idle connection carries {without} bytes an hour, with a reservation {with_}")


def idle_daemon(folder: Path) -> None:
    """One with every transport and service on, alone and then met by each transport."""
    from peers.certificates import write_certificate

    cert, key = write_certificate(folder)
    listen = [f"/ip4/127.0.0.1/tcp/0{form}" for form in ("", "/ws", "/tls/ws")] + ["/ip4/127.0.0.1/udp/0/quic-v1"]
    config = {
        "Addresses.Swarm": listen,
        "Swarm.TLS": {"CertFile": str(cert), "KeyFile": str(key)},
        "Swarm.RelayService.Enabled": True,
        "Swarm.RelayClient.Enabled": True,
        "Routing.Type": "auto",
        "Pubsub.Enabled": True,
        "Ipns.UsePubsub": True,
    }
    command = [*CIDERY, "--repo-dir", str(folder / "all")]
    subprocess.run([*command, "init", "--profile", "test"], check=True, capture_output=True)
    for name, value in config.items():
        subprocess.run([*command, "config", "--json", name, json.dumps(value)], check=True)
    daemon = subprocess.Popen([*command, "daemon"], stdout=subprocess.PIPE, text=True)
    try:
        assert daemon.stdout is not None
        next(line for line in daemon.stdout if "ready" in line)
        time.sleep(3)
        print(f"daemon with every transport on, idle: {rss(daemon.pid):.0f} MB RSS ({WANTED_RSS:.0f} wanted)")
        told = subprocess.run([*command, "swarm", "addrs", "local", "--id"], check=True, capture_output=True, text=True)
        addrs = [addr for addr in told.stdout.split() if "/tls/" not in addr]
        with runner() as run:
            run.run(meet(addrs))
        time.sleep(3)
        print(f"after a connection by each of {len(addrs)}: {rss(daemon.pid):.0f} MB RSS")
    finally:
        daemon.terminate()
        daemon.wait()


async def meet(addrs: list[str]) -> None:
    for addr in addrs:
        network = NodeNetwork(PrivateKey.generate_ed25519(os.urandom), MemoryStore(), quic=True)
        await network.start(())
        await network.connect(Multiaddr.parse(addr))
        await network.close()


def rss(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(status.split("VmRSS:")[1].split()[0]) * 1024 / 1e6


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=20.0, help="of the circuits")
    parser.add_argument("--idle", type=float, default=30.0, help="seconds of idling")
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    pipe, theirs = context.Pipe()
    child = context.Process(target=relay_process, args=(theirs,))
    child.start()
    with runner() as run:
        run.run(load(Multiaddr.parse(pipe.recv()), pipe, options.seconds, options.idle))
    pipe.send("stop")
    child.join()
    idle_bytes()
    with tempfile.TemporaryDirectory() as folder:
        idle_daemon(Path(folder))


if __name__ == "__main__":
    main()
