"""Whose request it is: the owner's, or that of a stranger, and of which one.

A connection from this machine without a word of a proxy is the owner's. Everybody else is a stranger, told apart by
address: that of the connection or, when a trusted proxy passes the request on, the one that the proxy names.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple

from cidery.http.message import Request
from cidery.multiformats.address_filter import Net, parse_net

NET_BITS = 64
"""Of an IPv6 address those by which strangers are told apart: one has all addresses of its net."""
MAX_HOPS = 16
"""Entries of X-Forwarded-For that are looked at."""
REMEMBERED = 1024
"""Addresses whose parsed form is kept."""
UNNAMED = "unnamed"
"""Strangers of whom a proxy does not say where they are: together they count as one."""
_FORWARDED = ("x-forwarded-for", "forwarded", "x-real-ip", "x-forwarded-host", "x-forwarded-proto", "via")
"""Headers by which a proxy shows itself."""


class Visitor(NamedTuple):
    """Who asks."""

    owner: bool
    client: str
    """By which strangers are counted; "" of the owner."""


OWNER = Visitor(owner=True, client="")


def proxies_of(nets: Sequence[str]) -> tuple[Net, ...]:
    """Trusted proxies of the config. Raises BadFilter."""
    return tuple(map(parse_net, nets))


def visitor_of(request: Request, proxies: Sequence[Net] = ()) -> Visitor:
    """``proxies``: nets whose hosts are believed, beside this machine itself."""
    owner, address = _asker(request, proxies)
    return OWNER if owner else Visitor(owner=False, client=UNNAMED if address is None else _key(address))


def client_of(request: Request, proxies: Sequence[Net] = ()) -> str:
    """The text by which a client is counted; "" if it cannot be told apart. ``proxies``: see visitor_of()."""
    _, address = _asker(request, proxies)
    return "" if address is None else _key(address)


def address_of(request: Request, proxies: Sequence[Net] = ()) -> str:
    """The address of the client that is counted, for people; of one that cannot be told apart, its connection's."""
    _, address = _asker(request, proxies)
    return request.client if address is None else str(address)


def _asker(request: Request, proxies: Sequence[Net]) -> tuple[bool, IPv4Address | IPv6Address | None]:
    """Whether it is the owner, and where a stranger is; None: nobody says."""
    address = _parsed(request.client)
    if request.client and address is None:
        return False, None
    if address is not None and not _trusted(address, proxies):
        return False, address
    if not any(name in request.headers for name in _FORWARDED):
        # of a proxy elsewhere that names nobody, the proxy itself is the client
        is_here = address is None or address.is_loopback
        return (True, None) if is_here else (False, address)
    # each proxy adds whom it heard from at the end: the last one that is no proxy of ours is the client, and what
    # stands before it may be written by anybody
    hops = request.header("x-forwarded-for").split(",")[-MAX_HOPS:]
    for hop in reversed(hops):
        named = _parsed(hop.strip())
        if named is None:
            break
        if not _trusted(named, proxies):
            return False, named
    return False, None


def _trusted(address: IPv4Address | IPv6Address, proxies: Sequence[Net]) -> bool:
    return address.is_loopback or any(address.version == net.version and address in net for net in proxies)


def _key(address: IPv4Address | IPv6Address) -> str:
    if isinstance(address, IPv6Address):
        return f"{IPv6Address(int(address) >> NET_BITS << NET_BITS)}/{NET_BITS}"
    return str(address)


@lru_cache(REMEMBERED)
def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address
