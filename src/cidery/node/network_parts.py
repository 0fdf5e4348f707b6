"""What a NodeNetwork is made of, as far as it is made before there is one."""

from __future__ import annotations

import datetime
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache as made_once
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol

from cidery.errors import InvalidInput
from cidery.identity.keys import PrivateKey
from cidery.identity.peer_id import PeerId
from cidery.libp2p.io.byte_network import ByteNetwork, TcpNetwork
from cidery.libp2p.io.peer_store import PeerStore
from cidery.libp2p.io.stream_transport import StreamTransport, WebSockets
from cidery.libp2p.io.swarm import Swarm, SwarmConfig
from cidery.libp2p.io.traffic import Traffic
from cidery.libp2p.io.transport import Transport
from cidery.libp2p.protocols import yamux
from cidery.libp2p.protocols.bandwidth import Schedule
from cidery.libp2p.protocols.upgrade import UpgradeConfig
from cidery.multiformats.multiaddr import Multiaddr
from cidery.repo.cache import Cache, PeerRows

if TYPE_CHECKING:
    from cidery.libp2p.protocols.tls import TlsIdentity

log = logging.getLogger("cidery.node")


def make_swarm(
    config: SwarmConfig,
    key: PrivateKey,
    cache: Cache | None,
    carried_by: Sequence[Transport],
    security: tuple[str, ...],
    clock: Callable[[], float],
    entropy: Callable[[int], bytes],
    bandwidth: Schedule | None,
) -> Swarm:
    """The swarm of a node; its peer store is in ``cache``, if there is one."""
    return Swarm(
        config,
        upgrade_config(key, entropy, security),
        PeerStore(clock, PeerRows(cache) if cache is not None else None),
        clock,
        carried_by,
        traffic=Traffic(clock, bandwidth),
        prober=lambda: upgrade_config(PrivateKey.generate_ed25519(entropy), entropy, security),
    )


def transports(
    config: SwarmConfig,
    network: ByteNetwork | None,
    websockets: WebSockets | None,
    clock: Callable[[], float],
    entropy: Callable[[int], bytes],
    *,
    quic: bool,
) -> list[Transport]:
    """``network`` None: TCP. ``websockets`` None: plain TCP only. ``quic``: QUIC too, if its library is installed."""
    made: list[Transport] = [StreamTransport(network or TcpNetwork(config.addresses), clock, websockets)]
    if quic and (missing := _missing_for_quic()):
        log.warning("QUIC is off: %s", missing)
    elif quic:
        from cidery.libp2p.io.quic_transport import QuicTransport

        made.append(QuicTransport(config.addresses, clock, entropy))
    return made


def _missing_for_quic() -> str | None:
    if sys.platform == "win32":
        return "the event loop of Windows does not watch UDP sockets"
    return "the package qh3 is not installed" if find_spec("qh3") is None else None


class Part(Protocol):
    """Of a node."""

    async def close(self) -> None: ...


async def close_in_turn(*parts: Part | None) -> None:
    """Those that there are."""
    for part in parts:
        if part is not None:
            await part.close()


@dataclass(frozen=True, slots=True)
class RetrievalOptions:
    """HTTP gateways that are asked for blocks."""

    urls: tuple[str, ...] = ()
    """Asked always; as ``check_url`` returns them."""
    routed: bool = True
    """Whether those that routing names are asked too."""
    local: bool = False
    """Whether these may be in local networks or on this machine."""


def by_peer(addrs: Sequence[Multiaddr]) -> dict[PeerId, list[Multiaddr]]:
    """Addresses without /p2p by the peer they lead to; "/p2p/ID" alone gives no address."""
    out: dict[PeerId, list[Multiaddr]] = {}
    for addr in addrs:
        if addr.peer_id_bytes is None:
            raise InvalidInput(f"{addr} does not say which peer is there: add /p2p/PEER_ID")
        known = out.setdefault(PeerId.decode(addr.peer_id_bytes), [])
        if addr.without_peer().components:
            known.append(addr.without_peer())
    return out


def upgrade_config(key: PrivateKey, entropy: Callable[[int], bytes], security: tuple[str, ...]) -> UpgradeConfig:
    @made_once
    def certificate() -> TlsIdentity:
        from cidery.libp2p.protocols.tls import TlsIdentity

        return TlsIdentity(key, (yamux.PROTOCOL,), datetime.datetime.now(datetime.UTC))

    return UpgradeConfig(key, certificate, entropy, security)
