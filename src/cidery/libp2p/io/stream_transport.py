"""A Transport over byte streams: TCP, or what satisfies ByteNetwork, upgraded by a handshake to a whole connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from cidery.identity.peer_id import PeerId
from cidery.libp2p.io.byte_network import ByteNetwork, Listener
from cidery.libp2p.io.connection import Connection, ConnectionFailed
from cidery.libp2p.io.dial_errors import Stranger, UnsupportedAddress, reason_of
from cidery.libp2p.io.transport import Accept, CannotListen, LocalEnd
from cidery.libp2p.io.upgraded import UpgradedConnection
from cidery.libp2p.protocols.multistream import MultistreamError, ProtocolNotSupported
from cidery.libp2p.protocols.steps import HandshakeCut
from cidery.libp2p.protocols.upgrade import upgrade_inbound, upgrade_outbound
from cidery.multiformats.multiaddr import Multiaddr


class StreamListening:
    """Bound sockets. Satisfies transport.Listening."""

    def __init__(self, listeners: Sequence[Listener]) -> None:
        self._listeners = listeners
        self.addrs = [Multiaddr.tcp(host.partition("%")[0], port) for one in listeners for host, port in one.endpoints]

    def close(self) -> None:
        for listener in self._listeners:
            listener.close()


class StreamTransport:
    """Plain TCP addresses. Satisfies transport.Transport."""

    def __init__(self, network: ByteNetwork, clock: Callable[[], float]) -> None:
        self._network = network
        self._clock = clock

    def takes(self, addr: Multiaddr) -> bool:
        return addr.tcp_endpoint() is not None

    async def listen(self, addrs: Sequence[Multiaddr], end: LocalEnd, accept: Accept) -> StreamListening:
        def make() -> UpgradedConnection:
            connection = UpgradedConnection(end.connections, upgrade_inbound(end.upgrade), outbound=False)
            accept(connection)
            return connection

        listeners: list[Listener] = []
        with ExitStack() as on_failure:
            for addr in addrs:
                endpoint = addr.tcp_endpoint()
                if endpoint is None:
                    raise UnsupportedAddress(addr)
                try:
                    listeners.append(await self._network.listen(make, *endpoint))
                except OSError as exc:
                    raise CannotListen(addr, reason_of(exc)) from exc
                on_failure.callback(listeners[-1].close)
            on_failure.pop_all()
        return StreamListening(listeners)

    async def dial(
        self, addr: Multiaddr, peer: PeerId, end: LocalEnd, *, seconds: float, round_trip: float | None = None
    ) -> Connection:
        """As Transport.dial(). The system also gives up: Linux sends six SYNs, for about 127 seconds."""

        def make() -> UpgradedConnection:
            return UpgradedConnection(end.connections, upgrade_outbound(end.upgrade, peer), outbound=True)

        endpoint = addr.tcp_endpoint()
        if endpoint is None:
            raise UnsupportedAddress(addr)
        host, port = endpoint
        connection: UpgradedConnection | None = None
        try:
            async with asyncio.timeout(seconds):
                began = self._clock()
                connection = await self._network.connect(make, host, port)
                connection.remote_addr = addr
                connection.expect_round_trip(max(self._clock() - began, round_trip or 0.0))
                await asyncio.shield(connection.upgraded)
        except BaseException as exc:
            if connection is not None:
                connection.close("dial given up")
                if self._network.private and _not_understood(exc):
                    raise Stranger(reason_of(exc)) from exc
            raise
        return connection

    def close(self) -> None:
        """Nothing is left: each connection has its own socket."""


def _not_understood(exc: BaseException) -> bool:
    """Whether a handshake failed as it does without the key: noise, silence, or the end."""
    if isinstance(exc, ProtocolNotSupported):
        return False  # that much was understood
    return isinstance(exc, (TimeoutError, HandshakeCut, MultistreamError, ConnectionFailed))
