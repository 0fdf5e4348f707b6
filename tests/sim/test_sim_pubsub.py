"""A hundred and fifty gossipsub nodes: frames are lost, a fifth of the nodes is hostile, and every message comes."""

import pytest
from pubsub_network import TOPIC, PubsubNetwork


@pytest.mark.parametrize("seed", [1, 2])
def test_every_message_comes_within_six_hops_though_a_fifth_is_lost_and_a_fifth_hostile(seed: int) -> None:
    network = PubsubNetwork(150, degree=20, loss=0.2, hostile=0.2, seed=seed)
    outcome = network.trial(20)
    assert outcome.delivered >= 0.999
    assert outcome.hops <= 6
    assert outcome.redundancy < 5
    assert outcome.mesh_of_hostile < 0.1


def test_nobody_is_punished_where_all_are_honest() -> None:
    network = PubsubNetwork(60, degree=16, loss=0.0, hostile=0.0, seed=3)
    outcome = network.trial(40)
    assert outcome.delivered == 1.0
    for i in network.honest:
        node = network.nodes[i]
        assert all(node.scores.score(peer, network.now) >= 0 for peer in node.followers(TOPIC))


def test_the_mesh_of_a_quiet_topic_gets_rid_of_peers_that_pass_nothing_on() -> None:
    network = PubsubNetwork(100, degree=20, loss=0.0, hostile=0.4, seed=4)
    outcome = network.trial(30, every=2.0)
    assert outcome.delivered >= 0.999
    assert outcome.mesh_of_hostile < 0.05
