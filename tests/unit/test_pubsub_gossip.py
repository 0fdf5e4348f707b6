"""Gossip: meshes, gossip, floods, and what one peer may cost."""

from random import Random

import pytest

from cidery.pubsub.gossip import Gossip, TooManyTopics, Verdict
from cidery.pubsub.message import FLOODSUB, MAX_RPC, MESHSUB_1_2, Message, Offered, Prune, Rpc
from cidery.pubsub.outbox import Outbox
from cidery.pubsub.parameters import (
    BACKOFF,
    DEGREE,
    DEGREE_HIGH,
    IWANT_SECONDS,
    MAX_EXCHANGED,
    MAX_IHAVE,
    MAX_IHAVE_IDS,
    MAX_OFFERED,
    MAX_OUTBOX_BYTES,
    MAX_OWN_TOPICS,
    MAX_PROMISED,
    MAX_RETRANSMISSIONS,
    MAX_TOPICS_OF_PEER,
    SEEN_SECONDS,
)
from cidery.pubsub.roster import Roster
from cidery.pubsub.scores import GRAYLIST_THRESHOLD

ME = b"me"
TOPIC = "t"


def judge(message: Message) -> Verdict:
    return {b"bad": Verdict.REJECT, b"old": Verdict.IGNORE}.get(message.data, Verdict.ACCEPT)


def made(peers: int = 0, protocol: str = MESHSUB_1_2, *, outbound: bool = True) -> Gossip:
    """A node that follows TOPIC, with peers p0, p1, ... that do so too; what waited for them is gone."""
    node = Gossip(ME, judge, Random(1))
    node.subscribe(TOPIC, 0.0)
    for n in range(peers):
        node.add_peer(name(n), protocol, "", 0.0, outbound=outbound)
        node.on_rpc(name(n), Rpc(subscriptions=[(True, TOPIC)]), 0.0)
    drained(node)
    return node


def name(n: int) -> bytes:
    return b"p%d" % n


def drained(node: Gossip) -> dict[bytes, list[Rpc]]:
    out: dict[bytes, list[Rpc]] = {}
    for peer in list(node.ready):
        while peer in node.ready:
            out.setdefault(peer, []).append(node.take(peer))
    return out


def message(n: int, data: bytes = b"x", author: bytes = b"author", topic: str = TOPIC) -> Message:
    return Message(author, data, n.to_bytes(8), topic)


def sent_to(node: Gossip) -> set[bytes]:
    return {peer for peer, rpcs in drained(node).items() if any(rpc.messages for rpc in rpcs)}


def test_a_new_peer_hears_of_our_topics_and_we_of_its() -> None:
    node = made()
    node.add_peer(b"a", MESHSUB_1_2, "", 0.0, outbound=False)
    assert drained(node)[b"a"][0].subscriptions == [(True, TOPIC)]
    node.on_rpc(b"a", Rpc(subscriptions=[(True, TOPIC), (True, "other")]), 0.0)
    assert node.followers(TOPIC) == [b"a"]
    node.on_rpc(b"a", Rpc(subscriptions=[(False, TOPIC)]), 0.0)
    assert node.followers(TOPIC) == []
    assert node.followers() == [b"a"]


def test_the_mesh_grows_to_its_degree_and_refuses_more_than_its_most() -> None:
    node = Gossip(ME, judge, Random(1))
    node.subscribe(TOPIC, 0.0)
    for n in range(30):
        node.add_peer(name(n), MESHSUB_1_2, "", 0.0, outbound=False)
        node.on_rpc(name(n), Rpc(subscriptions=[(True, TOPIC)]), 0.0)
    grafted = {peer for peer, rpcs in drained(node).items() if any(rpc.graft for rpc in rpcs)}
    assert len(grafted) == DEGREE
    assert set(node.links(TOPIC)) == grafted
    node.heartbeat(1.0)
    assert len(node.links(TOPIC)) == DEGREE
    for peer in node.links(TOPIC)[:2]:
        node.on_rpc(peer, Rpc(subscriptions=[(False, TOPIC)]), 1.0)
    node.heartbeat(2.0)
    assert len(node.links(TOPIC)) == DEGREE
    for n in range(30):
        node.on_rpc(name(n), Rpc(subscriptions=[(True, TOPIC)], graft=[TOPIC]), 2.5)
    assert len(node.links(TOPIC)) == DEGREE_HIGH
    refused = [peer for peer, rpcs in drained(node).items() if any(rpc.prune for rpc in rpcs)]
    assert len(refused) == 30 - DEGREE_HIGH


def test_a_graft_of_an_unknown_topic_is_not_answered() -> None:
    node = made(1)
    node.on_rpc(name(0), Rpc(graft=["unknown"]), 1.0)
    assert not node.ready


def test_a_graft_within_the_backoff_is_refused_and_held_against_the_peer() -> None:
    node = made(1)
    node.on_rpc(name(0), Rpc(graft=[TOPIC]), 1.0)
    node.on_rpc(name(0), Rpc(prune=[Prune(TOPIC, backoff=60)]), 2.0)
    node.heartbeat(3.0)
    assert node.links(TOPIC) == []
    drained(node)
    for _ in range(6):
        node.on_rpc(name(0), Rpc(graft=[TOPIC]), 4.0)
    assert drained(node)[name(0)][0].prune == [Prune(TOPIC, backoff=int(BACKOFF))]
    assert node.scores.score(name(0), 4.0) < 0
    late = made(1)
    late.on_rpc(name(0), Rpc(prune=[Prune(TOPIC, backoff=60)]), 2.0)
    late.heartbeat(63.0)
    assert late.links(TOPIC) == [name(0)]


def test_messages_go_to_the_mesh_and_to_floodsub_peers_but_not_back() -> None:
    node = made(20)
    node.heartbeat(1.0)
    node.add_peer(b"flood", FLOODSUB, "", 1.0, outbound=False)
    node.on_rpc(b"flood", Rpc(subscriptions=[(True, TOPIC)]), 1.0)
    drained(node)
    source = node.links(TOPIC)[0]
    assert node.on_rpc(source, Rpc(messages=[message(1)]), 1.0) == [message(1)]
    assert sent_to(node) == {*node.links(TOPIC), b"flood"} - {source}
    assert node.on_rpc(name(3), Rpc(messages=[message(1)]), 1.0) == []
    assert node.duplicates == 1


def test_our_own_messages_go_to_all_that_follow_the_topic() -> None:
    node = made(20)
    assert node.publish(message(1, author=ME), 1.0) == 20
    assert len(sent_to(node)) == 20
    assert node.on_rpc(name(0), Rpc(messages=[message(2, author=ME)]), 1.0) == []


def test_messages_of_topics_that_are_not_followed_are_passed_over() -> None:
    node = made(1)
    assert node.on_rpc(name(0), Rpc(messages=[message(1, topic="other")]), 1.0) == []
    assert not node.ready


def test_an_invalid_message_is_not_passed_on_and_three_of_them_end_everything() -> None:
    node = made(5)
    for n in range(4):
        node.on_rpc(name(0), Rpc(messages=[message(n, b"bad")]), 1.0)
    assert node.scores.score(name(0), 1.0) < GRAYLIST_THRESHOLD
    assert node.on_rpc(name(0), Rpc(messages=[message(9)]), 1.0) == []
    # "its id stays unknown": the real message is taken from another
    assert node.on_rpc(name(1), Rpc(messages=[message(0, b"good")]), 1.0) == [message(0, b"good")]


def test_what_the_check_ignores_is_neither_handed_out_nor_held_against_anybody() -> None:
    node = made(5)
    assert node.on_rpc(name(0), Rpc(messages=[message(1, b"old")]), 1.0) == []
    assert sent_to(node) == set()
    assert node.scores.score(name(0), 1.0) >= 0


def test_missed_messages_are_asked_for_and_sent_a_few_times() -> None:
    node = made(20)
    node.heartbeat(1.0)
    node.on_rpc(name(0), Rpc(messages=[message(1)]), 1.0)
    drained(node)
    node.heartbeat(2.0)
    told = [
        peer for peer, rpcs in drained(node).items() if any(rpc.ihave == [(TOPIC, [message(1).id])] for rpc in rpcs)
    ]
    assert len(told) == 6 and not set(told) & set(node.links(TOPIC))
    sent = 0
    for _ in range(MAX_RETRANSMISSIONS + 2):
        node.on_rpc(told[0], Rpc(iwant=[message(1).id] * 9), 2.0)
        sent += sum(len(rpc.messages) for rpc in drained(node).get(told[0], ()))
    assert sent == MAX_RETRANSMISSIONS
    node.on_rpc(told[1], Rpc(ihave=[(TOPIC, [b"new"])]), 2.0)
    assert drained(node)[told[1]][0].iwant == [b"new"]


def test_offers_that_are_not_kept_are_held_against_the_peer_and_kept_ones_are_not() -> None:
    node = made(2)
    for n in range(20):
        node.on_rpc(name(0), Rpc(ihave=[(TOPIC, [b"never %d" % n])]), n + 1.0)
        node.on_rpc(name(1), Rpc(ihave=[(TOPIC, [message(n).id])]), n + 1.0)
        node.on_rpc(name(1), Rpc(messages=[message(n)]), n + 1.1)
        node.heartbeat(n + 1.5)
    node.heartbeat(22.0 + IWANT_SECONDS)
    assert node.scores.score(name(0), 25.0) < 0 < node.scores.score(name(1), 25.0)
    assert name(0) not in node.links(TOPIC)


def test_large_messages_are_not_sent_to_who_has_them() -> None:
    node = made(3)
    node.heartbeat(1.0)
    drained(node)
    large = message(1, bytes(5000))
    node.on_rpc(name(1), Rpc(idontwant=[large.id]), 1.0)
    node.on_rpc(name(0), Rpc(messages=[large]), 1.0)
    out = drained(node)
    assert [rpc.idontwant for rpc in out[name(2)]] == [[large.id]]
    assert not any(rpc.messages for rpc in out.get(name(1), []))


def test_an_idontwant_takes_back_what_waits() -> None:
    node = made(3)
    node.publish(message(1, author=ME), 1.0)
    node.on_rpc(name(0), Rpc(idontwant=[message(1, author=ME).id]), 1.0)
    assert sent_to(node) == {name(1), name(2)}


def test_ten_thousand_topics_of_one_peer_are_bounded_and_forgotten_with_it() -> None:
    node = made(1)
    for start in range(0, 10_000, 1000):
        node.on_rpc(name(0), Rpc(subscriptions=[(True, f"topic {n}") for n in range(start, start + 1000)]), 1.0)
    assert len(node.roster.followers) == MAX_TOPICS_OF_PEER
    assert node.scores.score(name(0), 1.0) < 0
    node.remove_peer(name(0), 1.0)
    assert not node.roster.followers


def test_the_topics_of_all_peers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cidery.pubsub.roster.MAX_TOPICS", 10)
    roster = Roster()
    for n in range(4):
        roster.add(name(n), MESHSUB_1_2, outbound=False)
    taken = [roster.follow(name(n), f"{n} {k}") for n in range(4) for k in range(4)]
    assert sum(taken) == 10
    roster.unfollow(name(0), "0 0")
    assert roster.follow(name(3), "3 3")


def test_a_flood_of_ihave_costs_a_bounded_number_of_iwant() -> None:
    node = made(1)
    for n in range(50):
        node.on_rpc(name(0), Rpc(ihave=[(TOPIC, [b"%d-%d" % (n, k) for k in range(2000)])]), 1.0)
    asked = sum(len(rpc.iwant) for rpc in drained(node)[name(0)])
    assert asked == MAX_IHAVE_IDS
    node.heartbeat(2.0)
    for n in range(50):
        node.on_rpc(name(0), Rpc(ihave=[(TOPIC, [b"+%d" % n])]), 2.0)
    assert sum(len(rpc.iwant) for rpc in drained(node)[name(0)]) == MAX_IHAVE
    many = made(10)
    for n in range(10):
        many.on_rpc(name(n), Rpc(ihave=[(TOPIC, [b"%d-%d" % (n, k) for k in range(5000)])]), 1.0)
    assert len(many._promises) <= MAX_PROMISED


def test_a_peer_that_does_not_read_costs_a_bounded_box() -> None:
    box = Outbox()
    taken = sum(box.message(message(n, bytes(100_000))) for n in range(100))
    assert taken * 100_000 <= MAX_OUTBOX_BYTES
    assert box.dropped == 100 - taken
    sizes = []
    while box:
        sizes.append(len(box.take().encode()))
    assert max(sizes) <= MAX_RPC and len(sizes) > 1


def test_all_that_waits_for_a_peer_fits_the_largest_frame() -> None:
    box = Outbox()
    for n in range(5000):
        box.subscription("t" * 1000 + str(n), True)
    box.iwant([b"%d" % n for n in range(5000)])
    box.ihave(TOPIC, [bytes(500) + b"%d" % n for n in range(5000)])
    told = 0
    while box:
        rpc = box.take()
        told += sum(len(ids) for _, ids in rpc.ihave)
        assert len(rpc.encode()) <= MAX_RPC
    assert told == 5000


def test_peers_that_a_prune_names_are_few_and_have_signed_records() -> None:
    node = made(1)
    node.on_rpc(name(0), Rpc(graft=[TOPIC]), 1.0)
    named = tuple(Offered(b"o%d" % n, b"record" if n else b"") for n in range(500))
    node.on_rpc(name(0), Rpc(prune=[Prune(TOPIC, named)]), 1.0)
    assert len(node.offered()) == MAX_EXCHANGED - 1
    assert not node.offered()
    assert MAX_EXCHANGED < MAX_OFFERED
    # a peer that had no link has nothing to name
    node.on_rpc(name(0), Rpc(prune=[Prune(TOPIC, named)]), 2.0)
    assert not node.offered()


def test_many_peers_of_one_address_get_no_links() -> None:
    node = made()
    for n in range(20):
        node.add_peer(name(n), MESHSUB_1_2, "203.0.113.7", 0.0, outbound=False)
        node.on_rpc(name(n), Rpc(subscriptions=[(True, TOPIC)]), 0.0)
        node.on_rpc(name(n), Rpc(graft=[TOPIC]), 0.0)
    node.heartbeat(1.0)
    assert node.links(TOPIC) == []


def test_a_bad_score_outlives_the_connection() -> None:
    node = made(1)
    for n in range(4):
        node.on_rpc(name(0), Rpc(messages=[message(n, b"bad")]), 1.0)
    node.remove_peer(name(0), 2.0)
    node.add_peer(name(0), MESHSUB_1_2, "", 3.0, outbound=False)
    assert node.scores.score(name(0), 3.0) < 0


def test_a_copy_of_a_forgotten_message_is_old_and_a_reset_forgets_that() -> None:
    node = made(1)
    node.on_rpc(name(0), Rpc(messages=[message(5)]), 1.0)
    node.heartbeat(2.0 + SEEN_SECONDS)
    assert len(node.seen) == 0
    assert node.on_rpc(name(0), Rpc(messages=[message(5), message(4)]), 200.0) == []
    assert node.seen.reset(b"author") == 1
    assert node.on_rpc(name(0), Rpc(messages=[message(4)]), 200.0) == [message(4)]


def test_too_many_own_topics_are_refused() -> None:
    node = Gossip(ME, judge, Random(1))
    for n in range(MAX_OWN_TOPICS):
        node.subscribe(str(n), 0.0)
    with pytest.raises(TooManyTopics):
        node.subscribe("one more", 0.0)
    node.unsubscribe("0", 0.0)
    node.subscribe("one more", 0.0)


def test_leaving_a_topic_ends_its_links() -> None:
    node = made(3)
    node.heartbeat(1.0)
    drained(node)
    node.unsubscribe(TOPIC, 2.0)
    for rpcs in drained(node).values():
        assert rpcs[0].subscriptions == [(False, TOPIC)]
        assert rpcs[0].prune[0].backoff == 10
