"""A ByteNetwork whose connections are private: between socket and protocol, with the machine of protocols/pnet.py."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar, cast

from cidery.libp2p.io.byte_network import ByteNetwork, Listener
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
        return await self._below.listen(lambda: self._covered(make()), host, port)

    async def connect(self, make: Callable[[], P], host: str, port: int) -> P:
        covered = await self._below.connect(lambda: self._covered(make()), host, port)
        return cast(P, covered.inner)

    def _covered(self, inner: asyncio.BaseProtocol) -> Covered:
        return Covered(cast(asyncio.BufferedProtocol, inner), self._key, self._entropy(NONCE_SIZE))


class Covered(asyncio.BufferedProtocol):
    """Between the socket and one connection: what comes is uncovered in the connection's own buffer."""

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


class CoveringTransport(asyncio.Transport):
    """The socket as the connection sees it: what is written is covered."""

    def __init__(self, below: asyncio.Transport, stream: XSalsa20) -> None:
        super().__init__()
        self._below = below
        self._stream = stream

    def write(self, data: Buffer) -> None:
        self._below.write(self._stream.apply(data))

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._below.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        return self._below.get_write_buffer_size()

    def get_extra_info(self, name: str, default: object = None) -> object:
        return self._below.get_extra_info(name, default)

    def pause_reading(self) -> None:
        self._below.pause_reading()

    def resume_reading(self) -> None:
        self._below.resume_reading()

    def is_closing(self) -> bool:
        return self._below.is_closing()

    def close(self) -> None:
        self._below.close()

    def abort(self) -> None:
        self._below.abort()
