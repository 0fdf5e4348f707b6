"""Whatever comes in place of a peer's datagrams, handshake messages or certificates ends that connection, at most."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from qh3 import tls
from qh3._hazmat import Buffer as WireBuffer

from cidery.libp2p.protocols.qh3_core import Context, Qh3Core, opening
from cidery.libp2p.protocols.quic_core import LARGE_DATAGRAM, Completed
from cidery.libp2p.protocols.quic_retry import KEY_SIZE, RetryTokens
from cidery.libp2p.protocols.tls import TlsError, verify_shown
from quic_pair import CLIENT, NOW, Pair, events_of, identity, key

TOKENS = RetryTokens(bytes(KEY_SIZE))


@given(st.binary(max_size=1500))
def test_any_datagram_has_a_header_or_none(data: bytes) -> None:
    opening(data)


@given(st.binary(max_size=80), st.binary(max_size=20), st.floats(0, 1e9))
def test_any_token_is_refused(token: bytes, retry_id: bytes, now: float) -> None:
    assert TOKENS.original_id(token, CLIENT, retry_id, now) is None


@given(st.lists(st.binary(max_size=1500), max_size=8), st.booleans())
def test_any_datagrams_at_the_beginning_end_at_most_the_connection(datagrams: list[bytes], dials: bool) -> None:
    core = (
        Qh3Core.dialling(identity(1), CLIENT, LARGE_DATAGRAM, 0.0)
        if dials
        else Qh3Core.accepting(identity(1), LARGE_DATAGRAM, bytes(8))
    )
    core.receive(datagrams, CLIENT, 0.0)
    assert not [event for event in events_of(core) if isinstance(event, Completed)]


@settings(deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(["flip", "cut", "drop", "twice", "garbage"]), st.floats(0.05, 0.9))
def test_a_garbled_handshake_completes_with_the_right_peer_or_not_at_all(seed: int, how: str, often: float) -> None:
    rng = random.Random(seed)

    def garble(data: bytes, _: bool) -> bytes | None:
        if rng.random() > often:
            return data
        at = rng.randrange(len(data))
        match how:
            case "flip":
                return data[:at] + bytes((data[at] ^ (1 << rng.randrange(8)),)) + data[at + 1 :]
            case "cut":
                return data[:at]
            case "drop":
                return None
            case "twice":
                return data + data
        return rng.randbytes(len(data))

    pair = Pair(change=garble)
    pair.run(30, pace=0.4)
    for core, other in ((pair.client, 2), (pair.server, 1)):
        for event in events_of(core) if core is not None else ():
            if isinstance(event, Completed):
                assert verify_shown(event.certificates, NOW).peer_id == key(other).peer_id


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=2))
def test_any_certificate_is_an_identity_key_or_an_error_of_its_own(shown: list[bytes]) -> None:
    try:
        verify_shown(shown, NOW)
    except TlsError:
        return
    raise AssertionError("nobody signed that")


def _answers(server: Context, message: bytes) -> bool:
    buffers = {
        epoch: WireBuffer(capacity=16384) for epoch in (tls.Epoch.INITIAL, tls.Epoch.HANDSHAKE, tls.Epoch.ONE_RTT)
    }
    server.handle_message(message, buffers, epoch=tls.Epoch.HANDSHAKE)
    return bool(server._proven)


def _expecting() -> Context:
    pair = Pair()
    pair.turn()  # the server has answered the hello, and waits for the client's certificate
    assert pair.server is not None
    context = pair.server._connection.tls
    assert isinstance(context, Context)
    return context


@settings(deadline=None)
@given(
    st.sampled_from([int(tls.HandshakeType.CERTIFICATE), int(tls.HandshakeType.CERTIFICATE_VERIFY), 20, 8, 4]),
    st.binary(max_size=400),
    st.integers(0, 3),
)
def test_no_message_passes_for_the_proof_of_a_key(kind: int, body: bytes, off: int) -> None:
    context = _expecting()
    message = bytes((kind,)) + (len(body) + off).to_bytes(3, "big") + body
    try:
        proven = _answers(context, message)
    except (tls.Alert, ValueError, IndexError):
        return  # all of these end the connection: Qh3Core.receive()
    assert not proven
