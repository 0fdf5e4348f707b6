"""A connection inside a WebSocket: what lies below it, with the machine of protocols/websocket.py."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import cast

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
        self._target: memoryview | None = None
        """Where bytes are read to, if that is the buffer of the connection above."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._answer()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Once it has begun, that of the connection: as much is read at once as without frames."""
        if not self._begun:
            return super().get_buffer(sizehint)
        self._target = cast(memoryview, self.above.get_buffer(sizehint))
        return self._target

    def buffer_updated(self, count: int) -> None:
        target, self._target = self._target, None
        if target is None:
            super().buffer_updated(count)
        elif not self._lost and (payloads := self._received(target[:count])) is not None:
            if filled := _closed_up(payloads, target):
                self.above.buffer_updated(filled)
            self._after()

    def receive(self, data: memoryview) -> None:
        if (payloads := self._received(data)) is None:
            return
        if self._socket.open and not self._begun:
            self._begun = True
            self._buffer = memoryview(b"")
            self.above.connection_made(WebSocketTransport(self.below, self._socket))
        feed(self.above, payloads, self.below)
        self._after()

    def _received(self, data: memoryview) -> list[memoryview] | None:
        """The payloads, in place; None: it is no WebSocket, and has failed."""
        try:
            payloads = self._socket.receive_data(data)
        except WebSocketError as exc:
            self._socket.close(PROTOCOL_ERROR)
            self._answer()
            self.fail(exc)
            return None
        self._answer()
        return payloads

    def _after(self) -> None:
        if self._socket.ended:
            self.above.eof_received()
            self.below.close()

    def _answer(self) -> None:
        answers = self._socket.data_to_send()
        if answers and self.below.get_write_buffer_size() <= UNREAD_ANSWERS:
            self.below.write(b"".join(answers))


def _closed_up(payloads: Sequence[memoryview], target: memoryview) -> int:
    """Move what lies in ``target`` to its front, without the heads between; the bytes there are then."""
    filled = 0
    for piece in payloads:
        target[filled : filled + len(piece)] = piece
        filled += len(piece)
    return filled


class WebSocketTransport(LayerTransport):
    """Each write is a message, half a MiB at most: to browsers it comes as a whole.

    A connection writes what it has sealed, in a buffer that it does not read again, so the mask can be put on there.
    """

    def __init__(self, below: asyncio.Transport, socket: WebSocket) -> None:
        super().__init__(below)
        self._socket = socket

    def write(self, data: Buffer) -> None:
        # asyncio 3.12 and 3.13 would watch a socket that is closed
        if self._socket.open and not self._socket.ended and not self._below.is_closing():
            self._below.writelines(self._socket.send(data))

    def close(self) -> None:
        if not self._below.is_closing():
            self._socket.close()
            self._below.writelines(self._socket.data_to_send())
        super().close()
