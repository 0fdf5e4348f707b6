"""QUIC with real peers, both directions: connect, identify, ping, Bitswap, certificates, and peers that go away."""

import asyncio
import hashlib
import json
import os
import random
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cidery.blockstore.drive import drive
from cidery.blockstore.memory import MemoryStore
from cidery.budgets import UNPROVEN_HANDSHAKES
from cidery.identity.keys import PrivateKey
from cidery.libp2p.io import quic_transport
from cidery.multiformats.cid import CID
from cidery.multiformats.multiaddr import Multiaddr
from cidery.node.network import NodeNetwork
from cidery.unixfs.reader import read_file
from peers import installed
from peers.cidery_daemon import CideryDaemon
from peers.line_peer import LinePeer, PeerFailed
from peers.trees import digest, write_file

Make = Callable[..., CideryDaemon]
QUIC = "/ip4/127.0.0.1/udp/0/quic-v1"
ONLY_QUIC = {"Addresses.Swarm": json.dumps([QUIC])}
BOTH = {"Addresses.Swarm": json.dumps(["/ip4/127.0.0.1/tcp/0", QUIC])}
LARGE = 64 * 1024 * 1024
CUT = 24 * 1024 * 1024
"""Two seconds at the limit that the source has: long enough to be cut."""


def _kubo(folder: Path) -> list[str]:
    return installed.kubo_command(folder / "repo", "--listen", QUIC)


def _go(folder: Path) -> list[str]:
    return installed.go_command("--listen", QUIC)


def _js(folder: Path) -> list[str]:
    return installed.helia_command("--listen", QUIC, "--quic")


class QuicPeer(LinePeer):
    """Of whatever kind: js has names of its own for what the others do."""

    js = False

    def dial(self, addr: str) -> None:
        self.ask("dial" if self.js else "connect", addr)

    def get(self, cid: str, target: Path) -> None:
        self.ask("cat" if self.js else "get", cid, str(target))


@pytest.fixture(scope="module", params=[_kubo, _go, _js], ids=["kubo", "go", "js"])
def peer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[QuicPeer]:
    """One that listens on QUIC and on nothing else."""
    folder = tmp_path_factory.mktemp("quic-peer")
    with QuicPeer(request.param(folder), folder / "log") as made:
        made.js = request.param is _js
        yield made


def test_cidery_dials_and_is_seen_as_it_is(cidery: Make, peer: QuicPeer) -> None:
    node = cidery(ONLY_QUIC)
    assert "/quic-v1/p2p/" in node.addr
    node.connect(peer.addr)
    assert f"{peer.addr}" in node.run("swarm", "peers")
    assert "Pong received" in node.run("ping", "-n", "2", peer.peer_id)
    told = json.loads(node.run("id", peer.peer_id))
    assert any("/quic-v1" in addr for addr in told["Addresses"])


def test_a_peer_dials_cidery(cidery: Make, peer: QuicPeer) -> None:
    node = cidery(ONLY_QUIC)
    peer.dial(node.addr)
    line = next(one for one in node.run("swarm", "peers").splitlines() if peer.peer_id in one)
    assert re.match(r"/ip4/127\.0\.0\.1/udp/\d+/quic-v1/p2p/", line)
    assert "Pong received" in node.run("ping", "-n", "2", peer.peer_id)


def test_a_large_file_goes_both_ways(cidery: Make, peer: QuicPeer, tmp_path: Path) -> None:
    node = cidery(ONLY_QUIC)
    theirs, ours = write_file(tmp_path / "theirs", LARGE, seed=21), write_file(tmp_path / "ours", LARGE, seed=22)
    cid = peer.ask("add", str(theirs))["cid"]
    node.connect(peer.addr)
    node.get(cid, tmp_path / "got")
    assert digest(tmp_path / "got") == digest(theirs)
    cid = node.add(ours)
    peer.get(cid, tmp_path / "got-too")
    assert digest(tmp_path / "got-too") == digest(ours)
    assert all("/quic-v1" in line for line in node.run("swarm", "peers").splitlines())


def test_a_peer_with_another_key_is_refused_by_name(cidery: Make, peer: QuicPeer) -> None:
    node, other = cidery(ONLY_QUIC), cidery(ONLY_QUIC)
    wrong = peer.addr.rpartition("/p2p/")[0] + f"/p2p/{other.peer_id}"
    with pytest.raises(PeerFailed, match=f"the peer at this address is {peer.peer_id}"):
        node.connect(wrong)


def test_a_node_on_both_is_reached_by_either(cidery: Make) -> None:
    node, by_quic, by_tcp = cidery(BOTH), cidery(ONLY_QUIC), cidery()
    tcp, quic = sorted(node.run("swarm", "addrs", "listen").split())
    assert "/tcp/" in tcp and quic.endswith("/quic-v1")
    by_quic.connect(f"{quic}/p2p/{node.peer_id}")
    by_tcp.connect(f"{tcp}/p2p/{node.peer_id}")
    assert "/quic-v1" in by_quic.run("swarm", "peers") and "/tcp/" in by_tcp.run("swarm", "peers")
    addresses = json.loads(node.run("id"))["Addresses"]
    assert {tcp, quic} <= {addr.rpartition("/p2p/")[0] for addr in addresses}


def test_a_private_network_neither_dials_nor_listens_on_quic(cidery: Make) -> None:
    node = cidery(BOTH, swarm_key="/key/swarm/psk/1.0.0/\n/base16/\n" + os.urandom(32).hex() + "\n")
    assert "quic" not in node.run("swarm", "addrs", "listen")
    outside = cidery(ONLY_QUIC)
    with pytest.raises(PeerFailed, match="no transport here"):
        node.connect(outside.addr)


def test_quic_is_switched_off_as_in_kubo(cidery: Make) -> None:
    node = cidery({**BOTH, "Swarm.Transports.Network.QUIC": "false"})
    assert "quic" not in node.run("swarm", "addrs", "listen")


def test_a_fetch_goes_on_by_tcp_when_quic_is_cut(cidery: Make, tmp_path: Path) -> None:
    slow = {"Swarm.Limits.Up": '"12MB"'}
    first, second, reader = cidery({**ONLY_QUIC, **slow}), cidery(slow), cidery(ONLY_QUIC)
    file = write_file(tmp_path / "file", CUT, seed=23)
    cid = first.add(file)
    assert second.add(file) == cid
    reader.connect(first.addr)
    reader.connect(second.addr)
    words, env = reader.command("get", "--output", str(tmp_path / "got"), cid)
    with subprocess.Popen(words, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as getting:
        deadline = time.monotonic() + 60
        while _received(reader, first.peer_id) < CUT // 8:
            assert getting.poll() is None and time.monotonic() < deadline
        first.signal(9)
        assert getting.wait(100) == 0
    assert digest(tmp_path / "got") == digest(file)
    assert _received(reader, second.peer_id) > CUT // 4


def _received(node: CideryDaemon, peer: str) -> int:
    """Bytes that came from a peer."""
    return int(json.loads(node.run("stats", "bw", "--peer", peer, "--enc", "json"))["TotalIn"])


async def test_a_peer_that_must_prove_its_address_comes_again(peer: QuicPeer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quic_transport, "UNPROVEN_HANDSHAKES", UNPROVEN_HANDSHAKES._replace(amount=0))
    node = NodeNetwork(PrivateKey.generate_ed25519(os.urandom), MemoryStore(), quic=True)
    await node.start((Multiaddr.parse(QUIC),))
    try:
        await asyncio.to_thread(peer.dial, node.identity().addresses[0])
        assert [one.peer for one in node.peers()] == [peer.peer_id]
    finally:
        await node.close()


async def test_garbage_on_the_way_disturbs_no_transfer(peer: QuicPeer, tmp_path: Path) -> None:
    node = NodeNetwork(PrivateKey.generate_ed25519(os.urandom), MemoryStore(), quic=True)
    await node.start((Multiaddr.parse(QUIC),))
    file = write_file(tmp_path / "file", LARGE // 8, seed=24)
    cid = CID.parse((await asyncio.to_thread(peer.ask, "add", str(file)))["cid"])
    try:
        await node.connect(Multiaddr.parse(peer.addr))
        target, rng = node.swarm.listen_addrs()[0].quic_endpoint(), random.Random(8)
        quic = next(one for one in node.swarm._transports if isinstance(one, quic_transport.QuicTransport))
        assert target is not None
        got = hashlib.sha256()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            async with node.session(kept=False) as session:
                async for data in drive(read_file(cid), session):
                    got.update(data.chunk)
                    for _ in range(20):
                        sock.sendto(rng.randbytes(rng.randrange(1, 1472)), target)
                    for known in list(quic._ids)[:20]:  # by who sees what passes
                        sock.sendto(bytes((0x40 | rng.randrange(64),)) + known + rng.randbytes(300), target)
        assert {"": got.hexdigest()} == digest(file)
    finally:
        await node.close()
