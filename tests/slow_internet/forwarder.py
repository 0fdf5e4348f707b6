"""The wires between hosts of a slow internet: each host's line at its rate, and the distance between every two.

    python forwarder.py        # in the namespace of the wires; commands on its standard input, one JSON array a line

Each host's network card is a TUN device whose other end is here. A packet waits for its sender's uplink, travels, waits
for its receiver's downlink, and is written to that card. Lines are those of ``cidery.testing.host_line``: fair between
the pairs of hosts, with a bounded queue for each pair; what comes beyond it is dropped, as a router does.

["add", ADDRESS] -> {"device": NAME} | ["line", ADDRESS, UP, DOWN] | ["distance", ONE, OTHER, SECONDS, LOSS]
| ["apart", SECONDS] (all others) | ["queue", BYTES] | ["plug", ADDRESS, 0|1] | ["cut", [ADDRESS...], [ADDRESS...], 0|1]
| ["carried"]
"""

import asyncio
import fcntl
import json
import os
import random
import struct
import sys
from collections import deque
from ipaddress import IPv4Address
from typing import Any

from cidery.testing.host_line import QUEUE, Flow, Line

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x1, 0x1000
LARGEST = 65536
PACKETS_AT_ONCE = 16
"""Read from one card between two turns of the loop."""


class Pair(Flow):
    """Packets from one host to another."""

    def __init__(self, source: "Host", target: "Host") -> None:
        super().__init__()
        self.source, self.target = source, target
        self.up: deque[bytes] = deque()
        self.down: deque[bytes] = deque()
        self.sizes = [0, 0]
        """Bytes that wait in each."""
        self.distance: float | None = None
        self.loss = 0.0
        self.frozen = False


class Host:
    """One host's card and its line."""

    def __init__(self, address: str, number: int, wires: "Wires") -> None:
        self.address = IPv4Address(address).packed
        self.device = f"tun{number}"
        self.card = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(self.card, TUNSETIFF, struct.pack("16sH22x", self.device.encode(), IFF_TUN | IFF_NO_PI))
        self.plugged = True
        self.carried = [0, 0]
        self.up: Line[Pair] = Line(lambda pair: bool(pair.up), lambda pair: take(pair, 0), wires.left)
        self.down: Line[Pair] = Line(lambda pair: bool(pair.down), lambda pair: take(pair, 1), wires.arrived)


def take(pair: Pair, side: int) -> bytes:
    packet = (pair.down if side else pair.up).popleft()
    pair.sizes[side] -= len(packet)
    return packet


def put(pair: Pair, side: int, packet: bytes, queue: int) -> bool:
    """Append to a queue of so many bytes; False: it is full."""
    if pair.sizes[side] + len(packet) > queue and pair.sizes[side]:
        return False
    (pair.down if side else pair.up).append(packet)
    pair.sizes[side] += len(packet)
    return True


class Wires:
    """Everything between the hosts."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.hosts: dict[bytes, Host] = {}
        self.pairs: dict[tuple[bytes, bytes], Pair] = {}
        self.apart = 0.0
        self.queue = QUEUE
        self.dropped = 0
        self.random = random.Random(0)

    def add(self, address: str) -> dict[str, Any]:
        host = Host(address, len(self.hosts), self)
        self.hosts[host.address] = host
        self.loop.add_reader(host.card, self.sent, host)
        return {"device": host.device}

    def pair(self, source: Host, target: Host) -> Pair:
        key = (source.address, target.address)
        if key not in self.pairs:
            self.pairs[key] = Pair(source, target)
        return self.pairs[key]

    def sent(self, host: Host) -> None:
        """Packets from a host's card."""
        for _ in range(PACKETS_AT_ONCE):
            try:
                packet = os.read(host.card, LARGEST)
            except BlockingIOError:
                return
            target = self.hosts.get(packet[16:20]) if packet[0] >> 4 == 4 else None
            if target is None or not host.plugged:
                continue  # nobody is there: nothing leaves this machine
            pair = self.pair(host, target)
            if put(pair, 0, packet, self.queue):
                host.up.wake(pair)
            else:
                self.dropped += 1

    def left(self, pair: Pair, packet: bytes | None) -> None:
        """A packet went through the sender's line."""
        assert packet is not None  # take() gives no end of a stream
        pair.source.carried[0] += len(packet)
        if pair.loss and self.random.random() < pair.loss:
            return
        distance = self.apart if pair.distance is None else pair.distance
        if distance:
            self.loop.call_later(distance, self.reached, pair, packet)
        else:
            self.reached(pair, packet)

    def reached(self, pair: Pair, packet: bytes) -> None:
        if pair.frozen or not pair.target.plugged:
            return
        if put(pair, 1, packet, self.queue):
            pair.target.down.wake(pair)
        else:
            self.dropped += 1

    def arrived(self, pair: Pair, packet: bytes | None) -> None:
        assert packet is not None
        pair.target.carried[1] += len(packet)
        try:
            os.write(pair.target.card, packet)
        except OSError:
            self.dropped += 1  # its card is not up

    def both(self, one: str, other: str) -> list[Pair]:
        first, second = (self.hosts[IPv4Address(address).packed] for address in (one, other))
        return [self.pair(first, second), self.pair(second, first)]

    def answer(self, command: str, *words: Any) -> dict[str, Any]:
        """Run a command. Raises ValueError, KeyError, OSError."""
        match command:
            case "add":
                return self.add(words[0])
            case "line":
                host = self.hosts[IPv4Address(words[0]).packed]
                host.up.rate, host.down.rate = float(words[1]), float(words[2])
            case "distance":
                for pair in self.both(words[0], words[1]):
                    pair.distance, pair.loss = float(words[2]), float(words[3])
            case "apart":
                self.apart = float(words[0])
            case "queue":
                self.queue = int(words[0])
            case "plug":
                self.hosts[IPv4Address(words[0]).packed].plugged = bool(words[1])
            case "cut":
                for one in words[0]:
                    for other in words[1]:
                        for pair in self.both(one, other):
                            pair.frozen = bool(words[2])
            case "carried":
                sums = {str(IPv4Address(host.address)): host.carried for host in self.hosts.values()}
                return {"carried": sums, "dropped": self.dropped}
            case _:
                raise ValueError(f"unknown command {command}")
        return {}


def say(**values: object) -> None:
    print(json.dumps(values), flush=True)


async def main() -> None:
    wires, input_ = Wires(), asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(input_), sys.stdin)
    say(event="ready", peerId="", addrs=[""])
    while line := await input_.readline():
        try:
            say(ok=True, **wires.answer(*json.loads(line)))
        except (ValueError, KeyError, OSError) as exc:
            say(ok=False, error=repr(exc))


if __name__ == "__main__":
    asyncio.run(main())
