"""Publishing names, and keeping them alive: own records are signed anew, followed ones passed on as they are.

A record is durable here before anybody else gets it, so a sequence is never used twice for two values.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from cidery.errors import CideryError, InvalidInput, Unavailable
from cidery.identity.keys import PrivateKey
from cidery.identity.peer_id import PeerId
from cidery.ipns.moment import NANOSECONDS
from cidery.ipns.name import format_name, routing_key
from cidery.ipns.record import MAX_NUMBER, IpnsRecord, check, sign
from cidery.namesys.resolver import NameNotFound, NameResolver
from cidery.repo.names import FOLLOWED, OWN, Names

log = logging.getLogger("cidery.namesys")

LIFETIME = 48 * 3600.0
"""Seconds that a record lives unless the user says otherwise."""
MIN_LIFETIME = 1.0
"""Seconds that a record has to live at least: a shorter one ends before a reader has it."""
TTL = 300.0
"""Seconds that readers rely on a record without asking again."""
REPUBLISH_EVERY = 4 * 3600.0
"""Seconds between two rounds that keep records alive: the DHT forgets values after 48 hours, peers leave sooner."""
FIRST_ROUND = 60.0
"""Seconds after the start until the first round: the routing table has filled by then."""
MAX_FOLLOWED = 10_000
"""Names kept alive for others."""


class OldSequence(InvalidInput):
    """A sequence that is not larger than that of the record there is."""

    def __init__(self, given: int, known: int) -> None:
        super().__init__(given, known)
        self.given = given
        self.known = known

    def __str__(self) -> str:
        return f"sequence {self.given} is not larger than {self.known}, that of the name's record; use {self.known + 1}"


class LastSequence(InvalidInput):
    """After the largest sequence no other value can be published under a name."""

    def __init__(self, *, reached: bool) -> None:
        super().__init__(reached)
        self.reached = reached

    def __str__(self) -> str:
        if self.reached:
            return f"the record of this name has the last sequence there is, {MAX_NUMBER}; publish under another key"
        return f"sequence {MAX_NUMBER} is the last there is: nothing else could be published under this name afterwards"


class BadLifetime(InvalidInput):
    """A record that could not be resolved, or would be relied on after its end."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class CannotPublish(Unavailable):
    """Nobody took the record."""

    def __init__(self, name: PeerId, record: IpnsRecord) -> None:
        super().__init__(name, record)
        self.name = name
        self.record = record

    def __str__(self) -> str:
        text = format_name(self.name)
        return f"/ipns/{text} is stored here, but no peer took its record; it is tried again in the background"


class ValuePutting(Protocol):
    """The part of routing that is needed."""

    async def put_value(self, key: bytes, value: bytes) -> int:
        """How many took it."""
        ...


class Published(NamedTuple):
    """A record that was published."""

    record: IpnsRecord
    peers: int
    """How many took it; 0: nobody was asked, this node is offline."""


@dataclass(frozen=True, slots=True)
class PublishOptions:
    """How to publish."""

    lifetime: float = LIFETIME
    """Seconds."""
    ttl: float | None = None
    """Seconds; None: TTL, or the lifetime if that is shorter."""
    sequence: int | None = None
    """None: the next one, or the same for the same value."""
    old_readers: bool = True


class NamePublisher:
    """See the module's text. ``keys``: private keys by name, for the rounds."""

    def __init__(
        self,
        names: Names,
        resolver: NameResolver,
        routing: ValuePutting | None,
        key_of: Callable[[PeerId], Awaitable[PrivateKey | None]],
    ) -> None:
        self._names = names
        self._resolver = resolver
        self._routing = routing
        self._key_of = key_of
        self._signing = asyncio.Lock()

    async def publish(self, key: PrivateKey, value: str, options: PublishOptions, *, online: bool = True) -> Published:
        """Sign, store durably, hand to the routers.

        Raises:
            OldSequence, LastSequence, BadLifetime, IpnsRecordError (numbers out of range), StateReadOnly,
            DatabaseUnavailable,
            CannotPublish: it is stored, but nobody took it.
        Cancellation: safe; the record may be stored already, and is then published by the next round.
        """
        name = key.peer_id
        async with self._signing:
            known = await self._known(name)
            record = self._signed(key, value.encode(), options, known)
            await self._names.put(OWN, name, record, int(options.lifetime * NANOSECONDS))
        return await self._hand_over(name, record, online)

    async def _hand_over(self, name: PeerId, record: IpnsRecord, online: bool) -> Published:
        self._resolver.remember(name, record)
        if self._routing is None or not online:
            return Published(record, 0)
        peers = await self._routing.put_value(routing_key(name), record.raw)
        if not peers:
            raise CannotPublish(name, record)
        return Published(record, peers)

    async def _known(self, name: PeerId) -> IpnsRecord | None:
        """The newest record, even if it is over: ours, or what another machine with this key has published."""
        stored = self._names.get(name)
        if stored is not None:
            return stored.record
        try:
            return await self._resolver.record(name, fresh=True)
        except NameNotFound:
            return None

    def _signed(self, key: PrivateKey, value: bytes, options: PublishOptions, known: IpnsRecord | None) -> IpnsRecord:
        if options.lifetime < MIN_LIFETIME:
            raise BadLifetime(f"a record that lives for less than {MIN_LIFETIME:g} s cannot be resolved: --lifetime")
        if options.ttl is not None and options.ttl > options.lifetime:
            raise BadLifetime("a record cannot be relied on for longer than it lives: --ttl is more than --lifetime")
        sequence = options.sequence
        if sequence == MAX_NUMBER:
            raise LastSequence(reached=False)
        if sequence is None:
            # "sequence SHOULD be increased when the value changes"
            sequence = 0 if known is None else known.sequence + (known.value != value)
            if sequence > MAX_NUMBER:
                raise LastSequence(reached=True)
        elif known is not None and sequence <= known.sequence:
            raise OldSequence(sequence, known.sequence)
        until = self._resolver.now() + int(options.lifetime * NANOSECONDS)
        ttl = int(min(TTL if options.ttl is None else options.ttl, options.lifetime) * NANOSECONDS)
        return sign(key, value, sequence=sequence, validity=until, ttl=ttl, old_readers=options.old_readers)

    async def put(self, name: PeerId, raw: bytes, *, force: bool = False, online: bool = True) -> Published:
        """Hand over a record that somebody else signed. Raises IpnsRecordError, OldSequence, CannotPublish."""
        record = check(raw, name, self._resolver.now())
        if not force:
            try:
                known = await self._resolver.record(name)
            except NameNotFound:
                known = None
            if known is not None and known.rank > record.rank:
                raise OldSequence(record.sequence, known.sequence)
        return await self._hand_over(name, record, online)

    async def follow(self, name: PeerId) -> IpnsRecord:
        """Keep a name alive from now on. Raises NameNotFound, FollowsTooMany, StateReadOnly, DatabaseUnavailable."""
        record = await self._resolver.record(name, fresh=True)
        if sum(1 for _ in self._names.every(FOLLOWED)) >= MAX_FOLLOWED:
            raise FollowsTooMany
        await self._names.put(FOLLOWED, name, record)
        return record

    async def round(self) -> int:
        """Publish everything once more; returns how many names others took. Failures concern one name each."""
        done = 0
        for stored in list(self._names.every(OWN)):
            done += await self._again(stored.name, lambda stored=stored: self._renewed(stored.name))  # type: ignore[misc]
        for stored in list(self._names.every(FOLLOWED)):
            done += await self._again(stored.name, lambda stored=stored: self._refreshed(stored.name))  # type: ignore[misc]
        return done

    async def _again(self, name: PeerId, renew: Callable[[], Awaitable[IpnsRecord | None]]) -> bool:
        try:
            record = await renew()
            if record is None or self._routing is None:
                return False
            return await self._routing.put_value(routing_key(name), record.raw) > 0
        except (CideryError, TimeoutError, OSError) as exc:
            log.info("publishing /ipns/%s again: %s", format_name(name), exc)
            return False

    async def _renewed(self, name: PeerId) -> IpnsRecord | None:
        """Our own record with a later end; None: its key is gone, so it cannot be signed."""
        key = await self._key_of(name)
        async with self._signing:
            stored = self._names.get(name)
            if stored is None or key is None or not stored.lifetime:
                return None
            record = stored.record
            until = self._resolver.now() + stored.lifetime
            renewed = sign(
                key,
                record.value,
                sequence=record.sequence,
                validity=max(until, record.validity),
                ttl=record.ttl,
                old_readers=bool(record.signature_v1),
            )
            await self._names.put(OWN, name, renewed, stored.lifetime)
        self._resolver.remember(name, renewed)
        return renewed

    async def _refreshed(self, name: PeerId) -> IpnsRecord | None:
        """The newest record of a followed name; None once the last one is over."""
        try:
            record = await self._resolver.record(name, fresh=True)
        except NameNotFound:
            return None
        stored = self._names.get(name)
        if stored is None or record.rank > stored.record.rank:
            await self._names.put(FOLLOWED, name, record)
        return record


class FollowsTooMany(InvalidInput):
    """MAX_FOLLOWED names are kept alive already."""

    def __str__(self) -> str:
        return f"{MAX_FOLLOWED} names are followed already; unfollow some: cidery name unfollow NAME"


async def keep_published(
    publisher: NamePublisher, sleep: Callable[[float], Awaitable[None]], every: float = REPUBLISH_EVERY
) -> None:
    """Rounds without end; cancel it to stop."""
    await sleep(FIRST_ROUND)
    while True:
        await publisher.round()
        await sleep(every)
