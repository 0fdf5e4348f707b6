"""A request on a connection, and how far its answer is."""

import asyncio

from cidery.http.body import RequestBody
from cidery.http.message import Answered, Request, Response


class Exchange:
    """A request that is arriving, or being answered."""

    __slots__ = ("began", "begun", "body", "chunked", "keep_alive", "request", "sent", "status", "whole")

    def __init__(self, request: Request, body: RequestBody, began: float, *, keep_alive: bool, chunked: bool) -> None:
        self.request = request
        self.body = body
        self.keep_alive = keep_alive
        self.begun = False
        """Whether the head of the answer was written."""
        self.chunked = chunked
        """Whether the client supports chunks: not with HTTP/1.0."""
        self.began = began
        self.status = self.sent = 0
        self.whole = False
        """Whether the end of the answer was written."""

    def may_hold(self, response: Response, transport: asyncio.Transport | None) -> bool:
        """Whether more of the answer may be made though the client does not read: it may read when it has sent all."""
        if self.body.complete or transport is None:
            return False
        return transport.get_write_buffer_size() < response.ahead

    def answered(self, left: int, now: float) -> Answered:
        """What is told at its end. ``left``: bytes that the system has not taken."""
        sent = max(0, self.sent - left) if left else self.sent
        return Answered(self.request, self.status, sent, now - self.began, self.whole, "1.1" if self.chunked else "1.0")


def has_body(request: Request) -> bool:
    """A body may turn out to be nonsense, which has to be said before anything else."""
    return "transfer-encoding" in request.headers or request.headers.get("content-length", "0") != "0"


def is_tunnel(exchange: Exchange, response: Response) -> bool:
    """Requests follow: "a server MUST NOT send ... Content-Length header fields in a 2xx response to CONNECT"."""
    return exchange.request.method == "CONNECT" and response.status == 200
