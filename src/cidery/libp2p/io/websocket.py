"""A connection inside a WebSocket: what lies below it, with the machine of protocols/websocket.py."""

from __future__ import annotations

import asyncio

from cidery.libp2p.io.layers import Layer, LayerTransport, feed
from cidery.libp2p.protocols.websocket import PROTOCOL_ERROR, WebSocket, WebSocketError
from cidery.multiformats.varint import Buffer

UNREAD_ANSWERS = 64 * 1024
"""Unsent bytes above which pings are not answered: a peer that sends them and reads nothing costs no memory."""


class WebSocketLayer(Layer):
    """Begins the connection above once both ends have agreed."""

    def __init__(self, above: asyncio.BufferedProtocol, socket: WebSocket) -> None:
        super().__init__(above)
        self._socket = socket
        self._begun = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._answer()

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
    """Each write is a message, half a MiB at most: to browsers it comes as a whole."""

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
