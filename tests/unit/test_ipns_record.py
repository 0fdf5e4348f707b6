import os
from pathlib import Path

import pytest

from cidery.identity.keys import PrivateKey
from cidery.identity.peer_id import PeerId, PeerIdError
from cidery.ipld.dag_cbor import encode
from cidery.ipld.data_model import Value
from cidery.ipns.moment import NANOSECONDS, format_moment, parse_moment
from cidery.ipns.name import format_name, name_of_routing_key, parse_name, routing_key
from cidery.ipns.record import MAX_NUMBER, MAX_RECORD, IpnsRecord, IpnsRecordError, check, sign
from cidery.multiformats.protobuf import bytes_field, varint_field

VECTORS = Path(__file__).parents[1] / "vectors" / "gateway-conformance" / "fixtures"
FILES = sorted(VECTORS.glob("*/*.ipns-record"))
BROKEN = ("_v1", "_v1-v2-broken-v1-value", "_v1-v2-broken-signature-v2")
NOW = 1_790_000_000 * NANOSECONDS
HOUR = 3600 * NANOSECONDS
KEYS = {
    "ed25519": PrivateKey.generate_ed25519(os.urandom),
    "rsa": PrivateKey.generate_rsa(2048),
    "secp256k1": PrivateKey.generate_secp256k1(),
}
VALUE = b"/ipfs/bafkqaaa"


def made(key: PrivateKey = KEYS["ed25519"], *, sequence: int = 7, validity: int = NOW + HOUR) -> IpnsRecord:
    return sign(key, VALUE, sequence=sequence, validity=validity, ttl=300 * NANOSECONDS)


def test_there_are_twelve_vectors() -> None:
    assert len(FILES) == 12


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem[-40:])
def test_vectors_are_valid_or_not_as_stated(path: Path) -> None:
    text, _, kind = path.stem.partition("_")
    name = parse_name(text)
    if f"_{kind}" in BROKEN:
        with pytest.raises(IpnsRecordError):
            check(path.read_bytes(), name, NOW)
    else:
        record = check(path.read_bytes(), name, NOW)
        assert record.value.startswith((b"/ipfs/", b"/ipns/"))
        assert format_moment(record.validity) >= b"2123"


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("old_readers", [True, False])
def test_a_signed_record_is_valid_for_its_name_and_no_other(kind: str, old_readers: bool) -> None:
    key = KEYS[kind]
    record = sign(key, VALUE, sequence=3, validity=NOW + HOUR, ttl=5, old_readers=old_readers)
    read = check(record.raw, key.peer_id, NOW)
    assert (read.value, read.sequence, read.ttl, read.validity) == (VALUE, 3, 5, NOW + HOUR)
    assert bool(read.signature_v1) is old_readers
    assert bool(read.public_key) is (kind == "rsa")
    other = PrivateKey.generate_ed25519(os.urandom)
    with pytest.raises(IpnsRecordError):
        check(record.raw, other.peer_id, NOW)


def test_the_signature_of_version_1_is_what_old_readers_check() -> None:
    record = made()
    until = format_moment(record.validity)
    assert KEYS["ed25519"].public.verify(VALUE + until + b"EOL", record.signature_v1)


def test_the_signed_map_has_its_keys_by_length() -> None:
    data = made().data
    keys = [b"cTTL", b"eValue", b"hSequence", b"hValidity", b"lValidityType"]
    assert sorted(keys, key=data.index) == keys


def test_a_record_ends() -> None:
    record = made(validity=NOW)
    check(record.raw, KEYS["ed25519"].peer_id, NOW)
    with pytest.raises(IpnsRecordError, match="it ended at 2026-09-21T"):
        check(record.raw, KEYS["ed25519"].peer_id, NOW + 1)


def test_fields_of_version_1_that_say_something_else_are_refused() -> None:
    raw = made().raw
    for extra in (bytes_field(1, b"/ipfs/other"), varint_field(5, 8), varint_field(6, 1), bytes_field(4, b"2200")):
        with pytest.raises(IpnsRecordError, match="version 1"):
            IpnsRecord.decode(raw + extra)


def test_a_record_without_data_or_signature_is_refused() -> None:
    record = made()
    for parts in ((bytes_field(9, record.data),), (bytes_field(8, b"x" * 64),), ()):
        with pytest.raises(IpnsRecordError, match="version 2"):
            IpnsRecord.decode(b"".join(parts))


def test_records_over_10_kib_are_neither_read_nor_made() -> None:
    with pytest.raises(IpnsRecordError, match="at most 10240"):
        IpnsRecord.decode(bytes(MAX_RECORD + 1))
    with pytest.raises(IpnsRecordError, match="at most 10240"):
        sign(KEYS["ed25519"], b"/ipfs/" + b"a" * MAX_RECORD, sequence=0, validity=NOW, ttl=0)


def test_numbers_out_of_range_are_refused() -> None:
    for sequence, ttl in ((-1, 0), (MAX_NUMBER + 1, 0), (0, -1)):
        with pytest.raises(IpnsRecordError, match="63 bits"):
            sign(KEYS["ed25519"], VALUE, sequence=sequence, validity=NOW, ttl=ttl)


def test_the_better_record_has_the_larger_sequence_then_the_later_end() -> None:
    old, new = made(sequence=1, validity=NOW + 9 * HOUR), made(sequence=2)
    longer = made(sequence=2, validity=NOW + 2 * HOUR)
    assert max([new, longer, old], key=lambda record: record.rank) == longer
    assert max([new, old], key=lambda record: record.rank) == new


def test_a_flipped_bit_anywhere_in_the_signed_part_is_noticed() -> None:
    record = made()
    for at in (0, len(record.data) // 2, len(record.data) - 1):
        data = bytearray(record.data)
        data[at] ^= 1
        with pytest.raises(IpnsRecordError):
            record._replace(data=bytes(data)).check_signature(KEYS["ed25519"].peer_id)


def test_names_are_text_in_base36_and_read_in_all_forms() -> None:
    name = KEYS["ed25519"].peer_id
    text = format_name(name)
    assert text.startswith("k51qzi5uqu5d")
    for form in (text, str(name), f"/ipns/{text}", format_name(name, "base32")):
        assert parse_name(form) == name
    assert format_name(name, "b58mh") == str(name)
    assert name_of_routing_key(routing_key(name)) == name
    assert isinstance(name, PeerId)


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        (b"1970-01-01T00:00:00Z", 0),
        (b"2026-09-21T14:13:20.000000001Z", NOW + 1),
        (b"2026-09-21T14:13:20.5Z", NOW + NANOSECONDS // 2),
        (b"1969-12-31T23:59:59Z", -NANOSECONDS),
        (b"9999-12-31T23:59:59Z", 253402300799 * NANOSECONDS),
    ],
)
def test_moments_are_read_and_written(text: bytes, nanoseconds: int) -> None:
    assert parse_moment(text) == nanoseconds
    assert format_moment(nanoseconds) == text


def test_moments_of_other_zones_are_read() -> None:
    assert parse_moment(b"2026-09-21T16:13:20+02:00") == NOW


@pytest.mark.parametrize("text", [b"", b"2026", b"2026-13-01T00:00:00Z", b"2026-01-01 00:00:00Z", b"\xff" * 20])
def test_what_is_no_moment_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match="time"):
        parse_moment(text)


def over(document: Value) -> bytes:
    """A record of ``document``, signed by nobody."""
    return bytes_field(8, b"signature") + bytes_field(9, document if isinstance(document, bytes) else encode(document))


DOCUMENT: dict[str, Value] = {
    "TTL": 1,
    "Value": VALUE,
    "Sequence": 1,
    "Validity": format_moment(NOW),
    "ValidityType": 0,
}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"Value": "text"}, "have to be bytes"),
        ({"Validity": 5}, "have to be bytes"),
        ({"Validity": b"tomorrow"}, "tomorrow"),
        ({"ValidityType": 1}, "not 0"),
        ({"ValidityType": False}, "not 0"),
        ({"Sequence": -1}, "whole numbers"),
        ({"Sequence": True}, "whole numbers"),
        ({"TTL": "x"}, "whole numbers"),
        ({"TTL": 1 << 63}, "whole numbers"),
    ],
)
def test_signed_data_of_other_types_is_refused_with_its_reason(changes: dict[str, Value], reason: str) -> None:
    assert IpnsRecord.decode(over(DOCUMENT)).value == VALUE
    with pytest.raises(IpnsRecordError, match=reason) as caught:
        IpnsRecord.decode(over({**DOCUMENT, **changes}))
    assert str(caught.value).startswith("bad IPNS record: ")


def test_signed_data_without_a_ttl_has_none() -> None:
    assert IpnsRecord.decode(over({name: value for name, value in DOCUMENT.items() if name != "TTL"})).ttl == 0


@pytest.mark.parametrize("data", [b"\xff", encode([1, 2])])
def test_signed_data_that_is_no_map_is_refused(data: bytes) -> None:
    with pytest.raises(IpnsRecordError):
        IpnsRecord.decode(over(data))


def test_bytes_that_are_no_message_and_fields_of_another_wire_type_are_refused() -> None:
    for raw in (b"\x0a", varint_field(9, 1), bytes_field(3, b"")):
        with pytest.raises(IpnsRecordError):
            IpnsRecord.decode(raw)
    assert IpnsRecord.decode(over(DOCUMENT) + bytes_field(15, b"of the future")).value == VALUE


def test_a_public_key_that_does_not_parse_is_refused_though_the_name_is_its_hash() -> None:
    broken = bytes_field(2, b"x" * 60)
    record = IpnsRecord.decode(over(DOCUMENT) + bytes_field(7, broken))
    with pytest.raises(IpnsRecordError, match="missing"):
        record.check_signature(PeerId.of_public_key(broken))


def test_an_rsa_name_needs_its_key_in_the_record() -> None:
    with pytest.raises(IpnsRecordError, match="lacks the public key"):
        IpnsRecord.decode(over(DOCUMENT)).check_signature(KEYS["rsa"].peer_id)


def test_a_life_that_ends_after_the_year_9999_cannot_be_written() -> None:
    with pytest.raises(IpnsRecordError):
        made(validity=1 << 70)


def test_a_key_that_is_not_of_a_name_is_refused() -> None:
    with pytest.raises(PeerIdError):
        name_of_routing_key(b"/pk/" + KEYS["ed25519"].peer_id.multihash)
