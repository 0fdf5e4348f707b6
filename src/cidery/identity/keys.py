"""Public and private keys in libp2p's protobuf form: Ed25519 (ours), RSA, secp256k1 and ECDSA (accepted).

Spec: https://github.com/libp2p/specs/blob/master/peer-ids/peer-ids.md#keys
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import TYPE_CHECKING

from cidery.errors import InvalidInput
from cidery.identity.peer_id import PeerId
from cidery.multiformats.protobuf import BYTES, VARINT, ProtobufError, bytes_field, expect, read_fields, varint_field
from cidery.multiformats.varint import Buffer

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes

MAX_ENCODED_KEY = 8192
"""Longest encoded key accepted, in bytes: an RSA-8192 private key takes some 4.7 KiB."""
MAX_PEM = 16 * 1024
"""Longest PEM read, in bytes: an RSA-8192 key takes some 6.4 KiB."""
MIN_RSA_BITS, MAX_RSA_BITS = 2048, 8192
"""RSA sizes accepted; verifying larger ones costs a peer nothing and us much."""
PARSED_KEYS = 64
"""Public keys kept parsed: a handshake and what the peer then says of itself need the same one four times."""


class KeyType(IntEnum):
    """``enum KeyType`` of the spec."""

    RSA = 0
    ED25519 = 1
    SECP256K1 = 2
    ECDSA = 3


class BadKey(InvalidInput):
    """Bytes that are not a key in libp2p's form."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"bad key: {self.reason}"


def _decode_key(buf: Buffer) -> tuple[KeyType, bytes]:
    if len(buf) > MAX_ENCODED_KEY:
        raise BadKey(f"longer than {MAX_ENCODED_KEY} bytes")
    kind: int | None = None
    data: bytes | None = None
    try:
        for number, wire, value, view in read_fields(buf):
            if number == 1:
                expect(wire, VARINT, "Type")
                kind = value
            elif number == 2:
                expect(wire, BYTES, "Data")
                data = bytes(view)
    except ProtobufError as exc:
        raise BadKey(exc.reason) from exc
    if kind is None or data is None:
        raise BadKey("type or data is missing")
    if kind not in KeyType._value2member_map_:
        raise BadKey(f"key type {kind} is not known")
    return KeyType(kind), data


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key as its type and data; parsed by cryptography when a signature is checked."""

    kind: KeyType
    data: bytes

    @classmethod
    def decode(cls, buf: Buffer) -> PublicKey:
        """Decode the protobuf form. Checks that the key itself parses. Raises BadKey only (fuzzed)."""
        key = cls(*_decode_key(buf))
        _parsed(key.kind, key.data)
        return key

    def encode(self) -> bytes:
        """The deterministic protobuf form, from which the peer id is made."""
        return _encoded(self.kind, self.data)

    @property
    def peer_id(self) -> PeerId:
        return _peer_id(self.kind, self.data)

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Whether ``signature`` over ``message`` is this key's."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        key = _parsed(self.kind, self.data)
        try:
            if isinstance(key, Ed25519PublicKey):
                key.verify(signature, message)
            else:
                _verify_other(key, message, signature)
        except InvalidSignature:
            return False
        return True


def _verify_other(key: PublicKeyTypes, message: bytes, signature: bytes) -> None:
    """Raises InvalidSignature."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

    if isinstance(key, rsa.RSAPublicKey):
        key.verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
    else:
        assert isinstance(key, ec.EllipticCurvePublicKey)  # _parsed() makes only these and Ed25519
        key.verify(signature, message, ec.ECDSA(hashes.SHA256()))


@lru_cache(maxsize=PARSED_KEYS)
def _encoded(kind: KeyType, data: bytes) -> bytes:
    return varint_field(1, kind) + bytes_field(2, data)


@lru_cache(maxsize=PARSED_KEYS)
def _peer_id(kind: KeyType, data: bytes) -> PeerId:
    return PeerId.of_public_key(_encoded(kind, data))


@lru_cache(maxsize=PARSED_KEYS)
def _parsed(kind: KeyType, data: bytes) -> PublicKeyTypes:
    """Raises BadKey."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    try:
        match kind:
            case KeyType.ED25519:
                return ed25519.Ed25519PublicKey.from_public_bytes(data)
            case KeyType.SECP256K1:
                return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256K1(), data)
            case KeyType.RSA | KeyType.ECDSA:
                key = load_der_public_key(data)
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise BadKey(f"{kind.name} data does not parse") from exc
    if kind is KeyType.ECDSA and isinstance(key, ec.EllipticCurvePublicKey):
        return key
    if kind is KeyType.RSA and isinstance(key, rsa.RSAPublicKey):
        if MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
            return key
        raise BadKey(f"RSA of {key.key_size} bits, {MIN_RSA_BITS} to {MAX_RSA_BITS} are accepted")
    raise BadKey(f"the data is not an {kind.name} key")


class PrivateKey:
    """A private key with its protobuf form. Never printed."""

    __slots__ = ("_key", "data", "kind", "public")

    def __init__(self, kind: KeyType, data: bytes) -> None:
        """Raises BadKey if the data does not parse as that kind."""
        self.kind = kind
        self.data = data
        self._key, public = _load_private(kind, data)
        self.public = PublicKey(kind, public)

    @classmethod
    def generate_ed25519(cls, entropy: Callable[[int], bytes]) -> PrivateKey:
        """A new Ed25519 key from 32 bytes of ``entropy``."""
        from cryptography.hazmat.primitives.asymmetric import ed25519

        seed = entropy(32)
        public = ed25519.Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
        return cls(KeyType.ED25519, seed + public)

    @classmethod
    def generate_rsa(cls, bits: int) -> PrivateKey:
        """A new RSA key, by the library's own randomness; 0.1 to some seconds. Raises BadKey (size)."""
        from cryptography.hazmat.primitives.asymmetric import rsa
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

        if not MIN_RSA_BITS <= bits <= MAX_RSA_BITS:
            raise BadKey(f"RSA of {bits} bits, {MIN_RSA_BITS} to {MAX_RSA_BITS} are accepted")
        key = rsa.generate_private_key(65537, bits)
        return cls(KeyType.RSA, key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption()))

    @classmethod
    def generate_secp256k1(cls) -> PrivateKey:
        """A new secp256k1 key, by the library's own randomness."""
        from cryptography.hazmat.primitives.asymmetric import ec

        secret = ec.generate_private_key(ec.SECP256K1()).private_numbers().private_value
        return cls(KeyType.SECP256K1, secret.to_bytes(32, "big"))

    @classmethod
    def from_pem(cls, text: bytes) -> PrivateKey:
        """A key in PKCS #8 PEM without a passphrase. Raises BadKey."""
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
        from cryptography.hazmat.primitives.serialization import (
            Encoding,
            NoEncryption,
            PrivateFormat,
            load_pem_private_key,
        )

        if len(text) > MAX_PEM:
            raise BadKey(f"longer than {MAX_PEM} bytes")
        try:
            key = load_pem_private_key(text, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
            raise BadKey("it is not a PKCS #8 PEM without a passphrase") from exc
        if isinstance(key, ed25519.Ed25519PrivateKey):
            return cls(KeyType.ED25519, key.private_bytes_raw() + key.public_key().public_bytes_raw())
        if isinstance(key, rsa.RSAPrivateKey):
            return cls(KeyType.RSA, key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
        if isinstance(key, ec.EllipticCurvePrivateKey):
            if isinstance(key.curve, ec.SECP256K1):
                return cls(KeyType.SECP256K1, key.private_numbers().private_value.to_bytes(32, "big"))
            return cls(KeyType.ECDSA, key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
        raise BadKey("its type is none of Ed25519, RSA, secp256k1, ECDSA")

    def to_pem(self) -> bytes:
        """PKCS #8 PEM without a passphrase."""
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

        return self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    @classmethod
    def decode(cls, buf: Buffer) -> PrivateKey:
        """Decode the protobuf form, as kept in the config. Raises BadKey."""
        return cls(*_decode_key(buf))

    def encode(self) -> bytes:
        return varint_field(1, self.kind) + bytes_field(2, self.data)

    @property
    def peer_id(self) -> PeerId:
        return self.public.peer_id

    def sign(self, message: bytes) -> bytes:
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

        key = self._key
        if isinstance(key, ed25519.Ed25519PrivateKey):
            return key.sign(message)
        if isinstance(key, rsa.RSAPrivateKey):
            return key.sign(message, padding.PKCS1v15(), hashes.SHA256())
        assert isinstance(key, ec.EllipticCurvePrivateKey)  # _load_private() creates only these three
        return key.sign(message, ec.ECDSA(hashes.SHA256()))

    def __repr__(self) -> str:
        return f"PrivateKey({self.kind.name})"


def _load_private(kind: KeyType, data: bytes) -> tuple[PrivateKeyTypes, bytes]:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_private_key

    try:
        match kind:
            case KeyType.ED25519:
                # 64 bytes: seed and public key; 96 is the old form with the public key twice.
                if len(data) not in (64, 96) or (len(data) == 96 and data[32:64] != data[64:]):
                    raise BadKey("an Ed25519 private key has 64 bytes")
                edwards = ed25519.Ed25519PrivateKey.from_private_bytes(data[:32])
                if edwards.public_key().public_bytes_raw() != data[32:64]:
                    raise BadKey("public and private half do not belong together")
                return edwards, data[32:64]
            case KeyType.SECP256K1:
                koblitz = ec.derive_private_key(int.from_bytes(data, "big"), ec.SECP256K1())
                return koblitz, koblitz.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
            case KeyType.RSA | KeyType.ECDSA:
                key = load_der_private_key(data, password=None)
    except (ValueError, TypeError) as exc:
        raise BadKey(f"{kind.name} data does not parse") from exc
    if isinstance(key, rsa.RSAPrivateKey if kind is KeyType.RSA else ec.EllipticCurvePrivateKey):
        return key, key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    raise BadKey(f"the data is not an {kind.name} key")
