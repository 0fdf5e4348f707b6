"""Whose turn it is to be sent blocks, and how many peers are served at a time."""

from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cidery.bitswap.slots import LEAST_SLOTS, MOST_SLOTS
from cidery.bitswap.turns import (
    EVERYBODY,
    FAST,
    FEW_SLOTS,
    FIRST_TURN,
    GIVER_SECONDS,
    HALF_LIFE,
    HOLD_TURNS,
    LONGEST_HOLD,
    MAX_SKIPS,
    MAX_UNREAD,
    MAX_UNSEEN,
    MOST_WEIGHT,
    REMEMBERED,
    REST,
    STUCK,
    TRIAL,
    TURN_SECONDS,
    UNREAD,
    Turns,
)

MIB = 1024 * 1024
SIZE = 256 * 1024


def turns(*peers: str) -> Turns:
    made = Turns(0.0)
    for peer in peers:
        made.add(peer, 0.0)
    return made


def serve(machine: Turns, waiting: dict[str, list[bytes]], now: float, size: int = SIZE) -> str:
    """One turn from its beginning to its end."""
    peer = machine.begin(waiting, now)
    assert peer is not None
    machine.end(peer, size, now, others_wait=len(waiting) > 1)
    return peer


def run(machine: Turns, seconds: float, rate: Callable[[int], float], now: float = 0.0) -> tuple[float, Counter[int]]:
    """Serve peers that always wait, over a line that carries ``rate(turns at a time)`` bytes per second.

    Returns the time, and how many rounds had how many slots.
    """
    peers, until, rounds = [f"peer {at}" for at in range(MOST_SLOTS + 8)], now + seconds, Counter[int]()
    for peer in peers:
        machine.add(peer, now)
    while now < until:
        running: list[str] = []
        while (begun := machine.begin({peer: [b""] for peer in peers if peer not in running}, now)) is not None:
            running.append(begun)
        rounds[len(running)] += 1
        now += SIZE * len(running) / rate(len(running))
        for peer in running:
            machine.end(peer, SIZE, now, others_wait=True)
    return now, rounds


# --- how many at a time


def test_one_peer_at_a_time_is_served_at_first():
    machine = turns("p", "q")
    assert machine.begin({"p": [], "q": []}, 0.0) == "p" and machine.serves("p")
    assert machine.begin({"q": []}, 0.0) is None and not machine.serves("q")
    machine.end("p", SIZE, 0.1, others_wait=True)
    assert machine.begin({"q": []}, 0.1) == "q"


def test_nobody_who_waits_is_no_turn():
    assert turns("p").begin({}, 0.0) is None


def test_slots_climb_while_more_of_them_carry_more():
    machine = turns()
    _, rounds = run(machine, 120.0, lambda several: min(several, 16) * MIB)  # each peer's line carries 1 MiB/s
    assert max(rounds) >= 16 and machine.slots >= 8


def test_slots_stay_few_on_a_line_that_one_peer_fills():
    machine = turns()
    _, rounds = run(machine, 300.0, lambda several: 2.0 * MIB)
    assert rounds[LEAST_SLOTS] > 0.8 * rounds.total() and max(rounds) <= 2


def test_a_slow_line_that_one_peer_fills_is_rarely_tried_with_two():
    machine = turns()
    _, rounds = run(machine, 100.0, lambda several: 0.25 * MIB)  # a turn takes a second, a try of two eight
    assert rounds[2] < 0.15 * rounds.total()


def test_a_slot_more_is_judged_by_the_most_that_was_carried_without_it():
    machine = turns()
    alone = iter([1.0, 1.0])  # then others send to the same peers, too

    def rate(several: int) -> float:
        return MIB * (next(alone, 0.5) if several == 1 else 0.9)

    _, rounds = run(machine, 12.0, rate)
    assert rounds[2] and machine.slots == LEAST_SLOTS


def test_slots_go_back_when_fewer_carry_as_much():
    machine = turns()
    now, _ = run(machine, 120.0, lambda several: min(several, 16) * MIB)
    _, rounds = run(machine, 900.0, lambda several: 4.0 * MIB, now)
    assert machine.slots <= 4 and min(rounds) <= 2


def test_slots_are_bounded_and_a_slow_line_is_tried_in_steps_of_one():
    machine = turns()
    _, rounds = run(machine, 150.0, lambda several: several**0.75 * 0.25 * MIB)  # a turn takes more than a second
    assert sorted(rounds) == list(range(1, max(rounds) + 1)) and max(rounds) > 8
    machine = turns()
    _, rounds = run(machine, 20.0, lambda several: several * 8.0 * MIB)
    assert max(rounds) == MOST_SLOTS and len(rounds) < 10


def test_nothing_is_tried_while_nobody_else_waits():
    machine = turns("p")
    for at in range(1000):
        assert machine.begin({"p": []}, at * 1.0) == "p"
        machine.end("p", SIZE, at + 0.9, others_wait=False)
    assert machine.slots == LEAST_SLOTS


# --- turns that do not move


def test_a_turn_from_which_no_byte_leaves_frees_its_slot():
    machine = turns("p", "q")
    machine.begin({"p": []}, 0.0)
    machine.progress("p", 1000, 0.1, blocked=False)
    assert machine.full(0.1 + STUCK - 0.01)
    machine.progress("p", 1000, 3.0, blocked=False)  # the same bytes are left: that is no progress
    assert not machine.full(0.1 + STUCK) and machine.begin({"q": []}, 0.1 + STUCK) == "q"
    assert machine.served() == ["p", "q"]


def test_a_turn_whose_bytes_leave_slowly_keeps_its_slot():
    machine = turns("p", "q")
    machine.begin({"p": []}, 0.0)
    for second in range(1, 60):
        machine.progress("p", 100_000 - second, float(second), blocked=False)
        assert machine.full(float(second))


def test_a_peer_that_does_not_read_frees_its_slot_sooner():
    machine = turns("p", "q")
    machine.begin({"p": []}, 0.0)
    machine.progress("p", 1000, 0.0, blocked=True)
    assert machine.full(UNREAD - 0.01) and not machine.full(UNREAD)
    machine.progress("p", 900, UNREAD, blocked=True)  # it reads again
    assert machine.full(UNREAD)


def test_while_one_turn_is_stuck_others_are_given_up_sooner():
    machine = turns("p", "q", "r")
    machine.begin({"p": []}, 0.0)
    machine.begin({"q": []}, STUCK)
    assert machine.full(STUCK + UNREAD - 0.01) and not machine.full(STUCK + UNREAD)
    assert machine.begin({"r": []}, STUCK + UNREAD) == "r"


def test_a_peer_that_leaves_gives_its_turn_back():
    machine = turns("p", "q")
    machine.begin({"p": []}, 0.0)
    machine.remove("p")
    assert machine.begin({"q": []}, 0.0) == "q"
    machine.end("p", SIZE, 1.0, others_wait=True)
    machine.progress("p", 0, 1.0, blocked=False)
    machine.received("p", SIZE, 1.0)
    assert machine.served() == ["q"]


# --- whose turn


def shares(machine: Turns, peers: list[str], rounds: int, gives: dict[str, int] | None = None) -> Counter[str]:
    """Who gets how many turns while all wait; ``gives``: bytes from a peer per round."""
    got: Counter[str] = Counter()
    for at in range(rounds):
        for peer, size in (gives or {}).items():
            machine.received(peer, size, at * 0.1)
        got[serve(machine, {peer: [] for peer in peers}, at * 0.1)] += 1
    return got


def test_peers_that_give_nothing_share_equally():
    got = shares(turns("p", "q", "r"), ["p", "q", "r"], 300)
    assert set(got.values()) == {100}


def test_who_gives_as_much_as_it_takes_gets_several_times_as_much_as_who_offers_and_the_others_still_get_some():
    machine = turns("giver", "offers", "p", "q")
    machine.gives("offers")
    got = shares(machine, ["giver", "offers", "p", "q"], 560, {"giver": SIZE})
    assert 0.8 * MOST_WEIGHT < got["giver"] / got["offers"] <= MOST_WEIGHT + 0.5
    assert got["p"] + got["q"] >= 560 / EVERYBODY - 2 and abs(got["p"] - got["q"]) <= 1


def test_to_give_without_end_brings_no_more_than_the_greatest_share():
    got = shares(turns("giver", "p"), ["giver", "p"], 600, {"giver": 100 * MIB})
    assert got["p"] >= 600 / EVERYBODY - 2


def test_what_was_given_long_ago_no_longer_counts():
    machine = turns("giver", "p")
    machine.received("giver", 100 * MIB, 0.0)
    got: Counter[str] = Counter()
    for at in range(100):
        got[serve(machine, {"giver": [], "p": []}, 20 * HALF_LIFE + at * HALF_LIFE)] += 1
    assert abs(got["giver"] - got["p"]) <= 4


def test_a_small_message_costs_less_of_a_share_than_a_large_one():
    machine, got = turns("small", "large"), Counter[str]()
    for at in range(500):
        peer = machine.begin({"small": [], "large": []}, float(at))
        size = SIZE // 4 if peer == "small" else SIZE
        machine.end(peer or "", size, float(at), others_wait=True)
        got[peer or ""] += size
    assert 0.9 < got["small"] / got["large"] < 1.1


def test_a_newcomer_comes_first_and_then_has_no_more_than_its_share():
    machine = turns("old")
    for at in range(1000):
        serve(machine, {"old": []}, at * 0.1)  # alone for a long time
    machine.add("new", 100.0)
    served = [serve(machine, {"old": [], "new": []}, 100 + at * 0.1) for at in range(40)]
    assert "new" in served[:2] and abs(served.count("new") - served.count("old")) <= 2


def test_who_was_away_has_no_turns_saved():
    machine = turns("p", "q")
    for at in range(500):
        serve(machine, {"p": []}, at * 0.1)
    served = [serve(machine, {"p": [], "q": []}, 50 + at * 0.1) for at in range(40)]
    assert abs(served.count("p") - served.count("q")) <= 2


def test_what_goes_to_a_peer_in_a_stream_counts_as_its_share():
    machine = turns("p", "q", "r")
    assert machine.begin({"p": [], "q": []}, 0.0) == "p"
    machine.took("q", 8 * SIZE, 0.0)
    machine.end("p", SIZE, 0.1, others_wait=True)
    served = [serve(machine, {"p": [], "q": []}, 0.1 * at) for at in range(1, 7)]
    assert served == ["p"] * 6, "q had more"


def test_a_stream_while_nobody_else_is_served_is_owed_to_nobody():
    machine = turns("p", "q")
    machine.took("p", 100 * MIB, 0.0)
    served = [serve(machine, {"p": [], "q": []}, 0.1 * at) for at in range(40)]
    assert abs(served.count("p") - served.count("q")) <= 2
    machine.took("stranger", MIB, 0.0)


def test_a_turn_in_which_nothing_was_sent_costs_nothing():
    machine = turns("p", "q")
    for _ in range(3):
        assert machine.begin({"p": [], "q": []}, 0.0) == "p"
        machine.end("p", 0, 1.0, others_wait=True)


# --- a line is kept for givers


def test_after_a_slow_turn_of_a_giver_the_line_is_kept_for_the_next_one_for_a_while():
    machine = turns("giver", "p")
    machine.gives("giver")
    assert machine.begin({"giver": [], "p": []}, 0.0) == "giver"
    machine.end("giver", SIZE, 0.8, others_wait=True)
    assert machine.begin({"p": []}, 0.9) is None
    assert machine.held(0.9) == pytest.approx(HOLD_TURNS * 0.8 - 0.1)
    assert serve(machine, {"giver": [], "p": []}, 0.9) == "giver"
    assert machine.begin({"p": []}, 0.9) == "p", "a turn that took no time is no reason"


def test_a_line_is_not_kept_after_a_turn_of_somebody_who_gives_nothing():
    machine = turns("p", "q")
    machine.begin({"p": []}, 0.0)
    machine.end("p", SIZE, 0.8, others_wait=True)
    assert machine.held(0.8) == 0.0 and machine.begin({"q": []}, 0.8) == "q"


def test_of_many_slots_one_is_kept_for_givers_and_of_few_all():
    for slots in (FEW_SLOTS - 1, FEW_SLOTS):
        machine, peers = turns("giver", *"pqrst"), list("pqrst")
        machine._slots.count = slots
        machine.gives("giver")
        machine.begin({"giver": []}, 0.0)
        machine.end("giver", SIZE, 0.8, others_wait=True)
        served = [peer for peer in peers if machine.begin({peer: []}, 0.9) is not None]
        assert len(served) == (0 if slots < FEW_SLOTS else slots - 1)
        assert machine.begin({"giver": []}, 0.9) == "giver"


def test_a_line_is_kept_for_so_long_at_most_and_never_in_the_turn_that_is_everybodys():
    machine = turns("giver", "p")
    machine.gives("giver")
    for at in range(EVERYBODY - 1):
        machine.begin({"giver": []}, 10.0 * at)
        machine.end("giver", SIZE, 10.0 * at + 5, others_wait=True)
        assert machine.held(10.0 * at + 5) == (LONGEST_HOLD if at < EVERYBODY - 2 else 0.0)
    assert machine.begin({"p": []}, 10.0 * at + 5) == "p"


def test_a_peer_is_doubted_until_it_is_seen_to_give_and_again_after_some_time():
    machine = turns("p", "q")
    assert machine.doubts("p") and not machine.doubts("stranger")
    machine.gives("p")
    assert not machine.doubts("p")
    serve(machine, {"q": []}, 0.6 * GIVER_SECONDS)
    assert machine.doubts("p")


# --- who passes on what it is sent


def test_one_that_was_sent_a_block_alone_which_another_no_longer_wants_is_served_before_those_who_keep_theirs():
    machine, waiting = turns("keeps", "gives"), {"keeps": [], "gives": []}
    machine.sends(b"1", "keeps", tried=True)
    machine.sends(b"2", "gives", tried=True)
    machine.had_elsewhere(b"2", "somebody")
    got = Counter(serve(machine, waiting, float(at)) for at in range(40))
    assert got["keeps"] <= 40 / EVERYBODY + 1 and got["keeps"] >= 40 / EVERYBODY - 1


def test_a_want_that_its_own_taker_withdraws_or_for_what_came_from_others_shows_nothing():
    machine = turns("p", "q")
    machine.sends(b"1", "p", tried=True)
    machine.had_elsewhere(b"1", "p")
    machine.sends(b"2", "p", tried=True)
    machine.fetched(b"2")
    machine.had_elsewhere(b"2", "q")
    machine.sends(b"3", "p", tried=True)
    machine.sends(b"3", "q", tried=True)
    machine.had_elsewhere(b"3", "somebody")
    machine.gives("q")
    serve(machine, {"p": [], "q": []}, 0.0)
    assert machine.spares("p"), "of the last nobody knows which of the two passed it on"


def test_a_block_that_one_peer_keeps_counts_as_not_sent_and_that_peer_is_sent_what_others_have():
    machine = turns("keeps", *(f"p{at}" for at in range(TRIAL)), "giver")
    machine.gives("giver")
    serve(machine, {"keeps": [], "giver": []}, 0.0)
    machine.sends(b"kept", "keeps", tried=True)
    for at in range(TRIAL):
        assert machine.sent_to(b"kept") == 1
        machine.sends(str(at).encode(), f"p{at}", tried=True)
    assert machine.sent_to(b"kept") == 0 and machine.spares("keeps") and not machine.spares("newcomer")
    machine.sends(b"kept", "p0", tried=True)
    machine.had_elsewhere(b"kept", "somebody")
    assert machine.sent_to(b"kept") == 1 and not machine.spares("p0"), "now it is had from the other one"


def test_who_gave_once_is_a_giver_for_some_time_and_for_some_blocks_only():
    machine = turns("p", "q")
    machine.received("p", SIZE, 0.0)
    serve(machine, {"p": [], "q": []}, 0.0)
    for at in range(MAX_UNSEEN):
        assert not machine.spares("p")
        machine.sends(str(at).encode(), "p", tried=True)
    assert machine.spares("p")
    machine.gives("p")
    got = Counter(serve(machine, {"p": [], "q": []}, GIVER_SECONDS + at) for at in range(40))
    assert abs(got["p"] - got["q"]) <= 2


@given(
    st.lists(
        st.tuples(st.sampled_from("abcdef"), st.sampled_from(("gives", "first", "block", "nothing"))), max_size=150
    )
)
def test_whoever_waits_is_served_within_twice_as_many_turns_as_wait_times_one_in_so_many(events):
    peers = list("abcdef")
    machine, since = turns(*peers), dict.fromkeys(peers, 0)
    for at, (peer, event) in enumerate(events):
        match event:
            case "gives":
                machine.gives(peer)
            case "first":
                machine.sends(str(at).encode(), peer, tried=True)
            case "block":
                machine.received(peer, SIZE, float(at))
        served = serve(machine, {peer: [str(at % 3).encode()] for peer in peers}, float(at))
        since = {peer: 0 if peer == served else turns_ago + 1 for peer, turns_ago in since.items()}
        assert max(since.values()) <= 2 * EVERYBODY * len(peers)


# --- which block


def test_of_those_who_wait_the_one_is_served_whose_block_was_sent_to_the_fewest():
    machine = turns("p", "q", "r")
    machine.sends(b"common", "r")
    assert machine.begin({"p": [b"common"], "q": [b"common", b"rare"]}, 0.0) == "q"


def test_the_peer_that_is_due_lets_others_pass_only_so_many_times():
    machine = turns("due", "q", "r")
    machine.sends(b"common", "r")
    rounds = range(2 * (MAX_SKIPS + 1))
    served = [serve(machine, {"due": [b"common"], "q": [str(at).encode()]}, 0.0, 1) for at in rounds]
    assert served == 2 * [*["q"] * MAX_SKIPS, "due"]


def test_a_block_that_was_not_sent_after_all_is_not_counted():
    machine = turns("p", "q")
    machine.sends(b"block", "p")
    machine.sends(b"block", "q")
    machine.not_sent(b"block", "q")
    assert machine.sent_to(b"block") == 1
    machine.not_sent(b"other", "p")
    assert machine.sent_to(b"other") == 0


def test_the_counts_of_blocks_are_bounded_and_the_one_sent_longest_ago_is_forgotten():
    machine = turns("p")
    machine.sends(b"old", "p")
    machine.sends(b"kept", "p")
    for at in range(REMEMBERED - 2):
        machine.sends(str(at).encode(), "p")
    machine.sends(b"kept", "p")
    machine.sends(b"new", "p")
    assert machine.sent_to(b"old") == 0 and machine.sent_to(b"kept") == 2 and machine.sent_to(b"new") == 1


# --- how much


def test_a_message_holds_what_goes_to_the_peer_in_a_quarter_of_a_second():
    machine = turns("p")
    assert machine.limit("p") == machine.limit("stranger") == FIRST_TURN
    machine.begin({"p": []}, 0.0)
    machine.end("p", SIZE, 2.0, others_wait=False)
    assert machine.limit("p") == SIZE / 2 * TURN_SECONDS and machine.slow("p")
    for at in range(20):
        machine.begin({"p": []}, 10.0 + at)
        machine.end("p", 10 * FAST, 10.5 + at, others_wait=False)
    assert machine.limit("p") > FAST and not machine.slow("p")


def test_of_newcomers_each_node_tries_another_one_first():
    def first_tried(seed: int) -> str:
        machine, newcomers = Turns(0.0, seed), [f"new {at}" for at in range(8)]
        for peer in ("giver", *newcomers):
            machine.add(peer, 0.0)
        machine.gives("giver")
        served = [serve(machine, dict.fromkeys(("giver", *newcomers), ()), float(at)) for at in range(EVERYBODY)]
        assert served[:-1] == ["giver"] * (EVERYBODY - 1)
        return served[-1]

    assert len({first_tried(seed) for seed in range(20)}) >= 5


# --- peers that do not read


def stuck(machine: Turns, now: float, *peers: str) -> None:
    """Each is sent a message of 1 MiB, reads nothing of it, and others have turns beside it."""
    for peer in peers:
        machine.add(peer, now)
        assert machine.begin({peer: [b""]}, now) == peer
        machine.progress(peer, MIB, now, blocked=True)
        now += UNREAD


def test_what_peers_do_not_read_is_bounded_in_all_and_the_longest_unread_is_taken_back():
    machine, most = turns(), MAX_UNREAD // MIB
    names = [f"peer {at:03}" for at in range(most + 3)]
    stuck(machine, 0.0, *names[:most])
    now = most * UNREAD
    assert machine.unread(now) == []
    stuck(machine, now, *names[most:])
    now += 3 * UNREAD
    taken = machine.unread(now)
    assert taken == names[:3]
    assert machine.rests(names[0], now) and not machine.rests(names[0], now + REST)
    assert not machine.rests(names[3], now)


def test_one_whose_messages_are_taken_back_again_and_again_rests_longer_until_it_reads_one():
    machine, rests = turns("peer"), []
    now = 0.0
    for _ in range(3):
        stuck(machine, now, "peer")
        machine.progress("peer", 2 * MAX_UNREAD, now, blocked=True)
        now += UNREAD
        assert machine.unread(now) == ["peer"]
        machine.end("peer", 0, now, others_wait=False)
        rest = REST
        while machine.rests("peer", now + rest):
            rest *= 2
        rests.append(rest)
        now += rest
    assert rests == [REST, 2 * REST, 4 * REST]
    assert machine.begin({"peer": [b""]}, now) == "peer"
    machine.end("peer", SIZE, now, others_wait=False)
    stuck(machine, now, "peer")
    machine.progress("peer", 2 * MAX_UNREAD, now, blocked=True)
    assert machine.unread(now + UNREAD) == ["peer"] and not machine.rests("peer", now + UNREAD + REST)
