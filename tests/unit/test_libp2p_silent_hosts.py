"""Dials over real sockets to a port that answers no SYN: others are reached at once, and nothing is left behind."""

import asyncio
import os
import socket
import time
from collections.abc import Iterator

import pytest

from cidery.blockstore.memory import MemoryStore
from cidery.identity.keys import PrivateKey
from cidery.libp2p.io.peer_dial import StillDialling
from cidery.libp2p.protocols.timeouts import Timeouts
from cidery.multiformats.multiaddr import Multiaddr
from cidery.node.network import NodeNetwork


@pytest.fixture
def silent() -> Iterator[Multiaddr]:
    """A listener whose queue is full: the system drops further SYNs, as a dead host would."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    port = listener.getsockname()[1]
    queued = []
    for _ in range(4):
        one = socket.socket()
        one.setblocking(False)
        one.connect_ex(("127.0.0.1", port))
        queued.append(one)
    yield Multiaddr.tcp("127.0.0.1", port)
    for one in (*queued, listener):
        one.close()


async def test_a_silent_address_delays_no_other_and_is_left_after_the_early_wait(silent: Multiaddr) -> None:
    timeouts = Timeouts(dial_base=-3.0)  # with the four seconds for an unknown distance: one second
    nodes = [NodeNetwork(PrivateKey.generate_ed25519(os.urandom), MemoryStore(), timeouts=timeouts) for _ in range(2)]
    one, other = nodes
    try:
        for node in nodes:
            await node.start((Multiaddr.tcp("127.0.0.1", 0),))
        swarm, live = one.swarm, other.swarm.listen_addrs()[0]
        began = time.monotonic()
        with pytest.raises(StillDialling, match="no answer yet"):
            await swarm.dial(other.swarm.local_peer, [silent])
        assert 0.9 < time.monotonic() - began < 5
        began = time.monotonic()
        await swarm.dial(other.swarm.local_peer, [live])  # joins the dial that is pending
        assert time.monotonic() - began < 1 and [c.remote_addr for c in swarm.connections()] == [live]
        stranger = PrivateKey.generate_ed25519(os.urandom).peer_id
        waiting = asyncio.ensure_future(swarm.dial(stranger, [silent], patient=True))
        await asyncio.sleep(0)
        with pytest.raises(StillDialling):
            await swarm.dial(stranger)
        assert not waiting.done()  # the user may wait as long as the system tries
        waiting.cancel()
    finally:
        for node in nodes:
            await node.close()
    assert not swarm._dials
