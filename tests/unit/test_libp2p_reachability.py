"""What a node believes of its own addresses, with a clock the test turns."""

from cidery.libp2p.protocols.reachability import (
    BELIEVED_FROM,
    MAX_OBSERVED,
    OBSERVED_FOR,
    RECHECK_KNOWN,
    RECHECK_UNKNOWN,
    REMEMBERED,
    VERDICT_FROM,
    Observed,
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
    assert Reachability().fresh_servers(ADDR) == set()


def test_one_server_has_one_vote_and_its_newer_answer_counts():
    known = Reachability()
    for _ in range(2 * VERDICT_FROM):
        known.answered(ADDR, b"eager", True)
    assert known.state(ADDR) is State.UNKNOWN and known.fresh_servers(ADDR) == {b"eager"}
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
    assert len(known.fresh_servers(ADDR)) == REMEMBERED


def test_an_address_is_asked_about_sooner_while_its_state_is_unknown():
    known = Reachability()
    known.asked(ADDR, 0.0)
    assert known.due([ADDR], RECHECK_UNKNOWN - 1) == [] and known.due([ADDR], RECHECK_UNKNOWN) == [ADDR]
    for server in servers(VERDICT_FROM):
        known.answered(ADDR, server, True)
    assert known.due([ADDR], RECHECK_UNKNOWN) == [] and known.due([ADDR], RECHECK_KNOWN) == [ADDR]


def test_addresses_never_asked_about_come_first():
    known = Reachability()
    known.asked(ADDR, 0.0)
    assert known.due([ADDR, SECOND], RECHECK_UNKNOWN) == [SECOND, ADDR]


def test_addresses_that_are_ours_no_more_are_forgotten():
    known = Reachability()
    for addr in (ADDR, SECOND):
        known.asked(addr, 0.0)
        known.answered(addr, b"server", True)
    known.keep_only([SECOND])
    assert known.states() == {SECOND: State.UNKNOWN}
    assert known.due([ADDR, SECOND], 1.0) == [ADDR]
