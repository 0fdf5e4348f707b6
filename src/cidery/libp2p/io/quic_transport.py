"""QUIC as a Transport: a UDP socket for each listener, which dials too, shared by connections told apart by their ids.

Spec: https://github.com/libp2p/specs/blob/master/quic/README.md
"""

from __future__ import annotations

import asyncio
import datetime
import importlib
import logging
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import TYPE_CHECKING

from cidery.budgets import QUIC_HANDSHAKES, UNPROVEN_HANDSHAKES, Bucket
from cidery.host_names import addresses_of
from cidery.identity.peer_id import PeerId
from cidery.libp2p.io.connection import Connection, ConnectionFailed
from cidery.libp2p.io.dial_errors import UnsupportedAddress, reason_of
from cidery.libp2p.io.quic_connection import QuicConnection
from cidery.libp2p.io.transport import Accept, CannotListen, LocalEnd
from cidery.libp2p.io.udp_socket import Bind, Datagrams, DatagramSocket, UdpSocket
from cidery.libp2p.protocols.addresses import Scope, scope_of
from cidery.libp2p.protocols.quic_core import (
    CONNECTION_ID_SIZE,
    IDLE_TIMEOUT,
    LARGE_DATAGRAM,
    LEAST_INITIAL,
    SAFE_DATAGRAM,
    Endpoint,
)
from cidery.libp2p.protocols.quic_reset import Resets
from cidery.libp2p.protocols.quic_retry import KEY_SIZE, RetryTokens
from cidery.multiformats.address_filter import AddressFilter, AddressForbidden
from cidery.multiformats.multiaddr import Multiaddr

if TYPE_CHECKING:
    from cidery.libp2p.protocols.qh3_core import Opening, Qh3Core, Qh3Identity

log = logging.getLogger("cidery.libp2p")

LONG_HEADER = 0x80
"""Bit of a datagram's first byte (RFC 9000, section 17)."""


PUNCH_SIZE = 64
"""Bytes of a datagram that opens a NAT."""


class QuicListening:
    """Bound sockets. Satisfies transport.Listening."""

    def __init__(self, sockets: Sequence[DatagramSocket], refuse: Callable[[], None]) -> None:
        self.addrs = [Multiaddr.quic(*one.endpoint) for one in sockets]
        self._refuse = refuse

    def close(self) -> None:
        self._refuse()


class QuicTransport:
    """Addresses with /udp/N/quic-v1. Satisfies transport.Transport. The library is imported when it is first needed."""

    def __init__(
        self,
        addresses: AddressFilter,
        clock: Callable[[], float],
        entropy: Callable[[int], bytes],
        wall_clock: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC),
        bind: Bind = UdpSocket.bound,
    ) -> None:
        """``addresses``: from where to accept, and where names may lead. ``wall_clock``: for certificates."""
        self._addresses = addresses
        self._clock = clock
        self._entropy = entropy
        self._wall_clock = wall_clock
        self._binder = bind
        self._ids: dict[bytes, QuicConnection] = {}
        self._targets: dict[Endpoint, QuicConnection] = {}
        """The newest to each address."""
        self._listening: list[DatagramSocket] = []
        self._dialling: dict[int, DatagramSocket] = {}
        """Sockets that only dial, by the version of IP."""
        self._off = False
        self._accept: tuple[LocalEnd, Accept] | None = None
        self._identities: dict[PeerId, Qh3Identity] = {}
        self._unproven: set[QuicConnection] = set()
        self._rate = Bucket(QUIC_HANDSHAKES, clock())
        self._resets: Resets | None = None
        self._tokens = RetryTokens(entropy(KEY_SIZE))

    def takes(self, addr: Multiaddr) -> bool:
        endpoint = addr.quic_endpoint()
        # a zone has no place in the library's addresses
        return endpoint is not None and "%" not in endpoint[0] and not self._off

    def _works(self) -> bool:
        """Whether the library can be imported; if not, QUIC is off from now on."""
        if not self._off:
            try:
                importlib.import_module("cidery.libp2p.protocols.qh3_core")
            except ImportError as exc:
                self._off = True
                log.warning("QUIC is off: the package qh3 cannot be loaded: %s", exc)
        return not self._off

    # --- listening

    async def listen(self, addrs: Sequence[Multiaddr], end: LocalEnd, accept: Accept) -> QuicListening:
        bound: list[DatagramSocket] = []
        try:
            for addr in addrs:
                endpoint = addr.quic_endpoint()
                if endpoint is None:
                    raise UnsupportedAddress(addr)
                host, port = endpoint
                try:
                    bound += [self._bind(ip, port) for _, ip in await addresses_of(host)]
                except OSError as exc:
                    raise CannotListen(addr, reason_of(exc)) from exc
        except BaseException:
            for sock in bound:
                sock.close()
            raise
        self._accept = (end, accept)
        self._resets = Resets(end.upgrade.identity.encode(), self._entropy, self._clock())
        self._listening = bound
        return QuicListening(bound, self._refuse)

    def _bind(self, host: str, port: int) -> DatagramSocket:
        sock = self._binder(host, port, lambda datagrams: self._receive(sock, datagrams))
        return sock

    def _refuse(self) -> None:
        self._accept = None

    def _receive(self, sock: DatagramSocket, datagrams: Datagrams) -> None:
        """Give each connection its datagrams, those of one source at a time, and let it answer once."""
        if not self._works():
            return
        from cidery.libp2p.protocols import qh3_core

        sock.batch_by(qh3_core.batching)
        groups: dict[tuple[QuicConnection, Endpoint], list[bytes]] = {}
        for data, address in datagrams:
            source = (str(address[0]), int(str(address[1])))
            connection = self._ids.get(_destination(data))
            if connection is not None:
                groups.setdefault((connection, source), []).append(data)
            elif data and data[0] & LONG_HEADER:
                if self._accept is not None:
                    self._open(sock, data, source)
            else:
                self._stray(sock, data, source)
        for (connection, source), several in groups.items():
            connection.receive(several, source)
        for connection in dict.fromkeys(connection for connection, _ in groups):
            connection.flush()

    def _stray(self, sock: DatagramSocket, data: bytes, source: Endpoint) -> None:
        """A datagram of a connection that is unknown here: perhaps the peer says the same of one of ours (a reset)."""
        connection = self._targets.get(source)
        if connection is not None and connection.secured is not None:
            connection.receive([data], source)
            connection.flush()
            if connection.closed.done():
                return
        if self._resets is not None and not sock.blocked and (answer := self._resets.answer(data, self._clock())):
            sock.send([answer], source)

    def _open(self, sock: DatagramSocket, data: bytes, source: Endpoint) -> None:
        """A datagram of no connection: the beginning of one, or nothing."""
        # "A server MUST discard an Initial packet that is carried in a UDP datagram ... smaller than the smallest
        # allowed maximum datagram size of 1200 bytes." So an answer is never longer than three times the question.
        if len(data) < LEAST_INITIAL or not self._addresses.allows_host(source[0]):
            return
        from cidery.libp2p.protocols import qh3_core

        asked = qh3_core.opening(data)
        if asked is None or sock.blocked:
            return
        if asked.version != qh3_core.VERSION:
            if asked.version:
                sock.send([qh3_core.versions(asked)], source)
            return
        # "MUST be at least 8 bytes in length": RFC 9000, section 7.2
        if not asked.is_initial or len(asked.destination_id) < CONNECTION_ID_SIZE:
            return
        original = self._tokens.original_id(asked.token, source, asked.destination_id, self._clock())
        if original is None and len(self._unproven) >= UNPROVEN_HANDSHAKES.amount:
            retry_id = self._entropy(CONNECTION_ID_SIZE)
            token = self._tokens.make(source, asked.destination_id, retry_id, self._clock())
            sock.send([qh3_core.retry(asked, retry_id, token)], source)
            return
        if self._rate.reserve(self._clock()):
            self._rate.give_back()
            return
        core = self._answering(asked, original, source)
        core.receive([data], source, self._clock())
        if not core.without_hello:
            connection = self._accepting(core, sock, asked, original, source)
            connection.came(len(data))
            connection.flush()

    def _answering(self, asked: Opening, original: bytes | None, source: Endpoint) -> Qh3Core:
        from cidery.libp2p.protocols.qh3_core import Qh3Core

        assert self._accept is not None
        return Qh3Core.accepting(
            self._identity(self._accept[0]),
            _datagram_size(source[0]),
            original or asked.destination_id,
            None if original is None else asked.destination_id,
            None if self._resets is None else self._resets.token,
        )

    def _accepting(
        self, core: Qh3Core, sock: DatagramSocket, asked: Opening, original: bytes | None, source: Endpoint
    ) -> QuicConnection:
        assert self._accept is not None
        end, accept = self._accept
        connection = self._connection(end, core, sock, Multiaddr.quic(*source), None, IDLE_TIMEOUT)
        connection.answer_to(asked.destination_id)
        if original is None:
            self._unproven.add(connection)
            for outcome in (connection.upgraded, connection.closed):
                outcome.add_done_callback(lambda _: self._unproven.discard(connection))
        accept(connection)
        return connection

    # --- dialling

    async def dial(
        self, addr: Multiaddr, peer: PeerId, end: LocalEnd, *, seconds: float, round_trip: float | None = None
    ) -> Connection:
        """As Transport.dial(). Silence ends it after Timeouts.datagram_base, once something came after IDLE_TIMEOUT."""
        endpoint = addr.quic_endpoint()
        if endpoint is None:
            raise UnsupportedAddress(addr)
        if not self._works():
            raise UnsupportedAddress(addr)
        host, port = endpoint
        failure: Exception = OSError(f"{host} has no address")
        async with asyncio.timeout(seconds):
            for _, ip in await addresses_of(host):
                try:
                    self._addresses.check_host(ip)
                    return await self._dial(addr, (ip, port), peer, end, round_trip)
                except (OSError, AddressForbidden, ConnectionFailed) as exc:
                    failure = exc
        raise failure

    async def _dial(
        self, addr: Multiaddr, target: Endpoint, peer: PeerId, end: LocalEnd, round_trip: float | None
    ) -> QuicConnection:
        from cidery.libp2p.protocols.qh3_core import Qh3Core, batching

        core = Qh3Core.dialling(self._identity(end), target, _datagram_size(target[0]), self._clock())
        sock = self._bind(_everywhere(target[0]), 0) if end.apart else self._socket_towards(target[0])
        sock.batch_by(batching)
        timeouts = end.connections.timeouts
        silence = min(IDLE_TIMEOUT, timeouts.wait(timeouts.datagram_base, round_trip))
        connection = self._connection(end, core, sock, addr, peer, silence)
        if end.apart:
            connection.closed.add_done_callback(lambda _: sock.close())
        try:
            connection.flush()
            await asyncio.shield(connection.upgraded)
        except BaseException:
            connection.close("dial given up")
            raise
        return connection

    async def punch(
        self, addr: Multiaddr, peer: PeerId, end: LocalEnd, *, seconds: float, client: bool
    ) -> Connection | None:
        """As Punching.punch(): the client dials, the other side opens its NAT by datagrams that mean nothing."""
        if client:
            return await self.dial(addr, peer, end, seconds=seconds)
        endpoint = addr.quic_endpoint()
        if endpoint is None:
            raise UnsupportedAddress(addr)
        self._addresses.check_host(endpoint[0])
        sock = self._socket_towards(endpoint[0])
        if sock not in self._listening:
            raise UnsupportedAddress(addr)
        async with asyncio.timeout(seconds):
            while True:
                # "B sends UDP packets filled with random bytes ... waiting for 10-200 ms between packets"
                noise = self._entropy(PUNCH_SIZE + 2)
                sock.send([bytes([noise[0] & ~LONG_HEADER]) + noise[3:]], endpoint)
                await asyncio.sleep(0.010 + 0.190 * int.from_bytes(noise[1:3], "big") / 65536)

    def _socket_towards(self, ip: str) -> DatagramSocket:
        """One that listens, if it can reach the address: peers then see where this node listens. Else one to dial."""
        wanted = ip_address(ip)
        for sock in self._listening:
            bound = ip_address(sock.endpoint[0])
            if bound.version == wanted.version and (bound.is_unspecified or bound.is_loopback == wanted.is_loopback):
                return sock
        if wanted.version not in self._dialling:
            self._dialling[wanted.version] = self._bind(_everywhere(ip), 0)
        return self._dialling[wanted.version]

    # --- inside

    def _connection(
        self,
        end: LocalEnd,
        core: Qh3Core,
        sock: DatagramSocket,
        addr: Multiaddr,
        expected: PeerId | None,
        handshake_wait: float,
    ) -> QuicConnection:
        return QuicConnection(
            end.connections,
            core,
            sock,
            addr,
            ids=self._ids,
            targets=self._targets,
            expected=expected,
            handshake_wait=handshake_wait,
            wall_clock=self._wall_clock,
        )

    def _identity(self, end: LocalEnd) -> Qh3Identity:
        peer = end.upgrade.identity.peer_id
        identity = self._identities.get(peer)
        if identity is None:
            from cidery.libp2p.protocols.qh3_core import Qh3Identity

            identity = self._identities[peer] = Qh3Identity(end.upgrade.certificate())
        return identity

    def close(self) -> None:
        self._accept = None
        for sock in (*self._listening, *self._dialling.values()):
            sock.close()


def _everywhere(ip: str) -> str:
    """The wildcard of the version of ``ip``."""
    return "::" if ":" in ip else "0.0.0.0"


def _destination(data: bytes) -> bytes:
    """The id that a datagram is addressed to, by its first packet; b"" for garbage."""
    if not data:
        return b""
    if data[0] & LONG_HEADER:
        return data[6 : 6 + data[5]] if len(data) > 5 else b""
    return data[1 : 1 + CONNECTION_ID_SIZE]


def _datagram_size(ip: str) -> int:
    """Bytes: on this machine and the nets at hand what Ethernet carries, elsewhere what every path does."""
    near = scope_of(Multiaddr.quic(ip, 0).encode()) in (Scope.LOOPBACK, Scope.PRIVATE)
    return LARGE_DATAGRAM if near else SAFE_DATAGRAM
