"""What a node believes of its own addresses, with a clock the test turns."""

from cidery.libp2p.protocols.reachability import (
    BELIEVED_FROM,
    MAX_A_MINUTE,
    MAX_OBSERVED,
    MAX_OPEN,
    MAX_OPEN_PER_SERVER,
    MAX_SERVERS,
    OBSERVED_FOR,
    RECHECK_KNOWN,
    RECHECK_UNKNOWN,
    REMEMBERED,
    VERDICT_FROM,
    Observed,
    Question,
    Reachability,
    State,
)

HOST, OTHER = b"\x08\x08\x08\x08", b"\x09\x09\x09\x09"
ADDR, SECOND = b"addr", b"second"


def groups(count: int) -> list[bytes]:
    return [bytes([at]) for at in range(count)]


def servers(count: int) -> list[bytes]:
    return [b"server %d" % at for at in range(count)]


def test_an_address_is_believed_when_enough_groups_saw_it():
    observed = Observed()
    for group in groups(BELIEVED_FROM - 1):
        observed.saw(HOST, group, 0.0)
    assert observed.believed(1.0) == []
    observed.saw(HOST, b"another", 0.0)
    assert observed.believed(1.0) == [HOST]


def test_many_peers_of_one_group_count_once():
    observed = Observed()
    for _ in range(10 * BELIEVED_FROM):
        observed.saw(HOST, b"one group", 0.0)
    assert observed.believed(0.0) == []


def test_what_was_seen_long_ago_counts_no_more_and_a_new_look_counts_again():
    observed = Observed()
    for group in groups(BELIEVED_FROM):
        observed.saw(HOST, group, 0.0)
    assert observed.believed(OBSERVED_FOR - 1) == [HOST]
    assert observed.believed(OBSERVED_FOR) == []
    for group in groups(BELIEVED_FROM):
        observed.saw(HOST, group, OBSERVED_FOR)
    assert observed.believed(OBSERVED_FOR) == [HOST]


def test_the_address_seen_longest_ago_makes_room():
    observed = Observed()
    for group in groups(BELIEVED_FROM):
        observed.saw(HOST, group, 0.0)
        observed.saw(OTHER, group, 0.0)
    observed.saw(HOST, b"a late look", 1.0)
    for at in range(MAX_OBSERVED - 1):
        observed.saw(b"lie %d" % at, b"liar", 2.0)
    assert observed.believed(3.0) == [HOST]


def test_an_address_is_reachable_or_not_when_enough_servers_say_so():
    for verdict, state in ((True, State.REACHABLE), (False, State.UNREACHABLE)):
        known = Reachability()
        for server in servers(VERDICT_FROM - 1):
            known.answered(ADDR, server, verdict)
        assert known.state(ADDR) is State.UNKNOWN
        known.answered(ADDR, b"last", verdict)
        assert known.state(ADDR) is state
        assert known.states() == {ADDR: state}


def test_nothing_is_known_of_an_address_that_nobody_was_asked_about():
    assert Reachability().state(ADDR) is State.UNKNOWN


def test_one_server_has_one_vote_and_its_newer_answer_counts():
    known = Reachability()
    for _ in range(2 * VERDICT_FROM):
        known.answered(ADDR, b"eager", True)
    assert known.state(ADDR) is State.UNKNOWN
    for server in servers(VERDICT_FROM):
        known.answered(ADDR, server, True)
    for server in servers(VERDICT_FROM):
        known.answered(ADDR, server, False)
    assert known.state(ADDR) is State.UNREACHABLE


def test_only_the_latest_answers_are_remembered():
    known = Reachability()
    for server in servers(REMEMBERED):
        known.answered(ADDR, server, True)
    for at in range(VERDICT_FROM):
        known.answered(ADDR, b"new %d" % at, False)
    assert known.state(ADDR) is State.UNREACHABLE


def ask(known: Reachability, now: float, *, addrs: list[bytes] | None = None, of: int = 9) -> list[Question]:
    return known.questions(addrs or [ADDR], servers(of), now)


def answer(known: Reachability, questions: list[Question], reachable: bool = True) -> None:
    for one in questions:
        known.answered(one.addr, one.server, reachable)


def test_as_many_servers_are_asked_at_once_as_a_verdict_needs():
    known = Reachability()
    asked = ask(known, 0.0)
    assert asked == [Question(ADDR, server) for server in servers(VERDICT_FROM)]
    assert ask(known, 1.0) == [], "they are waited for"
    answer(known, asked[:-1])
    assert ask(known, 1.0) == []
    answer(known, asked[-1:])
    assert known.state(ADDR) is State.REACHABLE


def test_in_the_place_of_a_server_that_gives_no_verdict_another_is_asked():
    known = Reachability()
    first = ask(known, 0.0)
    known.unanswered(ADDR, first[0].server)
    (instead,) = ask(known, 0.1)
    assert instead.server not in {one.server for one in first}


def test_servers_that_disagree_are_outvoted_by_more_servers():
    known = Reachability()
    asked = ask(known, 0.0)
    answer(known, asked[:1], False)
    answer(known, asked[1:], True)
    assert known.state(ADDR) is State.UNKNOWN
    (more,) = ask(known, 0.1)
    answer(known, [more])
    assert known.state(ADDR) is State.REACHABLE


def test_the_same_server_is_asked_again_ever_later():
    known = Reachability()
    (first,) = ask(known, 0.0, of=1)
    known.unanswered(ADDR, first.server)
    now = 0.0
    for pause in (RECHECK_UNKNOWN, 2 * RECHECK_UNKNOWN, 4 * RECHECK_UNKNOWN):
        assert ask(known, now + pause - 1, of=1) == []
        now += pause
        assert ask(known, now, of=1) == [first]
        known.unanswered(ADDR, first.server)
    for _ in range(20):
        now += RECHECK_KNOWN
        assert ask(known, now, of=1) == [first], "but not later than this"
        known.unanswered(ADDR, first.server)


def test_what_is_known_is_asked_about_again_now_and_then_and_others_before_the_same():
    known = Reachability()
    asked = ask(known, 0.0)
    answer(known, asked)
    assert ask(known, RECHECK_KNOWN - 1) == []
    (again,) = ask(known, RECHECK_KNOWN)
    assert again.server not in {one.server for one in asked}
    answer(known, [again])
    (same,) = ask(known, 2 * RECHECK_KNOWN, of=VERDICT_FROM)
    assert same in asked, "where there is no other"


def test_a_server_that_says_something_new_is_checked_soon_until_the_verdict_follows():
    known = Reachability()
    answer(known, ask(known, 0.0))
    now, asked = RECHECK_KNOWN, list[Question]()
    while known.state(ADDR) is not State.UNREACHABLE:
        (one,) = ask(known, now)
        answer(known, [one], False)
        asked.append(one)
        assert ask(known, now + RECHECK_UNKNOWN - 1) == []
        now += RECHECK_UNKNOWN
    assert len({one.server for one in asked}) == VERDICT_FROM
    assert ask(known, now) == [], "they agree"


def test_no_server_gets_more_questions_than_it_answers():
    known, many = Reachability(), [b"addr %d" % at for at in range(8)]
    asked = ask(known, 0.0, addrs=many, of=VERDICT_FROM)
    assert len(asked) == MAX_OPEN_PER_SERVER * VERDICT_FROM
    answer(known, asked)
    asked += (more := ask(known, 1.0, addrs=many, of=VERDICT_FROM))
    answer(known, more)
    for server in servers(VERDICT_FROM):
        assert [one.server for one in asked].count(server) == MAX_A_MINUTE
    assert ask(known, 59.0, addrs=many, of=VERDICT_FROM) == []
    assert len(ask(known, 61.0, addrs=many, of=VERDICT_FROM)) == MAX_OPEN_PER_SERVER * VERDICT_FROM


def test_all_questions_together_are_bounded_and_cover_four_addresses():
    known, many = Reachability(), [b"addr %d" % at for at in range(8)]
    asked = ask(known, 0.0, addrs=many, of=99)
    assert len(asked) == MAX_OPEN and len({one.addr for one in asked}) == 4


def test_addresses_never_asked_about_come_first():
    known = Reachability()
    answer(known, ask(known, 0.0))
    asked = ask(known, RECHECK_KNOWN, addrs=[ADDR, SECOND])
    assert [one.addr for one in asked] == [SECOND] * VERDICT_FROM + [ADDR]


def test_what_is_remembered_of_servers_is_bounded():
    known = Reachability()
    for at in range(2 * MAX_SERVERS):
        for one in known.questions([ADDR], [b"refuses %d" % at], float(at)):
            known.unanswered(ADDR, one.server)
    assert len(known._asked[ADDR].servers) == MAX_SERVERS
    known.questions([], [], 1e6)
    assert known._lately == {}


def test_addresses_that_are_ours_no_more_are_forgotten():
    known = Reachability()
    for addr in (ADDR, SECOND):
        answer(known, ask(known, 0.0, addrs=[addr]))
    known.keep_only([SECOND])
    assert known.states() == {SECOND: State.REACHABLE}
    assert {one.addr for one in ask(known, 1.0, addrs=[ADDR, SECOND])} == {ADDR}
    known.keep_only([])
    known.unanswered(ADDR, servers(1)[0])  # an answer that was under way
    assert known.states() == {}
