"""A peer that speaks as much of the protocols as a test wants, and then whatever the test wants."""

import asyncio
import datetime

from cidery.identity.keys import PrivateKey
from cidery.libp2p.io.websocket import WebSocketLayer
from cidery.libp2p.protocols import multistream, noise, yamux
from cidery.libp2p.protocols.channel import Secured
from cidery.libp2p.protocols.steps import Handshake
from cidery.libp2p.protocols.tls import TlsIdentity
from cidery.libp2p.protocols.upgrade import UpgradeConfig, upgrade_outbound
from cidery.libp2p.protocols.websocket import WebSocket
from cidery.libp2p.protocols.yamux import DATA, FIN, HEADER, SYN, WINDOW_UPDATE
from cidery.multiformats.varint import encode_uvarint
from cidery.testing.memory_network import MemoryNetwork, MemoryTransport, seeded_entropy
from cidery.testing.memory_node import PORT, MemoryNode


class Carried:
    """How the nodes of a test are connected."""

    websocket = False


CARRIED = Carried()


class Above(asyncio.BufferedProtocol):
    """What an attacker is above a WebSocket."""

    def __init__(self, attacker: "Attacker") -> None:
        self.attacker = attacker
        self._buffer = memoryview(bytearray(1 << 16))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.attacker.connection_made(transport)

    def get_buffer(self, _sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, count: int) -> None:
        self.attacker.data_received(bytes(self._buffer[:count]))

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.attacker.connection_lost(exc)


class Attacker(asyncio.Protocol):
    """Dials a node, by a WebSocket where that is how it is reached.

    ``raw`` is what came before the handshake was through, ``plain`` what came after, decrypted.
    """

    def __init__(self, number: int = 66) -> None:
        entropy = seeded_entropy(1000 + number)
        self.key = PrivateKey.generate_ed25519(entropy)
        now = datetime.datetime.now(datetime.UTC)
        config = UpgradeConfig(
            self.key, TlsIdentity(self.key, (yamux.PROTOCOL,), now), entropy, security=(noise.PROTOCOL,)
        )
        self.handshake: Handshake[Secured] = Handshake(upgrade_outbound(config, None))
        self.secured: Secured | None = None
        self.ready = asyncio.get_running_loop().create_future()
        self.lost = asyncio.get_running_loop().create_future()
        self.raw = bytearray()
        self.plain = bytearray()
        self.steps_left = 99
        self.begun = False
        self.transport: asyncio.Transport
        self.socket: MemoryTransport
        """The lowest transport."""
        self._sealed = bytearray()

    @classmethod
    async def dial(cls, network: MemoryNetwork, node: MemoryNode, number: int = 66, steps: int = 99) -> "Attacker":
        """Connect and send the first ``steps`` messages of an honest handshake."""
        made = cls(number)
        made.steps_left = steps
        host = network.host(f"10.0.1.{number}")
        if not node.websocket:
            await host.connect(lambda: made, node.address, PORT)
            return made
        socket = WebSocket.client(seeded_entropy(number), f"{node.address}:{PORT}")
        layer = await host.connect(lambda: WebSocketLayer(Above(made), socket), node.address, PORT)
        assert isinstance(layer.below, MemoryTransport)
        made.socket = layer.below
        while not made.begun and not made.lost.done():
            await asyncio.sleep(0.001)
        return made

    @classmethod
    async def upgraded(cls, network: MemoryNetwork, node: MemoryNode, number: int = 66) -> "Attacker":
        made = await cls.dial(network, node, number)
        await made.ready
        return made

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, MemoryTransport):
            self.socket = transport
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.begun = True
        self._say()

    def data_received(self, data: bytes) -> None:
        if self.secured is not None:
            self._open(data)
            return
        self.raw += data
        if self.steps_left <= 0:
            return
        self.handshake.receive_data(data)
        self._say()
        if self.handshake.done and self.steps_left > 0:
            self.secured = self.handshake.result
            self.ready.set_result(None)
            self._open(bytes(self.handshake.rest))

    def _say(self) -> None:
        out = self.handshake.data_to_send()
        if out and self.steps_left > 0:
            self.steps_left -= 1
            self.transport.write(out)

    def _open(self, data: bytes) -> None:
        assert self.secured is not None
        self._sealed += data
        view = bytes(self._sealed)
        used = self.secured.channel.receive(memoryview(view), self.plain.extend)
        del self._sealed[:used]

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.lost.done():
            self.lost.set_result(exc)

    def seal(self, plain: bytes) -> None:
        """Send bytes inside the channel."""
        assert self.secured is not None
        out = memoryview(bytearray(self.secured.channel.sealed_size))
        size = self.secured.channel.plain_size
        for at in range(0, len(plain), size):
            self.transport.write(out[: self.secured.channel.seal_into(memoryview(plain[at : at + size]), out)])

    def frame(self, kind: int, flags: int, stream: int, length: int, body: bytes = b"") -> None:
        self.seal(HEADER.pack(0, kind, flags, stream, length) + body)

    def data(self, stream: int, body: bytes, flags: int = 0) -> None:
        self.frame(DATA, flags, stream, len(body), body)

    def open(self, stream: int, protocol: str = "", body: bytes = b"", fin: bool = False) -> None:
        """Open a stream, propose a protocol at once, and send."""
        opening = multistream.optimistic_opening(protocol) if protocol else b""
        self.frame(WINDOW_UPDATE, SYN, stream, 0)
        if opening + body or fin:
            self.data(stream, opening + body, FIN if fin else 0)

    def frames(self) -> list[tuple[int, int, int, int, bytes]]:
        """What came so far: (kind, flags, stream, length, body) of each whole frame."""
        at, out, data = 0, [], bytes(self.plain)
        while len(data) - at >= HEADER.size:
            _, kind, flags, stream, length = HEADER.unpack_from(data, at)
            at += HEADER.size
            body = data[at : at + length] if kind == DATA else b""
            at += len(body)
            out.append((kind, flags, stream, length, body))
        return out

    def was_reset(self, stream: int) -> bool:
        return any(flags & yamux.RST and number == stream for _, flags, number, _, _ in self.frames())


def message(body: bytes) -> bytes:
    return encode_uvarint(len(body)) + body
