"""At the end the block that one source is bringing is shared with one that has nothing to do."""

from functools import partial

import pytest
from session_commands import asks, cancels

from asked_wants import asked_of
from cidery.exchange.commands import Heard, Share
from cidery.exchange.moves import LEAST_PAUSE
from cidery.exchange.session import FetchSession
from cidery.exchange.shares import LEAST_SHARE, End, Shares
from cidery.exchange.source import Source
from cidery.exchange.waits import SessionWaits
from cidery.exchange.wants import Wants
from cidery.multiformats.cid import CID

BLOCK = 1024 * 1024
RATE = 1_000_000
ROUND_TRIP = 0.1
NOW = 10.0
HAD, FIRST, SECOND, THIRD = (CID.of(bytes([at])) for at in range(4))


def known(name: str, round_trip: float = ROUND_TRIP) -> Source:
    """A source that has sent a block of which it said before that it would come, in a second."""
    made = Source(name, round_trip)
    made.asked(HAD, NOW - 3.0)
    made.hears(NOW - 2.5, NOW - 2.5, frozenset((HAD,)), NOW - 2.5, NOW - 2.0, BLOCK // 2)
    made.received(HAD, RATE, NOW - 2.0)
    made.hears(NOW - 2.0, NOW - 2.0, frozenset(), NOW - 2.0)
    return made


def bringing(name: str, cid: CID, missing: int, *more: CID) -> Source:
    """One that brings a block, at RATE."""
    made = known(name)
    for one in (cid, *more):
        made.asked(one, NOW - 1.0)
    for now in (NOW - 0.5, NOW):
        made.hears(now, now, frozenset((cid,)), now, NOW + missing / RATE, missing)
    return made


asked = partial(asked_of, at=NOW - 1.0)


def stays(cid: CID) -> bool:
    return False


def found(giver: Source, *takers: Source, wants: Wants | None = None) -> list[End]:
    return list(Shares().found(wants or asked(giver), [giver, *takers], [giver, *takers], stays, NOW))


def test_both_come_to_their_ends_at_the_same_time():
    giver, taker = bringing("giver", FIRST, 900_000), known("taker")
    (end,) = found(giver, taker)
    assert end[:3] == (giver, taker, FIRST)
    first, other = (giver.missing - end.size) / RATE, ROUND_TRIP + end.size / taker.rate
    assert first == pytest.approx(other, abs=0.05) and first < 0.55


def test_the_one_that_would_bring_most_of_it_is_asked_and_another_gets_another_block():
    giver, near, far = bringing("giver", FIRST, 900_000), known("near", 0.01), known("far")
    assert [end.taker for end in found(giver, far, near)] == [near]
    late = bringing("late", SECOND, 1_000_000)
    shares, every = Shares(), [giver, late, near, far]
    assert [(end.giver, end.taker) for end in shares.found(asked(giver, late), every, every, stays, NOW)] == [
        (late, near),
        (giver, far),
    ]
    assert not list(shares.found(asked(giver, late), every, every, stays, NOW)), "each once"


def test_nothing_is_shared_while_anything_else_is_to_be_asked_for_or_in_a_crowd():
    giver, taker = bringing("giver", FIRST, 900_000), known("taker")
    wants = asked(giver)
    wants.add([THIRD])
    wants.fill()
    assert not found(giver, taker, wants=wants)
    taker.partial = True
    assert not found(giver, taker)


@pytest.mark.parametrize("why", ["nothing known", "foretells nothing", "denied it", "busy", "asked whether"])
def test_who_cannot_bring_the_end_is_not_asked_for_it(why):
    giver, taker = bringing("giver", FIRST, 900_000), known("taker")
    wants = asked(giver)
    match why:
        case "nothing known":
            taker.rate = 0.0
        case "foretells nothing":
            taker.foretells = False
        case "denied it":
            wants.all[FIRST].denied.add("taker")
        case "busy":
            taker.asked(SECOND, NOW)
        case "asked whether":
            taker.probed.add(SECOND)
    assert not found(giver, taker, wants=wants)


def test_a_block_is_left_to_its_source_that_comes_soon_or_is_not_known_to_come_or_has_left_it():
    taker = known("taker")
    assert not found(bringing("giver", FIRST, 2 * LEAST_SHARE), taker), "what is spared is not worth it"
    unknown = bringing("giver", FIRST, 900_000)
    unknown.hears(NOW, NOW, None, NOW, NOW + 1.0, 900_000)
    assert not found(unknown, taker)
    several = bringing("giver", FIRST, 900_000, SECOND)
    several.hears(NOW, NOW, frozenset((FIRST, SECOND)), NOW, NOW + 1.0, 900_000)
    assert not found(several, taker)
    giver = bringing("giver", FIRST, 900_000)
    wants = asked(giver)
    every = [giver, taker]
    assert not list(Shares().found(wants, every, every, lambda cid: cid == FIRST, NOW)), "its cancel is on its way"
    wants.all[FIRST].source = "another"
    assert not found(giver, taker, wants=wants)


def test_nothing_is_shared_that_another_would_bring_sooner_by_itself():
    giver, taker, fast = bringing("giver", FIRST, 900_000), known("taker"), known("fast")
    wants, every = asked(giver), [giver, taker, fast]
    fast.asked(SECOND, NOW)
    assert len(list(Shares().found(wants, every, [giver, taker], stays, NOW))) == 1
    fast.rate = 10 * RATE
    assert not list(Shares().found(wants, every, [giver, taker], stays, NOW))


def test_who_could_not_hear_in_time_where_to_stop_shares_nothing():
    giver = bringing("giver", FIRST, 900_000)
    giver.least_delay = 1.0
    assert not found(giver, known("taker"))


def test_one_that_is_idle_in_a_round_trip_is_asked_now_and_looked_at_then_if_it_is_later():
    giver, shares = bringing("giver", FIRST, 900_000), Shares()
    soon = bringing("soon", SECOND, int(0.9 * ROUND_TRIP * RATE))
    (end,) = shares.found(asked(giver, soon), [giver, soon], [soon], stays, NOW)
    assert end.taker is soon and shares.next_at is None
    later, shares = bringing("later", SECOND, int(2 * ROUND_TRIP * RATE)), Shares()
    assert not list(shares.found(asked(giver, later), [giver, later], [later], stays, NOW))
    assert shares.next_at == pytest.approx(NOW + ROUND_TRIP)


def test_what_has_just_begun_to_come_is_looked_at_again():
    giver, taker, shares = bringing("giver", FIRST, 900_000), known("taker"), Shares()
    giver.hears(NOW, NOW, frozenset((SECOND,)), NOW - 0.05, NOW + 60.0, 900_000)
    assert not list(shares.found(asked(giver), [giver, taker], [taker], stays, NOW)), "by its first bytes it comes late"
    assert shares.next_at == NOW + LEAST_PAUSE
    giver.hears(NOW, NOW, frozenset((FIRST,)), NOW)
    assert not list(shares.found(asked(giver), [giver, taker], [taker], stays, NOW))
    assert shares.next_at == NOW + LEAST_PAUSE
    list(shares.over(asked(giver), {}))
    assert shares.next_at is None


# --- in a session


def shared() -> tuple[FetchSession, Share]:
    """One whose last block is shared."""
    machine, cids = FetchSession(SessionWaits(), 0.0), [FIRST, SECOND, THIRD]
    for name in ("giver", "taker"):
        machine.add_source(name, 0.1, 0.0)
    machine.want(cids, 0.0)
    for name in ("giver", "taker"):
        machine.on_have(name, FIRST, 0.0)
    machine.poll(0.0, 64 * BLOCK)
    now = 0.0
    while machine.wanted > 1:
        now += 1.0
        for name, source in list(machine.sources.items()):
            if source.outstanding and machine.wanted > 1:
                cid = next(iter(source.outstanding))
                machine.on_bytes(name, Heard(now, now, frozenset((cid,)), now + 0.1, 100_000), now)
                machine.on_block(name, cid, BLOCK, now)
                machine.on_bytes(name, Heard(now, now), now)
        machine.poll(now, 64 * BLOCK)
    (cid,) = machine.wants()
    giver = machine.asked_of(cid) or ""
    for at in (now + 0.05, now + 0.2):
        machine.on_bytes(giver, Heard(at, at, frozenset((cid,)), now + 1.2, 900_000), at)
    sent = [one for one in machine.poll(now + 0.2, BLOCK) if isinstance(one, Share)]
    assert [(one.giver, one.cid) for one in sent] == [(giver, cid)] and sent[0].source != giver
    return machine, sent[0]


def test_the_end_completes_the_block_and_its_first_source_is_stopped():
    machine, (giver, taker, cid, size) = shared()
    assert machine.on_block(taker, cid, size, 2.3) and machine.has_had(cid)
    assert cancels(machine.poll(2.3, BLOCK), giver) == [cid]
    assert not any(source.outstanding for source in machine.sources.values())
    assert not machine.on_block(giver, cid, BLOCK, 2.4) and machine.duplicates == 1


def test_the_end_is_withdrawn_if_the_whole_block_came_first():
    machine, (giver, taker, cid, _) = shared()
    assert machine.on_block(giver, cid, BLOCK, 2.3)
    assert cancels(machine.poll(2.3, BLOCK), taker) == [cid]


def test_if_the_first_source_leaves_the_end_is_withdrawn_and_the_block_asked_of_another_once():
    machine, (giver, taker, cid, _) = shared()
    machine.remove_source(giver, 2.3)
    commands = machine.poll(2.3, BLOCK)
    assert cancels(commands, taker) == [cid] and asks(commands, taker) == [cid]
    assert machine.sources[taker].outstanding_bytes == machine.sources[taker].expected_block


@pytest.mark.parametrize("how", ["leaves", "denies", "lies"])
def test_if_the_end_does_not_come_its_first_source_is_asked_for_more_than_the_beginning(how):
    machine, (giver, taker, cid, _) = shared()
    match how:
        case "leaves":
            machine.remove_source(taker, 2.3)
        case "denies":
            machine.on_dont_have(taker, cid, 2.3)
        case "lies":
            machine.on_wrong(taker, BLOCK, 2.3)
    commands = machine.poll(2.3, BLOCK)
    assert asks(commands, giver) == [cid] and not cancels(commands, giver)
