"""A Transport over byte streams, upgraded by a handshake to a whole connection: plain TCP, and WebSockets on it.

Plain, WebSocket and TLS addresses of one host and port share a socket; first_bytes.py tells what comes.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import cache
from ipaddress import ip_address
from typing import NamedTuple

from cidery.identity.peer_id import PeerId
from cidery.libp2p.io.byte_network import ByteNetwork, Listener, SharesPorts
from cidery.libp2p.io.connection import Connection, ConnectionFailed
from cidery.libp2p.io.dial_errors import Stranger, UnsupportedAddress, reason_of
from cidery.libp2p.io.first_bytes import PLAIN, WS, WSS, FirstBytes, Form
from cidery.libp2p.io.first_request import FirstRequest, MakeHttp
from cidery.libp2p.io.transport import Accept, CannotListen, LocalEnd
from cidery.libp2p.io.upgraded import UpgradedConnection
from cidery.libp2p.protocols import noise
from cidery.libp2p.protocols.channel import Secured, WrongPeer
from cidery.libp2p.protocols.multistream import MultistreamError, ProtocolNotSupported
from cidery.libp2p.protocols.steps import HandshakeCut, Steps
from cidery.libp2p.protocols.upgrade import upgrade_inbound, upgrade_or_join, upgrade_outbound
from cidery.multiformats.multiaddr import Multiaddr, WsEndpoint

PUNCH_TRIES, PUNCH_PAUSE = 10, 0.1
"""Connections tried in one attempt of a punch where they are refused, and the seconds between them."""
CALM = 0.002
"""Seconds after a handshake until there is time to prepare the next: the peer has asked who this is, and was told."""
WS_ROUND_TRIPS, TLS_ROUND_TRIPS = 1.0, 2.0
"""Beside those of the handshake inside."""


class WebSockets(NamedTuple):
    """How WebSocket addresses are served."""

    tls: Callable[[], ssl.SSLContext | None] | None = None
    """For /tls/ws and /wss, asked for each connection; None: they are dialled only. It gives None while there is no
    certificate."""
    http: MakeHttp | None = None
    """Answers requests for something else under TLS; None: nothing does."""


WEBSOCKETS = WebSockets()


class _Bound(NamedTuple):
    listener: Listener
    addrs: list[Multiaddr]
    """What is listened on there, as wanted."""


class StreamListening:
    """Bound sockets. Satisfies transport.Listening."""

    def __init__(self, bound: Sequence[_Bound]) -> None:
        self._bound = bound
        self.addrs = [
            Multiaddr((*Multiaddr.tcp(host.partition("%")[0], port).components, *_form_of(addr)))
            for one in bound
            for host, port in one.listener.endpoints
            for addr in one.addrs
        ]

    def close(self) -> None:
        for one in self._bound:
            one.listener.close()


class StreamTransport:
    """Plain TCP and WebSocket addresses. Satisfies transport.Transport."""

    def __init__(
        self, network: ByteNetwork, clock: Callable[[], float], websockets: WebSockets | None = WEBSOCKETS
    ) -> None:
        """``websockets`` None: plain TCP only."""
        self._network = network
        self._clock = clock
        self._websockets = websockets
        self._tls = None if websockets is None else websockets.tls
        self._http = None if websockets is None else websockets.http
        self._bound: list[tuple[str, int]] = []

    def takes(self, addr: Multiaddr) -> bool:
        return addr.tcp_endpoint() is not None or self._ws_endpoint(addr) is not None

    def _ws_endpoint(self, addr: Multiaddr) -> WsEndpoint | None:
        return None if self._websockets is None else addr.ws_endpoint()

    async def listen(self, addrs: Sequence[Multiaddr], end: LocalEnd, accept: Accept) -> StreamListening:
        wanted: dict[tuple[str, int], list[Multiaddr]] = {}
        for addr in addrs:
            endpoint = addr.tcp_endpoint() or self._ws_endpoint(addr)
            if endpoint is None:
                raise UnsupportedAddress(addr)
            if isinstance(endpoint, WsEndpoint) and endpoint.secure and self._tls is None:
                raise CannotListen(addr, "no certificate is set; set Swarm.TLS, or AutoTLS.Enabled")
            wanted.setdefault(endpoint[:2], []).append(addr)
        bound: list[_Bound] = []
        with ExitStack() as on_failure:
            for (host, port), several in wanted.items():
                make = self._accepting(frozenset(map(_kind_of, several)), end, accept)
                try:
                    bound.append(_Bound(await self._network.listen(make, host, port), several))
                except OSError as exc:
                    raise CannotListen(several[0], reason_of(exc)) from exc
                on_failure.callback(bound[-1].listener.close)
            on_failure.pop_all()
        self._bound = [endpoint for one in bound for endpoint in one.listener.endpoints]
        return StreamListening(bound)

    def _accepting(
        self, forms: frozenset[Form], end: LocalEnd, accept: Accept
    ) -> Callable[[], asyncio.BufferedProtocol]:
        """Makes what a new socket of these forms is attached to."""

        def prepare(_: asyncio.Future[None]) -> None:
            asyncio.get_running_loop().call_later(CALM, end.upgrade.prepare)

        def make() -> asyncio.BufferedProtocol:
            steps = upgrade_inbound(end.upgrade) if self._network.private else upgrade_or_join(end.upgrade)
            connection = UpgradedConnection(end.connections, steps, outbound=False)
            connection.upgraded.add_done_callback(prepare)
            accept(connection)
            if forms == {PLAIN}:
                return self._network.covered(connection)
            return FirstBytes(connection.begun, lambda form: choose(connection, form))

        def choose(connection: UpgradedConnection, form: Form) -> asyncio.BufferedProtocol | None:
            if form not in forms:
                connection.fail(ConnectionFailed(f"{form[1:] or 'plain TCP'} is not listened for here"))
                return None
            above = self._network.covered(connection)
            if form == PLAIN:
                return above
            tls = self._tls() if form == WSS and self._tls is not None else None
            if form == WSS and tls is None:
                connection.fail(ConnectionFailed("there is no certificate yet"))
                return None
            from cidery.libp2p.io.tls_layer import TlsLayer
            from cidery.libp2p.io.websocket import WebSocketLayer
            from cidery.libp2p.protocols.websocket import WebSocket

            connection.carried(form)
            above = WebSocketLayer(above, WebSocket.server(end.upgrade.entropy))
            if tls is None:
                return above
            secured = TlsLayer(above, tls)
            if self._http is not None:
                secured.above = FirstRequest(connection, above, secured, self._http)
            return secured

        return make

    async def dial(
        self, addr: Multiaddr, peer: PeerId, end: LocalEnd, *, seconds: float, round_trip: float | None = None
    ) -> Connection:
        """As Transport.dial(). The system also gives up: Linux sends six SYNs, for about 127 seconds."""
        endpoint = addr.tcp_endpoint() or self._ws_endpoint(addr)
        if endpoint is None:
            raise UnsupportedAddress(addr)
        steps = upgrade_outbound(end.upgrade, peer, at_once=True)
        try:
            return await self._dialled(addr, endpoint, end, steps, seconds, round_trip)
        except ProtocolNotSupported:
            others = end.upgrade.security[1:]
            if not others:
                raise
        # the peer took what followed the refused proposal for more of them, and there the conversation ended
        steps = upgrade_outbound(replace(end.upgrade, security=others), peer)
        apart = end.apart or noise.PROTOCOL not in others  # which alone gives paths their token
        return await self._dialled(addr, endpoint, replace(end, apart=apart), steps, seconds, round_trip)

    async def _dialled(
        self,
        addr: Multiaddr,
        endpoint: tuple[str, int] | WsEndpoint,
        end: LocalEnd,
        steps: Steps[Secured],
        seconds: float,
        round_trip: float | None,
    ) -> Connection:
        connection = UpgradedConnection(end.connections, steps, outbound=True)
        connection.remote_addr = addr
        lowest, below = self._network.covered(connection), 0.0
        try:
            if isinstance(endpoint, WsEndpoint):
                lowest, below = self._inside(lowest, endpoint, addr, end)
            async with asyncio.timeout(seconds):
                began = self._clock()
                await self._network.connect(lambda: lowest, *endpoint[:2])
                connection.expect_round_trip(max(self._clock() - began, round_trip or 0.0), below)
                if lowest is connection and not end.apart:
                    connection.open_paths(lambda make: self._network.connect(make, *endpoint[:2]))
                await connection.upgraded
                end.upgrade.prepare()  # the peer has a signature to check, and this side nothing to do
        except BaseException as exc:
            connection.close("dial given up")
            if self._network.private and _not_understood(exc):
                raise Stranger(reason_of(exc)) from exc
            raise
        return connection

    async def punch(
        self, addr: Multiaddr, peer: PeerId, end: LocalEnd, *, seconds: float, client: bool
    ) -> Connection | None:
        """As Punching.punch(): a simultaneous open of TCP, for plain TCP addresses."""
        endpoint, network = addr.tcp_endpoint(), self._network
        local = None if endpoint is None else self._listening_towards(endpoint[0])
        if endpoint is None or local is None or not isinstance(network, SharesPorts):
            raise UnsupportedAddress(addr)
        # "the peer that sent the SYNC is the server": who is the client is settled, whoever's SYN comes first
        steps = upgrade_outbound(end.upgrade, peer) if client else upgrade_inbound(end.upgrade)
        connection = UpgradedConnection(end.connections, steps, outbound=client)
        connection.remote_addr = addr.without_peer()
        try:
            async with asyncio.timeout(seconds):
                for _ in range(PUNCH_TRIES):
                    try:
                        await network.connect_from(lambda: self._network.covered(connection), local, *endpoint)
                        break
                    except ConnectionRefusedError:
                        await asyncio.sleep(PUNCH_PAUSE)  # its NAT is not open yet: our SYN was first
                await asyncio.shield(connection.upgraded)
            if connection.peer != peer:
                raise WrongPeer("punch", peer, connection.peer)
        except BaseException:
            connection.close("dial given up")
            raise
        return connection

    def _listening_towards(self, ip: str) -> tuple[str, int] | None:
        """A bound address from which another can be dialled."""
        wanted = ip_address(ip)
        for host, port in self._bound:
            bound = ip_address(host.partition("%")[0])
            if bound.version == wanted.version and (bound.is_unspecified or bound.is_loopback == wanted.is_loopback):
                return host, port
        return None

    def _inside(
        self, above: asyncio.BufferedProtocol, endpoint: WsEndpoint, addr: Multiaddr, end: LocalEnd
    ) -> tuple[asyncio.BufferedProtocol, float]:
        """What a WebSocket is dialled by, and the round trips that it takes."""
        from cidery.libp2p.io.tls_layer import TlsLayer
        from cidery.libp2p.io.websocket import WebSocketLayer
        from cidery.libp2p.protocols.websocket import WebSocket

        host = endpoint.name or endpoint.host.partition("%")[0]
        authority = f"[{host}]:{endpoint.port}" if ":" in host else f"{host}:{endpoint.port}"
        socket = WebSocket.client(end.upgrade.entropy, authority, endpoint.path, secure=endpoint.secure)
        layer = WebSocketLayer(above, socket)
        if not endpoint.secure:
            return layer, WS_ROUND_TRIPS
        try:
            return TlsLayer(layer, _client_tls(), host), WS_ROUND_TRIPS + TLS_ROUND_TRIPS
        except ValueError as exc:
            raise UnsupportedAddress(addr) from exc

    def close(self) -> None:
        """Nothing is left: each connection has its own socket."""


@cache
def _client_tls() -> ssl.SSLContext:
    """Trusts whom the system trusts."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def _kind_of(addr: Multiaddr) -> Form:
    endpoint = addr.ws_endpoint()
    return PLAIN if endpoint is None else WSS if endpoint.secure else WS


def _form_of(addr: Multiaddr) -> Sequence[tuple[int, bytes]]:
    """The components after host and port."""
    plain = Multiaddr.tcp("0.0.0.0", 0).components
    bare = addr.without_peer().at_host("0.0.0.0").components
    return bare[len(plain) :]


def _not_understood(exc: BaseException) -> bool:
    """Whether a handshake failed as it does without the key: noise, silence, or the end."""
    if isinstance(exc, ProtocolNotSupported):
        return False  # that much was understood
    return isinstance(exc, (TimeoutError, HandshakeCut, MultistreamError, ConnectionFailed))
