"""What comes first under TLS decides what goes on: a request for a WebSocket, or any other one, for HTTP.

So one port serves peers, pages, and clients that fetch over HTTPS. HTTP/2 is told by the handshake (ALPN): nobody opens
a WebSocket of a peer by it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import cast

from cidery.libp2p.io.layers import Layer, feed
from cidery.libp2p.io.upgraded import UpgradedConnection

MAX_HEAD = 16 * 1024
"""Bytes of a request's head that are looked at: one whose head is longer asks for no WebSocket of ours."""
_UPGRADE = re.compile(rb"\r\nupgrade:[ \t]*websocket", re.IGNORECASE)
MakeHttp = Callable[[str], asyncio.Protocol | None]
"""What answers HTTP, by the protocol that ALPN chose, "" for none; None: nobody does now."""


class FirstRequest(asyncio.BufferedProtocol):
    """Stands above TLS until it is known; until then the time for a handshake of a peer runs."""

    def __init__(
        self, connection: UpgradedConnection, socket: asyncio.BufferedProtocol, below: Layer, http: MakeHttp
    ) -> None:
        """``connection``: of the peer, if it is one; ``socket``: what takes a request for a WebSocket."""
        self._connection = connection
        self._socket = socket
        self._layer = below
        self._http = http
        self._buffer = memoryview(bytearray(MAX_HEAD))
        self._have = 0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        session = transport.get_extra_info("ssl_object")
        if session is not None and session.selected_alpn_protocol() == "h2":
            self._is_http("h2")

    def get_buffer(self, _sizehint: int) -> memoryview:
        return self._buffer[self._have :]

    def buffer_updated(self, count: int) -> None:
        self._have += count
        head = bytes(self._buffer[: self._have])
        if b"\r\n\r\n" in head or self._have == MAX_HEAD:
            if _UPGRADE.search(head.partition(b"\r\n\r\n")[0]):
                self._goes_on(self._socket)
            else:
                self._is_http("")

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._connection.connection_lost(exc)

    def _is_http(self, chosen: str) -> None:
        assert self._transport is not None  # the handshake is done
        http = self._http(chosen)
        if http is None:
            self._transport.close()
            return
        self._connection.given_up("it is a request over HTTP")
        self._goes_on(Received(http))

    def _goes_on(self, next_: asyncio.BufferedProtocol) -> None:
        assert self._transport is not None  # the handshake is done
        self._layer.above = next_
        next_.connection_made(self._transport)
        feed(next_, [self._buffer[: self._have]], self._transport)
        self._have = 0


class Received(asyncio.BufferedProtocol):
    """A protocol that is given data, above a layer that fills buffers."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        self._protocol = protocol
        self._buffer = memoryview(bytearray(MAX_HEAD))
        self.connection_made = protocol.connection_made  # type: ignore[method-assign]
        self.connection_lost = protocol.connection_lost  # type: ignore[method-assign]
        self.pause_writing = protocol.pause_writing  # type: ignore[method-assign]
        self.resume_writing = protocol.resume_writing  # type: ignore[method-assign]
        self.eof_received = protocol.eof_received  # type: ignore[method-assign]

    def get_buffer(self, _sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, count: int) -> None:
        self._protocol.data_received(bytes(self._buffer[:count]))
