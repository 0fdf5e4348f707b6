"""Nodes whose network comes up behind: what is stored is used before, what needs peers waits, and nothing is lost."""

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import cidery
from cidery.errors import Unavailable
from cidery.multiformats.cid import CID
from cidery.multiformats.multiaddr import Multiaddr
from cidery.multiformats.multicodec import RAW
from cidery.node import behind
from cidery.node.create import create_repository

ABSENT = CID.of(b"nobody has this", RAW)


@pytest.fixture
def taken_port() -> Iterator[int]:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        yield listener.getsockname()[1]


def repository(path: Path, port: int, **sections: object) -> Path:
    create_repository(path, profiles=["test"])
    config = json.loads((path / "config").read_text())
    config["Addresses"]["Swarm"] = [f"/ip4/127.0.0.1/tcp/{port}"]
    (path / "config").write_text(json.dumps({**config, **sections}))
    return path


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port: int = listener.getsockname()[1]
        return port


def test_an_opened_node_becomes_reachable_by_itself(tmp_path: Path) -> None:
    port = free_port()
    path = repository(tmp_path / "repo", port)

    async def fetched(cid: CID, peer: str) -> bytes:
        async with cidery.Node(tmp_path / "other", profile="test") as other:
            await other.api.online.connect(Multiaddr.parse(f"/ip4/127.0.0.1/tcp/{port}/p2p/{peer}"))
            return b"".join([bytes(chunk) async for chunk in other.cat(cid)])

    with cidery.open(path) as node:
        cid = node.add(b"from a node that is only open")
        for _ in range(10_000):  # each is a try of the system's to connect
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
        assert asyncio.run(fetched(cid, node.peer_id())) == b"from a node that is only open"


async def test_a_read_of_what_is_elsewhere_waits_for_the_network(tmp_path: Path) -> None:
    async with cidery.Node(tmp_path / "other", profile="test") as other:
        cid = await other.add(bytes(3_000_000))
        (addr,) = other.api.online.listen_addrs()
        peering = [{"ID": await other.peer_id(), "Addrs": [addr]}]
        path = repository(tmp_path / "repo", 0, Peering={"Peers": peering})
        async with cidery.Node(path, network_first=False) as node:
            assert node.api.network is None
            own = await node.add(b"own")
            assert [bytes(chunk) async for chunk in node.cat(own)] == [b"own"]
            assert b"".join([bytes(chunk) async for chunk in node.cat(cid)]) == bytes(3_000_000)
            assert node.api.network is not None


def test_a_port_in_use_is_told_by_what_needs_the_network(tmp_path: Path, taken_port: int) -> None:
    path = repository(tmp_path / "repo", taken_port)
    with cidery.open(path) as node:
        cid = node.add(b"stored")
        with pytest.raises(Unavailable, match=str(taken_port)):
            node.read(ABSENT)
        assert node.read(cid) == b"stored"


async def test_a_port_in_use_is_told_at_the_end_if_nothing_needed_the_network(
    tmp_path: Path, taken_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    path = repository(tmp_path / "repo", taken_port)
    node = cidery.Node(path, network_first=False)
    with pytest.raises(Unavailable, match=str(taken_port)):
        async with node:
            await node.add(b"stored")
            arrival = node.api._parts.arrival
            assert arrival is not None
            with pytest.raises(Unavailable):
                await asyncio.shield(arrival._network)  # unseen by the node
    assert "cannot be started" in caplog.text
    with pytest.raises(KeyError):
        async with node:
            await asyncio.wait([node.api._parts.arrival._network])  # type: ignore[union-attr]
            raise KeyError("the body's own error is not hidden")


def test_a_node_that_is_closed_at_once_leaves_nothing(tmp_path: Path) -> None:
    path = repository(tmp_path / "repo", free_port())
    code = f"import cidery\nfor _ in range(3):\n    cidery.open({str(path)!r}).close()\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


async def test_what_is_pinned_before_the_network_is_up_is_announced_as_what_comes_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin, imported = asyncio.Event(), behind._imported

    async def later() -> None:
        await begin.wait()
        await imported()

    monkeypatch.setattr(behind, "_imported", later)
    path = repository(tmp_path / "repo", 0, Routing={"Type": "dhtserver"})
    async with cidery.Node(path, network_first=False) as node:
        before = await node.add(b"before")
        begin.set()
        await node.api.arrived()
        after = await node.add(b"after")
        announcing = node.api.network.announcing  # type: ignore[union-attr]
        assert announcing is not None and {before.multihash, after.multihash} <= set(announcing._urgent)


def test_a_name_is_resolved_with_the_network(tmp_path: Path, taken_port: int) -> None:
    path = repository(tmp_path / "repo", taken_port)
    with cidery.open(path) as node, pytest.raises(Unavailable, match=str(taken_port)):
        node.read(f"/ipns/{node.peer_id()}")
