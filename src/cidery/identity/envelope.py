"""Signed envelopes, and the peer records that travel in them.

Specs: https://github.com/libp2p/specs/blob/master/RFC/0002-signed-envelopes.md
       https://github.com/libp2p/specs/blob/master/RFC/0003-routing-records.md
"""

from dataclasses import dataclass

from cidery.errors import InvalidInput
from cidery.identity.keys import BadKey, PrivateKey, PublicKey
from cidery.identity.peer_id import PeerId, PeerIdError
from cidery.multiformats.protobuf import BYTES, VARINT, ProtobufError, bytes_field, expect, read_fields, varint_field
from cidery.multiformats.varint import Buffer, encode_uvarint

PEER_RECORD_DOMAIN = b"libp2p-peer-record"
PEER_RECORD_TYPE = b"\x03\x01"
"""Multicodec 0x0301, as two bytes."""
MAX_ENVELOPE = 16 * 1024
"""Largest envelope decoded, in bytes: twice what identify may carry."""
MAX_RECORD_ADDRS = 128
"""Most addresses read from one peer record."""


class EnvelopeError(InvalidInput):
    """An envelope or record that does not parse, or whose signature is wrong."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"bad signed envelope: {self.reason}"


@dataclass(frozen=True, slots=True)
class PeerRecord:
    """A peer's own statement of its addresses."""

    peer: PeerId
    sequence: int
    """Newer records have larger ones."""
    addrs: tuple[bytes, ...]
    """Binary multiaddrs, not yet parsed."""

    def encode(self) -> bytes:
        out = [bytes_field(1, self.peer.multihash), varint_field(2, self.sequence)]
        out += [bytes_field(3, bytes_field(1, addr)) for addr in self.addrs]
        return b"".join(out)

    @classmethod
    def decode(cls, buf: Buffer) -> "PeerRecord":
        """Raises EnvelopeError only (fuzzed)."""
        peer: PeerId | None = None
        sequence, addrs = 0, []
        try:
            for number, wire, value, view in read_fields(buf):
                if number == 1:
                    expect(wire, BYTES, "peer_id")
                    peer = PeerId.decode(view)
                elif number == 2:
                    expect(wire, VARINT, "seq")
                    sequence = value
                elif number == 3:
                    expect(wire, BYTES, "addresses")
                    addrs += [bytes(v) for n, w, _, v in read_fields(view) if n == 1 and w == BYTES]
                if len(addrs) > MAX_RECORD_ADDRS:
                    raise EnvelopeError(f"more than {MAX_RECORD_ADDRS} addresses")
        except (ProtobufError, PeerIdError) as exc:
            raise EnvelopeError(exc.reason) from exc
        if peer is None:
            raise EnvelopeError("the record names no peer")
        return cls(peer, sequence, tuple(addrs))


def _signed_bytes(domain: bytes, payload_type: bytes, payload: bytes) -> bytes:
    return b"".join(encode_uvarint(len(part)) + part for part in (domain, payload_type, payload))


def seal(key: PrivateKey, domain: bytes, payload_type: bytes, payload: bytes) -> bytes:
    """An encoded envelope around ``payload``."""
    signature = key.sign(_signed_bytes(domain, payload_type, payload))
    return b"".join(
        bytes_field(number, data)
        for number, data in ((1, key.public.encode()), (2, payload_type), (3, payload), (5, signature))
    )


def open_envelope(buf: Buffer, domain: bytes, payload_type: bytes) -> tuple[PublicKey, bytes]:
    """Check an envelope's signature; returns the signer's key and the payload. Raises EnvelopeError only (fuzzed)."""
    if len(buf) > MAX_ENVELOPE:
        raise EnvelopeError(f"longer than {MAX_ENVELOPE} bytes")
    parts: dict[int, bytes] = {}
    try:
        for number, wire, _, view in read_fields(buf):
            if number in (1, 2, 3, 5):
                expect(wire, BYTES, f"{number}")
                parts[number] = bytes(view)
        key = PublicKey.decode(parts.get(1, b""))
    except (ProtobufError, BadKey) as exc:
        raise EnvelopeError(exc.reason) from exc
    if parts.get(2) != payload_type:
        raise EnvelopeError("another payload type")
    payload = parts.get(3, b"")
    if not key.verify(_signed_bytes(domain, payload_type, payload), parts.get(5, b"")):
        raise EnvelopeError("wrong signature")
    return key, payload


def seal_peer_record(key: PrivateKey, record: PeerRecord) -> bytes:
    """The record in an envelope, as identify carries it."""
    return seal(key, PEER_RECORD_DOMAIN, PEER_RECORD_TYPE, record.encode())


def open_peer_record(buf: Buffer) -> PeerRecord:
    """A record whose signer is the peer it describes. Raises EnvelopeError only (fuzzed)."""
    key, payload = open_envelope(buf, PEER_RECORD_DOMAIN, PEER_RECORD_TYPE)
    record = PeerRecord.decode(payload)
    if key.peer_id != record.peer:
        raise EnvelopeError("signed by another peer")
    return record
