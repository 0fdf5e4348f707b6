"""Pubsub: any bytes give an RPC or a BadRpc, and any RPC leaves a machine within its bounds."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from cidery.pubsub.gossip import Gossip, Verdict
from cidery.pubsub.message import MESHSUB_1_2, BadRpc, Message, Offered, Prune, Rpc
from cidery.pubsub.signing import BadSignature, check_signature

topics = st.sampled_from(["", "a", "b", "c"])
ids = st.binary(max_size=4)
messages = st.builds(Message, ids, ids, ids, topics, ids, ids, st.just(True))
rpcs = st.builds(
    Rpc,
    st.lists(st.tuples(st.booleans(), topics), max_size=4),
    st.lists(messages, max_size=4),
    st.lists(st.tuples(topics, st.lists(ids, max_size=4)), max_size=4),
    st.lists(ids, max_size=4),
    st.lists(topics, max_size=4),
    st.lists(
        st.builds(
            Prune,
            topics,
            st.lists(st.builds(Offered, ids, ids), max_size=3).map(tuple),
            st.none() | st.integers(0, 2**64 - 1),
        ),
        max_size=3,
    ),
    st.lists(ids, max_size=4),
)


@given(st.binary(max_size=400))
def test_any_bytes_are_an_rpc_or_a_bad_one(data: bytes) -> None:
    try:
        rpc = Rpc.decode(data)
    except BadRpc:
        return
    for message in rpc.messages:
        try:
            check_signature(message)
        except BadSignature:
            continue
        raise AssertionError("random bytes were signed")


@given(rpcs, st.data())
def test_a_broken_rpc_is_an_rpc_or_a_bad_one(rpc: Rpc, data: st.DataObject) -> None:
    raw = bytearray(rpc.encode())
    assert Rpc.decode(raw) == rpc
    if raw:
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
        try:
            Rpc.decode(raw)
        except BadRpc:
            pass


@given(st.lists(st.tuples(st.integers(0, 3), rpcs, st.floats(0, 30)), max_size=20))
def test_any_rpcs_leave_links_only_to_followers_and_boxes_only_of_peers(steps: list[tuple[int, Rpc, float]]) -> None:
    node = Gossip(b"me", lambda message: [*Verdict][len(message.data) % 3], Random(1))
    node.subscribe("a", 0.0)
    now = 0.0
    for n, (peer, rpc, wait) in enumerate(steps):
        name = bytes([peer])
        now += wait
        if n % 7 == 6:
            node.remove_peer(name, now)
        else:
            node.add_peer(name, MESHSUB_1_2, "", now, outbound=bool(peer % 2))
            for message in node.on_rpc(name, rpc, now):
                assert message.topic == "a"
        if n % 3 == 2:
            node.heartbeat(now)
        assert set(node.links("a")) <= set(node.followers("a")) <= set(node.followers())
        for one in list(node.ready):
            assert one in node.roster.peers
            while one in node.ready:
                Rpc.decode(node.take(one).encode())
