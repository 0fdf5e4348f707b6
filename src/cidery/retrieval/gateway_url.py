"""The gateway behind an address from routing. Pure.

An address from strangers must not lead inside: only HTTPS to names and public addresses is accepted from them.

Spec: https://specs.ipfs.tech/routing/http-routing-v1/ (transport-ipfs-gateway-http), https://github.com/multiformats/multiaddr
"""

import ipaddress
from urllib.parse import urlsplit

from cidery.errors import InvalidInput
from cidery.multiformats.multiaddr import Multiaddr
from cidery.multiformats.multiaddr_protocols import BY_CODE

MAX_URL = 512
"""Longest URL of a gateway, in characters."""


class BadGateway(InvalidInput):
    """Text that is not a gateway's address."""

    def __init__(self, given: str) -> None:
        super().__init__(given)
        self.given = given

    def __str__(self) -> str:
        return f"HTTPRetrieval.Gateways: {self.given[:80]!r} is not a URL such as https://ipfs.example.org"


def check_url(text: str) -> str:
    """A URL of the config, without its final slash. Raises BadGateway."""
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.query and len(text) <= MAX_URL
    except ValueError:
        good = False
    if not good:
        raise BadGateway(text)
    return text.rstrip("/")


def gateway_url(addr: Multiaddr, *, local: bool = False) -> str | None:
    """``https://host:port`` of ``/dns4/host/tcp/port/https`` or ``.../tls/http``; None for all other addresses.

    ``local``: also addresses of local networks, and HTTP without TLS there.
    """
    parts = [(BY_CODE[code], value) for code, value in addr.without_peer().components]
    names = [protocol.name for protocol, _ in parts]
    if len(parts) < 3 or names[0] not in ("ip4", "ip6", "dns", "dns4", "dns6") or names[1] != "tcp":
        return None
    way = [name for name in names[2:] if name not in ("sni", "http-path")]
    secure = way in (["https"], ["tls", "http"])
    if not secure and not (local and way == ["http"]):
        return None
    text = parts[0][0].text
    assert text is not None  # hosts have values
    host, port = text.format(parts[0][1]), int.from_bytes(parts[1][1], "big")
    if names[0] in ("ip4", "ip6") and not local and not ipaddress.ip_address(host).is_global:
        return None
    shown = f"[{host}]" if ":" in host else host
    usual = 443 if secure else 80
    return f"{'https' if secure else 'http'}://{shown}" + ("" if port == usual else f":{port}")
