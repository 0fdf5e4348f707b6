"""The message that introduces readers of the same DAG to each other."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cidery.bitswap.introduction import (
    MAX_ADDRS,
    MAX_FIELDS,
    MAX_READERS,
    Introduction,
    IntroductionError,
    Reader,
)
from cidery.multiformats.cid import CID
from cidery.multiformats.protobuf import bytes_field, varint_field

ROOT = CID.of(b"root")


def reader(at: int, addrs: int = 2) -> Reader:
    return Reader(f"peer {at}".encode(), tuple(f"addr {at}.{one}".encode() for one in range(addrs)))


def test_an_introduction_survives_its_encoding():
    sent = Introduction(ROOT, (reader(0), reader(1, 0)))
    assert Introduction.decode(sent.encode()) == sent


def test_more_readers_and_addresses_than_are_allowed_are_left_out_by_both_sides():
    many = Introduction(ROOT, tuple(reader(at, MAX_ADDRS + 3) for at in range(MAX_READERS + 3)))
    bounded = Introduction(ROOT, tuple(reader(at, MAX_ADDRS) for at in range(MAX_READERS)))
    assert Introduction.decode(many.encode()) == bounded
    body = bytes_field(1, b"peer") + b"".join(bytes_field(2, b"addr") for _ in range(MAX_ADDRS + 1))
    sent = bytes_field(1, ROOT.encode()) + bytes_field(2, body) * (MAX_READERS + 1)
    assert Introduction.decode(sent) == Introduction(ROOT, (Reader(b"peer", (b"addr",) * MAX_ADDRS),) * MAX_READERS)


@pytest.mark.parametrize(
    "data, reason",
    [
        (b"", "without a root"),
        (bytes_field(1, b"no CID"), "."),
        (varint_field(1, 5), "wire type"),
        (bytes_field(1, ROOT.encode()) + varint_field(2, 5), "wire type"),
        (bytes_field(1, ROOT.encode()) + bytes_field(2, varint_field(2, 5)), "wire type"),
        (bytes_field(1, ROOT.encode())[:-1], "truncated"),
        (varint_field(9, 1) * (MAX_FIELDS + 1), "fields"),
        (bytes_field(2, varint_field(9, 1) * (MAX_FIELDS + 1)), "fields"),
    ],
)
def test_what_is_no_introduction_is_refused(data, reason):
    with pytest.raises(IntroductionError, match=reason) as caught:
        Introduction.decode(data)
    assert str(caught.value).startswith("introduction of readers: ")


def test_fields_of_later_versions_are_skipped():
    assert Introduction.decode(bytes_field(1, ROOT.encode()) + varint_field(7, 1)) == Introduction(ROOT, ())


@given(st.binary(max_size=200))
def test_any_bytes_are_an_introduction_or_refused(data):
    for sent in (data, bytes_field(1, ROOT.encode()) + bytes_field(2, data)):
        try:
            assert Introduction.decode(sent).root
        except IntroductionError:
            pass
