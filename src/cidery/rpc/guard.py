"""Protects the RPC from web pages: nothing that a page can make a browser send is accepted.

The RPC has no password on this machine, so any page in a browser could otherwise command the node (cross-site request
forgery), or read from it after pointing its own name at 127.0.0.1 (DNS rebinding). Rules, in order:
1. the Host header is an IP address or localhost, or over TLS a name of the certificate, which no other page can have;
   never a name that somebody else controls;
2. an Origin header is one of the allowed ones; without it, a Referer starts with one of them;
   always allowed are the node's own pages and the IPFS Companion extension, which the user installed for this;
3. without both, a User-Agent of a browser is refused;
4. the method is POST (OPTIONS answers preflights).
"""

from collections.abc import Mapping
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import urlsplit


class Refusal(NamedTuple):
    """A refusal of a caller."""

    status: int
    text: str
    headers: tuple[tuple[str, str], ...] = ()


_FORBIDDEN = Refusal(403, "403 - Forbidden")
_METHOD = Refusal(405, "405 - Method Not Allowed", (("Allow", "OPTIONS, POST"),))
_LOCAL_NAMES = ("127.0.0.1", "[::1]", "localhost")
_COMPANION = (
    "chrome-extension://nibjojkomfdiaoajekhjakgkdhaomnch",
    "chrome-extension://hjoieblefckbooibpepigmacodalfndh",
)
"""Pages of the browser extension IPFS Companion, release and beta: only the browser itself states such an origin."""


def default_origins(port: int) -> frozenset[str]:
    """Origins of pages that the node itself serves, and of the extension made to command it, as in Kubo."""
    return own_origins(port) | frozenset(_COMPANION)


def own_origins(port: int) -> frozenset[str]:
    """Origins of pages that the node itself serves."""
    return frozenset(f"{scheme}://{name}:{port}" for scheme in ("http", "https") for name in _LOCAL_NAMES)


def check(
    method: str,
    headers: Mapping[str, str],
    origins: frozenset[str],
    *,
    any_host: bool = False,
    names: frozenset[str] = frozenset(),
) -> Refusal | None:
    """None if the request is accepted. If a header occurs more than once, every value must be allowed.

    Args:
        headers: names in lower case; several of one name joined by ", ".
        origins: allowed ``scheme://host:port``; "*" allows every origin.
        any_host: the first rule is skipped, because a secret is required.
        names: of the certificate, if the request came over TLS.
    """
    host = headers.get("host", "")
    if not any_host and not is_local_host(host) and not (names and is_named(host, names)):
        return _FORBIDDEN
    origin, referer = headers.get("origin"), headers.get("referer")
    if origin is not None:
        if not allowed(origin, origins):
            return _FORBIDDEN
    elif referer is not None:
        if not all(_allowed(_origin_of(one), origins) for one in referer.split(", ")):
            return _FORBIDDEN
    elif any(map(_is_browser, headers.get("user-agent", "").split(", "))):
        return _FORBIDDEN
    if method not in ("POST", "OPTIONS"):
        return _METHOD
    return None


def allowed(origin: str, origins: frozenset[str]) -> bool:
    """Whether pages of the header Origin may call and read."""
    return all(_allowed(one, origins) for one in origin.split(", "))


def comes_from(headers: Mapping[str, str], origins: frozenset[str]) -> bool:
    """Whether a browser sent this for a page of these origins."""
    if not any(map(_is_browser, headers.get("user-agent", "").split(", "))):
        return False
    origin = headers.get("origin") or _origin_of(headers.get("referer", ""))
    return origin.lower() in origins


def _origin_of(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""  # not a URL: matches no allowed origin
    return f"{parts.scheme}://{parts.netloc}"


def _allowed(origin: str, origins: frozenset[str]) -> bool:
    return "*" in origins or origin.lower() in origins


def _is_browser(agent: str) -> bool:
    return agent.startswith("Mozilla") and "Electron" not in agent


def is_named(host: str, names: frozenset[str]) -> bool:
    """Whether a Host header holds one of the names, of which ``*.example.org`` stands for those with one label more."""
    name = host.partition(":")[0].lower()
    return name in names or f"*.{name.partition('.')[2]}" in names


def is_local_host(host: str) -> bool:
    """Whether a Host header names this machine in a way that no DNS answer can forge."""
    if host.startswith("["):
        name, _, port = host[1:].partition("]")
        port = port.removeprefix(":")
    else:
        name, _, port = host.partition(":")
    if port and not port.isdigit():
        return False
    if name in ("127.0.0.1", "localhost") or name.lower() in ("localhost", "localhost."):
        return True
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
