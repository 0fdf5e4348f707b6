"""``/dnsaddr``: addresses that stand in TXT records, as those of the bootstrap peers do.

Spec: https://github.com/multiformats/multiaddr/blob/master/protocols/DNSADDR.md
"""

from collections.abc import Sequence
from typing import Protocol

from cidery.errors import CideryError
from cidery.multiformats.multiaddr import Multiaddr, MultiaddrError
from cidery.multiformats.multiaddr_protocols import DNSADDR

MAX_DEPTH = 4
"""How often a record may lead to another /dnsaddr."""
MAX_ADDRS = 64
"""Addresses taken in all; a name with more is cut."""
MAX_LOOKUPS = 16
"""Names looked up for one address."""


class Texts(Protocol):
    """An answer."""

    @property
    def texts(self) -> tuple[str, ...]: ...


class TxtResolver(Protocol):
    """Looks up TXT records; dns.service.Dns is one."""

    async def txt(self, name: str) -> Texts:
        """Raises CideryError kinds. Cancel-safe."""
        ...


def dnsaddr_host(addr: Multiaddr) -> str | None:
    """The name of a /dnsaddr; None for every other address."""
    if not addr.components or addr.components[0][0] != DNSADDR:
        return None
    return addr.components[0][1].decode("utf-8", "replace")


def addresses_in(texts: Sequence[str], peer: bytes | None) -> list[Multiaddr]:
    """The ``dnsaddr=`` entries that parse and lead to ``peer`` (to anybody if None)."""
    found = []
    for text in texts[:MAX_ADDRS]:
        if not text.startswith("dnsaddr="):
            continue
        try:
            addr = Multiaddr.parse(text.removeprefix("dnsaddr="))
        except MultiaddrError:
            continue
        if peer is None or addr.peer_id_bytes in (peer, None):
            found.append(addr)
    return found


async def resolve_dnsaddr(addr: Multiaddr, resolver: TxtResolver) -> list[Multiaddr]:
    """The addresses behind one /dnsaddr, other addresses as they are. Loops and floods are bounded.

    A name that cannot be looked up gives nothing, unless it is the only one: then its error is raised. Cancel-safe.
    """
    waiting, out, seen = [(addr, 0)], list[Multiaddr](), set[str]()
    failure: CideryError | None = None
    while waiting and len(out) < MAX_ADDRS:
        one, depth = waiting.pop(0)
        host = dnsaddr_host(one)
        if host is None:
            out.append(one)
            continue
        if host in seen or depth >= MAX_DEPTH or len(seen) >= MAX_LOOKUPS:
            continue
        seen.add(host)
        try:
            answer = await resolver.txt(f"_dnsaddr.{host}")
        except CideryError as exc:
            failure = exc
            continue
        waiting += [(found, depth + 1) for found in addresses_in(answer.texts, one.peer_id_bytes)]
    if not out and failure is not None:
        raise failure
    return out
