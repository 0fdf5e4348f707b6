"""Upgrades of two peers back to back: each security protocol, the muxer agreed on early or late, and refusals."""

import datetime
import random

import pytest

from cidery.identity.keys import PrivateKey
from cidery.libp2p.protocols import multistream, noise, yamux
from cidery.libp2p.protocols.channel import Secured, SecurityError, WrongPeer
from cidery.libp2p.protocols.multistream import MultistreamError, ProtocolNotSupported
from cidery.libp2p.protocols.steps import Handshake, Steps
from cidery.libp2p.protocols.tls import TlsIdentity
from cidery.libp2p.protocols.upgrade import MUXERS, TLS, UpgradeConfig, upgrade_inbound, upgrade_outbound

NOW = datetime.datetime.now(datetime.UTC)
ALICE, BOB, EVE = (PrivateKey.generate_ed25519(random.Random(seed).randbytes) for seed in (1, 2, 3))
CERTIFICATES = {key: TlsIdentity(key, MUXERS, NOW) for key in (ALICE, BOB)}


def config(key: PrivateKey, *security: str) -> UpgradeConfig:
    return UpgradeConfig(key, lambda: CERTIFICATES[key], random.Random(9).randbytes, security or (noise.PROTOCOL, TLS))


def run(left: Steps[Secured], right: Steps[Secured], chunk: int = 1 << 20) -> tuple[Secured, Secured]:
    dialler, listener = Handshake(left), Handshake(right)
    while (a := dialler.data_to_send()) + (b := listener.data_to_send()):
        for at in range(0, len(a), chunk):
            listener.receive_data(a[at : at + chunk])
        for at in range(0, len(b), chunk):
            dialler.receive_data(b[at : at + chunk])
    assert dialler.result is not None and listener.result is not None
    return dialler.result, listener.result


def old_noise(key: PrivateKey, *, dials: bool) -> Steps[Secured]:
    """A peer that does not agree on a muxer within the handshake, as older ones do."""
    entropy = random.Random(5).randbytes
    if dials:
        yield from multistream.propose([noise.PROTOCOL])
        secured = yield from noise.initiate(noise.StaticKey(key, (), entropy), entropy, None)
    else:
        yield from multistream.respond([noise.PROTOCOL])
        secured = yield from noise.respond(noise.StaticKey(key, (), entropy), entropy)
    return secured


@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
@pytest.mark.parametrize("security", [noise.PROTOCOL, TLS])
def test_two_peers_agree_on_security_and_muxer_and_know_each_other(security: str, chunk: int):
    left, right = run(
        upgrade_outbound(config(ALICE, security), BOB.peer_id), upgrade_inbound(config(BOB, security)), chunk
    )
    assert (left.peer, right.peer) == (BOB.peer_id, ALICE.peer_id)
    assert left.security == right.security == security
    assert left.muxer == right.muxer == yamux.PROTOCOL


@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
def test_the_first_message_of_noise_may_come_with_the_proposal(chunk: int):
    dialler = upgrade_outbound(config(ALICE), BOB.peer_id, at_once=True)
    left, right = run(dialler, upgrade_inbound(config(BOB)), chunk)
    assert (left.peer, right.peer, left.security) == (BOB.peer_id, ALICE.peer_id, noise.PROTOCOL)
    assert left.muxer == right.muxer == yamux.PROTOCOL


def test_a_peer_without_noise_says_so_to_who_begins_it_at_once():
    dialler = Handshake(upgrade_outbound(config(ALICE), BOB.peer_id, at_once=True))
    listener = Handshake(upgrade_inbound(config(BOB, TLS)))
    with pytest.raises(MultistreamError):
        listener.receive_data(dialler.data_to_send())
    with pytest.raises(ProtocolNotSupported):
        dialler.receive_data(listener.data_to_send())
    left, _ = run(upgrade_outbound(config(ALICE, TLS), BOB.peer_id, at_once=True), upgrade_inbound(config(BOB)))
    assert left.security == TLS


def test_the_diallers_first_security_that_both_speak_is_taken():
    left, _ = run(upgrade_outbound(config(ALICE, TLS, noise.PROTOCOL), None), upgrade_inbound(config(BOB)))
    assert left.security == TLS
    left, _ = run(upgrade_outbound(config(ALICE, TLS, noise.PROTOCOL), None), upgrade_inbound(config(BOB, "/noise")))
    assert left.security == noise.PROTOCOL


def test_peers_without_a_common_security_part():
    with pytest.raises(ProtocolNotSupported):
        run(upgrade_outbound(config(ALICE, TLS), None), upgrade_inbound(config(BOB, noise.PROTOCOL)))


@pytest.mark.parametrize("security", [noise.PROTOCOL, TLS])
def test_another_peer_than_the_dialled_one_is_refused(security: str):
    with pytest.raises(WrongPeer):
        run(upgrade_outbound(config(ALICE, security), EVE.peer_id), upgrade_inbound(config(BOB, security)))


class Opened:
    """The far side of a secure channel, once the handshake is over: plain bytes in and out."""

    def __init__(self, mine: Handshake[Secured], theirs: Handshake[Secured]) -> None:
        """``mine`` is the upgrade under test, ``theirs`` a peer that agrees on no muxer early."""
        self.upgrade = mine
        while not theirs.done:
            theirs.receive_data(mine.data_to_send())
            mine.receive_data(theirs.data_to_send())
        assert theirs.result is not None
        self.channel = theirs.result.channel
        self.plain = bytearray()
        self.sealed = bytearray(theirs.rest)

    def pump(self) -> bytes:
        """What the upgrade sent, in plain."""
        self.sealed += self.upgrade.data_to_send()
        used = self.channel.receive(memoryview(bytes(self.sealed)), self.plain.extend)
        del self.sealed[:used]
        out = bytes(self.plain)
        self.plain.clear()
        return out

    def send(self, plain: bytes) -> None:
        out = memoryview(bytearray(self.channel.sealed_size))
        self.upgrade.receive_data(bytes(out[: self.channel.seal_into(memoryview(plain), out)]))


def line(*texts: str) -> bytes:
    return b"".join(map(multistream.encode_line, texts))


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize("piecewise", [False, True])
def test_a_dialler_negotiates_the_muxer_inside_the_channel_with_a_peer_that_did_not_before(
    piecewise: bool, at_once: bool
):
    dialler = upgrade_outbound(config(ALICE, "/noise"), None, at_once=at_once)
    far = Opened(Handshake(dialler), Handshake(old_noise(BOB, dials=False)))
    assert far.pump() == line(multistream.HEADER, yamux.PROTOCOL)
    answer = line(multistream.HEADER, yamux.PROTOCOL) + b"first frames"
    for piece in [bytes([byte]) for byte in answer] if piecewise else [answer]:
        far.send(piece)
    secured = far.upgrade.result
    assert far.upgrade.done and secured is not None and secured.muxer == yamux.PROTOCOL
    if not piecewise:
        assert secured.early == b"first frames"


def test_a_listener_negotiates_the_muxer_inside_the_channel_with_a_peer_that_did_not_before():
    far = Opened(Handshake(upgrade_inbound(config(BOB, "/noise"))), Handshake(old_noise(ALICE, dials=True)))
    far.send(line(multistream.HEADER, "/mplex/6.7.0"))
    assert far.pump() == line(multistream.HEADER, multistream.NOT_AVAILABLE)
    far.send(line(yamux.PROTOCOL))
    assert far.pump() == line(yamux.PROTOCOL)
    assert far.upgrade.result is not None and far.upgrade.result.muxer == yamux.PROTOCOL


def test_a_peer_that_speaks_none_of_our_muxers_is_refused():
    far = Opened(Handshake(upgrade_outbound(config(ALICE, "/noise"), None)), Handshake(old_noise(BOB, dials=False)))
    with pytest.raises(MultistreamError):
        far.send(line(multistream.HEADER, multistream.NOT_AVAILABLE))


def test_garbage_in_the_channel_ends_the_negotiation_of_the_muxer():
    far = Opened(Handshake(upgrade_outbound(config(ALICE, "/noise"), None)), Handshake(old_noise(BOB, dials=False)))
    with pytest.raises(SecurityError):
        far.upgrade.receive_data(b"\x00\x20" + bytes(32))
