"""A NAT-PMP gateway as a test peer, written from RFC 6886 without Cidery's code; it maps nothing, it keeps the table.

    python nat_pmp_gateway.py ADDRESS OUTSIDE

Answers on UDP ADDRESS:5351 that it is OUTSIDE. Prints one JSON object a line: first the ready event, then one per
command, a JSON array on a line: ["mappings"] | ["restart"] |
["refuse", OPCODE] | ["close"]. It ends with its standard input.
"""

import asyncio
import ipaddress
import json
import struct
import sys
import time
from collections.abc import Callable
from typing import cast

PORT = 5351
SUCCESS, BAD_VERSION, NO_RESOURCES, BAD_OPCODE = 0, 1, 4, 5


class Gateway:
    """What section 3 asks of a gateway. ``taken`` external ports belong to others; ``refuses`` all mappings,
    ``refused`` those of some opcodes."""

    def __init__(self, outside: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.outside = ipaddress.IPv4Address(outside)
        self.mappings: dict[tuple[str, int, int], tuple[int, int]] = {}
        """(host, opcode, internal port) -> (external port, lifetime)"""
        self.taken: set[int] = set()
        self.refuses = False
        self.refused: set[int] = set()
        self.longest = 7200
        self.requests: list[bytes] = []
        self.asked: set[int] = set()
        """Opcodes of the mappings that were asked for."""
        self._clock = clock
        self.restart()

    def restart(self) -> None:
        """Forget everything, as after a loss of power."""
        self.mappings.clear()
        self._since = self._clock()

    def answer(self, data: bytes, host: str) -> bytes | None:
        """The answer to a datagram of a host; None: it gets none."""
        self.requests.append(data)
        if len(data) < 2 or data[1] >= 128:
            return None
        version, opcode = data[0], data[1]
        if version != 0:
            return self._head(opcode, BAD_VERSION)
        if opcode == 0:
            return self._head(0, SUCCESS) + self.outside.packed
        if opcode not in (1, 2) or len(data) < 12:
            return self._head(opcode, BAD_OPCODE)
        internal, wished, lifetime = struct.unpack("!HHI", data[4:12])
        self.asked.add(opcode)
        key = (host, opcode, internal)
        if lifetime == 0:
            self.mappings.pop(key, None)
            return self._head(opcode, SUCCESS) + struct.pack("!HHI", internal, 0, 0)
        if self.refuses or opcode in self.refused:
            return self._head(opcode, NO_RESOURCES) + struct.pack("!HHI", internal, 0, 0)
        external = self.mappings[key][0] if key in self.mappings else self._free(opcode, wished or internal)
        self.mappings[key] = (external, min(lifetime, self.longest))
        return self._head(opcode, SUCCESS) + struct.pack("!HHI", internal, *self.mappings[key])

    def _free(self, opcode: int, wished: int) -> int:
        used = self.taken | {external for (_, kind, _), (external, _) in self.mappings.items() if kind == opcode}
        return next(port for port in range(wished, 65536) if port not in used)

    def _head(self, opcode: int, result: int) -> bytes:
        return struct.pack("!BBHI", 0, 128 + opcode, result, int(self._clock() - self._since))


class Served(asyncio.DatagramProtocol):
    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if (answer := self.gateway.answer(data, addr[0])) is not None:
            self.transport.sendto(answer, addr)


async def serve(gateway: Gateway, address: str, port: int = PORT) -> asyncio.DatagramTransport:
    """Answers until the transport is closed."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: Served(gateway), local_addr=(address, port))
    return transport


async def main() -> None:
    address, outside = sys.argv[1:]
    gateway = Gateway(outside)
    await serve(gateway, address)
    print(json.dumps({"event": "ready", "peerId": "", "addrs": [f"/ip4/{address}/udp/{PORT}"]}), flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        command, *words = json.loads(line)
        if command == "close":
            break
        if command == "restart":
            gateway.restart()
        if command == "refuse":
            gateway.refused = set(map(int, words))
        mappings = [[*key, *value] for key, value in gateway.mappings.items()]
        print(json.dumps({"ok": True, "mappings": mappings, "requests": len(gateway.requests)}), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
