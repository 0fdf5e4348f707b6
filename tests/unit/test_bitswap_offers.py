"""What a node with nobody in line offers to peers, and what it tells of its own line."""

from cidery.bitswap.arrivals import ARRIVES_SLOWLY, Arrivals
from cidery.bitswap.engine import Engine
from cidery.bitswap.message import Entry, Message, WantType
from cidery.bitswap.offers import MAX_OFFERS, MAX_TOLD, OFFER_PAUSE, OFFERED_SECONDS, Offers
from cidery.bitswap.turns import FEW_SLOTS
from cidery.multiformats.cid import CID

SIZE = 256 * 1024
LATER = 2 * OFFER_PAUSE


def cids(count: int) -> list[CID]:
    return [CID.of(str(at).encode()) for at in range(count)]


def anybody(peer: str) -> int:
    return 0


def told(*peers: str, blocks: int = 1) -> Offers:
    machine = Offers()
    for peer in peers:
        for cid in cids(blocks):
            machine.told(peer, cid, 0.0)
    return machine


def test_what_a_peer_was_told_that_we_have_is_offered_to_it_a_moment_later():
    machine = told("p", blocks=2)
    assert machine.next(anybody, OFFER_PAUSE / 2) is None
    assert machine.next(anybody, LATER) == ("p", cids(2))


def test_what_it_asked_for_or_does_not_want_any_more_is_not_offered():
    machine = told("p", blocks=2)
    machine.settled("p", cids(2)[0])
    assert machine.next(anybody, LATER) == ("p", cids(2)[1:])
    machine.settled("p", cids(2)[1])
    assert machine.next(anybody, 2 * LATER) is None and machine.wait(2 * LATER) is None


def test_one_peer_is_offered_something_at_a_time_and_all_in_turn():
    machine = told("a", "b", "c")
    offered = []
    for at in range(1, 7):
        made = machine.next(anybody, at * LATER)
        assert made is not None and machine.next(anybody, at * LATER) is None
        offered.append(made[0])
    assert sorted(offered[:3]) == ["a", "b", "c"] and offered[3:] == offered[:3]


def test_who_receives_least_is_offered_something_first_and_some_are_offered_nothing():
    machine, rank = told("a", "b", "c"), {"a": 2, "b": 1, "c": None}
    assert machine.next(rank.get, LATER) == ("b", cids(1))
    assert machine.next({"c": None}.get, 2 * LATER) is None


def test_a_peer_that_does_not_act_on_it_is_offered_a_block_a_few_times_only():
    machine, now = told("p"), OFFER_PAUSE
    for times in range(1, MAX_OFFERS + 1):
        assert machine.next(anybody, now) == ("p", cids(1))
        pause = OFFER_PAUSE * 2**times
        assert machine.next(anybody, now + pause - 0.01) is None, "each time later"
        now += pause
    assert machine.next(anybody, now) is None and machine.wait(now) is None, "and no timer runs for ever"


def test_a_peer_that_acts_on_an_offer_is_offered_the_others_at_once():
    machine = told("p", blocks=MAX_OFFERS + 2)
    now, left = LATER, cids(MAX_OFFERS + 2)
    while left:
        assert machine.next(anybody, now) == ("p", left)
        machine.took("p", left.pop(), now)
        now += OFFER_PAUSE


def test_as_many_peers_are_offered_something_at_a_time_as_it_says():
    machine = told("a", "b", "c")
    made = [machine.next(anybody, LATER, most=2) for _ in range(3)]
    assert made == [("c", cids(1)), ("b", cids(1)), None]
    assert machine.next(anybody, LATER + OFFER_PAUSE, most=2) == ("a", cids(1))


def test_what_is_offered_is_bounded():
    made = told("p", blocks=MAX_TOLD + 5).next(anybody, LATER)
    assert made == ("p", cids(MAX_TOLD + 5)[5:])


def test_what_was_told_long_ago_is_forgotten_so_that_no_timer_runs_for_a_peer_that_is_no_giver():
    machine = told("p")
    assert machine.next({"p": None}.get, OFFERED_SECONDS - 1) is None
    assert machine.wait(OFFERED_SECONDS - 1) == OFFER_PAUSE
    assert machine.next({"p": None}.get, OFFERED_SECONDS) is None and machine.wait(OFFERED_SECONDS) is None


def test_of_peers_that_do_not_know_offers_nothing_is_remembered():
    machine = engine("p")
    assert machine.offer(lambda peer: False, LATER) is None and machine.offers.wait(LATER) is None


def test_a_peer_that_left_is_offered_nothing():
    machine = told("p")
    machine.left("p")
    assert machine.next(anybody, LATER) is None


def engine(*peers: str) -> Engine:
    """Each of them is a giver, and was told that we have a block."""
    machine = Engine()
    for peer in peers:
        machine.add_peer(peer)
        machine.turns.gives(peer)
        machine.on_wantlist(peer, [Entry(cids(1)[0], want_type=WantType.HAVE)], False)
        machine.on_sizes(peer, cids(1), [SIZE])
        assert machine.next_envelope(peer).haves == cids(1)
    return machine


def test_an_offer_is_a_have_said_again():
    machine = engine("p")
    assert machine.offer(lambda peer: True, LATER) == "p"
    assert machine.next_envelope("p").haves == cids(1)


def test_nothing_is_offered_while_somebody_is_in_line():
    machine = engine("p", "q")
    machine.on_wantlist("q", [Entry(cids(1)[0])], False)
    machine.on_sizes("q", cids(1), [SIZE])
    assert machine.offer(lambda peer: True, LATER) is None


def ask(machine: Engine, peer: str, block: int, now: float = 0.0) -> None:
    """It asks for a block, and its turn begins."""
    if peer not in machine.ledgers:
        machine.add_peer(peer)
    machine.on_wantlist(peer, [Entry(cids(block + 1)[block])], False)
    machine.on_sizes(peer, [cids(block + 1)[block]], [SIZE], now)
    assert machine.begin_turn(now) == peer


def several_slots(machine: Engine, count: int = FEW_SLOTS) -> None:
    """Its line was found to carry so many turns at a time."""
    machine.turns._slots.count = count


def test_with_slots_to_spare_offers_are_made_while_others_are_being_served():
    machine = engine("p", "q")
    ask(machine, "r", 1)
    assert machine.offer(lambda peer: True, LATER) is None, "its only slot is taken"
    several_slots(machine, 3)
    made = [machine.offer(lambda peer: True, LATER) for _ in range(3)]
    assert set(made[:2]) == {"p", "q"} and made[2] is None


def test_who_is_being_served_is_offered_nothing():
    machine = engine("p")
    several_slots(machine)
    machine.on_wantlist("p", [Entry(cids(2)[1], want_type=WantType.HAVE)], False)
    machine.on_sizes("p", cids(2)[1:], [SIZE])
    ask(machine, "p", 0)
    assert machine.offer(lambda peer: True, LATER) is None
    machine.next_envelope("p")
    machine.end_turn("p", SIZE, LATER)
    assert machine.offer(lambda peer: True, LATER) == "p"


def test_who_asks_for_one_block_of_an_offer_is_offered_the_others_anew():
    machine = engine("p")
    machine.on_wantlist("p", [Entry(cids(2)[1], want_type=WantType.HAVE)], False)
    machine.on_sizes("p", cids(2)[1:], [SIZE])
    for at in (1, 2, 4):
        assert machine.offer(lambda peer: True, at * LATER) == "p"
    ask(machine, "p", 0, 4 * LATER)
    machine.next_envelope("p")
    machine.end_turn("p", SIZE, 5 * LATER)
    assert machine.offer(lambda peer: True, 5 * LATER) == "p", "not half a minute later"


def test_with_many_slots_to_spare_those_who_were_not_seen_to_give_are_offered_something_after_givers():
    machine = engine("p")
    machine.add_peer("newcomer")
    machine.on_wantlist("newcomer", [Entry(cids(1)[0], want_type=WantType.HAVE)], False)
    machine.on_sizes("newcomer", cids(1), [SIZE])
    machine.turns.receives("p", 3)
    assert machine.turns.place("newcomer", LATER) is None
    several_slots(machine)
    assert [machine.offer(lambda peer: True, LATER) for _ in range(2)] == ["p", "newcomer"]
    machine.turns.sends(b"block", "newcomer", tried=True)
    assert machine.turns.place("newcomer", LATER) is None, "it may keep what it was sent"


def test_who_is_offered_blocks_and_was_sent_one_is_asked_whether_it_has_it():
    machine = engine("p")
    ask(machine, "newcomer", 1)
    assert machine.to_ask_for("newcomer", machine.next_envelope("newcomer")) == cids(2)[1], "nobody is in line"


def test_only_givers_who_know_offers_and_receive_from_few_are_offered_something():
    machine = engine("a", "b", "c")
    machine.add_peer("taker")
    machine.on_wantlist("taker", [Entry(cids(1)[0], want_type=WantType.HAVE)], False)
    machine.on_sizes("taker", cids(1), [SIZE])
    machine.turns.receives("b", 1)
    known = [machine.offer(lambda peer: peer != "a", at * LATER) for at in range(1, 3)]
    assert known == ["c", "c"], "b is receiving already"


def test_a_peer_that_withdraws_its_question_is_offered_nothing():
    machine = engine("p")
    machine.on_wantlist("p", [Entry(cids(1)[0], cancel=True)], False)
    assert machine.offer(lambda peer: True, LATER) is None


def test_who_receives_from_fewer_others_is_served_first():
    machine = Engine()
    for peer in ("busy", "idle"):
        machine.add_peer(peer)
        machine.turns.gives(peer)
        machine.on_wantlist(peer, [Entry(cids(1)[0])], False)
        machine.on_sizes(peer, cids(1), [SIZE])
    machine.turns.receives("busy", 2)
    assert machine.begin_turn(0.0) == "idle"
    machine.end_turn("idle", SIZE, 1.0)


def test_what_arrives_quickly_is_not_told():
    machine = Arrivals()
    machine.begins("a", "stream", 0.0)
    assert not machine.look(ARRIVES_SLOWLY / 2) and not machine.ends("a", "stream")


def test_what_arrives_slowly_is_told_to_others_until_it_is_here():
    machine = Arrivals()
    machine.begins("a", "stream", 0.0)
    assert machine.look(ARRIVES_SLOWLY) and not machine.look(1.0), "once"
    assert machine.beside("b") == 1 and machine.beside("a") == 0
    assert machine.ends("a", "stream") and not machine.ends("a", "stream") and machine.beside("b") == 0


def test_from_how_many_others_a_node_receives_survives_its_encoding():
    for receiving in (None, 0, 3):
        data = b"".join(map(bytes, Message(entries=[Entry(cids(1)[0])], receiving=receiving).encode()))
        assert Message.decode(data).receiving == receiving
