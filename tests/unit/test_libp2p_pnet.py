"""Private networks: the key file, the keystream, and whole nodes that share a key or do not."""

import asyncio
import os

import pytest

from cidery.blockstore.memory import MemoryStore
from cidery.identity.keys import PrivateKey
from cidery.libp2p.io.byte_network import TcpNetwork
from cidery.libp2p.io.dial_errors import DialFailed
from cidery.libp2p.io.private_network import PrivateNetwork
from cidery.libp2p.protocols.pnet import (
    BadSwarmKey,
    XSalsa20,
    fingerprint,
    format_swarm_key,
    hsalsa20,
    parse_swarm_key,
)
from cidery.multiformats.address_filter import AddressFilter
from cidery.multiformats.multiaddr import Multiaddr
from cidery.node.network import NodeNetwork

KEY = bytes(range(32))


def test_hsalsa20_gives_the_keys_of_its_paper() -> None:
    """https://cr.yp.to/highspeed/naclcrypto-20090310.pdf, sections 8 and 10"""
    shared = bytes.fromhex("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742")
    first = hsalsa20(shared, bytes(16))
    assert first.hex() == "1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389"
    second = hsalsa20(first, bytes.fromhex("69696ee955b62b73cd62bda875fc73d6"))
    assert second.hex() == "dc908dda0b9344a953629b733820778880f3ceb421bb61b91cbd4c3e66256ce4"


def test_the_stream_goes_on_however_it_is_cut() -> None:
    nonce, data = bytes(range(24)), bytes(range(256)) * 5
    whole = XSalsa20(KEY, nonce).apply(data)
    parts = XSalsa20(KEY, nonce)
    assert b"".join(parts.apply(data[at : at + 7]) for at in range(0, len(data), 7)) == whole
    back = bytearray(whole)
    XSalsa20(KEY, nonce).apply_in_place(memoryview(back))
    assert back == data


@pytest.mark.parametrize(
    "file",
    [
        format_swarm_key(KEY),
        b"/key/swarm/psk/1.0.0/\n/base16/\n" + KEY.hex().upper().encode(),
        b"/key/swarm/psk/1.0.0/\n/base64/\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n",
        b"/key/swarm/psk/1.0.0/\n/bin/\n" + KEY,
    ],
)
def test_key_files_of_all_encodings_are_read(file: bytes) -> None:
    assert parse_swarm_key(file) == KEY


@pytest.mark.parametrize(
    "file",
    [
        b"",
        b"nonsense",
        b"/key/swarm/psk/1.0.0/\n/base16/\n00",
        b"/key/swarm/psk/1.0.0/\n/base16/\nzz",
        b"/key/swarm/psk/1.0.0/\n/base99/\n00",
        bytes(5000),
    ],
)
def test_other_files_are_refused_with_the_form_they_should_have(file: bytes) -> None:
    with pytest.raises(BadSwarmKey, match="it has three lines"):
        parse_swarm_key(file)


def test_fingerprints_tell_keys_apart_and_show_nothing_of_them() -> None:
    assert len(fingerprint(KEY)) == 32
    assert fingerprint(KEY) != fingerprint(bytes(32))


def node(key: bytes | None) -> NodeNetwork:
    network = None if key is None else PrivateNetwork(TcpNetwork(AddressFilter()), key, os.urandom)
    return NodeNetwork(PrivateKey.generate_ed25519(os.urandom), MemoryStore(), network=network)


async def connect(one: NodeNetwork, other: NodeNetwork) -> None:
    try:
        for each in (one, other):
            await each.start((Multiaddr.tcp("127.0.0.1", 0),))
        (addr,) = other.swarm.listen_addrs()
        async with asyncio.timeout(30):
            await one.connect(addr.with_peer(other.swarm.local_peer.multihash))
            assert [peer.peer for peer in one.peers()] == [str(other.swarm.local_peer)]
            assert [taken async for taken in one.ping(str(other.swarm.local_peer), 1)]
    finally:
        await one.close()
        await other.close()


async def test_nodes_with_one_key_connect() -> None:
    await connect(node(KEY), node(KEY))


@pytest.mark.parametrize("other", [None, bytes(32)], ids=["without a key", "with another key"])
async def test_nodes_without_the_key_do_not(other: bytes | None) -> None:
    with pytest.raises(DialFailed):
        await connect(node(KEY), node(other))


@pytest.mark.parametrize("key", [None, KEY], ids=["public", "private"])
async def test_filters_hold_for_the_addresses_that_names_lead_to(key: bytes | None) -> None:
    nets = AddressFilter(["/ip4/127.0.0.0/ipcidr/8", "/ip6/::1/ipcidr/128"])
    network = None if key is None else PrivateNetwork(TcpNetwork(nets), key, os.urandom)
    private_key = PrivateKey.generate_ed25519(os.urandom)
    filtered, other = NodeNetwork(private_key, MemoryStore(), addresses=nets, network=network), node(key)
    try:
        await other.start((Multiaddr.tcp("127.0.0.1", 0),))
        endpoint = other.swarm.listen_addrs()[0].tcp_endpoint()
        assert endpoint is not None
        for host in ("ip4/127.0.0.1", "ip6/::ffff:127.0.0.1", "dns4/localhost", "dns/localhost", "dns6/localhost"):
            addr = Multiaddr.parse(f"/{host}/tcp/{endpoint[1]}").with_peer(other.swarm.local_peer.multihash)
            with pytest.raises(DialFailed, match="Swarm.AddrFilters"):
                await filtered.connect(addr)
    finally:
        await filtered.close()
        await other.close()
