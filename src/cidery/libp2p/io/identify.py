"""Identify and ping over the swarm: asks each new peer who it is, answers the same, and pushes changes."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence

from cidery.budgets import IDENTIFICATIONS, PING_STREAMS
from cidery.errors import CideryError, RemoteProtocolError, Unavailable
from cidery.identity.envelope import EnvelopeError, PeerRecord, open_peer_record, seal_peer_record
from cidery.identity.peer_id import PeerId
from cidery.libp2p.io.connection import Connection
from cidery.libp2p.io.shares import ConnectionRates
from cidery.libp2p.io.stream import Stream
from cidery.libp2p.io.swarm import Swarm
from cidery.libp2p.protocols import identify, ping
from cidery.libp2p.protocols.addresses import Scope, believed_from, group_of, host_of, keep, scope_of
from cidery.libp2p.protocols.announced import Announced
from cidery.libp2p.protocols.identify import Identify, IdentifyError
from cidery.libp2p.protocols.reachability import Observed
from cidery.libp2p.protocols.relayed import is_relayed
from cidery.multiformats.multiaddr import Multiaddr, MultiaddrError

log = logging.getLogger("cidery.libp2p")

MAX_LOCAL = 32
"""Own addresses learned from connections."""


class PingFailed(Unavailable):
    """No echo, or a wrong one."""

    def __init__(self, peer: PeerId, reason: str) -> None:
        super().__init__(peer, reason)
        self.peer = peer
        self.reason = reason

    def __str__(self) -> str:
        return f"ping {self.peer}: {self.reason}"


class TooManyIdentifications(RemoteProtocolError):
    """A peer asks, or says, who it is without end."""

    def __str__(self) -> str:
        return f"more than {IDENTIFICATIONS.size}"


class Identification:
    """Registers its handlers on a swarm; ``known`` holds what each connected peer said."""

    def __init__(
        self,
        swarm: Swarm,
        agent: str,
        entropy: Callable[[int], bytes],
        sequence: int,
        *,
        interfaces: Callable[[], list[str]] = list,
        announced: Announced | None = None,
    ) -> None:
        """``sequence``: of the first signed peer record; grows from start to start (nanoseconds of wall time do).

        ``interfaces``: IP addresses of this machine, for listeners on all of them. ``announced``: which of the own
        addresses others are told; None: all.
        """
        self._swarm = swarm
        self._clock = swarm.clock
        self._agent = agent
        self._entropy = entropy
        self._sequence = sequence
        self._sealed: tuple[PeerRecord, bytes] | None = None
        """The last record that was signed, since it seldom changes."""
        self._encoded: tuple[Identify, list[bytes]] | None = None
        """The last answer without the address at which the peer is seen, and its messages."""
        self._pings: Counter[PeerId] = Counter()
        self._rate = ConnectionRates(IDENTIFICATIONS, swarm.clock)
        self.known: dict[PeerId, Identify] = {}
        self.observed = Observed()
        """Where peers see us."""
        self._interfaces = interfaces
        self._announced = announced or Announced()
        self.mapped: Sequence[Multiaddr] = ()
        """Where a router passes connections on to this node."""
        self.relayed: Callable[[], list[Multiaddr]] = list
        """Through which relays this node is reached, as far as they have granted it."""
        self.named: Callable[[Multiaddr], Sequence[Multiaddr]] = lambda addr: (addr,)
        """What others are told for an address whose name AutoTLS fills in, nothing while it cannot; others as is."""
        self._local: dict[str, None] = {}
        self.on_learned: list[Callable[[PeerId], None]] = []
        """Called when a peer said (again) who it is."""
        swarm.handlers[identify.PROTOCOL] = self._answer
        swarm.handlers[identify.PUSH_PROTOCOL] = self._receive_push
        swarm.handlers[ping.PROTOCOL] = self._echo
        swarm.on_connected.append(self._ask)
        swarm.greet_with(identify.PROTOCOL)
        swarm.on_disconnected.append(self._forget)

    def _forget(self, peer: PeerId) -> None:
        if self._swarm.best(peer, limited=True) is None:
            self.known.pop(peer, None)

    # --- what we say

    def advertised_addrs(self) -> list[Multiaddr]:
        """Addresses that others are told to dial: the bound ones, as ``announced`` says.

        For a wildcard these are this machine's own addresses, as its connections use them, and those at which enough
        others see it.
        """
        return self._announced.of(self._own(), self.named)

    def _own(self) -> dict[Multiaddr, None]:
        believed = [str(ipaddress.ip_address(host)) for host in self.observed.believed(self._clock())]
        return self._bound_at(*believed) | dict.fromkeys((*self.mapped, *self.relayed()))

    def listened_addrs(self) -> list[Multiaddr]:
        """The bound addresses, with this machine's own in the place of a wildcard."""
        return list(self._bound_at())

    def _bound_at(self, *hosts: str) -> dict[Multiaddr, None]:
        """The bound addresses; a wildcard stands for this machine's own addresses and ``hosts``."""
        out: dict[Multiaddr, None] = {}
        for addr in self._swarm.listen_addrs():
            bound = host_of(addr.encode())
            if bound is None or not bound.is_unspecified:
                out[addr] = None
                continue
            for host in dict.fromkeys((*self._interfaces(), *hosts, *self._local)):
                if ipaddress.ip_address(host).version == bound.version:
                    out[addr.at_host(host)] = None
            out[addr.at_host("::1" if bound.version == 6 else "127.0.0.1")] = None
        return out

    def direct_addrs(self) -> list[Multiaddr]:
        """Those of them where no relay is between."""
        return [addr for addr in self.advertised_addrs() if not is_relayed(addr)]

    def unnamed_addrs(self) -> list[Multiaddr]:
        """Those of these that need no certificate: it is on the socket of one of them that the others are served."""
        told = self._announced.of(self._own(), lambda addr: (addr,) if addr in self.named(addr) else ())
        return [addr for addr in told if not is_relayed(addr)]

    def public_addrs(self) -> list[Multiaddr]:
        """Those of these that others may reach from the Internet."""
        return [addr for addr in self.unnamed_addrs() if scope_of(addr.encode()) is Scope.PUBLIC]

    def _answers(self, observed: Multiaddr | None) -> Sequence[bytes]:
        """The messages of ours(). All of it but where the asking peer is seen is the same for every peer."""
        said = self.ours(None)
        if self._encoded is None or self._encoded[0] != said:
            self._encoded = said, said.messages()
        first, *more = self._encoded[1]
        if observed is None:
            return self._encoded[1]
        seen = Identify(observed_addr=observed.encode()).encode()
        # the order of fields tells nothing, and what would make the message too long comes in one of its own
        return (first + seen, *more) if len(first) + len(seen) <= identify.MAX_MESSAGE else (first, *more, seen)

    def ours(self, observed: Multiaddr | None) -> Identify:
        """What this node says of itself now."""
        addrs = tuple(addr.encode() for addr in self.advertised_addrs())
        record = PeerRecord(self._swarm.local_peer, self._sequence, addrs)
        if self._sealed is None or self._sealed[0] != record:
            self._sealed = record, seal_peer_record(self._swarm.identity, record)
        return Identify(
            public_key=self._swarm.identity.public.encode(),
            listen_addrs=addrs,
            # "A node should only advertise a protocol if it's willing to receive inbound streams on that protocol."
            protocols=tuple(sorted(self._swarm.handlers)),
            observed_addr=observed.encode() if observed is not None else b"",
            protocol_version=identify.PROTOCOL_VERSION,
            agent_version=self._agent,
            signed_peer_record=self._sealed[1],
        )

    async def _answer(self, stream: Stream) -> None:
        self._count(stream)
        await self._say(stream)

    async def _say(self, stream: Stream) -> None:
        assert isinstance(stream.connection, Connection)
        for message in self._answers(stream.connection.remote_addr):
            await stream.write_message(message)

    async def push(self) -> None:
        """Tell every connected peer what changed (addresses, protocols). Failures concern one peer each."""
        # identify/push: "used to inform known peers about changes that occur at runtime"
        self._sequence += 1
        for connection in self._swarm.connections():
            try:
                stream = await connection.open_stream([identify.PUSH_PROTOCOL])
                await self._say(stream)
                stream.close_write()
            except (CideryError, TimeoutError) as exc:
                log.debug("push to %s: %s", connection, exc)

    # --- what others say

    async def _ask(self, connection: Connection) -> None:
        """Identify a new connection. A peer that does not answer stays connected, unknown."""
        timeouts = self._swarm.config.timeouts
        try:
            async with asyncio.timeout(connection.wait(timeouts.stream_base)):
                stream, connection.greeting = connection.greeting, None
                stream = stream or await connection.open_stream([identify.PROTOCOL], optimistic=True)
                try:
                    said = await self._read(stream)
                    stream.close_write()
                finally:
                    stream.reset("identify is over")  # unless both sides have ended it
        except (CideryError, TimeoutError) as exc:
            log.debug("identify %s: %s", connection, exc)
            return
        self._learn(connection, said)

    async def _read(self, stream: Stream) -> Identify:
        said: Identify | None = None
        for _ in range(identify.MAX_MESSAGES):
            message = await stream.read_message(identify.MAX_MESSAGE)
            if message is None:
                break
            one = Identify.decode(message)
            said = one if said is None else said.merged(one)
        if said is None:
            raise IdentifyError("the peer said nothing")
        return said

    async def _receive_push(self, stream: Stream) -> None:
        self._count(stream)
        assert isinstance(stream.connection, Connection)
        said = await self._read(stream)
        known = self.known.get(stream.connection.peer)
        self._learn(stream.connection, said if known is None else known.updated(said))

    def _count(self, stream: Stream) -> None:
        """One more request or push; too many end the connection. Raises TooManyIdentifications."""
        connection = stream.connection
        assert isinstance(connection, Connection)
        if self._rate.reserve(connection):
            error = TooManyIdentifications()
            connection.close(str(error))
            raise error

    def _learn(self, connection: Connection, said: Identify) -> None:
        peer = connection.peer
        self.known[peer] = said
        if connection.closed.done():
            self.known.pop(peer, None)
        store = self._swarm.peer_store
        entry = store.know(peer)
        entry.agent, entry.protocols = said.agent_version, said.protocols
        entry.protocol_version = said.protocol_version
        assert connection.secured is not None  # it is upgraded
        entry.public_key = connection.secured.public_key
        addrs = said.listen_addrs
        # signedPeerRecord: "it MUST use the data contained within it and ignore duplicated fields"
        if said.signed_peer_record:
            try:
                record = open_peer_record(said.signed_peer_record)
            except EnvelopeError as exc:
                log.debug("%s: %s", connection, exc)
            else:
                if record.peer == peer and record.sequence >= entry.record_sequence:
                    entry.record_sequence = record.sequence
                    addrs = record.addrs
        remote = connection.remote_addr
        told = keep(tuple(addrs), believed_from(remote.encode() if remote is not None else None))
        store.add_addrs(peer, _parsed(told))
        for hook in self.on_learned:
            hook(peer)
        self._note_own(connection, said.observed_addr)

    def _note_own(self, connection: Connection, observed: bytes) -> None:
        """Learn this machine's address from the socket, and the one others see from what a public peer says."""
        if connection.relayed:
            return  # what the peer sees is the relay
        host = (connection.local_host() or "").partition("%")[0]
        if host and len(self._local) < MAX_LOCAL and not ipaddress.ip_address(host).is_unspecified:
            self._local[host] = None
        seen = host_of(observed)
        group = group_of(connection.remote_addr.encode()) if connection.remote_addr is not None else None
        if seen is not None and seen.is_global and group is not None:
            self.observed.saw(seen.packed, group, self._clock())

    # --- ping

    async def _echo(self, stream: Stream) -> None:
        peer = stream.connection.peer
        if self._pings[peer] >= PING_STREAMS.amount:
            stream.reset("too many ping streams")
            return
        self._pings[peer] += 1
        try:
            while await stream.wait_readable():
                await stream.write(await stream.read_exactly(ping.SIZE))
        finally:
            self._pings[peer] -= 1
            if not self._pings[peer]:
                del self._pings[peer]

    async def ping(self, peer: PeerId, count: int, interval: float) -> AsyncIterator[float]:
        """Round trips in seconds, ``interval`` seconds apart. Raises PingFailed, DialFailed."""
        connection = self._swarm.best(peer, limited=True) or await self._swarm.dial(peer, patient=True)
        stream = await connection.open_stream([ping.PROTOCOL])
        try:
            for at in range(count):
                if at:
                    await asyncio.sleep(interval)
                sent, began = self._entropy(ping.SIZE), self._clock()
                try:
                    async with asyncio.timeout(connection.wait(self._swarm.config.timeouts.stream_base)):
                        await stream.write(sent)
                        back = await stream.read_exactly(ping.SIZE)
                except TimeoutError as exc:
                    raise PingFailed(peer, "no answer in time") from exc
                if back != sent:
                    raise PingFailed(peer, "the answer is not what was sent")
                taken = self._clock() - began
                connection.round_trip.sample(taken)
                yield taken
        finally:
            stream.reset("done")


def _parsed(addrs: tuple[bytes, ...] | list[bytes]) -> list[Multiaddr]:
    """Those that parse: a peer may list transports of the future."""
    out = []
    for addr in addrs:
        try:
            out.append(Multiaddr.decode(addr))
        except MultiaddrError:
            continue
    return out
