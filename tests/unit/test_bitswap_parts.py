"""Blocks whose sender left before their end: what is read of a cut message, what is kept, how it is completed."""

from collections.abc import Sequence
from types import SimpleNamespace

import pytest

from cidery.bitswap.loop_line import LoopLine
from cidery.bitswap.message import (
    FORETOLD,
    MAX_CUT_FIELDS,
    MAX_MESSAGE,
    PROTOCOL_1_0,
    PROTOCOL_1_1,
    START,
    STEP,
    Entry,
    Message,
    Payload,
    WantType,
    read_cut,
)
from cidery.bitswap.parts import LEAST_PART, MAX_SHARED, MAX_SUSPECTS, Parts
from cidery.bitswap.peer import ConnectedPeer, take_beginning
from cidery.bitswap.verification import Verification
from cidery.budgets import BITSWAP_WORK
from cidery.exchange.probe import HaveProbe
from cidery.identity.peer_id import PeerId
from cidery.ipld.block import MAX_BLOCK, Block
from cidery.libp2p.protocols.muxed_stream import MuxedStream
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import RAW
from cidery.multiformats.multihash import SHA2_256
from cidery.multiformats.protobuf import bytes_field, varint_field
from cidery.multiformats.varint import encode_uvarint
from cidery.spare_buffers import SpareBuffers

SIZE = 3 * LEAST_PART
DATA = bytes(range(256)) * (SIZE // 256)
WHOLE = CID.of(DATA)
MESSAGE = Message(
    blocks=[Block(CID.of(bytes([at]) * size), bytes([at]) * size) for at, size in enumerate((100, 40_000, 50_000))]
)
MESSAGE.coming = [cid for cid, data in MESSAGE.blocks if len(data) >= FORETOLD]


def wire(message: Message) -> bytes:
    return b"".join(map(bytes, message.encode()))


def stream_within(data: bytes) -> SimpleNamespace:
    """A stream that was given these bytes of a longer message."""
    inner = MuxedStream(1, False, 0.0, SpareBuffers())
    inner.frame(MAX_MESSAGE)
    inner.accept(memoryview(encode_uvarint(len(data) + 1) + data))
    return SimpleNamespace(inner=inner)


def begun(size: int, start: int = 0, cid: CID = WHOLE, data: bytes = DATA) -> Payload:
    return Payload(1, RAW, SHA2_256, 32, memoryview(data)[start:size], start, cid)


# --- what is read of a message without its end


def test_of_a_cut_message_the_whole_blocks_and_the_begun_one_are_read():
    data = wire(MESSAGE)
    for cut in range(0, len(data), 997):
        whole, part = read_cut(memoryview(data)[:cut])
        assert [one.cid() for one in whole] == [cid for cid, _ in MESSAGE.blocks[: len(whole)]]
        if part is not None:
            cid, block = MESSAGE.blocks[len(whole)]
            assert part.rest_of == cid and bytes(part.data) == block[: len(part.data)] and not part.start
    assert len(whole) == 2 and part is not None and len(part.data) > 49_000


def test_a_begun_block_is_not_known_where_the_sender_did_not_say_which_it_is():
    assert read_cut(memoryview(wire(Message(blocks=MESSAGE.blocks)))[:30_000])[1] is None


def test_of_a_rest_that_was_cut_too_it_is_known_where_it_begins():
    cid, block = MESSAGE.blocks[2]
    message = Message(blocks=[MESSAGE.blocks[2]], coming=[cid], starts={cid: 20_000})
    _, part = read_cut(memoryview(wire(message))[:25_000])
    assert part is not None and part.rest_of == cid and part.start == 20_000
    assert bytes(part.data) == block[20_000 : 20_000 + len(part.data)] and len(part.data) > 24_000


@pytest.mark.parametrize(
    "garbage",
    [
        b"\xff" * 40,
        bytes_field(3, b"\x0a\x01\xff")[:-1],
        bytes_field(3, bytes(40_000))[:30_000],
        bytes_field(3, bytes_field(1, b"\x01\x55\x12\x20") + bytes_field(2, bytes(MAX_BLOCK + 1)))[:-5],
        bytes_field(3, bytes_field(1, b"\x09\x55\x12\x20") + bytes_field(2, bytes(40_000)))[:-5],
        varint_field(3, 7),
    ],
)
def test_garbage_that_was_cut_holds_no_block(garbage):
    assert read_cut(memoryview(garbage)) == ([], None)
    names = wire(Message(coming=MESSAGE.coming))
    assert read_cut(memoryview(names + garbage)) == ([], None)


def test_a_bounded_number_of_fields_is_read():
    many = b"".join([wire(Message(blocks=[MESSAGE.blocks[0]]))] * (2 * MAX_CUT_FIELDS))
    assert len(read_cut(memoryview(many))[0]) == MAX_CUT_FIELDS


def test_of_small_fields_no_more_are_read_than_between_two_pauses():
    many = bytes_field(3, bytes_field(1, b"\x01\x55\x12\x20") + varint_field(6, 0) * 60) * 200
    assert len(read_cut(memoryview(many))[0]) == STEP // 62


def test_beyond_the_rate_of_a_peer_nothing_is_read_of_messages_that_it_cuts():
    peer, read = connected("a", [WHOLE]), 0
    data = wire(MESSAGE)[:-1]
    for _ in range(2 * BITSWAP_WORK.burst // STEP):
        stream = stream_within(data)
        read += bool(take_beginning(peer, stream, 0.0)[0])
        assert not stream.inner.unread
    assert 0 < read < BITSWAP_WORK.burst // STEP + 10
    assert take_beginning(peer, stream_within(data), 60.0)[0], "later it is"


# --- on the wire


def test_a_want_for_the_rest_and_the_rest_survive_their_encoding():
    asked = Message(entries=[Entry(WHOLE, send_dont_have=True, start=5)])
    assert Message.decode(wire(asked)).entries == asked.entries
    spared = Message(entries=[Entry(WHOLE, cancel=True, spared=5)])
    assert Message.decode(wire(spared)).entries == spared.entries
    (got,) = Message.decode(wire(Message(blocks=[Block(WHOLE, DATA)], starts={WHOLE: 20_000}))).payloads
    assert (got.start, got.rest_of, bytes(got.data)) == (20_000, WHOLE, DATA[20_000:])


@pytest.mark.parametrize("protocol", [PROTOCOL_1_0, PROTOCOL_1_1])
def test_old_versions_carry_no_rest_and_no_whole_block_in_its_place(protocol):
    message = Message(blocks=[Block(WHOLE, DATA)], starts={WHOLE: SIZE - 1})
    assert message.encode(protocol) == []


def test_a_start_without_a_name_counts_as_none():
    block = bytes_field(1, b"\x01\x55\x12\x20") + varint_field(START, 9) + bytes_field(2, DATA)
    (got,) = Message.decode(bytes_field(3, block)).payloads
    assert got.start == 0 and got.cid() == WHOLE


# --- what is kept


def test_the_rest_completes_what_was_kept():
    parts = Parts()
    parts.keep("left", begun(20_000))
    assert parts.asking("next", [Entry(WHOLE)]) == [Entry(WHOLE, start=20_000)] and len(parts) == 20_000
    joined, by = parts.join("next", begun(SIZE, 20_000)) or (None, ())
    assert joined is not None and joined.cid() == WHOLE and len(joined.data) - joined.start == SIZE - 20_000
    assert by == ("left", "next")
    parts.drop(WHOLE)
    assert len(parts) == 0 and parts.asking("next", [Entry(WHOLE)]) == [Entry(WHOLE)]


def test_a_rest_that_was_cut_adds_to_what_was_kept_and_the_longest_counts():
    parts = Parts()
    parts.keep("a", begun(20_000))
    parts.keep("b", begun(40_000, 20_000))
    assert parts.start("c", WHOLE) == 40_000
    parts.keep("c", begun(30_000))
    assert parts.start("c", WHOLE) == len(parts) == 40_000
    joined, by = parts.join("c", begun(SIZE, 20_000)) or (None, ())  # asked for when less was here
    assert joined is not None and joined.cid() == WHOLE and by == ("a", "b", "c")


@pytest.mark.parametrize(
    "part", [begun(LEAST_PART - 1), begun(SIZE, 20_000), begun(MAX_BLOCK + 1, data=bytes(3 << 20))]
)
def test_too_little_too_much_or_what_does_not_join_is_not_kept(part):
    parts = Parts()
    parts.keep("a", part)
    assert len(parts) == 0


def test_questions_and_cancels_name_no_offset():
    parts = Parts()
    parts.keep("a", begun(20_000))
    plain = [Entry(WHOLE, cancel=True), Entry(WHOLE, want_type=WantType.HAVE)]
    assert parts.asking("b", plain) == plain


@pytest.mark.parametrize("rest", [begun(SIZE, 30_000), begun(SIZE, 20_000, CID.of(b"another"))])
def test_a_rest_whose_beginning_is_not_here_completes_nothing(rest):
    parts = Parts()
    parts.keep("a", begun(20_000))
    assert parts.join("b", rest) is None


def test_a_rest_that_would_make_a_block_too_large_completes_nothing():
    parts, data = Parts(), bytes(3 << 20)
    parts.keep("a", begun(MAX_BLOCK - 10, data=data))
    assert parts.join("b", begun(MAX_BLOCK + 1, MAX_BLOCK - 10, data=data)) is None


def test_beyond_the_bound_the_oldest_is_forgotten():
    parts, others = Parts(50_000), [CID.of(bytes([at])) for at in range(3)]
    for cid in others:
        parts.keep("a", begun(20_000, cid=cid))
    assert [parts.start("b", cid) for cid in others] == [0, 20_000, 20_000] and len(parts) == 40_000


def test_after_a_wrong_hash_neither_peer_has_a_block_completed_or_completes_one():
    parts, other = Parts(), CID.of(b"another")
    parts.keep("a", begun(20_000))
    _, by = parts.join("b", begun(SIZE, 20_000)) or (None, ())
    parts.failed(by)
    assert len(parts) == 0
    parts.keep("a", begun(20_000))
    assert len(parts) == 0, "not of it"
    parts.keep("c", begun(20_000, cid=other))
    assert parts.start("b", other) == 0 and parts.start("d", other) == 20_000
    assert parts.join("b", begun(SIZE, 20_000, other)) is None
    for at in range(MAX_SUSPECTS):
        parts.failed((f"more {at}",))
    assert parts.start("b", other) == 20_000, "that was long ago"


def test_one_that_sent_a_piece_between_two_others_is_suspected_with_them():
    parts = Parts()
    parts.keep("a", begun(20_000))
    parts.keep("b", begun(40_000, 20_000))
    _, by = parts.join("c", begun(SIZE, 40_000)) or (None, ())
    parts.failed(by)
    for peer in ("a", "b", "c"):
        parts.keep(peer, begun(20_000))
        assert len(parts) == 0


def test_all_that_one_of_them_began_is_forgotten_with_the_block_that_is_wrong():
    parts, others = Parts(), [CID.of(bytes([at])) for at in range(3)]
    for peer, cid in zip(("liar", "liar", "honest"), others, strict=True):
        parts.keep(peer, begun(20_000, cid=cid))
    _, by = parts.join("next", begun(SIZE, 20_000, others[0])) or (None, ())
    parts.failed(by)
    assert [parts.start("another", cid) for cid in others] == [0, 0, 20_000] and len(parts) == 20_000


# --- a block of which two peers send a part each


def test_of_a_shared_block_the_other_peer_is_asked_for_the_end_and_a_third_for_all():
    parts = Parts()
    assert parts.share(WHOLE, "a", "b", begun(20_000), 1000)
    assert [parts.start(peer, WHOLE) for peer in ("a", "b", "c")] == [0, 21_000, 0]
    assert parts.giver("b", begun(SIZE, 21_000)) == "a"
    assert parts.giver("b", begun(SIZE, 20_000)) is parts.giver("c", begun(SIZE, 21_000)) is None
    parts.keep("a", begun(30_000))
    joined, by = parts.join("b", begun(SIZE, 21_000)) or (None, ())
    assert joined is not None and joined.cid() == WHOLE and by == ("a", "b")
    parts.drop(WHOLE)
    assert parts.start("b", WHOLE) == 0


def test_what_is_not_known_to_come_or_comes_of_suspects_is_not_shared():
    parts = Parts()
    assert not parts.share(WHOLE, "a", "b", None, 1000)
    assert not parts.share(WHOLE, "a", "b", begun(20_000, cid=CID.of(b"another")), 1000)
    assert not parts.share(WHOLE, "a", "b", begun(20_000), -1)
    parts.failed(("a", "c"))
    assert not parts.share(WHOLE, "a", "b", begun(20_000), 1000)
    assert not parts.share(WHOLE, "b", "c", begun(20_000), 1000)


def test_a_bounded_number_of_blocks_is_shared_and_only_who_was_asked_ends_that():
    parts = Parts()
    for at in range(MAX_SHARED + 1):
        cid = CID.of(bytes([at]))
        assert parts.share(cid, "a", "b", begun(20_000, cid=cid), 1000)
    assert parts.start("b", CID.of(bytes([0]))) == 0 and parts.start("b", cid) == 21_000
    parts.unshare("a", [cid])
    assert parts.start("b", cid) == 21_000
    parts.unshare("b", [cid])
    assert parts.start("b", cid) == 0


def test_that_a_part_is_no_longer_kept_ends_no_sharing():
    parts = Parts(50_000)
    parts.share(WHOLE, "a", "b", begun(20_000), 1000)
    parts.keep("a", begun(30_000))
    parts.keep("a", begun(40_000, cid=CID.of(b"another")))
    assert parts.start("c", WHOLE) == 0 and parts.start("b", WHOLE) == 21_000


# --- what a peer sends as the rest


def connected(name: str, wanted: Sequence[CID], asked: Sequence[CID] = ()) -> ConnectedPeer:
    """A peer that is asked for blocks, and was asked for others that nobody wants any more."""
    peer = ConnectedPeer(PeerId(CID.of(name.encode()).multihash), name, 0.0, LoopLine(lambda: 0.0))
    session = HaveProbe(WHOLE, ask=lambda probe, name: None, on_answer=lambda name, answer: None)
    peer.wantlist.ask(session, [*wanted, *asked], [])
    peer.wantlist.next_entries()
    peer.wantlist.cancel(session, asked)
    peer.wantlist.next_entries()
    return peer


def test_further_rests_of_a_block_in_one_message_are_not_completed():
    verification, peer = Verification(), connected("b", [WHOLE])
    verification.parts.keep("a", begun(20_000))
    rests = [begun(SIZE - 1, 20_000), *[begun(20_001, 20_000)] * 1000]
    assert len(verification._complete(peer, rests)) == 1, "each were a copy of the block"


def test_a_rest_of_a_block_that_the_peer_was_never_asked_for_blames_nobody_and_counts_as_wrong():
    verification, peer = Verification(), connected("b", [])
    verification.parts.keep("a", begun(20_000))
    assert verification.verify_now(peer, [begun(20_010, 20_000)]) == []
    assert verification.parts.start("a", WHOLE) == 20_000
    assert (peer.wrong, peer.unwanted) == (10, 0) and not peer.wantlist.has_pending


def test_a_rest_that_completes_nothing_counts_as_unwanted_and_the_whole_block_is_asked_for():
    verification, peer = Verification(), connected("b", [WHOLE])
    assert verification.verify_now(peer, [begun(SIZE, 20_000)]) == []
    assert (peer.wrong, peer.unwanted) == (0, SIZE - 20_000)
    assert [(one.cid, one.start) for one in peer.wantlist.next_entries()] == [(WHOLE, 0)]
    late = connected("c", [], [WHOLE])
    assert verification.verify_now(late, [begun(SIZE, 20_000)]) == []
    assert late.unwanted == SIZE - 20_000 and not late.wantlist.has_pending


def test_a_wrong_hash_blames_those_whose_bytes_were_hashed_whatever_came_meanwhile():
    verification, peer = Verification(), connected("b", [WHOLE])
    verification.parts.keep("a", begun(20_000))
    sent = verification._complete(peer, [begun(SIZE - 1, 20_000)])
    verification.parts.drop(WHOLE)
    verification.parts.keep("c", begun(30_000))
    assert verification._named(peer, sent, [one.cid() for one, _ in sent]) == []
    assert verification.parts.start("d", WHOLE) == 30_000 and peer.unwanted == SIZE - 20_001
    verification.parts.keep("a", begun(40_000))
    assert verification.parts.start("d", WHOLE) == 30_000, "of the one whose bytes were wrong"
