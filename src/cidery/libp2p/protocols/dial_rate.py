"""When a dial may begin: so many a second in all, and so many to one host.

A look-up dials whom its answers name. A table full of lies names one victim under a thousand peer ids, and other
implementations refuse a host that connects too often; neither may be driven by what others say. Two token buckets:
each dial takes one token of both.
"""

from collections import OrderedDict

from cidery.libp2p.protocols.addresses import Scope, host_of, scope_of

ALL_RATE, ALL_BURST = 200.0, 400.0
"""Dials a second in all, and at once: a dozen look-ups with ten peers of a few addresses each."""
HOST_RATE, HOST_BURST = 5.0, 10.0
"""Dials a second of one host, and at once: js-libp2p resets the sixth new connection of a host in a second."""
MAX_HOSTS = 2048
"""Hosts that are counted; the one dialled longest ago is forgotten, by then at rest as a rule."""


class Bucket:
    """Fills at a rate, up to its burst. Who takes more than there is owes it: those that come later wait longer."""

    __slots__ = ("_at", "_burst", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate, self._burst = rate, burst
        self._tokens, self._at = burst, now

    def reserve(self, now: float) -> float:
        """Take a token; the seconds until it is there."""
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate) - 1.0
        self._at = now
        return max(0.0, -self._tokens / self._rate)

    def give_back(self) -> None:
        self._tokens = min(self._burst, self._tokens + 1.0)


class DialRate:
    """The buckets of a node. O(1) for each dial."""

    def __init__(self, now: float) -> None:
        self._all = Bucket(ALL_RATE, ALL_BURST, now)
        self._hosts: OrderedDict[bytes, Bucket] = OrderedDict()

    def reserve(self, addr: bytes, now: float) -> float:
        """A turn for the dial of a binary multiaddr: the seconds until it may begin."""
        wait = self._all.reserve(now)
        host = _host_key(addr)
        return wait if host is None else max(wait, self._bucket(host, now).reserve(now))

    def give_back(self, addr: bytes) -> None:
        """The turn of a dial that was given up before it began."""
        self._all.give_back()
        host = _host_key(addr)
        if host is not None and host in self._hosts:
            self._hosts[host].give_back()

    def _bucket(self, host: bytes, now: float) -> Bucket:
        bucket = self._hosts.get(host)
        if bucket is None:
            bucket = self._hosts[host] = Bucket(HOST_RATE, HOST_BURST, now)
            if len(self._hosts) > MAX_HOSTS:
                self._hosts.popitem(last=False)
        self._hosts.move_to_end(host)
        return bucket


def _host_key(addr: bytes) -> bytes | None:
    """The IPv4 address, or the /64 of IPv6, which is one machine's. None for this machine, and for names."""
    host = host_of(addr)
    if host is None or scope_of(addr) is Scope.LOOPBACK:
        return None
    return host.packed[:8]
