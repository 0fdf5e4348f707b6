"""Stateless resets: how a node that has forgotten a connection tells the peer at its first datagram. Pure.

The token of a connection id is an HMAC by a key that a node has again after a restart, so it can be told of connections
that a killed process had. Peers learn the token in the handshake, from the side that listens.

Spec: https://www.rfc-editor.org/rfc/rfc9000.html#section-10.3
"""

import hashlib
import hmac
from collections.abc import Callable

from cidery.budgets import QUIC_RESETS, Bucket
from cidery.libp2p.protocols.quic_core import CONNECTION_ID_SIZE

TOKEN_SIZE = 16
LEAST = 21
"""Bytes of a reset at least: shorter ones cannot be packets."""
USUAL = 43
"""Bytes of a reset, unless what it answers is not longer: it must be smaller, or two nodes would go on for ever."""
FIXED_BIT, LONG_HEADER = 0x40, 0x80
PURPOSE = b"cidery quic stateless reset"


class Resets:
    """Those of one node."""

    def __init__(self, secret: bytes, entropy: Callable[[int], bytes], now: float) -> None:
        """``secret``: known to this node alone, and the same after a restart."""
        self._key = hmac.digest(secret, PURPOSE, hashlib.sha256)
        self._entropy = entropy
        self._rate = Bucket(QUIC_RESETS, now)

    def token(self, connection_id: bytes) -> bytes:
        """What the peer is told in the handshake."""
        return hmac.digest(self._key, connection_id, hashlib.sha256)[:TOKEN_SIZE]

    def answer(self, datagram: bytes, now: float) -> bytes | None:
        """To a datagram that is addressed to no connection here; None: nothing. Never raises."""
        size = min(USUAL, len(datagram) - 1)
        if size < LEAST or datagram[0] & (LONG_HEADER | FIXED_BIT) != FIXED_BIT:
            return None
        if self._rate.reserve(now):
            self._rate.give_back()
            return None
        head = self._entropy(size - TOKEN_SIZE)
        return bytes((FIXED_BIT | head[0] & 0x3F,)) + head[1:] + self.token(datagram[1 : 1 + CONNECTION_ID_SIZE])
