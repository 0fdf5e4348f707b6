"""A whole online node for simulations: the real swarm, Noise, Yamux, identify and Bitswap over a MemoryNetwork."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from cidery.blockstore.interface import BlockStore, Durability
from cidery.blockstore.memory import MemoryStore
from cidery.budgets import CONNECTIONS
from cidery.core.reading.cat import cat
from cidery.exchange.service import NetworkSession
from cidery.identity.keys import PrivateKey
from cidery.ipld.block import Block
from cidery.kad.service import KadOptions, KadService
from cidery.libp2p.io.connection import Connection, ConnectionFailed
from cidery.libp2p.io.quic_transport import QuicTransport
from cidery.libp2p.io.stream import Stream
from cidery.libp2p.protocols import noise
from cidery.libp2p.protocols.timeouts import Timeouts
from cidery.multiformats.cid import CID
from cidery.multiformats.multiaddr import Multiaddr
from cidery.multiformats.varint import Buffer
from cidery.node.network import NodeNetwork
from cidery.node.relays import RelayOptions
from cidery.testing.memory_network import MemoryNetwork, seeded_entropy
from cidery.testing.memory_streams import serve_streams
from cidery.unixfs.importer import FileBuilder
from cidery.unixfs.profile import UNIXFS_V1_2025, Profile

PORT = 4001
"""Every node listens here."""


class MemoryNode:
    """One node at ``10.0.0.<number>`` (or a public address). Its key and randomness come from its number."""

    def __init__(
        self,
        network: MemoryNetwork,
        number: int,
        timeouts: Timeouts | None = None,
        *,
        kad: KadOptions | None = None,
        public: bool = False,
        streams: bool = False,
        serving: BlockStore | None = None,
        router: str = "",
        connections: int = CONNECTIONS.amount,
        websocket: bool = False,
        quic: bool = False,
        relays: RelayOptions | None = None,
    ) -> None:
        """``kad`` None: no DHT. ``public``: at an address of the Internet, each node in a /16 of its own.

        ``streams``: serve archives over streams, as a real node does. ``serving``: a store from which others are
        served instead of its own, for nodes that lie or give nothing. ``router``: the public address of a NAT that it
        is behind (``MemoryNetwork.set_nat``). ``connections``: how many it takes. ``websocket``: whether
        ``addr`` is one, on the port of plain TCP. ``quic``: it has QUIC instead.
        ``relays`` None: it neither uses relays nor is one.
        """
        self.address = f"81.{number % 250}.{number // 250}.1" if public else f"10.0.{number // 250}.{number % 250}"
        if router:
            network.set_nat(self.address, router)
        self.store = MemoryStore()
        serving = self.store if serving is None else serving
        entropy = seeded_entropy(number)
        self.key = PrivateKey.generate_ed25519(entropy)
        self.peer = self.key.peer_id
        self.name = str(self.peer)
        self.network = NodeNetwork(
            self.key,
            serving,
            security=(noise.PROTOCOL,),
            timeouts=timeouts,
            clock=asyncio.get_running_loop().time,
            entropy=entropy,
            network=network.host(self.address),
            kad=kad,
            first_sequence=number,
            max_connections=connections,
            relays=relays,
        )
        self.network.store = self.store
        self.serving = serving
        self._streams = streams
        self.websocket = websocket
        self.quic = quic
        if quic:
            clock = asyncio.get_running_loop().time
            host = network.host(self.address)
            self.network.swarm.add_transport(QuicTransport(self.network.filters, clock, entropy, bind=host.bind))

    async def start(self) -> None:
        """Listen. Raises CannotListen."""
        if self._streams:
            await serve_streams(self.network, self.serving)
        plain = Multiaddr.tcp(self.address, PORT)
        if self.quic:
            await self.network.start((Multiaddr.quic(self.address, PORT),))
            return
        await self.network.start((plain, Multiaddr.parse(f"{plain}/ws")) if self.websocket else (plain,))

    @property
    def kad(self) -> KadService:
        """Its DHT; only if it was created with one."""
        assert self.network.kad is not None
        return self.network.kad

    @property
    def addr(self) -> Multiaddr:
        """Where to dial it."""
        if self.quic:
            return Multiaddr.quic(self.address, PORT).with_peer(self.peer.multihash)
        plain = Multiaddr.tcp(self.address, PORT)
        return (Multiaddr.parse(f"{plain}/ws") if self.websocket else plain).with_peer(self.peer.multihash)

    @property
    def connections(self) -> list[Connection]:
        return self.network.swarm.connections()

    async def put(self, blocks: Sequence[Block]) -> None:
        await self.store.put_many(blocks, kept=True, durability=Durability.VISIBLE)

    async def connect(self, other: MemoryNode) -> None:
        """Dial it. Raises DialFailed."""
        await self.network.connect(other.addr)

    async def add(self, data: Buffer, profile: Profile = UNIXFS_V1_2025) -> CID:
        """Store a file; its CID, as ``cidery add`` prints it. Nobody is told."""
        builder, view, blocks = FileBuilder(profile), memoryview(data), []
        for at in range(0, len(view), profile.chunk_size):
            blocks += builder.add_chunk(view[at : at + profile.chunk_size])
        root, last = builder.finish()
        await self.put(blocks + last)
        return root.cid

    async def read(self, cid: CID) -> bytes:
        """A whole file, from the store or from other nodes. Raises as ``core.reading.cat.cat``. Cancel-safe."""
        async with self.session() as session:
            return b"".join([bytes(piece) async for piece in cat(cid, session)])

    async def serve(self, protocol: str, handler: Callable[[Stream], Awaitable[None]]) -> None:
        """Handle streams of a protocol of your own, and tell the peers."""
        await self.network.serve(protocol, handler)

    async def open(self, other: MemoryNode, protocol: str) -> Stream:
        """A stream to another node; dials if necessary. Raises DialFailed, ProtocolNotSupported, ConnectionFailed."""
        connection = self.network.swarm.best(other.peer)
        if connection is None:
            await self.connect(other)
            connection = self.network.swarm.best(other.peer)
        if connection is None:
            raise ConnectionFailed("the peer has disconnected")
        return await connection.open_stream([protocol])

    def session(self) -> NetworkSession:
        return self.network.fetch_session(kept=False)


@asynccontextmanager
async def memory_nodes(
    network: MemoryNetwork,
    count: int,
    timeouts: Timeouts | None = None,
    *,
    kad: KadOptions | None = None,
    public: bool = False,
    streams: bool = False,
    websocket: bool = False,
) -> AsyncIterator[list[MemoryNode]]:
    """``count`` started nodes, numbered from 1, closed at the end."""
    nodes = [
        MemoryNode(network, number, timeouts, kad=kad, public=public, streams=streams, websocket=websocket)
        for number in range(1, count + 1)
    ]
    async with running(nodes):
        yield nodes


@asynccontextmanager
async def running(nodes: Sequence[MemoryNode]) -> AsyncIterator[None]:
    """These nodes started, closed at the end."""
    try:
        for node in nodes:
            await node.start()
        yield
    finally:
        for node in nodes:
            await node.network.close()
