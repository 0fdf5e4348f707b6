"""Noise_XX_25519_ChaChaPoly_SHA256 with libp2p's payloads, and the channel it yields.

    -> e                    2-byte big-endian length before each message, at most 65535 bytes;
    <- e, ee, s, es, payload   payload = {identity key, signature over "noise-libp2p-static-key:" + static key,
    -> s, se, payload                     extensions {stream muxers}}

Specs: https://github.com/libp2p/specs/blob/master/noise/README.md, https://noiseprotocol.org/noise.html
"""

import hashlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from cidery.identity.keys import BadKey, PrivateKey, PublicKey
from cidery.identity.peer_id import PeerId
from cidery.libp2p.protocols.channel import Deliver, Place, Secured, SecurityError, WrongPeer
from cidery.libp2p.protocols.steps import Read, Send, Steps
from cidery.multiformats.protobuf import BYTES, ProtobufError, bytes_field, expect, read_fields

PROTOCOL = "/noise"
MAX_MESSAGE = 65535
"""Longest sealed message, in bytes."""
TAG = 16
"""Bytes of authentication per message."""
MAX_PLAIN = MAX_MESSAGE - TAG
LARGE = 4096
"""Sealed bytes from which it pays to ask where the plaintext belongs."""
MAX_NONCE = 2**64 - 2
"""Messages per direction; 2**64-1 is reserved by the Noise specification."""
MAX_MUXERS = 16
"""Most muxers read from a peer's extensions."""

_NAME = b"Noise_XX_25519_ChaChaPoly_SHA256"
_SIGNED_PREFIX = b"noise-libp2p-static-key:"


class NoiseError(SecurityError):
    """The Noise handshake or a message of the channel is wrong."""

    def __init__(self, reason: str) -> None:
        super().__init__("noise", reason)


@dataclass(frozen=True, slots=True)
class NoisePayload:
    """``NoiseHandshakePayload`` of the libp2p specification."""

    identity_key: bytes
    identity_sig: bytes
    stream_muxers: tuple[str, ...] = ()

    def encode(self) -> bytes:
        muxers = b"".join(bytes_field(2, name.encode()) for name in self.stream_muxers)
        out = bytes_field(1, self.identity_key) + bytes_field(2, self.identity_sig)
        return out + bytes_field(4, muxers) if muxers else out

    @classmethod
    def decode(cls, buf: bytes) -> "NoisePayload":
        """Raises NoiseError only (fuzzed). Unknown fields and extensions are skipped."""
        key = signature = b""
        muxers: list[str] = []
        try:
            for number, wire, _, view in read_fields(buf):
                if number == 1:
                    expect(wire, BYTES, "identity_key")
                    key = bytes(view)
                elif number == 2:
                    expect(wire, BYTES, "identity_sig")
                    signature = bytes(view)
                elif number == 4:
                    expect(wire, BYTES, "extensions")
                    muxers += [str(v, "utf-8") for n, w, _, v in read_fields(view) if n == 2 and w == BYTES]
        except (ProtobufError, UnicodeDecodeError) as exc:
            raise NoiseError(f"payload: {exc}") from exc
        return cls(key, signature, tuple(muxers[:MAX_MUXERS]))


class _Symmetric:
    """SymmetricState of the Noise specification, section 5.2."""

    def __init__(self) -> None:
        self.h = self.ck = _NAME  # exactly 32 bytes: used as is
        self.key: ChaCha20Poly1305 | None = None
        self.nonce = 0
        self.mix_hash(b"")  # empty prologue

    def mix_hash(self, data: bytes) -> None:
        self.h = hashlib.sha256(self.h + data).digest()

    def mix_key(self, material: bytes) -> None:
        self.ck, key = _hkdf(self.ck, material)
        self.key, self.nonce = ChaCha20Poly1305(key), 0

    def encrypt_and_hash(self, plain: bytes) -> bytes:
        out = plain if self.key is None else self.key.encrypt(self._next_nonce(), plain, self.h)
        self.mix_hash(out)
        return out

    def decrypt_and_hash(self, data: bytes) -> bytes:
        try:
            out = data if self.key is None else self.key.decrypt(self._next_nonce(), data, self.h)
        except InvalidTag as exc:
            raise NoiseError("a handshake message does not authenticate") from exc
        self.mix_hash(data)
        return out

    @property
    def binding(self) -> bytes:
        """Of this handshake, known to its two ends alone. ``h`` is not: whoever sees what is sent can compute it."""
        return hmac.digest(self.ck, b"cidery binding" + self.h, "sha256")

    def _next_nonce(self) -> bytes:
        nonce = bytes(4) + self.nonce.to_bytes(8, "little")
        self.nonce += 1
        return nonce


def _hkdf(chaining_key: bytes, material: bytes) -> tuple[bytes, bytes]:
    temp = hmac.digest(chaining_key, material, "sha256")
    first = hmac.digest(temp, b"\x01", "sha256")
    return first, hmac.digest(temp, first + b"\x02", "sha256")


def _dh(private: X25519PrivateKey, public: bytes) -> bytes:
    try:
        return private.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError as exc:
        raise NoiseError("a key exchange key is degenerate") from exc


def _read_message() -> Steps[bytes]:
    size = int.from_bytes((yield Read(2)), "big")
    return (yield Read(size)) if size else b""


def _framed(message: bytes) -> Send:
    return Send(len(message).to_bytes(2, "big") + message)


class KeyPair(NamedTuple):
    """Of X25519."""

    private: X25519PrivateKey
    public: bytes

    @classmethod
    def generate(cls, entropy: Callable[[int], bytes]) -> Self:
        private = X25519PrivateKey.from_private_bytes(entropy(32))
        return cls(private, private.public_key().public_bytes_raw())


class StaticKey:
    """A node's static key, and what its identity says of it in a handshake.

    One for all connections while the node runs: a new key and its signature would take a tenth of a connect each time,
    and what keeps past connections secret are the ephemeral keys.
    """

    def __init__(self, identity: PrivateKey, muxers: Sequence[str], entropy: Callable[[int], bytes]) -> None:
        self.private, self.public = KeyPair.generate(entropy)
        self._prepared: KeyPair | None = None
        self.muxers = tuple(muxers)
        self.payload = NoisePayload(
            identity.public.encode(), identity.sign(_SIGNED_PREFIX + self.public), self.muxers
        ).encode()

    def prepare(self, entropy: Callable[[int], bytes]) -> None:
        """Make the ephemeral key of the next handshake while nobody waits for it."""
        if self._prepared is None:
            self._prepared = KeyPair.generate(entropy)

    def ephemeral(self, entropy: Callable[[int], bytes]) -> KeyPair:
        """A key for one handshake: each is given once."""
        prepared, self._prepared = self._prepared, None
        return prepared or KeyPair.generate(entropy)


def _checked(data: bytes, remote_static: bytes, expected: PeerId | None) -> tuple[PublicKey, NoisePayload]:
    """What the other side says of itself."""
    payload = NoisePayload.decode(data)
    try:
        key = PublicKey.decode(payload.identity_key)
    except BadKey as exc:
        raise NoiseError(f"identity key: {exc.reason}") from exc
    # "the signature MUST be verified": noise spec, "The libp2p Handshake Payload"
    if not key.verify(_SIGNED_PREFIX + remote_static, payload.identity_sig):
        raise NoiseError("the identity key did not sign the static key")
    if expected is not None and key.peer_id != expected:
        raise WrongPeer("noise", expected, key.peer_id)
    return key, payload


def _secured(
    symmetric: _Symmetric, key: PublicKey, initiator: bool, initiators: Sequence[str], responders: Sequence[str]
) -> Secured:
    first, second = _hkdf(symmetric.ck, b"")
    channel = NoiseChannel(*((first, second) if initiator else (second, first)))
    muxer = None
    if initiators and responders:
        # "the initiator's first muxer that the responder knows": inlined muxer negotiation spec
        muxer = next((name for name in initiators if name in responders), None)
        if muxer is None:
            raise NoiseError("no stream muxer in common")
    return Secured(channel, key.peer_id, key.encode(), PROTOCOL, muxer, binding=symmetric.binding)


def initiate(
    own: StaticKey,
    entropy: Callable[[int], bytes],
    expected: PeerId | None,
    opening: bytes = b"",
    agreement: Steps[str] | None = None,
) -> Steps[Secured]:
    """The dialling side. Raises NoiseError, WrongPeer, and as ``agreement``.

    Args:
        expected: the peer that must answer, or None.
        opening: goes out in front of the first message.
        agreement: reads what answers that.
    """
    symmetric = _Symmetric()
    ephemeral, ephemeral_public = own.ephemeral(entropy)

    symmetric.mix_hash(ephemeral_public)
    symmetric.encrypt_and_hash(b"")
    yield Send(opening + _framed(ephemeral_public).data)

    if agreement is not None:
        yield from agreement
    message = yield from _read_message()
    if len(message) < 32 + 32 + TAG + TAG:
        raise NoiseError("handshake message 2 is too short")
    remote_ephemeral = message[:32]
    symmetric.mix_hash(remote_ephemeral)
    symmetric.mix_key(_dh(ephemeral, remote_ephemeral))
    remote_static = symmetric.decrypt_and_hash(message[32:80])
    symmetric.mix_key(_dh(ephemeral, remote_static))
    key, payload = _checked(symmetric.decrypt_and_hash(message[80:]), remote_static, expected)

    sealed_static = symmetric.encrypt_and_hash(own.public)
    symmetric.mix_key(_dh(own.private, remote_ephemeral))
    yield _framed(sealed_static + symmetric.encrypt_and_hash(own.payload))
    return _secured(symmetric, key, True, own.muxers, payload.stream_muxers)


def respond(own: StaticKey, entropy: Callable[[int], bytes]) -> Steps[Secured]:
    """The listening side. Raises NoiseError."""
    symmetric = _Symmetric()
    ephemeral, ephemeral_public = own.ephemeral(entropy)

    message = yield from _read_message()
    if len(message) < 32:
        raise NoiseError("handshake message 1 is too short")
    remote_ephemeral = message[:32]
    symmetric.mix_hash(remote_ephemeral)
    symmetric.decrypt_and_hash(message[32:])

    symmetric.mix_hash(ephemeral_public)
    symmetric.mix_key(_dh(ephemeral, remote_ephemeral))
    sealed_static = symmetric.encrypt_and_hash(own.public)
    symmetric.mix_key(_dh(own.private, remote_ephemeral))
    yield _framed(ephemeral_public + sealed_static + symmetric.encrypt_and_hash(own.payload))

    message = yield from _read_message()
    if len(message) < 32 + TAG + TAG:
        raise NoiseError("handshake message 3 is too short")
    remote_static = symmetric.decrypt_and_hash(message[:48])
    symmetric.mix_key(_dh(ephemeral, remote_static))
    key, payload = _checked(symmetric.decrypt_and_hash(message[48:]), remote_static, None)
    return _secured(symmetric, key, False, payload.stream_muxers, own.muxers)


class NoiseChannel:
    """Both directions of the transport phase. One AEAD call and no allocation per received message."""

    plain_size = MAX_PLAIN
    sealed_size = 2 + MAX_MESSAGE

    def __init__(self, send_key: bytes, receive_key: bytes) -> None:
        self._send = ChaCha20Poly1305(send_key)
        self._receive = ChaCha20Poly1305(receive_key)
        self.stops_at_records = False
        self._send_nonce = 0
        self._receive_nonce = 0

    def receive(self, data: memoryview, deliver: Deliver, place: Place | None = None) -> int:
        at, end, plain, open_ = 0, len(data), memoryview(b""), self._receive.decrypt_into
        while end - at >= 2:
            size = data[at] << 8 | data[at + 1]
            if end - at - 2 < size:
                break
            if size < TAG:
                if not size and self.stops_at_records:
                    break
                raise NoiseError(f"a message of {size} bytes has no room for its tag")
            view = place(size - TAG) if place is not None and size >= LARGE else None
            if view is None:
                if size - TAG > len(plain):  # a quiet connection keeps none
                    plain = memoryview(bytearray(size - TAG))
                view = plain[: size - TAG]
            try:
                open_(b"\0\0\0\0" + self._receive_nonce.to_bytes(8, "little"), data[at + 2 : at + 2 + size], None, view)
            except InvalidTag as exc:
                raise NoiseError("a message does not authenticate") from exc
            if self._receive_nonce >= MAX_NONCE:
                raise NoiseError("nonces exhausted")
            self._receive_nonce += 1
            at += 2 + size
            deliver(view)
        return at

    def sealed_message(self) -> Steps[bytes]:
        header = yield Read(2)
        return header + (yield Read(int.from_bytes(header, "big")))

    def seal_into(self, plain: memoryview, out: memoryview) -> int:
        if self._send_nonce >= MAX_NONCE:
            raise NoiseError("nonces exhausted")
        size = len(plain) + TAG
        out[0] = size >> 8
        out[1] = size & 0xFF
        nonce = b"\0\0\0\0" + self._send_nonce.to_bytes(8, "little")
        self._send.encrypt_into(nonce, plain, None, out[2 : 2 + size])
        self._send_nonce += 1
        return 2 + size
