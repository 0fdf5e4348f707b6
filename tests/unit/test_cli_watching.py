"""The stage of a run in words."""

import pytest

from cidery.cli.watching import describe


def _report(stage: str, *sources: tuple[str, int], owing: tuple[str, ...] = ()) -> dict[str, object]:
    sent = [{"Peer": peer, "Blocks": 1, "Bytes": size} for peer, size in sources]
    return {"Stage": stage, "Sources": sent, "Owing": list(owing)}


@pytest.mark.parametrize(
    ("report", "words"),
    [
        (_report("local"), "reading what is here"),
        (_report("finding"), "finding peers that have it"),
        (_report("dialling"), "dialling peers that have it"),
        (_report("asking", owing=("12D3KooWabcdefgh",)), "asking ...abcdefgh"),
        (_report("asking"), "asking"),
        (_report("receiving", ("x" * 20, 1), ("12D3KooWabcdefgh", 5)), "receiving, from ...abcdefgh and 1 more"),
        (
            _report("stalled", ("x" * 20, 1), owing=("12D3KooWabcdefgh", "y" * 20)),
            "stalled, waiting for ...abcdefgh and 1 more",
        ),
        (_report("asking the routers for it"), "asking the routers for it"),
        (_report("done"), ""),
    ],
)
def test_a_stage_is_said_in_a_few_words(report: dict[str, object], words: str) -> None:
    assert describe(report) == words
