"""Dispatches the paths of the gateway's port."""

from cidery.core.api import Api
from cidery.gateway import routing_v1
from cidery.gateway.routing_v1 import RoutingServer
from cidery.gateway.trustless import TrustlessGateway
from cidery.http.message import Request, Response, text

PROTOCOLS_PATH = "/.well-known/libp2p/protocols"
PROTOCOLS = b'{"/ipfs/gateway":{"path":"/"}}'
"""The protocols served here, with their paths (libp2p's HTTP specification)."""


class Site:
    """The handler of the gateway's port."""

    def __init__(self, api: Api, *, fetches: bool, routing: bool) -> None:
        """``fetches``: fetch content that is not stored. ``routing``: answer the HTTP routing API."""
        self._content = TrustlessGateway(api, fetches=fetches)
        self._routing = RoutingServer(api) if routing else None

    async def handle(self, request: Request) -> Response:
        if request.path.startswith(routing_v1.PREFIX) and self._routing is not None:
            return await self._routing.handle(request)
        if request.path == PROTOCOLS_PATH:
            return Response(200, {"Content-Type": "application/json"}, PROTOCOLS)
        if request.path.startswith(("/ipfs/", "/ipns/")):
            return await self._content.handle(request)
        return text(404, "nothing is here; ask for /ipfs/CID?format=raw, ?format=car, or /ipns/NAME?format=ipns-record")
