"""Three hundred DHT nodes in virtual time: what is provided is found, also under churn, failures and attacks."""

from math import log2
from statistics import mean

import pytest
from dht_network import DhtNetwork, SimNode, converged

from cidery.identity.peer_id import PeerId
from cidery.kad.key import position
from cidery.kad.message import DhtMessage, MessageType
from cidery.kad.sweep import Exploration, Region, region_bits

NODES = 300


def content(network: DhtNetwork) -> bytes:
    return b"\x12\x20" + network.random.randbytes(32)


def provided(network: DhtNetwork, count: int) -> list[tuple[bytes, PeerId]]:
    """Keys with their providers."""
    out = []
    for _ in range(count):
        key, node = content(network), network.random.choice(network.honest())
        network.provide(node, key)
        out.append((key, node.peer))
    return out


def found_share(network: DhtNetwork, keys: list[tuple[bytes, PeerId]]) -> float:
    """Share of keys whose provider a random other node finds."""
    found = []
    for key, provider in keys:
        node = network.random.choice([node for node in network.honest() if node.peer != provider])
        found.append(provider in network.find(node, key).providers)
    return mean(found)


def test_nodes_that_join_one_by_one_find_what_others_provide_in_few_hops():
    network = DhtNetwork(seed=1)
    nodes = [network.make_node()]
    for _ in range(79):
        node = network.make_node()
        network.join(node, network.random.choice(nodes))
        nodes.append(node)
    hops = []
    for _ in range(20):
        key = content(network)
        one, other = network.random.sample(nodes, 2)
        network.provide(one, key)
        find = network.find(other, key)
        assert one.peer in find.providers
        hops.append(find.stats().hops)
    assert mean(hops) <= log2(80)


def test_a_look_up_takes_few_hops_and_finds_the_nearest():
    network = converged(2, NODES)
    for _ in range(20):
        key = content(network)
        lookup = network.run_lookup(network.random.choice(network.honest()), DhtMessage(MessageType.FIND_NODE, key))
        target = position(key)
        nearest = sorted(network.honest(), key=lambda node: node.table.at ^ target)[:20]
        assert lookup.stats().hops <= log2(NODES) and lookup.stats().requests <= 60
        assert len({info.peer for info in lookup.closest()} & {node.peer for node in nearest}) >= 19


def test_what_is_added_is_found_by_a_stranger_within_two_seconds():
    network = converged(3, NODES)
    times = []
    for _ in range(40):
        one, other = network.random.sample(network.honest(), 2)
        key, began = content(network), network.now
        network.provide(one, key)
        assert one.peer in network.find(other, key).providers
        times.append(network.now - began)
    assert sorted(times)[int(0.95 * len(times))] <= 2.0


def test_half_of_the_nodes_may_be_killed_at_once():
    network = converged(4, NODES)
    keys = provided(network, 60)
    network.kill(network.random.sample(network.honest(), NODES // 2))
    assert found_share(network, keys) >= 0.99


def test_thirty_percent_churn_an_hour_loses_nothing():
    network = converged(5, NODES)
    keys = provided(network, 40)
    providers = {peer for _, peer in keys}
    for _ in range(60):  # minutes
        network.run_to(network.now + 60.0)
        leaving = [node for node in network.honest() if node.peer not in providers]
        for node in network.random.sample(leaving, round(NODES * 0.3 / 60)):
            network.kill([node])
            network.join(network.make_node(), network.random.choice(network.honest()))
    assert found_share(network, keys) >= 0.99


def test_a_fifth_of_sybils_that_drop_records_hides_nothing():
    network = converged(6, NODES, sybils=NODES // 5)
    assert found_share(network, provided(network, 60)) >= 0.99


def eclipse(network: DhtNetwork, key: bytes, crowd: int) -> list[SimNode]:
    """Identities nearer to a key than every honest node, known to all nodes round it."""
    target = position(key)
    honest = sorted(network.honest(), key=lambda node: node.table.at ^ target)
    nearest = honest[0].table.at ^ target
    made: list[SimNode] = []
    while len(made) < crowd:
        multihash = b"\x00\x24\x08\x01\x12\x20" + network.random.randbytes(32)
        if position(multihash) ^ target < nearest:
            made.append(network.make_node(sybil=True, multihash=multihash))
    for sybil in made:
        for node in honest:
            network.fill(node)
            node.table.answered(sybil.info, network.now)
    return made


@pytest.mark.parametrize("crowd", [20, 45])
def test_identities_made_for_one_key_do_not_hide_it_from_nodes_that_know_the_networks_size(crowd):
    network = converged(7, NODES)
    found = []
    for _ in range(5):
        key = content(network)
        eclipse(network, key, crowd)
        one, other = network.random.sample(network.honest(), 2)
        for node in (one, other):
            for _ in range(6):
                network.run_lookup(node, DhtMessage(MessageType.FIND_NODE, content(network)))
        network.provide(one, key)
        found.append(one.peer in network.find(other, key).providers)
    assert all(found)


def test_a_provide_sweep_takes_as_many_look_ups_for_many_keys_as_for_few():
    network = converged(8, NODES)
    node, bits = network.honest()[0], region_bits(NODES)
    lookups = []
    for count in (1_000, 20_000):
        by_region: dict[int, list[bytes]] = {}
        for _ in range(count):
            key = content(network)
            by_region.setdefault(Region.at(position(key), bits).prefix, []).append(key)
        total = 0
        for prefix, keys in sorted(by_region.items()):
            exploration = Exploration(Region(prefix, bits), keys, network.random.randbytes)
            while (key_or_none := exploration.next_key()) is not None:
                lookup = network.run_lookup(node, DhtMessage(MessageType.FIND_NODE, key_or_none))
                exploration.on_closest(key_or_none, lookup.closest())
            allotted = exploration.allot()
            assert sum(map(len, allotted.values())) == 20 * len(keys)
            total += exploration.lookups
        lookups.append(total)
    assert lookups[1] <= 1.3 * lookups[0] and lookups[1] <= 40


def test_the_same_seed_gives_the_same_run():
    def run() -> tuple[float, int, int]:
        network = converged(9, 100)
        keys = provided(network, 5)
        return network.now, network.messages, round(100 * found_share(network, keys))

    assert run() == run()
