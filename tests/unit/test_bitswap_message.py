"""Bitswap messages: bytes in both directions, all three versions."""

import pytest

from cidery.bitswap.message import (
    COMING,
    MAX_CID,
    MAX_ENTRIES,
    MAX_FORETOLD,
    PROTOCOL_1_0,
    PROTOCOL_1_1,
    PROTOCOL_1_2,
    BitswapError,
    Entry,
    Message,
    WantType,
    foretold,
)
from cidery.ipld.block import MAX_BLOCK, Block
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import DAG_PB
from cidery.multiformats.multihash import BLAKE3, IDENTITY, SHA2_512
from cidery.multiformats.protobuf import bytes_field, read_fields, varint_field


def wire(message: Message, protocol: str = PROTOCOL_1_2) -> bytes:
    return b"".join(bytes(part) for part in message.encode(protocol))


CIDS = [CID.of(bytes([at])) for at in range(6)]


def test_a_full_message_survives_its_encoding():
    sent = Message(
        entries=[
            Entry(CIDS[0], 7, send_dont_have=True),
            Entry(CIDS[1], want_type=WantType.HAVE),
            Entry(CIDS[2], cancel=True),
        ],
        full=True,
        blocks=[Block(CIDS[3], bytes([3]))],
        haves=[CIDS[4]],
        dont_haves=[CIDS[5]],
        pending_bytes=1 << 40,
    )
    got = Message.decode(wire(sent))
    assert got.entries == sent.entries and got.full
    assert got.haves == sent.haves and got.dont_haves == sent.dont_haves and got.pending_bytes == 1 << 40
    assert got.payloads[0].cid() == CIDS[3] and bytes(got.payloads[0].data) == bytes([3])


def test_version_1_1_knows_neither_want_have_nor_presences():
    message = Message(
        entries=[Entry(CIDS[0]), Entry(CIDS[1], want_type=WantType.HAVE)],
        blocks=[Block(CIDS[2], bytes([2]))],
        haves=[CIDS[3]],
        dont_haves=[CIDS[4]],
        pending_bytes=5,
    )
    got = Message.decode(wire(message, PROTOCOL_1_1))
    assert got.entries == [Entry(CIDS[0])] and not got.haves and not got.dont_haves and not got.pending_bytes
    assert got.payloads[0].cid() == CIDS[2]


def test_version_1_0_carries_bare_blocks_which_are_sha2_256_dag_pb_of_version_0():
    data = b"a block of old times"
    block = Block(CID.of(data, DAG_PB, version=0), data)
    got = Message.decode(wire(Message(blocks=[block]), PROTOCOL_1_0))
    assert got.payloads[0].cid() == block.cid


@pytest.mark.parametrize("code", [SHA2_512, BLAKE3, 0xB220])
def test_blocks_of_other_hashes_are_named_by_their_prefix(code):
    block = Block(CID.of(b"data", hash_code=code), b"data")
    assert Message.decode(wire(Message(blocks=[block]))).payloads[0].cid() == block.cid


def test_a_block_under_another_prefix_than_it_was_asked_by_is_another_cid():
    message = wire(Message(blocks=[Block(CID.of(b"wanted"), b"garbage")]))
    assert Message.decode(message).payloads[0].cid() == CID.of(b"garbage")


def test_a_block_is_a_view_into_the_message():
    data = wire(Message(blocks=[Block(CID.of(bytes(5000)), bytes(5000))]))
    assert Message.decode(data).payloads[0].data.obj is data


@pytest.mark.parametrize(
    "data, reason",
    [
        (b"\x0a\x05abc", "truncated"),
        (bytes_field(1, bytes_field(1, varint_field(2, 1))), "a want without a CID"),
        (bytes_field(4, varint_field(2, 1)), "presence without a CID"),
        (bytes_field(1, bytes_field(1, bytes_field(1, bytes(MAX_CID + 1)))), f"at most {MAX_CID}"),
        (bytes_field(3, bytes_field(1, b"\x02\x55\x12\x20") + bytes_field(2, b"x")), "CID prefix"),
        (bytes_field(3, bytes_field(1, b"\x01\x55\x12\x20\x00") + bytes_field(2, b"x")), "CID prefix"),
        (bytes_field(3, bytes_field(2, b"x")), "truncated"),
        (varint_field(1, 5), "wire type"),
        (bytes_field(2, bytes(MAX_BLOCK + 1)), f"at most {MAX_BLOCK}"),
        (varint_field(9, 1) * (MAX_ENTRIES + 1), "fields"),
        (bytes_field(1, bytes_field(1, bytes_field(1, CIDS[0].encode())) * (MAX_ENTRIES + 1)), "wants"),
    ],
)
def test_a_message_out_of_bounds_is_refused(data, reason):
    with pytest.raises(BitswapError, match=reason):
        Message.decode(data)


@pytest.mark.parametrize("prefix", [(1, 0x55, 0x9999, 32), (1, 0x55, 0x12, 33), (1, 0x55, IDENTITY, 1 << 40)])
def test_a_block_whose_hash_cannot_be_computed_is_refused(prefix):
    body = bytes_field(1, b"".join(_uvarint(n) for n in prefix)) + bytes_field(2, b"x")
    payload = Message.decode(bytes_field(3, body)).payloads[0]
    with pytest.raises(BitswapError, match="block prefix"):
        payload.cid()


def _uvarint(value: int) -> bytes:
    return varint_field(1, value)[1:]


def test_unknown_fields_are_skipped():
    assert Message.decode(bytes_field(15, b"future") + varint_field(5, 9)).pending_bytes == 9


def test_a_negative_priority_as_go_writes_it_is_accepted():
    entry = bytes_field(1, CIDS[0].encode()) + varint_field(2, -1)
    assert Message.decode(bytes_field(1, bytes_field(1, entry))).entries[0].cid == CIDS[0]


# --- which blocks a message holds, told ahead of them

BLOCKS = [Block(CID.of(bytes([at]) * 5000), bytes([at]) * 5000) for at in range(3)]
FORETELLING = Message(blocks=BLOCKS, coming=[cid for cid, _ in BLOCKS], haves=CIDS[:1], pending_bytes=7)
NAMES = [bytes_field(COMING, cid.encode()) for cid in FORETELLING.coming]


def test_what_is_coming_survives_its_encoding():
    got = Message.decode(wire(FORETELLING))
    assert got.coming == FORETELLING.coming and [payload.cid() for payload in got.payloads] == got.coming


def test_what_is_coming_is_known_before_the_first_block_is_here():
    data = wire(FORETELLING)
    assert foretold(memoryview(data)[: data.index(BLOCKS[0].data)]) == set(FORETELLING.coming)
    assert foretold(memoryview(data)) == set(FORETELLING.coming)


def test_of_a_beginning_that_is_cut_the_names_that_are_whole_are_known():
    data = wire(FORETELLING)
    ends = [len(b"".join(NAMES[: at + 1])) for at in range(3)]
    for cut in range(ends[-1] + 1):
        known = sum(1 for end in ends if end <= cut)
        assert foretold(memoryview(data)[:cut]) == (frozenset(FORETELLING.coming[:known]) or None)


def test_a_message_that_does_not_say_what_is_coming_foretells_nothing():
    assert foretold(memoryview(wire(Message(blocks=BLOCKS)))) is None
    assert foretold(memoryview(b"")) is None


@pytest.mark.parametrize(
    "garbage",
    [
        b"\xff" * 40,
        bytes_field(COMING, b""),
        bytes_field(COMING, b"\x01\x55\x12\x20short"),
        bytes_field(COMING, bytes(MAX_CID + 1)),
        varint_field(COMING, 5),
        bytes_field(COMING, CIDS[0].encode() + b"more"),
    ],
)
def test_garbage_foretells_nothing_and_ends_nothing(garbage):
    assert foretold(memoryview(garbage)) is None
    assert foretold(memoryview(NAMES[0] + garbage)) == {FORETELLING.coming[0]}


def test_more_names_than_a_message_can_hold_are_not_believed():
    many = [bytes_field(COMING, CID.of(str(at).encode()).encode()) for at in range(MAX_FORETOLD + 1)]
    assert len(foretold(memoryview(b"".join(many[:-1]))) or ()) == MAX_FORETOLD
    assert foretold(memoryview(b"".join(many))) is None
    assert len(Message.decode(b"".join(many)).coming) == MAX_FORETOLD


def test_the_names_are_a_buffer_of_their_own_to_be_sent_ahead():
    first, *rest = FORETELLING.buffers(PROTOCOL_1_2)
    assert first == b"".join(NAMES) and b"".join(map(bytes, (first, *rest))) == wire(FORETELLING)


def test_implementations_that_do_not_know_the_field_skip_it():
    """Its number is one that no version of the spec uses, its wire type one that every protobuf reader can skip."""
    fields = list(read_fields(memoryview(wire(FORETELLING))))
    known = [(number, bytes(view), value) for number, _, value, view in fields if number <= 5]
    plain = Message(blocks=BLOCKS, haves=CIDS[:1], pending_bytes=7)
    assert known == [(number, bytes(view), value) for number, _, value, view in read_fields(memoryview(wire(plain)))]
    assert {number for number, _, _, _ in fields} - {1, 2, 3, 4, 5} == {COMING}
