"""The network's facts about one CID: providers, routers, dials. Satisfies core.diagnosis.facts.Diagnosing.

Nothing is fetched: peers are asked want-have, routers for providers, and these are dialled.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from cidery.bitswap.service import BitswapService
from cidery.core.diagnosis.facts import (
    Announcement,
    Answer,
    Fetch,
    NetworkFact,
    PeerAnswer,
    ProviderAnswer,
    Reach,
    RouterAnswer,
    Standing,
)
from cidery.core.network import Relaying
from cidery.core.reached import how_reached
from cidery.errors import CideryError
from cidery.exchange.interface import PeerSources
from cidery.exchange.probe import HaveProbe
from cidery.identity.peer_id import PeerId
from cidery.kad.io.announce import Announcing
from cidery.kad.io.dht import Dht, parsed
from cidery.kad.service import KadService
from cidery.libp2p.io.identify import Identification
from cidery.libp2p.io.swarm import Swarm
from cidery.libp2p.protocols.addresses import Scope, host_of, scope_of
from cidery.libp2p.protocols.reachability import VERDICT_FROM, State
from cidery.multiformats.cid import CID
from cidery.multiformats.multiaddr import Multiaddr
from cidery.routing.interface import FoundPeer, ProviderFinder
from cidery.routing.io.http_router import HttpRouter
from cidery.tasks import Tasks

HELD = "records held here"
"""Name of this node's own store of records, as a router."""
MAX_PROVIDERS = 20
"""Providers that each router is asked for: enough to diagnose their faults."""
MAX_DIALLED = 20
"""Providers that are dialled."""
MAX_DIALS = 8
"""Providers dialled at the same time."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a node that a diagnosis inspects."""

    swarm: Swarm
    identification: Identification
    bitswap: BitswapService
    sources: PeerSources
    finders: Sequence[ProviderFinder]
    announcing: Announcing | None
    routed: bool
    """Whether the node takes part in the DHT."""
    reachability: Callable[[], dict[Multiaddr, State]]
    reach: Callable[[FoundPeer], Awaitable[object]]
    """Dials a peer that routing named."""
    private: bool
    """Whether the node belongs to a private network."""
    relaying: Callable[[], Relaying | None] = lambda: None


PUNCH_LOOKS = 15
"""Seconds that hole punching may take."""


class Diagnosis:
    """One per question. See core.diagnosis.facts.Diagnosing."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def fetches(self, cid: CID) -> list[Fetch]:
        return [Fetch(state) for state in self._parts.bitswap.fetching(cid)]

    async def announcement(self, cid: CID) -> Announcement:
        announcing = self._parts.announcing
        if not self._parts.routed:
            return Announcement("Routing.Type is none", "cidery config Routing.Type auto")
        if announcing is None:
            return Announcement("Provide.Enabled is false", "cidery config --json Provide.Enabled true")
        known = await announcing.look(cid.multihash)
        return Announcement(
            wanted=known.wanted,
            waiting=known.waiting,
            at=known.at,
            peers=known.peers,
            due=known.due,
            known_peers=announcing.reaches(),
        )

    def standing(self) -> Standing:
        parts = self._parts
        states = {addr: state for addr, state in parts.reachability().items()}
        reach, why = _reach(parts, states)
        relaying = parts.relaying()
        return Standing(
            reach,
            why,
            {str(addr): state.value for addr, state in states.items()},
            len(parts.swarm.peers()),
            ports_of(parts.swarm.listen_addrs()),
            how_reached({}, relaying)[0] if relaying is not None and relaying.addresses else "",
        )

    async def look(self, cid: CID, *, dial: bool) -> AsyncGenerator[NetworkFact, None]:
        """See Diagnosing."""
        async with aclosing(_Look(self._parts, cid, dial).run()) as facts:
            async for fact in facts:
                yield fact


def _reach(parts: Parts, states: dict[Multiaddr, State]) -> tuple[Reach, str]:
    """Whether others can dial this node, and how that is known."""
    if parts.private:
        return Reach.PRIVATE, "only nodes with the same swarm.key connect to it"
    if parts.swarm.config.addresses.local_only:
        return Reach.LOCAL, "this node keeps to its local networks (--lan, Swarm.LocalOnly)"
    found = {state: [addr for addr, one in states.items() if one is state] for state in State}
    if reachable := found[State.REACHABLE]:
        return Reach.REACHABLE, f"{VERDICT_FROM} or more peers dialled {reachable[0]}"
    if unreachable := found[State.UNREACHABLE]:
        return Reach.UNREACHABLE, f"{VERDICT_FROM} or more peers could not dial {unreachable[0]}"
    scopes = {scope_of(addr.encode()) for addr in parts.identification.advertised_addrs()}
    if not scopes:
        return Reach.UNREACHABLE, "it listens on no address (Addresses.Swarm)"
    if scopes <= {Scope.LOOPBACK}:
        if any(_is_wildcard(addr) for addr in parts.swarm.listen_addrs()):
            return Reach.LOCAL, "this machine has no address in any network now"
        return Reach.LOCAL, "it listens on addresses of this machine only (Addresses.Swarm)"
    if unknown := found[State.UNKNOWN]:
        return Reach.UNKNOWN, f"too few peers have tried {unknown[0]} yet"
    return Reach.UNKNOWN, "no public address of it is known: it is behind a router, or has met too few peers yet"


def _is_wildcard(addr: Multiaddr) -> bool:
    host = host_of(addr.encode())
    return host is not None and host.is_unspecified


def ports_of(bound: Sequence[Multiaddr]) -> tuple[str, ...]:
    """The ports open beyond this machine: "TCP port 4001", "UDP port 4001". WebSockets may share that of plain TCP."""
    ports: dict[str, None] = {}
    for addr in bound:
        where = addr.socket_endpoint()
        if where is not None and scope_of(addr.encode()) is not Scope.LOOPBACK:
            ports[f"{where.kind} port {where.port}"] = None
    return tuple(sorted(ports))


@dataclass(slots=True)
class _Provider:
    """A provider named by routing."""

    found: FoundPeer
    fact: ProviderAnswer
    since: float
    routers: list[str] = field(default_factory=list)


class _Look:
    """One look(): routers, dials and peers feed one queue."""

    def __init__(self, parts: Parts, cid: CID, dial: bool) -> None:
        self._parts = parts
        self._cid = cid
        self._dial = dial
        self._clock = parts.swarm.clock
        self._began = self._clock()
        self._queue: asyncio.Queue[NetworkFact | None] = asyncio.Queue()
        self._providers: dict[PeerId, _Provider] = {}
        self._turns = asyncio.Semaphore(MAX_DIALS)
        self._asked_at: dict[str, float] = {}
        self._work = Tasks()
        self._probe = HaveProbe(
            cid,
            ask=lambda probe, source: parts.sources.ask(probe, source, (), (cid,)),
            on_answer=self._answered,
        )

    async def run(self) -> AsyncGenerator[NetworkFact, None]:
        for name, finder, knows in _routers(self._parts.finders):
            self._spawn(self._ask_router(name, finder, knows))
        self._parts.sources.attach(self._probe)
        try:
            while self._work or self._probe.waiting or not self._queue.empty():
                fact = await self._queue.get()
                if fact is not None:
                    yield fact
        finally:
            self._parts.sources.detach(self._probe)
            await self._work.close()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._work.spawn(work)
        # wakes run(), which may have nothing left to wait for
        task.add_done_callback(lambda _: self._queue.put_nowait(None))

    def _answered(self, peer: str, answer: str) -> None:
        asked = self._asked_at.setdefault(peer, self._clock())
        gateway = "://" in peer
        known = None if gateway else self._parts.identification.known.get(PeerId.parse(peer))
        agent = known.agent_version if known is not None else ""
        self._queue.put_nowait(PeerAnswer(peer, Answer(answer), self._clock() - asked, agent))

    async def _ask_router(self, name: str, finder: ProviderFinder | Dht, knows: int | None) -> None:
        fact = RouterAnswer(name, 0, 0.0, done=False, knows=knows, own=isinstance(finder, _Held))
        self._queue.put_nowait(fact)
        failure = ""
        try:
            async with aclosing(_found(finder, self._cid)) as found:
                async for peer in found:
                    if peer.peer == self._parts.swarm.local_peer:
                        continue
                    fact = fact._replace(providers=fact.providers + 1, seconds=self._clock() - self._began)
                    self._queue.put_nowait(fact)
                    self._named(peer, name)
        except (CideryError, TimeoutError, OSError) as exc:
            failure = str(exc) or type(exc).__name__
        fact = fact._replace(seconds=self._clock() - self._began, done=True, failure=failure)
        self._queue.put_nowait(fact)

    def _named(self, found: FoundPeer, router: str) -> None:
        known = self._providers.get(found.peer)
        if known is not None:
            known.fact = known.fact._replace(routers=(*known.fact.routers, router))
            self._queue.put_nowait(known.fact)
            return
        state = "dialling" if self._dial and len(self._providers) < MAX_DIALLED else "not dialled"
        if self._parts.swarm.best(found.peer) is not None:
            state = "connected"
        fact = ProviderAnswer(str(found.peer), (router,), state, 0.0, "", tuple(map(str, found.addrs)))
        provider = self._providers[found.peer] = _Provider(found, fact, self._clock())
        self._queue.put_nowait(fact)
        if state == "dialling":
            self._spawn(self._dialled(provider))

    async def _dialled(self, provider: _Provider) -> None:
        async with self._turns:
            provider.since = self._clock()
            state, failure = "connected", ""
            try:
                await self._parts.reach(provider.found)
                if self._parts.swarm.best(provider.found.peer) is None:
                    state, failure = await self._relayed(provider.found.peer)
            except (CideryError, TimeoutError, OSError) as exc:
                state, failure = "failed", str(exc) or type(exc).__name__
        seconds = self._clock() - provider.since
        provider.fact = provider.fact._replace(state=state, failure=failure, seconds=seconds)
        self._queue.put_nowait(provider.fact)

    async def _relayed(self, peer: PeerId) -> tuple[str, str]:
        """(state, failure) of one to whom there is no connection that carries content: give a punch its time."""
        swarm = self._parts.swarm
        if swarm.best(peer, limited=True) is None:
            return "gateway", ""
        for _ in range(PUNCH_LOOKS):
            await asyncio.sleep(1.0)
            if swarm.best(peer) is not None:
                return "connected", ""
        relaying = self._parts.relaying()
        said = relaying.punches.get(str(peer), ()) if relaying is not None else ()
        words = "; ".join(said) or "it did not begin hole punching"
        return "failed", f"reached through a relay with limits only, over which no content is sent: {words}"


def _routers(finders: Sequence[ProviderFinder]) -> list[tuple[str, ProviderFinder | Dht, int | None]]:
    """(name, router to ask, number of peers it knows): both DHTs one by one; one without peers is included."""
    out: list[tuple[str, ProviderFinder | Dht, int | None]] = []
    for finder in finders:
        if isinstance(finder, KadService):
            out += [(f"DHT {dht.config.name}", dht, len(dht.table)) for dht in finder.both]
            out.append((HELD, _Held(finder), None))
        else:
            out.append((finder.url if isinstance(finder, HttpRouter) else type(finder).__name__, finder, None))
    return out


class _Held:
    """The records that this node holds as a server of the DHT, as a router."""

    def __init__(self, kad: KadService) -> None:
        self._kad = kad

    async def find_providers(self, cid: CID, count: int = 0) -> AsyncGenerator[FoundPeer, None]:
        for found in self._kad.held(cid):
            yield found


async def _found(finder: ProviderFinder | Dht, cid: CID) -> AsyncGenerator[FoundPeer, None]:
    if not isinstance(finder, Dht):
        async with aclosing(finder.find_providers(cid, MAX_PROVIDERS)) as found:
            async for peer in found:
                yield peer
    elif len(finder.table):
        async with aclosing(finder.find_providers(cid.multihash, MAX_PROVIDERS)) as infos:
            async for info in infos:
                yield FoundPeer(info.peer, tuple(parsed(info.addrs)))
