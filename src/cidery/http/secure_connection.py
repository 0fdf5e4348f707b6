"""A connection over TLS, which becomes one of the protocol that the handshake chose.

Spec: https://www.rfc-editor.org/rfc/rfc7301
"""

from __future__ import annotations

import asyncio
from typing import cast

from cidery.http.connection import Connection
from cidery.http.served import Server


class SecureConnection(asyncio.Protocol):
    """Lives until the handshake is done."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        secured = cast(asyncio.Transport, transport)  # uvloop's derives from nothing
        session = transport.get_extra_info("ssl_object")
        connection: asyncio.Protocol
        if session is not None and session.selected_alpn_protocol() == "h2":
            from cidery.http.h2_connection import H2Connection  # late: few servers have TLS

            connection = H2Connection(self._server)
        else:
            connection = Connection(self._server, secure=True)
        secured.set_protocol(connection)
        connection.connection_made(secured)
