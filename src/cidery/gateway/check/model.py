"""One check as data: the request, the expected answer, and where it belongs. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

LEAVES = (
    "trustless-block-gateway",
    "trustless-car-gateway",
    "trustless-car-gateway-optional",
    "trustless-ipns-gateway",
    "path-unixfs-gateway",
    "path-range-gateway",
    "path-ipns-gateway",
    "path-tar-gateway",
    "path-dag-gateway",
    "path-raw-gateway",
    "subdomain-ipfs-gateway",
    "subdomain-ipns-gateway",
    "dnslink-gateway",
    "redirects-file",
    "proxy-gateway",
)
"""The parts of the gateway specifications that can be checked alone; names of gateway-conformance."""


class Site(NamedTuple):
    """The origin whose subdomains the gateway serves."""

    scheme: str
    host: str
    """With its port unless that is the scheme's own: ``example.com:8080``."""


class Ask(NamedTuple):
    """One request, as it is put on the wire."""

    target: str
    """Origin form (``/ipfs/...``) or absolute form (``http://host/``), escaped."""
    headers: tuple[tuple[str, str], ...] = ()
    """Values may hold ``{etag}``, the Etag of the answer to the first request, and ``{tag}``, that without quotes."""
    method: str = "GET"
    host: str = ""
    """The Host header; "": that of the gateway's URL."""
    tunnel: str = ""
    """The authority of a CONNECT in front; ``{gateway}`` is that of the gateway's URL; "": no tunnel."""


class Answer(NamedTuple):
    """One response, its body read to the end."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    broken: str = ""
    """Why the connection ended inside the body; "": it did not."""

    def header(self, name: str) -> str | None:
        """The value, repeated ones joined by a comma; None if absent."""
        found = [value for key, value in self.headers if key.lower() == name.lower()]
        return ", ".join(found) if found else None


class HeaderRule(Protocol):
    """What a header has to be."""

    def faults(self, answer: Answer) -> list[str]:
        """Each difference in words; empty: as expected."""
        ...


class BodyRule(Protocol):
    """What a body has to be."""

    def faults(self, answer: Answer, first: Answer | None) -> list[str]:
        """``first``: the answer to Check.first."""
        ...


class Expect(NamedTuple):
    """All of these must hold."""

    status: tuple[int, int] | None = None
    """Lowest and highest; None: any."""
    headers: tuple[HeaderRule, ...] = ()
    body: BodyRule | None = None
    one_of: tuple[Expect, ...] = ()
    """At least one of these too, unless empty."""
    may_break: bool = False
    """A connection that ends inside the body is as good as the status."""


class Check(NamedTuple):
    """A request whose answer is known."""

    leaves: tuple[str, ...]
    """Made only if all of these are wanted; the first is where it is counted."""
    name: str
    ask: Ask
    expect: Expect
    first: Ask | None = None
    """A request made before, whose answer the expectation or the headers refer to."""
    ours: bool = False
    """Not in gateway-conformance: it follows from the text of the specifications."""


def ask(
    target: str,
    headers: Mapping[str, str] | None = None,
    *,
    method: str = "GET",
    host: str = "",
    tunnel: str = "",
) -> Ask:
    return Ask(target, tuple((headers or {}).items()), method, host, tunnel)


def expect(
    status: int | tuple[int, int] | None = None,
    *headers: HeaderRule,
    body: BodyRule | None = None,
    one_of: Iterable[Expect] = (),
    may_break: bool = False,
) -> Expect:
    span = (status, status) if isinstance(status, int) else status
    return Expect(span, headers, body, tuple(one_of), may_break)
