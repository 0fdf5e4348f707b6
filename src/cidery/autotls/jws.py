"""The account key of a certificate authority: ES256 signatures in the flattened JSON of JWS.

Spec: https://www.rfc-editor.org/rfc/rfc8555#section-6.2, https://www.rfc-editor.org/rfc/rfc7515,
https://www.rfc-editor.org/rfc/rfc7518#section-3.4, https://www.rfc-editor.org/rfc/rfc7638
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from cidery.errors import IntegrityError

_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Of the curve P-256."""
MAX_PEM = 64 * 1024
"""Bytes of a key, or of a chain, with its key."""


class BadPem(IntegrityError):
    """Text that is not what it should be in PEM."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"bad PEM: {self.reason}"


def b64url(data: bytes) -> str:
    """Base64 for URLs, without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def compact(value: object) -> bytes:
    """JSON without spaces."""
    return json.dumps(value, separators=(",", ":")).encode()


def new_key(entropy: Callable[[int], bytes]) -> ec.EllipticCurvePrivateKey:
    """A key on P-256 from 48 bytes of ``entropy``: 128 bits more than its order, so no number is likelier."""
    return ec.derive_private_key(1 + int.from_bytes(entropy(48)) % (_ORDER - 1), ec.SECP256R1())


def key_to_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """PKCS #8, without a passphrase."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def key_from_pem(text: bytes) -> ec.EllipticCurvePrivateKey:
    """The first key of ``text``, on P-256. Raises BadPem only (fuzzed)."""
    if len(text) > MAX_PEM:
        raise BadPem(f"longer than {MAX_PEM} bytes")
    try:
        key = load_pem_private_key(text, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise BadPem("it holds no private key") from exc
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise BadPem("its private key is not of the curve P-256")
    return key


class AccountKey:
    """Signs what the authority is asked. The same message gets the same signature (RFC 6979)."""

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self.key = key
        numbers = key.public_key().public_numbers()
        x, y = (b64url(one.to_bytes(32)) for one in (numbers.x, numbers.y))
        self._jwk = {"crv": "P-256", "kty": "EC", "x": x, "y": y}

    @property
    def thumbprint(self) -> str:
        """RFC 7638: members in alphabetical order, no spaces."""
        return b64url(hashlib.sha256(compact(self._jwk)).digest())

    def signed(self, url: str, nonce: str, payload: object | None, kid: str = "") -> bytes:
        """The body of a POST. ``payload`` None: POST-as-GET. ``kid`` "": the key itself is shown."""
        identity: dict[str, object] = {"kid": kid} if kid else {"jwk": self._jwk}
        protected = b64url(compact({"alg": "ES256", **identity, "nonce": nonce, "url": url}))
        body = b64url(compact(payload)) if payload is not None else ""
        algorithm = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
        r, s = decode_dss_signature(self.key.sign(f"{protected}.{body}".encode(), algorithm))
        signature = b64url(r.to_bytes(32) + s.to_bytes(32))
        return compact({"protected": protected, "payload": body, "signature": signature})

    def dns_value(self, token: str) -> str:
        """What the TXT record of a dns-01 challenge must hold (RFC 8555, 8.4)."""
        return b64url(hashlib.sha256(f"{token}.{self.thumbprint}".encode()).digest())
