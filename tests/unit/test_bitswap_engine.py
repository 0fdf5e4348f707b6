"""The serving side: wants in, envelopes out."""

from cidery.bitswap.engine import (
    INLINE_BYTES,
    MAX_QUEUED_PER_PEER,
    MAX_WANTS_PER_PEER,
    MESSAGE_BLOCKS,
    MESSAGE_BYTES,
    Engine,
    Envelope,
    Ledger,
)
from cidery.bitswap.message import Entry, WantType
from cidery.multiformats.cid import CID

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
    machine.received("p", 1, 10)
    machine.sent("p", 1, 10)
    assert envelope_of(machine, "p").empty and machine.on_new_blocks([(cids(1)[0].multihash, 1)]) == []
    assert not machine.ledgers and not machine.wanted_by and not machine._peers


def test_the_ledger_counts_both_directions():
    machine = engine("p")
    machine.sent("p", 2, 300)
    machine.received("p", 1, 10)
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
