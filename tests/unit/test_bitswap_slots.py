"""How many peers are served at a time, by what was measured."""

from cidery.bitswap.slots import CLEAR_FROM, LEAST_SLOTS, MOST_SLOTS, UNUSED, Slots

MIB = 1024 * 1024


def rounds(machine: Slots, seconds: float, rate: float, line: float, *, wait: float = 0.0, now: float = 0.0) -> float:
    """Blocks of 1 MiB go to peers that each receive at ``rate``, over a ``line``; returns the time.

    The turns of all slots begin together, and nobody asks for the last of them for the first ``wait`` of each.
    """
    until = now + seconds
    while now < until:
        took = MIB / min(rate, line / machine.count)
        machine.note(0, now)
        machine.note(machine.count - 1, now + wait * took)
        machine.note(machine.count, now + took)
        began = [now] * machine.count
        now += took
        while began:
            started = began.pop()
            machine.ended(MIB, started, began, now, others_wait=True)
    return now


def test_of_a_line_that_is_far_from_full_twice_as_many_slots_are_tried_though_turns_are_slow():
    machine = Slots(0.0)
    counts = []
    now = 0.0
    for _ in range(12):
        now = rounds(machine, 0.1, MIB, 64 * MIB, now=now)
        counts.append(machine.count)
    assert counts[-1] >= 4 * CLEAR_FROM and 4 not in counts, "more than one at a time from some on"


def test_a_line_that_few_fill_is_not_tried_with_twice_as_many():
    machine, now, most = Slots(0.0), 0.0, 0
    while now < 120.0:
        now = rounds(machine, 0.1, MIB, 2 * MIB, now=now)
        most = max(most, machine.count)
    assert most == 3 and machine.count == 2


def test_that_a_slot_is_unused_for_a_moment_does_not_end_a_measurement():
    machine = Slots(0.0)
    rounds(machine, 30.0, MIB, 16 * MIB, wait=UNUSED / 2)
    assert machine.count >= 12


def test_what_slots_carry_is_measured_by_the_time_for_which_they_were_used():
    machine = Slots(0.0)
    machine.count = 2
    machine.note(1, 1.0)
    machine._bytes = 7.0 * MIB
    assert machine._rate([], 4.0) == 7 * MIB / 3.5


def test_a_measurement_counts_what_left_in_it_whenever_its_turns_began_and_end():
    machine = Slots(0.0)
    machine.count = 2
    machine.ended(MIB, -3.0, [-0.5], 1.0, others_wait=True)  # a quarter of it left since 0.0
    machine.ended(MIB, 1.0, [0.5], 2.0, others_wait=True)
    machine.ended(MIB, 0.5, [2.0], 2.5, others_wait=True)
    assert machine._rate([2.0], 2.5) == (2.25 * MIB + 0.5 * MIB * 3 / (4 + 1 + 2)) / 2.5


def test_nothing_is_tried_while_nobody_waits_for_a_slot():
    machine = Slots(0.0)
    for at in range(100):
        machine.note(1, at + 1.0)
        machine.ended(MIB, float(at), [], at + 1.0, others_wait=False)
        assert machine.count == LEAST_SLOTS


def test_turns_that_take_no_time_are_measured_by_the_clock():
    machine, now = Slots(0.0), 0.0
    for _ in range(2000):
        now += 0.01
        machine.note(0, now)
        machine.ended(MIB, now, [], now, others_wait=True)
    assert LEAST_SLOTS <= machine.count <= MOST_SLOTS
