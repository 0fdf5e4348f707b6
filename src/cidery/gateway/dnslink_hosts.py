"""Which hosts are sites of their own: those with a DNSLink."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from cidery.errors import CideryError
from cidery.gateway.strangers import TooMuchFetched
from cidery.namesys.resolver import Limits, NameResolver

REMEMBERED = 60.0
"""Seconds for which a host is known to be a site, or none; the DNSLink itself is cached by its own TTL."""
MAX_REMEMBERED = 1024
"""Hosts remembered: anybody may send any Host."""


class DnslinkHosts:
    """Looks hosts up, and remembers what was found."""

    def __init__(self, resolver: NameResolver, clock: Callable[[], float]) -> None:
        self._resolver = resolver
        self._clock = clock
        self._known: OrderedDict[str, tuple[bool, float]] = OrderedDict()

    async def has(self, domain: str, limits: Limits) -> bool:
        """Whether a domain has a DNSLink; not, when it cannot be found out. Raises TooMuchFetched. Cancel-safe."""
        known = self._known.get(domain)
        if known is not None and known[1] > self._clock():
            return known[0]
        try:
            await self._resolver.resolve(f"/ipns/{domain}", recursive=False, limits=limits)
            found = True
        except TooMuchFetched:
            raise  # nothing was found out
        except CideryError:
            found = False
        self._known[domain] = (found, self._clock() + REMEMBERED)
        self._known.move_to_end(domain)
        if len(self._known) > MAX_REMEMBERED:
            self._known.popitem(last=False)
        return found
