"""How much a session risks with sources that have not sent large blocks rightly, and what a lie changes."""

from session_commands import asks

from cidery.exchange.risk import LIE_PAUSES, MAX_PAUSE, PAUSE, QUEUED, SHARES, SPOILT_COUNTS, Risk
from cidery.exchange.session import FetchSession
from cidery.exchange.source import Source
from cidery.exchange.waits import SessionWaits
from cidery.exchange.wants import Wants
from cidery.multiformats.cid import CID

ROOM = 64 * 1024 * 1024
BLOCK = 1024 * 1024


def cids(count: int) -> list[CID]:
    return [CID.of(str(at).encode()) for at in range(count)]


def some(count: int) -> Wants:
    wants = Wants()
    wants.add(cids(count))
    return wants


def tried(risk: Risk, sources: dict[str, Source], wants: Wants, now: float, since: float = 0.0) -> list[str]:
    """Who is asked for a block, one after the other, as long as that is allowed."""
    risk.weigh(sources, wants, BLOCK, since, now)
    asked = []
    for name, source in sources.items():
        if risk.allows(source) and risk.asked(source):
            source.asked(CID.of(name.encode()), now)
            asked.append(name)
    return asked


def sources(*names: str, partial: bool = False) -> dict[str, Source]:
    made = {name: Source(name, 0.05) for name in names}
    for source in made.values():
        source.partial = partial
    return made


def test_of_sources_that_have_all_a_twelfth_is_risked_and_of_readers_a_third():
    count = 48
    assert len(tried(Risk(), sources(*"abcdefghij"), some(count), 0.0)) == int(count * SHARES[False])
    readers = sources(*map(str, range(40)), partial=True)
    assert len(tried(Risk(), readers, some(count), 0.0)) == int(count * SHARES[True])


def test_one_is_tried_however_small_the_fetch_and_another_when_nothing_comes():
    risk, known = Risk(), sources(*"abc")
    assert tried(risk, known, some(2), 0.0) == ["a"]
    assert tried(risk, known, some(2), PAUSE / 2) == []
    assert risk.next_at is not None and risk.next_at <= PAUSE
    assert tried(risk, known, some(2), PAUSE) == ["b"]


def test_who_sent_the_like_is_trusted_and_makes_room_for_another():
    risk, known = Risk(), sources(*"ab")
    assert tried(risk, known, some(4), 0.0) == ["a"]
    known["a"].received(CID.of(b"a"), BLOCK, 0.1)
    assert tried(risk, known, some(4), 0.1) == ["b"] and risk.allows(known["a"])


def test_after_a_lie_another_is_tried_after_ever_longer_pauses_and_longer_ones_while_somebody_is_asked():
    risk, known, wants, now = Risk(), sources(*"abcd"), some(8), 0.0
    pauses = []
    for name in list(known):
        assert tried(risk, known, wants, now) == [name]
        known[name].release()
        risk.lied(known.pop(name), BLOCK, now)
        if not known:
            break
        wants.fill()
        wants.ask(cids(1)[0], "honest", now)
        assert tried(risk, known, wants, now) == [], "there is somebody to wait for"
        assert (longer := risk.next_at) is not None
        assert tried(risk, known, wants, longer - 0.01) == [], "all that time"
        wants.reopen(cids(1)[0], "honest")
        assert tried(risk, known, wants, now) == []
        assert risk.next_at is not None and longer - now == LIE_PAUSES * (risk.next_at - now)
        pauses.append(risk.next_at - now)
        now = risk.next_at
    assert pauses == sorted(pauses) and pauses[0] > PAUSE and pauses[-1] <= MAX_PAUSE


def test_a_lie_of_one_kind_does_not_stop_the_other_and_weighs_more_than_a_trial():
    risk, known = Risk(), sources(*"ab") | sources(*"xyz", partial=True)
    risk.lied(Source("liar", 0.05), BLOCK, 0.0)
    count = int(2 / SHARES[True])
    assert tried(risk, known, some(count), 0.0) == ["x", "y"]
    many = int((SPOILT_COUNTS + 1) / SHARES[False]) + 1
    assert tried(risk, sources("c"), some(many), 0.0) == ["c"]


def test_who_is_tried_is_asked_for_more_when_others_are_served_first_but_not_while_a_block_comes():
    risk, known = Risk(), sources("a")
    assert tried(risk, known, some(2), 0.0) == ["a"]
    late = QUEUED + 0.1
    risk.weigh(known, some(2), BLOCK, 0.0, QUEUED / 2)
    assert not risk.allows(known["a"])
    known["a"].hears(late, late, frozenset({CID.of(b"a")}), late)
    risk.weigh(known, some(2), BLOCK, 0.0, late)
    assert not risk.allows(known["a"])
    known["a"].hears(late, late, frozenset(), late)
    risk.weigh(known, some(2), BLOCK, 0.0, late)
    assert risk.allows(known["a"])
    risk.lied(Source("liar", 0.05), BLOCK, late)
    assert not risk.allows(known["a"]), "once bitten"


def on_trial(round_trip: float) -> tuple[Risk, Source]:
    """One that was asked for its first large block now."""
    risk, source = Risk(), Source("a", round_trip)
    assert tried(risk, {"a": source}, some(20), 0.0) == ["a"]
    return risk, source


def hears(risk: Risk, source: Source, now: float, ends_at: float) -> None:
    source.hears(now, now, frozenset(source.outstanding), now, ends_at)
    risk.weigh({"a": source}, some(20), BLOCK, 0.0, now)


def test_over_a_long_line_one_more_is_asked_of_who_is_tried_when_half_of_its_first_block_is_here():
    risk, source = on_trial(0.2)
    hears(risk, source, 0.2, 2.2)
    assert not risk.allows(source) and risk.next_at is not None and risk.next_at < 1.0
    hears(risk, source, 1.1, 2.4)
    assert not risk.allows(source), "less is here"
    hears(risk, source, 1.2, 2.1)
    assert risk.allows(source)
    risk.asked(source)
    source.asked(CID.of(b"second"), 1.2)
    hears(risk, source, 2.0, 2.1)
    assert not risk.allows(source), "one, not more"


def test_a_block_that_takes_less_than_two_round_trips_is_followed_by_another_a_round_trip_before_its_end():
    risk, source = on_trial(0.2)
    hears(risk, source, 0.21, 0.45)
    assert not risk.allows(source) and risk.next_at is not None and risk.next_at < 0.25
    hears(risk, source, 0.26, 0.45)
    assert risk.allows(source)


def test_who_is_tried_over_a_short_line_or_after_a_lie_sends_a_block_before_it_is_asked_for_another():
    risk, source = on_trial(0.02)
    hears(risk, source, 0.2, 2.2)
    hears(risk, source, 2.1, 2.2)
    assert not risk.allows(source)
    risk, source = on_trial(0.2)
    hears(risk, source, 0.2, 2.2)
    risk.lied(Source("liar", 0.05), BLOCK, 1.0)
    hears(risk, source, 2.1, 2.2)
    assert not risk.allows(source)


def test_the_only_one_that_has_a_block_is_asked_for_it_though_it_sent_a_wrong_one_before():
    machine, (root, *leaves) = FetchSession(SessionWaits(), 0.0), cids(4)
    for name in ("spoils", "lacks"):
        machine.add_source(name, 0.01, 0.0)
    machine.want([root, *leaves], 0.0)
    machine.on_have("spoils", root, 0.0)
    machine.on_have("lacks", root, 0.0)
    machine.poll(0.0, ROOM)
    machine.on_wrong("spoils", BLOCK, 0.1)
    got, now = 0, 0.1
    while machine.wanted and now < 60:
        now += 0.1
        commands = machine.poll(now, ROOM)
        for cid in asks(commands, "lacks"):
            if cid == root:
                got += machine.on_block("lacks", cid, 800, now)
            else:
                machine.on_dont_have("lacks", cid, now)
        held = list(machine.sources["spoils"].outstanding)
        assert len(held) <= 1, "one at a time"
        for cid in held:
            got += machine.on_block("spoils", cid, BLOCK, now)
    assert got == 4 and not machine.wanted


def test_an_only_source_that_spoils_a_block_now_and_then_brings_all():
    machine, wanted = FetchSession(SessionWaits(), 0.0), cids(60)
    machine.add_source("only", 0.01, 0.0)
    machine.want(wanted, 0.0)
    machine.on_have("only", wanted[0], 0.0)
    now, sent = 0.0, 0
    while machine.wanted:
        now += 0.1
        assert now < 60, "it stays the source of all"
        for cid in asks(machine.poll(now, ROOM), "only"):
            sent += 1
            if sent % 20 == 0:
                machine.on_wrong("only", BLOCK, now)
            else:
                machine.on_block("only", cid, BLOCK, now)
    assert sent < 2 * len(wanted)
