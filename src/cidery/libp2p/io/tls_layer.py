"""TLS as browsers and web servers speak it, below a WebSocket. Who the peer is, is found out inside, by Noise or /tls.

It works over any transport, and on a socket whose first bytes have been looked at, which asyncio's own TLS does not.
"""

from __future__ import annotations

import asyncio
import ssl

from cidery.errors import RemoteProtocolError
from cidery.libp2p.io.layers import Layer, LayerTransport, feed
from cidery.multiformats.varint import Buffer

READ_AT_A_TIME = 64 * 1024
"""Bytes decrypted at a time: four records."""


class TlsFailed(RemoteProtocolError):
    """The other end speaks no TLS, shows no certificate that is trusted here, or trusts not ours."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"TLS: {self.reason}"


class TlsLayer(Layer):
    """Begins what is above after the handshake."""

    def __init__(self, above: asyncio.BufferedProtocol, context: ssl.SSLContext, name: str | None = None) -> None:
        """``name``: of the server that is dialled, or its IP address; None: this is the server.

        Raises ValueError for a name that cannot be one.
        """
        super().__init__(above)
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_side=name is None, server_hostname=name)
        self._begun = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._step()

    def receive(self, data: memoryview) -> None:
        self._in.write(data)
        self._step()

    @property
    def session(self) -> ssl.SSLObject:
        """What was agreed on."""
        return self._tls

    def _step(self) -> None:
        try:
            if not self._begun:
                self._tls.do_handshake()
                self._begun = True
                self.above.connection_made(TlsTransport(self.below, self))
            while not self._lost and (data := self._tls.read(READ_AT_A_TIME)):
                feed(self.above, [data], self.below)
            if not self._lost:  # the other end has said that it ends
                self.above.eof_received()
                self.below.close()
        except ssl.SSLWantReadError:
            self.flush()
        except ssl.SSLError as exc:
            self.flush()  # an alert
            self.fail(TlsFailed(reason_of(exc)))

    def send(self, data: Buffer) -> None:
        """Encrypt and send."""
        try:
            self._tls.write(data)
        except ssl.SSLError as exc:
            self.fail(TlsFailed(reason_of(exc)))
        self.flush()

    def say_goodbye(self) -> None:
        """Tell the other end that no more comes."""
        if self._begun:
            try:
                self._tls.unwrap()
            except ssl.SSLError:
                pass  # its own farewell is not waited for
            self.flush()

    def flush(self) -> None:
        if (data := self._out.read()) and not self.below.is_closing():
            self.below.write(data)


class TlsTransport(LayerTransport):
    """What is written is encrypted."""

    def __init__(self, below: asyncio.Transport, layer: TlsLayer) -> None:
        super().__init__(below)
        self._layer = layer

    def write(self, data: Buffer) -> None:
        if len(data):
            self._layer.send(data)

    def get_extra_info(self, name: str, default: object = None) -> object:
        return self._layer.session if name == "ssl_object" else super().get_extra_info(name, default)

    def close(self) -> None:
        if not self._below.is_closing():
            self._layer.say_goodbye()
        super().close()


def reason_of(exc: ssl.SSLError) -> str:
    """OpenSSL's words."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted here: {exc.verify_message}"
    return (exc.reason or str(exc)).replace("_", " ").lower()
