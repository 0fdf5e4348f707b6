from hypothesis import given, settings
from hypothesis import strategies as st

from cidery.multiformats import multibase, protobuf
from cidery.multiformats.cid import CID, CIDError
from cidery.multiformats.multiaddr import Multiaddr, MultiaddrError
from cidery.multiformats.multiaddr_protocols import BY_CODE, BY_NAME
from cidery.multiformats.multihash import (
    SHA2_256,
    Multihash,
    MultihashError,
    decode_multihash,
    hash_names,
    matches,
    multihash,
)
from cidery.multiformats.varint import VarintError, decode_uvarint, encode_uvarint

quick = settings(max_examples=150, derandomize=True, deadline=None)
blobs = st.binary(max_size=80)


@quick
@given(st.integers(0, (1 << 63) - 1), blobs)
def test_varints_survive_a_round_trip(value: int, rest: bytes) -> None:
    encoded = encode_uvarint(value)
    assert decode_uvarint(rest + encoded + rest, len(rest)) == (value, len(rest) + len(encoded))


@quick
@given(blobs)
def test_any_bytes_are_a_minimal_varint_or_a_varint_error(data: bytes) -> None:
    try:
        value, end = decode_uvarint(data)
    except VarintError:
        return
    assert encode_uvarint(value) == data[:end]


@quick
@given(st.sampled_from(sorted(set(multibase.BASES) - {"identity"})), blobs)
def test_multibase_texts_survive_a_round_trip(base: str, data: bytes) -> None:
    assert multibase.decode_multibase(multibase.encode_multibase(base, data)) == (base, data)


@quick
@given(st.sampled_from([prefix for prefix, _, _ in multibase.BASES.values()]), st.text(max_size=40))
def test_any_text_is_canonical_multibase_or_a_multibase_error(prefix: str, rest: str) -> None:
    try:
        name, data = multibase.decode_multibase(prefix + rest)
    except multibase.MultibaseError:
        return
    assert multibase.encode_multibase(name, data) == prefix + rest


@quick
@given(blobs)
def test_any_bytes_are_a_multihash_or_a_multihash_error(data: bytes) -> None:
    try:
        found, end = decode_multihash(data)
    except MultihashError:
        return
    assert found.encode() == data[:end]


@quick
@given(st.sampled_from(sorted(set(hash_names().values()) - {0})), blobs)
def test_data_matches_its_own_multihash_only(code: int, data: bytes) -> None:
    encoded = multihash(code, data)
    secure = len(decode_multihash(encoded)[0].digest) >= 20
    assert matches(encoded, data) == secure
    assert not matches(encoded, data + b"\0")


@quick
@given(st.one_of(blobs, blobs.map(lambda data: b"\x01\x55\x12\x20" + data), blobs.map(lambda data: b"\x12\x20" + data)))
def test_any_bytes_are_a_cid_or_a_cid_error(data: bytes) -> None:
    try:
        cid = CID.decode(data)
    except CIDError:
        return
    assert cid.encode() == data


@quick
@given(st.one_of(st.text(max_size=70), st.text("QmbaFk1234567890zBK", max_size=70)))
def test_any_text_is_a_cid_or_a_cid_error(text: str) -> None:
    try:
        cid = CID.parse(text)
    except CIDError:
        return
    assert CID.parse(str(cid)) == cid


@quick
@given(
    st.integers(0, 1 << 20), st.integers(0, 1 << 20), st.binary(max_size=64), st.sampled_from(sorted(multibase.BASES))
)
def test_cids_survive_bytes_and_text(codec: int, code: int, digest: bytes, base: str) -> None:
    cid = CID(1, codec, Multihash(code, digest).encode())
    assert CID.decode(cid.encode()) == cid
    if base != "identity":
        assert CID.parse(cid.format(base)) == cid


@quick
@given(blobs)
def test_v0_cids_survive_bytes_and_text(data: bytes) -> None:
    cid = CID(0, 0x70, multihash(SHA2_256, data))
    assert CID.parse(str(cid)) == cid == CID.decode(cid.encode())


@quick
@given(st.lists(st.tuples(st.sampled_from(sorted(BY_CODE)), st.binary(max_size=40)), max_size=4), blobs)
def test_any_bytes_are_a_multiaddr_or_a_multiaddr_error(parts: list[tuple[int, bytes]], rest: bytes) -> None:
    data = b"".join(
        encode_uvarint(code) + (encode_uvarint(len(value)) if BY_CODE[code].size < 0 else b"") + value
        for code, value in parts
    )
    for candidate in (data, data + rest, rest):
        try:
            addr = Multiaddr.decode(candidate)
        except MultiaddrError:
            continue
        assert addr.encode() == candidate
        assert Multiaddr.parse(str(addr)) == addr


@quick
@given(
    st.lists(
        st.one_of(st.sampled_from(sorted(BY_NAME)), st.text(max_size=12), st.integers(0, 70000).map(str)), max_size=8
    )
)
def test_any_text_is_a_multiaddr_or_a_multiaddr_error(parts: list[str]) -> None:
    try:
        addr = Multiaddr.parse("/" + "/".join(parts))
    except MultiaddrError:
        return
    assert Multiaddr.parse(str(addr)) == addr
    assert Multiaddr.decode(addr.encode()) == addr


@quick
@given(blobs)
def test_any_bytes_are_protobuf_fields_or_a_protobuf_error(data: bytes) -> None:
    try:
        for number, wire, _, view in protobuf.read_fields(data):
            assert 1 <= number < 1 << 29
            assert wire == protobuf.BYTES or not view
    except protobuf.ProtobufError:
        return


@quick
@given(
    st.lists(
        st.tuples(st.integers(1, (1 << 29) - 1), st.one_of(blobs, st.integers(-(1 << 63), (1 << 64) - 1))), max_size=6
    )
)
def test_protobuf_fields_survive_a_round_trip(fields: list[tuple[int, bytes | int]]) -> None:
    data = b"".join(
        protobuf.bytes_field(number, value) if isinstance(value, bytes) else protobuf.varint_field(number, value)
        for number, value in fields
    )
    read = [
        (number, bytes(view) if wire == protobuf.BYTES else value)
        for number, wire, value, view in protobuf.read_fields(data)
    ]
    assert read == [
        (number, value if isinstance(value, bytes) else value & ((1 << 64) - 1)) for number, value in fields
    ]
