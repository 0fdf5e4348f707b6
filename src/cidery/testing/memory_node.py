"""A whole online node for simulations: the real swarm, Noise, Yamux, identify and Bitswap over a MemoryNetwork."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from cidery.blockstore.interface import BlockStore, Durability
from cidery.blockstore.memory import MemoryStore
from cidery.exchange.service import NetworkSession
from cidery.identity.keys import PrivateKey
from cidery.ipld.block import Block
from cidery.kad.service import KadOptions, KadService
from cidery.libp2p.io.connection import Connection
from cidery.libp2p.protocols import noise
from cidery.libp2p.protocols.timeouts import Timeouts
from cidery.multiformats.multiaddr import Multiaddr
from cidery.node.network import NodeNetwork
from cidery.testing.memory_network import MemoryNetwork, seeded_entropy
from cidery.testing.memory_streams import serve_streams

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
    ) -> None:
        """``kad`` None: no DHT. ``public``: at an address of the Internet, each node in a /16 of its own.

        ``streams``: serve archives over streams, as a real node does. ``serving``: a store from which others are
        served instead of its own, for nodes that lie or give nothing.
        """
        self.address = f"81.{number % 250}.{number // 250}.1" if public else f"10.0.{number // 250}.{number % 250}"
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
        )
        self.network.store = self.store
        self.serving = serving
        self._streams = streams

    async def start(self) -> None:
        """Listen. Raises CannotListen."""
        if self._streams:
            await serve_streams(self.network, self.serving)
        await self.network.start((Multiaddr.tcp(self.address, PORT),))

    @property
    def kad(self) -> KadService:
        """Its DHT; only if it was created with one."""
        assert self.network.kad is not None
        return self.network.kad

    @property
    def addr(self) -> Multiaddr:
        """Where to dial it."""
        return Multiaddr.tcp(self.address, PORT).with_peer(self.peer.multihash)

    @property
    def connections(self) -> list[Connection]:
        return self.network.swarm.connections()

    async def put(self, blocks: Sequence[Block]) -> None:
        await self.store.put_many(blocks, kept=True, durability=Durability.VISIBLE)

    async def connect(self, other: MemoryNode) -> None:
        await self.network.connect(other.addr)

    def session(self) -> NetworkSession:
        return self.network.session(kept=False)


@asynccontextmanager
async def memory_nodes(
    network: MemoryNetwork,
    count: int,
    timeouts: Timeouts | None = None,
    *,
    kad: KadOptions | None = None,
    public: bool = False,
    streams: bool = False,
) -> AsyncIterator[list[MemoryNode]]:
    """``count`` started nodes, numbered from 1, closed at the end."""
    nodes = [
        MemoryNode(network, number, timeouts, kad=kad, public=public, streams=streams) for number in range(1, count + 1)
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
