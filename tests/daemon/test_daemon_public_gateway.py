"""A daemon whose gateway others can reach."""

import http.client
import json
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from peers.cidery_daemon import CideryDaemon


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[CideryDaemon, CideryDaemon]]:
    """One that has content, and one with a public gateway."""
    folder = tmp_path_factory.mktemp("public")
    config = {"Addresses.Gateway": '"/ip4/0.0.0.0/tcp/0"'}
    with CideryDaemon(folder / "owner") as owner, CideryDaemon(folder / "node", config) as node:
        node.connect(owner.addr)
        yield owner, node


def asked(node: CideryDaemon, target: str, client: str, method: str = "GET") -> tuple[int, bytes]:
    """As a proxy on this machine passes it on for a client."""
    connection = http.client.HTTPConnection("127.0.0.1", urlsplit((node.repo / "gateway").read_text()).port, timeout=60)
    try:
        connection.request(method, target, headers={"X-Forwarded-For": client})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_it_says_at_the_start_what_is_exposed_and_how_to_end_that(pair: tuple[CideryDaemon, CideryDaemon]) -> None:
    owner, node = pair
    said = "".join(node.said)
    assert "is public" in said and "Gateway.NoFetch" in said and "/ip4/0.0.0.0/tcp/" in said
    assert "is public" not in "".join(owner.said)


def test_a_stranger_gets_what_connected_peers_have_and_leaves_no_fetch_behind(
    pair: tuple[CideryDaemon, CideryDaemon], tmp_path: Path
) -> None:
    owner, node = pair
    (tmp_path / "file").write_bytes(os.urandom(3_000_000))
    cid = owner.add(tmp_path / "file")
    assert asked(node, f"/ipfs/{cid}", "203.0.113.5") == (200, (tmp_path / "file").read_bytes())
    assert json.loads(node.run("bitswap", "stat", "--enc", "json"))["Wantlist"] == []


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_no_command_answers_there(pair: tuple[CideryDaemon, CideryDaemon], method: str) -> None:
    for path in ("id", "add", "shutdown", "config/show", "pin/add?arg=bafkqaaa", "swarm/peers"):
        assert asked(pair[1], f"/api/v0/{path}", "203.0.113.5", method)[0] in (404, 405)


def test_who_was_asked_for_what_did_not_come_is_said(tmp_path: Path) -> None:
    config = {"Gateway.RetrievalTimeout": '"2s"'}
    with CideryDaemon(tmp_path / "owner") as owner, CideryDaemon(tmp_path / "node", config) as node:
        node.connect(owner.addr)
        missing = "bafkreifzjut3te7nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"
        status, body = asked(node, f"/ipfs/{missing}", "203.0.113.5")
        assert status == 504 and b"1 peer was asked: 1 does not have it" in body, body
