"""The relays of a node: those through which it is dialled and dials others."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from cidery.core.network import Relaying
from cidery.errors import CideryError
from cidery.identity.peer_id import PeerId
from cidery.libp2p.io.hole_punching import HolePunching
from cidery.libp2p.io.identify import Identification
from cidery.libp2p.io.relay_service import RelayService
from cidery.libp2p.io.relay_transport import RelayTransport
from cidery.libp2p.io.reservations import LOOK_EVERY, Reservations
from cidery.libp2p.io.swarm import Swarm
from cidery.libp2p.protocols.reachability import State
from cidery.libp2p.protocols.relay_client import Relays
from cidery.libp2p.protocols.relay_messages import HOP
from cidery.libp2p.protocols.relay_server import RelayLimits
from cidery.libp2p.protocols.relayed import CIRCUIT
from cidery.multiformats.multiaddr import Multiaddr, MultiaddrError
from cidery.routing.interface import FoundPeer
from cidery.tasks import Tasks

MOST_SEEN = 4
"""Addresses at which peers see this node that others are told for a punch."""
UNKNOWN_LONG = 60.0
"""Seconds without a verdict on its reachability after which a node is taken for one that needs relays."""


class RelayOptions(NamedTuple):
    """What of the config concerns relays."""

    client: bool = True
    """Whether relays are asked for reservations."""
    static: Mapping[PeerId, Sequence[Multiaddr]] = {}
    """The only ones that are asked, if there are any."""
    punch: bool = True
    """Whether relayed connections are replaced by direct ones, where that can be done."""
    service: RelayLimits | None = None
    """How this node is a relay for others; None: it is none."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the relays of a node need to know of the rest of it."""

    identification: Identification
    peered: Callable[[], Iterable[tuple[PeerId, Sequence[Multiaddr]]]]
    speaks: Callable[[PeerId, str], bool]
    verdict: Callable[[], State]
    """On the node as a whole."""
    near_us: Callable[[], Awaitable[Sequence[FoundPeer]]]
    """The peers that the DHT has nearest to this node's own id."""
    wall_clock: Callable[[], float]
    """Seconds since 1970."""


class NodeRelays:
    """One per node, made before it listens. ``start()`` begins its work, ``close()`` ends it."""

    listens: tuple[Multiaddr, ...] = (CIRCUIT,)
    """What the swarm has to listen on beside other addresses."""

    def __init__(self, swarm: Swarm, options: RelayOptions, around: Surroundings) -> None:
        self._swarm = swarm
        self._around = around
        self._static = bool(options.static)
        self._began = swarm.clock()
        transport = RelayTransport(swarm)
        swarm.add_transport(transport)
        self.reservations: Reservations | None = None
        if options.client:
            fixed = [(peer, tuple(addrs)) for peer, addrs in options.static.items()]
            self.reservations = Reservations(
                swarm,
                Relays(fixed),
                wanted=self._wants_relays,
                candidates=self._candidates,
                on_change=around.identification.push,
                wall_clock=around.wall_clock,
            )
            around.identification.relayed = self.reservations.addrs
            transport.reserved = self.reservations.reserved
        self.service: RelayService | None = None
        if options.service is not None:
            self.service = RelayService(
                swarm,
                options.service,
                is_friend=self._is_friend,
                own_addrs=around.identification.direct_addrs,
                public=self._is_public,
                wall_clock=around.wall_clock,
            )
        self.punching = (
            HolePunching(swarm, own_addrs=self._punched_at, known=swarm.peer_store.addrs) if options.punch else None
        )
        self._tasks = Tasks()

    def start(self) -> None:
        self._began = self._swarm.clock()
        if self.reservations is not None:
            self.reservations.start()
        if self.service is not None:
            self._tasks.spawn(self._serve(self.service))

    async def close(self) -> None:
        await self._tasks.close()
        if self.punching is not None:
            await self.punching.close()
        if self.reservations is not None:
            await self.reservations.close()

    def view(self) -> Relaying:
        """How it stands."""
        one, service, punching = self.reservations, self.service, self.punching
        serves = service is not None and service.serving
        return Relaying(
            asks=one is not None,
            addresses=() if one is None else tuple(map(str, one.addrs())),
            failures={} if one is None else {str(peer): why for peer, why in one.failures.items()},
            serves=serves,
            reservations=len(service.desk.reserved(self._swarm.clock())) if service is not None and serves else 0,
            circuits=0 if service is None else service.desk.circuits,
            punches={} if punching is None else {str(one): tuple(said) for one, said in punching.outcomes.items()},
        )

    def protects(self, peer: PeerId) -> bool:
        """Whether the connection to a peer must not be closed for lack of room."""
        return self.reservations is not None and self.reservations.protects(peer)

    # --- as a relay

    def _is_public(self) -> bool:
        return self._around.verdict() is State.REACHABLE

    def _is_friend(self, peer: PeerId) -> bool:
        return any(peer == one for one, _ in self._around.peered())

    async def _serve(self, service: RelayService) -> None:
        """Be a relay as long as there is somebody to be one for."""
        while True:
            if service.serve(self._is_public() or any(True for _ in self._around.peered())):
                await self._around.identification.push()
            await asyncio.sleep(LOOK_EVERY)

    # --- through others

    def _punched_at(self) -> list[Multiaddr]:
        """Where this node may be reached once its NAT is open, the likeliest first.

        A NAT that keeps ports shows the port that listens at the host that peers see. By QUIC they see the port itself.
        """
        identification = self._around.identification
        listening = self._swarm.listen_addrs()
        seen: Counter[Multiaddr] = Counter()
        for connection in self._swarm.connections():
            if connection.relayed or connection.secured is None:
                continue
            said = identification.known.get(connection.peer)
            if said is not None and (addr := _decoded(said.observed_addr)) is not None:
                if addr.quic_endpoint() is not None:
                    seen[addr] += 1
                elif (host := addr.host()) is not None and addr.tcp_endpoint() is not None:
                    bound = [one for one in listening if one.tcp_endpoint() is not None]
                    seen.update(one.at_host(host) for one in bound if _same_version(one, host))
        likely = [addr for addr, _ in seen.most_common(MOST_SEEN)]
        return list(dict.fromkeys([*likely, *identification.direct_addrs()]))

    def _wants_relays(self) -> bool:
        verdict = self._around.verdict()
        if verdict is State.UNKNOWN:
            return self._static or self._swarm.clock() - self._began >= UNKNOWN_LONG
        return verdict is State.UNREACHABLE

    async def _candidates(self) -> AsyncGenerator[tuple[PeerId, tuple[Multiaddr, ...]], None]:
        for peer, addrs in self._around.peered():
            yield peer, tuple(addrs)
        for peer in self._swarm.peers():
            if self._around.speaks(peer, HOP):
                yield peer, ()
        try:
            for found in await self._around.near_us():
                yield found.peer, tuple(found.addrs)
        except CideryError:
            return  # without the DHT there are the others


def _decoded(raw: bytes) -> Multiaddr | None:
    try:
        return Multiaddr.decode(raw)
    except MultiaddrError:
        return None


def _same_version(addr: Multiaddr, host: str) -> bool:
    return (":" in host) == (":" in (addr.host() or ""))
