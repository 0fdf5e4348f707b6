"""Fetch over streams, both sides."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from cidery.identity.peer_id import PeerId
from cidery.libp2p.io.connection import ConnectionFailed
from cidery.libp2p.io.stream import Stream, StreamCut
from cidery.libp2p.io.swarm import Swarm
from cidery.libp2p.protocols.fetch import (
    MAX_DATA,
    MAX_IDENTIFIER,
    OVERHEAD,
    PROTOCOL,
    Response,
    Status,
    decode_request,
    encode_request,
)

SECONDS = 10.0
"""Longest wait for a request, or for its answer, beside round trips."""


def serve_fetch(swarm: Swarm, value_of: Callable[[bytes], bytes | None]) -> None:
    """Answer requests of peers with what ``value_of`` has under a key."""

    async def answer(stream: Stream) -> None:
        async with asyncio.timeout(stream.connection.wait(SECONDS)):
            raw = await stream.read_message(MAX_IDENTIFIER + OVERHEAD)
            if raw is None:
                return
            value = value_of(decode_request(raw))
            response = Response(Status.NOT_FOUND) if value is None else Response(Status.OK, value)
            await stream.write_message(response.encode())

    swarm.handlers[PROTOCOL] = answer


async def fetch(swarm: Swarm, peer: PeerId, identifier: bytes) -> bytes | None:
    """The value that a connected peer has under a key, unchecked; None: it has none.

    Raises: ConnectionFailed, ProtocolNotSupported, StreamCut, StreamReset, MessageTooLarge, BadFetch, TimeoutError.
    Cancellation: safe.
    """
    connection = swarm.best(peer)
    if connection is None:
        raise ConnectionFailed("the peer has disconnected")
    stream = await connection.open_stream([PROTOCOL])
    try:
        async with asyncio.timeout(connection.wait(SECONDS)):
            await stream.write_message(encode_request(identifier))
            stream.close_write()
            raw = await stream.read_message(MAX_DATA + OVERHEAD)
    finally:
        stream.reset("answered, or given up")
    if raw is None:
        raise StreamCut()
    response = Response.decode(raw)
    return response.data if response.status is Status.OK else None
