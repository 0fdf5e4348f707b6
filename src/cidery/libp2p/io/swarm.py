"""The swarm: listening, dialling, and the connections per peer.

Several connections to a peer are legal. New streams use the one with the least delay; an idle duplicate is closed by
the side with the smaller peer id, after it announced that and the peer had time to finish what it began.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

from cidery.budgets import CONNECTIONS, CONNECTIONS_OF_PEER, DIALS_PENDING, HANDSHAKES
from cidery.errors import CideryError, InvalidInput, LimitExceeded
from cidery.identity.keys import PrivateKey
from cidery.identity.peer_id import PeerId
from cidery.libp2p.io.connection import DOUBTFUL, Connection
from cidery.libp2p.io.connection_config import ConnectionConfig, Handler
from cidery.libp2p.io.dial_errors import DialFailed, UnsupportedAddress
from cidery.libp2p.io.peer_dial import Attempt, PeerDial
from cidery.libp2p.io.peer_store import PeerStore
from cidery.libp2p.io.renewal import Renewals
from cidery.libp2p.io.shedding import Shedding
from cidery.libp2p.io.stream import Stream
from cidery.libp2p.io.traffic import Traffic
from cidery.libp2p.io.transport import Listening, LocalEnd, Punching, Transport
from cidery.libp2p.protocols.dial_ranking import ranked
from cidery.libp2p.protocols.dial_rate import DialRate, host_key
from cidery.libp2p.protocols.pending import Pending
from cidery.libp2p.protocols.relayed import is_relayed
from cidery.libp2p.protocols.timeouts import Timeouts
from cidery.libp2p.protocols.upgrade import UpgradeConfig
from cidery.multiformats.address_filter import AddressFilter
from cidery.multiformats.multiaddr import Multiaddr
from cidery.tasks import Tasks, logged

log = logging.getLogger("cidery.libp2p")

MAX_PER_PEER = CONNECTIONS_OF_PEER.amount
DUPLICATE_GRACE = 0.5
"""Seconds, beside round trips, that a duplicate connection lives after its closing was announced."""
LOOKS = 0.05
"""Seconds between two looks for an answer while the round trip is not known."""


class SelfDial(InvalidInput):
    """The address is our own."""

    def __str__(self) -> str:
        return "that is this node itself"


@dataclass(frozen=True, slots=True)
class SwarmConfig:
    """Limits and waits of a swarm."""

    timeouts: Timeouts
    max_connections: int = CONNECTIONS.amount
    """Connections in all; a further inbound one is closed at once, outbound ones are the user's own and go first."""
    max_pending_inbound: int = HANDSHAKES.amount
    """Inbound connections that are still in their handshake."""
    addresses: AddressFilter = AddressFilter()
    """Whom to dial and from where to accept."""


class Swarm:
    """All connections of a node. ``handlers`` and the on_* lists are filled before start."""

    def __init__(
        self,
        config: SwarmConfig,
        upgrade: UpgradeConfig,
        store: PeerStore,
        clock: Callable[[], float],
        transports: Sequence[Transport],
        prober: Callable[[], UpgradeConfig] | None = None,
        traffic: Traffic | None = None,
    ) -> None:
        """``transports``: the first that takes an address dials it, and listens on it.

        ``prober``: another identity for probe(); None: this node's own. ``traffic`` None: counted, not limited.
        """
        self.config = config
        self.handlers: dict[str, Handler] = {}
        self.on_connected: list[Callable[[Connection], Awaitable[None]]] = []
        """Awaited for each new connection before connect() returns; identify is the first."""
        self.on_disconnected: list[Callable[[PeerId], None]] = []
        """Called when the last connection to a peer is gone, or the last one that is not limited."""
        self.on_lost: list[Callable[[PeerId], None]] = []
        """As on_disconnected, but only when this node did not mean to end the last connection."""
        self.on_reduced: list[Callable[[PeerId], None]] = []
        """Called when one of several connections to a peer is gone: what was asked over it has no answer."""
        self.peer_store = store
        self._upgrade = upgrade
        self.clock = clock
        self._transports = tuple(transports)
        self._prober = prober
        self.traffic = traffic or Traffic(clock)
        self._end = LocalEnd(upgrade, ConnectionConfig(self.handlers, config.timeouts, clock, self.traffic))
        self._connections: dict[PeerId, list[Connection]] = {}
        self._handshakes: Pending[Connection] = Pending(config.max_pending_inbound)
        self._rate = DialRate(clock())
        self._dials: dict[PeerId, tuple[PeerDial, asyncio.Task[Connection]]] = {}
        self._pending_dials: Pending[Attempt] = Pending(DIALS_PENDING.amount)
        self.renewals = Renewals(self._dial_beside, clock)
        self._listening: list[Listening] = []
        self._tasks = Tasks()
        self._shedding = Shedding(log)
        self._closing = False

    @property
    def identity(self) -> PrivateKey:
        return self._upgrade.identity

    @property
    def local_peer(self) -> PeerId:
        return self._upgrade.identity.peer_id

    # --- listening

    async def listen(self, addrs: Sequence[Multiaddr]) -> None:
        """Bind the addresses that a transport takes; others are skipped, and named in the log. Raises CannotListen."""
        if strange := [addr for addr in addrs if not self.takes(addr)]:
            log.warning("no transport here listens on %s", ", ".join(map(str, strange)))
        for transport in self._transports:
            if wanted := [addr for addr in addrs if self._transport_of(addr) is transport]:
                self._listening.append(await transport.listen(wanted, self._end, self._accept))

    def listen_addrs(self) -> list[Multiaddr]:
        """Bound addresses, wildcards as they are."""
        return [addr for one in self._listening for addr in one.addrs]

    def add_transport(self, transport: Transport) -> None:
        """One more, which is asked last. Before listen()."""
        self._transports = (*self._transports, transport)

    def greet_with(self, protocol: str) -> None:
        """The protocol of the first request of each connection (Connection.greeting). Before listen()."""
        self._end = replace(self._end, connections=replace(self._end.connections, greeting=protocol))

    def _dials_quic(self, addr: Multiaddr) -> bool:
        return addr.quic_endpoint() is not None and self.takes(addr)

    def takes(self, addr: Multiaddr) -> bool:
        """Whether a transport here dials addresses of this form."""
        return self._transport_of(addr) is not None

    def _transport_of(self, addr: Multiaddr) -> Transport | None:
        return next((transport for transport in self._transports if transport.takes(addr)), None)

    def _accept(self, connection: Connection) -> None:
        self._tasks.spawn(logged(self._welcome(connection), log))

    async def _welcome(self, connection: Connection) -> None:
        await connection.made
        if connection.closed.done():
            return
        addr = connection.remote_addr
        assert addr is not None  # it is made
        self._handshakes.add(connection, host_key(addr.encode()))
        if (crowded := self._handshakes.surplus(rather=lambda one: one.silent)) is not None:
            self._shedding.note("inbound handshakes ended for others")
            crowded.close("too many handshakes at once")
        try:
            await connection.upgraded
        except CideryError as exc:
            log.debug("inbound handshake: %s", exc)
            return
        except asyncio.CancelledError:
            connection.close("node is stopping")
            raise
        finally:
            self._handshakes.discard(connection)
        peer = connection.peer
        known = self._connections.get(peer, [])
        if len(known) >= MAX_PER_PEER or (not known and self.connection_count() >= self.config.max_connections):
            self._shedding.note("inbound connections refused")
            connection.close("connection limit reached")
            return
        if not self.config.addresses.allows(addr):
            connection.close("its address is not allowed here")
            return
        await self._register(connection)

    # --- dialling

    async def connect(self, addr: Multiaddr, *, patient: bool = False) -> PeerId:
        """Connect to ``.../p2p/ID``, unless already connected. As dial(). Raises also InvalidInput.

        With an address, an open connection counts only if something comes over it after a ping: a peer that was killed
        and is back would be taken for connected until the silence of its former life has lasted long enough.
        """
        if addr.peer_id_bytes is None:
            raise InvalidInput(f"{addr} does not say which peer is there: add /p2p/PEER_ID")
        peer = PeerId.decode(addr.peer_id_bytes)
        if not addr.without_peer().components:
            await self.dial(peer, patient=patient)
        else:
            while (connection := self.best(peer)) is not None and not await self._answers(connection):
                if connection.usable:  # else it ends already, and may finish its streams
                    connection.close("it does not answer, and its peer is dialled again")
            await self.dial(peer, [addr.without_peer()], patient=patient)
        return peer

    async def dial(
        self,
        peer: PeerId,
        addrs: Sequence[Multiaddr] = (),
        *,
        patient: bool = False,
        allows: Callable[[Multiaddr], bool] | None = None,
    ) -> Connection:
        """A connection to ``peer``: an open one, or a new one from the given and the known addresses.

        One that is limited comes only where nothing else can be dialled.

        Calls for the same peer at the same time share one dial.

        Args:
            patient: wait until every address has failed, which takes the system some two minutes; else for
                Timeouts.dial() seconds, and the dial continues in the background.
            allows: which of the addresses this call may dial; None: all that the config allows.
        Raises:
            DialFailed, StillDialling, LimitExceeded.
        Cancellation: safe, the dial continues for the others.
        """
        if peer == self.local_peer:
            raise SelfDial()
        if (connection := self.best(peer)) is not None:
            return connection
        addrs = list(dict.fromkeys([*addrs, *self.peer_store.addrs(peer)]))
        addrs = addrs if allows is None else list(filter(allows, addrs))
        if (limited := self.best(peer, limited=True)) is not None:
            addrs = [addr for addr in addrs if not is_relayed(addr)]
            if not addrs:
                return limited
        running = self._dials.get(peer)
        if running is None or running[0].over:
            if not addrs:
                raise DialFailed(peer, [])
            running = self._start_dial(peer)
        dial, task = running
        dial.add(addrs)
        return await dial.wait(task, patient=patient)

    def _dial_beside(self, peer: PeerId) -> asyncio.Task[Connection] | None:
        addrs = [addr for addr in self.peer_store.addrs(peer) if not is_relayed(addr)]
        if peer in self._dials or not addrs:
            return None
        dial, task = self._start_dial(peer)
        dial.add(addrs)
        return task

    def _start_dial(self, peer: PeerId) -> tuple[PeerDial, asyncio.Task[Connection]]:
        store, timeouts = self.peer_store, self.config.timeouts
        dial = PeerDial(
            peer,
            lambda addr, begun: self._dial_addr(peer, addr, begun),
            early=lambda addr: timeouts.dial(store.round_trip(peer, addr)),
            on_failure=store.dial_failed,
            pending=self._pending_dials,
            rank=lambda addrs: ranked(addrs, is_quic=self._dials_quic, round_trip=partial(store.round_trip, peer)),
            on_given_up=lambda: self._shedding.note("silent addresses no longer dialled"),
            clock=self.clock,
        )
        task = asyncio.get_running_loop().create_task(self._finish_dial(dial))
        self._dials[peer] = dial, task
        task.add_done_callback(lambda done: self._dial_done(peer, done))
        return dial, task

    def _dial_done(self, peer: PeerId, task: asyncio.Task[Connection]) -> None:
        if peer in self._dials and self._dials[peer][1] is task:
            del self._dials[peer]
        if not task.cancelled():
            task.exception()  # its waiters may be gone

    async def _finish_dial(self, dial: PeerDial) -> Connection:
        connection = await dial.run()
        assert connection.remote_addr is not None  # its transport sets it
        self.peer_store.dial_succeeded(connection.remote_addr)
        self.peer_store.add_addrs(dial.peer, [connection.remote_addr], trusted=True)
        await self._register(connection)
        return connection

    async def _dial_addr(self, peer: PeerId, addr: Multiaddr, begun: Callable[[], None]) -> Connection:
        transport = self._transport_of(addr)
        if transport is None:
            raise UnsupportedAddress(addr)
        self.config.addresses.check(addr)
        await self._turn(addr)
        begun()
        known = self.peer_store.round_trip(peer, addr)
        return await transport.dial(addr, peer, self._end, seconds=self.config.timeouts.patience, round_trip=known)

    async def _turn(self, addr: Multiaddr) -> None:
        """Wait until one more dial of the host may begin."""
        raw = addr.encode()
        wait = self._rate.reserve(raw, self.clock())
        if wait:
            try:
                await asyncio.sleep(wait)
            except asyncio.CancelledError:
                self._rate.give_back(raw)
                raise

    async def probe(self, peer: PeerId, addr: Multiaddr, seconds: float) -> Connection:
        """A new connection to one address, beside those that are open and not among them; the caller closes it.

        ``seconds``: the most that it may take.

        It is made under another identity, which serves nothing: the peer would take one of ours for a second
        connection to this node, send what it has to say over it, and lose that when it is closed.

        Raises CideryError kinds, OSError, TimeoutError. Cancel-safe.
        """
        transport = self._transport_of(addr)
        if transport is None:
            raise UnsupportedAddress(addr)
        self.config.addresses.check(addr)
        return await transport.dial(addr, peer, self._stranger, seconds=seconds)

    async def punch(self, peer: PeerId, addr: Multiaddr, seconds: float, *, client: bool | None) -> None:
        """Dial one address while the peer dials this node; what comes of it is a connection like others.

        ``client``: whether this side is the client then, which has to be agreed on; None: the peer does not dial, and
        this is a dial beside the connections that there are. Raises as probe(). Cancel-safe.
        """
        transport = self._transport_of(addr)
        self.config.addresses.check(addr)
        if transport is not None and client is None:
            made: Connection | None = await transport.dial(addr, peer, self._end, seconds=seconds)
        elif client is not None and isinstance(transport, Punching):
            made = await transport.punch(addr, peer, self._end, seconds=seconds, client=client)
        else:
            raise UnsupportedAddress(addr)
        if made is not None:
            await self._register(made)

    @cached_property
    def _stranger(self) -> LocalEnd:
        upgrade = self._prober() if self._prober is not None else self._upgrade
        return LocalEnd(upgrade, ConnectionConfig({}, self.config.timeouts, self.clock, self.traffic), apart=True)

    # --- connections

    def best(self, peer: PeerId, *, limited: bool = False) -> Connection | None:
        """The usable connection with the least delay; last those where a ping waits and nothing was heard since.

        Relayed ones come after all others, and limited ones count only with ``limited``.
        """
        usable = [c for c in self._connections.get(peer, []) if c.usable and (limited or not c.limited)]
        if len(usable) > 1:
            return min(usable, key=lambda c: (c.relayed, c.unanswered > 0.0, c.round_trip.smoothed or 0.0))
        return usable[0] if usable else None

    def close_from(self, hosts: Collection[str]) -> set[PeerId]:
        """Close what was made from these addresses, which this machine has no more; whom that concerns."""
        stale = [connection for connection in self.connections() if connection.local_host() in hosts]
        for connection in stale:
            connection.close("this machine has another address now")
        return {connection.peer for connection in stale}

    @property
    def busy(self) -> bool:
        """Whether a peer is connected or being dialled."""
        return bool(self._connections or self._dials)

    def peers(self) -> list[PeerId]:
        return list(self._connections)

    @property
    def pending_inbound(self) -> int:
        """Inbound connections in their handshake."""
        return len(self._handshakes)

    @property
    def held_bytes(self) -> int:
        """Bytes that came and are not read yet, of all connections, at the last looks."""
        return self._end.connections.received.held

    def connections(self, only: PeerId | None = None) -> list[Connection]:
        """All, or those to one peer."""
        if only is not None:
            return list(self._connections.get(only, ()))
        return [connection for several in self._connections.values() for connection in several]

    def connection_count(self) -> int:
        return sum(map(len, self._connections.values()))

    async def open_stream(self, peer: PeerId, protocols: Sequence[str], *, optimistic: bool = False) -> Stream:
        """A stream to ``peer``, dialling if need be, but not through relays."""
        connection = self.best(peer) or await self.dial(peer, allows=lambda addr: not is_relayed(addr))
        return await connection.open_stream(protocols, optimistic=optimistic)

    def disconnect(self, peer: PeerId) -> bool:
        """Close all connections to a peer; False if there were none."""
        several = list(self._connections.get(peer, []))
        for connection in several:
            connection.close("disconnected by the user")
        return bool(several)

    async def close(self) -> None:
        """Stop listening, close every connection, wait for their tasks."""
        self._closing = True
        for listening in self._listening:
            listening.close()
        for _, task in list(self._dials.values()):
            task.cancel()
        for connection in self.connections():
            connection.close("node is stopping")
        await self._tasks.close()
        self._end.connections.joining.close()
        for transport in self._transports:
            transport.close()
        self._shedding.report()
        self.peer_store.save()

    async def _register(self, connection: Connection) -> None:
        peer = connection.peer
        if self._closing:
            connection.close("node is stopping")
            raise LimitExceeded("the node is stopping")
        several = self._connections.setdefault(peer, [])
        for earlier in several:
            self._tasks.spawn(logged(self._try_again(earlier), log))
        several.append(connection)
        self._remember_distance(connection)
        connection.closed.add_done_callback(lambda _: self._forget(peer, connection))
        if connection.closed.done():
            return
        if len(several) > 1 and self.local_peer < peer:
            self._tasks.spawn(logged(self._resolve_duplicate(peer), log))
        for hook in self.on_connected:
            await hook(connection)

    def _remember_distance(self, connection: Connection) -> None:
        if connection.relayed:
            return  # the relay is nearer than the peer, or farther
        if connection.remote_addr is not None and connection.round_trip.smoothed is not None:
            self.peer_store.note_round_trip(connection.peer, connection.remote_addr, connection.round_trip.smoothed)

    def _forget(self, peer: PeerId, connection: Connection) -> None:
        self._remember_distance(connection)
        several = self._connections.get(peer, [])
        if connection in several:
            several.remove(connection)
        known = peer in self._connections
        for reduced in self.on_reduced if several else ():
            reduced(peer)
        if not several:
            self._connections.pop(peer, None)
            self.peer_store.parted(peer)
            self.traffic.peers.parted(peer)
        if known and (not several or not connection.limited and all(one.limited for one in several)):
            for hook in self.on_disconnected if connection.closed_here else (*self.on_disconnected, *self.on_lost):
                hook(peer)

    async def _try_again(self, earlier: Connection) -> None:
        """See whether the peer is still there: one that has moved comes again, and would be written to in vain."""
        earlier.ping()
        await asyncio.sleep(earlier.wait(DOUBTFUL))
        if earlier.unanswered:
            earlier.close("the peer came again and does not answer here")

    async def _answers(self, connection: Connection) -> bool:
        """Whether anything comes after a ping, within the wait that makes a connection doubtful."""
        asked = self.clock()
        connection.ping()
        while connection.usable and self.clock() < asked + connection.wait(DOUBTFUL):
            await asyncio.sleep(connection.round_trip.smoothed or LOOKS)
            if connection.heard_at > asked:
                return True
        return False

    async def _resolve_duplicate(self, peer: PeerId) -> None:
        """Close the duplicates of the best connection that carry nothing, after announcing it."""
        best = self.best(peer)
        if best is None:
            return
        await asyncio.sleep(best.wait(DUPLICATE_GRACE))
        # Chosen only now: a dial-back of AutoNAT is over, and must not have cost the connection that it was made for.
        several = [c for c in self._connections.get(peer, []) if c.usable]
        best = self.best(peer)
        if best is None or len(several) < 2:
            return
        for connection in several:
            if connection is best or connection.streams:
                continue
            connection.announce_close()
            await asyncio.sleep(connection.wait(DUPLICATE_GRACE))
            if not connection.streams:
                connection.close("duplicate")
