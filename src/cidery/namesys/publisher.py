"""Publishing names, and keeping them alive: own records are re-signed, followed ones passed on unchanged.

A record is durable here before anyone else receives it, so a sequence number is never used for two values.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import NamedTuple, Protocol

from cidery.errors import CideryError, InvalidInput
from cidery.identity.keys import PrivateKey
from cidery.identity.peer_id import PeerId
from cidery.ipns.moment import NANOSECONDS
from cidery.ipns.name import format_name, routing_key
from cidery.ipns.record import MAX_NUMBER, IpnsRecord, check, sign
from cidery.namesys.resolver import NameNotFound, NameResolver
from cidery.repo.names import FOLLOWED, HELD, OWN, Names

log = logging.getLogger("cidery.namesys")

LIFETIME = 48 * 3600.0
"""Seconds that a record lives unless the user says otherwise."""
TTL = 300.0
"""Seconds that readers rely on a record without asking again."""
REPUBLISH_EVERY = 4 * 3600.0
"""Seconds between two rounds that keep records alive: the DHT forgets values after 48 hours, peers leave sooner."""
FIRST_ROUND = 60.0
"""Seconds from the start to the first round: the routing table has filled by then."""
MAX_FOLLOWED = 10_000
"""Names kept alive for others."""
MAX_HELD = 10_000
"""Records that others gave us to pass on: at most 100 MB."""


class OldSequence(InvalidInput):
    """A sequence number that is not larger than that of the existing record."""

    def __init__(self, given: int, known: int) -> None:
        super().__init__(given, known)
        self.given = given
        self.known = known

    def __str__(self) -> str:
        return f"sequence {self.given} is not larger than {self.known}, that of the name's record; use {self.known + 1}"


class SequenceExhausted(InvalidInput):
    """There is no larger sequence number."""

    def __init__(self, name: PeerId, given: bool) -> None:
        super().__init__(name, given)
        self.name = name
        self.given = given

    def __str__(self) -> str:
        text = f"/ipns/{format_name(self.name)}"
        if self.given:
            return f"after sequence {MAX_NUMBER} nothing could be published under {text} any more; give a smaller one"
        return f"the record of {text} has the largest sequence there is, so nothing can follow it; use another key"


class BadLifetime(InvalidInput):
    """A record that could not be resolved by anyone."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class ValuePutting(Protocol):
    """The part of routing that is needed."""

    async def put_value(self, key: bytes, value: bytes, failed: list[str] | None = None) -> int:
        """The number of peers that took it; ``failed`` receives a line for each unreachable router."""
        ...


class Published(NamedTuple):
    """A record that was published."""

    record: IpnsRecord
    peers: int
    """The number of peers that took it; 0: none, or none were asked because this node is offline."""
    warnings: tuple[str, ...] = ()
    """Failures: the record is stored here, and publishing is retried in the background."""


class PublishOptions(NamedTuple):
    """The options of publishing."""

    lifetime: float = LIFETIME
    """Seconds."""
    ttl: float | None = None
    """Seconds, at most the lifetime; None: TTL, or the lifetime if that is shorter."""
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
            OldSequence, SequenceExhausted, BadLifetime, IpnsRecordError (numbers out of range), StateReadOnly,
            DatabaseUnavailable. It is no error if no peer took it: see Published.warnings.
        Cancellation: safe; the record may be stored already, and is then published by the next round.
        """
        name = key.peer_id
        if options.lifetime <= 0:
            raise BadLifetime("a record that lives for 0 seconds can never be resolved; give a longer lifetime")
        if options.ttl is not None and options.ttl > options.lifetime:
            raise BadLifetime(f"the TTL, {options.ttl:g} s, is longer than the record lives, {options.lifetime:g} s")
        if options.sequence == MAX_NUMBER:
            raise SequenceExhausted(name, given=True)
        async with self._signing:
            known = await self._known(name)
            record = self._signed(key, value.encode(), options, known)
            await self._names.put(OWN, name, record, int(options.lifetime * NANOSECONDS))
        return await self._hand_over(name, record, online)

    async def _hand_over(self, name: PeerId, record: IpnsRecord, online: bool) -> Published:
        self._resolver.remember(name, record)
        if self._routing is None or not online:
            return Published(record, 0)
        failed: list[str] = []
        peers = await self._routing.put_value(routing_key(name), record.raw, failed)
        if not peers:
            failed.insert(0, "no peer took the record; it is stored here and tried again in the background")
        return Published(record, peers, tuple(failed))

    async def _known(self, name: PeerId) -> IpnsRecord | None:
        """The newest record, even if it has expired: ours, or one that another machine with this key published."""
        stored = self._names.get(name)
        if stored is not None:
            return stored.record
        try:
            return await self._resolver.record(name, fresh=True)
        except NameNotFound:
            return None

    def _signed(self, key: PrivateKey, value: bytes, options: PublishOptions, known: IpnsRecord | None) -> IpnsRecord:
        sequence = options.sequence
        if sequence is None:
            # "sequence SHOULD be increased when the value changes"
            sequence = 0 if known is None else known.sequence + (known.value != value)
            if sequence > MAX_NUMBER:
                raise SequenceExhausted(key.peer_id, given=False)
        elif known is not None and sequence <= known.sequence:
            raise OldSequence(sequence, known.sequence)
        until = self._resolver.now() + int(options.lifetime * NANOSECONDS)
        ttl = int(min(TTL if options.ttl is None else options.ttl, options.lifetime) * NANOSECONDS)
        return sign(key, value, sequence=sequence, validity=until, ttl=ttl, old_readers=options.old_readers)

    async def put(
        self, name: PeerId, raw: bytes, *, force: bool = False, online: bool = True, keep: bool = True
    ) -> Published:
        """Hand over a record that somebody else signed.

        Args:
            keep: store it durably first, and keep it alive until it expires.
        Raises IpnsRecordError, OldSequence, HoldsTooMany, StateReadOnly, DatabaseUnavailable.
        """
        record = check(raw, name, self._resolver.now())
        if not force:
            try:
                known = await self._resolver.record(name)
            except NameNotFound:
                known = None
            if known is not None and known.rank > record.rank:
                raise OldSequence(record.sequence, known.sequence)
        if keep:
            if self._names.of(HELD, name) is None and sum(1 for _ in self._names.every(HELD)) >= MAX_HELD:
                raise HoldsTooMany
            await self._names.put(HELD, name, record)
        return await self._hand_over(name, record, online)

    async def follow(self, name: PeerId) -> IpnsRecord:
        """Keep a name alive from now on. Raises NameNotFound, FollowsTooMany, StateReadOnly, DatabaseUnavailable."""
        record = await self._resolver.record(name, fresh=True)
        if sum(1 for _ in self._names.every(FOLLOWED)) >= MAX_FOLLOWED:
            raise FollowsTooMany
        await self._names.put(FOLLOWED, name, record)
        return record

    async def round(self) -> int:
        """Publish everything once more; returns how many names were taken. Failures affect one name each."""
        done = 0
        for stored in list(self._names.every(OWN)):
            done += await self._again(stored.name, lambda stored=stored: self._renewed(stored.name))  # type: ignore[misc]
        for stored in list(self._names.every(FOLLOWED)):
            done += await self._again(stored.name, lambda stored=stored: self._refreshed(stored.name))  # type: ignore[misc]
        for stored in list(self._names.every(HELD)):
            if stored.record.is_over(self._resolver.now()):
                await self._names.remove(HELD, stored.name)
            else:
                done += await self._again(stored.name, lambda stored=stored: _as_it_is(stored.record))  # type: ignore[misc]
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
        """Our own record with a later expiry; None: its key is gone, so it cannot be signed."""
        key = await self._key_of(name)
        async with self._signing:
            stored = self._names.of(OWN, name)
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
        """The newest record of a followed name; None once the last one has expired."""
        try:
            record = await self._resolver.record(name, fresh=True)
        except NameNotFound:
            return None
        stored = self._names.of(FOLLOWED, name)
        if stored is None or record.rank > stored.record.rank:
            await self._names.put(FOLLOWED, name, record)
        return record


async def _as_it_is(record: IpnsRecord) -> IpnsRecord:
    return record


class HoldsTooMany(InvalidInput):
    """MAX_HELD records of others are stored already."""

    def __str__(self) -> str:
        return f"{MAX_HELD} records of others are stored here already; they go when they are over"


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
