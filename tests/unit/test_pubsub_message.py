"""RPCs of pubsub, and signatures of messages."""

import pytest

from cidery.identity.keys import PrivateKey
from cidery.pubsub.message import MAX_ID, MAX_PARTS, MAX_TOPIC, BadRpc, Message, Offered, Prune, Rpc
from cidery.pubsub.signing import BadSignature, check_signature, sign

KEY = PrivateKey.generate_ed25519(lambda n: bytes(range(n)))


def test_an_rpc_is_read_as_it_was_written() -> None:
    rpc = Rpc(
        subscriptions=[(True, "a"), (False, "b")],
        messages=[Message(b"from", b"data", b"\0\1", "a", b"sig", b"key"), Message(b"f", b"", b"", "a")],
        ihave=[("a", [b"1", b"\xff\xfe"]), ("b", [])],
        iwant=[b"3"],
        graft=["a", "b"],
        prune=[Prune("a", (Offered(b"peer", b"record"), Offered(b"other", b"")), 60), Prune("b")],
        idontwant=[b"4", b"5"],
    )
    assert Rpc.decode(rpc.encode()) == rpc


def test_the_bytes_are_those_of_the_specification() -> None:
    # RPC{publish: {from, data, seqno, topic}}, control{ihave{topic, ids}}: by hand from the schema
    assert Rpc(messages=[Message(b"F", b"D", b"S", "T")]).encode().hex() == "120c0a0146120144 1a0153220154".replace(
        " ", ""
    )
    assert Rpc(ihave=[("T", [b"i"])]).encode().hex() == "1a080a060a0154120169"
    assert Rpc(idontwant=[b"i"]).encode().hex() == "1a052a030a0169"


@pytest.mark.parametrize(
    "rpc",
    [
        Rpc(iwant=[b"%d" % n for n in range(MAX_PARTS + 1)]),
        Rpc(subscriptions=[(True, "t")] * (MAX_PARTS + 1)),
        Rpc(subscriptions=[(True, "t" * (MAX_TOPIC + 1))]),
        Rpc(iwant=[bytes(MAX_ID + 1)]),
        Rpc(messages=[Message(bytes(MAX_ID), b"", b"1", "t")]),
    ],
)
def test_more_than_one_rpc_may_hold_is_refused(rpc: Rpc) -> None:
    with pytest.raises(BadRpc):
        Rpc.decode(rpc.encode())


@pytest.mark.parametrize("kind", ["ed25519", "rsa", "secp256k1"])
def test_a_signed_message_is_its_authors(kind: str) -> None:
    key = {
        "ed25519": lambda: KEY,
        "rsa": lambda: PrivateKey.generate_rsa(2048),
        "secp256k1": PrivateKey.generate_secp256k1,
    }
    message = sign(key[kind](), "topic", b"data", 7)
    assert bool(message.key) == (kind == "rsa")
    check_signature(Rpc.decode(Rpc(messages=[message]).encode()).messages[0])


def test_an_empty_message_keeps_its_signature() -> None:
    message = sign(KEY, "topic", b"", 7)
    check_signature(Rpc.decode(Rpc(messages=[message]).encode()).messages[0])
    with pytest.raises(BadSignature):
        check_signature(message._replace(has_data=False))


@pytest.mark.parametrize(
    "change",
    [
        {"data": b"other"},
        {"seqno": bytes(8)},
        {"seqno": b""},
        {"topic": "other"},
        {"signature": b""},
        {"signature": bytes(64)},
        {"author": PrivateKey.generate_ed25519(bytes).peer_id.multihash},
        {"author": b""},
        {"key": PrivateKey.generate_ed25519(bytes).public.encode()},
        {"key": b"nonsense"},
    ],
)
def test_what_was_changed_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(BadSignature):
        check_signature(sign(KEY, "topic", b"data", 7)._replace(**change))  # type: ignore[arg-type]
