"""The stage of a run in words."""

import pytest

from cidery.cli.watching import describe


def _report(stage: str, *sources: tuple[str, int]) -> dict[str, object]:
    return {"Stage": stage, "Sources": [{"Peer": peer, "Blocks": 1, "Bytes": size} for peer, size in sources]}


@pytest.mark.parametrize(
    ("report", "words"),
    [
        (_report("local"), "reading what is here"),
        (_report("finding"), "finding peers that have it"),
        (_report("asking", ("12D3KooWabcdefgh", 1)), "asking"),
        (_report("receiving", ("12D3KooWabcdefgh", 5)), "receiving, from ...abcdefgh"),
        (_report("stalled", ("x" * 20, 1), ("12D3KooWabcdefgh", 5)), "stalled, from ...abcdefgh and 1 more"),
    ],
)
def test_a_stage_is_said_in_a_few_words(report: dict[str, object], words: str) -> None:
    assert describe(report) == words
