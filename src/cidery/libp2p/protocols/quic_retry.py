"""Tokens of Retry packets: who brings one back has the address that it sends from. Pure.

    8 bytes   until when it is good, in milliseconds of the node's clock
    1 byte    how long the client's first destination id is, and that id
    16 bytes  HMAC-SHA256 over these, the client's address, and the id that the Retry gave it

Spec: https://www.rfc-editor.org/rfc/rfc9000.html#section-8.1.2
"""

import hashlib
import hmac

from cidery.libp2p.protocols.quic_core import Endpoint

GOOD_FOR = 10.0
"""Seconds: a round trip, and the client's own delays."""
KEY_SIZE = 32
SEAL_SIZE = 16
LONGEST_ID = 20
"""Bytes of a connection id (RFC 9000, section 17.2)."""


class RetryTokens:
    """Those of one node."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def make(self, source: Endpoint, original_id: bytes, retry_id: bytes, now: float) -> bytes:
        """For a client at ``source`` that addressed ``original_id`` and is told to address ``retry_id``."""
        until = max(0, int((now + GOOD_FOR) * 1000)).to_bytes(8, "big")
        body = until + bytes((len(original_id),)) + original_id
        return body + self._seal(body, source, retry_id)

    def original_id(self, token: bytes, source: Endpoint, retry_id: bytes, now: float) -> bytes | None:
        """What the client addressed first; None: the token is not one of ours, for it, or is too old. Never raises."""
        size = len(token) - 9 - SEAL_SIZE
        if not 0 <= size <= LONGEST_ID or token[8] != size:
            return None
        body, seal = token[:-SEAL_SIZE], token[-SEAL_SIZE:]
        if not hmac.compare_digest(seal, self._seal(body, source, retry_id)):
            return None
        return body[9:] if now * 1000 <= int.from_bytes(body[:8], "big") else None

    def _seal(self, body: bytes, source: Endpoint, retry_id: bytes) -> bytes:
        host, port = source
        return hmac.digest(self._key, b"%s|%s|%d|%s" % (body, host.encode(), port, retry_id), hashlib.sha256)[
            :SEAL_SIZE
        ]
