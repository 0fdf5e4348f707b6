"""A ByteNetwork whose connections are private: below the handshake, with the machine of protocols/pnet.py."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar, cast

from cidery.libp2p.io.byte_network import ByteNetwork, Listener
from cidery.libp2p.io.layers import LayerTransport
from cidery.libp2p.protocols.pnet import NONCE_SIZE, XSalsa20
from cidery.multiformats.varint import Buffer

P = TypeVar("P", bound=asyncio.BaseProtocol)


class PrivateNetwork:
    """Satisfies byte_network.ByteNetwork over another one."""

    private = True

    def __init__(self, below: ByteNetwork, key: bytes, entropy: Callable[[int], bytes]) -> None:
        self._below = below
        self._key = key
        self._entropy = entropy

    async def listen(self, make: Callable[[], asyncio.BaseProtocol], host: str, port: int) -> Listener:
        return await self._below.listen(make, host, port)

    async def connect(self, make: Callable[[], P], host: str, port: int) -> P:
        return await self._below.connect(make, host, port)

    def covered(self, inner: asyncio.BufferedProtocol) -> asyncio.BufferedProtocol:
        return Covered(inner, self._key, self._entropy(NONCE_SIZE))


class Covered(asyncio.BufferedProtocol):
    """Between what is below and one connection: what comes is uncovered in the connection's own buffer."""

    def __init__(self, inner: asyncio.BufferedProtocol, key: bytes, nonce: bytes) -> None:
        self.inner = inner
        self._key = key
        self._nonce = nonce
        self._head = bytearray(NONCE_SIZE)
        self._have = 0
        self._stream: XSalsa20 | None = None
        self._target = memoryview(b"")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        below = cast(asyncio.Transport, transport)
        below.write(self._nonce)
        self.inner.connection_made(CoveringTransport(below, XSalsa20(self._key, self._nonce)))

    def get_buffer(self, sizehint: int) -> memoryview:
        if self._stream is None:
            return memoryview(self._head)[self._have :]
        self._target = cast(memoryview, self.inner.get_buffer(sizehint))
        return self._target

    def buffer_updated(self, count: int) -> None:
        if self._stream is not None:
            self._stream.apply_in_place(self._target[:count])
            self.inner.buffer_updated(count)
            return
        self._have += count
        if self._have == NONCE_SIZE:
            self._stream = XSalsa20(self._key, bytes(self._head))

    def eof_received(self) -> bool | None:
        return self.inner.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self.inner.connection_lost(exc)

    def pause_writing(self) -> None:
        self.inner.pause_writing()

    def resume_writing(self) -> None:
        self.inner.resume_writing()


class CoveringTransport(LayerTransport):
    """The transport below as the connection sees it: what is written is covered."""

    def __init__(self, below: asyncio.Transport, stream: XSalsa20) -> None:
        super().__init__(below)
        self._stream = stream

    def write(self, data: Buffer) -> None:
        self._below.write(self._stream.apply(data))
