"""What cidery leans on in the library qh3: a new release that changes it must fail here, not on the network."""

import datetime
import os
import random
from importlib.metadata import version

import pytest

from cidery.libp2p.protocols import qh3_core
from cidery.libp2p.protocols.qh3_core import Opening, Qh3Core, Qh3Identity, opening, retry, versions
from cidery.libp2p.protocols.quic_core import (
    LARGE_DATAGRAM,
    LEAST_INITIAL,
    STREAM_WINDOW,
    Completed,
    IdIssued,
    PingAnswered,
    SendingStopped,
    StreamAborted,
    StreamData,
)
from cidery.libp2p.protocols.quic_reset import Resets
from cidery.libp2p.protocols.quic_retry import RetryTokens
from cidery.libp2p.protocols.tls import TlsError, TlsIdentity, verify_shown
from quic_pair import CLIENT, NOW, SERVER, Pair, datagrams_of, events_of, identity, key


def connected() -> Pair:
    pair = Pair()
    pair.run(6)
    return pair


def test_the_release_that_is_leaned_on_is_installed() -> None:
    assert version("qh3").startswith("2.1.")


def test_both_sides_show_their_certificates_within_a_round_trip_and_a_half() -> None:
    pair = connected()
    assert pair.server is not None
    for core, other in ((pair.client, 2), (pair.server, 1)):
        completed = [event for event in events_of(core) if isinstance(event, Completed)]
        assert [one.alpn for one in completed] == ["libp2p"]
        assert verify_shown(completed[0].certificates, NOW).peer_id == key(other).peer_id
        assert core.ended is None
    assert [by_client for by_client, _ in pair.flights[:3]] == [True, False, True]
    assert len(pair.flights[0][1]) == 1  # a hello of one datagram


@pytest.mark.parametrize(("loss", "may_die"), [(0.1, 0), (0.2, 2)])
def test_handshakes_end_well_though_datagrams_are_lost(loss: float, may_die: int) -> None:
    died = 0
    for seed in range(40):
        chance = random.Random(seed)
        pair = Pair(change=lambda data, _, chance=chance: data if chance.random() >= loss else None)
        done = {True: False, False: False}
        while pair.now < 30.0 and not all(done.values()):
            pair.run(1, pace=0.02)
            for by_client, core in ((True, pair.client), (False, pair.server)):
                if core is not None:
                    done[by_client] |= any(isinstance(event, Completed) for event in events_of(core))
        died += not all(done.values())
    assert died <= may_die


def test_after_a_lost_hello_one_probe_has_none_and_is_told_from_a_failed_handshake() -> None:
    client = Qh3Core.dialling(identity(1), SERVER, LARGE_DATAGRAM, 0.0)
    assert datagrams_of(client, 0.0), "lost"
    now = client.timer()
    assert now is not None
    client.handle_timer(now)
    answered = []
    for probe in datagrams_of(client, now):
        asked = opening(probe)
        assert asked is not None and asked.is_initial
        server = Qh3Core.accepting(identity(2), LARGE_DATAGRAM, asked.destination_id)
        server.receive([probe], CLIENT, now)
        answered.append(server.ended is None and bool(datagrams_of(server, now)))
        assert server.without_hello is not answered[-1]
    assert sorted(answered) == [False, True]


def test_a_hello_names_no_server_and_nothing_but_libp2p() -> None:
    context = Pair().client._connection.tls
    assert context is not None and context._server_name is None
    assert context._alpn_protocols == ["libp2p"]


def test_a_client_without_a_certificate_is_refused() -> None:
    pair = Pair()
    tls = pair.client._connection.tls
    assert tls is not None
    tls.certificate = tls.certificate_private_key = None
    pair.run(6)
    assert pair.server is not None and pair.server.ended == "the client shows no certificate"
    assert not [event for event in events_of(pair.server) if isinstance(event, Completed)]


def test_a_client_that_has_not_its_certificates_key_is_refused() -> None:
    pair = Pair()
    tls = pair.client._connection.tls
    other = identity(3).configuration(True, LARGE_DATAGRAM)
    assert tls is not None
    tls.certificate = other.certificate  # its own private key stays
    pair.run(6)
    assert pair.server is not None and pair.server.ended == "the client has not the key of its certificate"


def test_a_server_that_has_not_its_certificates_key_is_refused() -> None:
    pair = Pair()
    made = identity(2).configuration(False, LARGE_DATAGRAM)
    bad = Qh3Identity(TlsIdentity(key(2), (), NOW))
    bad.configuration(False, LARGE_DATAGRAM).certificate = made.certificate
    pair.accepting = bad
    pair.run(6)
    assert pair.client.ended is not None
    assert not [event for event in events_of(pair.client) if isinstance(event, Completed)]


def test_no_ticket_is_given_that_would_skip_the_certificate() -> None:
    pair = connected()
    assert pair.server is not None
    assert pair.server._connection._session_ticket_handler is None
    events_of(pair.client)
    assert pair.client._connection.configuration.session_ticket is None


@pytest.mark.parametrize("days", [-10, 365 * 101])
def test_a_certificate_out_of_its_time_is_refused(days: int) -> None:
    pair = connected()
    shown = next(event for event in events_of(pair.client) if isinstance(event, Completed)).certificates
    with pytest.raises(TlsError, match="not yet valid, or has expired"):
        verify_shown(shown, NOW + datetime.timedelta(days=days))
    with pytest.raises(TlsError, match="several"):
        verify_shown(shown * 2, NOW)
    with pytest.raises(TlsError, match="no certificate"):
        verify_shown((), NOW)
    with pytest.raises(TlsError, match="does not parse"):
        verify_shown((b"\x30\x03\x02\x01\x01",), NOW)


def test_a_peer_gets_credit_for_what_is_taken_and_no_more() -> None:
    pair = connected()
    server = pair.server
    assert server is not None
    events_of(server)
    server.holding = True
    stream = pair.client.open_stream()
    assert pair.client.send(stream, bytes(3 * STREAM_WINDOW))
    pair.run(3000, pace=0.002)
    left = pair.client.queued(stream)
    assert 0 <= left - 2 * STREAM_WINDOW < STREAM_WINDOW / 2 and pair.client.stuck
    assert not events_of(server)
    server.release()
    assert sum(len(event.data) for event in events_of(server) if isinstance(event, StreamData)) <= STREAM_WINDOW
    server.holding = True
    pair.run(3000, pace=0.002)
    assert pair.client.queued(stream) < left - STREAM_WINDOW / 4  # and now the rest of another window


def test_streams_open_end_are_reset_and_stopped() -> None:
    pair = connected()
    server = pair.server
    assert server is not None
    events_of(server)
    first, second, third = (pair.client.open_stream() for _ in range(3))
    for one in (first, second, third):
        assert pair.client.send(one, b"hello")
    assert pair.client.send(first, b"", end=True)
    pair.run(3)
    came = [event for event in events_of(server) if isinstance(event, StreamData)]
    assert b"".join(event.data for event in came if event.stream_id == first) == b"hello"
    assert any(event.end for event in came if event.stream_id == first)
    pair.client.abort(second)
    pair.run(3)
    assert {type(event) for event in events_of(server)} >= {StreamAborted, SendingStopped}
    server._connection.stop_stream(third, 0)
    pair.run(3)
    assert SendingStopped(third) in events_of(pair.client)
    assert not pair.client.send(third, b"more")


def test_more_streams_than_the_peer_allows_are_not_opened() -> None:
    pair = connected()
    opened = 0
    while pair.client.may_open:
        pair.client.open_stream()
        opened += 1
    assert opened == 100


def test_pings_come_back_and_measure_the_distance() -> None:
    pair = connected()
    events_of(pair.client)
    pair.client.ping(7)
    pair.run(4)
    assert PingAnswered(7) in events_of(pair.client)
    assert pair.client.round_trip is not None


def test_the_reason_of_an_end_reaches_the_other_side() -> None:
    pair = connected()
    assert pair.server is not None
    pair.client.close("duplicate")
    pair.run(2)
    assert pair.server.ended == "duplicate"
    assert not pair.server.send(1, b"x") and pair.server.timer() is not None  # nothing raises after the end


def test_a_peer_that_moves_is_answered_at_its_new_address() -> None:
    pair = connected()
    server = pair.server
    assert server is not None
    issued = [event for event in events_of(server) if isinstance(event, IdIssued)]
    assert issued
    stream = pair.client.open_stream()
    targets = set()
    for _ in range(10):
        pair.client.send(stream, b"x")
        moved = ("127.0.0.1", 3)
        server.receive(datagrams_of(pair.client, pair.now), moved, pair.now)
        while (made := server.next_datagram(pair.now)) is not None:
            targets.add(made[1])
            pair.client.receive([made[0]], SERVER, pair.now)
        pair.now += 0.03
        for core in (pair.client, server):
            if (timer := core.timer()) is not None and timer <= pair.now:
                core.handle_timer(pair.now)
    assert ("127.0.0.1", 3) in targets
    assert server.ended is None and pair.client.ended is None


def test_a_retry_is_obeyed_and_its_token_proves_the_address() -> None:
    tokens = RetryTokens(bytes(32))
    client = Qh3Core.dialling(identity(1), SERVER, LARGE_DATAGRAM, 0.0)
    first = datagrams_of(client, 0.0)[0]
    asked = opening(first)
    assert asked is not None and asked.is_initial and asked.version == qh3_core.VERSION and not asked.token
    assert len(first) >= LEAST_INITIAL
    answer = retry(asked, b"retry-id", tokens.make(CLIENT, asked.destination_id, b"retry-id", 0.0))
    assert len(answer) < len(first)
    client.receive([answer], SERVER, 0.0)
    again = datagrams_of(client, 0.0)
    second = opening(again[0])
    assert second is not None and second.destination_id == b"retry-id"
    original = tokens.original_id(second.token, CLIENT, second.destination_id, 1.0)
    assert original == asked.destination_id
    server = Qh3Core.accepting(identity(2), LARGE_DATAGRAM, original, second.destination_id)
    now = 0.0
    for _ in range(4):
        server.receive(again, CLIENT, now)
        client.receive(datagrams_of(server, now), SERVER, now)
        again = datagrams_of(client, now)
    assert any(isinstance(event, Completed) for event in events_of(server))


def test_another_version_is_told_which_are_spoken() -> None:
    client = Qh3Core.dialling(identity(1), SERVER, LARGE_DATAGRAM, 0.0)
    asked = opening(datagrams_of(client, 0.0)[0])
    assert isinstance(asked, Opening)
    told = opening(versions(asked))
    assert told is not None and told.version == 0 and told.destination_id == asked.source_id


def test_a_reset_with_the_token_of_the_handshake_ends_the_clients_connection() -> None:
    resets = Resets(b"secret", os.urandom, 0.0)
    pair = Pair(reset_token=resets.token)
    pair.run(6)
    assert pair.server is not None and pair.client.ended is None
    foreign = Resets(b"other", os.urandom, 0.0).answer(b"\x40" + pair.server.connection_id + bytes(60), 0.0)
    assert foreign is not None
    pair.client.receive([foreign], SERVER, pair.now)
    assert pair.client.ended is None
    answer = resets.answer(b"\x40" + pair.server.connection_id + bytes(60), 0.0)
    assert answer is not None
    pair.client.receive([answer], SERVER, pair.now)
    assert pair.client.ended is not None
