"""Whole DAGs as archives over streams: served to peers, and counted with what Bitswap sends and receives."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from cidery.http.message import Request, Response
from cidery.identity.peer_id import PeerId
from cidery.multiformats.cid import CID
from cidery.node.network import NodeNetwork
from cidery.retrieval.stream_http import PROTOCOL, StreamServer


async def serve_archives(network: NodeNetwork, handler: Callable[[Request], Awaitable[Response]]) -> None:
    """Answer requests for content over streams by ``handler``. Whose turn it is knows what goes either way by them."""
    bitswap, clock = network.bitswap, network.swarm.clock

    def sent(peer: PeerId, cids: Sequence[CID], size: int) -> None:
        bitswap.engine.streamed(str(peer), cids, size, clock())

    def took(peer: str, cids: Sequence[CID], size: int) -> None:
        bitswap.engine.received(peer, cids, size, clock())

    server = StreamServer(handler, bitswap.crowds.asks, sent)
    bitswap.crowds.on_crowd.append(server.on_crowd)
    network.gateways.took = took
    await network.serve(PROTOCOL, server)
