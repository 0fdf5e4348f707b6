"""When a dial may begin: so many a second in all, and so many to one host.

A look-up dials whom its answers name. A table full of lies names one victim under a thousand peer ids, and other
implementations refuse a host that connects too often; neither may be driven by what others say. Two token buckets:
each dial takes one token of both.
"""

from collections import OrderedDict

from cidery.budgets import DIALS, HOST_DIALS, Bucket
from cidery.libp2p.protocols.addresses import Scope, host_of, scope_of

MAX_HOSTS = 2048
"""Hosts that are counted; the one dialled longest ago is forgotten, by then at rest as a rule."""


class DialRate:
    """The buckets of a node. O(1) for each dial."""

    def __init__(self, now: float) -> None:
        self._all = Bucket(DIALS, now)
        self._hosts: OrderedDict[bytes, Bucket] = OrderedDict()

    def reserve(self, addr: bytes, now: float) -> float:
        """A turn for the dial of a binary multiaddr: the seconds until it may begin."""
        wait = self._all.reserve(now)
        host = host_key(addr)
        return wait if host is None else max(wait, self._bucket(host, now).reserve(now))

    def give_back(self, addr: bytes) -> None:
        """The turn of a dial that was given up before it began."""
        self._all.give_back()
        host = host_key(addr)
        if host is not None and host in self._hosts:
            self._hosts[host].give_back()

    def _bucket(self, host: bytes, now: float) -> Bucket:
        bucket = self._hosts.get(host)
        if bucket is None:
            bucket = self._hosts[host] = Bucket(HOST_DIALS, now)
            if len(self._hosts) > MAX_HOSTS:
                self._hosts.popitem(last=False)
        self._hosts.move_to_end(host)
        return bucket


def host_key(addr: bytes) -> bytes | None:
    """The IPv4 address, or the /64 of IPv6, which is one machine's. None for this machine, and for names."""
    host = host_of(addr)
    if host is None or scope_of(addr) is Scope.LOOPBACK:
        return None
    return host.packed[:8]
