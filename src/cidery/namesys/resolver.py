"""Resolves names: by our own records, then the cache, then the records of others.

::

    /ipns/k51...  -> own record | cached, while its TTL lasts | the best that the routers find -> path
    /ipns/domain  -> fixed map  | DNSLink -> path
    a path that is again a name is resolved in turn, at most MAX_DEPTH times
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import NamedTuple, Protocol

from cidery.dns.interface import TxtResolver
from cidery.errors import InvalidInput, LimitExceeded, NotFound
from cidery.identity.peer_id import PeerId, PeerIdError
from cidery.ipns.moment import NANOSECONDS
from cidery.ipns.name import format_name, parse_name, routing_key
from cidery.ipns.record import IpnsRecord, IpnsRecordError, check
from cidery.namesys.dnslink import PREFIX, check_domain, target_of
from cidery.repo.names import Names

MAX_DEPTH = 32
"""Names that lead to names: "recursion MUST be limited to 32" (IPNS and DNSLink pages of the specification)."""
MAX_CACHED = 1024
"""Records cached, of at most 10 KiB each."""
QUORUM = 16
"""Answers of peers after which the best is taken (Kubo's dhtrc)."""
SEARCH_SECONDS = 60.0
"""Longest search for a record (Kubo's dhtt)."""


class NameNotFound(NotFound):
    """No valid record of the name was found."""

    def __init__(self, name: PeerId, offline: bool) -> None:
        super().__init__(name, offline)
        self.name = name
        self.offline = offline

    def __str__(self) -> str:
        why = "this node is offline and has none" if self.offline else "nobody else has one"
        return f"no valid record of /ipns/{format_name(self.name)}: {why}; its owner has to publish it again"


class TooManyNames(LimitExceeded):
    """Names that lead to names without end."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return f"{self.path[:120]} leads through more than {MAX_DEPTH} names"


class BadTarget(InvalidInput):
    """A name that points to something that is not a path."""

    def __init__(self, name: str, value: str) -> None:
        super().__init__(name, value)
        self.name = name
        self.value = value

    def __str__(self) -> str:
        return f"/ipns/{self.name[:120]} points to {self.value[:80]!r}, which is no path such as /ipfs/CID"


class ValueSearch(Protocol):
    """The part of routing that is needed; satisfied by routing.service.JoinedRouting."""

    def search_value(self, key: bytes, quorum: int) -> AsyncGenerator[bytes, None]:
        """Values as they are found; checked here again."""
        ...


class Limits(NamedTuple):
    """What looking up a name may cost."""

    quorum: int = QUORUM
    seconds: float = SEARCH_SECONDS
    """Of a search for a record."""
    asking: Callable[[], None] | None = None
    """Called before anybody else is asked, for each name on the way; raises if that is too much."""


USUAL = Limits()
"""Of callers that state none."""


class Target(NamedTuple):
    """The result of resolving a path."""

    path: str
    """``/ipfs/...``, or a name if only one step was wanted."""
    ttl: float
    """Seconds for which it may be cached: the minimum of all steps."""


class _Cached(NamedTuple):
    record: IpnsRecord
    until: float


class NameResolver:
    """See the module's text. For one event loop."""

    def __init__(
        self,
        names: Names,
        txt: TxtResolver,
        routing: ValueSearch | None,
        *,
        clock: Callable[[], float],
        wall: Callable[[], float],
        fixed: Mapping[str, str],
        max_ttl: float | None = None,
    ) -> None:
        """``fixed``: name or domain -> path, taking precedence. ``max_ttl``: longest caching of a record, seconds."""
        self._names = names
        self._txt = txt
        self._routing = routing
        self._clock = clock
        self._wall = wall
        self._fixed = fixed
        self._max_ttl = max_ttl
        self.refuse: Callable[[str, str], None] | None = None
        """Called with a name and the path below it before it is resolved; raises if that is not wanted."""
        self._cache: OrderedDict[PeerId, _Cached] = OrderedDict()
        self._searches: dict[PeerId, asyncio.Task[IpnsRecord]] = {}

    def now(self) -> int:
        """Nanoseconds since 1970, for records."""
        return int(self._wall() * NANOSECONDS)

    async def resolve(
        self, path: str, *, recursive: bool = True, fresh: bool = False, limits: Limits = USUAL
    ) -> Target:
        """Follow names until the path is no longer a name.

        Args:
            path: ``/ipns/NAME/rest``; others are returned as they are.
            recursive: False: one step.
            fresh: ask the routers, even if a record is cached (own records excepted).
        Raises:
            NameNotFound, NoDnsLink, BadDomain, BadTarget, TooManyNames, NoSuchDomain, DnsUnavailable, Denied.
        Cancellation: safe.
        """
        ttl = float("inf")
        for _ in range(MAX_DEPTH):
            if not path.startswith("/ipns/"):
                return Target(path, 0.0 if ttl == float("inf") else ttl)
            name, slash, rest = path.removeprefix("/ipns/").partition("/")
            if self.refuse is not None:
                self.refuse(name, rest)
            value, lasts = await self._step(name, fresh, limits)
            if not value.startswith(("/ipfs/", "/ipns/", "/ipld/")):
                raise BadTarget(name, value)
            path = value.rstrip("/") + slash + rest if rest else value
            ttl = min(ttl, lasts)
            if not recursive:
                return Target(path, ttl)
        raise TooManyNames(path)

    async def _step(self, text: str, fresh: bool, limits: Limits) -> tuple[str, float]:
        if text in self._fixed:
            return self._fixed[text], 0.0
        try:
            name = parse_name(text)
        except PeerIdError:
            domain = check_domain(text)
            if domain in self._fixed:
                return self._fixed[domain], 0.0
            if limits.asking is not None and not self._txt.is_known(PREFIX + domain):
                limits.asking()
            answer = await self._txt.txt(PREFIX + domain)
            return target_of(domain, answer.texts), answer.ttl
        record = await self.record(name, fresh=fresh, limits=limits)
        return record.value.decode("utf-8", "replace"), self._lasts(record)

    def _lasts(self, record: IpnsRecord) -> float:
        lasts = min(record.ttl, max(0, record.validity - self.now())) / NANOSECONDS
        return lasts if self._max_ttl is None else min(lasts, self._max_ttl)

    async def record(self, name: PeerId, *, fresh: bool = False, limits: Limits = USUAL) -> IpnsRecord:
        """The best valid record of a name. Concurrent calls share one search.

        Raises NameNotFound, Denied, and as ``limits.asking``.
        """
        if self.refuse is not None:
            self.refuse(format_name(name), "")
        stored = self._stored(name)
        if stored is not None and stored[1]:
            return stored[0]  # our own: there is no better one
        cached = self._cache.get(name)
        if cached is not None and not fresh and cached.until > self._clock():
            self._cache.move_to_end(name)
            return cached.record
        task = self._searches.get(name)
        if task is None:
            if limits.asking is not None and self._routing is not None:
                limits.asking()
            task = self._searches[name] = asyncio.create_task(self._search(name, stored and stored[0], limits))
            task.add_done_callback(lambda _: self._searches.pop(name, None))
        return await asyncio.shield(task)

    def _stored(self, name: PeerId) -> tuple[IpnsRecord, bool] | None:
        """A valid record that is stored here, and whether it is our own."""
        found = self._names.get(name)
        if found is None or found.record.is_over(self.now()):
            return None
        return found.record, found.lifetime > 0

    async def _search(self, name: PeerId, best: IpnsRecord | None, limits: Limits) -> IpnsRecord:
        async for record in self.search(name, limits):
            if best is None or record.rank > best.rank:
                best = record
        if best is None:
            raise NameNotFound(name, self._routing is None)
        self.remember(name, best)
        return best

    async def stream(self, path: str, limits: Limits = USUAL) -> AsyncGenerator[str, None]:
        """One step of ``path``, for each better record found. Raises as resolve()."""
        name, slash, rest = path.removeprefix("/ipns/").partition("/")
        if self.refuse is not None:
            self.refuse(name, rest)
        try:
            key = parse_name(name)
        except PeerIdError:
            yield (await self.resolve(path, recursive=False)).path
            return
        stored = self._stored(key)
        best = stored and stored[0]
        if best is not None:
            yield best.value.decode("utf-8", "replace") + slash + rest
        async for record in self.search(key, limits):
            if best is None or record.rank > best.rank:
                best = record
                yield record.value.decode("utf-8", "replace") + slash + rest
        if best is None:
            raise NameNotFound(key, self._routing is None)

    async def search(self, name: PeerId, limits: Limits = USUAL) -> AsyncGenerator[IpnsRecord, None]:
        """Valid records of others, each better than the one before; ends at the limits."""
        if self._routing is None:
            return
        best: IpnsRecord | None = None
        ends = asyncio.get_running_loop().time() + limits.seconds
        async with aclosing(self._routing.search_value(routing_key(name), limits.quorum)) as values:
            while True:
                try:
                    async with asyncio.timeout_at(ends):
                        value = await anext(values, None)
                except TimeoutError:
                    return
                if value is None:
                    return
                try:
                    record = check(value, name, self.now())
                except IpnsRecordError:
                    continue  # an invalid or expired record: continue with the others
                if best is None or record.rank > best.rank:
                    best = record
                    yield record

    def remember(self, name: PeerId, record: IpnsRecord) -> None:
        """Cache a valid record for its TTL."""
        self._cache[name] = _Cached(record, self._clock() + self._lasts(record))
        self._cache.move_to_end(name)
        if len(self._cache) > MAX_CACHED:
            self._cache.popitem(last=False)
