"""Pubsub and IPNS over it with go-libp2p-pubsub and Kubo, both directions, through the commands."""

import base64
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from peers.cidery_daemon import CideryDaemon
from peers.installed import go_command, kubo_command
from peers.line_peer import LinePeer, PeerFailed
from peers.trees import write_file
from peers.waiting import until

Make = Callable[..., CideryDaemon]
ON = {"Pubsub.Enabled": "true"}
NAMES = {"Ipns.UsePubsub": "true", "Routing.Type": '"none"'}
TOPIC = "weather/today"
SECONDS = 30.0


@pytest.fixture(params=["gossip", "flood"])
def go(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LinePeer]:
    with LinePeer(go_command("--pubsub", request.param), tmp_path / "go.log") as peer:
        yield peer


@contextmanager
def subscribed(node: CideryDaemon, *options: str) -> Iterator[Callable[[], str]]:
    """``cidery pubsub sub``; yields a function that waits for its next line."""
    command, environment = node.command("pubsub", "sub", TOPIC, *options)
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None  # Popen was asked for a pipe
        try:
            yield process.stdout.readline
        finally:
            process.terminate()


def test_messages_go_both_ways(cidery: Make, go: LinePeer, tmp_path: Path) -> None:
    node = cidery(ON)
    node.connect(go.addr)
    go.ask("subscribe", TOPIC)
    until(lambda: go.peer_id in node.run("pubsub", "peers", TOPIC))
    note = tmp_path / "note"
    note.write_bytes(b"sun \xff\0")
    node.run("pubsub", "pub", TOPIC, str(note))
    one = go.ask("messages", TOPIC, 0, SECONDS)["messages"][0]
    assert base64.b64decode(one["data"]) == b"sun \xff\0"
    assert one["from"] == node.peer_id
    with subscribed(node, "--enc=json") as line:
        until(lambda: TOPIC in node.run("pubsub", "ls"))
        until(lambda: node.peer_id in go.ask("topic-peers", TOPIC)["peers"])
        for n in range(3):
            go.ask("pub", TOPIC, base64.b64encode(b"rain %d" % n).decode())
        told = [json.loads(line()) for _ in range(3)]
    assert [base64.urlsafe_b64decode(f"{one['data'][1:]}===") for one in told] == [b"rain %d" % n for n in range(3)]
    assert {one["from"] for one in told} == {go.peer_id}
    assert all(
        one["topicIDs"] == ["u" + base64.urlsafe_b64encode(TOPIC.encode()).rstrip(b"=").decode()] for one in told
    )
    until(lambda: node.peer_id not in go.ask("topic-peers", TOPIC)["peers"])


def test_large_and_empty_messages_pass_through_a_node_between_two_go_peers(cidery: Make, tmp_path: Path) -> None:
    node = cidery(ON)
    command = go_command("--pubsub", "gossip")
    with (
        LinePeer(command, tmp_path / "one.log") as one,
        LinePeer(command, tmp_path / "two.log") as two,
        subscribed(node) as line,
    ):
        node.connect(one.addr)
        node.connect(two.addr)
        for peer in (one, two):
            peer.ask("subscribe", TOPIC)
            until(lambda peer=peer: node.peer_id in peer.ask("topic-peers", TOPIC)["peers"])  # type: ignore[misc]
        until(lambda: len(node.run("pubsub", "peers", TOPIC).split()) == 2)
        sent = [b"", b"\n", b"x" * 900_000, b"end\n"]
        for n, data in enumerate(sent):
            one.ask("pub", TOPIC, base64.b64encode(data).decode())
            got = two.ask("messages", TOPIC, n, SECONDS)["messages"]
            assert [base64.b64decode(message["data"]) for message in got] == [data]
            assert {message["by"] for message in got} == {node.peer_id}
        assert line() == "\n"
        assert line() == "x" * 900_000 + "end\n"


def test_a_name_that_either_publishes_is_seen_by_the_other_within_a_second(cidery: Make, tmp_path: Path) -> None:
    node = cidery(NAMES)
    cids = [node.add(write_file(tmp_path / f"page{n}", 100 + n)) for n in range(3)]
    with LinePeer(go_command("--pubsub", "gossip", "--ipns-pubsub", "--dht", "off"), tmp_path / "go.log") as go:
        node.connect(go.addr)
        assert node.run("name", "pubsub", "state") == "enabled\n"
        name = node.run("name", "publish", "-Q", "--ttl=1h", f"/ipfs/{cids[0]}").strip()
        assert f"/ipns/{name}" in node.run("name", "pubsub", "subs")
        with pytest.raises(PeerFailed):
            go.ask("resolve", node.peer_id)  # it follows the name from now on, and fetches the record
        until(lambda: _resolved(go, node.peer_id) == f"/ipfs/{cids[0]}")
        node.run("name", "publish", "-Q", "--ttl=1h", f"/ipfs/{cids[1]}")
        published = time.monotonic()
        until(lambda: _resolved(go, node.peer_id) == f"/ipfs/{cids[1]}")
        assert time.monotonic() - published < 1.0

        theirs = go.ask("publish", cids[0], "self", 1)["name"]
        assert node.run("name", "resolve", theirs).strip() == f"/ipfs/{cids[0]}"
        go.ask("publish", cids[2], "self", 2)
        until(lambda: node.run("name", "resolve", theirs).strip() == f"/ipfs/{cids[2]}")
        assert node.run("name", "pubsub", "cancel", theirs) == "canceled\n"
        assert node.run("name", "pubsub", "cancel", theirs) == "no subscription\n"


def _resolved(go: LinePeer, name: str) -> str:
    try:
        return str(go.ask("resolve", name)["value"])
    except PeerFailed:
        return ""


def test_messages_go_both_ways_with_kubo_which_signs_by_rsa(cidery: Make, tmp_path: Path) -> None:
    node = cidery(ON)
    with LinePeer(kubo_command(tmp_path / "repo", "--pubsub"), tmp_path / "kubo.log") as kubo:
        node.connect(kubo.addr)
        kubo.ask("subscribe", TOPIC)
        until(lambda: kubo.peer_id in node.run("pubsub", "peers", TOPIC))
        note = tmp_path / "note"
        note.write_bytes(b"sun")
        node.run("pubsub", "pub", TOPIC, str(note))
        heard: list[dict[str, str]] = []
        until(lambda: (got := kubo.ask("message", TOPIC)["message"]) and not heard.append(got))
        assert (heard[0]["from"], base64.b64decode(heard[0]["data"])) == (node.peer_id, b"sun")
        with subscribed(node) as line:
            until(lambda: node.peer_id in kubo.ask("topic-peers", TOPIC)["peers"])
            kubo.ask("pub", TOPIC, "rain\n")
            assert line() == "rain\n"
