"""Where a session's wants are: in the queue, open, asked of a source, or barren."""

import pytest

from cidery.exchange.wants import MAX_SESSION_WANTS, WINDOW, Wants
from cidery.multiformats.cid import CID


def cids(count: int) -> list[CID]:
    return [CID.of(str(at).encode()) for at in range(count)]


def opened(count: int) -> tuple[Wants, list[CID]]:
    wants, wanted = Wants(), cids(count)
    wants.add(wanted)
    wants.fill()
    return wants, wanted


def test_wants_are_opened_in_their_order_as_far_as_the_window_reaches():
    wants, wanted = Wants(), cids(WINDOW + 10)
    wants.add(wanted)
    assert len(wants) == WINDOW + 10 and not wants.open
    assert wants.fill() == wanted[:WINDOW] and wants.fill() == []
    wants.ask(wanted[0], "a", 1.0)
    assert wants.fill() == [wanted[WINDOW]], "what is asked of a source makes room"


def test_a_want_that_is_repeated_changes_nothing_and_their_number_is_bounded():
    wants, wanted = Wants(), cids(MAX_SESSION_WANTS + 1)
    wants.add(wanted)
    wants.add(wanted[:5])
    assert len(wants) == MAX_SESSION_WANTS and wanted[-1] not in wants and wants.get(wanted[-1]) is None
    assert wants.first() == wanted[0] and list(wants.keys()) == wanted[:-1]


def test_the_first_of_no_wants_is_an_error():
    with pytest.raises(StopIteration):
        Wants().first()


def test_what_the_reader_needs_is_opened_before_the_others_whatever_the_window():
    wants, wanted = Wants(), cids(WINDOW + 10)
    wants.add(wanted)
    wants.fill()
    assert wants.need(wanted[-1]) and next(iter(wants.open)) == wanted[-1]
    assert not wants.need(wanted[3]) and next(iter(wants.open)) == wanted[3]
    assert len(wants.open) == WINDOW + 1 and wants.all[wanted[3]].needed


def test_what_is_asked_or_unknown_is_not_moved_by_need():
    wants, (cid,) = opened(1)
    wants.ask(cid, "a", 1.0)
    assert not wants.need(cid) and cid in wants.asked and wants.all[cid].needed
    assert not wants.need(CID.of(b"unknown")) and len(wants) == 1


def test_a_want_that_a_source_loses_comes_before_the_others():
    wants, wanted = opened(3)
    wants.ask(wanted[2], "a", 1.0)
    assert wants.all[wanted[2]].source == "a" and wants.all[wanted[2]].told.keys() == {"a"}
    wants.reopen(wanted[2], "a")
    assert list(wants.open) == [wanted[2], *wanted[:2]] and wants.all[wanted[2]].source is None


def test_what_another_source_says_does_not_take_a_want_from_the_one_asked():
    wants, (cid,) = opened(1)
    wants.ask(cid, "a", 1.0)
    wants.reopen(cid, "b")
    assert cid in wants.asked
    wants.reopen(CID.of(b"unknown"), "a")
    assert len(wants) == 1


def test_a_barren_want_is_opened_when_a_source_has_it_or_a_new_source_comes():
    wants, wanted = opened(3)
    for cid in wanted[:2]:
        wants.give_up(cid)
    assert list(wants.open) == wanted[2:] and wants.hard_to_find(1) == wanted[:1]
    wants.revive(wanted[1])
    assert list(wants.open) == [wanted[1], wanted[2]]
    wants.revive_all()
    assert list(wants.open) == [wanted[1], wanted[2], wanted[0]] and wants.hard_to_find(9) == []
    wants.revive(wanted[0])
    assert len(wants.open) == 3


@pytest.mark.parametrize("place", ["queue", "open", "asked", "barren"])
def test_what_is_done_is_gone_from_wherever_it_was(place):
    wants, (cid,) = Wants(), cids(1)
    wants.add([cid])
    if place != "queue":
        wants.fill()
    if place == "asked":
        wants.ask(cid, "a", 0.0)
    if place == "barren":
        wants.give_up(cid)
    assert wants.pop(cid) is not None and wants.pop(cid) is None
    assert not wants.fill() and not wants.open and not wants.asked and not wants.barren and cid not in wants


@pytest.mark.parametrize("place", ["queue", "open", "asked", "barren"])
def test_what_a_source_said_is_forgotten_with_it_wherever_the_want_is(place):
    wants, (cid,) = Wants(), cids(1)
    wants.add([cid])
    if place != "queue":
        wants.fill()
    if place == "asked":
        wants.ask(cid, "b", 0.0)
    if place == "barren":
        wants.give_up(cid)
    want = wants.all[cid]
    want.denied.update(("a", "b"))
    for names in (want.holders, want.told):
        names.update(dict.fromkeys(("a", "b")))
    wants.forget_source("a")
    assert want.holders.keys() == want.denied == want.told.keys() == {"b"}


def test_sources_are_asked_about_what_is_open_or_under_way_and_not_about_the_queue():
    wants, wanted = Wants(), cids(WINDOW + 3)
    wants.add(wanted)
    wants.fill()
    wants.ask(wanted[1], "a", 0.0)
    assert list(wants.visible()) == [wanted[0], *wanted[2:WINDOW], wanted[1]]


def test_what_is_needed_comes_first_then_what_few_have_then_by_chance():
    wants, wanted = opened(5)
    for cid, holders, salt in zip(wanted, ("abc", "ab", "a", "a", "ab"), (0.1, 0.2, 0.9, 0.3, 0.1), strict=True):
        wants.all[cid].holders.update(dict.fromkeys(holders))
        wants.all[cid].salt = salt
    assert wants.rarest_first() == [wanted[at] for at in (3, 2, 4, 1, 0)]
    wants.need(wanted[0])
    assert wants.rarest_first()[:2] == [wanted[0], wanted[3]]
