"""The settings of the gateway, apart from its addresses.

Spec: https://github.com/ipfs/kubo/blob/master/docs/config.md#gateway
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from cidery.budgets import GATEWAY_REQUESTS


class GatewaySettings(NamedTuple):
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
    tls: tuple[str, str] | None
    """Files of the certificate and of its key; None: no TLS."""
    access_log: str
    """Path of the log of requests, "-" for standard output; "": none. Relative to the repository."""
    access_format: str
    """common, combined or json."""
    max_requests: int
    """At a time; 0: any number."""
    retrieval_timeout: float
    """Seconds until the first byte, and between two pieces of a body; 0: any time."""
    max_duration: float
    """Seconds of a whole request; 0: any time."""
    max_range_file_size: int
    """Largest file of which parts are served, in bytes; 0: any."""
    on_swarm_port: bool
    """Whether what is stored is served, verifiable, under TLS on the port of the swarm."""


def gateway_settings(
    get: Callable[[str, Any], Any], seconds: Callable[[str], float], size: Callable[[str | int], int]
) -> GatewaySettings:
    """``get``: a key and its default -> the value. ``seconds``, ``size``: read a duration, and a size in bytes."""
    return GatewaySettings(
        deserialized=get("Gateway.DeserializedResponses", True),
        dnslink=not get("Gateway.NoDNSLink", False),
        html_errors=not get("Gateway.DisableHTMLErrors", False),
        headers=get("Gateway.HTTPHeaders", {}),
        root=get("Gateway.RootRedirect", ""),
        proxies=tuple(get("Gateway.TrustedProxies", [])),
        hosts=get("Gateway.PublicGateways", {}),
        tls=certificate_files(get("Gateway.TLS", {})),
        access_log=get("Gateway.AccessLog.Path", ""),
        access_format=get("Gateway.AccessLog.Format", "combined"),
        max_requests=get("Gateway.MaxConcurrentRequests", GATEWAY_REQUESTS.amount),
        retrieval_timeout=seconds(get("Gateway.RetrievalTimeout", "30s")),
        max_duration=seconds(get("Gateway.MaxRequestDuration", "1h")),
        max_range_file_size=size(get("Gateway.MaxRangeRequestFileSize", 0)),
        on_swarm_port=get("Gateway.OnSwarmPort", False),
    )


def certificate_files(given: Mapping[str, str]) -> tuple[str, str] | None:
    """(certificate, key), None: there is none."""
    return (given["CertFile"], given["KeyFile"]) if given else None
