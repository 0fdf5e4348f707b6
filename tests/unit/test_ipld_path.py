"""Paths inside of one block: how far they lead, and what is said where they lead nowhere."""

import pytest

from cidery.ipld.data_model import Value
from cidery.ipld.path import NoSuchPath, Reached, follow, leads_to
from cidery.multiformats.cid import CID

HERE, THERE = CID.of(b"here"), CID.of(b"there")
VALUE: Value = {"list": [10, {"deep": True}, THERE], "link": THERE, "text": "x", "": 1}


@pytest.mark.parametrize(
    ("path", "reached"),
    [
        ([], Reached(VALUE, 0)),
        (["text"], Reached("x", 1)),
        ([""], Reached(1, 1)),
        (["list", "0"], Reached(10, 2)),
        (["list", "1", "deep"], Reached(True, 3)),
        (["link"], Reached(THERE, 1)),
        (["link", "beyond", "it"], Reached(THERE, 1)),
        (["list", "2", "beyond"], Reached(THERE, 2)),
    ],
)
def test_a_path_leads_to_a_value_or_to_the_first_link(path: list[str], reached: Reached):
    assert follow(HERE, VALUE, path) == reached


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (["other"], f"no link named 'other' under {HERE}"),
        (["list", "3"], "(a list of 3)"),
        (["list", "-1"], "(a list of 3)"),
        (["list", "\u0661"], "(a list of 3)"),
        (["list", "0" * 10], "(a list of 3)"),
        (["list", "one"], "(a list of 3)"),
        (["text", "below"], "has nothing below)"),
    ],
)
def test_a_path_that_leads_nowhere_says_where_it_ends(path: list[str], message: str):
    with pytest.raises(NoSuchPath) as caught:
        follow(HERE, VALUE, path)
    assert str(caught.value).endswith(message)
    assert (caught.value.cid, caught.value.name) == (HERE, path[-1])


def test_a_name_means_a_key_by_its_text_and_a_position_by_its_number():
    assert leads_to("a", "a") and leads_to("1", "1") and leads_to(1, "1") and leads_to(1, "01")
    assert not leads_to("a", "b") and not leads_to(1, "2") and not leads_to(1, "one")
