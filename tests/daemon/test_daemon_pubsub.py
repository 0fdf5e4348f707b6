"""Pubsub through the commands, the RPC and the Python methods; off unless it is asked for."""

import asyncio
import base64
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

import cidery
from cidery.core.pubsub import NamesNotByPubsub, PubsubOff
from cidery.pubsub.service import TooLong
from peers.cidery_daemon import CideryDaemon
from peers.line_peer import PeerFailed

FLAGS = ("--enable-pubsub-experiment", "--enable-namesys-pubsub")


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CideryDaemon]:
    with CideryDaemon(tmp_path_factory.mktemp("pubsub") / "on", options=FLAGS) as made:
        yield made


def url(node: CideryDaemon, path: str) -> str:
    host, port = (node.repo / "api").read_text().split("/")[2::2]
    return f"http://{host}:{port}/api/v0/{path}"


def post(node: CideryDaemon, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url(node, path), method="POST"), timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as exc:
        return exc.code, exc.read().decode()


def test_it_is_off_by_default_and_says_how_to_turn_it_on(tmp_path: Path) -> None:
    with CideryDaemon(tmp_path / "off") as off:
        with pytest.raises(PeerFailed, match=r"set Pubsub.Enabled to true .* --enable-pubsub-experiment"):
            off.run("pubsub", "ls")
        with pytest.raises(PeerFailed, match=r"set Ipns.UsePubsub to true .* --enable-namesys-pubsub"):
            off.run("name", "pubsub", "subs")
        assert off.run("name", "pubsub", "state") == "disabled\n"
        assert "/meshsub/1.2.0" not in off.run("id")


@pytest.mark.parametrize(
    ("key", "value"),
    [("DisableSigning", "true"), ("SeenMessagesTTL", '"10m"'), ("SeenMessagesStrategy", '"first-seen"')],
)
def test_what_is_not_obeyed_is_refused_by_name(tmp_path: Path, key: str, value: str) -> None:
    with pytest.raises(PeerFailed, match=f"Pubsub.{key} is set, but"):
        CideryDaemon(tmp_path / "node", {f"Pubsub.{key}": value})


def test_a_flag_can_turn_off_what_the_config_has_on(tmp_path: Path) -> None:
    config = {"Pubsub.Enabled": "true", "Pubsub.Router": '"floodsub"'}
    with CideryDaemon(tmp_path / "flood", config) as flood:
        said = flood.run("id")
        assert "/floodsub/1.0.0" in said and "/meshsub/1.2.0" not in said
        flood.close()
        flood.start("--enable-pubsub-experiment=false")
        assert "/floodsub/1.0.0" not in flood.run("id")


def test_topics_over_the_rpc_are_base64url_multibase(node: CideryDaemon) -> None:
    assert "/meshsub/1.2.0" in node.run("id")
    assert node.run("pubsub", "peers") == node.run("pubsub", "peers", "nobody") == node.run("pubsub", "ls") == ""
    assert json.loads(post(node, "pubsub/ls")[1]) == {"Strings": []}
    status, said = post(node, "pubsub/peers?arg=plain")
    assert status == 500 and "must be multibase encoded" in said  # as Kubo
    wrong = "U" + base64.urlsafe_b64encode(b"topic").decode()
    assert "base64url" in post(node, f"pubsub/peers?arg={wrong}")[1]
    assert json.loads(post(node, "pubsub/reset")[1]) == {"deleted": 0}
    assert json.loads(post(node, "name/pubsub/state")[1]) == {"Enabled": True}


def test_scripts_publish_and_hear(node: CideryDaemon) -> None:
    with cidery.open(node.repo) as api:
        messages = api.pubsub.subscribe("ünïcode")

        def when_followed() -> None:
            while "ünïcode" not in api.pubsub.topics():
                pass
            for data in (b"one\0", b"two"):
                api.pubsub.publish("ünïcode", data)

        thread = threading.Thread(target=when_followed)
        thread.start()
        first, second = next(messages), next(messages)
        thread.join()
        messages.close()
        assert (first.data, second.data) == (b"one\0", b"two")
        assert first.author == node.peer_id and first.topic == "ünïcode" and first.seqno < second.seqno
        assert api.pubsub.peers() == [] and api.pubsub.reset() == 0
        assert api.pubsub.names_by_pubsub() and not api.pubsub.cancel_name(node.peer_id)
        with pytest.raises(cidery.errors.LimitExceeded):
            api.pubsub.publish("big", bytes(2 << 20))


def test_an_embedded_node_and_a_daemon_hear_each_other_and_its_name(node: CideryDaemon, tmp_path: Path) -> None:
    async def main() -> None:
        async with cidery.Node(tmp_path / "off", profile="test") as off:
            with pytest.raises(PubsubOff):
                await off.pubsub.topics()
            with pytest.raises(NamesNotByPubsub):
                await off.pubsub.names()
            await off.config.set("Pubsub.Enabled", True)
            await off.config.set("Ipns.UsePubsub", True)
            await off.config.set("Routing.Type", "none")
        async with cidery.Node(tmp_path / "off") as embedded, asyncio.timeout(60):
            await embedded.swarm.connect(node.addr)
            messages = embedded.pubsub.subscribe("both")
            waiting = asyncio.ensure_future(anext(messages))
            while not post_peers(node):
                await asyncio.sleep(0.05)
            await asyncio.to_thread(publish_hello, node)
            assert (await waiting).data == b"hello"
            await messages.aclose()
            with pytest.raises(TooLong):
                await embedded.pubsub.publish("big", bytes(2 << 20))
            published = await embedded.name.publish("/ipfs/bafkqaaa", ttl=3600.0)
            assert await asyncio.to_thread(node.run, "name", "resolve", published.name) == "/ipfs/bafkqaaa\n"
            assert await embedded.pubsub.names() == [f"/ipns/{published.name}"]

    def post_peers(node: CideryDaemon) -> str:
        return node.run("pubsub", "peers", "both")

    def publish_hello(node: CideryDaemon) -> None:
        (tmp_path / "hello").write_bytes(b"hello")
        node.run("pubsub", "pub", "both", str(tmp_path / "hello"))

    asyncio.run(main())
