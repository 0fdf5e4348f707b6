"""The names below ``libp2p.direct`` that a node has a certificate for, and the addresses that hold them.

``1-2-3-4.PEER.libp2p.direct``, with the peer id in base36, stands for the IP address 1.2.3.4 by arithmetic alone.

Spec: https://github.com/libp2p/specs/blob/master/tls/autotls-client.md
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

from cidery.identity.peer_id import PeerId
from cidery.multiformats.multiaddr import Multiaddr


class ForgeNames:
    """Of one node under one domain."""

    def __init__(self, peer: PeerId, suffix: str) -> None:
        """``suffix``: the domain, without a dot at either end. The longest peer id makes a label of 63 characters."""
        self.suffix = suffix
        self.label = peer.to_cid().format("base36")
        self.domain = f"{self.label}.{suffix}"
        self.wildcard = f"*.{self.domain}"
        """What the certificate is for."""
        self.challenge = f"_acme-challenge.{self.domain}"
        """Whose TXT record the authority asks for."""

    def listening(self, plain: Multiaddr) -> Multiaddr:
        """The address that is listened on beside a plain TCP one."""
        return Multiaddr.parse(f"{plain.without_peer()}/tls/sni/*.{self.suffix}/ws")

    def is_listening(self, addr: Multiaddr) -> bool:
        """Whether an address is made as by listening(): its name is still to be filled in."""
        found = addr.ws_endpoint()
        return found is not None and found.name == f"*.{self.suffix}"

    def announced(self, addr: Multiaddr, *, short: bool) -> Multiaddr | None:
        """Such an address with the name of its host; None for one of a host that has no name.

        ``short``: ``/dns4/NAME/tcp/PORT/tls/ws``, else ``/ip4/HOST/tcp/PORT/tls/sni/NAME/ws``.
        """
        found = addr.ws_endpoint()
        if found is None or "%" in found.host:
            return None
        try:
            host = ip_address(found.host)
        except ValueError:
            return None
        name = f"{escaped(host)}.{self.domain}"
        if short:
            return Multiaddr.parse(f"/dns{host.version}/{name}/tcp/{found.port}/tls/ws")
        return Multiaddr.parse(f"/ip{host.version}/{host}/tcp/{found.port}/tls/sni/{name}/ws")

    def over_http(self, addr: Multiaddr) -> Multiaddr | None:
        """Such an address as that of a provider over HTTPS, ``/dns4/NAME/tcp/PORT/tls/http``; None as announced()."""
        named = self.announced(addr, short=True)
        return None if named is None else Multiaddr.parse(f"{str(named).removesuffix('/ws')}/http")


def escaped(host: IPv4Address | IPv6Address) -> str:
    """An IP address as a label: ``1-2-3-4``, ``2001-db8--1``; a dash may not stand at either end: ``0--1``."""
    text = str(host).replace(".", "-").replace(":", "-")
    return f"{'0' if text.startswith('-') else ''}{text}{'0' if text.endswith('-') else ''}"
