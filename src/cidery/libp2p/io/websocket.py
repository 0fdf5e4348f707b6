"""A connection inside a WebSocket: what lies below it, with the machine of protocols/websocket.py."""

from __future__ import annotations

import asyncio
from typing import cast

from cidery.libp2p.io.layers import Layer, LayerTransport, feed
from cidery.libp2p.protocols.websocket import PROTOCOL_ERROR, WebSocket, WebSocketError
from cidery.multiformats.varint import Buffer

UNREAD_ANSWERS = 64 * 1024
"""Unsent bytes above which pings are not answered: a peer that sends them and reads nothing costs no memory."""


LARGE = 64 * 1024
"""Bytes of a frame, still to come, that are worth a read of their own."""


class WebSocketLayer(Layer):
    """Begins the connection above once both ends have agreed."""

    def __init__(self, above: asyncio.BufferedProtocol, socket: WebSocket) -> None:
        super().__init__(above)
        self._socket = socket
        self._begun = self._large = False
        self._target: memoryview | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._answer()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Of a large frame the head goes into our own buffer, and the payload straight into that of the connection."""
        self._target = None
        left = self._socket.left
        if self._begun and (left >= LARGE or (left and self._large)):
            self._large = True
            self._target = cast(memoryview, self.above.get_buffer(sizehint))[:left]
            return self._target
        if self._large:
            return super().get_buffer(sizehint)[: self._socket.largest_head]
        return super().get_buffer(sizehint)

    def buffer_updated(self, count: int) -> None:
        if self._target is None:
            super().buffer_updated(count)
            self._large = self._large and self._socket.left >= LARGE
        elif not self._lost:
            self._socket.receive_data(self._target[:count])  # which takes the mask off
            self.above.buffer_updated(count)

    def receive(self, data: memoryview) -> None:
        try:
            payloads = self._socket.receive_data(data)
        except WebSocketError as exc:
            self._socket.close(PROTOCOL_ERROR)
            self._answer()
            self.fail(exc)
            return
        self._answer()
        if self._socket.open and not self._begun:
            self._begun = True
            self.above.connection_made(WebSocketTransport(self.below, self._socket))
        feed(self.above, payloads, self.below)
        if self._socket.ended:
            self.above.eof_received()
            self.below.close()

    def _answer(self) -> None:
        answers = self._socket.data_to_send()
        if answers and self.below.get_write_buffer_size() <= UNREAD_ANSWERS:
            self.below.write(b"".join(answers))


class WebSocketTransport(LayerTransport):
    """Each write is a message, half a MiB at most: to browsers it comes as a whole.

    A connection writes what it has sealed, in a buffer that it does not read again, so the mask can be put on there.
    """

    def __init__(self, below: asyncio.Transport, socket: WebSocket) -> None:
        super().__init__(below)
        self._socket = socket

    def write(self, data: Buffer) -> None:
        if self._socket.open and not self._socket.ended:
            self._below.writelines(self._socket.send(data))

    def close(self) -> None:
        if not self._below.is_closing():
            self._socket.close()
            self._below.writelines(self._socket.data_to_send())
        super().close()
