"""libp2p's TLS 1.3: the specification's certificates, and two peers over memory."""

import datetime
import json
import random
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from cidery.identity.keys import PrivateKey
from cidery.libp2p.protocols import tls
from cidery.libp2p.protocols.channel import Secured, WrongPeer
from cidery.libp2p.protocols.steps import Handshake
from cidery.libp2p.protocols.tls import TlsError, TlsIdentity, decode_signed_key, encode_signed_key, verify_certificate

CERTIFICATES = json.loads(
    (Path(__file__).parents[1] / "vectors/derived/libp2p-specs-vectors.json").read_text(encoding="utf-8")
)["tls_certs"]
NOW = datetime.datetime.now(datetime.UTC)
MUXERS = ("/yamux/1.0.0",)
ALICE, BOB, EVE = (PrivateKey.generate_ed25519(random.Random(seed).randbytes) for seed in (1, 2, 3))


def run(left: Handshake[Secured], right: Handshake[Secured]) -> tuple[Secured, Secured]:
    while (a := left.data_to_send()) + (b := right.data_to_send()):
        right.receive_data(a)
        left.receive_data(b)
    assert left.result is not None and right.result is not None
    return left.result, right.result


def pair(expected=None, mine: TlsIdentity | None = None) -> tuple[Handshake[Secured], Handshake[Secured]]:
    left = Handshake(tls.initiate(mine or TlsIdentity(ALICE, MUXERS, NOW), expected))
    return left, Handshake(tls.respond(TlsIdentity(BOB, MUXERS, NOW)))


@pytest.mark.parametrize("vector", CERTIFICATES, ids=lambda vector: vector["desc"])
def test_the_specifications_certificates_are_judged_as_it_says(vector):
    certificate = x509.load_der_x509_certificate(bytes.fromhex(vector["cert_hex"]))
    if "nvalid" in vector["desc"]:
        with pytest.raises(TlsError):
            verify_certificate(certificate)
    else:
        assert str(verify_certificate(certificate).peer_id) == vector["peer_id"]


def test_two_peers_learn_each_other_and_agree_on_the_muxer():
    left, right = run(*pair(BOB.peer_id))
    assert left.peer == BOB.peer_id and right.peer == ALICE.peer_id
    assert left.muxer == right.muxer == MUXERS[0] and left.security == "/tls/1.0.0"
    for size in (1, 16384, 65536):
        out = memoryview(bytearray(left.channel.sealed_size))
        used = left.channel.seal_into(memoryview(b"x" * size), out)
        got = bytearray()
        for at in range(0, used, 1000):  # records cut anywhere
            right.channel.receive(out[at : min(used, at + 1000)], got.extend)
        assert bytes(got) == b"x" * size


def test_another_peer_than_the_dialled_one_is_refused():
    with pytest.raises(WrongPeer):
        run(*pair(EVE.peer_id))


def test_a_changed_record_is_refused():
    left, right = run(*pair())
    out = memoryview(bytearray(left.channel.sealed_size))
    used = left.channel.seal_into(memoryview(b"hello"), out)
    out[used - 1] ^= 1
    with pytest.raises(TlsError, match="bad record"):
        right.channel.receive(out[:used], bytearray().extend)


def test_bytes_that_are_no_tls_are_refused():
    _, right = pair()
    with pytest.raises(TlsError):
        right.receive_data(b"GET / HTTP/1.1\r\n\r\n" + bytes(20000))


def test_a_record_of_more_than_tls_allows_is_refused_at_its_header():
    _, right = pair()
    with pytest.raises(TlsError, match="record of 65535 bytes"):
        right.receive_data(b"\x16\x03\x01\xff\xff")


@pytest.mark.parametrize("days", [-300, 30])
def test_a_certificate_that_is_not_valid_now_is_refused(monkeypatch, days):
    monkeypatch.setattr(tls, "VALIDITY", datetime.timedelta(days=20))
    strange = TlsIdentity(ALICE, MUXERS, NOW + datetime.timedelta(days=days))
    monkeypatch.undo()
    with pytest.raises(TlsError, match="handshake failed"):
        run(*pair(mine=strange))


def test_a_chain_of_certificates_is_refused(monkeypatch):
    honest = TlsIdentity.context

    def two(self):
        context = honest(self)
        context.add_extra_chain_cert(TlsIdentity(EVE, MUXERS, NOW)._certificate)
        return context

    left, _ = pair()
    monkeypatch.setattr(TlsIdentity, "context", two)
    right = Handshake(tls.respond(TlsIdentity(BOB, MUXERS, NOW)))
    with pytest.raises(TlsError, match="more than one certificate"):
        run(left, right)


def _certificate(extensions, signer=None) -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(NOW).not_valid_after(NOW + datetime.timedelta(days=1))
    info = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    for oid, make, critical in extensions:
        builder = builder.add_extension(
            x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), make(info)), critical=critical
        )
    return builder.sign(signer or key, hashes.SHA256())


def _signed(info: bytes) -> bytes:
    return encode_signed_key(ALICE.public.encode(), ALICE.sign(b"libp2p-tls-handshake:" + info))


OID = tls.EXTENSION.dotted_string


def test_the_extension_decides():
    assert verify_certificate(_certificate([(OID, _signed, False)])).peer_id == ALICE.peer_id
    unknown = "1.2.3.4.5"
    assert verify_certificate(_certificate([(OID, _signed, True), (unknown, bytes, False)]))
    for wrong, reason in [
        ([], "no libp2p extension"),
        ([(OID, _signed, True), (unknown, bytes, True)], "unknown critical"),
        ([(OID, lambda _: b"\x30\x00", True)], "DER"),
        ([(OID, lambda _: _signed(b"another key"), True)], "did not sign"),
        ([(OID, lambda info: encode_signed_key(b"\x08\x01", b""), True)], "identity key"),
    ]:
        with pytest.raises(TlsError, match=reason):
            verify_certificate(_certificate(wrong))


def test_a_certificate_signed_by_another_key_is_refused():
    with pytest.raises(TlsError, match="does not verify"):
        verify_certificate(_certificate([(OID, _signed, True)], ec.generate_private_key(ec.SECP256R1())))


def test_the_signed_key_survives_its_encoding_at_every_length_form():
    for size in (0, 1, 127, 128, 255, 256, 70000):
        key, signature = bytes(size), b"s" * (size // 2)
        assert decode_signed_key(encode_signed_key(key, signature)) == (key, signature)
        with pytest.raises(TlsError):
            decode_signed_key(encode_signed_key(key, signature) + b"\x00")
