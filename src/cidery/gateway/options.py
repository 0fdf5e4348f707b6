"""What a gateway serves, and to whom: the settings of Gateway.* as one value."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from cidery.budgets import GATEWAY_BODIES
from cidery.gateway.bounded import Limits
from cidery.gateway.hosts import LOCALHOST, PublicGateway
from cidery.gateway.visitor import proxies_of
from cidery.multiformats.address_filter import Net
from cidery.repo.config import Config
from cidery.repo.config_gateway import GatewaySettings

CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, HEAD, OPTIONS",
    "Access-Control-Allow-Headers": "Content-Type, Range, User-Agent, X-Requested-With",
    "Access-Control-Expose-Headers": (
        "Content-Length, Content-Range, X-Chunked-Output, X-Ipfs-Path, X-Ipfs-Roots, X-Stream-Output"
    ),
}
"""On every answer: content is public, and no request changes anything."""


class GatewayOptions(NamedTuple):
    """See docs/settings.md for the keys."""

    fetches: bool
    """Whether content that is not stored is fetched."""
    routing: bool = False
    """Whether the HTTP routing API is answered."""
    deserialized: bool = True
    """Whether pages and files are served, not only what a client can verify."""
    no_dnslink: bool = False
    """Whether hosts without an entry are not looked up as DNSLinks."""
    html_errors: bool = True
    """Whether browsers get errors as pages."""
    hosts: Mapping[str, PublicGateway] = {"localhost": LOCALHOST}
    headers: Mapping[str, str] = CORS
    """Headers of every answer, unless it has its own of that name."""
    replaced: Mapping[str, str] = {}
    """Headers of every answer in place of its own ones; "": it has none of that name."""
    root: str = ""
    """Where ``/`` leads."""
    proxies: tuple[Net, ...] = ()
    """Where proxies are, beside this machine, that are believed when they name a client."""
    max_range_file_size: int = 0
    """Largest file of which parts are served, in bytes; 0: any."""

    @property
    def pages(self) -> bool:
        """Whether people get pages for what is no content."""
        return self.html_errors and self.deserialized


def of_every_answer(options: GatewayOptions) -> dict[str, str]:
    """The headers that all answers have, those of refusals too."""
    return {**options.headers, **{name: value for name, value in options.replaced.items() if value}}


def options_of(config: Config) -> GatewayOptions:
    """As the config has them."""
    serving = config.serving
    hosts = {"localhost": LOCALHOST}
    for host, entry in serving.hosts.items():
        if entry is None:
            hosts.pop(host, None)
        else:
            hosts[host] = _entry(entry)
    replaced = {_usual_case(name): ", ".join(texts) for name, texts in serving.headers.items()}
    return GatewayOptions(
        fetches=not config.no_fetch,
        routing=config.routing_api,
        deserialized=serving.deserialized,
        no_dnslink=not serving.dnslink,
        html_errors=serving.html_errors,
        hosts=hosts,
        headers={name: text for name, text in CORS.items() if name not in replaced},
        replaced=replaced,
        root=serving.root,
        proxies=proxies_of(serving.proxies),
        max_range_file_size=serving.max_range_file_size,
    )


def _usual_case(name: str) -> str:
    """As answers have it: ``X-Content-Type-Options``."""
    return "-".join(part.capitalize() for part in name.split("-"))


def request_limits(serving: GatewaySettings, workers: int = 1) -> Limits:
    """As the config has them. ``workers``: processes that share the places of bodies."""
    return Limits(
        serving.max_requests,
        serving.retrieval_timeout,
        serving.max_duration,
        -(-GATEWAY_BODIES.amount // workers),
        proxies_of(serving.proxies),
    )


def _entry(entry: Mapping[str, Any]) -> PublicGateway:
    return PublicGateway(
        tuple(entry.get("Paths") or ()),
        use_subdomains=bool(entry.get("UseSubdomains")),
        inline_dnslink=bool(entry.get("InlineDNSLink")),
        no_dnslink=bool(entry.get("NoDNSLink")),
        deserialized=entry.get("DeserializedResponses"),
    )


OVER_STREAMS = GatewayOptions(fetches=False, deserialized=False, no_dnslink=True, hosts={})
"""To peers, over streams of libp2p: what is stored, in forms that they verify."""
