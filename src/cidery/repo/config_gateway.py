"""The settings of the gateway, apart from its addresses.

Spec: https://github.com/ipfs/kubo/blob/master/docs/config.md#gateway
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """What the gateway serves, and to whom."""

    deserialized: bool
    """Pages and files, not only what a client can verify."""
    dnslink: bool
    """Whether hosts without an entry are looked up as DNSLinks."""
    html_errors: bool
    """Whether browsers get errors as pages."""
    headers: Mapping[str, list[str]]
    """Headers of all answers, in place of the gateway's own ones of those names."""
    root: str
    """Where ``/`` leads; "": nowhere."""
    proxies: tuple[str, ...]
    """Nets of proxies that are believed when they name a client, beside this machine."""
    hosts: Mapping[str, dict[str, Any] | None]
    """By host, as the file has them; None: the default of that host is taken away."""


def gateway_settings(get: Callable[[str, Any], Any]) -> GatewaySettings:
    """``get``: a key and its default -> the value."""
    return GatewaySettings(
        deserialized=get("Gateway.DeserializedResponses", True),
        dnslink=not get("Gateway.NoDNSLink", False),
        html_errors=not get("Gateway.DisableHTMLErrors", False),
        headers=get("Gateway.HTTPHeaders", {}),
        root=get("Gateway.RootRedirect", ""),
        proxies=tuple(get("Gateway.TrustedProxies", [])),
        hosts=get("Gateway.PublicGateways", {}),
    )
