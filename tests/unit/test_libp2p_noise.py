"""Noise XX: the published vectors through the symmetric state, and libp2p's handshake pair with fixed entropy."""

import hashlib
import json
import random
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from cidery.identity.keys import PrivateKey
from cidery.libp2p.protocols import noise
from cidery.libp2p.protocols.channel import Secured, WrongPeer
from cidery.libp2p.protocols.noise import MAX_PLAIN, TAG, NoiseChannel, NoiseError, NoisePayload, StaticKey
from cidery.libp2p.protocols.steps import Handshake

VECTORS = Path(__file__).parents[1] / "vectors/noise"
MUXERS = ("/yamux/1.0.0",)


def entropy(seed: int):
    return random.Random(seed).randbytes


ALICE, BOB, EVE = (PrivateKey.generate_ed25519(entropy(seed)) for seed in (1, 2, 3))


def run(left: Handshake[Secured], right: Handshake[Secured], chunk: int = 1 << 20) -> tuple[Secured, Secured]:
    while (a := left.data_to_send()) + (b := right.data_to_send()):
        for at in range(0, len(a), chunk):
            right.receive_data(a[at : at + chunk])
        for at in range(0, len(b), chunk):
            left.receive_data(b[at : at + chunk])
    assert left.result is not None and right.result is not None
    return left.result, right.result


def pair(expected=None, muxers=MUXERS, theirs=MUXERS, seed: int = 7) -> tuple[Handshake[Secured], Handshake[Secured]]:
    left = Handshake(noise.initiate(StaticKey(ALICE, muxers, entropy(seed + 100)), entropy(seed), expected))
    return left, Handshake(noise.respond(StaticKey(BOB, theirs, entropy(seed + 101)), entropy(seed + 1)))


def opened(channel: NoiseChannel, data: bytes) -> bytes:
    out = bytearray()
    assert channel.receive(memoryview(data), out.extend) == len(data)
    return bytes(out)


def sealed(channel: NoiseChannel, plain: bytes) -> bytes:
    out = memoryview(bytearray(channel.sealed_size))
    return bytes(out[: channel.seal_into(memoryview(plain), out)])


@pytest.mark.parametrize("name", ["cacophony", "snow"])
def test_the_published_vectors_come_out_byte_for_byte(name):
    data = json.loads((VECTORS / f"{name}_Noise_XX_25519_ChaChaPoly_SHA256.json").read_text())
    for vector in data["vectors"]:
        _replay(
            {
                key: bytes.fromhex(value)
                for key, value in vector.items()
                if isinstance(value, str) and key.startswith(("init_", "resp_", "handshake_"))
            },
            vector["messages"],
        )


def _replay(keys: dict[str, bytes], messages: list[dict[str, str]]) -> None:
    private = X25519PrivateKey.from_private_bytes
    static, ephemeral = private(keys["init_static"]), private(keys["init_ephemeral"])
    far_static, far_ephemeral = private(keys["resp_static"]), private(keys["resp_ephemeral"])
    public = {k: k.public_key().public_bytes_raw() for k in (static, ephemeral, far_static, far_ephemeral)}
    payload = [bytes.fromhex(m["payload"]) for m in messages]
    wanted = [bytes.fromhex(m["ciphertext"]) for m in messages]
    state = noise._Symmetric()
    state.h = noise._NAME
    state.mix_hash(keys["init_prologue"])

    state.mix_hash(public[ephemeral])
    assert public[ephemeral] + state.encrypt_and_hash(payload[0]) == wanted[0]

    state.mix_hash(public[far_ephemeral])
    state.mix_key(noise._dh(far_ephemeral, public[ephemeral]))
    second = public[far_ephemeral] + state.encrypt_and_hash(public[far_static])
    state.mix_key(noise._dh(far_static, public[ephemeral]))
    assert second + state.encrypt_and_hash(payload[1]) == wanted[1]

    third = state.encrypt_and_hash(public[static])
    state.mix_key(noise._dh(static, public[far_ephemeral]))
    assert third + state.encrypt_and_hash(payload[2]) == wanted[2]
    if "handshake_hash" in keys:
        assert state.h == keys["handshake_hash"]

    first, second_key = noise._hkdf(state.ck, b"")
    channels = {0: NoiseChannel(first, second_key), 1: NoiseChannel(second_key, first)}
    for at in range(3, len(messages)):
        # the transport messages take turns, the responder begins
        assert sealed(channels[at % 2], payload[at])[2:] == wanted[at]
        assert opened(channels[1 - at % 2], len(wanted[at]).to_bytes(2, "big") + wanted[at]) == payload[at]


@pytest.mark.parametrize("chunk", [1 << 20, 1, 7])
def test_two_peers_learn_each_other_and_talk(chunk):
    left, right = run(*pair(BOB.peer_id), chunk=chunk)
    assert left.peer == BOB.peer_id and right.peer == ALICE.peer_id
    assert left.public_key == BOB.public.encode()
    assert left.muxer == right.muxer == MUXERS[0] and left.security == "/noise"
    assert opened(right.channel, sealed(left.channel, b"ping")) == b"ping"
    assert opened(left.channel, sealed(right.channel, b"x" * MAX_PLAIN)) == b"x" * MAX_PLAIN


def test_what_binds_to_a_handshake_is_known_to_its_two_ends_and_to_nobody_who_sees_it():
    left, right = pair()
    first = left.data_to_send()
    right.receive_data(first)
    second = right.data_to_send()
    left.receive_data(second)
    third = left.data_to_send()
    right.receive_data(third)
    assert left.result is not None and right.result is not None
    assert left.result.binding == right.result.binding and len(left.result.binding) == 32
    seen = hashlib.sha256(b"Noise_XX_25519_ChaChaPoly_SHA256").digest()  # an empty prologue
    for piece in (first[2:], b"", second[2:34], second[34:82], second[82:], third[2:50], third[50:]):
        seen = hashlib.sha256(seen + piece).digest()
    assert seen != left.result.binding, "the hash of all that was sent"
    assert left.result.binding != run(*pair(seed=8))[0].binding


def test_the_same_entropy_gives_the_same_bytes():
    transcripts = []
    for _ in range(2):
        left, right = pair()
        right.receive_data(left.data_to_send())
        transcripts.append(right.data_to_send())
    assert transcripts[0] == transcripts[1]


def test_the_initiators_preference_among_common_muxers_wins():
    left, right = run(*pair(muxers=("/a", "/b", "/c"), theirs=("/c", "/b")))
    assert left.muxer == right.muxer == "/b"


def test_without_muxers_in_the_payload_they_are_left_to_be_negotiated():
    left, right = run(*pair(muxers=(), theirs=MUXERS))
    assert left.muxer is None and right.muxer is None


def test_no_muxer_in_common_is_an_error():
    with pytest.raises(NoiseError, match="no stream muxer in common"):
        run(*pair(muxers=("/a",), theirs=("/b",)))


def test_another_peer_than_the_dialled_one_is_refused_before_it_learns_who_dials():
    left, right = pair(EVE.peer_id)
    right.receive_data(left.data_to_send())
    with pytest.raises(WrongPeer) as caught:
        left.receive_data(right.data_to_send())
    assert caught.value.got == BOB.peer_id and caught.value.wanted == EVE.peer_id
    assert left.data_to_send() == b""


def test_every_changed_byte_of_the_second_message_is_noticed():
    left, right = pair()
    right.receive_data(left.data_to_send())
    second = right.data_to_send()
    for at in range(2, len(second)):
        mangled = bytearray(second)
        mangled[at] ^= 1
        fresh, _ = pair()
        with pytest.raises(NoiseError):
            fresh.receive_data(mangled)


def test_every_changed_byte_of_the_third_message_is_noticed():
    left, right = pair()
    right.receive_data(left.data_to_send())
    left.receive_data(right.data_to_send())
    third = left.data_to_send()
    for at in range(2, len(third), 5):
        mangled = bytearray(third)
        mangled[at] ^= 1
        begin, fresh = pair()
        fresh.receive_data(begin.data_to_send())
        with pytest.raises(NoiseError):
            fresh.receive_data(mangled)


def test_a_degenerate_ephemeral_key_is_refused():
    _, right = pair()
    with pytest.raises(NoiseError, match="degenerate"):
        right.receive_data(b"\x00\x20" + bytes(32))


@pytest.mark.parametrize("size", [0, 1, 31])
def test_a_handshake_message_that_is_too_short_is_refused(size):
    _, right = pair()
    with pytest.raises(NoiseError, match="too short"):
        right.receive_data(size.to_bytes(2, "big") + bytes(size))


def test_an_identity_that_did_not_sign_the_static_key_is_refused():
    stolen = StaticKey(BOB, MUXERS, entropy(8))
    signature = BOB.sign(b"noise-libp2p-static-key:" + stolen.public)
    stolen.payload = NoisePayload(EVE.public.encode(), signature).encode()
    left, _ = pair()
    right = Handshake(noise.respond(stolen, entropy(9)))
    right.receive_data(left.data_to_send())
    with pytest.raises(NoiseError, match="did not sign"):
        left.receive_data(right.data_to_send())


def test_a_sealed_message_that_was_changed_replayed_or_cut_is_refused():
    left, right = run(*pair())
    message = sealed(left.channel, b"once")
    assert right.channel.receive(memoryview(message[:-1]), bytearray().extend) == 0
    assert opened(right.channel, message) == b"once"
    with pytest.raises(NoiseError, match="authenticate"):
        right.channel.receive(memoryview(message), bytearray().extend)
    with pytest.raises(NoiseError, match="no room for its tag"):
        right.channel.receive(memoryview(b"\x00\x0f" + bytes(15)), bytearray().extend)


def test_a_channel_stops_before_its_nonces_run_out():
    left, right = run(*pair())
    left.channel._send_nonce = noise.MAX_NONCE
    with pytest.raises(NoiseError, match="exhausted"):
        sealed(left.channel, b"x")
    assert TAG == 16 and right.channel.plain_size == 65519


def test_a_payload_survives_its_encoding_and_unknown_fields_are_skipped():
    payload = NoisePayload(b"key", b"signature", ("/yamux/1.0.0", "/mplex/6.7.0"))
    assert NoisePayload.decode(payload.encode() + b"\x7a\x03abc") == payload
    with pytest.raises(NoiseError, match="payload"):
        NoisePayload.decode(b"\x0a\x05abc")


def test_a_prepared_ephemeral_key_is_given_to_one_handshake_only():
    own, source = StaticKey(ALICE, MUXERS, entropy(1)), entropy(2)
    own.prepare(source)
    own.prepare(source)  # there is one already
    keys = [own.ephemeral(source).public for _ in range(3)]
    own.prepare(source)
    keys.append(own.ephemeral(source).public)
    fresh = entropy(2)
    assert keys == [noise.KeyPair.generate(fresh).public for _ in range(4)] and len(set(keys)) == 4
    assert own.public not in keys
