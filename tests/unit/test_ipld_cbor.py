"""Plain CBOR, which has no links, and the bound on nesting that holds whichever decoder reads."""

import pytest

from cidery.ipld import cbor_codec, dag_cbor
from cidery.ipld.block import MAX_BLOCK
from cidery.ipld.dag_cbor_native import nesting_is_bounded
from cidery.ipld.data_model import MAX_NESTING, NotEncodable, Value
from cidery.multiformats.cid import CID

LINK = CID.of(b"target")


@pytest.mark.parametrize("value", [None, True, 7, "text", b"bytes", [1, [2]], {"a": {"b": 1.5}}])
def test_values_without_links_are_plain_cbor_in_canonical_form(value: Value):
    encoded = cbor_codec.encode(value)
    assert encoded == dag_cbor.encode(value)
    assert cbor_codec.decode(encoded) == value


def test_plain_cbor_is_read_in_any_valid_form():
    assert cbor_codec.decode(b"\x18\x01") == 1
    assert cbor_codec.decode(b"\xa2\x61b\x01\x61a\x02") == {"a": 2, "b": 1}


def test_links_are_refused_in_both_directions():
    with pytest.raises(cbor_codec.CborError, match="use dag-cbor"):
        cbor_codec.decode(dag_cbor.encode({"link": LINK}))
    with pytest.raises(NotEncodable, match="use dag-cbor"):
        cbor_codec.encode([LINK])


def nested(depth: int, shape: type) -> Value:
    value: Value = 1
    for _ in range(depth):
        value = [value] if shape is list else {"a": value}
    return value


@pytest.mark.parametrize("shape", [list, dict])
def test_nesting_is_bounded_in_lists_and_maps(shape: type):
    assert nesting_is_bounded(1) and nesting_is_bounded([]) and nesting_is_bounded(nested(MAX_NESTING, shape))
    assert not nesting_is_bounded(nested(MAX_NESTING + 1, shape))


def test_a_level_with_more_than_a_block_can_hold_is_not_bounded(monkeypatch: pytest.MonkeyPatch):
    assert MAX_BLOCK > 3
    monkeypatch.setattr("cidery.ipld.dag_cbor_native.MAX_BLOCK", 3)
    assert nesting_is_bounded([[], [], []]) and not nesting_is_bounded([[], [], [], []])
