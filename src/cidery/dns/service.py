"""DNS look-ups: the system's resolvers, others by UDP, DNS over HTTPS (RFC 8484), each for a part of the names.

``DNS.Resolvers`` of the config maps a domain with its final dot ("." for all) to ``https://host/path``,
``udp://address:port``, or "auto" for the system's. Without it the system's are asked; an empty map means no DNS at all.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from cidery.dns.interface import DnsUnavailable, NoResolver, NoSuchDomain, TxtAnswer
from cidery.errors import InvalidInput
from cidery.host_names import http_connector

if TYPE_CHECKING:
    import dns.asyncresolver
    import dns.message
    import dns.rrset

ANSWER_SECONDS = 10.0
"""Longest wait for one answer: two tries at the usual 5 s."""
MAX_ANSWER = 64 * 1024
"""Bytes of one answer over HTTPS: the limit of DNS messages."""
MAX_RECORDS = 64
"""Most records read of one answer."""
MAX_CACHED = 1024
"""Answers cached: some hundred KiB."""
MAX_TTL = 3600.0
"""Longest caching of an answer, in seconds, so that changes show."""
SYSTEM = "auto"


class BadResolver(InvalidInput):
    """An invalid entry of DNS.Resolvers."""

    def __init__(self, given: str) -> None:
        super().__init__(given)
        self.given = given

    def __str__(self) -> str:
        return f"DNS.Resolvers: {self.given[:80]!r} is neither https://HOST/PATH nor udp://ADDRESS:PORT nor auto"


def check_resolver(url: str) -> None:
    """Raises BadResolver unless this is a value for DNS.Resolvers."""
    try:
        parts = urlsplit(url)
        good = url == SYSTEM or (parts.scheme in ("https", "http", "udp") and bool(parts.hostname))
        if good and parts.scheme == "udp":
            good = parts.port is not None
    except ValueError:
        good = False
    if not good:
        raise BadResolver(url)


class Dns:
    """Satisfies TxtResolver and AddressResolver."""

    def __init__(self, resolvers: Mapping[str, str] | None, clock: Callable[[], float]) -> None:
        """``resolvers``: see the module's text; None: the system's for all names. Raises BadResolver."""
        self._resolvers = {SYSTEM_ZONE: SYSTEM} if resolvers is None else dict(resolvers)
        for url in self._resolvers.values():
            check_resolver(url)
        self._clock = clock
        self._answers: OrderedDict[tuple[str, str], tuple[float, TxtAnswer]] = OrderedDict()

    async def txt(self, name: str) -> TxtAnswer:
        """See TxtResolver."""
        return await self._cached(name, "TXT")

    def is_known(self, name: str) -> bool:
        """See TxtResolver."""
        known = self._answers.get(_key(name, "TXT"))
        return known is not None and known[0] > self._clock()

    async def addresses(self, name: str, version: int) -> tuple[str, ...]:
        """See AddressResolver."""
        return (await self._cached(name, "AAAA" if version == 6 else "A")).texts

    async def _cached(self, name: str, kind: str) -> TxtAnswer:
        key = _key(name, kind)
        known = self._answers.get(key)
        now = self._clock()
        if known is not None and known[0] > now:
            self._answers.move_to_end(key)
            return TxtAnswer(known[1].texts, known[0] - now)
        answer = await self._ask(key[0], kind)
        self._answers[key] = (now + min(answer.ttl, MAX_TTL), answer)
        if len(self._answers) > MAX_CACHED:
            self._answers.popitem(last=False)
        return answer

    def _resolver_of(self, name: str) -> str:
        """The resolver of the longest domain that contains ``name``. Raises DnsUnavailable."""
        labels = name.split(".")
        for start in range(len(labels)):
            domain = ".".join(labels[start:]) + "."
            if domain in self._resolvers:
                return self._resolvers[domain]
        if SYSTEM_ZONE in self._resolvers:
            return self._resolvers[SYSTEM_ZONE]
        raise NoResolver(name)

    async def _ask(self, name: str, kind: str) -> TxtAnswer:
        # imported late: 40 ms that only look-ups need
        import dns.exception
        import dns.name
        import dns.resolver

        url = self._resolver_of(name)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                records = await (_over_https if url.startswith("http") else _over_udp)(url, name, kind)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer) as exc:
            raise NoSuchDomain(name, kind) from exc
        except TimeoutError as exc:
            raise DnsUnavailable(name, f"no answer within {ANSWER_SECONDS:g} s") from exc
        except (dns.exception.DNSException, OSError, ValueError) as exc:
            raise DnsUnavailable(name, str(exc).lower() or type(exc).__name__) from exc
        if records is None:
            raise NoSuchDomain(name, kind)
        return TxtAnswer(tuple(map(_text, list(records)[:MAX_RECORDS])), float(records.ttl))


SYSTEM_ZONE = "."


def _key(name: str, kind: str) -> tuple[str, str]:
    return name.lower().rstrip("."), kind


def _text(record: object) -> str:
    strings = getattr(record, "strings", None)
    if strings is None:
        return str(getattr(record, "address"))  # noqa: B009 (dnspython's records are made at run time)
    return b"".join(strings).decode("utf-8", "replace")


async def _over_udp(url: str, name: str, kind: str) -> dns.rrset.RRset | None:
    import dns.asyncresolver

    resolver = dns.asyncresolver.Resolver(configure=url == SYSTEM)
    if url != SYSTEM:
        parts = urlsplit(url)
        resolver.nameservers = [parts.hostname or ""]
        resolver.port = parts.port or 53
    return (await resolver.resolve(name + ".", kind, lifetime=ANSWER_SECONDS)).rrset


async def _over_https(url: str, name: str, kind: str) -> dns.rrset.RRset | None:
    """RFC 8484: a query as the body of a POST. Redirects are not followed."""
    import aiohttp
    import dns.message
    import dns.rcode
    import dns.resolver

    query = dns.message.make_query(name + ".", kind)
    query.id = 0
    headers = {"Content-Type": "application/dns-message", "Accept": "application/dns-message"}
    try:
        async with (
            aiohttp.ClientSession(connector=http_connector(), trust_env=True) as session,
            session.post(url, data=query.to_wire(), headers=headers, allow_redirects=False) as response,
        ):
            if response.status != 200:
                raise ValueError(f"{urlsplit(url).hostname} answers with HTTP status {response.status}")
            wire = b""
            async for piece in response.content.iter_any():
                wire += piece
                if len(wire) > MAX_ANSWER:
                    raise ValueError(f"{urlsplit(url).hostname} answers with more than {MAX_ANSWER} bytes")
    except aiohttp.ClientError as exc:
        raise ValueError(f"{urlsplit(url).hostname}: {exc}") from exc
    answer = dns.message.from_wire(wire)
    if answer.rcode() == dns.rcode.NXDOMAIN:
        return None
    if answer.rcode() != dns.rcode.NOERROR:
        raise ValueError(f"the resolver answers {dns.rcode.to_text(answer.rcode())}")
    asked = query.question[0]
    found = dns.resolver.Answer(asked.name, asked.rdtype, asked.rdclass, cast("dns.message.QueryMessage", answer))
    return found.rrset
