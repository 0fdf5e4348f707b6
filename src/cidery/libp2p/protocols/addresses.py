"""Which addresses may be told to whom, and which addresses belong to one operator. On binary multiaddrs, unparsed.

A server of the public network hands out public addresses only: a private one leads its reader to a stranger in the
reader's own network. The network of a LAN carries private ones only.

Spec: https://specs.ipfs.tech/routing/kad-dht/#ip-diversity-filter
"""

import ipaddress
from collections.abc import Iterable
from enum import Enum
from functools import lru_cache

from cidery.multiformats.multiaddr_protocols import DNS, DNS4, DNS6, DNSADDR, IP4, IP6, P2P, P2P_CIRCUIT
from cidery.multiformats.varint import encode_uvarint

_P2P = encode_uvarint(P2P)
_CIRCUIT = encode_uvarint(P2P_CIRCUIT)


class Scope(Enum):
    """From where an address can be reached."""

    PUBLIC = "public"
    PRIVATE = "private"
    LOOPBACK = "loopback"
    OTHER = "other"
    """Unspecified, multicast, or of a kind unknown here."""


@lru_cache(maxsize=4096)
def scope_of(addr: bytes) -> Scope:
    """The scope of one address; that of the relay, for a relayed one. Names are taken as public. Never raises."""
    code = addr[0] if addr else 0
    if code in (DNS, DNS4, DNS6, DNSADDR):
        return Scope.PUBLIC
    ip = host_of(addr)
    if ip is None or ip.is_unspecified or ip.is_multicast:
        return Scope.OTHER
    if ip.is_loopback:
        return Scope.LOOPBACK
    return Scope.PUBLIC if ip.is_global else Scope.PRIVATE


@lru_cache(maxsize=4096)
def host_of(addr: bytes) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The IP address an address begins with, None if it begins with something else."""
    if len(addr) >= 5 and addr[0] == IP4:
        return ipaddress.IPv4Address(addr[1:5])
    if len(addr) >= 17 and addr[0] == IP6:
        six = ipaddress.IPv6Address(addr[1:17])
        return six.ipv4_mapped or six
    return None


def relayed(addr: bytes) -> bool:
    """Whether a /p2p-circuit follows the relay's own /p2p. Another address may look so: no harm to leave it out."""
    return _P2P in addr and _CIRCUIT in addr


def believed_from(addr: bytes | None) -> frozenset[Scope]:
    """Addresses believed of a peer at ``addr``: one of the Internet cannot point into our own network, nor to this
    machine. Behind a relay a peer is believed as far as the relay is. None: nothing is known of it.
    """
    scope = scope_of(addr) if addr is not None else Scope.OTHER
    if scope is Scope.LOOPBACK:
        return frozenset(Scope)
    if scope is Scope.PRIVATE:
        return frozenset(Scope) - {Scope.LOOPBACK}
    return frozenset({Scope.PUBLIC, Scope.OTHER})


@lru_cache(maxsize=4096)
def keep(addrs: tuple[bytes, ...], scopes: frozenset[Scope]) -> tuple[bytes, ...]:
    """Those of the given scopes, in order."""
    return tuple(addr for addr in addrs if scope_of(addr) in scopes)


def group_of(addr: bytes) -> bytes | None:
    """Who may own the address: /16 of IPv4, /8 of the old class A nets of one owner, /32 of IPv6. None: no IP.

    The specification groups IPv6 by autonomous system, which takes a table of megabytes; a /32 is what a registry
    hands to one provider.
    """
    ip = host_of(addr)
    if ip is None:
        return None
    if isinstance(ip, ipaddress.IPv4Address):
        return ip.packed[:1] if ip.packed[0] in LEGACY_CLASS_A else ip.packed[:2]
    return b"\x06" + ip.packed[:4]


LEGACY_CLASS_A = frozenset((12, 17, 19, 38, 48, 56, 73, 53))
"""IPv4 /8 nets of single organisations, as go-libp2p-kad-dht has them."""


def groups_of(addrs: Iterable[bytes]) -> frozenset[bytes]:
    """All groups of a peer's addresses."""
    return frozenset(group for group in map(group_of, addrs) if group is not None)
