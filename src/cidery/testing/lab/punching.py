"""Who reaches whom, and how soon: two nodes behind NATs and walls of all kinds, and a relay that both can dial."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import Literal

from cidery.libp2p.protocols.relay_server import RelayLimits
from cidery.libp2p.protocols.relayed import through
from cidery.node.relays import RelayOptions
from cidery.testing.memory_network import Link, MemoryNetwork
from cidery.testing.memory_node import MemoryNode, running
from cidery.testing.virtual_clock import run_virtual

Kind = Literal["public", "walled", "keeps ports", "symmetric"]
KINDS: tuple[Kind, ...] = ("public", "walled", "keeps ports", "symmetric")
"""A public address; one that lets in only what was asked for; a NAT that does so, too, and keeps ports, as most routers
at home do; a NAT that shows each peer another port."""
WITHIN = 5.0
"""Seconds until a direct connection, wanted of 95 % of the pairs that theory allows."""
LONGEST = 30.0
"""Seconds after which a pair is called relayed."""
LATENCIES = (0.005, 0.15)
"""Seconds one way between two hosts, from to."""
JITTER, LOSS = 0.2, 0.03
"""Most of the latency that is added, and of datagrams and segments that are lost, by chance of the trial."""


@dataclass(frozen=True)
class Reached:
    """What came of a pair."""

    how: Literal["plain dial", "punched", "relayed", "not"]
    seconds: float
    """From the connection through the relay until both have a direct one."""
    said: tuple[str, ...]


def possible(dialler: Kind, reached: Kind) -> bool:
    """Whether theory allows a direct connection: nobody knows the port that a symmetric NAT will show."""
    hidden = [kind for kind in (dialler, reached) if kind != "public"]
    return len(hidden) < 2 or "symmetric" not in hidden


def reach(dialler: Kind, reached: Kind, *, quic: bool, seed: int) -> Reached:
    """One trial, from a seed."""
    return run_virtual(_reach(dialler, reached, quic, seed))


def _line(chance: random.Random) -> Link:
    latency = chance.uniform(*LATENCIES)
    return Link(latency, jitter=latency * JITTER * chance.random(), loss=LOSS * chance.random())


async def _reach(dialler: Kind, reached: Kind, quic: bool, seed: int) -> Reached:
    network, chance = MemoryNetwork(seed), random.Random(seed)
    first = 1 + 3 * seed  # other keys in each trial
    relay = MemoryNode(
        network, first, public=True, quic=quic, relays=RelayOptions(client=False, punch=False, service=RelayLimits())
    )
    static = {relay.peer: [relay.addr.without_peer()]}
    user = MemoryNode(network, first + 1, public=True, quic=quic, relays=RelayOptions(client=False))
    there = MemoryNode(network, first + 2, public=True, quic=quic, relays=RelayOptions(static=static))
    for one, other in ((relay, user), (relay, there), (user, there)):
        network.set_link(one.address, other.address, _line(chance))
    for node, kind, router in ((user, dialler, "82.1.1.1"), (there, reached, "82.2.1.1")):
        if kind != "public":
            network.set_nat(node.address, node.address if kind == "walled" else router, symmetric=kind == "symmetric")
    async with running([relay, user, there]):
        for server in (b"1", b"2", b"3"):
            relay.network.autonat.reachability.answered(relay.addr.without_peer().encode(), server, True)
        while not any("/p2p-circuit" in addr for addr in there.network.identity().addresses):  # noqa: ASYNC110
            await asyncio.sleep(0.5)
        return await _dialled(relay, user, there)


async def _dialled(relay: MemoryNode, user: MemoryNode, there: MemoryNode) -> Reached:
    loop = asyncio.get_running_loop()
    at = through(relay.peer, relay.addr.without_peer()).with_peer(there.peer.multihash)
    await user.network.connect(at)
    began = loop.time()
    while loop.time() - began < LONGEST:
        if _direct(user, there) and _direct(there, user):
            break
        await asyncio.sleep(0.01)
    seconds = loop.time() - began
    await asyncio.sleep(1.0)  # until both have said how
    said = _said(there, user) + _said(user, there)
    if not (_direct(user, there) and _direct(there, user)):
        relayed = user.network.swarm.best(there.peer, limited=True) is not None
        return Reached("relayed" if relayed else "not", seconds, said)
    plainly = any(one.startswith("plain dial: direct") for one in _said(there, user))
    return Reached("plain dial" if plainly else "punched", seconds, said)


def _said(node: MemoryNode, other: MemoryNode) -> tuple[str, ...]:
    view = node.network.relaying()
    return () if view is None else view.punches.get(other.name, ())


def _direct(node: MemoryNode, other: MemoryNode) -> bool:
    best = node.network.swarm.best(other.peer)
    return best is not None and not best.relayed
