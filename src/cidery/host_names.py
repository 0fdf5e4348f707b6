"""Host names to addresses, by the system's look-up in threads that nothing waits for.

That look-up uses the hosts file and everything else the machine has, but it cannot be cancelled, and takes half a
minute if no name server answers. A loop waits at its end for the threads of its own pool, so these are not in it.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Any

from cidery.errors import Unavailable

if TYPE_CHECKING:
    import ssl

    import aiohttp

MAX_LOOKUPS = 64
"""Look-ups under way in this process; further ones are refused. Each has a thread."""
MAX_ADDRESSES = 8
"""Most addresses returned for one name."""
Address = tuple[socket.AddressFamily, str]

_by_arithmetic: Counter[str] = Counter()
"""Domains whose names say their addresses; of all nodes of this process, since the answers are the same for all."""
_under_way = threading.BoundedSemaphore(MAX_LOOKUPS)


class TooManyLookups(Unavailable):
    """Name servers do not answer, and too many look-ups wait for them already."""

    def __str__(self) -> str:
        return f"{MAX_LOOKUPS} host names are being looked up already; is the name server reachable?"


@contextmanager
def known_by_arithmetic(domain: str) -> Iterator[None]:
    """Inside, ``1-2-3-4.PEER.domain`` is 1.2.3.4 without a look-up, as the name server of the domain says it, too."""
    _by_arithmetic[domain] += 1
    try:
        yield
    finally:
        _by_arithmetic[domain] -= 1
        if not _by_arithmetic[domain]:
            del _by_arithmetic[domain]


def address_in(name: str, domain: str) -> IPv4Address | IPv6Address | None:
    """What a name ``1-2-3-4.PEER.domain`` stands for; None for another name. See autotls/names.py."""
    label, _, rest = name.lower().rstrip(".").partition(".")
    peer = rest.removesuffix(f".{domain}")
    if peer == rest or not peer or "." in peer:
        return None
    try:
        if label.count("-") == 3 and label.replace("-", "").isdigit():
            return IPv4Address(label.replace("-", "."))
        return IPv6Address(label.replace("-", ":"))
    except ValueError:
        return None


async def addresses_of(host: str, family: socket.AddressFamily = socket.AF_UNSPEC) -> list[Address]:
    """The addresses of a host name, or the address that it already is; in the order in which to try them.

    Raises OSError (no such name, no answer), TooManyLookups. Cancel-safe: the look-up ends by itself.
    """
    try:
        known = ip_address(host.partition("%")[0])
    except ValueError:
        pass
    else:
        return [(socket.AF_INET6 if known.version == 6 else socket.AF_INET, host)]
    if (said := next((one for domain in _by_arithmetic if (one := address_in(host, domain))), None)) is not None:
        of = socket.AF_INET6 if said.version == 6 else socket.AF_INET
        if family not in (socket.AF_UNSPEC, of):
            raise OSError(f"{host} has no address of that kind")
        return [(of, str(said))]
    if not _under_way.acquire(blocking=False):
        raise TooManyLookups
    loop = asyncio.get_running_loop()
    found: asyncio.Future[list[Any]] = loop.create_future()

    def tell(infos: list[Any], error: Exception | None) -> None:
        if not found.done():
            found.set_result(infos) if error is None else found.set_exception(error)

    def look_up() -> None:
        infos: list[Any] = []
        error: Exception | None = None
        try:
            infos = socket.getaddrinfo(host, None, family, socket.SOCK_STREAM)
        except (OSError, UnicodeError) as exc:
            error = exc if isinstance(exc, OSError) else OSError(f"{host[:80]!r} is no host name")
        finally:
            _under_way.release()
        try:
            loop.call_soon_threadsafe(tell, infos, error)
        except RuntimeError:
            pass  # the loop has ended meanwhile

    threading.Thread(target=look_up, name="cidery-host-name", daemon=True).start()
    addresses = [(socket.AddressFamily(info[0]), str(info[4][0])) for info in await found]
    return list(dict.fromkeys(addresses))[:MAX_ADDRESSES]


def http_connector(
    allows: Callable[[str, str], bool] | None = None, ssl_context: ssl.SSLContext | None = None
) -> aiohttp.TCPConnector:
    """For an HTTP client that resolves names as addresses_of() does.

    ``allows``: whether an address is accepted for a name; None: every one. ``ssl_context``: whom to trust; None: whom
    the system trusts.
    """
    # imported late: 250 ms that only HTTP needs
    import aiohttp
    from aiohttp.abc import AbstractResolver, ResolveResult

    class Resolver(AbstractResolver):
        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
        ) -> list[ResolveResult]:
            try:
                found: Sequence[Address] = await addresses_of(host, family)
            except TooManyLookups as exc:
                raise OSError(str(exc)) from exc
            found = [one for one in found if allows is None or allows(host, one[1])]
            if not found:
                raise OSError(f"{host} leads to addresses that are not asked from here")
            return [
                ResolveResult(hostname=host, host=address, port=port, family=kind, proto=0, flags=socket.AI_NUMERICHOST)
                for kind, address in found
            ]

        async def close(self) -> None:
            """Nothing to release."""

    return aiohttp.TCPConnector(resolver=Resolver(), ssl=True if ssl_context is None else ssl_context)
