"""What went over the connections in the last day."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cidery.libp2p.protocols.bandwidth_day import EVERY, KEPT, MAGIC, BadBandwidthDay, BandwidthDay, Spell

START = 6_000_000.0 * EVERY


def test_what_came_since_the_last_look_counts_for_the_spell_of_now() -> None:
    day = BandwidthDay()
    day.note(START, 0, 0)
    assert day.spells(START) == [], "a spell in which nothing went takes no room"
    day.note(START + 10, 100, 5)
    day.note(START + 20, 150, 5)
    day.note(START + EVERY, 151, 6)
    assert day.spells(START + EVERY) == [Spell(6_000_000, 150, 5), Spell(6_000_001, 1, 1)]


def test_a_day_is_kept_and_no_more() -> None:
    day = BandwidthDay()
    for count in range(3 * KEPT):
        day.note(START + count * EVERY, 7 * (count + 1), 0)
    end = START + (3 * KEPT - 1) * EVERY
    assert len(day.spells(end)) == KEPT and day.spells(end)[-1].number == int(end) // EVERY
    assert len(day.spells(end + EVERY * KEPT / 2)) == KEPT // 2
    assert day.spells(end + EVERY * KEPT) == []


def test_totals_of_a_new_start_and_a_clock_put_back_are_taken_as_they_are() -> None:
    day = BandwidthDay.decode(_day((6_000_000, 10, 20)))
    day.note(START, 3, 4)
    day.note(START - 10 * EVERY, 5, 4)
    assert day.spells(START) == [Spell(6_000_000, 15, 24)]


def _day(*spells: tuple[int, int, int]) -> bytes:
    return BandwidthDay(Spell(*one) for one in spells).encode()


def test_it_comes_back_from_its_bytes() -> None:
    spells = [(6_000_000 + at, at, at * at) for at in range(KEPT)]
    assert BandwidthDay.decode(_day(*spells)).spells(START + EVERY * (KEPT - 1)) == [Spell(*one) for one in spells]


@given(st.binary(max_size=100), st.booleans())
def test_any_bytes_are_a_day_or_its_own_error(data: bytes, begins: bool) -> None:
    try:
        BandwidthDay.decode(MAGIC + data if begins else data)
    except BadBandwidthDay:
        return
    raise AssertionError("a chance of one in four thousand million")


@pytest.mark.parametrize("cut", [1, 10, 27])
def test_a_file_cut_off_or_changed_is_refused(cut: int) -> None:
    data = _day((6_000_000, 1, 2), (6_000_001, 3, 4))
    for broken in (data[:-cut], data[:-cut] + b"\0" * cut, data[:25] + bytes([data[25] ^ 1]) + data[26:], b""):
        with pytest.raises(BadBandwidthDay):
            BandwidthDay.decode(broken)


def test_more_than_a_day_is_refused() -> None:
    import struct
    import zlib

    body = MAGIC + bytes(24) * (KEPT + 1)
    with pytest.raises(BadBandwidthDay):
        BandwidthDay.decode(body + struct.pack(">I", zlib.crc32(body)))
