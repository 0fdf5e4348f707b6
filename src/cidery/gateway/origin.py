"""Where the content of a request is: as its path says, or its host. Pure.

Spec: https://specs.ipfs.tech/http-gateways/path-gateway/, https://specs.ipfs.tech/http-gateways/subdomain-gateway/
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import quote, unquote, urlsplit

from cidery.core.reading.content_path import PathError, parse_path
from cidery.gateway.hosts import Place, canonical_root, from_inlined, key_of
from cidery.gateway.listing import Crumbs
from cidery.gateway.page import SAFE
from cidery.http.message import BadRequest, Request
from cidery.identity.peer_id import PeerId, PeerIdError
from cidery.ipns.name import format_name
from cidery.multiformats.cid import CID, CIDError

_ABOVE = {"ipfs", "ipns"}
_SLASHES = re.compile(r"/+(ipfs|ipns)/+")


class Origin(NamedTuple):
    """The content that a request is about."""

    namespace: str
    """ipfs or ipns."""
    root: str
    """CID, key or domain."""
    below: str
    """The path below the root: unescaped, without its first slash."""
    deserialized: bool
    """Whether pages and files are served."""
    isolated: bool = False
    """Whether the host is the content's alone."""
    host: str = ""
    """The gateway's host above the content's; with ``dnslink``, the host itself."""
    dnslink: bool = False

    @property
    def path(self) -> str:
        """The content path (X-Ipfs-Path), unescaped."""
        return f"/{self.namespace}/{self.root}/{self.below}" if self.below else f"/{self.namespace}/{self.root}"

    def shown_path(self, request: Request) -> str:
        """As the request has it, from the namespace on."""
        return request.path if not self.isolated else f"/{self.namespace}/{self.root}{request.path}"

    def crumbs(self) -> Crumbs:
        return Crumbs(
            self.namespace, self.root, tuple(name for name in self.below.split("/") if name), self.host, self.dnslink
        )


class Redirected(NamedTuple):
    """The answer is another address."""

    location: str
    status: int = 301


def unescaped(path: str) -> str:
    return unquote(path, errors="surrogateescape") if "%" in path or not path.isascii() else path


def of_path(request: Request, *, deserialized: bool) -> Origin:
    """``/ipfs/CID/...`` and ``/ipns/NAME/...``. Raises BadRequest."""
    _, _, rest = request.path.partition("/")
    namespace, _, rest = rest.partition("/")
    root, _, below = unescaped(rest).partition("/")
    if namespace not in _ABOVE or not root:
        raise BadRequest("the path is neither /ipfs/CID nor /ipns/NAME")
    return Origin(namespace, root, below, deserialized)


def of_host(request: Request, place: Place, *, deserialized: bool) -> Origin:
    """The content whose host this is: all of the path is below it."""
    root = place.root
    if place.namespace == "ipns" and "." not in root and key_of(root) is None:
        root = from_inlined(root)
    below = unescaped(request.path).lstrip("/")
    return Origin(place.namespace, root, below, deserialized, isolated=True, host=place.host)


def of_dnslink(request: Request, domain: str, host: str, *, deserialized: bool) -> Origin:
    """The content of a domain that was asked under its own name."""
    below = unescaped(request.path).lstrip("/")
    return Origin("ipns", domain, below, deserialized, isolated=True, host=host, dnslink=True)


def to_subdomain(request: Request, place: Place, scheme: str) -> Redirected:
    """From a path to the content's own host: "MUST return HTTP 301". Raises BadRequest, LabelTooLong."""
    _, namespace, rest = request.path.split("/", 2)
    root, slash, below = rest.partition("/")
    inline = place.gateway.inline_dnslink or scheme == "https"
    label = canonical_root(namespace, unescaped(root), inline=inline)
    return Redirected(f"{scheme}://{label}.{namespace}.{place.host}/{below}{_query(request)}")


def to_canonical_host(request: Request, place: Place, scheme: str) -> Redirected | None:
    """From another text of the root in the host to the usual one; None: it is the usual one. Raises BadRequest."""
    if place.namespace == "ipns" and key_of(place.root) is None:
        if "." not in place.root or not (place.gateway.inline_dnslink and scheme == "https"):
            return None
    label = canonical_root(place.namespace, place.root, inline=True)
    if label == place.root:
        return None
    return Redirected(f"{scheme}://{label}.{place.namespace}.{place.host}{request.target}")


def to_key(request: Request, origin: Origin) -> Redirected | None:
    """From a key in base58 to the usual text of it, without a look whether there is a record."""
    if origin.namespace != "ipns" or origin.isolated or not origin.root.startswith(("12D3", "16Uiu", "Qm")):
        return None
    try:
        name = format_name(PeerId.parse(origin.root))
    except PeerIdError:
        return None
    below = request.path.split("/", 3)[3:]
    return Redirected("/".join((f"/ipns/{name}", *below)) + _query(request), 302)


def to_one_namespace(request: Request, origin: Origin) -> Redirected | None:
    """From ``/ipfs/ipfs/CID``, a common slip, to ``/ipfs/CID``."""
    if origin.root not in _ABOVE or origin.isolated or not origin.below:
        return None
    first, _, rest = origin.below.partition("/")
    if origin.root == "ipfs":
        try:
            CID.parse(first)
        except CIDError:
            return None
    return Redirected(escaped_path(f"/{origin.root}/{first}" + (f"/{rest}" if rest else "")) + _query(request))


def to_single_slashes(request: Request) -> Redirected | None:
    """From ``//ipfs//CID`` to ``/ipfs/CID``, as Kubo does; never to another host. None: there is nothing to mend."""
    found = _SLASHES.match(request.target)
    if found is None or found[0] == f"/{found[1]}/":
        return None
    return Redirected(f"/{found[1]}/{request.target[found.end() :]}")


def to_uri(request: Request) -> Redirected | None:
    """From ``/ipfs/?uri=ipfs://CID/path``, where browsers send clicks on such links. Raises BadRequest."""
    uri = request.query().get("uri") if "uri=" in request.target else None
    if uri is None or request.path not in ("/ipfs/", "/ipns/"):
        return None
    try:
        parts = urlsplit(uri)
    except ValueError as exc:
        raise BadRequest("uri is not a URI") from exc
    if parts.scheme not in _ABOVE or not parts.netloc:
        raise BadRequest(f"uri {uri[:80]!r} is neither ipfs://CID nor ipns://NAME")
    if parts.scheme == "ipfs":
        try:
            parse_path(f"/ipfs/{parts.netloc}")
        except PathError as exc:
            raise BadRequest(str(exc)) from exc
    path = f"/{parts.scheme}/{quote(parts.netloc, safe=SAFE)}{escaped_path(unescaped(parts.path))}"
    return Redirected(f"{path}?{quote(parts.query, safe='=&/?:@!$()*+,;%')}" if parts.query else path)


def with_slash(request: Request) -> Redirected:
    """To the same path with a final slash: relative links of a page begin there."""
    path = escaped_path(unescaped(request.path))
    return Redirected(f"/{path.strip('/')}/{_query(request)}")


def escaped_path(path: str) -> str:
    return quote(path, safe=SAFE + "/", errors="surrogateescape")


def _query(request: Request) -> str:
    _, mark, query = request.target.partition("?")
    return mark + query
