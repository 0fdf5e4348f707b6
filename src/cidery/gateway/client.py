"""Who counts as one client of the gateway."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

from cidery.http.message import Request

REMEMBERED = 1024
"""Addresses whose parsed form is kept."""
NET_BITS = 64
"""Of an IPv6 address those by which clients are told apart: one has all addresses of its net."""


def client_of(request: Request) -> str:
    """The address by which a client is counted; "" if it cannot be told apart.

    A proxy on this machine says whom it asks for: the last entry of X-Forwarded-For is the one that it added itself.
    Others may write anything there, and are not believed.
    """
    address = _parsed(request.client)
    if address is not None and address.is_loopback:
        address = _forwarded(request)
    if address is None:
        return ""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return f"{IPv6Address(int(address) >> NET_BITS << NET_BITS)}/{NET_BITS}"
    return str(address)


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
