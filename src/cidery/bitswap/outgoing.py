"""Sends Bitswap messages.

Answers go out on streams of our own, never on the requester's (Kubo does not read there). Peers that are known to
read many messages from one stream get one long-lived stream of each kind; others one message per stream (see
``one_message_per_stream``).
"""

from collections.abc import Callable

from cidery.bitswap.message import PROTOCOL_1_2, PROTOCOLS, Message
from cidery.bitswap.peer import ConnectedPeer, one_message_per_stream, write_message
from cidery.budgets import BITSWAP_HALF_CLOSED
from cidery.identity.peer_id import PeerId
from cidery.libp2p.io.connection import Connection, ConnectionFailed
from cidery.libp2p.io.stream import Stream
from cidery.libp2p.io.swarm import Swarm
from cidery.libp2p.protocols.muxed_stream import StreamReset

MAX_HALF_CLOSED = BITSWAP_HALF_CLOSED.amount


class Outgoing:
    """One per node."""

    def __init__(
        self, swarm: Swarm, *, agent_of: Callable[[PeerId], str], speaks: Callable[[PeerId, str], bool]
    ) -> None:
        """``agent_of`` and ``speaks``: what identify learned of a peer."""
        self._swarm = swarm
        self._agent_of = agent_of
        self._speaks = speaks

    async def send(self, peer: ConnectedPeer, kind: str, message: Message) -> None:
        stream = peer.streams.get(kind)
        if stream is None or stream.inner.finished or stream.inner.fin_received or not self._usable(peer, stream):
            if stream is not None and kind == "wants":
                peer.wantlist.ask_again()  # what the old stream carried may not have been read
            stream = await self._open(peer, kind)
        try:
            await write_message(peer, kind, stream, message)
        except StreamReset:
            # once more on a stream of its own: messages are whole, what was cut is sent again
            stream = await self._open(peer, kind)
            await write_message(peer, kind, stream, message)
        if one_message_per_stream(self._agent_of(peer.peer)):
            del peer.streams[kind]
            stream.close_write()
            await stream.drain()  # or streams without end would pile up for a peer that does not read
            peer.half_closed.append(stream)
            if len(peer.half_closed) > MAX_HALF_CLOSED:
                peer.half_closed.popleft().reset("never ended by the peer")

    async def _open(self, peer: ConnectedPeer, kind: str) -> Stream:
        """A stream of ours: "S responds back on a stream s_receive", not on that of the request."""
        connection = self._swarm.best(peer.peer)
        if connection is None:
            raise ConnectionFailed("the peer has disconnected")  # and is not dialled just to be answered
        if self._speaks(peer.peer, PROTOCOL_1_2):
            stream = await connection.open_stream([PROTOCOL_1_2], optimistic=True)
        else:
            stream = await connection.open_stream(PROTOCOLS)
        peer.streams[kind] = stream
        if kind == "answers":
            peer.written = stream.inner.out_bytes
        return stream

    def _usable(self, peer: ConnectedPeer, stream: Stream) -> bool:
        """Whether messages still go over a stream: not where the peer is silent since it has come again."""
        connection = stream.connection
        if not isinstance(connection, Connection) or not connection.usable:
            return False
        return not connection.unanswered or self._swarm.best(peer.peer) is connection
