import json
import os
from pathlib import Path

import pytest

from cidery.identity.envelope import EnvelopeError, PeerRecord, open_peer_record, seal_peer_record
from cidery.identity.keys import BadKey, KeyType, PrivateKey, PublicKey
from cidery.identity.peer_id import PeerId, PeerIdError

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
