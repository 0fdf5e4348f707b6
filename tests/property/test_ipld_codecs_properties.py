"""Any value survives every codec that can hold it; any bytes are a value or the codec's own error."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cidery.ipld import codecs, dag_cbor, dag_cbor_native, dag_json
from cidery.ipld.dag_pb import DagPbError
from cidery.ipld.data_model import MAX_NESTING, CodecError, Value
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import CODECS

quick = settings(max_examples=150, derandomize=True, deadline=None)
cids = st.binary(max_size=4).map(CID.of) | st.binary(max_size=4).map(lambda data: CID.of(data, 0x70, version=0))
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 64), (1 << 64) - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | text
    | st.binary(max_size=8)
    | cids
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4), max_leaves=12
)
pieces = st.one_of(
    st.binary(max_size=3),
    st.sampled_from([b"\xd8\x2a\x58\x25\x00" + CID.of(b"").encode(), b"\x81", b"\xa1\x61a", b"\xfb", b"\x7a\xff\xff"]),
    st.sampled_from([b'{"/":', b'{"bytes":"', b'"}', b"]", b"[", b'"a":', b"\\ud800", b"1e5", b"payload", b"\x67"]),
    values.map(dag_cbor.encode),
)


def same(one: Value, other: Value) -> bool:
    """Equal, and floats are floats: 1 == 1.0 in Python, not in the data model."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return one == other and math.copysign(1, one) == math.copysign(1, other)
    return type(one) is type(other) and one == other


@quick
@given(values)
def test_a_value_survives_dag_cbor(value: Value) -> None:
    assert same(dag_cbor.decode(dag_cbor.encode(value)), value)


@quick
@given(values)
def test_a_value_survives_dag_json(value: Value) -> None:
    try:
        block = dag_json.encode(value)
    except codecs.NotEncodable:
        return  # a map that would be read as a link or bytes
    assert same(dag_json.decode(block), value)


@pytest.mark.parametrize("name", sorted(CODECS))
@quick
@given(data=st.lists(pieces, max_size=5).map(b"".join))
def test_any_bytes_are_a_value_or_the_codecs_own_error(name: str, data: bytes) -> None:
    codec = codecs.codec_of(CODECS[name])
    try:
        value = codec.decode(data)
    except (CodecError, DagPbError) as exc:
        assert "\n" not in str(exc)
        return
    if name in ("dag-cbor", "raw", "libp2p-key"):
        assert codec.encode(value) == data  # accepted means canonical


@quick
@given(values, st.integers(0, 200), st.integers(0, 255))
def test_a_changed_byte_gives_another_block_or_an_error(value: Value, at: int, byte: int) -> None:
    block = bytearray(dag_cbor.encode(value))
    block[at % len(block)] = byte
    try:
        found = dag_cbor.decode(block)
    except CodecError:
        return
    assert dag_cbor.encode(found) == block


blocks = st.lists(pieces, max_size=5).map(b"".join) | values.map(dag_cbor.encode_here)


@settings(max_examples=400, derandomize=True, deadline=None)
@given(blocks, st.integers(0, 200), st.integers(0, 255), st.booleans())
def test_the_compiled_codec_takes_and_makes_the_same_blocks(data: bytes, at: int, byte: int, change: bool) -> None:
    pytest.importorskip("cbrrr")
    block = bytearray(data)
    if change and block:
        block[at % len(block)] = byte
    native, taken = dag_cbor_native.decode(bytes(block))
    try:
        value = dag_cbor.decode_here(bytes(block))
    except CodecError:
        assert not taken
        return
    assert taken and same(native, value)
    assert dag_cbor_native.encode(value) == bytes(block)


def test_the_compiled_codec_is_bounded_too() -> None:
    assert dag_cbor_native.nesting_is_bounded({"a": [{}] * 1000})
    deep: Value = []
    for _ in range(MAX_NESTING):
        deep = [deep]
    assert not dag_cbor_native.nesting_is_bounded(deep)
