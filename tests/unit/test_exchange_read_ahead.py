"""How far a session reads ahead."""

import pytest

from cidery.exchange.read_ahead import FIRST_WINDOW, MAX_TRACKED, READ_AHEAD, ReadAhead
from cidery.multiformats.cid import CID

BLOCK = 256 * 1024


def cid(number: int) -> CID:
    return CID.of(number.to_bytes(8, "big"))


def test_an_eager_session_has_room_for_what_memory_holds_whoever_reads():
    ahead = ReadAhead(paced=False)
    for at in range(1000):
        ahead.came(cid(at), BLOCK)
    assert ahead.room(0, 0) == READ_AHEAD and ahead.room(5, 10) == READ_AHEAD - 15


def test_a_paced_session_stops_at_its_first_window_when_nobody_reads():
    ahead, fetched = ReadAhead(paced=True), 0
    while ahead.room(0, 0) > 0:
        ahead.came(cid(fetched), BLOCK)
        fetched += 1
    assert fetched * BLOCK == FIRST_WINDOW
    ahead.took(cid(0), BLOCK)
    assert ahead.room(0, 0) == BLOCK


def test_more_is_asked_for_once_a_mebibyte_was_read_or_when_nothing_is_on_its_way():
    ahead = ReadAhead(paced=False)
    ahead.took(cid(0), BLOCK)
    assert not ahead.asks_on(1) and ahead.asks_on(0)
    asked = []
    for at in range(8):
        ahead.took(cid(at), BLOCK)
        asked.append(ahead.asks_on(1))
    assert asked == [False, False, False, True] * 2


@pytest.mark.parametrize("reads", [1, 10, 30, 100, 500])
def test_what_was_fetched_for_a_reader_that_waits_is_at_most_some_three_times_what_it_read(reads: int):
    ahead, came = ReadAhead(paced=True), 0
    for at in range(reads):
        if at == came:
            ahead.waits()  # it is faster than the network
            came += 1
        ahead.took(cid(at), BLOCK)
        while ahead.room(0, 0) > 0:
            ahead.came(cid(came), BLOCK)
            came += 1
    assert came * BLOCK <= 3 * reads * BLOCK + FIRST_WINDOW
    assert ahead.window <= READ_AHEAD


def test_a_reader_that_never_waits_keeps_the_first_window():
    ahead = ReadAhead(paced=True)
    for at in range(1000):
        ahead.came(cid(at), BLOCK)
        ahead.took(cid(at), BLOCK)
    assert ahead.window == FIRST_WINDOW


def test_blocks_that_the_reader_leaves_out_do_not_stop_it():
    ahead = ReadAhead(paced=True)
    for at in range(FIRST_WINDOW // BLOCK):
        ahead.came(cid(at), BLOCK)
    assert ahead.room(0, 0) <= 0
    ahead.waits()  # for another one
    assert ahead.room(0, 0) == FIRST_WINDOW


def test_the_account_is_bounded():
    ahead = ReadAhead(paced=True)
    for at in range(2 * MAX_TRACKED):
        ahead.came(cid(at), 1)
    assert ahead.room(0, 0) == FIRST_WINDOW - MAX_TRACKED
    assert not ahead.unread(cid(0)) and ahead.unread(cid(2 * MAX_TRACKED - 1))
