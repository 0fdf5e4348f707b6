"""What the gateway says of content that did not come."""

import asyncio

import pytest

from cidery.exchange.failures import NoSourceHasIt
from cidery.exchange.stats import SessionStats
from cidery.gateway.bounded import Bounded, Limits
from cidery.gateway.errors import failed, notes_of
from cidery.gateway.outcome import outcome
from cidery.http.message import Request, Response
from cidery.multiformats.cid import CID
from cidery.testing.virtual_clock import run_virtual

CID_ = CID.parse("bafkreifzjut3te7nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e")


def stats(
    stage: str = "asking", sources: int = 0, lacking: int = 0, providers=(0, 0, 0), searched=False, sent: int = 0
):
    by_source = {f"peer{at}": (1, 1) for at in range(sent)}
    return SessionStats(stage, (0, 0), by_source, 0, (), sources, lacking, providers, searched)


@pytest.mark.parametrize(
    ("known", "said"),
    [
        (stats("local"), ""),
        (stats(), "No peer is connected that could be asked."),
        (stats(sources=1, lacking=1), "1 peer was asked: 1 does not have it."),
        (
            stats(sources=5, lacking=2, sent=1, searched=True),
            "5 peers were asked: 2 do not have it, 1 sent a part of it, 2 have not answered;"
            " no provider was found in the network.",
        ),
        (
            stats(sources=1, lacking=1, providers=(4, 1, 2), searched=True),
            "1 peer was asked: 1 does not have it;"
            " 4 providers were found in the network: 1 reached, 2 not reachable, 1 still being dialled.",
        ),
        (
            stats("finding", searched=True),
            "No peer is connected that could be asked; the search for providers has not found one yet.",
        ),
    ],
)
def test_it_says_who_was_asked_and_who_was_found(known: SessionStats, said: str):
    assert outcome(known) == said


def test_an_error_is_answered_with_its_note_for_programs_and_people():
    error = NoSourceHasIt(CID_, 2, "asking")
    error.add_note("2 peers were asked: <b>.")
    line = failed(error, Request("GET", "/"))
    assert line.status == 504 and isinstance(line.body, bytes) and line.body.endswith(b". 2 peers were asked: <b>.\n")
    page = failed(error, Request("GET", "/", {"accept": "text/html"}), html=True)
    assert isinstance(page.body, bytes) and b"2 peers were asked: &lt;b&gt;." in page.body


def test_a_wait_that_took_too_long_is_answered_with_the_note_of_the_session():
    async def handler(_: Request) -> Response:
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError as exc:
            exc.add_note("3 peers were asked.")
            raise
        raise AssertionError

    async def main():
        bounded = Bounded(handler, Limits(retrieval=1.0), html=True)
        request = Request("GET", "/", {"accept": "text/html"}, client="127.0.0.1", abort=lambda: None)
        answer = await bounded(request)
        assert answer.status == 504 and isinstance(answer.body, bytes)
        assert b"nothing came within 1 s" in answer.body and b"3 peers were asked." in answer.body
        assert answer.headers["Retry-After"] == "30"

    run_virtual(main())


def test_notes_are_told_once():
    first, second = ValueError(), RuntimeError()
    first.add_note("a")
    second.add_note("a")
    second.add_note("b")
    second.__cause__ = first
    assert notes_of(second) == ["a", "b"]
