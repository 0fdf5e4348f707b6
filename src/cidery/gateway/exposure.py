"""What a gateway that strangers can reach says of itself at the start. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address

from cidery.budgets import STRANGER_BYTES, STRANGER_FETCHES
from cidery.multiformats.multiaddr import Multiaddr


def exposure(addrs: Sequence[Multiaddr], *, fetches: bool) -> list[str]:
    """Lines for the owner; none if nobody but this machine can reach it.

    ``addrs``: where it listens. ``fetches``: whether it fetches what is not stored.
    """
    beyond = [addr for addr in addrs if not _is_loopback(addr)]
    if not beyond:
        return []
    where = ", ".join(map(str, beyond))
    if not fetches:
        return [f"The gateway at {where} is public: everybody who reaches it can read what is stored here."]
    return [
        f"The gateway at {where} is public: everybody who reaches it can read what is stored here, and have other "
        "content fetched.",
        f"Of each client: {STRANGER_FETCHES.size}, {STRANGER_BYTES.size}; no private addresses are dialled for it. "
        "Gateway.NoFetch=true ends fetching, denylists exclude content (cidery denylist --help).",
    ]


def exposure_on_swarm(addrs: Sequence[Multiaddr]) -> list[str]:
    """The same for Gateway.OnSwarmPort. ``addrs``: where the swarm listens."""
    secure = [(addr, found.host) for addr in addrs if (found := addr.ws_endpoint()) is not None and found.secure]
    beyond = [addr for addr, host in secure if not _is_here(host)]
    if not beyond:
        return []
    where = ", ".join(map(str, beyond))
    return [
        f"{where} answers HTTPS, too: everybody who reaches it can read what is stored here, as peers can "
        "(Gateway.OnSwarmPort)."
    ]


def _is_loopback(addr: Multiaddr) -> bool:
    endpoint = addr.tcp_endpoint()
    return endpoint is None or _is_here(endpoint[0])  # None: a Unix socket, or what nobody can connect to


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
