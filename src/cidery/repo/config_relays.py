"""Relays in the config: ``Swarm.RelayClient``, ``Swarm.RelayService`` and hole punching.

Spec: https://github.com/ipfs/kubo/blob/master/docs/config.md#swarmrelayclient
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from cidery.multiformats.multiaddr import Multiaddr


class RelayServiceConfig(NamedTuple):
    """What this node does for others as a relay. 0 for a limit of a connection: none."""

    enabled: bool = True
    """Whether it is a relay once it is known to be public, and for peers of Peering.Peers always."""
    duration: float = 120.0
    """Seconds of a relayed connection."""
    data: int = 128 * 1024
    """Bytes of a relayed connection in each direction."""
    ttl: float = 3600.0
    """Seconds of a reservation."""
    reservations: int = 128
    circuits: int = 16
    buffer: int = 2048
    per_ip: int = 8
    per_net: int = 32


class RelaysConfig(NamedTuple):
    """How relays are used."""

    enabled: bool = True
    """Whether peers are dialled through relays, and come through them. Never in a private network."""
    client: bool = True
    """Whether relays are asked for reservations when nobody can dial this node."""
    static: tuple[Multiaddr, ...] = ()
    """With /p2p; the only ones that are asked, if there are any."""
    punch: bool = True
    """Whether relayed connections are replaced by direct ones, by hole punching."""


def relays_of(get: Callable[[str, Any], Any]) -> RelaysConfig:
    """From checked values."""
    client = "Swarm.RelayClient"
    return RelaysConfig(
        get("Swarm.Transports.Network.Relay", True),
        get(f"{client}.Enabled", True),
        tuple(map(Multiaddr.parse, get(f"{client}.StaticRelays", []))),
        get("Swarm.EnableHolePunching", True),
    )


def relay_service_of(
    get: Callable[[str, Any], Any], parse_seconds: Callable[[str], float], parse_size: Callable[[str | int], int]
) -> RelayServiceConfig:
    """From checked values."""
    service, default = "Swarm.RelayService", RelayServiceConfig()

    def seconds(name: str, otherwise: float) -> float:
        value = get(f"{service}.{name}", "")
        return parse_seconds(value) if value else otherwise

    return RelayServiceConfig(
        get(f"{service}.Enabled", default.enabled),
        seconds("ConnectionDurationLimit", default.duration),
        parse_size(get(f"{service}.ConnectionDataLimit", default.data)),
        seconds("ReservationTTL", default.ttl),
        get(f"{service}.MaxReservations", default.reservations),
        get(f"{service}.MaxCircuits", default.circuits),
        parse_size(get(f"{service}.BufferSize", default.buffer)),
        get(f"{service}.MaxReservationsPerIP", default.per_ip),
        get(f"{service}.MaxReservationsPerASN", default.per_net),
    )
