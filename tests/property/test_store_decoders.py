"""Decoders of the store: any bytes give a value or their own error, and what was encoded comes back."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cidery.blockstore.delete_log import Horizon, decode_tombstones
from cidery.blockstore.index_records import (
    IndexDamaged,
    SegmentInfo,
    decode_location,
    decode_number,
    decode_segment,
    decode_segment_key,
    decode_tail,
    decode_tail_key,
    encode_location,
    encode_segment,
    encode_tail,
)
from cidery.blockstore.segment_file import SEGMENT_HEADER, Location, head_matches, parse_segment_name, scan_records
from cidery.disk.platform_io import OS_FILES
from cidery.ipld.car import (
    MAX_SECTION_HEAD,
    CarError,
    decode_section_head,
    encode_header,
    encode_section_head,
)
from cidery.ipld.car_reader import CarReader
from cidery.multiformats.cid import CID
from cidery.repo.pins import Pin, PinDamaged, decode_pin, encode_pin, pin_key
from cidery.repo.provisional import Operation, ProvisionalDamaged, decode_operation, encode_operation

cheap = settings(derandomize=True, max_examples=150, deadline=None, database=None)
cids = st.builds(
    lambda data, codec, old: CID.of(data, 0x70, version=0) if old else CID.of(data, codec),
    st.binary(max_size=20),
    st.sampled_from([0x55, 0x70, 0x71, 0x0129]),
    st.booleans(),
)
u32, u64 = st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)


@cheap
@given(st.lists(cids, max_size=30))
def test_car_headers_come_back(roots):
    reader = CarReader()
    assert reader.receive_data(encode_header(roots)) == []
    reader.receive_eof()
    assert (reader.version, reader.roots) == (1, tuple(roots))


def test_the_header_of_a_segment_is_the_one_other_tools_expect():
    assert SEGMENT_HEADER.hex() == "19a265726f6f747381d82a450001550000677665727369 6f6e01".replace(" ", "")


@cheap
@given(cids, st.integers(0, 2 << 20))
def test_section_heads_come_back(cid, length):
    head = encode_section_head(cid, length)
    found = decode_section_head(b"--" + head, 2)
    assert (found.cid, found.data_start, found.data_end) == (cid, 2 + len(head), 2 + len(head) + length)
    assert len(head) <= MAX_SECTION_HEAD


@cheap
@given(
    st.one_of(
        st.binary(max_size=60), st.builds(lambda cid, tail: encode_section_head(cid, 9) + tail, cids, st.binary())
    )
)
def test_any_bytes_are_a_section_head_or_a_car_error(raw):
    try:
        found = decode_section_head(raw)
    except CarError:
        return
    assert found.data_start <= found.data_end
    assert encode_section_head(found.cid, found.data_end - found.data_start) == raw[: found.data_start]


@cheap
@given(st.binary(max_size=120))
def test_any_bytes_scan_as_records_that_lie_inside(tmp_path_factory, raw):
    path = tmp_path_factory.getbasetemp() / "scan.car"
    path.write_bytes(SEGMENT_HEADER + raw)
    fd = OS_FILES.open(path, write=False)
    size = len(SEGMENT_HEADER) + len(raw)
    assert all(record.offset + record.head + record.length <= size for record in scan_records(OS_FILES, fd, 0, size))
    OS_FILES.close(fd)


@cheap
@given(cids, st.binary(max_size=300))
def test_a_record_head_matches_its_own_block_only(cid, data):
    head = encode_section_head(cid.to_v1(), len(data))
    assert head_matches(head, cid.multihash, len(data))
    assert not head_matches(head, cid.multihash, len(data) + 1)
    assert not head_matches(head, CID.of(b"another block that is longer than any of those").multihash, len(data))


@cheap
@given(st.binary(max_size=80), cids, st.integers(0, 1 << 21))
def test_any_bytes_match_as_a_record_head_or_not(raw, cid, length):
    assert head_matches(raw, cid.multihash, length) in (True, False)


@cheap
@given(u32, u32, u32, st.integers(5, 255), u64)
def test_locations_come_back(segment, offset, length, head, ordinal):
    at = Location(segment, offset, length, head, ordinal)
    assert decode_location(encode_location(*at)) == at


@pytest.mark.parametrize(
    "decode", [decode_location, decode_segment, decode_segment_key, decode_tail_key, decode_number]
)
@cheap
@given(raw=st.one_of(st.binary(max_size=40), st.binary(min_size=21, max_size=24)))
def test_any_bytes_are_an_index_record_or_index_damage(decode, raw):
    try:
        decode(raw)
    except IndexDamaged as exc:
        assert "rebuilt" in str(exc)


@cheap
@given(u64, u64, u64)
def test_segment_records_come_back(watermark, size, blocks):
    info = SegmentInfo(watermark, size, blocks)
    assert decode_segment(encode_segment(info)) == info


@cheap
@given(st.lists(st.binary(min_size=1, max_size=140), max_size=10), st.binary(max_size=50))
def test_tails_come_back_and_any_bytes_are_a_tail_or_index_damage(keys, raw):
    assert decode_tail(encode_tail(keys)) == keys
    try:
        decode_tail(raw)
    except IndexDamaged:
        return


@cheap
@given(st.binary(max_size=200))
def test_any_bytes_give_some_tombstones_or_none(raw):
    found = list(decode_tombstones(raw))
    assert all(stone.end <= len(raw) for stone in found)


@cheap
@given(u32, u32, st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.integers(1, 10))
def test_a_horizon_covers_what_came_before_it_and_nothing_after(
    segment, offset, kept, end, cached, other_end, following
):
    horizon = Horizon(following, 2 * kept, end, 2 * cached + 1, other_end)
    if segment >= following:
        assert not horizon.covers(segment, offset)
    elif segment == 2 * kept and end:
        assert horizon.covers(segment, offset) == (offset < end)
    elif segment == 2 * cached + 1 and other_end:
        assert horizon.covers(segment, offset) == (offset < other_end)
    else:
        assert horizon.covers(segment, offset)


@cheap
@given(st.text(max_size=20))
def test_any_name_is_a_segment_or_not(name):
    number = parse_segment_name(name)
    assert number is None or f"{number:06d}.car" == name


@cheap
@given(cids, st.booleans(), st.text(max_size=60), st.floats(allow_nan=False))
def test_pins_come_back(cid, recursive, name, created):
    pin = Pin(cid, recursive, name, created)
    assert decode_pin(pin_key(cid), encode_pin(pin)) == pin


@cheap
@given(st.binary(max_size=50), st.binary(max_size=50))
def test_any_bytes_are_a_pin_or_pin_damage(key, raw):
    try:
        decode_pin(key, raw)
    except PinDamaged as exc:
        assert "restore" in str(exc)


@cheap
@given(st.one_of(st.binary(max_size=60), st.lists(st.one_of(st.text(), st.floats(), u64, st.none())).map(json.dumps)))
def test_any_bytes_are_an_operation_or_damage(raw):
    try:
        decode_operation(b"id", raw if isinstance(raw, bytes) else raw.encode())
    except ProvisionalDamaged as exc:
        assert "restore" in str(exc)


@cheap
@given(st.text(max_size=9), st.floats(allow_nan=False, allow_infinity=False), u64, st.lists(cids, max_size=3))
def test_operations_come_back(kind, started, since, roots):
    operation = Operation(b"id", kind, started, since, tuple(roots))
    assert decode_operation(b"id", encode_operation(operation)) == operation
