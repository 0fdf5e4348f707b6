"""One port for several forms of connection: the first bytes tell which.

::

    16 03 01..03    TLS, with a WebSocket inside         GET    a WebSocket
    13 2f 6d        multistream, and all else: plain

The dialling side speaks first in each of them. In a private network plain connections begin with noise, which looks
like one of the others once in four million times, and is dialled again then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from cidery.libp2p.io.layers import feed

Choose = Callable[["Form"], asyncio.BufferedProtocol | None]
"""Takes over a connection; None: it is closed."""


class Form(str):
    """How a connection is carried, as the end of its address says it."""


PLAIN, WS, WSS = Form(""), Form("/ws"), Form("/tls/ws")
_BEGINNINGS = {b"\x16\x03\x01": WSS, b"\x16\x03\x02": WSS, b"\x16\x03\x03": WSS, b"GET": WS}


class FirstBytes(asyncio.BufferedProtocol):
    """Attached to a new socket until it is known what comes; then it hands the socket on, and costs nothing more."""

    def __init__(self, begun: Callable[[asyncio.Transport], None], choose: Choose) -> None:
        """``begun``: told of the socket at once, and waits for what comes in time."""
        self._begun = begun
        self._choose = choose
        self._buffer = bytearray(64)
        self._have = 0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is not a subclass
        self._begun(self._transport)

    def get_buffer(self, _sizehint: int) -> memoryview:
        return memoryview(self._buffer)[self._have :]

    def buffer_updated(self, count: int) -> None:
        assert self._transport is not None  # something was received
        self._have += count
        form = told(bytes(self._buffer[: self._have]))
        if form is None or self._transport.is_closing():
            return
        next_ = self._choose(form)
        if next_ is None:
            self._transport.abort()
            return
        self._transport.set_protocol(next_)
        next_.connection_made(self._transport)
        feed(next_, [self._buffer[: self._have]], self._transport)

    def eof_received(self) -> bool:
        return False


def told(data: bytes) -> Form | None:
    """What the first bytes say; None: there are too few of them."""
    if any(begin.startswith(data) and begin != data for begin in _BEGINNINGS):
        return None
    return next((form for begin, form in _BEGINNINGS.items() if data.startswith(begin)), PLAIN)
