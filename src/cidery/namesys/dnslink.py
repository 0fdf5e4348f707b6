"""DNSLink: a domain points to content by a TXT record ``dnslink=/ipfs/CID`` under ``_dnslink.DOMAIN``.

Pure. Names are looked up as given; inlined labels (``en-wikipedia--on--ipfs-org``) are for gateways.

Spec: https://dnslink.dev/
"""

import re
from collections.abc import Iterable
from ipaddress import ip_address

from cidery.errors import InvalidInput, NotFound
from cidery.multiformats.cid import CID, CIDError

MAX_DOMAIN = 253
"""Longest domain, in characters (RFC 1035)."""
PREFIX = "_dnslink."
_RECORD = "dnslink="
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)", re.IGNORECASE)


class NoDnsLink(NotFound):
    """The domain has no DNSLink record."""

    def __init__(self, domain: str, reason: str) -> None:
        super().__init__(domain, reason)
        self.domain = domain
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.domain[:120]} has no usable DNSLink: {self.reason}"


class BadDomain(InvalidInput):
    """Text that is neither the name of a key nor a domain."""

    def __init__(self, given: str) -> None:
        super().__init__(given)
        self.given = given

    def __str__(self) -> str:
        if is_address(self.given):
            return f"{self.given[:80]!r} is an IP address, which has no DNSLink; a domain (example.org) may have one"
        return f"{self.given[:80]!r} is neither an IPNS name (k51...) nor a domain with a DNSLink (example.org)"


def is_address(text: str) -> bool:
    """Whether this is written as an IP address of version 4 or 6, which is never a domain."""
    try:
        ip_address(text.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


def check_domain(text: str) -> str:
    """A domain in lower case without its final dot. Raises BadDomain, also for an address: it ends in a number."""
    domain = text.rstrip(".").lower()
    try:
        domain = domain if domain.isascii() else domain.encode("idna").decode()
    except UnicodeError as exc:
        raise BadDomain(text) from exc
    labels = domain.split(".")
    if len(domain) > MAX_DOMAIN or len(labels) < 2 or not all(map(_LABEL.fullmatch, labels)) or labels[-1].isdigit():
        raise BadDomain(text)
    return domain


def target_of(domain: str, texts: Iterable[str]) -> str:
    """The path in TXT records; exactly one of them has to be a DNSLink. A bare CID is read too, as by Kubo.

    Raises NoDnsLink.
    """
    found: list[str] = []
    for text in texts:
        if not text.startswith(_RECORD):
            continue
        value = text.removeprefix(_RECORD).strip()
        if value.startswith(("/ipfs/", "/ipns/")) and len(value) > len("/ipfs/"):
            found.append(value)
        elif _is_cid(value):
            found.append(f"/ipfs/{value}")
    if len(found) != 1:
        raise NoDnsLink(domain, f"{len(found) or 'no'} records of the form dnslink=/ipfs/CID under {PREFIX}{domain}")
    return found[0]


def _is_cid(text: str) -> bool:
    try:
        CID.parse(text)
    except CIDError:
        return False
    return True
