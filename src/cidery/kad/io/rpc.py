"""Requests to other nodes of the DHT: one stream per peer, kept open for the next request and shared in turn."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Sequence

from cidery.identity.peer_id import PeerId
from cidery.kad.message import MAX_ANSWER, DhtMessage, KadError
from cidery.libp2p.io.connection import Connection, ConnectionFailed
from cidery.libp2p.io.stream import Stream, StreamCut
from cidery.libp2p.io.swarm import Swarm
from cidery.libp2p.protocols.muxed_stream import StreamReset
from cidery.multiformats.varint import encode_uvarint

log = logging.getLogger("cidery.kad")

MAX_LINES = 128
"""Streams kept open for further requests; the one used longest ago is closed."""
WRITE_BATCH = 64 * 1024
"""Bytes of records written at a time."""


class _Line:
    """The stream to one peer, and whose turn it is."""

    def __init__(self) -> None:
        self.turn = asyncio.Lock()
        self.stream: Stream | None = None


class Rpc:
    """Requests of one protocol (WAN or LAN)."""

    def __init__(self, swarm: Swarm, protocol: str) -> None:
        self.protocol = protocol
        self.sent = self.answered = 0
        """Requests and answers so far."""
        self._swarm = swarm
        self._lines: OrderedDict[PeerId, _Line] = OrderedDict()

    async def request(self, peer: PeerId, message: DhtMessage) -> DhtMessage:
        """Ask and wait for the answer.

        Raises:
            DialFailed, ProtocolNotSupported, ConnectionFailed, StreamReset, StreamCut, KadError; no time limit here.
        Cancellation: safe; the stream is reset, for its next answer would be to this request.
        """
        answer = await self._exchange(peer, [message], True)
        assert answer is not None  # asked for one
        return answer

    async def tell(self, peer: PeerId, *messages: DhtMessage) -> None:
        """Send what is not answered (ADD_PROVIDER); returns when the bytes have left. Raises as request()."""
        await self._exchange(peer, messages, False)

    async def _exchange(self, peer: PeerId, messages: Sequence[DhtMessage], answered: bool) -> DhtMessage | None:
        line = self._lines.setdefault(peer, _Line())
        self._lines.move_to_end(peer)
        async with line.turn:
            self._trim()
            fresh = not self._usable(line.stream)
            if fresh:
                line.stream = await self._open(peer)
            try:
                return await self._once(line, messages, answered)
            except (StreamReset, StreamCut, ConnectionFailed):
                if fresh:
                    raise
                # the peer may have closed an idle stream at any time
                line.stream = await self._open(peer)
                return await self._once(line, messages, answered)

    async def _once(self, line: _Line, messages: Sequence[DhtMessage], answered: bool) -> DhtMessage | None:
        stream = line.stream
        assert stream is not None  # opened by the caller
        try:
            self.sent += len(messages)
            waiting = bytearray()
            for message in messages:
                encoded = message.encode()
                waiting += encode_uvarint(len(encoded)) + encoded
                if len(waiting) >= WRITE_BATCH:
                    await stream.write(bytes(waiting))
                    waiting.clear()
            await stream.write(bytes(waiting))
            if not answered:
                await stream.drain()
                return None
            data = await stream.read_message(MAX_ANSWER)
            if data is None:
                raise StreamCut()
            answer = DhtMessage.decode(data)
            if answer.type is not messages[0].type:
                raise KadError(f"an answer of type {answer.type.name} to {messages[0].type.name}")
            self.answered += 1
            return answer
        except BaseException:
            line.stream = None
            stream.reset("request given up")
            raise

    async def _open(self, peer: PeerId) -> Stream:
        return await self._swarm.open_stream(peer, [self.protocol])

    @staticmethod
    def _usable(stream: Stream | None) -> bool:
        if stream is None or stream.inner.finished or stream.inner.fin_received or stream.inner.reset_reason:
            return False
        return isinstance(stream.connection, Connection) and stream.connection.usable

    def _trim(self) -> None:
        for peer, line in list(self._lines.items()):
            if len(self._lines) <= MAX_LINES:
                return
            if not line.turn.locked():
                del self._lines[peer]
                if line.stream is not None:
                    line.stream.reset("idle")

    def forget(self, peer: PeerId) -> None:
        """The last connection to a peer is gone."""
        line = self._lines.get(peer)
        if line is not None and not line.turn.locked():
            del self._lines[peer]
