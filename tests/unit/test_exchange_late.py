"""Begun blocks that take long, of which an idle source is asked for the rest."""

import pytest

from asked_wants import asked_of
from cidery.exchange import choice
from cidery.exchange.moves import CROSSING, LATE, LEAST_STAY, Moves
from cidery.exchange.source import Source
from cidery.exchange.waits import SessionWaits
from cidery.exchange.wants import Want, Wants
from cidery.multiformats.cid import CID

BLOCK = 256 * 1024
NOW = 1.0
FIRST, SECOND, THIRD = (CID.of(bytes([at])) for at in range(3))


def slow(name: str, *owed: CID, ends_at: float = 60.0, coming: frozenset[CID] | None = None) -> Source:
    """A source that is bringing the first of what it owes, until then."""
    made = Source(name, 0.01)
    for cid in owed:
        made.asked(cid, 0.0)
    made.hears(NOW, NOW, coming, NOW, ends_at)
    return made


def fast(name: str) -> Source:
    """A source that brings a block in a tenth of a second."""
    made = Source(name, 0.01)
    made.asked(THIRD, 0.0)
    made.received(THIRD, BLOCK, 0.1)
    return made


def taken_over(wants: Wants, givers: list[Source], takers: list[Source], now: float = NOW) -> list[tuple[CID, str]]:
    def choose(want: Want, able: choice.Able, but: str) -> Source | None:
        return choice.choose(want, able, (but,), lambda: 0.5)

    moves = Moves(SessionWaits())
    return [(cid, taker.name) for _, cid, taker in moves.late(wants, [*givers, *takers], takers, choose, now)]


@pytest.mark.parametrize("coming", [frozenset((FIRST,)), None])
def test_the_rest_is_asked_of_a_source_that_has_nothing_else_to_do(coming):
    giver = slow("slow", FIRST, SECOND, coming=coming)
    assert taken_over(asked_of(giver), [giver], [fast("fast")]) == [(FIRST, "fast")]


def test_each_idle_source_takes_one():
    givers = [slow("slow", FIRST), slow("slower", SECOND)]
    assert taken_over(asked_of(*givers), givers, [fast("fast")]) == [(FIRST, "fast")]
    took = taken_over(asked_of(*givers), givers, [fast("fast"), fast("other")])
    assert {cid for cid, _ in took} == {FIRST, SECOND} and {name for _, name in took} == {"fast", "other"}


def test_it_stays_where_it_will_be_whole_soon():
    taker = fast("fast")
    soon = NOW + LATE * (taker.cost() + CROSSING)
    for ends_at, moves in ((soon - 0.01, False), (soon + 0.01, True), (float("inf"), False)):
        giver = slow("slow", FIRST, ends_at=ends_at)
        assert bool(taken_over(asked_of(giver), [giver], [taker])) is moves


def test_it_stays_while_anything_else_is_to_be_asked_for():
    giver = slow("slow", FIRST)
    wants = asked_of(giver)
    wants.add([SECOND])
    wants.fill()
    assert not taken_over(wants, [giver], [fast("fast")])


def test_it_stays_in_a_crowd():
    giver, reader = slow("slow", FIRST), Source("reader", 0.01)
    reader.partial = True
    assert not taken_over(asked_of(giver), [giver, reader], [fast("fast")])


def test_it_stays_if_it_is_not_known_how_fast_the_other_is_or_it_was_asked_just_now():
    giver = slow("slow", FIRST)
    assert not taken_over(asked_of(giver), [giver], [Source("unknown", 0.01)])
    assert not taken_over(asked_of(giver), [giver], [fast("fast")], LEAST_STAY)


def leaving(giver: Source) -> tuple[Moves, Wants, dict[str, Source]]:
    """Of one want of a source that is cancelled and heard of."""
    moves, wants = Moves(SessionWaits()), asked_of(giver)
    moves.begin(giver, FIRST, NOW)
    return moves, wants, {giver.name: giver}


def test_what_is_on_its_way_when_its_cancel_is_heard_is_asked_of_another_once_it_comes_no_more():
    giver = slow("slow", FIRST, coming=frozenset((FIRST,)))
    moves, wants, sources = leaving(giver)
    assert moves.due(wants, sources, NOW + 0.5) == []
    giver.hears(NOW + 0.5, NOW + 0.5, frozenset(), NOW + 0.5)  # its source has ended the message
    assert moves.next_at is not None and moves.next_at < NOW + 1.0
    assert moves.due(wants, sources, NOW + 0.6) == [(giver, FIRST, "")]
    assert moves.due(wants, sources, NOW + 0.7) == []


def test_the_rest_of_what_is_on_its_way_after_its_cancel_is_asked_of_another_as_of_any():
    giver = slow("slow", FIRST, coming=frozenset((FIRST,)))
    moves, wants, sources = leaving(giver)
    moves.due(wants, sources, NOW + 0.5)
    taker = fast("fast")
    assert [one for *_, one in moves.late(wants, [giver, taker], [taker], lambda *_: taker, NOW + 0.5)] == [taker]
