"""What a node's state says that somebody should look at."""

import time
from pathlib import Path

import pytest

from cidery.core.diagnosis.attention import Standing, Use, attention
from cidery.core.diagnosis.clock import clock_fault

SOUND = Standing(True, 12, 1, 0, 500, 1000, 10, 1000, 100, 5, 0, 0, (Use("connections", 12, 256),))


def test_a_sound_node_needs_nobody() -> None:
    assert attention(SOUND) == []
    assert attention(SOUND._replace(online=False, peers=0, reachable=0)) == [], "a node without network has no peers"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"disk_free": 40}, "the disk is nearly full"),
        ({"stored": 950}, "has nearly reached Datastore.StorageMax"),
        ({"peers": 0}, "no peer is connected"),
        ({"reachable": 0, "unreachable": 2}, "others cannot dial this node"),
        ({"late": 11}, "11 of 100 keys are announced too late"),
        ({"certificate": "broker: no"}, "no certificate for browsers, broker: no: cidery swarm addrs autonat"),
        ({"clock": "earlier than this program"}, "the clock is wrong, earlier than this program: names expire by it"),
        ({"interrupted": 2}, "2 jobs were interrupted"),
        ({"failed": 1}, "1 jobs have failed"),
        ({"uses": (Use("connections", 250, 256), Use("upload", 1, 100))}, "connections: 98 % of the budget is used"),
    ],
)
def test_each_fault_is_said_in_a_sentence_of_its_own(change: dict[str, object], said: str) -> None:
    (line,) = attention(SOUND._replace(**change))  # type: ignore[arg-type]
    assert said in line


def test_a_node_that_a_relay_leads_to_is_reached() -> None:
    behind = SOUND._replace(reachable=0, unreachable=2)
    assert attention(behind) and attention(behind._replace(relayed=True)) == []


def test_a_clock_behind_the_repository_is_wrong(tmp_path: Path) -> None:
    now = time.time()
    (tmp_path / "config").touch()
    assert clock_fault(tmp_path, now) == "" and clock_fault(tmp_path / "nothing yet", now) == ""
    assert clock_fault(tmp_path, now - 3600) == "earlier than files of the repository"
    assert clock_fault(tmp_path, 0.0) == "earlier than this program"


def test_what_is_not_known_is_no_fault() -> None:
    nothing = Standing(True, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, ())
    assert attention(nothing) == []
