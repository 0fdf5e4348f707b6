"""Which content a Host names: gateways on their own name, and origins of their own below it. Pure.

::

    gateway.example/ipfs/CID/a         path gateway, or a redirect to the next
    CID.ipfs.gateway.example/a         /ipfs/CID/a, an origin of its own
    NAME.ipns.gateway.example/a        /ipns/NAME/a
    en-example--site-org.ipns....      /ipns/en.example-site.org, in one label of DNS

Spec: https://specs.ipfs.tech/http-gateways/subdomain-gateway/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from cidery.http.message import BadRequest
from cidery.identity.peer_id import PeerId, PeerIdError
from cidery.multiformats.cid import CID, CIDError
from cidery.multiformats.multicodec import LIBP2P_KEY
from cidery.namesys.dnslink import BadDomain, is_address

MAX_LABEL = 63
"""Longest label of a domain, in characters (RFC 1035)."""
MAX_FOUND = 1024
"""Hosts whose places are remembered: most requests come for few."""
MAX_HOST = 512
"""Longest Host that is looked at, in characters: a domain has 253, and a port."""
NAMESPACES = ("ipfs", "ipns")


class PublicGateway(NamedTuple):
    """What one host name serves: an entry of Gateway.PublicGateways."""

    paths: tuple[str, ...] = ("/ipfs", "/ipns")
    """The prefixes of paths that are answered."""
    use_subdomains: bool = False
    """Whether each content gets an origin of its own."""
    inline_dnslink: bool = False
    """Whether domains are written in one label, for certificates of the form ``*.ipns.example.com``."""
    no_dnslink: bool = False
    """Whether the host itself is looked up as a DNSLink."""
    deserialized: bool | None = None
    """Whether pages and files are served, not only what a client can verify; None: as Gateway.DeserializedResponses."""

    def serves(self, path: str) -> bool:
        return any(path == prefix or path.startswith(f"{prefix}/") for prefix in self.paths)


LOCALHOST = PublicGateway(use_subdomains=True)
"""The default of ``localhost``: browsers resolve its subdomains, so that each site has its own storage."""
UNKNOWN = PublicGateway()
"""Of a host without an entry: a path gateway."""


class Place(NamedTuple):
    """What a Host names."""

    gateway: PublicGateway
    host: str
    """The host of the gateway, with its port; "" if the host has no entry."""
    namespace: str = ""
    """Of an origin below it; "": the gateway's own name."""
    root: str = ""
    """The label (of a domain: the labels) before the namespace."""


class LabelTooLong(BadRequest):
    """A CID that no label of DNS can hold."""

    def __init__(self, root: str) -> None:
        super().__init__(
            f"CID incompatible with DNS label length limit of {MAX_LABEL}: {root[:200]}; "
            "ask a path gateway, which has no such limit"
        )


class Hosts:
    """The table of hosts."""

    def __init__(self, gateways: Mapping[str, PublicGateway]) -> None:
        """``gateways``: by host, with or without a port; ``*`` in place of a label stands for any one label."""
        self._exact = {host.lower(): gateway for host, gateway in gateways.items() if "*" not in host}
        self._found: dict[str, Place] = {}
        self._wild = [(host.lower().split("."), gateway) for host, gateway in gateways.items() if "*" in host]

    def find(self, host: str) -> Place:
        """What ``host``, as a Host header has it, names."""
        found = self._found.get(host)
        if found is None:
            found = self._find(host.lower()) if 0 < len(host) <= MAX_HOST else Place(UNKNOWN, "")
            if len(self._found) >= MAX_FOUND:
                self._found.clear()
            self._found[host] = found
        return found

    def _find(self, host: str) -> Place:
        if (gateway := self.gateway(host)) is not None:
            return Place(gateway, host)
        labels = host.split(".")
        for at in range(len(labels) - 2, 0, -1):
            if labels[at] in NAMESPACES:
                rest = ".".join(labels[at + 1 :])
                gateway = self.gateway(rest)
                if gateway is not None and gateway.use_subdomains and gateway.serves(f"/{labels[at]}"):
                    return Place(gateway, rest, labels[at], ".".join(labels[:at]))
        return Place(UNKNOWN, "")

    def gateway(self, host: str) -> PublicGateway | None:
        """The entry of a gateway's own name."""
        found = self._exact.get(host)
        if found is None:
            bare = without_port(host)
            found = self._exact.get(bare)
            if found is None and self._wild:
                found = self._matching(host.split(".")) or self._matching(bare.split("."))
        return found

    def _matching(self, labels: list[str]) -> PublicGateway | None:
        for pattern, gateway in self._wild:
            if len(pattern) == len(labels) and all(p in ("*", label) for p, label in zip(pattern, labels, strict=True)):
                return gateway
        return None


def without_port(host: str) -> str:
    """``host`` without ``:port``; brackets of IPv6 stay."""
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() and not host.endswith("]") else host


def is_domain(host: str) -> bool:
    """Whether ``host`` (no port) may have a DNSLink: no address, no single label, nothing of localhost."""
    last = host.rpartition(".")[2]
    return "." in host and not host.startswith("[") and not last.isdigit() and last != "localhost"


def canonical_root(namespace: str, root: str, *, inline: bool) -> str:
    """``root`` as the labels of a host: CIDv1 base32, keys as base36, domains as they are or in one label.

    Raises BadRequest: no CID, or an IP address. LabelTooLong.
    """
    if namespace == "ipns":
        key = key_of(root)
        if key is not None:
            return _fitting(key.to_cid(), root, "base36")
        if is_address(root):
            raise BadRequest(str(BadDomain(root)))
        return inlined(root) if inline else root
    try:
        cid = CID.parse(root)
    except CIDError as exc:
        raise BadRequest(f'invalid path "/ipfs/{root[:200]}": {exc}') from exc
    return _fitting(cid.to_v1(), root, "base36" if cid.codec == LIBP2P_KEY else "base32")


def key_of(root: str) -> PeerId | None:
    """The key that a root of /ipns names, in any of its texts: also a CID of another codec, as old links have."""
    try:
        return PeerId.parse(root)
    except PeerIdError:
        pass
    try:
        return PeerId.decode(CID.parse(root).multihash)
    except (CIDError, PeerIdError):
        return None


def _fitting(cid: CID, root: str, base: str) -> str:
    for name in (base, "base36"):
        label = cid.format(name)
        if len(label) <= MAX_LABEL:
            return label
    raise LabelTooLong(root)


def inlined(domain: str) -> str:
    """A domain in one label. Raises LabelTooLong."""
    label = domain.replace("-", "--").replace(".", "-")
    if len(label) > MAX_LABEL:
        raise LabelTooLong(domain)
    return label


def from_inlined(label: str) -> str:
    """The domain in a label: ``-`` stands for a dot, ``--`` for ``-``."""
    return "-".join(part.replace("-", ".") for part in label.split("--"))
