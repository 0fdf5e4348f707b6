"""`cidery why` asks real peers, fetches nothing, and names who has it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from peers.cidery_daemon import CideryDaemon
from peers.line_peer import LinePeer
from peers.trees import write_file

ABSENT = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"


@pytest.mark.parametrize("name", ["kubo", "go", "helia"])
def test_a_real_peer_says_whether_it_has_it(
    cidery: Callable[..., CideryDaemon], request: pytest.FixtureRequest, tmp_path: Path, name: str
) -> None:
    peer: LinePeer = request.getfixturevalue(name)
    cid = peer.ask("add", str(write_file(tmp_path / "f", 3_000_000, seed=77)))["cid"]
    reader = cidery()
    reader.connect(peer.addr)
    found = [json.loads(line) for line in reader.run("why", "--enc=json", cid).splitlines()]
    answers = [one["Details"] for one in found if one["Type"] == "Peer"]
    assert answers[-1]["Answer"] in ("have", "block") and answers[-1]["Peer"] in peer.addr
    assert found[-1]["Details"]["Stage"] == "receiving"
    assert "stored here: no" in reader.run("why", cid)
    assert "1 peer asked: 1 does not have it" in reader.run("why", ABSENT)


def test_a_peer_without_bitswap_is_told_apart(cidery: Callable[..., CideryDaemon], pylibp2p: LinePeer) -> None:
    reader = cidery()
    reader.connect(pylibp2p.addr)
    assert "1 peer asked: 1 is gone or speaks no Bitswap" in reader.run("why", ABSENT)
