"""What a server of the DHT answers, refuses, stores and forgets."""

import random

import pytest

from cidery.identity.keys import PrivateKey
from cidery.identity.peer_id import PeerId
from cidery.kad.io.provider_store import MAX_PENDING, DiskProviders
from cidery.kad.io.value_store import MAX_AGE, MemoryValues
from cidery.kad.key import K
from cidery.kad.message import DhtMessage, KadError, MessageType, PeerInfo, Record
from cidery.kad.records import MAX_VALUE, RecordInvalid, Validators
from cidery.kad.routing_table import RoutingTable
from cidery.kad.server import PRIVATE, PUBLIC, Server
from cidery.kad.stores import MAX_ANSWERED, MAX_PER_KEY, VALIDITY, MemoryProviders
from cidery.multiformats.multiaddr import Multiaddr
from cidery.repo.cache import Cache

RANDOM = random.Random(2)
CONTENT = b"\x12\x20" + bytes(32)


def peer_id() -> PeerId:
    return PeerId(b"\x00\x24\x08\x01\x12\x20" + RANDOM.randbytes(32))


def at(*texts: str) -> tuple[bytes, ...]:
    return tuple(Multiaddr.parse(text).encode() for text in texts)


PUBLIC_ADDR, PRIVATE_ADDR = at("/ip4/81.2.3.4/tcp/4001"), at("/ip4/192.168.1.2/tcp/4001")
SENDER = peer_id()


class Longest:
    """A namespace where the longer value is the better one, and "bad" is none."""

    def validate(self, key, value):
        if value == b"bad":
            raise RecordInvalid("it is bad")

    def select(self, key, values):
        return max(range(len(values)), key=lambda i: len(values[i]))


class Fixture:
    def __init__(self, scopes=PUBLIC) -> None:
        self.addrs: dict[PeerId, tuple[bytes, ...]] = {}
        self.refused: set[bytes] = set()
        self.table = RoutingTable(peer_id(), diverse=False)
        self.providers = MemoryProviders()
        self.server = Server(
            self.table,
            self.providers,
            MemoryValues(),
            Validators({"ipns": Longest()}),
            scopes=scopes,
            addrs_of=lambda peer: self.addrs.get(peer, ()),
            learn=lambda info: self.addrs.update({info.peer: info.addrs}),
            refuses=lambda key: key in self.refused,
        )

    def ask(self, kind: MessageType, key: bytes = b"", sender: PeerId = SENDER, now: float = 0.0, **more):
        return self.server.handle(sender, DhtMessage(kind, key, **more), now)

    def announce(self, peer: PeerId, addrs: tuple[bytes, ...] = PUBLIC_ADDR, key: bytes = CONTENT, now: float = 0.0):
        return self.ask(MessageType.ADD_PROVIDER, key, peer, now, providers=[PeerInfo(peer, addrs)])


@pytest.fixture
def dht() -> Fixture:
    return Fixture()


def test_the_nearest_peers_are_told_with_the_one_who_asks_if_it_is_one_of_them(dht):
    for _ in range(50):
        dht.table.answered(PeerInfo(peer_id(), PUBLIC_ADDR), 0.0)
    dht.table.answered(PeerInfo(SENDER, PUBLIC_ADDR), 0.0)
    answer = dht.ask(MessageType.FIND_NODE, SENDER.multihash)
    assert len(answer.closer) == K and answer.closer[0].peer == SENDER
    dht.table.remove(SENDER)  # a client is nobody's neighbour
    assert SENDER not in [info.peer for info in dht.ask(MessageType.FIND_NODE, CONTENT).closer]


def test_a_wanted_peer_is_told_even_if_it_is_only_a_client(dht):
    client = peer_id()
    dht.addrs[client] = PUBLIC_ADDR
    assert dht.ask(MessageType.FIND_NODE, client.multihash).closer == [PeerInfo(client, PUBLIC_ADDR)]


def test_private_addresses_stay_out_of_the_public_network_and_public_ones_out_of_a_lan():
    for scopes, expected in ((PUBLIC, PUBLIC_ADDR), (PRIVATE, PRIVATE_ADDR)):
        dht = Fixture(scopes)
        dht.table.answered(PeerInfo(peer_id(), PUBLIC_ADDR + PRIVATE_ADDR), 0.0)
        dht.table.answered(PeerInfo(peer_id(), PRIVATE_ADDR if scopes is PUBLIC else PUBLIC_ADDR), 0.0)
        assert [info.addrs for info in dht.ask(MessageType.FIND_NODE, CONTENT).closer] == [expected]


def test_a_provider_is_found_again_with_its_addresses_and_until_its_record_is_over(dht):
    provider = peer_id()
    assert dht.announce(provider, PUBLIC_ADDR + PRIVATE_ADDR) is None
    found = dht.ask(MessageType.GET_PROVIDERS, CONTENT, now=VALIDITY - 1.0).providers
    assert found == [PeerInfo(provider, PUBLIC_ADDR)]
    assert dht.ask(MessageType.GET_PROVIDERS, CONTENT, now=VALIDITY + 0.0).providers == []


def test_nobody_announces_for_somebody_else(dht):
    other = peer_id()
    with pytest.raises(KadError, match="only others"):
        dht.ask(MessageType.ADD_PROVIDER, CONTENT, providers=[PeerInfo(other, PUBLIC_ADDR)])
    dht.ask(MessageType.ADD_PROVIDER, CONTENT, providers=[PeerInfo(other), PeerInfo(SENDER)])
    assert dht.providers.get(CONTENT, 0.0) == [SENDER]


@pytest.mark.parametrize("key", [b"", bytes(81)])
def test_content_keys_have_a_length_from_1_to_80(dht, key):
    for kind in (MessageType.GET_PROVIDERS, MessageType.ADD_PROVIDER):
        with pytest.raises(KadError, match="1 to 80"):
            dht.ask(kind, key, providers=[PeerInfo(SENDER)])


def test_one_key_has_a_bounded_number_of_providers_and_answers_are_shorter_still(dht):
    for n in range(MAX_PER_KEY + 5):
        dht.announce(peer_id(), now=float(n))
    known = dht.ask(MessageType.GET_PROVIDERS, CONTENT).providers
    assert len(known) == MAX_ANSWERED


def test_a_value_is_stored_echoed_and_given_back(dht):
    key = b"/ipns/name"
    assert dht.ask(MessageType.PUT_VALUE, key, record=Record(key, b"new")).record == Record(key, b"new")
    assert dht.ask(MessageType.GET_VALUE, key).record.value == b"new"
    assert dht.ask(MessageType.GET_VALUE, b"/ipns/else").record is None
    assert dht.ask(MessageType.GET_VALUE, key, now=MAX_AGE + 1).record is None


def test_an_older_value_does_not_replace_a_newer_one(dht):
    key = b"/ipns/name"
    dht.ask(MessageType.PUT_VALUE, key, record=Record(key, b"longer"))
    with pytest.raises(RecordInvalid, match="older"):
        dht.ask(MessageType.PUT_VALUE, key, record=Record(key, b"short"))
    dht.ask(MessageType.PUT_VALUE, key, record=Record(key, b"longer"))
    assert dht.ask(MessageType.GET_VALUE, key).record.value == b"longer"


@pytest.mark.parametrize(
    ("key", "record"),
    [
        (b"/ipns/name", None),
        (b"/ipns/name", Record(b"/ipns/other", b"v")),
        (b"/ipns/name", Record(b"/ipns/name", b"bad")),
        (b"/ipns/name", Record(b"/ipns/name", bytes(MAX_VALUE + 1))),
        (b"/files/name", Record(b"/files/name", b"v")),
        (b"/ipns/", Record(b"/ipns/", b"v")),
        (b"ipns", Record(b"ipns", b"v")),
        (b"", Record(b"", b"v")),
    ],
)
def test_values_that_may_not_stand_there_are_refused(dht, key, record):
    with pytest.raises((KadError, RecordInvalid)):
        dht.ask(MessageType.PUT_VALUE, key, record=record)
    assert key == b"" or dht.ask(MessageType.GET_VALUE, key).record is None


def test_a_public_key_stands_under_its_own_peer_id_only():
    key = PrivateKey.generate_ed25519(RANDOM.randbytes)
    rules, name = Validators(), b"/pk/" + key.peer_id.multihash
    rules.validate(name, key.public.encode())
    for wrong in (PrivateKey.generate_ed25519(RANDOM.randbytes).public.encode(), b"", b"\xff"):
        with pytest.raises(RecordInvalid):
            rules.validate(name, wrong)
    assert rules.best(name, [b"lie", key.public.encode()]) == key.public.encode()
    assert rules.best(name, [b"lie"]) is None


@pytest.mark.parametrize("kind", sorted(set(MessageType) - {MessageType.PING}))
def test_a_request_without_a_key_is_an_error_of_the_one_who_asks(dht, kind):
    with pytest.raises(KadError, match="key"):
        dht.ask(kind)


def test_a_ping_needs_no_key(dht):
    assert dht.ask(MessageType.PING) == DhtMessage(MessageType.PING, b"")


# --- on the disk


@pytest.fixture
def cache(tmp_path):
    opened = Cache.open(tmp_path / "cache")
    yield opened
    opened.close()


def providers(cache: Cache) -> DiskProviders:
    return DiskProviders(cache.environment, cache.table("providers"), cache.table("provider-peers"))


def test_provider_records_are_found_before_and_after_they_reach_the_disk(cache):
    store = providers(cache)
    one, other = peer_id(), peer_id()
    store.add(CONTENT, one, 100.0)
    assert store.get(CONTENT, 100.0) == [one]
    store.flush()
    store.add(CONTENT, other, 200.0)
    assert store.get(CONTENT, 200.0) == [other, one]
    store.flush()
    assert providers(cache).get(CONTENT, 200.0) == [other, one]
    assert store.get(CONTENT, 100.0 + VALIDITY) == [other]
    assert store.get(b"\x12\x20" + bytes(31) + b"\x01", 200.0) == []


def test_records_that_are_over_leave_the_disk_and_their_peers_too(cache):
    store = providers(cache)
    peer = peer_id()
    for n in range(50):
        store.add(n.to_bytes(34, "big"), peer, 0.0 if n < 30 else 1000.0)
    store.flush()
    assert store.count == 50
    assert store.expire(VALIDITY + 1.0) == 30 and store.count == 20
    assert store.expire(VALIDITY + 1001.0) == 20
    assert store.get((49).to_bytes(34, "big"), 1000.0) == []


def test_more_records_than_the_disk_takes_are_refused_not_piled_up(cache):
    store = providers(cache)
    peer = peer_id()
    taken = sum(store.add(n.to_bytes(34, "big"), peer, 0.0) for n in range(MAX_PENDING + 10))
    assert taken == MAX_PENDING == store.pending


def test_one_key_does_not_fill_the_disk(cache):
    store = providers(cache)
    for n in range(MAX_PER_KEY + 50):
        store.add(CONTENT, peer_id(), float(n))
    store.flush()
    assert store.count == MAX_PER_KEY


def test_values_survive_a_restart(tmp_path):
    for n in range(2):
        cache = Cache.open(tmp_path / "cache")
        values = MemoryValues(cache.environment, cache.table("values"))
        if n == 0:
            values.put(b"/ipns/a", b"first", 1.0)
            values.flush()
            values.put(b"/ipns/a", b"second", 2.0)
            assert values.get(b"/ipns/a", 3.0) == (b"second", 2.0)
            values.flush()
        assert values.get(b"/ipns/a", 3.0) == (b"second", 2.0)
        assert values.get(b"/ipns/a", 3.0 + MAX_AGE) is None
        cache.close()


def test_providers_of_refused_content_are_neither_kept_nor_told(dht):
    for _ in range(3):
        dht.table.answered(PeerInfo(peer_id(), PUBLIC_ADDR), 0.0)
    before, later = peer_id(), peer_id()
    dht.announce(before)
    dht.refused = {CONTENT}
    assert dht.announce(later) is None and later not in dht.addrs
    answer = dht.ask(MessageType.GET_PROVIDERS, CONTENT)
    assert not answer.providers
    assert len(answer.closer) == 3, "others may be asked"
    dht.refused = set()
    told = [info.peer for info in dht.ask(MessageType.GET_PROVIDERS, CONTENT).providers]
    assert told == [before]
    dht.refused = {b"other"}
    dht.announce(later)
    assert len(dht.ask(MessageType.GET_PROVIDERS, CONTENT).providers) == 2
