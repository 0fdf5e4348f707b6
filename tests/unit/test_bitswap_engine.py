"""The serving side: wants in, envelopes out."""

import pytest

from cidery.bitswap.engine import (
    ASKED_ROOTS,
    ASKED_SECONDS,
    INLINE_BYTES,
    MAX_ASKERS,
    MAX_QUEUED_PER_PEER,
    MAX_WANTS_PER_PEER,
    MESSAGE_BLOCKS,
    MESSAGE_BYTES,
    Engine,
    Envelope,
    Ledger,
)
from cidery.bitswap.message import Entry, WantType
from cidery.bitswap.turns import SMALL, SMALL_FREE, SMALL_SHARE
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import DAG_PB

SIZE = 256 * 1024


def cids(count: int, start: int = 0) -> list[CID]:
    return [CID.of(str(at).encode()) for at in range(start, start + count)]


def engine(*peers: str) -> Engine:
    made = Engine()
    for peer in peers:
        made.add_peer(peer)
    return made


def ask(machine: Engine, peer: str, wanted: list[CID], size: int | None = SIZE, full: bool = False, **kind) -> None:
    lookups = machine.on_wantlist(peer, [Entry(cid, **kind) for cid in wanted], full)
    machine.on_sizes(peer, lookups, [size] * len(lookups))


def envelope_of(machine: Engine, peer: str) -> Envelope:
    """What goes to a peer in a turn of its own, when the line to it is fast."""
    while (begun := machine.begin_turn(0.0)) is not None and begun != peer:
        machine.end_turn(begun, 1, 0.0)
    machine.turns.limit = lambda peer: MESSAGE_BYTES  # type: ignore[method-assign]
    envelope = machine.next_envelope(peer)
    machine.end_turn(peer, sum(envelope.sizes), 0.0)
    return envelope


def test_wants_are_served_in_the_order_they_were_asked_in_messages_of_bounded_size():
    machine, wanted = engine("p"), cids(10)
    ask(machine, "p", wanted)
    first = envelope_of(machine, "p")
    assert first.blocks == wanted[: MESSAGE_BYTES // SIZE]
    assert first.pending_bytes == (10 - len(first.blocks)) * SIZE
    served = list(first.blocks)
    while not (envelope := envelope_of(machine, "p")).empty:
        served += envelope.blocks
    assert served == wanted


def test_a_block_larger_than_a_message_travels_alone():
    machine, wanted = engine("p"), cids(2)
    ask(machine, "p", wanted, 2 * MESSAGE_BYTES)
    assert envelope_of(machine, "p").blocks == wanted[:1]


def test_many_tiny_blocks_do_not_make_a_message_its_reader_refuses():
    machine = engine("p")
    ask(machine, "p", cids(MESSAGE_BLOCKS + 10), 1)
    assert len(envelope_of(machine, "p").blocks) == MESSAGE_BLOCKS


def test_a_peer_with_a_long_queue_does_not_delay_anothers_first_message():
    machine = engine("greedy", "modest")
    ask(machine, "greedy", cids(1000))
    ask(machine, "modest", cids(1))
    assert envelope_of(machine, "modest").blocks == cids(1)
    assert len(envelope_of(machine, "greedy").blocks) == MESSAGE_BYTES // SIZE


def test_a_want_have_is_answered_by_have_and_for_small_blocks_by_the_block():
    machine, (large, small) = engine("p"), cids(2)
    ask(machine, "p", [large], want_type=WantType.HAVE)
    ask(machine, "p", [small], INLINE_BYTES, want_type=WantType.HAVE)
    envelope = envelope_of(machine, "p")
    assert envelope.haves == [large] and envelope.blocks == [small] and not envelope.dont_haves


def test_dont_have_is_said_only_to_who_asked_for_it():
    machine, (quiet, told) = engine("p"), cids(2)
    ask(machine, "p", [quiet], None)
    ask(machine, "p", [told], None, send_dont_have=True)
    assert envelope_of(machine, "p").dont_haves == [told]
    assert machine.wantlist("p") == [quiet, told]


def test_a_block_that_comes_later_is_served_to_who_waits_even_after_a_dont_have():
    machine, (cid,) = engine("p", "q", "r"), cids(1)
    ask(machine, "p", [cid], None, send_dont_have=True)
    ask(machine, "q", [cid], None, want_type=WantType.HAVE)
    assert envelope_of(machine, "p").dont_haves == [cid]
    assert sorted(machine.on_new_blocks([(cid.multihash, SIZE)])) == ["p", "q"]
    assert envelope_of(machine, "p").blocks == [cid] and envelope_of(machine, "q").haves == [cid]
    assert machine.on_new_blocks([(cid.multihash, SIZE)]) == []


def test_a_want_block_overtakes_the_want_have_of_the_same_block():
    machine, (cid,) = engine("p"), cids(1)
    ask(machine, "p", [cid], want_type=WantType.HAVE)
    ask(machine, "p", [cid])
    envelope = envelope_of(machine, "p")
    assert envelope.blocks == [cid] and envelope.haves == []


def test_a_cancel_takes_a_want_back_wherever_it_is():
    machine, (waiting, queued, said) = engine("p"), cids(3)
    ask(machine, "p", [waiting], None)
    ask(machine, "p", [queued])
    ask(machine, "p", [said], None, send_dont_have=True)
    ask(machine, "p", [waiting, queued, said], cancel=True)
    assert envelope_of(machine, "p").empty and machine.on_new_blocks([(waiting.multihash, 1)]) == []


def test_a_full_wantlist_replaces_what_was_wanted():
    machine, (old, older, new) = engine("p"), cids(3)
    ask(machine, "p", [old])
    ask(machine, "p", [older], None)
    ask(machine, "p", [new], full=True)
    assert envelope_of(machine, "p").blocks == [new] and machine.wantlist("p") == []


def test_wants_kept_for_later_are_bounded_and_the_oldest_go_first():
    machine, wanted = engine("p"), cids(MAX_WANTS_PER_PEER + 100)
    ask(machine, "p", wanted, None)
    assert machine.wantlist("p") == wanted[100:]
    assert machine.on_new_blocks([(wanted[0].multihash, 1)]) == []


def test_answers_that_nobody_reads_are_bounded():
    machine = engine("p")
    for start in range(0, 4 * MAX_QUEUED_PER_PEER, 1024):
        ask(machine, "p", cids(1024, start))
    queue = machine._peers["p"]
    assert len(queue.blocks) + len(queue.presences) + len(queue.wants) <= MAX_QUEUED_PER_PEER + MAX_WANTS_PER_PEER


def test_a_peer_that_leaves_takes_everything_with_it():
    machine = engine("p")
    ask(machine, "p", cids(10), None)
    machine.remove_peer("p")
    machine.received("p", cids(1), 10)
    machine.sent("p", 1, 10)
    assert envelope_of(machine, "p").empty and machine.on_new_blocks([(cids(1)[0].multihash, 1)]) == []
    assert not machine.ledgers and not machine.wanted_by and not machine._peers


def test_the_ledger_counts_both_directions():
    machine = engine("p")
    machine.sent("p", 2, 300)
    machine.received("p", cids(1), 10)
    assert machine.ledgers["p"] == Ledger(300, 10, 2, 1)


def test_wants_of_a_peer_that_is_not_connected_are_ignored():
    assert engine().on_wantlist("nobody", [Entry(cids(1)[0])], False) == []


def test_what_could_not_be_sent_goes_first_the_next_time() -> None:
    machine = Engine()
    machine.add_peer("p")
    wanted = cids(3)
    machine.on_sizes("p", machine.on_wantlist("p", [Entry(cid) for cid in wanted[:2]], full=False), [10, 20])
    lost = envelope_of(machine, "p")
    machine.on_sizes("p", machine.on_wantlist("p", [Entry(cid) for cid in wanted[1:]], full=False), [20, 30])
    machine.put_back("p", lost)
    envelope = envelope_of(machine, "p")
    assert envelope.blocks == wanted and envelope.sizes == [10, 20, 30] and envelope.pending_bytes == 0
    machine.remove_peer("p")
    machine.put_back("p", lost)
    assert envelope_of(machine, "p").empty


def test_a_want_have_takes_back_the_want_for_the_block_that_is_queued():
    machine, (cid, other) = engine("p"), cids(2)
    ask(machine, "p", [cid, other])
    ask(machine, "p", [cid], want_type=WantType.HAVE)
    envelope = envelope_of(machine, "p")
    assert envelope.blocks == [other] and envelope.haves == [cid] and envelope.pending_bytes == 0
    ask(machine, "p", [cid])
    ask(machine, "p", [cid], want_type=WantType.HAVE)
    assert not machine.waiting and machine.begin_turn(0.0) is None


def test_blocks_go_out_only_in_a_turn_and_presences_at_once():
    machine, (cid, absent) = engine("p", "q"), cids(2)
    ask(machine, "p", [cid])
    ask(machine, "q", [cid])
    ask(machine, "q", [absent], None, send_dont_have=True)
    assert machine.begin_turn(0.0) == "p" and machine.begin_turn(0.0) is None and machine.waiting
    envelope = machine.next_envelope("q")
    assert not envelope.blocks and envelope.dont_haves == [absent] and envelope.pending_bytes == SIZE
    assert machine.next_envelope("p").blocks == [cid]
    machine.end_turn("p", SIZE, 0.1)
    assert machine.begin_turn(0.1) == "q" and not machine.waiting
    assert machine.next_envelope("q").blocks == [cid]


def test_a_peer_whose_line_is_slow_is_sent_small_messages():
    machine, wanted = engine("p"), cids(8)
    ask(machine, "p", wanted, 64 * 1024)
    machine.begin_turn(0.0)
    assert len(machine.next_envelope("p").blocks) == 4  # FIRST_TURN: nothing is known of its line
    machine.end_turn("p", SIZE, 1.0)
    machine.begin_turn(1.0)
    assert len(machine.next_envelope("p").blocks) == 1  # a quarter of a second of 256 KiB/s


def test_what_was_sent_to_the_fewest_goes_first_while_others_wait():
    machine, wanted = engine("p", "q"), cids(4)
    ask(machine, "p", wanted)
    assert machine.begin_turn(0.0) == "p"
    assert machine.next_envelope("p").blocks == wanted[:1]
    ask(machine, "q", wanted)
    machine.end_turn("p", SIZE, 1.0)
    sent = []
    for at in range(1, 4):
        peer = machine.begin_turn(float(at))
        assert peer is not None
        sent += machine.next_envelope(peer).blocks
        machine.end_turn(peer, SIZE, at + 1.0)
    assert sent == wanted[1:], "four blocks to two peers, and none of them twice"


def test_who_asks_for_the_same_root_is_a_crowd_until_it_has_not_asked_for_a_minute():
    machine, (root, other) = engine(), cids(2)
    assert machine.asks("p", root, 0.0) == machine.asks("p", root, 1.0) == machine.asks("q", other, 1.0) == []
    assert machine.asks("q", root, 30.0) == ["p"] and machine.asks("r", root, 31.0) == ["p", "q"]
    assert machine.asks("p", root, 32.0) == ["q", "r"]
    assert machine.asks("p", root, 31.0 + ASKED_SECONDS) == ["r"]
    assert machine.asks("p", root, 33.0 + ASKED_SECONDS) == []


def test_one_root_under_two_codecs_is_the_same_root():
    machine, data = engine(), b"root"
    assert machine.asks("p", CID.of(data), 0.0) == []
    assert machine.asks("q", CID.of(data, DAG_PB), 0.0) == ["p"]


def test_the_roots_and_askers_that_are_remembered_are_bounded():
    machine, roots = engine(), cids(ASKED_ROOTS + 1)
    for root in roots:
        assert machine.asks("p", root, 0.0) == []
    assert machine.asks("q", roots[0], 0.0) == [] and machine.asks("q", roots[-1], 0.0) == ["p"]
    for at in range(MAX_ASKERS + 10):
        others = machine.asks(str(at), roots[-1], 1.0)
    assert others == [str(at) for at in range(MAX_ASKERS + 9)][-(MAX_ASKERS - 1) :]


def test_what_could_not_be_sent_does_not_count_as_sent_even_if_the_peer_has_left():
    for leaves in (False, True):
        machine, (cid,) = engine("p", "q"), cids(1)
        ask(machine, "p", [cid])
        machine.begin_turn(0.0)
        lost = machine.next_envelope("p")
        assert machine.turns.sent_to(cid.multihash) == 1
        if leaves:
            machine.remove_peer("p")
        machine.put_back("p", lost)
        machine.end_turn("p", 0, 1.0)
        assert machine.turns.sent_to(cid.multihash) == 0 and machine.waiting is not leaves


def test_presences_that_could_not_be_sent_are_said_the_next_time_unless_they_changed():
    machine, (here, gone, changed) = engine("p"), cids(3)
    ask(machine, "p", [here], want_type=WantType.HAVE)
    ask(machine, "p", [gone, changed], None, send_dont_have=True, want_type=WantType.HAVE)
    lost = machine.next_envelope("p")
    machine.on_new_blocks([(changed.multihash, SIZE)])
    machine.put_back("p", lost)
    envelope = machine.next_envelope("p")
    assert sorted(envelope.haves) == sorted([here, changed]) and envelope.dont_haves == [gone]


def test_answers_for_a_peer_that_left_meanwhile_are_dropped():
    machine, (cid,) = engine("p"), cids(1)
    lookups = machine.on_wantlist("p", [Entry(cid)], False)
    machine.remove_peer("p")
    machine.on_sizes("p", lookups, [SIZE])
    assert not machine.waiting and machine.wantlist("p") == []
    machine.add_peer("p")
    machine.on_sizes("p", lookups, [SIZE])
    assert not machine.waiting, "nor are they for who came again and does not want it"


def test_what_a_peer_wants_most_comes_first():
    machine, wanted = engine("p"), cids(3)
    for cid, priority in zip(wanted, (1, 5, 3), strict=True):
        ask(machine, "p", [cid], priority=priority)
    assert envelope_of(machine, "p").blocks == [wanted[1], wanted[2], wanted[0]]


def test_who_is_sent_a_leaf_while_others_wait_is_asked_whether_it_has_it_until_it_is_known_to_give():
    machine, (root, leaf, tiny) = engine("p", "q"), (CID.of(b"root", DAG_PB), *cids(2))
    sent = Envelope(blocks=[root, tiny, leaf], sizes=[SIZE, SMALL, SIZE])
    assert machine.to_ask_for("p", sent) is None, "nobody waits"
    ask(machine, "q", [leaf])
    assert machine.to_ask_for("p", sent) == leaf
    assert machine.to_ask_for("p", Envelope(blocks=[root, tiny], sizes=[SIZE, SMALL])) is None
    machine.turns.gives("p")
    assert machine.to_ask_for("p", sent) is None


def test_a_small_block_goes_out_of_turn_as_long_as_little_does():
    machine, (large, small, *more) = engine("served", "p"), cids(40)
    ask(machine, "served", [large])
    assert machine.begin_turn(0.0) == "served"
    ask(machine, "p", [large])
    ask(machine, "p", [small], size=SMALL)
    assert machine.begin_turn(0.0) is None, "it is not its turn"
    assert machine.next_envelope("p").blocks == [small] and machine.next_envelope("p").empty
    ask(machine, "p", more, size=SMALL)
    sent = machine.next_envelope("p")
    assert len(sent.blocks) == SMALL_FREE // SMALL - 1 and machine.next_envelope("p").empty
    machine.put_back("p", sent)
    assert machine.next_envelope("p").empty, "what did not go counts, too: a peer that resets streams gains nothing"
    machine.end_turn("served", int(SMALL / SMALL_SHARE), 1.0)
    assert len(machine.next_envelope("p").blocks) == 1


# --- the rest of a block


def starts_of(machine: Engine, wanted: CID, start: int) -> Envelope:
    machine.on_wantlist("p", [Entry(wanted, start=start)], False)
    machine.on_sizes("p", [wanted], [SIZE])
    return envelope_of(machine, "p")


def test_a_block_is_sent_from_where_it_is_wanted():
    machine, (wanted, other) = engine("p"), cids(2)
    envelope = starts_of(machine, wanted, 1000)
    assert (envelope.blocks, envelope.sizes, envelope.starts) == ([wanted], [SIZE - 1000], {wanted: 1000})
    assert starts_of(machine, other, 0).starts == {}


def test_an_offset_beyond_the_end_counts_as_none():
    machine, wanted = engine("p"), cids(2)
    for cid, start in zip(wanted, (SIZE, SIZE + 1), strict=True):
        envelope = starts_of(machine, cid, start)
        assert envelope.sizes == [SIZE] and not envelope.starts


def test_a_rest_that_could_not_be_sent_stays_a_rest():
    machine, (wanted,) = engine("p"), cids(1)
    machine.put_back("p", starts_of(machine, wanted, 1000))
    again = envelope_of(machine, "p")
    assert again.sizes == [SIZE - 1000] and again.starts == {wanted: 1000} and again.pending_bytes == 0


def test_a_message_of_rests_holds_no_more_blocks_than_one_of_whole_blocks():
    machine, wanted = engine("p"), cids(20)
    machine.on_wantlist("p", [Entry(cid, start=SIZE - 1) for cid in wanted], False)
    machine.on_sizes("p", wanted, [SIZE] * 20)
    assert len(envelope_of(machine, "p").blocks) == MESSAGE_BYTES // SIZE, "they are read as a whole"


def test_a_small_rest_of_a_large_block_waits_for_its_turn():
    machine, (wanted,) = engine("p"), cids(1)
    machine.on_wantlist("p", [Entry(wanted, start=SIZE - 1)], False)
    machine.on_sizes("p", [wanted], [SIZE])
    assert machine.next_envelope("p").empty
    assert envelope_of(machine, "p").blocks == [wanted]


def test_what_is_being_sent_and_asked_for_once_more_is_not_sent_twice():
    machine, (wanted,) = engine("p"), cids(1)
    ask(machine, "p", [wanted])
    assert envelope_of(machine, "p").blocks == [wanted]
    ask(machine, "p", [wanted])
    assert envelope_of(machine, "p").empty
    assert starts_of(machine, wanted, 1000).starts == {wanted: 1000}, "another rest is"
    machine.sent("p", 1, SIZE)
    ask(machine, "p", [wanted])
    assert envelope_of(machine, "p").blocks == [wanted], "it may have been lost"


def test_after_a_cancelled_rest_the_whole_block_is_sent():
    machine, (wanted,) = engine("p"), cids(1)
    machine.on_wantlist("p", [Entry(wanted, start=1000)], False)
    machine.on_sizes("p", [wanted], [SIZE])
    machine.on_wantlist("p", [Entry(wanted, cancel=True)], False)
    ask(machine, "p", [wanted])
    envelope = envelope_of(machine, "p")
    assert envelope.sizes == [SIZE] and not envelope.starts


def test_the_last_offset_asked_for_counts():
    machine, (wanted,) = engine("p"), cids(1)
    for start in (1000, 3000, 0):
        machine.on_wantlist("p", [Entry(wanted, start=start)], False)
        machine.on_sizes("p", [wanted], [SIZE])
    envelope = envelope_of(machine, "p")
    assert envelope.blocks == [wanted] and envelope.sizes == [SIZE] and not envelope.starts
    assert envelope.pending_bytes == 0


# --- what is withdrawn while it is sent


def cancel(machine: Engine, *some: CID) -> None:
    machine.on_wantlist("p", [Entry(cid, cancel=True) for cid in some], False)


def test_a_message_of_which_every_block_is_withdrawn_is_known_and_sent_no_more():
    machine, wanted = engine("p"), cids(2)
    assert not machine.withdrawn("p") and not machine.withdrawn("stranger")
    ask(machine, "p", wanted)
    envelope = envelope_of(machine, "p")
    cancel(machine, wanted[0])
    assert not machine.withdrawn("p")
    cancel(machine, wanted[1])
    assert machine.withdrawn("p")
    machine.put_back("p", envelope)
    assert not machine.withdrawn("p") and envelope_of(machine, "p").empty


def test_of_a_message_that_could_not_be_sent_what_was_withdrawn_is_dropped():
    machine, wanted = engine("p"), cids(3)
    ask(machine, "p", wanted)
    envelope = envelope_of(machine, "p")
    cancel(machine, wanted[1])
    machine.put_back("p", envelope)
    assert envelope_of(machine, "p").blocks == [wanted[0], wanted[2]]


def test_what_was_withdrawn_and_is_wanted_again_is_sent_again():
    machine, wanted = engine("p"), cids(2)
    ask(machine, "p", wanted)
    envelope = envelope_of(machine, "p")
    cancel(machine, *wanted)
    ask(machine, "p", wanted[:1])
    machine.put_back("p", envelope)
    assert envelope_of(machine, "p").blocks == wanted[:1]


def test_after_a_message_was_sent_a_cancel_concerns_nothing():
    machine, wanted = engine("p"), cids(1)
    ask(machine, "p", wanted)
    machine.sent("p", 1, sum(envelope_of(machine, "p").sizes))
    cancel(machine, *wanted)
    assert not machine.withdrawn("p")


def test_the_end_is_spared_of_the_message_that_is_being_sent_and_of_no_other():
    machine, wanted = engine("p"), cids(3)
    spare = [Entry(wanted[0], cancel=True, spared=5)]
    ask(machine, "p", wanted[:1])
    machine.on_wantlist("p", spare, False)
    envelope = envelope_of(machine, "p")
    assert envelope.blocks == wanted[:1] and not machine.withdrawn("p"), "it had not begun"
    machine.on_wantlist("p", [Entry(wanted[1], cancel=True, spared=5)], False)
    assert not machine.withdrawn("p")
    machine.on_wantlist("p", spare, False)
    assert machine.withdrawn("p") == 5
    machine.stops("p")
    machine.put_back("p", envelope)
    assert envelope_of(machine, "p").empty
    ask(machine, "p", wanted[1:])
    envelope_of(machine, "p")
    machine.on_wantlist("p", [Entry(wanted[1], cancel=True, spared=5)], False)
    assert not machine.withdrawn("p"), "another block is behind it"


def test_a_stream_beside_bitswap_does_not_end_the_message_that_is_being_sent():
    machine, wanted = engine("p"), cids(2)
    ask(machine, "p", wanted)
    envelope = envelope_of(machine, "p")
    machine.streamed("p", cids(1, start=9), SIZE)
    assert machine.ledgers["p"].blocks_sent == 1
    ask(machine, "p", wanted[:1])
    assert envelope_of(machine, "p").empty, "it is being sent still"
    machine.put_back("p", envelope)
    assert envelope_of(machine, "p").blocks == wanted


def test_what_could_not_even_be_read_is_put_back():
    machine, wanted = engine("p"), cids(2)
    ask(machine, "p", wanted)
    envelope = envelope_of(machine, "p")
    with pytest.raises(OSError), machine.sending("p", envelope):
        raise OSError
    assert envelope_of(machine, "p").blocks == wanted
