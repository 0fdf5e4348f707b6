"""The official page, ipfs-webui, at the RPC's own address, as Kubo has it: ``/ipfs/CID`` of known builds of it alone.

Other content at this address would be a page of the RPC's own origin; the gateway has origins for that.
"""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from cidery.http.message import Request, Response, text

KNOWN = ("bafybeiciqeyipumpmhxzlxnbqdbbv6u5uij4hy4wax64dmj7kvrhusiq6y",)
"""Builds that its authors released, newest first: 4.13.0."""


class OfficialPage(NamedTuple):
    """Where it is, and who answers for it."""

    answer: Callable[[Request], Awaitable[Response]]
    """A gateway, which fetches it if it may."""
    cids: tuple[str, ...] = KNOWN

    def has(self, path: str) -> bool:
        """Whether a path of a request is one of the page."""
        _, namespace, root, *_ = f"{path}//".split("/", 3)
        return namespace == "ipfs" and root in self.cids

    async def page(self, request: Request) -> Response:
        """A file of it."""
        if request.method not in ("GET", "HEAD"):
            return text(405, "405 - Method Not Allowed", {"Allow": "GET, HEAD"})
        return await self.answer(request)
