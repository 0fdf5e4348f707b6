"""Identify messages: split, merged, updated, bounded."""

import pytest

from cidery.libp2p.protocols.identify import (
    MAX_ADDRS,
    MAX_MESSAGE,
    MAX_PROTOCOLS,
    MAX_TEXT,
    Identify,
    IdentifyError,
)
from cidery.multiformats.protobuf import bytes_field, varint_field

SAID = Identify(
    public_key=b"key",
    listen_addrs=(b"\x04\x7f\x00\x00\x01\x06\x0f\xa1",),
    protocols=("/a", "/b"),
    observed_addr=b"seen",
    protocol_version="ipfs/0.1.0",
    agent_version="cidery/1",
    signed_peer_record=b"record",
)


def test_a_message_survives_its_encoding():
    assert Identify.decode(SAID.encode()) == SAID
    assert SAID.messages() == [SAID.encode()]
    assert Identify.decode(b"") == Identify()


def test_what_is_too_long_for_one_message_is_split_and_merged_again():
    long = Identify(public_key=b"key", protocols=("/a",), signed_peer_record=bytes(MAX_MESSAGE - 10))
    parts = long.messages()
    assert len(parts) == 2 and all(len(part) <= MAX_MESSAGE for part in parts)
    first, second = map(Identify.decode, parts)
    assert first.merged(second) == long


def test_merging_adds_lists_and_lets_the_later_text_win():
    later = Identify(protocols=("/c",), agent_version="other")
    merged = SAID.merged(later)
    assert merged.protocols == ("/a", "/b", "/c") and merged.agent_version == "other"
    assert merged.public_key == b"key" and merged.signed_peer_record == b"record"


def test_a_push_replaces_what_it_carries_and_leaves_the_rest():
    updated = SAID.updated(Identify(protocols=("/c",)))
    assert updated.protocols == ("/c",) and updated.listen_addrs == SAID.listen_addrs


@pytest.mark.parametrize(
    "data",
    [
        b"\x0a\xff",
        varint_field(1, 1),
        varint_field(2, 1),
        bytes_field(3, b"\xff\xfe"),
        bytes_field(2, b"") * (MAX_ADDRS + 1),
        bytes_field(3, b"/x") * (MAX_PROTOCOLS + 1),
    ],
)
def test_a_message_that_is_wrong_or_too_much_is_refused(data):
    with pytest.raises(IdentifyError):
        Identify.decode(data)


def test_texts_that_are_too_long_are_cut_or_left_out():
    said = Identify.decode(
        bytes_field(6, b"x" * 5000) + bytes_field(3, b"/" + b"p" * MAX_TEXT) + bytes_field(3, b"/ok")
    )
    assert said.agent_version == "x" * MAX_TEXT and said.protocols == ("/ok",)


def test_a_version_that_is_no_text_does_not_cost_the_message():
    assert Identify.decode(bytes_field(6, b"go\xff")).agent_version == "go�"


def test_merged_lists_stay_bounded():
    full = Identify(listen_addrs=(b"a",) * MAX_ADDRS, protocols=("/x",) * MAX_PROTOCOLS)
    merged = full.merged(full)
    assert len(merged.listen_addrs) == MAX_ADDRS and len(merged.protocols) == MAX_PROTOCOLS
