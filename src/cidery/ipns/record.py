"""IPNS records: what a name points to, for how long, signed by the name's key.

===== ============= ==========================================================================
field name          content
===== ============= ==========================================================================
1     value         a path, as in ``data`` (fields 1 to 6 are for readers of before 2022)
2     signatureV1   over value, validity and "EOL"; made for old readers, never believed
3     validityType  0: EOL, ``validity`` is the end of life
4     validity      RFC 3339, as in ``data``
5     sequence      as in ``data``
6     ttl           nanoseconds, as in ``data``
7     pubKey        protobuf of the public key, where the name is only its hash (RSA)
8     signatureV2   over "ipns-signature:" and ``data``
9     data          dag-cbor map of TTL, Value, Sequence, Validity, ValidityType
===== ============= ==========================================================================

Spec: https://specs.ipfs.tech/ipns/ipns-record/
"""

from typing import NamedTuple

from cidery.errors import InvalidInput
from cidery.identity.keys import BadKey, PrivateKey, PublicKey
from cidery.identity.peer_id import PeerId
from cidery.ipld import dag_cbor
from cidery.ipld.data_model import CodecError, Value
from cidery.ipns.moment import format_moment, parse_moment
from cidery.multiformats.protobuf import BYTES, VARINT, ProtobufError, bytes_field, expect, read_fields, varint_field
from cidery.multiformats.varint import Buffer

MAX_RECORD = 10 * 1024
"""Largest record, in bytes ("limit of 10 KiB", section "Record Size Limit")."""
MAX_NUMBER = (1 << 63) - 1
"""Largest sequence and TTL that dag-cbor and old readers have in common."""
_V2_PREFIX = b"ipns-signature:"
_EOL = 0
_FIELDS = {1: BYTES, 2: BYTES, 3: VARINT, 4: BYTES, 5: VARINT, 6: VARINT, 7: BYTES, 8: BYTES, 9: BYTES}


class IpnsRecordError(InvalidInput):
    """Bytes that are not a valid record of the name."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"bad IPNS record: {self.reason}"


class IpnsRecord(NamedTuple):
    """A well-formed record. Whether it belongs to the name is for check() to tell."""

    value: bytes
    """The path that the name points to, as text."""
    validity: int
    """End of its life, in nanoseconds since 1970 UTC."""
    sequence: int
    ttl: int
    """Nanoseconds for which a reader may cache it."""
    public_key: bytes
    """Protobuf form; b"" if not in the record."""
    signature_v1: bytes
    signature_v2: bytes
    data: bytes
    """The signed bytes."""
    raw: bytes
    """The whole record as received."""

    @classmethod
    def decode(cls, raw: Buffer) -> "IpnsRecord":
        """Parse an untrusted record. Raises IpnsRecordError only (fuzzed). Signatures are not checked."""
        if len(raw) > MAX_RECORD:
            raise IpnsRecordError(f"{len(raw)} bytes, at most {MAX_RECORD} are allowed")
        numbers, texts = _fields(raw)
        data = texts.get(9, b"")
        # "check that pb.signatureV2 and pb.data are present, otherwise MUST be rejected": section "Record Verification"
        if not data or not texts.get(8):
            raise IpnsRecordError("it has no data with a signature of version 2")
        document = _document(data)
        _check_equal(numbers, texts, document)
        try:
            until = parse_moment(document.validity)
        except ValueError as exc:
            raise IpnsRecordError(str(exc)) from exc
        return cls(
            document.value,
            until,
            document.sequence,
            document.ttl,
            texts.get(7, b""),
            texts.get(2, b""),
            texts[8],
            data,
            bytes(raw),
        )

    def key_of(self, name: PeerId) -> PublicKey:
        """The public key of ``name``, out of the name or the record. Raises IpnsRecordError."""
        inlined = name.inlined_public_key()
        encoded = self.public_key or inlined
        if not encoded:
            raise IpnsRecordError("it lacks the public key, which the name does not hold either")
        if PeerId.of_public_key(encoded) != name:
            raise IpnsRecordError("its public key is not that of the name")
        try:
            return PublicKey.decode(encoded)
        except BadKey as exc:
            raise IpnsRecordError(exc.reason) from exc

    def check_signature(self, name: PeerId) -> None:
        """Raises IpnsRecordError unless the owner of ``name`` signed it. Some 0.1 ms."""
        if not self.key_of(name).verify(_V2_PREFIX + self.data, self.signature_v2):
            raise IpnsRecordError("the signature is not of the name's key")

    def is_over(self, now: int) -> bool:
        """Whether its life has ended at ``now``, in nanoseconds since 1970."""
        return now > self.validity

    @property
    def rank(self) -> tuple[int, int, bytes]:
        """The larger, the better: sequence, then end of life, then the bytes ("Record Selection")."""
        return self.sequence, self.validity, self.raw


def check(raw: Buffer, name: PeerId, now: int) -> IpnsRecord:
    """A record of ``name`` that is valid at ``now`` (nanoseconds since 1970). Raises IpnsRecordError only."""
    record = IpnsRecord.decode(raw)
    record.check_signature(name)
    if record.is_over(now):
        raise IpnsRecordError(f"it ended at {format_moment(record.validity).decode()}")
    return record


def sign(
    key: PrivateKey, value: bytes, *, sequence: int, validity: int, ttl: int, old_readers: bool = True
) -> IpnsRecord:
    """Make a record.

    Args:
        value: a path such as ``/ipfs/bafy...``.
        sequence: 0 to MAX_NUMBER; larger than in all records of the name before.
        validity: end of its life, in nanoseconds since 1970.
        ttl: nanoseconds.
        old_readers: add the fields of version 1.
    Raises:
        IpnsRecordError: a number out of range, or the record would be larger than MAX_RECORD.
    """
    if not (0 <= sequence <= MAX_NUMBER and 0 <= ttl <= MAX_NUMBER):
        raise IpnsRecordError("sequence and TTL are whole numbers of up to 63 bits")
    try:
        until = format_moment(validity)
    except ValueError as exc:
        raise IpnsRecordError(str(exc)) from exc
    document: Value = {
        "Value": value,
        "Validity": until,
        "ValidityType": _EOL,
        "Sequence": sequence,
        "TTL": ttl,
    }
    data = dag_cbor.encode(document)
    parts: list[bytes] = []
    if old_readers:
        signature = key.sign(value + until + b"EOL")
        parts += [bytes_field(1, value), bytes_field(2, signature), varint_field(3, _EOL), bytes_field(4, until)]
        parts += [varint_field(5, sequence), varint_field(6, ttl)]
    if key.peer_id.inlined_public_key() is None:
        parts.append(bytes_field(7, key.public.encode()))
    parts += [bytes_field(8, key.sign(_V2_PREFIX + data)), bytes_field(9, data)]
    return IpnsRecord.decode(b"".join(parts))


def _fields(raw: Buffer) -> tuple[dict[int, int], dict[int, bytes]]:
    numbers: dict[int, int] = {}
    texts: dict[int, bytes] = {}
    try:
        for field, wire, number, view in read_fields(raw):
            if field not in _FIELDS:
                continue
            expect(wire, _FIELDS[field], str(field))
            if wire == VARINT:
                numbers[field] = number
            else:
                texts[field] = bytes(view)
    except ProtobufError as exc:
        raise IpnsRecordError(exc.reason) from exc
    return numbers, texts


class _Document(NamedTuple):
    """The signed bytes."""

    value: bytes
    validity: bytes
    sequence: int
    ttl: int


def _document(data: bytes) -> _Document:
    try:
        found = dag_cbor.decode(data)
    except CodecError as exc:
        raise IpnsRecordError(str(exc)) from exc
    if not isinstance(found, dict):
        raise IpnsRecordError("its data is not a map")
    value, validity = found.get("Value"), found.get("Validity")
    sequence, ttl, kind = found.get("Sequence"), found.get("TTL", 0), found.get("ValidityType")
    if not isinstance(value, bytes) or not isinstance(validity, bytes):
        raise IpnsRecordError("Value and Validity of its data have to be bytes")
    if isinstance(kind, bool) or kind != _EOL:
        raise IpnsRecordError("its ValidityType is not 0 (EOL)")
    for number in (sequence, ttl):
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= MAX_NUMBER:
            raise IpnsRecordError("Sequence and TTL have to be whole numbers of up to 63 bits")
    assert isinstance(sequence, int) and isinstance(ttl, int)  # checked above
    return _Document(value, validity, sequence, ttl)


def _check_equal(numbers: dict[int, int], texts: dict[int, bytes], document: _Document) -> None:
    """ "If any of the V1 fields is present, the values MUST match": section "Record Verification"."""
    if not texts.get(1) and not texts.get(2):
        return
    same = (
        texts.get(1, b"") == document.value
        and texts.get(4, b"") == document.validity
        and numbers.get(3, _EOL) == _EOL
        and numbers.get(5, 0) == document.sequence
        and numbers.get(6, 0) == document.ttl
    )
    if not same:
        raise IpnsRecordError("the fields of version 1 say something else than the signed data")
