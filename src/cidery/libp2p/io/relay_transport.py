"""Relayed addresses as a Transport: a stream to a relay becomes the byte stream that the usual upgrade runs over.

The relay sees ciphertext. What it brings from others is taken only from relays where this node has a reservation.

Spec: https://github.com/libp2p/specs/blob/master/relay/circuit-v2.md
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from cidery.identity.peer_id import PeerId
from cidery.libp2p.io.connection import Connection, ConnectionFailed
from cidery.libp2p.io.dial_errors import UnsupportedAddress
from cidery.libp2p.io.stream import Stream
from cidery.libp2p.io.stream_socket import StreamSocket
from cidery.libp2p.io.swarm import Swarm
from cidery.libp2p.io.transport import Accept, LocalEnd
from cidery.libp2p.io.upgraded import UpgradedConnection
from cidery.libp2p.protocols.relay_client import connected
from cidery.libp2p.protocols.relay_messages import (
    HOP,
    MAX_MESSAGE,
    STOP,
    HopMessage,
    HopType,
    Peer,
    RelayError,
    RelayLimit,
    Status,
    StopMessage,
    StopType,
)
from cidery.libp2p.protocols.relayed import CIRCUIT, Allowed, Circuit, circuit_of, is_relayed, through
from cidery.libp2p.protocols.upgrade import upgrade_inbound, upgrade_outbound
from cidery.multiformats.multiaddr import Multiaddr

log = logging.getLogger("cidery.libp2p")

HOP_BASE = 30.0
"""Seconds, beside round trips, that a relay may take to answer: it has to ask the other peer."""
STOP_BASE = 10.0
"""Seconds, beside round trips, for a relay to say whom it brings."""


async def ask_hop(stream: Stream, message: HopMessage) -> HopMessage:
    """One request to a relay, and its answer. Raises RelayError, StreamReset, VarintError ..."""
    await stream.write_message(message.encode())
    return HopMessage.decode(await stream.read_message(MAX_MESSAGE) or b"")


class RelayListening:
    """Satisfies transport.Listening. Where it can be reached depends on the reservations."""

    addrs: Sequence[Multiaddr] = ()

    def __init__(self, refuse: Callable[[], None]) -> None:
        self._refuse = refuse

    def close(self) -> None:
        self._refuse()


class RelayTransport:
    """Satisfies transport.Transport. Listens on /p2p-circuit; dials <relay>/p2p/RELAY/p2p-circuit."""

    def __init__(self, swarm: Swarm) -> None:
        self._swarm = swarm
        self.reserved: Callable[[PeerId], bool] = lambda _: False
        """Whether a relay may bring others here."""
        self._accept: tuple[LocalEnd, Accept] | None = None

    def takes(self, addr: Multiaddr) -> bool:
        if addr == CIRCUIT:
            return True
        circuit = circuit_of(addr)
        return circuit is not None and (not circuit.addr.components or self._swarm.takes(circuit.addr))

    # --- dialling

    async def dial(
        self, addr: Multiaddr, peer: PeerId, end: LocalEnd, *, seconds: float, round_trip: float | None = None
    ) -> Connection:
        """As Transport.dial(). Raises also Refused."""
        circuit = circuit_of(addr)
        if circuit is None or circuit.relay in (peer, self._swarm.local_peer):
            raise UnsupportedAddress(addr)
        async with asyncio.timeout(seconds):
            relay = await self._relay(circuit)
            stream = await relay.open_stream([HOP])
            try:
                async with asyncio.timeout(relay.wait(HOP_BASE, 8.0)):
                    asked = HopMessage(HopType.CONNECT, Peer(peer))
                    limit = connected(await ask_hop(stream, asked))
            except BaseException:
                stream.reset("dial given up")
                raise
            connection = _over(stream, end, limit, outbound_to=peer)
            connection.remote_addr = addr.without_peer()
            try:
                StreamSocket(stream, connection).start()
                connection.expect_round_trip(2 * (relay.round_trip.smoothed or 0.0))
                await asyncio.shield(connection.upgraded)
            except BaseException:
                connection.close("dial given up")
                raise
        return connection

    async def _relay(self, circuit: Circuit) -> Connection:
        """A connection to the relay itself. Raises DialFailed, RelayError."""
        addrs = [circuit.addr] if circuit.addr.components else []
        relay = await self._swarm.dial(circuit.relay, addrs, allows=lambda addr: not is_relayed(addr))
        if relay.relayed:
            raise RelayError("a relay that is itself reached through a relay")
        return relay

    # --- what relays bring

    async def listen(self, addrs: Sequence[Multiaddr], end: LocalEnd, accept: Accept) -> RelayListening:
        self._accept = (end, accept)
        self._swarm.handlers[STOP] = self._brought
        return RelayListening(self._refuse)

    def _refuse(self) -> None:
        self._accept = None

    async def _brought(self, stream: Stream) -> None:
        """A relay says that a peer wants a connection; its stream lives as long as that."""
        relay = stream.connection
        assert isinstance(relay, Connection)
        async with asyncio.timeout(relay.wait(STOP_BASE)):
            try:
                message = StopMessage.decode(await stream.read_message(MAX_MESSAGE) or b"")
                status = self._judged(relay, message)
            except RelayError:
                status = Status.MALFORMED
            await stream.write_message(StopMessage(StopType.STATUS, status=status).encode())
        if status is not Status.OK or self._accept is None:
            return
        assert message.peer is not None and relay.remote_addr is not None  # it was judged
        end, accept = self._accept
        claimed = message.peer.peer
        connection = _over(stream, end, message.limit or RelayLimit())
        connection.remote_addr = through(relay.peer, relay.remote_addr.without_peer())

        def check(upgraded: asyncio.Future[None]) -> None:
            if not upgraded.cancelled() and upgraded.exception() is None and connection.peer != claimed:
                connection.fail(ConnectionFailed(f"the relay said that {claimed} would come"))

        connection.upgraded.add_done_callback(check)
        accept(connection)
        socket = StreamSocket(stream, connection)
        socket.start()
        connection.expect_round_trip(2 * (relay.round_trip.smoothed or 0.0))
        try:
            await asyncio.shield(socket.ended)  # which reads the rest: a stream has one reader at a time
        except asyncio.CancelledError:
            connection.fail(ConnectionFailed("the connection to the relay ended"))
            raise

    def _judged(self, relay: Connection, message: StopMessage) -> Status:
        if message.type is not StopType.CONNECT:
            return Status.UNEXPECTED
        if message.peer is None:
            return Status.MALFORMED
        if relay.relayed or not self.reserved(relay.peer) or message.peer.peer in (self._swarm.local_peer, relay.peer):
            return Status.PERMISSION_DENIED
        return Status.OK if self._accept is not None else Status.CONNECTION_FAILED

    def close(self) -> None:
        self._accept = None


def _over(stream: Stream, end: LocalEnd, limit: RelayLimit, outbound_to: PeerId | None = None) -> UpgradedConnection:
    """The connection that a stream to a relay will carry."""
    config = replace(end.connections, handlers=Allowed(end.connections.handlers)) if limit.limits else end.connections
    steps = upgrade_inbound(end.upgrade) if outbound_to is None else upgrade_outbound(end.upgrade, outbound_to)
    connection = UpgradedConnection(config, steps, outbound=outbound_to is not None)
    connection.relayed, connection.limited = True, limit.limits
    return connection
