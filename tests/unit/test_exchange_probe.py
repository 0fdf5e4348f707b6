"""Probes: who is asked, whose answers count, and that each change is told once."""

from cidery.exchange.probe import MAX_ASKED, HaveProbe
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import DAG_PB

ONE, OTHER = CID.of(b"one"), CID.of(b"other")


class Heard:
    """A probe, whom it asked and what it told."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.told: list[tuple[str, str]] = []
        self.probe = HaveProbe(
            ONE,
            ask=lambda probe, name: self.asked.append(name),
            on_answer=lambda name, answer: self.told.append((name, answer)),
        )
        assert not self.probe.waiting


def test_each_source_is_asked_and_waited_for():
    heard = Heard()
    heard.probe.on_source("a", 0.1)
    heard.probe.on_source("b", None)
    assert heard.asked == ["a", "b"] and heard.probe.waiting
    heard.probe.on_have("a", ONE)
    assert heard.probe.waiting
    heard.probe.on_dont_have("b", ONE)
    assert not heard.probe.waiting
    assert heard.probe.answers == {"a": "have", "b": "dont-have"}


def test_each_change_is_told_once_and_the_last_answer_counts():
    heard = Heard()
    heard.probe.on_source("a", 0.1)
    for _ in range(3):
        heard.probe.on_dont_have("a", ONE)
    heard.probe.on_have("a", ONE)
    heard.probe.turn()
    heard.probe.on_source_gone("a")
    assert heard.told == [("a", "waiting"), ("a", "dont-have"), ("a", "have"), ("a", "gone")]


def test_answers_about_other_blocks_and_of_sources_that_were_not_asked_do_not_count():
    heard = Heard()
    heard.probe.on_source("a", 0.1)
    heard.probe.on_have("a", OTHER)
    heard.probe.on_dont_have("a", OTHER)
    for tell in (heard.probe.on_have, heard.probe.on_dont_have):
        tell("stranger", ONE)
    heard.probe.on_source_gone("stranger")
    assert heard.probe.answers == {"a": "waiting"}


def test_a_small_block_instead_of_a_have_counts_as_wanted_under_any_codec():
    heard = Heard()
    heard.probe.on_source("a", 0.1)
    data = memoryview(b"one")
    assert not heard.probe.on_block("a", OTHER, data) and not heard.probe.on_block("stranger", ONE, data)
    assert heard.probe.on_block("a", CID(1, DAG_PB, ONE.multihash), data)
    assert heard.probe.answers == {"a": "block"}


def test_no_more_sources_are_asked_than_the_bound_but_one_that_returns_is_asked_again():
    heard = Heard()
    for at in range(MAX_ASKED + 5):
        heard.probe.on_source(f"peer {at}", None)
    assert len(heard.asked) == MAX_ASKED
    heard.probe.on_source_gone("peer 0")
    heard.probe.on_source("peer 0", None)
    assert len(heard.asked) == MAX_ASKED + 1 and heard.probe.answers["peer 0"] == "waiting"
