"""UPnP: routers of the local network that pass a port on to this node (IGD).

Spec: https://openconnectivity.org/developer/specifications/upnp-resources/upnp/internet-gateway-device-igd-v-2-0/
"""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from cidery.libp2p.io.port_mapping import Port
from cidery.multiformats.multiaddr import Multiaddr

if TYPE_CHECKING:
    from async_upnp_client.profiles.igd import IgdDevice

log = logging.getLogger("cidery.libp2p")

LEASE = 3600.0
"""Seconds a mapping lasts: it ends by itself when the node is killed."""
RENEW = LEASE / 2
"""Seconds between two renewals."""
SEARCH_SECONDS = 4
"""Seconds that routers have to answer a search."""
ANSWER_SECONDS = 5
"""Seconds for one answer of the router."""
MAX_ROUTERS = 3
"""Answers to a search that are followed."""
TRIES = 4
"""External ports tried, from the internal one upwards."""


async def find_routers() -> list[str]:
    """Where the routers that answer a search on this network describe themselves. Sends to the local network only."""
    from async_upnp_client.profiles.igd import IgdDevice

    found = await IgdDevice.async_search(timeout=SEARCH_SECONDS)
    return [str(one["location"]) for one in found if one.get("location")][:MAX_ROUTERS]


class Given(NamedTuple):
    """A mapping at a router."""

    outside: Multiaddr
    take_back: Callable[[], Awaitable[Any]]


class UpnpRouter:
    """Keeps ports mapped at a router that answers. Satisfies ``port_mapping.Router``."""

    def __init__(self, find: Callable[[], Awaitable[list[str]]] = find_routers) -> None:
        """``find``: descriptions' URLs."""
        self._find = find
        self._turn = asyncio.Lock()
        """A router is a small device, and may not take two mappings at once."""

    async def keep(self, port: Port, report: Callable[[Multiaddr], bool]) -> None:
        """Map, tell where, renew; returns when no router does it. See ``port_mapping.Router``."""
        # the library takes a third of a second to import, most of it in the interpreter: not on the loop
        await asyncio.to_thread(__import__, "async_upnp_client.profiles.igd")
        kept: Given | None = None
        try:
            while (given := await self.map(port)) is not None:
                if not report(given.outside):
                    kept = None
                    return
                kept = given
                await asyncio.sleep(RENEW)
        finally:
            if kept is not None:
                await self._attempt(kept.take_back)

    async def map(self, port: Port) -> Given | None:
        """What the first router gives that maps the port."""
        async with self._turn:
            locations = await self._attempt(self._find)
            for location in locations or []:
                given = await self._attempt(partial(self._map_at, location, port))
                if isinstance(given, Given):
                    return given
        return None

    async def _attempt(self, work: Callable[[], Awaitable[Any]]) -> Any:
        """The result; None if the router does not do it, whatever the reason: it is a device of somebody."""
        from async_upnp_client.exceptions import UpnpError

        try:
            async with asyncio.timeout(10 * ANSWER_SECONDS):
                return await work()
        except (UpnpError, OSError, TimeoutError, ValueError) as exc:
            log.debug("port mapping: %s", exc)
            return None

    async def _map_at(self, location: str, port: Port) -> Given | None:
        """Map at one router. Raises what its answers raise."""
        from async_upnp_client.aiohttp import AiohttpRequester
        from async_upnp_client.client_factory import UpnpFactory
        from async_upnp_client.profiles.igd import IgdDevice

        host = ipaddress.ip_address(urlsplit(location).hostname or "")
        if not (host.is_private or host.is_loopback or host.is_link_local):
            return None  # a router of the home network has an address in it
        own = await _own_address(str(host))
        factory = UpnpFactory(AiohttpRequester(ANSWER_SECONDS), non_strict=True)
        router = IgdDevice(await factory.async_create_device(location), None)
        outside = ipaddress.ip_address(await router.async_get_external_ip_address() or "")
        for external in range(port.number, port.number + TRIES):
            if await self._add(router, external, port, own):
                kind = port.carrier.name
                take_back = partial(router.async_delete_port_mapping, _ANYBODY, external, kind)
                return Given(port.outside(str(outside), external), take_back)
        return None

    @staticmethod
    async def _add(router: IgdDevice, external: int, port: Port, own: ipaddress.IPv4Address) -> bool:
        """Whether the router took it; another machine may have the port already, some know no leases."""
        from async_upnp_client.exceptions import UpnpError

        for lease in (LEASE, 0.0):
            try:
                await router.async_add_port_mapping(
                    _ANYBODY,
                    external,
                    port.carrier.name,
                    port.number,
                    own,
                    True,
                    "cidery",
                    datetime.timedelta(seconds=lease),
                )
            except UpnpError as exc:
                log.debug("mapping port %d: %s", external, exc)
                continue
            return True
        return False


_ANYBODY = ipaddress.IPv4Address(0)


async def _own_address(towards: str) -> ipaddress.IPv4Address:
    """This machine's address on the way to a host; nothing is sent. Raises OSError, ValueError for IPv6."""
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        asyncio.DatagramProtocol, remote_addr=(towards, 9)
    )
    try:
        return ipaddress.IPv4Address(transport.get_extra_info("sockname")[0])
    finally:
        transport.close()
