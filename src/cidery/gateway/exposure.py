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


def _is_loopback(addr: Multiaddr) -> bool:
    endpoint = addr.tcp_endpoint()
    if endpoint is None:
        return True  # a Unix socket, or what nobody can connect to
    try:
        return ip_address(endpoint[0]).is_loopback
    except ValueError:
        return endpoint[0] == "localhost"
