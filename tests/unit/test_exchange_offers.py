"""A complete source that has nothing to do offers what readers are asked for. Virtual time."""

from session_commands import asks, cancels, probes

from cidery.exchange.commands import Heard, Outbox
from cidery.exchange.moves import CROSSING, LATE, LEAST_STAY
from cidery.exchange.questions import TOLD_SEEDS, Questions
from cidery.exchange.session import FetchSession
from cidery.exchange.source import Source
from cidery.exchange.waits import SessionWaits
from cidery.exchange.wants import Wants
from cidery.multiformats.cid import CID
from cidery.testing.scripted_source import READ_AHEAD

ROOM = READ_AHEAD
SIZE = 256 * 1024
QUEUED = 8.0
"""Seconds for which the first block waited in the line of the complete source."""
LATER = QUEUED + 1.0
MOVED = LATER + CROSSING + 0.1
FIRST, SECOND, THIRD = (CID.of(bytes([at])) for at in range(3))


def crowd() -> FetchSession:
    """The complete source "seed" sent a block after a long wait; then "reader" is asked for another."""
    machine = FetchSession(SessionWaits(), 0.0)
    for name in ("seed", "reader"):
        machine.add_source(name, 0.01, 0.0)
    machine.want([FIRST], 0.0)
    machine.on_have("seed", FIRST, 0.0)
    assert asks(machine.poll(0.0, ROOM), "seed") == [FIRST]
    assert machine.on_block("seed", FIRST, SIZE, QUEUED)
    machine.on_reader("reader", QUEUED)
    machine.want([SECOND], QUEUED)
    machine.on_have("reader", SECOND, QUEUED)
    return machine


def told() -> FetchSession:
    """The seed answers that it has what the reader is asked for."""
    machine = crowd()
    commands = machine.poll(QUEUED, ROOM)
    assert asks(commands, "reader") == [SECOND] and probes(commands, "seed") == [SECOND]
    machine.on_have("seed", SECOND, QUEUED + 0.1)
    assert not cancels(machine.poll(QUEUED + 0.1, ROOM), "reader"), "it may have others in its line"
    return machine


def test_a_complete_source_that_gave_is_told_of_what_a_reader_is_asked_for():
    commands = crowd().poll(QUEUED, ROOM)
    assert asks(commands, "reader") == [SECOND] and probes(commands, "seed") == [SECOND]


def test_one_that_gave_nothing_is_not_told():
    machine = crowd()
    machine.add_source("silent", 0.01, QUEUED)
    machine.on_have("silent", SECOND, QUEUED)
    assert not probes(machine.poll(QUEUED, ROOM), "silent")


def test_only_some_of_many_are_told():
    wants, out = Wants(), Outbox()
    wants.add([FIRST])
    questions = Questions(wants, out)
    for at in range(2 * TOLD_SEEDS):
        seed = Source(f"seed {at}", 0.01)
        seed.has_any, seed.stalled = True, not at
        questions.gave(seed)
    questions.tell_seeds(FIRST)
    assert len(out.take(wants)) == TOLD_SEEDS - 1, "one of the first does not answer"


def test_what_a_source_offers_that_never_gave_anything_stays_where_it_is():
    machine = told()
    machine.add_source("claims", 0.01, QUEUED)
    for now in (LATER, LATER + 0.3):
        machine.on_have("claims", SECOND, now)
        assert not cancels(machine.poll(now, ROOM), "reader")


def test_what_it_offers_leaves_the_line_of_a_reader_however_long_it_was_waited_for_before():
    machine = told()
    machine.on_have("seed", SECOND, LATER)
    assert cancels(machine.poll(LATER, ROOM), "reader") == [SECOND]
    assert asks(machine.poll(MOVED, ROOM), "seed") == [SECOND]
    assert machine.on_block("seed", SECOND, SIZE, MOVED + 0.5)
    source = machine.sources["seed"]
    assert source.rate == source.idle_rate == SIZE / 0.5, "and that is how fast it is"


def test_its_offer_is_taken_if_it_is_twice_as_soon_as_the_reader_without_waits_in_its_line():
    for seconds, taken in ((60.0, False), (0.6, False), (0.4, True)):
        machine = told()
        machine.sources["seed"].idle_rate = SIZE / seconds
        machine.on_have("seed", SECOND, LATER)
        assert cancels(machine.poll(LATER, ROOM), "reader") == ([SECOND] if taken else [])


def test_how_fast_a_source_is_without_waits_is_measured_from_the_first_bytes_of_a_message():
    source = Source("seed", 0.01)
    for cid in (FIRST, SECOND):
        source.asked(cid, 0.0)
    source.hears(7.0, 7.0, frozenset((FIRST, SECOND)), 7.0)
    source.received(FIRST, SIZE, 8.0)
    assert source.rate == SIZE / 8 and source.idle_rate == 2 * SIZE, "two blocks in a second"


def test_of_what_a_reader_brings_slowly_the_rest_is_asked_of_one_that_was_measured():
    for rate, left, takes in ((SIZE, 20.0, True), (0.0, 20.0, False), (SIZE, LATE, False), (SIZE, float("inf"), False)):
        machine = told()
        machine.sources["seed"].idle_rate = rate
        machine.on_bytes("reader", Heard(LATER, LATER, frozenset((SECOND,)), LATER + left), LATER)
        machine.on_have("seed", SECOND, LATER)
        commands = machine.poll(LATER, ROOM)
        assert asks(commands, "seed") == cancels(commands, "reader") == ([SECOND] if takes else [])


def test_a_reader_does_not_take_over_what_another_brings():
    for coming in (frozenset[CID](), frozenset((SECOND,))):
        machine = told()
        machine.add_source("other", 0.01, QUEUED)
        machine.on_reader("other", QUEUED)
        machine.on_have("other", SECOND, QUEUED + 0.1)
        other = machine.sources["other"]
        other.rate = other.idle_rate = other.credit = 10 * SIZE
        machine.on_bytes("reader", Heard(LATER, LATER, coming, LATER + 20), LATER)
        machine.on_have("other", SECOND, LATER)
        assert bool(cancels(machine.poll(LATER, ROOM), "reader")) is not bool(coming)


def test_a_want_that_left_it_for_a_reader_is_told_to_it_again():
    machine = told()
    machine.on_have("seed", SECOND, LATER)
    machine.poll(LATER, ROOM)
    assert asks(machine.poll(MOVED, ROOM), "seed") == [SECOND]
    machine.on_bytes("seed", Heard(0.0, MOVED + QUEUED), MOVED + QUEUED)  # it lives
    machine.add_source("other", 0.01, MOVED)
    machine.on_reader("other", MOVED)
    machine.on_have("other", SECOND, MOVED + QUEUED)
    assert cancels(machine.poll(MOVED + QUEUED, ROOM), "seed") == [SECOND]
    commands = machine.poll(MOVED + QUEUED + LEAST_STAY + CROSSING, ROOM)
    assert asks(commands, "other") == [SECOND] and probes(commands, "seed") == [SECOND]
