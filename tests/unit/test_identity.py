import json
import os
from pathlib import Path

import pytest

from cidery.identity.envelope import EnvelopeError, PeerRecord, open_peer_record, seal_peer_record
from cidery.identity.keys import (
    MAX_ENCODED_KEY,
    MAX_PEM,
    MAX_RSA_BITS,
    MIN_RSA_BITS,
    BadKey,
    KeyType,
    PrivateKey,
    PublicKey,
)
from cidery.identity.peer_id import PeerId, PeerIdError
from cidery.multiformats.protobuf import bytes_field, varint_field

VECTORS = json.loads(
    (Path(__file__).parents[1] / "vectors/derived/libp2p-specs-vectors.json").read_text(encoding="utf-8")
)


@pytest.mark.parametrize("kind", ["ecdsa", "ed25519", "secp256k1", "rsa"])
def test_the_spec_keys_load_and_the_private_one_gives_the_public_one(kind):
    private = PrivateKey.decode(bytes.fromhex(VECTORS["keys"][kind]["private"]))
    assert private.public.encode().hex() == VECTORS["keys"][kind]["public"]
    assert private.encode().hex() == VECTORS["keys"][kind]["private"]
    public = PublicKey.decode(bytes.fromhex(VECTORS["keys"][kind]["public"]))
    signature = private.sign(b"message")
    assert public.verify(b"message", signature)
    assert not public.verify(b"other", signature)
    assert PeerId.parse(str(public.peer_id)) == public.peer_id


def test_an_ed25519_id_carries_its_key_and_an_rsa_id_does_not():
    edwards = PrivateKey.generate_ed25519(os.urandom)
    assert edwards.peer_id.inlined_public_key() == edwards.public.encode()
    rsa = PublicKey.decode(bytes.fromhex(VECTORS["keys"]["rsa"]["public"]))
    assert rsa.peer_id.inlined_public_key() is None


@pytest.mark.parametrize("text", ["", "Qm", "12D3", "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku", "é"])
def test_what_is_not_a_peer_id_is_refused(text):
    with pytest.raises(PeerIdError):
        PeerId.parse(text)


def test_halves_of_two_ed25519_keys_are_refused():
    one, two = PrivateKey.generate_ed25519(os.urandom), PrivateKey.generate_ed25519(os.urandom)
    with pytest.raises(BadKey):
        PrivateKey(KeyType.ED25519, one.data[:32] + two.data[32:])


def test_a_peer_record_opens_only_when_signed_by_its_peer():
    key, other = PrivateKey.generate_ed25519(os.urandom), PrivateKey.generate_ed25519(os.urandom)
    record = PeerRecord(key.peer_id, 7, (b"\x04\x7f\x00\x00\x01",))
    assert open_peer_record(seal_peer_record(key, record)) == record
    with pytest.raises(EnvelopeError):
        open_peer_record(seal_peer_record(other, record))
    with pytest.raises(EnvelopeError):
        open_peer_record(seal_peer_record(key, record)[:-1])


PRIVATE = {kind: PrivateKey.decode(bytes.fromhex(keys["private"])) for kind, keys in VECTORS["keys"].items()}


@pytest.mark.parametrize("kind", PRIVATE)
def test_a_key_survives_as_pem(kind):
    key = PRIVATE[kind]
    read = PrivateKey.from_pem(key.to_pem())
    assert read.kind is key.kind and read.peer_id == key.peer_id
    assert key.public.verify(b"message", read.sign(b"message"))


def test_a_pem_that_is_no_key_too_long_or_of_another_type_is_refused():
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption
    from cryptography.hazmat.primitives.serialization import PrivateFormat as Format

    with pytest.raises(BadKey, match="longer than"):
        PrivateKey.from_pem(b"x" * (MAX_PEM + 1))
    locked = PRIVATE["ed25519"]._key.private_bytes(Encoding.PEM, Format.PKCS8, BestAvailableEncryption(b"secret"))
    for text in (b"", b"-----BEGIN PRIVATE KEY-----\n!\n-----END PRIVATE KEY-----\n", locked):
        with pytest.raises(BadKey, match="without a passphrase"):
            PrivateKey.from_pem(text)
    agreement = X25519PrivateKey.generate().private_bytes(Encoding.PEM, Format.PKCS8, NoEncryption())
    with pytest.raises(BadKey, match="none of Ed25519"):
        PrivateKey.from_pem(agreement)


def test_rsa_keys_are_made_and_read_within_bounds_only():
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    for bits in (MIN_RSA_BITS - 1, MAX_RSA_BITS + 1):
        with pytest.raises(BadKey, match="are accepted"):
            PrivateKey.generate_rsa(bits)
    weak = rsa.generate_private_key(65537, 1024).public_key()
    with pytest.raises(BadKey, match="RSA of 1024 bits"):
        PublicKey.decode(
            PublicKey(KeyType.RSA, weak.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).encode()
        )


def test_a_new_secp256k1_key_signs():
    key = PrivateKey.generate_secp256k1()
    assert len(key.data) == 32 and PublicKey.decode(key.public.encode()).verify(b"m", key.sign(b"m"))


@pytest.mark.parametrize(("kind", "data"), [(KeyType.RSA, "ecdsa"), (KeyType.ECDSA, "rsa")])
def test_data_of_another_kind_than_the_key_says_is_refused(kind, data):
    with pytest.raises(BadKey, match=f"not an {kind.name} key") as caught:
        PrivateKey(kind, PRIVATE[data].data)
    assert str(caught.value).startswith("bad key: ")
    with pytest.raises(BadKey, match=f"not an {kind.name} key"):
        PublicKey.decode(PublicKey(kind, PRIVATE[data].public.data).encode())


def test_the_old_form_of_an_ed25519_key_with_its_public_half_twice_is_read():
    key = PRIVATE["ed25519"]
    assert PrivateKey(KeyType.ED25519, key.data + key.data[32:]).peer_id == key.peer_id
    for data in (b"", key.data[:-1], key.data + bytes(32)):
        with pytest.raises(BadKey, match="has 64 bytes"):
            PrivateKey(KeyType.ED25519, data)


def test_bytes_that_are_no_key_are_refused_with_their_reason():
    for encoded, reason in (
        (b"\x00" * (MAX_ENCODED_KEY + 1), "longer than"),
        (b"\x08\x01", "missing"),
        (varint_field(1, 9) + bytes_field(2, b""), "key type 9"),
        (bytes_field(1, b""), "Type"),
    ):
        with pytest.raises(BadKey, match=reason):
            PublicKey.decode(encoded)
    with pytest.raises(BadKey, match="does not parse"):
        PrivateKey(KeyType.RSA, b"nonsense")


@pytest.mark.parametrize(
    ("multihash", "reason"),
    [
        (b"", "bad peer id"),
        (b"\x12\x20" + bytes(32) + b"x", "1 bytes after"),
        (b"\x12\x14" + bytes(20), "has 32 bytes"),
        (b"\x00\x2b" + bytes(43), "neither"),
        (b"\x13\x40" + bytes(64), "neither"),
    ],
)
def test_a_multihash_that_no_peer_has_is_refused(multihash, reason):
    with pytest.raises(PeerIdError, match=reason):
        PeerId.decode(multihash)


def test_a_peer_id_is_read_in_both_texts_and_says_what_is_wrong_with_another_cid():
    peer = PRIVATE["ed25519"].peer_id
    assert PeerId.parse(str(peer)) == PeerId.parse(peer.to_cid().format("base36")) == peer
    assert repr(peer) == f"PeerId({peer})" and peer != "text" and sorted([peer, peer]) == [peer, peer]
    with pytest.raises(PeerIdError, match="'bafkqaaa' is not a peer id: the CID's codec"):
        PeerId.parse("bafkqaaa")
