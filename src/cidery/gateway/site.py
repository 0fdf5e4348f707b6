"""The handler of the gateway's port: finds what a host and a path stand for, and answers.

Spec: https://specs.ipfs.tech/http-gateways/
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from cidery.core.api import Api
from cidery.errors import CideryError
from cidery.gateway import origin as origins
from cidery.gateway import routing_v1
from cidery.gateway.content import ContentGateway, Plan
from cidery.gateway.dnslink_hosts import DnslinkHosts
from cidery.gateway.errors import failed, said
from cidery.gateway.hosts import Hosts, Place, is_domain, without_port
from cidery.gateway.options import GatewayOptions
from cidery.gateway.origin import Origin, Redirected
from cidery.gateway.routing_v1 import RoutingServer
from cidery.gateway.shared_counts import WorkerCounts
from cidery.gateway.strangers import Strangers
from cidery.gateway.visitor import visitor_of
from cidery.gateway.welcome import welcome
from cidery.http.message import BadRequest, Request, Response, is_host

PROTOCOLS_PATH = "/.well-known/libp2p/protocols"
PROTOCOLS = b'{"/ipfs/gateway":{"path":"/"}}'
"""The protocols served here, with their paths (libp2p's HTTP specification)."""
MAX_PLANS = 4096
"""Requests remembered with what they are about: some MB."""
MAX_PLANNED = 1024
"""Longest target and headers of a request that is remembered, in characters."""
METHODS = "GET, HEAD, OPTIONS"
HOST, PROTO = "x-forwarded-host", "x-forwarded-proto"
"""Headers that say what a client asked of the proxy in front: content and redirects follow them."""
VARY = "X-Forwarded-Host, X-Forwarded-Proto"


class Site:
    """The handler of the gateway's port."""

    def __init__(
        self,
        api: Api,
        options: GatewayOptions,
        routing: Callable[[Request], Awaitable[Response]] | None = None,
        shared: WorkerCounts | None = None,
    ) -> None:
        """``routing``: answers the HTTP routing API instead of this node, if it is served. ``shared``: what is counted
        together with the other workers of the gateway."""
        self._options = options
        self._content = ContentGateway(api, options, shared)
        self._routing = (routing or RoutingServer(api).handle) if options.routing else None
        self._hosts = Hosts(options.hosts)
        self._plans: dict[tuple[str | bool | None, ...], Plan | None] = {}
        self._dnslinks: DnslinkHosts | None = None
        if not options.no_dnslink:
            resolver = (api if options.fetches else api.offline()).naming.resolver
            self._dnslinks = DnslinkHosts(resolver, asyncio.get_running_loop().time)

    @property
    def strangers(self) -> Strangers:
        """What is fetched for them."""
        return self._content.strangers

    def at_hand(self, request: Request) -> Response | None:
        """The answer, if it is small and needs no waiting; else None, and handle() gives it. Never raises."""
        plan = self._plan(request)
        if plan is None:
            return None
        try:
            response = self._content.at_hand(request, plan)
        except CideryError:
            return None  # handle() finds it again, and says it
        if response is not None:
            self._finish(request, response)
        return response

    def _plan(self, request: Request) -> Plan | None:
        """What the request is about, if that needs no waiting; remembered, as most requests are like others."""
        headers = request.headers
        if request.method not in ("GET", "HEAD") or "service-worker" in headers:
            return None
        key = (
            request.target,
            headers.get("host"),
            headers.get("accept"),
            headers.get(HOST),
            headers.get(PROTO),
            request.secure,
        )
        try:
            return self._plans[key]
        except KeyError:
            plan = self._make_plan(request)
        if sum(len(part) for part in key if isinstance(part, str)) <= MAX_PLANNED:
            if len(self._plans) >= MAX_PLANS:
                self._plans.clear()
            self._plans[key] = plan
        return plan

    def _make_plan(self, request: Request) -> Plan | None:
        try:
            host = host_of(request)
        except BadRequest:
            return None
        place = self._hosts.find(host)
        if not place.namespace:
            on_path = request.path.startswith("/ipfs/") and place.gateway.serves(request.path)
            if not on_path or (not place.host and self._dnslinks is not None and is_domain(without_port(host))):
                return None
        try:
            found = self._find(request, place, "")
            return None if isinstance(found, Redirected) else self._content.plan(request, found)
        except CideryError:
            return None

    async def handle(self, request: Request) -> Response:
        """Never raises because of a client's request. Cancel-safe. The body may raise, which cuts the answer off."""
        try:
            response = await self._answer(request)
        except CideryError as exc:
            response = failed(exc, request, html=self._options.pages)
        self._finish(request, response)
        return response

    def _finish(self, request: Request, response: Response) -> None:
        headers = response.headers
        asked = request.headers
        if "Location" in headers or HOST in asked or PROTO in asked:
            # a shared cache knows the Host, but must not give one visitor what another one's header led to
            known = headers.get("Vary")
            headers["Vary"] = f"{known}, {VARY}" if known else VARY
        response.headers = headers = {**self._options.headers, **headers}
        for name, value in self._options.replaced.items():
            if value:
                headers[name] = value
            else:
                headers.pop(name, None)

    async def _answer(self, request: Request) -> Response:
        host = host_of(request)
        place = self._hosts.find(host)
        on_path = request.path.startswith(("/ipfs/", "/ipns/")) and place.gateway.serves(request.path)
        is_site = not place.namespace and not (place.host and on_path) and await self._is_site(request, place, host)
        if not place.namespace and not is_site:
            redirect = origins.to_single_slashes(request)
            if redirect is not None and place.gateway.serves(redirect.location):
                return _moved(redirect)
        if not place.namespace and not is_site and not on_path:
            return await self._beside_content(request, place)
        if request.method == "OPTIONS":
            return _preflight(request)
        if request.method not in ("GET", "HEAD"):
            return self._said(405, f"only {METHODS} are answered", request, {"Allow": METHODS})
        found = self._find(request, place, host if is_site else "")
        if isinstance(found, Redirected):
            return _moved(found)
        return await self._content.answer(request, found)

    async def _beside_content(self, request: Request, place: Place) -> Response:
        """What is served beside content on the gateway's own name."""
        path = request.path
        if path.startswith(routing_v1.PREFIX) and self._routing is not None:
            # a browser says so of every page, also of one whose name was made to lead to this machine
            of_page = "origin" in request.headers
            if request.method == "PUT" and (of_page or not visitor_of(request, self._options.proxies).owner):
                message = "records are published for programs of this machine only"
                return self._said(405, message, request, {"Allow": METHODS})
            if request.method == "GET" and path.startswith(routing_v1.NAMES):
                self._content.count_name(request)
            return await self._routing(request)
        if path == PROTOCOLS_PATH:
            return Response(200, {"Content-Type": "application/json"}, PROTOCOLS)
        if path == "/" and self._options.root:
            return Response(302, {"Location": self._options.root})
        if path == "/" and place.gateway.paths and request.method in ("GET", "HEAD"):
            as_files = self._is_deserialized(place)
            return welcome(request, place.gateway.paths, deserialized=as_files, html=self._options.pages)
        served = " or ".join(f"{prefix}/..." for prefix in place.gateway.paths)
        return self._said(404, f"nothing is here; ask for {served}" if served else "nothing is here", request)

    def _said(self, status: int, message: str, request: Request, headers: Mapping[str, str] | None = None) -> Response:
        return said(status, message, request, headers, html=self._options.pages)

    async def _is_site(self, request: Request, place: Place, host: str) -> bool:
        """Whether the host is a DNSLink of its own."""
        if self._dnslinks is None or place.gateway.no_dnslink:
            return False
        name = without_port(host.lower())
        return is_domain(name) and await self._dnslinks.has(name, self._content.name_limits(request))

    def _is_deserialized(self, place: Place) -> bool:
        own = place.gateway.deserialized
        return self._options.deserialized if own is None else own

    def _find(self, request: Request, place: Place, site: str) -> Origin | Redirected:
        """``site``: the host, if it is a DNSLink of its own. Raises BadRequest."""
        deserialized = self._is_deserialized(place)
        secure = request.secure or request.headers.get(PROTO) == "https"
        scheme = "https" if secure else "http"
        if place.namespace:
            redirect = origins.to_canonical_host(request, place, scheme)
            return redirect or origins.of_host(request, place, deserialized=deserialized)
        if site:
            return origins.of_dnslink(request, without_port(site.lower()), site, deserialized=deserialized)
        if (redirect := origins.to_uri(request)) is not None:
            return redirect
        origin = origins.of_path(request, deserialized=deserialized)
        _check_worker(request, origin)
        redirect = origins.to_one_namespace(request, origin)
        if redirect is None and place.gateway.use_subdomains:
            redirect = origins.to_subdomain(request, place, scheme)
        return redirect or origins.to_key(request, origin) or origin


def host_of(request: Request) -> str:
    """The host that the client asked: a proxy in front passes it on. Raises BadRequest."""
    forwarded = request.headers.get(HOST)
    if not forwarded:
        return request.headers.get("host", "")
    host = forwarded.partition(",")[0].strip()
    if not is_host(host):
        raise BadRequest("X-Forwarded-Host is no host")
    return host


def _moved(to: Redirected) -> Response:
    return Response(to.status, {"Location": to.location, "Content-Type": "text/plain"})


def _check_worker(request: Request, origin: Origin) -> None:
    """A service worker registered at the root of a path gateway would answer for all content below it."""
    if request.headers.get("service-worker") == "script" and not origin.below:
        raise BadRequest("navigator.serviceWorker: registration is not allowed for this scope")


def _preflight(request: Request) -> Response:
    headers = {"Access-Control-Max-Age": "86400"}
    if request.headers.get("access-control-request-private-network") == "true":
        headers["Access-Control-Allow-Private-Network"] = "true"
    return Response(204, headers)
