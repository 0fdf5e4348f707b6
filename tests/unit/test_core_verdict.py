"""From facts to what is going on and what to do."""

import pytest

from cidery.core.diagnosis.facts import (
    Announcement,
    Answer,
    Fact,
    Fetch,
    Hold,
    PeerAnswer,
    Pinned,
    ProviderAnswer,
    Reach,
    RouterAnswer,
    Standing,
    Stored,
)
from cidery.core.diagnosis.text import details_of, line_of
from cidery.core.diagnosis.verdict import Known, Verdict, verdict
from cidery.exchange.stats import SessionState, SourceState
from cidery.multiformats.cid import CID

ROOT, LEAF = CID.of(b"root"), CID.of(b"leaf")
NOW = 1_700_000_000.0
WHOLE = Stored(True, 4, 4 << 20, (), 0, complete=True)
PART = Stored(True, 3, 3 << 20, (LEAF,), 1, complete=True)
ABSENT = Stored(False, 0, 0, (ROOT,), 1, complete=True)
PINNED = Pinned((Hold("recursive"),), complete=True)
LOOSE = Pinned((), complete=True)
PUBLIC = Standing(Reach.REACHABLE, "3 or more peers dialled /ip4/1.2.3.4/tcp/4001", {}, 5)
BEHIND = Standing(
    Reach.UNREACHABLE, "3 or more peers could not dial /ip4/1.2.3.4/tcp/4001", {}, 5, ("TCP port 4001", "UDP port 4002")
)
LOCAL = Standing(Reach.LOCAL, "this node keeps to its local networks", {}, 1)
DHT = RouterAnswer("DHT wan", 0, 1.0, done=True, knows=20)
LONELY = DHT._replace(knows=0)
SOURCE = SourceState("peerA", "have", 7.0, 2, 2000, 3, stalled=True)


def judged(*facts: Fact, online: bool = True) -> Verdict:
    known = Known(ROOT, online)
    for fact in facts:
        known.learn(fact)
    return verdict(known, NOW)


def provider(peer: str, state: str, failure: str = "") -> ProviderAnswer:
    return ProviderAnswer(peer, ("DHT wan",), state, 1.0, failure)


def fetch(stage: str, *sources: SourceState) -> Fetch:
    return Fetch(SessionState(stage, ROOT, 3, (LEAF,), 2, 2000, 7.0, sources))


@pytest.mark.parametrize(
    ("facts", "stage", "says", "advises"),
    [
        ((ABSENT, LONELY), "finding", "the DHT knows no peer yet", "cidery swarm connect ADDRESS"),
        ((ABSENT,), "finding", "no router is asked", "cidery swarm connect ADDRESS"),
        (
            (ABSENT, DHT, PeerAnswer("peerA", Answer.DONT_HAVE, 0.1)),
            "finding",
            "None of 1 connected peer has it, and nobody announces it (DHT wan asked)",
            f"ask the owner to run cidery provide once {ROOT}",
        ),
        (
            (ABSENT, DHT._replace(router="https://cid.contact", knows=None, failure="no route")),
            "finding",
            "no router answered: no route",
            "check the network connection",
        ),
        ((ABSENT, DHT._replace(done=False)), "finding", "DHT wan has not answered", "a longer --timeout"),
        (
            (ABSENT, DHT, provider("peerB", "failed", "timed out"), provider("peerC", "failed", "refused")),
            "dialling",
            "The 2 providers found cannot be dialled: timed out",
            "cidery why CID there",
        ),
        ((ABSENT, DHT, provider("peerB", "dialling")), "dialling", "peerB cannot be reached so far", "--timeout"),
        (
            (ABSENT, DHT, provider("peerB", "connected"), PeerAnswer("peerB", Answer.WAITING, 9.0)),
            "asking",
            "peerB, said to have it, is connected but does not answer",
            "continues when they answer",
        ),
        (
            (ABSENT, DHT, provider("peerB", "connected"), PeerAnswer("peerB", Answer.DONT_HAVE, 0.1)),
            "asking",
            "peerB announced it, but now it says that it does not have it",
            "ask the owner whether it is still there",
        ),
        ((ABSENT, PeerAnswer("peerA", Answer.HAVE, 0.1)), "receiving", "peerA has it", f"cidery get {ROOT}"),
        ((PART, PeerAnswer("peerA", Answer.BLOCK, 0.1)), "receiving", "1 missing", f"cidery pin add {ROOT}"),
        ((ABSENT, fetch("stalled", SOURCE)), "stalled", "waits for peerA, silent for 7 s", "when they answer"),
        (
            (ABSENT, fetch("dialling"), DHT, provider("peerB", "failed", "timed out")),
            "dialling",
            "The provider found cannot be dialled",
            "cidery why CID there",
        ),
        ((WHOLE, LOOSE, PUBLIC), "stored", "No pin holds it", f"cidery pin add {ROOT}"),
        ((WHOLE, PINNED, BEHIND._replace(relayed="Others reach it so.")), "stored", "Others reach it so.", ""),
        ((WHOLE, PINNED, LOCAL._replace(relayed="Others reach it so.")), "stored", "Others reach it so.", ""),
        ((WHOLE, PINNED, BEHIND), "stored", "no relay has granted a reservation", "TCP port 4001 and UDP port 4002 to"),
        (
            (WHOLE, PINNED, Announcement("Routing.Type is none", "cidery config Routing.Type auto"), PUBLIC),
            "stored",
            "not announced: Routing.Type is none",
            "cidery config Routing.Type auto",
        ),
        ((WHOLE, PINNED, Announcement()), "stored", "no peer that serves the DHT is known", "cidery swarm connect"),
        ((WHOLE, PINNED, Announcement(known_peers=9)), "stored", "not announced", f"cidery provide once {ROOT}"),
        ((WHOLE._replace(damage="bad link"),), "incomplete", "bad link", "--heal"),
    ],
)  # fmt: skip
def test_each_state_has_its_sentence_and_its_advice(
    facts: tuple[Fact, ...], stage: str, says: str, advises: str
) -> None:
    found = judged(*facts)
    assert found.stage == stage and says in found.summary
    assert advises in " ".join(found.advice)


def test_who_announced_and_can_be_reached_has_nothing_to_do() -> None:
    told = Announcement(wanted=True, at=NOW - 7200, peers=20, due=NOW + 36_000, known_peers=9)
    found = judged(WHOLE, PINNED, PUBLIC, told)
    assert "It was announced to 20 peers 2 hours ago, next in 10 hours." in found.summary
    assert found.advice == ()


def test_a_local_node_is_not_told_to_announce_to_the_world() -> None:
    found = judged(WHOLE, PINNED, LOCAL, Announcement("Routing.Type is none", "cidery config Routing.Type auto"))
    assert "Only nodes near can get it" in found.summary and found.advice == ()


@pytest.mark.parametrize(("stored", "stage"), [(WHOLE, "stored"), (PART, "incomplete"), (ABSENT, "absent")])
def test_offline_the_daemon_is_what_is_missing(stored: Stored, stage: str) -> None:
    found = judged(stored, PINNED, online=False)
    assert found.stage == stage and "start the daemon" in found.advice[0]


def test_what_had_not_ended_is_noted() -> None:
    found = judged(ABSENT, DHT._replace(done=False, providers=2), provider("peerB", "dialling"))
    assert found.notes == ("DHT wan has not ended: 2 providers so far", "provider peerB is still being dialled")


def test_the_lines_and_the_json_say_the_same() -> None:
    assert line_of(PART, NOW) == f"stored here: in part, 3 blocks, 3.0 MiB, 1 missing: {LEAF}"
    assert details_of(PART)["Missing"] == [str(LEAF)] and details_of(PART)["MissingCount"] == 1
    held = Pinned((Hold("indirect", ROOT, "site", NOW + 180.0), Hold("files", LEAF)), complete=True)
    assert line_of(held, NOW) == (
        f"pinned: indirect through {ROOT} (site), ends in 3 minutes; by mutable files through {LEAF}"
    )
    lines = line_of(fetch("stalled", SOURCE), NOW).splitlines()
    assert lines[1] == "    peerA: 2 blocks, 3 owed, last answer have, silent for 7 s, stalled"
    assert details_of(fetch("stalled", SOURCE))["State"]["Sources"][0]["Stalled"] is True
    assert line_of(DHT._replace(failure="no route"), NOW) == "DHT wan: failed, no route"
    assert line_of(provider("peerB", "failed", "refused"), NOW) == "provider peerB cannot be dialled (1 s): refused"
    assert line_of(PeerAnswer("peerA", Answer.DONT_HAVE, 1.0), NOW) == ""
