"""Filters for addresses: forbidden nets (``Swarm.AddrFilters``), or only this node's own networks.

Spec: https://github.com/multiformats/multiaddr (ipcidr)
"""

import ipaddress
from collections.abc import Sequence

from cidery.errors import InvalidInput
from cidery.multiformats.multiaddr import Multiaddr

Net = ipaddress.IPv4Network | ipaddress.IPv6Network
MAX_FILTERS = 1000
"""Most forbidden nets: each dial is compared with all of them."""


class BadFilter(InvalidInput):
    """Text that is not a net."""

    def __init__(self, given: str) -> None:
        super().__init__(given)
        self.given = given

    def __str__(self) -> str:
        return f"{self.given[:80]!r} is not a net such as /ip4/10.0.0.0/ipcidr/8"


class AddressForbidden(InvalidInput):
    """An address that the filters exclude."""

    def __init__(self, local_only: bool, by_name: bool = False) -> None:
        super().__init__(local_only, by_name)
        self.local_only = local_only
        self.by_name = by_name

    def __str__(self) -> str:
        if self.by_name and not self.local_only:
            return "its name cannot be looked up: DNS is switched off here (DNS.Resolvers); use /ip4 or /ip6"
        if self.local_only:
            return "outside of the local networks, to which this node keeps (Swarm.LocalOnly, --lan)"
        return "forbidden by Swarm.AddrFilters of the config"


def parse_net(text: str) -> Net:
    """A net of ``/ip4/10.0.0.0/ipcidr/8``. Raises BadFilter."""
    parts = text.split("/")
    if len(parts) != 5 or parts[0] or parts[1] not in ("ip4", "ip6") or parts[3] != "ipcidr":
        raise BadFilter(text)
    try:
        net = ipaddress.ip_network(f"{parts[2]}/{int(parts[4])}", strict=False)
    except ValueError as exc:
        raise BadFilter(text) from exc
    if net.version != (4 if parts[1] == "ip4" else 6):
        raise BadFilter(text)
    return net


class AddressFilter:
    """Decides per address. O(number of nets)."""

    def __init__(self, forbidden: Sequence[str] = (), *, local_only: bool = False, names: bool = True) -> None:
        """``names``: whether addresses with a name may be dialled, which asks the DNS. Raises BadFilter."""
        self.forbid(forbidden)
        self.local_only = local_only
        self._names = names and not local_only

    def forbid(self, nets: Sequence[str]) -> None:
        """These, instead of those that were. Raises BadFilter."""
        if len(nets) > MAX_FILTERS:
            raise BadFilter(f"{len(nets)} nets")
        self._forbidden = [parse_net(text) for text in nets]

    @property
    def forbidden(self) -> list[str]:
        """As /ip4/10.0.0.0/ipcidr/8."""
        return [f"/ip{net.version}/{net.network_address}/ipcidr/{net.prefixlen}" for net in self._forbidden]

    def allows(self, addr: Multiaddr) -> bool:
        """Whether the address may be dialled, or a connection from it accepted. Names are outside a local net."""
        host = addr.host()
        return host is None or self.allows_host(host)  # nothing here dials other addresses

    def allows_host(self, host: str) -> bool:
        """As allows(), for an IP address or a name. Check a name's addresses again once they are known."""
        try:
            ip = ipaddress.ip_address(host)
        except ValueError:
            return self._names
        several = [ip, *_within(ip)]
        if self.local_only and (several[-1].is_global or ip.is_multicast):
            return False
        return not any(one.version == net.version and one in net for one in several for net in self._forbidden)

    def check_host(self, host: str) -> None:
        """Raises AddressForbidden."""
        if not self.allows_host(host):
            raise AddressForbidden(self.local_only)

    def check(self, addr: Multiaddr) -> None:
        """Raises AddressForbidden."""
        if not self.allows(addr):
            raise AddressForbidden(self.local_only, not self._names and _has_name(addr))


def is_public(host: str) -> bool:
    """Whether an IP address is one of the Internet, not of this machine, a network of its own, or a way into one."""
    try:
        ip = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return not ip.is_multicast and all(one.is_global for one in (ip, *_within(ip)))


def _within(ip: Net | ipaddress.IPv4Address | ipaddress.IPv6Address) -> list[ipaddress.IPv4Address]:
    """The IPv4 address inside an IPv6 address: mapped, 6to4 (RFC 3056), or NAT64 (RFC 6052)."""
    if not isinstance(ip, ipaddress.IPv6Address):
        return []
    if ip in _NAT64:
        return [ipaddress.IPv4Address(ip.packed[-4:])]
    return [four for four in (ip.ipv4_mapped, ip.sixtofour) if four is not None]


_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def _has_name(addr: Multiaddr) -> bool:
    try:
        ipaddress.ip_address(addr.host() or "::")
    except ValueError:
        return True
    return False
