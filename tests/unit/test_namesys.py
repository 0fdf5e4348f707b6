"""Names: resolving over a store of values and a DNS that are scripted, publishing, following."""

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

import pytest

from cidery.dns.interface import NoSuchDomain, TxtAnswer
from cidery.identity.keys import PrivateKey
from cidery.identity.peer_id import PeerId
from cidery.ipns.moment import NANOSECONDS
from cidery.ipns.name import format_name, routing_key
from cidery.ipns.record import MAX_NUMBER, IpnsRecord, IpnsRecordError, sign
from cidery.namesys.dnslink import BadDomain, NoDnsLink, check_domain, target_of
from cidery.namesys.publisher import (
    BadLifetime,
    NamePublisher,
    OldSequence,
    PublishOptions,
    SequenceExhausted,
    keep_published,
)
from cidery.namesys.resolver import MAX_DEPTH, BadTarget, Limits, NameNotFound, NameResolver, TooManyNames
from cidery.repo.names import FOLLOWED, HELD, OWN, Names
from cidery.repo.state import State

START = 1_790_000_000.0
KEY, OTHER = (PrivateKey.generate_ed25519(os.urandom) for _ in range(2))


class Values:
    """A value store as peers are: it gives whatever was put, in that order, good or bad."""

    def __init__(self) -> None:
        self.values: dict[bytes, list[bytes]] = {}
        self.searches = 0
        self.takers = 1
        self.gate = asyncio.Event()
        self.gate.set()

    async def search_value(self, key: bytes, quorum: int) -> AsyncGenerator[bytes, None]:
        self.searches += 1
        await self.gate.wait()
        for value in self.values.get(key, [])[:quorum]:
            yield value

    async def put_value(self, key: bytes, value: bytes, failed: list[str] | None = None) -> int:
        if self.takers:
            self.values.setdefault(key, []).append(value)
        return self.takers


class Texts:
    def __init__(self, **texts: str) -> None:
        self.texts = {name.replace("_", "."): text for name, text in texts.items()}

    async def txt(self, name: str) -> TxtAnswer:
        text = self.texts.get(name.removeprefix("_dnslink."))
        if text is None:
            raise NoSuchDomain(name, "TXT")
        return TxtAnswer((text,), 60.0)

    def is_known(self, name: str) -> bool:
        return False


class World:
    """One node's names, with clocks that stand still."""

    def __init__(self, state: State, texts: Texts) -> None:
        self.now = 0.0
        self.values = Values()
        self.names = Names(state)
        self.keys = {KEY.peer_id: KEY}
        self.texts = texts
        self.resolver = self.make(self.values)
        self.offline = self.make(None)
        self.publisher = NamePublisher(self.names, self.resolver, self.values, self.key_of)

    def make(self, values: Values | None) -> NameResolver:
        return NameResolver(
            self.names,
            self.texts,
            values,
            clock=lambda: self.now,
            wall=lambda: START + self.now,
            fixed={"fixed.org": "/ipfs/bafkqaaa", "loop.org": "/ipns/loop.org"},
        )

    async def key_of(self, name: PeerId) -> PrivateKey | None:
        return self.keys.get(name)

    def record(self, key: PrivateKey, value: str, sequence: int = 0, life: float = 3600.0) -> IpnsRecord:
        until = int((START + self.now + life) * NANOSECONDS)
        return sign(key, value.encode(), sequence=sequence, validity=until, ttl=300 * NANOSECONDS)

    def put(self, *records: IpnsRecord | bytes, key: PrivateKey = OTHER) -> None:
        raws = [record.raw if isinstance(record, IpnsRecord) else record for record in records]
        self.values.values.setdefault(routing_key(key.peer_id), []).extend(raws)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    state = State.open(tmp_path / "state")
    yield World(
        state, Texts(site_org="dnslink=/ipfs/bafkqaaa/www", name_org=f"dnslink=/ipns/{format_name(OTHER.peer_id)}")
    )
    state.close()


def text(key: PrivateKey) -> str:
    return f"/ipns/{format_name(key.peer_id)}"


# --- resolving


async def test_the_best_of_all_records_is_taken_and_lies_are_passed_over(world: World) -> None:
    stranger = world.record(KEY, "/ipfs/stranger", 99)
    over = world.record(OTHER, "/ipfs/over", 98, life=-1.0)
    world.put(world.record(OTHER, "/ipfs/old", 1), stranger, over, b"junk", world.record(OTHER, "/ipfs/new", 2))
    found = await world.resolver.resolve(text(OTHER) + "/a/b")
    assert found.path == "/ipfs/new/a/b"
    assert found.ttl == 300.0


async def test_a_record_is_relied_on_for_its_ttl_and_then_looked_for_again(world: World) -> None:
    world.put(world.record(OTHER, "/ipfs/one", 1))
    for _ in range(3):
        assert (await world.resolver.resolve(text(OTHER))).path == "/ipfs/one"
    assert world.values.searches == 1
    world.put(world.record(OTHER, "/ipfs/two", 2))
    assert (await world.resolver.resolve(text(OTHER), fresh=True)).path == "/ipfs/two"
    world.now = 301.0
    await world.resolver.resolve(text(OTHER))
    assert world.values.searches == 3


async def test_a_record_near_its_end_is_not_relied_on_beyond_it(world: World) -> None:
    world.put(world.record(OTHER, "/ipfs/one", 1, life=10.0))
    assert (await world.resolver.resolve(text(OTHER))).ttl == pytest.approx(10.0)
    world.now = 11.0
    with pytest.raises(NameNotFound, match="its owner has to publish it again"):
        await world.resolver.resolve(text(OTHER))


async def test_searches_for_one_name_at_the_same_time_are_one(world: World) -> None:
    world.put(world.record(OTHER, "/ipfs/one", 1))
    world.values.gate.clear()
    asked = [asyncio.create_task(world.resolver.resolve(text(OTHER))) for _ in range(5)]
    await asyncio.sleep(0)
    world.values.gate.set()
    assert {target.path for target in await asyncio.gather(*asked)} == {"/ipfs/one"}
    assert world.values.searches == 1


async def test_a_search_that_finds_nothing_ends_in_time(world: World) -> None:
    world.values.gate.clear()
    with pytest.raises(NameNotFound):
        await world.resolver.resolve(text(OTHER), limits=Limits(seconds=0.001))


async def test_domains_and_names_lead_to_each_other(world: World) -> None:
    world.put(world.record(OTHER, "/ipns/site.org", 1))
    assert (await world.resolver.resolve("/ipns/name.org/x")).path == "/ipfs/bafkqaaa/www/x"
    assert (await world.resolver.resolve("/ipns/name.org/x", recursive=False)).path == f"{text(OTHER)}/x"
    assert (await world.resolver.resolve("/ipns/fixed.org")).path == "/ipfs/bafkqaaa"
    assert (await world.resolver.resolve("/ipfs/bafkqaaa")).path == "/ipfs/bafkqaaa"


async def test_names_without_end_are_given_up(world: World) -> None:
    with pytest.raises(TooManyNames, match=str(MAX_DEPTH)):
        await world.resolver.resolve("/ipns/loop.org")


async def test_a_name_that_points_to_no_path_is_named(world: World) -> None:
    world.put(world.record(OTHER, "bafkqaaa", 1))
    with pytest.raises(BadTarget, match="no path such as"):
        await world.resolver.resolve(text(OTHER))


async def test_what_is_neither_name_nor_domain_is_refused(world: World) -> None:
    for wrong in ("nodots", "-x.org", "a b.org", "x" * 300 + ".org", ""):
        with pytest.raises(BadDomain):
            await world.resolver.resolve(f"/ipns/{wrong}")
    with pytest.raises(NoSuchDomain):
        await world.resolver.resolve("/ipns/unknown.org")


async def test_better_records_are_streamed_as_they_are_found(world: World) -> None:
    world.put(*(world.record(OTHER, f"/ipfs/{number}", number) for number in (2, 1, 3)))
    assert [path async for path in world.resolver.stream(text(OTHER) + "/x")] == ["/ipfs/2/x", "/ipfs/3/x"]


@pytest.mark.parametrize("texts", [[], ["other"], ["dnslink=/ipfs/a", "dnslink=/ipfs/b"], ["dnslink="], ["dnslink=x"]])
def test_a_domain_needs_exactly_one_link(texts: list[str]) -> None:
    with pytest.raises(NoDnsLink):
        target_of("example.org", texts)


def test_links_may_be_bare_cids() -> None:
    assert target_of("example.org", ["v=spf1", "dnslink=bafkqaaa"]) == "/ipfs/bafkqaaa"


def test_domains_are_lower_case_and_in_ascii() -> None:
    assert check_domain("Example.ORG.") == "example.org"
    assert check_domain("bücher.example") == "xn--bcher-kva.example"


# --- publishing


async def test_a_published_name_resolves_at_once_and_without_a_network(world: World) -> None:
    done = await world.publisher.publish(KEY, "/ipfs/bafkqaaa", PublishOptions())
    assert done.peers == 1
    assert (await world.resolver.resolve(text(KEY))).path == "/ipfs/bafkqaaa"
    assert (await world.offline.resolve(text(KEY))).path == "/ipfs/bafkqaaa"
    assert world.values.searches == 1  # for a record of another machine with this key, before the first publish


async def test_the_sequence_grows_with_the_value_only(world: World) -> None:
    sequences = []
    for value in ("/ipfs/a", "/ipfs/a", "/ipfs/b"):
        world.now += 10.0
        sequences.append((await world.publisher.publish(KEY, value, PublishOptions())).record.sequence)
    assert sequences == [0, 0, 1]
    given = await world.publisher.publish(KEY, "/ipfs/c", PublishOptions(sequence=7))
    assert given.record.sequence == 7
    with pytest.raises(OldSequence, match="use 8"):
        await world.publisher.publish(KEY, "/ipfs/d", PublishOptions(sequence=7))


async def test_a_record_of_another_machine_with_the_key_is_outdone(world: World) -> None:
    world.put(world.record(KEY, "/ipfs/elsewhere", 41), key=KEY)
    assert (await world.publisher.publish(KEY, "/ipfs/here", PublishOptions())).record.sequence == 42


async def test_what_nobody_took_is_stored_and_published_by_the_next_round(world: World) -> None:
    world.values.takers = 0
    (warning,) = (await world.publisher.publish(KEY, "/ipfs/a", PublishOptions())).warnings
    assert "it is stored here" in warning
    world.values.takers = 3
    assert await world.publisher.round() == 1
    assert world.values.values[routing_key(KEY.peer_id)]


async def test_a_round_gives_own_records_a_later_end_and_the_same_sequence(world: World) -> None:
    first = (await world.publisher.publish(KEY, "/ipfs/a", PublishOptions(lifetime=7200.0))).record
    world.now = 3600.0
    await world.publisher.round()
    stored = world.names.get(KEY.peer_id)
    assert stored is not None
    assert (stored.record.sequence, stored.record.validity - first.validity) == (0, 3600 * NANOSECONDS)


async def test_a_name_whose_key_is_gone_is_not_published_again(world: World) -> None:
    await world.publisher.publish(KEY, "/ipfs/a", PublishOptions())
    world.keys.clear()
    assert await world.publisher.round() == 0


async def test_records_of_others_are_handed_over_if_they_are_valid_and_newest(world: World) -> None:
    newest = world.record(OTHER, "/ipfs/new", 5)
    assert (await world.publisher.put(OTHER.peer_id, newest.raw)).peers == 1
    with pytest.raises(OldSequence):
        await world.publisher.put(OTHER.peer_id, world.record(OTHER, "/ipfs/old", 4).raw)
    await world.publisher.put(OTHER.peer_id, world.record(OTHER, "/ipfs/old", 4).raw, force=True)
    with pytest.raises(IpnsRecordError):
        await world.publisher.put(KEY.peer_id, newest.raw)


async def test_a_followed_name_is_kept_alive_with_its_newest_record(world: World) -> None:
    world.put(world.record(OTHER, "/ipfs/one", 1))
    await world.publisher.follow(OTHER.peer_id)
    newer = world.record(OTHER, "/ipfs/two", 2)
    world.values.values[routing_key(OTHER.peer_id)] = [newer.raw]
    assert await world.publisher.round() == 1
    assert [one.record for one in world.names.every(FOLLOWED)] == [newer]
    world.values.values.clear()  # everybody else has gone
    assert await world.publisher.round() == 1
    assert world.values.values[routing_key(OTHER.peer_id)] == [newer.raw]
    assert await world.names.remove(FOLLOWED, OTHER.peer_id)
    assert await world.publisher.round() == 0


async def test_rounds_go_on_and_wait_between(world: World) -> None:
    waits: list[float] = []
    await world.publisher.publish(KEY, "/ipfs/a", PublishOptions())

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await keep_published(world.publisher, sleep, every=14.0)
    assert waits == [60.0, 14.0, 14.0]
    assert len(world.values.values[routing_key(KEY.peer_id)]) == 3


async def test_damaged_records_in_the_state_are_passed_over(world: World) -> None:
    await world.publisher.publish(KEY, "/ipfs/a", PublishOptions())
    await world.names.put(FOLLOWED, OTHER.peer_id, world.record(OTHER, "/ipfs/b", 0))
    state = world.names._state
    key = OWN + KEY.peer_id.multihash
    from cidery.repo.state import Put, StateTable

    await state.apply(Put(StateTable.SETTINGS, key, b"\x00" * 12))
    assert world.names.get(KEY.peer_id) is None
    assert list(world.names.every(OWN)) == []
    assert len(list(world.names.every(FOLLOWED))) == 1


async def test_a_record_of_somebody_else_is_durable_and_handed_over_until_it_is_over(world: World) -> None:
    record = world.record(OTHER, "/ipfs/theirs", 3)
    world.values.takers = 0
    published = await world.publisher.put(OTHER.peer_id, record.raw)
    assert (published.peers, len(published.warnings)) == (0, 1)
    assert (await world.offline.record(OTHER.peer_id)).raw == record.raw
    world.values.takers = 2
    assert await world.publisher.round() == 1
    world.now = 3601.0
    assert await world.publisher.round() == 0
    assert world.names.of(HELD, OTHER.peer_id) is None


async def test_what_is_only_passed_on_is_not_stored(world: World) -> None:
    await world.publisher.put(OTHER.peer_id, world.record(OTHER, "/ipfs/theirs").raw, keep=False)
    assert world.names.get(OTHER.peer_id) is None


async def test_records_that_nobody_could_resolve_are_refused(world: World) -> None:
    for options in (PublishOptions(lifetime=0.0), PublishOptions(lifetime=60.0, ttl=61.0)):
        with pytest.raises(BadLifetime):
            await world.publisher.publish(KEY, "/ipfs/a", options)
    assert world.names.get(KEY.peer_id) is None
    short = (await world.publisher.publish(KEY, "/ipfs/a", PublishOptions(lifetime=60.0))).record
    assert short.ttl == 60 * NANOSECONDS


async def test_the_last_sequence_is_refused_before_nothing_can_follow_it(world: World) -> None:
    with pytest.raises(SequenceExhausted, match="give a smaller one"):
        await world.publisher.publish(KEY, "/ipfs/a", PublishOptions(sequence=MAX_NUMBER))
    assert world.names.get(KEY.peer_id) is None
    world.put(world.record(KEY, "/ipfs/elsewhere", MAX_NUMBER), key=KEY)
    with pytest.raises(SequenceExhausted, match="use another key"):
        await world.publisher.publish(KEY, "/ipfs/b", PublishOptions())
    assert (await world.publisher.publish(KEY, "/ipfs/elsewhere", PublishOptions())).record.sequence == MAX_NUMBER
