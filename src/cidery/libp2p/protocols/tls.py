"""TLS 1.3 with libp2p's self-signed certificates, over memory buffers.

Each side proves its peer id by a certificate extension {public key, signature over "libp2p-tls-handshake:" + the
certificate's SubjectPublicKeyInfo}. The muxer is agreed on by ALPN.

Spec: https://github.com/libp2p/specs/blob/master/tls/tls.md
"""

import datetime
from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID
from OpenSSL import SSL

from cidery.identity.keys import BadKey, PrivateKey, PublicKey
from cidery.identity.peer_id import PeerId
from cidery.libp2p.protocols.channel import Deliver, Place, Secured, SecurityError, WrongPeer
from cidery.libp2p.protocols.steps import Read, Send, Steps

PROTOCOL = "/tls/1.0.0"
EXTENSION = x509.ObjectIdentifier("1.3.6.1.4.1.53594.1.1")
SIGNED_PREFIX = b"libp2p-tls-handshake:"
ALPN_LIBP2P = b"libp2p"
RECORD_PLAIN = 16384
"""Most bytes of plaintext in a record: RFC 8446, section 5.1."""
MAX_RECORD = RECORD_PLAIN + 256
"""Longest TLS 1.3 record body, in bytes (RFC 8446, section 5.2)."""
MAX_CERTIFICATE = 16 * 1024
"""Longest peer certificate examined, in bytes."""
VALIDITY = datetime.timedelta(days=365 * 100)
"""The certificate is made anew at each start; peers with a wrong clock must still accept it."""
CLOCK_SKEW = datetime.timedelta(days=1)

_OUT_OF_TIME = (9, 10)
"""OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED."""


class TlsError(SecurityError):
    """The TLS handshake, the peer's certificate or a record is wrong."""

    def __init__(self, reason: str) -> None:
        super().__init__("tls", reason)


def _der_octets(data: bytes) -> bytes:
    return b"\x04" + _der_length(len(data)) + data


def _der_length(size: int) -> bytes:
    if size < 0x80:
        return bytes([size])
    body = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([0x80 | len(body)]) + body


def _der_read(data: bytes, at: int, tag: int) -> tuple[bytes, int]:
    """One DER element's content and the offset after it. Raises TlsError."""
    if at + 2 > len(data) or data[at] != tag:
        raise TlsError("the certificate extension is not DER as specified")
    size, at = data[at + 1], at + 2
    if size & 0x80:
        count = size & 0x7F
        if not 0 < count <= 3 or at + count > len(data):
            raise TlsError("bad DER length in the certificate extension")
        size, at = int.from_bytes(data[at : at + count], "big"), at + count
    if at + size > len(data):
        raise TlsError("the certificate extension is truncated")
    return data[at : at + size], at + size


def encode_signed_key(public_key: bytes, signature: bytes) -> bytes:
    """``SignedKey ::= SEQUENCE { publicKey OCTET STRING, signature OCTET STRING }``."""
    body = _der_octets(public_key) + _der_octets(signature)
    return b"\x30" + _der_length(len(body)) + body


def decode_signed_key(data: bytes) -> tuple[bytes, bytes]:
    """(encoded public key, signature) of the extension. Raises TlsError only (fuzzed)."""
    body, end = _der_read(data, 0, 0x30)
    public_key, at = _der_read(body, 0, 0x04)
    signature, at = _der_read(body, at, 0x04)
    if end != len(data) or at != len(body):
        raise TlsError("bytes after the certificate extension")
    return public_key, signature


def verify_certificate(certificate: x509.Certificate) -> PublicKey:
    """Check a peer's certificate by the specification's rules; returns the identity key. Raises TlsError only."""
    try:
        key_info = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        # "The certificate MUST be self-signed", checked before anything it says is believed
        certificate.verify_directly_issued_by(certificate)
        extension = certificate.extensions.get_extension_for_oid(EXTENSION).value
    except x509.ExtensionNotFound as exc:
        raise TlsError("the certificate has no libp2p extension") from exc
    except Exception as exc:  # noqa: BLE001 - cryptography raises many kinds for hostile certificates
        raise TlsError(f"the certificate does not verify: {type(exc).__name__}") from exc
    for known in certificate.extensions:
        # "MUST abort ... if there are unknown critical extensions"
        if known.critical and known.oid != EXTENSION and isinstance(known.value, x509.UnrecognizedExtension):
            raise TlsError("the certificate has an unknown critical extension")
    assert isinstance(extension, x509.UnrecognizedExtension)  # no library knows this OID
    encoded, signature = decode_signed_key(extension.value)
    try:
        key = PublicKey.decode(encoded)
    except BadKey as exc:
        raise TlsError(f"identity key: {exc.reason}") from exc
    if not key.verify(SIGNED_PREFIX + key_info, signature):
        raise TlsError("the identity key did not sign the certificate's key")
    return key


def verify_shown(certificates: Sequence[bytes], now: datetime.datetime) -> PublicKey:
    """Check what a peer showed in a handshake made by somebody else; returns the identity key. Raises TlsError only.

    Args:
        certificates: DER, all of them. That the peer has the key of the first is proven.
        now: with a time zone.
    """
    if len(certificates) != 1:
        # "Endpoints MUST abort the connection attempt if more than one certificate is received"
        raise TlsError("the peer showed no certificate" if not certificates else "the peer showed several certificates")
    if len(certificates[0]) > MAX_CERTIFICATE:
        raise TlsError(f"certificate over {MAX_CERTIFICATE} bytes")
    try:
        certificate = x509.load_der_x509_certificate(certificates[0])
        begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    except Exception as exc:  # noqa: BLE001 - cryptography raises many kinds for hostile certificates
        raise TlsError(f"the peer's certificate does not parse: {type(exc).__name__}") from exc
    # "MUST ... abort ... if (a) the presented certificate is not yet valid, OR (b) if it is expired"
    if not begins <= now <= ends:
        raise TlsError("the certificate is not yet valid, or has expired")
    return verify_certificate(certificate)


class TlsIdentity:
    """A node's certificate and the contexts made from it. Made once per start."""

    def __init__(self, identity: PrivateKey, muxers: Sequence[str], now: datetime.datetime) -> None:
        self.muxers = tuple(muxers)
        key = ec.generate_private_key(ec.SECP256R1())
        info = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        signed = encode_signed_key(identity.public.encode(), identity.sign(SIGNED_PREFIX + info))
        name = x509.Name([x509.NameAttribute(NameOID.SERIAL_NUMBER, "1")])
        self._certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - CLOCK_SKEW)
            .not_valid_after(now + VALIDITY)
            .add_extension(x509.UnrecognizedExtension(EXTENSION, signed), critical=True)
            .sign(key, hashes.SHA256())
        )
        self._key = key

    def pem(self) -> tuple[bytes, bytes]:
        """The certificate and its private key."""
        key = self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return self._certificate.public_bytes(Encoding.PEM), key

    def context(self) -> SSL.Context:
        context = SSL.Context(SSL.TLS_METHOD)
        context.set_min_proto_version(SSL.TLS1_3_VERSION)
        context.use_certificate(self._certificate)
        context.use_privatekey(self._key)
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _judge)
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        return context

    @property
    def alpn(self) -> list[bytes]:
        return [*(name.encode() for name in self.muxers), ALPN_LIBP2P]

    def select(self, _connection: SSL.Connection, offered: list[bytes]) -> bytes | object:
        # "the initiator's preference decides": inlined muxer negotiation spec
        return next((name for name in offered if name in self.alpn), SSL.NO_OVERLAPPING_PROTOCOLS)


def initiate(identity: TlsIdentity, expected: PeerId | None) -> Steps[Secured]:
    """The dialling side. Raises TlsError, WrongPeer."""
    context = identity.context()
    context.set_alpn_protos(identity.alpn)
    connection = SSL.Connection(context, None)
    connection.set_connect_state()
    return (yield from _handshake(connection, expected))


def respond(identity: TlsIdentity) -> Steps[Secured]:
    """The listening side. Raises TlsError."""
    context = identity.context()
    context.set_alpn_select_callback(identity.select)  # type: ignore[arg-type]
    connection = SSL.Connection(context, None)
    connection.set_accept_state()
    return (yield from _handshake(connection, None))


def _judge(_connection: SSL.Connection, _certificate: object, error: int, depth: int, _ok: int) -> bool:
    """Our own rules, in verify_certificate(), replace the chain of authorities; OpenSSL checks the rest.

    "an endpoint MUST ... abort the connection attempt if (a) the presented certificate is not yet valid, OR (b) if it
    is expired. Endpoints MUST abort the connection attempt if more than one certificate is received": tls spec.
    """
    return error not in _OUT_OF_TIME and depth == 0


def _pending(connection: SSL.Connection) -> bytes:
    out = bytearray()
    try:
        while True:
            out += connection.bio_read(65536)
    except SSL.WantReadError:
        return bytes(out)


def _record() -> Steps[bytes]:
    header = yield Read(5)
    size = int.from_bytes(header[3:5], "big")
    if size > MAX_RECORD:
        raise TlsError(f"record of {size} bytes")
    return header + ((yield Read(size)) if size else b"")


def _handshake(connection: SSL.Connection, expected: PeerId | None) -> Steps[Secured]:
    while True:
        try:
            connection.do_handshake()
            break
        except SSL.WantReadError:
            if out := _pending(connection):
                yield Send(out)
            connection.bio_write((yield from _record()))
        except SSL.Error as exc:
            if out := _pending(connection):
                yield Send(out)
            raise TlsError(f"handshake failed: {_reason(exc)}") from exc
    if out := _pending(connection):
        yield Send(out)
    key = verify_certificate(_peer_certificate(connection))
    if expected is not None and key.peer_id != expected:
        raise WrongPeer("tls", expected, key.peer_id)
    chosen = connection.get_alpn_proto_negotiated()
    muxer = chosen.decode("ascii", "replace") if chosen and chosen != ALPN_LIBP2P else None
    return Secured(TlsChannel(connection), key.peer_id, key.encode(), PROTOCOL, muxer)


def _peer_certificate(connection: SSL.Connection) -> x509.Certificate:
    """The one certificate that the peer showed. Raises TlsError."""
    try:
        certificate = connection.get_peer_certificate(as_cryptography=True)
        others = connection.get_peer_cert_chain(as_cryptography=True) or []
    except ValueError as exc:  # OpenSSL took what cryptography does not parse
        raise TlsError("the peer's certificate does not parse") from exc
    if certificate is None:
        raise TlsError("the peer showed no certificate")
    if any(other != certificate for other in others):
        raise TlsError("the peer showed more than one certificate")
    if len(certificate.public_bytes(Encoding.DER)) > MAX_CERTIFICATE:
        raise TlsError(f"certificate over {MAX_CERTIFICATE} bytes")
    return certificate


def _reason(exc: SSL.Error) -> str:
    parts = exc.args[0] if exc.args and isinstance(exc.args[0], list) else []
    return ", ".join(str(part[-1]) for part in parts) or type(exc).__name__


class TlsChannel:
    """Both directions after the handshake."""

    plain_size = 65536
    sealed_size = 65536 + 16 * 256
    """Each of the 4 records adds header, type and tag; renewals of keys and tickets fit beside them."""
    stops_at_records = False

    def __init__(self, connection: SSL.Connection) -> None:
        self._connection = connection
        self.closed = False

    def receive(self, data: memoryview, deliver: Deliver, place: Place | None = None) -> int:
        size = len(data)
        at = 0
        while at < size:
            at += self._connection.bio_write(bytes(data[at : at + 65536]))
            self._deliver_all(deliver)
        return size

    def _deliver_all(self, deliver: Deliver) -> None:
        plain = memoryview(bytearray(RECORD_PLAIN))
        try:
            while True:
                count = self._connection.recv_into(plain)
                deliver(plain[:count])
        except SSL.WantReadError:
            return
        except SSL.ZeroReturnError:
            self.closed = True
        except SSL.Error as exc:
            raise TlsError(f"bad record: {_reason(exc)}") from exc

    def sealed_message(self) -> Steps[bytes]:
        return _record()

    def seal_into(self, plain: memoryview, out: memoryview) -> int:
        try:
            self._connection.sendall(plain)
        except SSL.Error as exc:
            raise TlsError(f"cannot seal: {_reason(exc)}") from exc
        sealed = _pending(self._connection)
        out[: len(sealed)] = sealed
        return len(sealed)
