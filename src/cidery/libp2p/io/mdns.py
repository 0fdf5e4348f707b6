"""Finds nodes on the local network by multicast DNS, and lets them find this one."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Callable, Sequence
from typing import Any

from cidery.identity.peer_id import PeerId
from cidery.libp2p.protocols import mdns
from cidery.multiformats.multiaddr import Multiaddr

log = logging.getLogger("cidery.libp2p")

MAX_FOUND = 512
"""Nodes remembered as found; a larger network is joined through those."""
HOST_TTL = 120
"""Seconds for which others may keep our record (RFC 6762 for records of hosts)."""
REFRESH = 60.0
"""Seconds after which a node that is still announced is reported again, so that a lost connection comes back."""

Found = Callable[[PeerId, list[Multiaddr]], None]


def interface_addresses() -> list[str]:
    """IP addresses of this machine that others on its networks can reach, IPv4 first."""
    import ifaddr

    found: list[str] = []
    for adapter in ifaddr.get_adapters():
        for ip in adapter.ips:
            text = ip.ip if isinstance(ip.ip, str) else ip.ip[0]
            parsed = ipaddress.ip_address(text)
            if not (parsed.is_loopback or parsed.is_link_local or parsed.is_unspecified):
                found.append(text)
    return sorted(found, key=lambda text: ":" in text)


class LocalDiscovery:
    """Announces addresses and reports others' until closed."""

    def __init__(
        self,
        addrs: Callable[[], Sequence[Multiaddr]],
        found: Found,
        entropy: Callable[[int], bytes],
        *,
        interfaces: Sequence[str] = (),
        fingerprint: str = "",
    ) -> None:
        """``addrs``: ours, with /p2p. ``interfaces``: own IP addresses to do it on; empty: all of them."""
        self._addrs = addrs
        self._found = found
        self._interfaces = list(interfaces)
        self._service = mdns.service_of(fingerprint)
        self._name = f"{mdns.random_name(entropy)}.{self._service}"
        self._seen: dict[PeerId, float] = {}
        self._zeroconf: Any = None
        self._browser: Any = None
        self._listener: Any = None
        self._announced = b""

    async def start(self) -> None:
        """Join the groups of the networks there are now, announce and ask; also after close().

        Raises OSError where there is no network to do it on.
        """
        # imported here: 60 ms that only an online node with discovery needs
        from zeroconf import DNSQuestion, IPVersion  # type: ignore[attr-defined]
        from zeroconf.asyncio import AsyncServiceBrowser, AsyncZeroconf
        from zeroconf.const import _CLASS_IN, _TYPE_PTR

        if self._interfaces:
            self._zeroconf = AsyncZeroconf(interfaces=self._interfaces)
        else:
            self._zeroconf = AsyncZeroconf(ip_version=IPVersion.All)
        zeroconf = self._zeroconf.zeroconf
        self._listener = _listener(self._service, self._on_record)
        zeroconf.async_add_listener(self._listener, [DNSQuestion(self._service, _TYPE_PTR, _CLASS_IN)])
        self._browser = AsyncServiceBrowser(zeroconf, [self._service], handlers=[_ignore])
        await self.announce()

    async def announce(self) -> None:
        """Tell the addresses as they are now, if they have changed."""
        from zeroconf.asyncio import AsyncServiceInfo

        txt = mdns.encode_txt(self._addrs())
        if not txt or txt == self._announced:
            return
        info = AsyncServiceInfo(
            self._service,
            self._name,
            port=0,
            properties=txt,
            host_ttl=HOST_TTL,
            server=f"{self._name.partition('.')[0]}.local.",
            parsed_addresses=["127.0.0.1"],
        )
        first, self._announced = not self._announced, txt
        if first:
            # Names are random, so nobody needs to be asked whether ours is free; that of a private network's service is
            # longer than the 15 characters that strict readers want.
            sending = await self._zeroconf.async_register_service(info, cooperating_responders=True, strict=False)
        else:
            sending = await self._zeroconf.async_update_service(info)
        await sending

    def _on_record(self, name: str, text: bytes, now: float) -> None:
        if name.lower() == self._name.lower():
            return
        for peer, addrs in mdns.decode_txt(text).items():
            last = self._seen.get(peer)
            if last is not None and now - last < REFRESH:
                continue
            if last is None and len(self._seen) >= MAX_FOUND:
                continue
            self._seen[peer] = now
            self._found(peer, addrs)

    async def close(self) -> None:
        """Say goodbye and leave. Idempotent."""
        zeroconf, self._zeroconf = self._zeroconf, None
        browser, self._browser = self._browser, None
        self._announced = b""
        self._seen.clear()
        if browser is not None:
            await browser.async_cancel()
        if zeroconf is not None:
            await zeroconf.async_close()


def _ignore(**_: object) -> None:
    """The browser is there for its questions; records are read as they come."""


def _listener(service: str, on_record: Callable[[str, bytes, float], None]) -> Any:
    from zeroconf import DNSText, RecordUpdateListener  # type: ignore[attr-defined]

    class Listener(RecordUpdateListener):
        def async_update_records(self, zc: Any, now: float, records: list[Any]) -> None:
            for record in records:
                new = record.new
                if isinstance(new, DNSText) and new.name.lower().endswith(service):
                    on_record(new.name, new.text, asyncio.get_running_loop().time())

        def async_update_records_complete(self) -> None:
            return None

    return Listener()
