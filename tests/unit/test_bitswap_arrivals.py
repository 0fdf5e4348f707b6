"""When a message that is arriving will be whole."""

from math import inf

from cidery.bitswap.arrivals import Arrivals


def test_a_message_is_whole_when_the_rest_has_come_at_the_rate_so_far():
    arrivals = Arrivals()
    assert arrivals.ends_at("peer", 100, 300, 1.0, 1.0) == inf, "it is not known when it began"
    arrivals.begins("peer", "stream", 1.0)
    assert arrivals.ends_at("peer", 0, 400, 2.0, 2.0) == inf
    assert arrivals.ends_at("peer", 100, 300, 2.0, 2.0) == 5.0
    assert arrivals.ends_at("peer", 100, 300, 2.0, 4.9) == 5.0, "it comes in pieces"


def test_a_small_message_on_another_stream_does_not_end_one_that_is_arriving():
    arrivals = Arrivals()
    arrivals.begins("peer", "answers", 1.0)
    assert arrivals.look(2.0)
    assert not arrivals.ends("peer", "wants")
    assert arrivals.ends_at("peer", 100, 300, 2.0, 2.0) == 5.0 and arrivals.beside("other") == 1
    assert arrivals.ends("peer", "answers") and arrivals.beside("other") == 0


def test_one_that_should_be_whole_and_has_paused_comes_ever_later():
    arrivals = Arrivals()
    arrivals.begins("peer", "stream", 1.0)
    assert arrivals.ends_at("peer", 100, 300, 2.0, 6.0) == 6.0 + 3 * 5.0
    assert arrivals.ends_at("peer", 100, 300, 2.0, 9.0) == 9.0 + 3 * 8.0


def test_when_a_message_ends_as_another_has_begun_it_is_known_how_fast_that_comes():
    arrivals = Arrivals()
    arrivals.begins("a", "one", 1.0)
    arrivals.begins("a", "other", 2.0)
    arrivals.ends("a", "one")
    assert arrivals.ends_at("a", 100, 200, 4.0, 4.0) == 8.0
    arrivals.ends("a", "other")
    assert arrivals.ends_at("a", 100, 200, 3.1, 3.1) == inf
