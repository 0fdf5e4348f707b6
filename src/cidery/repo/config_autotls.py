"""AutoTLS in the config: a certificate for browsers below ``libp2p.direct``.

Spec: https://github.com/ipfs/kubo/blob/master/docs/config.md#autotls
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

DELAY = 3600.0
"""Seconds after a start before a first certificate is asked for, unless AutoTLS is switched on by name."""
_DOMAIN = re.compile(r"(?=.{1,140}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")
MAX_URL = 2048
MAX_TOKEN = 1024


class AutoTlsConfig(NamedTuple):
    """How a certificate is got."""

    enabled: bool | None = None
    """None: on by default, and no word is lost if something is in its way."""
    every_port: bool = True
    """Whether each plain TCP port serves it, if no WebSocket is listened on by name."""
    short: bool = True
    """Whether addresses are announced as /dns4/NAME and not as /ip4/HOST/../sni/NAME."""
    suffix: str = "libp2p.direct"
    broker: str = "https://registration.libp2p.direct"
    """URL without a slash at its end."""
    token: str = ""
    """For a broker that demands one."""
    delay: float = DELAY
    """Seconds after the start before a first certificate is asked for."""
    authority: str = "https://acme-v02.api.letsencrypt.org/directory"
    """URL of the directory of the certificate authority."""
    roots: str = ""
    """Certificates in PEM trusted beside the system's when broker and authority are asked."""
    arithmetic: bool = True
    """Whether the addresses of names below the domain are read from them, without DNS."""
    unproven: bool = False
    """Whether it is asked for without proof that others reach this node, and for private addresses too."""


def is_domain(value: Any) -> bool:
    """Whether this is the name of a domain, in lower case, without a dot at either end."""
    return isinstance(value, str) and _DOMAIN.fullmatch(value) is not None


def url_fault(value: Any) -> str:
    """What is wrong with the URL of a broker or an authority; "": nothing. Keys and tokens go there."""
    if not isinstance(value, str) or len(value) > MAX_URL or not value.isascii() or not value.isprintable():
        return "it is no URL"
    from urllib.parse import urlsplit  # small commands read a config, too, and few have this key

    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError as exc:
        return str(exc)
    if not host or parts.username is not None or parts.query or parts.fragment or " " in value:
        return "it needs a host, and has neither a user nor a query"
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_here(host)):
        return "only https is asked, or http on a loopback address"
    return ""


def is_token(value: Any) -> bool:
    """Whether this can stand in a header."""
    return isinstance(value, str) and len(value) <= MAX_TOKEN and value.isascii() and value.isprintable()


def autotls_of(get: Callable[[str, Any], Any], parse_seconds: Callable[[str], float]) -> AutoTlsConfig:
    """From checked values."""
    default = AutoTlsConfig()

    def value(name: str, otherwise: Any) -> Any:
        return get(f"AutoTLS.{name}", otherwise)

    enabled = value("Enabled", default.enabled)
    delay = value("RegistrationDelay", "")
    return AutoTlsConfig(
        enabled=enabled,
        every_port=value("AutoWSS", default.every_port),
        short=value("ShortAddrs", default.short),
        suffix=value("DomainSuffix", "") or default.suffix,
        broker=(value("RegistrationEndpoint", "") or default.broker).rstrip("/"),
        token=value("RegistrationToken", ""),
        delay=parse_seconds(delay) if delay else 0.0 if enabled else default.delay,
        authority=value("CAEndpoint", "") or default.authority,
        roots=value("TrustedCARootsPEM", ""),
        arithmetic=value("SkipDNSLookup", default.arithmetic),
        unproven=value("AllowPrivateForgeAddrs", default.unproven),
    )


def _is_here(host: str) -> bool:
    from ipaddress import ip_address

    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
