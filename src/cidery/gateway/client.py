"""Who counts as one client of the gateway."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

from cidery.gateway.visitor import UNNAMED, visitor_of
from cidery.http.message import Request
from cidery.multiformats.address_filter import Net

REMEMBERED = 1024
"""Addresses whose parsed form is kept."""


def client_of(request: Request, proxies: Sequence[Net] = ()) -> str:
    """The address by which a client is counted; "" if it cannot be told apart. ``proxies``: see visitor_of()."""
    client = visitor_of(request, proxies).client
    return "" if client == UNNAMED else client


def address_of(request: Request) -> str:
    """The address that a request comes from, as far as it is known; "" if there is none."""
    address = _parsed(request.client)
    if address is not None and address.is_loopback and (forwarded := _forwarded(request)) is not None:
        return str(forwarded)
    return request.client


def _forwarded(request: Request) -> IPv4Address | IPv6Address | None:
    return _parsed(request.headers.get("x-forwarded-for", "").rpartition(",")[2].strip())


@lru_cache(REMEMBERED)
def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text.partition("%")[0])
    except ValueError:
        return None
