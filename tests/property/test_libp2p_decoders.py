"""Every decoder of the network: any bytes give a value or its own error, in any chunks; what is encoded comes back."""

import datetime
import json
import random
from pathlib import Path

from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from cidery.bitswap.message import PROTOCOLS, BitswapError, Entry, Message, WantType
from cidery.identity.envelope import EnvelopeError, PeerRecord, open_peer_record, seal_peer_record
from cidery.identity.keys import BadKey, KeyType, PrivateKey, PublicKey
from cidery.identity.peer_id import PeerId, PeerIdError
from cidery.ipld.block import Block
from cidery.kad.message import DhtMessage, KadError, MessageType, PeerInfo, Record
from cidery.libp2p.protocols import autonat, multistream, noise, tls, yamux
from cidery.libp2p.protocols.addresses import Scope, group_of, scope_of
from cidery.libp2p.protocols.channel import SecurityError
from cidery.libp2p.protocols.dcutr import MAX_PUNCHED, DcutrError, HolePunch, punched
from cidery.libp2p.protocols.identify import Identify, IdentifyError
from cidery.libp2p.protocols.multistream import MAX_LINE, MultistreamError, encode_line, read_line
from cidery.libp2p.protocols.muxer import StreamOpened
from cidery.libp2p.protocols.noise import NoiseChannel, NoiseError, NoisePayload
from cidery.libp2p.protocols.paths import RECORD_SIZE, Order, PathError
from cidery.libp2p.protocols.relay_messages import (
    Granted,
    HopMessage,
    HopType,
    Peer,
    RelayError,
    RelayLimit,
    Status,
    StopMessage,
    StopType,
    Voucher,
    open_voucher,
    seal_voucher,
)
from cidery.libp2p.protocols.steps import Handshake
from cidery.libp2p.protocols.stream_state import WRITABLE, State
from cidery.libp2p.protocols.timeouts import RoundTrip, Timeouts
from cidery.libp2p.protocols.tls import (
    TlsChannel,
    TlsError,
    TlsIdentity,
    decode_signed_key,
    encode_signed_key,
    verify_certificate,
)
from cidery.libp2p.protocols.upgrade import UpgradeConfig, upgrade_inbound, upgrade_outbound
from cidery.libp2p.protocols.yamux import HEADER, Yamux
from cidery.libp2p.protocols.yamux_state import YamuxError
from cidery.libp2p.protocols.yamux_stream import YamuxStream
from cidery.multiformats.cid import CID
from cidery.multiformats.protobuf import bytes_field, varint_field
from cidery.spare_buffers import SpareBuffers

VECTORS = json.loads(
    (Path(__file__).parents[1] / "vectors/derived/libp2p-specs-vectors.json").read_text(encoding="utf-8")
)
KEY = PrivateKey.generate_ed25519(random.Random(1).randbytes)
OTHER = PrivateKey.generate_ed25519(random.Random(2).randbytes)
NOW = datetime.datetime.now(datetime.UTC)
CERTIFICATE = TlsIdentity(KEY, (yamux.PROTOCOL,), NOW)
CONFIG = UpgradeConfig(KEY, lambda: CERTIFICATE, random.Random(3).randbytes)

many = settings(derandomize=True, max_examples=150, deadline=None)
few = settings(derandomize=True, max_examples=40, deadline=None)

# protobuf-like bytes reach deeper than noise does
field_bytes = st.builds(bytes_field, st.integers(1, 8), st.binary(max_size=40))
field_varint = st.builds(varint_field, st.integers(1, 8), st.integers(0, 2**64 - 1))
fields = st.lists(st.one_of(field_bytes, field_varint), max_size=8).map(b"".join)
nested = st.lists(st.one_of(st.builds(bytes_field, st.integers(1, 8), fields), field_varint), max_size=5).map(b"".join)
anything = st.one_of(st.binary(max_size=200), fields, nested)


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    out, at = [], 0
    for size in sizes:
        out.append(data[at : at + size])
        at += size
    return [*out, data[at:]]


@st.composite
def mutated(draw, data: bytes) -> bytes:
    """``data`` with some bytes changed, cut or inserted."""
    out = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(out) - 1))
        match draw(st.integers(0, 2)):
            case 0:
                out[at] = draw(st.integers(0, 255))
            case 1 if len(out) > 1:
                del out[at]
            case _:
                out.insert(at, draw(st.integers(0, 255)))
    return bytes(out)


# --- identities


@many
@given(anything)
def test_any_bytes_are_a_public_key_or_a_bad_key(data):
    try:
        key = PublicKey.decode(data)
    except BadKey:
        return
    assert PublicKey.decode(key.encode()) == key
    assert key.verify(b"message", b"signature") is False


@many
@given(st.sampled_from(sorted(VECTORS["keys"])).flatmap(lambda k: mutated(bytes.fromhex(VECTORS["keys"][k]["public"]))))
def test_a_changed_public_key_is_a_key_or_a_bad_key(data):
    try:
        assert PublicKey.decode(data).verify(b"m", bytes(64)) is False
    except BadKey:
        pass


@few
@given(
    st.sampled_from(sorted(VECTORS["keys"])).flatmap(lambda k: mutated(bytes.fromhex(VECTORS["keys"][k]["private"])))
)
def test_a_changed_private_key_is_a_key_or_a_bad_key(data):
    try:
        key = PrivateKey.decode(data)
    except BadKey:
        return
    assert key.public.peer_id == key.peer_id


@many
@given(st.sampled_from(list(KeyType)), st.binary(max_size=300))
def test_any_data_of_any_key_type_is_a_key_or_a_bad_key(kind, data):
    for decode in (PublicKey.decode, PrivateKey.decode):
        try:
            decode(varint_field(1, kind) + bytes_field(2, data))
        except BadKey:
            pass


@many
@given(st.one_of(st.binary(max_size=80), mutated(KEY.peer_id.multihash)))
def test_any_bytes_are_a_peer_id_or_an_error(data):
    try:
        peer = PeerId.decode(data)
    except PeerIdError:
        return
    assert PeerId.parse(str(peer)) == peer and PeerId.parse(str(peer.to_cid())) == peer


@many
@given(st.one_of(st.text(max_size=80), mutated(str(KEY.peer_id).encode()).map(lambda b: b.decode("latin-1"))))
def test_any_text_is_a_peer_id_or_an_error(text):
    try:
        assert PeerId.parse(text).multihash
    except PeerIdError:
        pass


SEALED = seal_peer_record(KEY, PeerRecord(KEY.peer_id, 5, (b"\x04\x7f\x00\x00\x01\x06\x0f\xa1",)))


@many
@given(st.one_of(anything, mutated(SEALED)))
def test_any_bytes_are_a_peer_record_or_an_envelope_error(data):
    for decode in (open_peer_record, PeerRecord.decode):
        try:
            decode(data)
        except EnvelopeError:
            pass


@few
@given(st.integers(0, 2**63), st.lists(st.binary(max_size=30), max_size=10))
def test_a_peer_record_survives_its_envelope(sequence, addrs):
    record = PeerRecord(KEY.peer_id, sequence, tuple(addrs))
    assert open_peer_record(seal_peer_record(KEY, record)) == record


# --- security


@many
@given(anything)
def test_any_bytes_are_a_noise_payload_or_a_noise_error(data):
    try:
        payload = NoisePayload.decode(data)
    except NoiseError:
        return
    assert NoisePayload.decode(payload.encode()) == payload


@many
@given(st.binary(max_size=300))
def test_any_bytes_in_a_noise_channel_wait_or_are_refused(data):
    channel = NoiseChannel(bytes(32), bytes(32))
    try:
        assert 0 <= channel.receive(memoryview(data), lambda _: None) <= len(data)
    except NoiseError:
        pass


@many
@given(st.lists(st.tuples(st.integers(1, 2), st.binary(max_size=40)), max_size=6), st.binary(max_size=60))
def test_any_bytes_that_say_what_comes_over_paths_are_obeyed_or_refused(came, main):
    order = Order()
    for number in (1, 2):
        order.add(number)
    here = 0
    for number, data in came:
        order.received(number, memoryview(data))
        here += len(data)
    try:
        while True:
            used, piece = order.next(memoryview(main))
            assert used in (0, RECORD_SIZE) and used <= len(main) and len(piece) <= here
            main, here = main[used:], here - len(piece)
            if not piece:
                break
    except PathError:
        pass


@few
@given(st.lists(st.binary(min_size=1, max_size=2000), max_size=6), st.lists(st.integers(0, 900), max_size=12))
def test_a_noise_channel_gives_back_what_was_sealed_in_any_chunks(pieces, sizes):
    sender, receiver = NoiseChannel(b"a" * 32, b"b" * 32), NoiseChannel(b"b" * 32, b"a" * 32)
    out, sealed = memoryview(bytearray(sender.sealed_size)), b""
    for piece in pieces:
        sealed += out[: sender.seal_into(memoryview(piece), out)]
    plain, waiting = bytearray(), b""
    for piece in cut(sealed, sizes):
        waiting += piece
        waiting = waiting[receiver.receive(memoryview(waiting), plain.extend) :]
    assert bytes(plain) == b"".join(pieces) and not waiting


@many
@given(st.binary(max_size=300))
def test_any_bytes_are_a_signed_key_or_a_tls_error(data):
    try:
        key, signature = decode_signed_key(data)
    except TlsError:
        return
    assert decode_signed_key(encode_signed_key(key, signature)) == (key, signature)


@many
@given(st.sampled_from(VECTORS["tls_certs"]).flatmap(lambda c: mutated(bytes.fromhex(c["cert_hex"]))))
def test_a_changed_certificate_is_refused_or_speaks_for_the_same_peer(data):
    try:
        certificate = x509.load_der_x509_certificate(data)
    except ValueError:
        return
    try:
        key = verify_certificate(certificate)
    except TlsError:
        return
    assert str(key.peer_id) in {c.get("peer_id") for c in VECTORS["tls_certs"]}


starts = st.sampled_from(
    [
        b"",
        encode_line(multistream.HEADER),
        multistream.optimistic_opening(noise.PROTOCOL),
        multistream.optimistic_opening(tls.PROTOCOL),
    ]
)


@many
@given(starts, st.binary(max_size=300), st.lists(st.integers(1, 40), max_size=20), st.booleans(), st.booleans())
def test_any_bytes_in_a_handshake_wait_or_are_refused(start, data, sizes, outbound, at_once):
    dialling = upgrade_outbound(CONFIG, OTHER.peer_id, at_once=at_once)
    run = Handshake(dialling if outbound else upgrade_inbound(CONFIG))
    try:
        for piece in cut(start + data, sizes):
            run.receive_data(piece)
            run.data_to_send()
    except (MultistreamError, SecurityError):
        return
    assert not run.done


@few
@given(st.binary(max_size=300))
def test_any_bytes_in_a_tls_channel_wait_or_are_refused(data):
    left = Handshake(tls.initiate(CERTIFICATE, None))
    right = Handshake(tls.respond(CERTIFICATE))
    while (a := left.data_to_send()) + (b := right.data_to_send()):
        right.receive_data(a)
        left.receive_data(b)
    assert right.result is not None and isinstance(right.result.channel, TlsChannel)
    plain = bytearray()
    try:
        right.result.channel.receive(memoryview(data), plain.extend)
    except TlsError:
        pass
    assert not plain


# --- multistream, identify


@many
@given(st.binary(max_size=200), st.lists(st.integers(1, 20), max_size=20))
def test_any_bytes_are_a_line_or_a_multistream_error(data, sizes):
    outcomes = []
    for pieces in ([data], cut(data, sizes)):
        run = Handshake(read_line())
        try:
            for piece in pieces:
                run.receive_data(piece)
            outcomes.append(run.result)
        except MultistreamError as exc:
            outcomes.append(str(exc))
    assert outcomes[0] == outcomes[1]


@many
@given(st.text(max_size=200).filter(lambda text: len(text.encode()) < MAX_LINE))
def test_a_line_survives_its_encoding(text):
    run = Handshake(read_line())
    run.receive_data(encode_line(text))
    assert run.result == text


@many
@given(anything)
def test_any_bytes_are_an_identify_message_or_an_identify_error(data):
    try:
        said = Identify.decode(data)
    except IdentifyError:
        return
    assert Identify.decode(said.encode()).protocols == said.protocols
    assert said.merged(said).public_key == said.public_key


texts = st.text(max_size=30)
says = st.builds(
    Identify,
    public_key=st.binary(max_size=50),
    listen_addrs=st.lists(st.binary(max_size=30), max_size=20).map(tuple),
    protocols=st.lists(texts, max_size=20).map(tuple),
    observed_addr=st.binary(max_size=30),
    protocol_version=texts,
    agent_version=texts,
    signed_peer_record=st.binary(max_size=9000),
)


@many
@given(says)
def test_identify_survives_its_encoding_and_its_split_into_messages(said):
    assert Identify.decode(said.encode()) == said
    first, *others = [Identify.decode(message) for message in said.messages()]
    for other in others:
        first = first.merged(other)
    assert first == said


# --- yamux


frames = st.builds(
    lambda version, kind, flags, stream, length, body: HEADER.pack(version, kind, flags, stream, length) + body,
    st.sampled_from([0, 0, 0, 0, 0, 0, 0, 1]),
    st.integers(0, 4),
    st.sampled_from([0, 0, 1, 2, 4, 8, 3, 5, 15, 0xFFFF]),
    st.sampled_from([0, 1, 1, 3, 3, 5, 2, 4, 0xFFFFFFFF]),
    st.sampled_from([0, 1, 5, 12, 300_000, 0xFFFFFFFF]),
    st.binary(max_size=20),
)


def listener() -> Yamux:
    return Yamux(initiator=False, now=0.0, round_trip=RoundTrip(0.1), timeouts=Timeouts())


def outcome(pieces: list[bytes]) -> tuple[object, ...]:
    mux, error, opened = listener(), "", []
    try:
        for piece in pieces:
            mux.receive_data(memoryview(piece), 1.0)
    except YamuxError as exc:
        error = str(exc)
    while (event := mux.next_event()) is not None:
        if isinstance(event, StreamOpened):
            opened.append(event.stream)
    sent, buffer = bytearray(), memoryview(bytearray(4096))
    while size := mux.data_into(buffer):
        sent += buffer[:size]
    states = [(s.id, bytes(s.inbox), s.fin_received, s.reset_reason, s.credit, s.send_window) for s in opened]
    return error, states, sorted(mux.streams), bytes(sent), mux.state


@many
@given(
    st.one_of(st.binary(max_size=300), st.lists(frames, max_size=15).map(b"".join)),
    st.lists(st.integers(0, 30), max_size=20),
)
def test_any_bytes_in_any_chunks_give_the_same_yamux_events_or_the_same_error(data, sizes):
    assert outcome([data]) == outcome(cut(data, sizes))


@few
@given(
    st.lists(st.tuples(st.integers(0, 2), st.binary(max_size=3000), st.booleans()), max_size=15),
    st.lists(st.integers(1, 700), max_size=30),
    st.integers(13, 5000),
)
def test_what_is_sent_on_streams_arrives_in_any_chunks_and_frame_sizes(writes, sizes, room):
    sender, receiver = Yamux(initiator=True, now=0.0, round_trip=RoundTrip(0.1), timeouts=Timeouts()), listener()
    streams = [sender.open_stream(0.0) for _ in range(3)]
    wanted = {stream.id: b"" for stream in streams}
    for at, data, last in writes:
        if streams[at].state in WRITABLE:
            sender.send(streams[at], data)
            wanted[streams[at].id] += data
            if last:
                sender.close_write(streams[at])
    out, buffer = bytearray(), memoryview(bytearray(room))
    while size := sender.data_into(buffer):
        out += buffer[:size]
    for piece in cut(bytes(out), sizes):
        receiver.receive_data(memoryview(piece), 0.0)
    assert {number: bytes(stream.inbox) for number, stream in receiver.streams.items()} == wanted
    assert [receiver.streams[s.id].fin_received for s in streams] == [s.state is not State.OPEN for s in streams]


@many
@given(
    st.lists(st.binary(max_size=400), max_size=10),
    st.lists(st.integers(1, 300), max_size=20),
    st.integers(0, 600),
)
def test_a_framed_stream_cuts_the_same_messages_in_any_chunks(messages, sizes, waiting):
    data = b"".join(varint_field(1, len(m))[1:] + m for m in messages)
    stream = YamuxStream(1, False, 0.0, SpareBuffers())
    first = data[:waiting]
    stream.accept(memoryview(first))
    credit = stream.frame(1000)
    for piece in cut(data[waiting:], sizes):
        credit += stream.accept(memoryview(piece))
    got = []
    while stream.messages:
        taken, more = stream.take_message()
        got.append(bytes(taken))
        credit += more
    assert got == [one for one in messages if one] and credit == len(data) and stream.messages_bytes == 0


# --- bitswap


@many
@given(anything)
def test_any_bytes_are_a_bitswap_message_or_a_bitswap_error(data):
    try:
        message = Message.decode(data)
        for payload in message.payloads:
            payload.cid()
    except BitswapError:
        pass


WHOLE = b"".join(
    bytes(part)
    for part in Message(
        entries=[Entry(CID.of(b"a"), 3, send_dont_have=True), Entry(CID.of(b"b"), want_type=WantType.HAVE)],
        full=True,
        blocks=[Block(CID.of(b"block"), b"block")],
        haves=[CID.of(b"c")],
        dont_haves=[CID.of(b"d")],
        pending_bytes=77,
    ).encode()
)


@many
@given(mutated(WHOLE))
def test_a_changed_bitswap_message_is_a_message_or_a_bitswap_error(data):
    test_any_bytes_are_a_bitswap_message_or_a_bitswap_error.hypothesis.inner_test(data)


cids = st.binary(max_size=20).map(CID.of)
entries = st.builds(
    Entry,
    cids,
    st.integers(0, 2**31 - 1),
    st.booleans(),
    st.sampled_from(WantType),
    st.booleans(),
)


@many
@given(
    st.lists(entries, max_size=6),
    st.booleans(),
    st.lists(st.binary(max_size=50), max_size=4),
    st.lists(cids, max_size=4),
    st.lists(cids, max_size=4),
    st.integers(0, 2**62),
)
def test_a_bitswap_message_survives_its_encoding(wants, full, datas, haves, dont_haves, pending):
    blocks = [Block(CID.of(data), data) for data in datas]
    sent = Message(wants, full, [], blocks, haves, dont_haves, pending)
    for protocol in PROTOCOLS:
        got = Message.decode(b"".join(bytes(part) for part in sent.encode(protocol)))
        assert [bytes(p.data) for p in got.payloads] == datas and got.full == full
        if protocol == PROTOCOLS[0]:
            assert (got.entries, got.haves, got.dont_haves, got.pending_bytes) == (wants, haves, dont_haves, pending)
            assert [p.cid() for p in got.payloads] == [block.cid for block in blocks]
        else:
            assert got.entries == [e for e in wants if e.want_type is WantType.BLOCK] and not got.haves


# --- the DHT


@many
@given(anything)
def test_any_bytes_are_a_dht_message_or_its_error(data):
    try:
        message = DhtMessage.decode(data)
    except KadError:
        return
    assert DhtMessage.decode(message.encode()) == message


@many
@given(st.data())
def test_a_damaged_dht_message_is_read_or_refused(data):
    info = PeerInfo(KEY.peer_id, (b"\x04\x7f\x00\x00\x01\x06\x0f\xa1",))
    record = Record(b"/pk/x", b"value", "2026-01-01T00:00:00Z")
    whole = DhtMessage(MessageType.GET_VALUE, b"/pk/x", record, [info], [info])
    assert DhtMessage.decode(whole.encode()) == whole
    try:
        DhtMessage.decode(data.draw(mutated(whole.encode())))
    except KadError:
        pass


@many
@given(st.binary(max_size=60))
def test_any_bytes_have_a_scope_and_a_group(data):
    assert scope_of(data) in Scope
    assert group_of(data) is None or isinstance(group_of(data), bytes)


# --- AutoNAT


@many
@given(anything)
def test_any_bytes_are_an_autonat_message_or_its_error(data):
    for read in (autonat.decode, autonat.decode_nonce, autonat.V1Request.decode, autonat.V1Response.decode):
        try:
            read(data)
        except autonat.AutonatError:
            continue


@many
@given(st.lists(st.binary(min_size=1, max_size=20), max_size=5), st.integers(0, 2**64 - 1), st.integers(0, 2**31))
def test_autonat_messages_come_back_as_they_were(addrs, nonce, number):
    for message in (
        autonat.DialRequest(tuple(addrs), nonce),
        autonat.DialResponse(number, number, number),
        autonat.DataRequest(number, number),
        autonat.Data(number % 4096),
    ):
        assert autonat.decode(message.encode()) == message
    assert autonat.decode_nonce(autonat.encode_nonce(nonce)) == nonce
    request = autonat.V1Request(b"peer", tuple(addrs))
    assert autonat.V1Request.decode(request.encode()) == request
    response = autonat.V1Response(number, b"addr")
    assert autonat.V1Response.decode(response.encode()) == response


# --- relays


@many
@given(st.one_of(anything, st.builds(lambda kind, rest: varint_field(1, kind) + rest, st.integers(0, 3), nested)))
def test_any_bytes_are_a_message_of_a_relay_or_its_error(data):
    for kind in (HopMessage, StopMessage):
        try:
            message = kind.decode(data)
        except RelayError:
            continue
        assert kind.decode(message.encode()) == message
    try:
        open_voucher(data)
    except RelayError:
        pass


@many
@given(st.data())
def test_a_damaged_message_of_a_relay_is_read_or_refused(data):
    peer = Peer(KEY.peer_id, (b"\x04\x7f\x00\x00\x01\x06\x0f\xa1",))
    granted = Granted(1_900_000_000, peer.addrs, b"voucher")
    hop = HopMessage(HopType.STATUS, peer, granted, RelayLimit(120, 1 << 17), Status.OK)
    stop = StopMessage(StopType.CONNECT, peer, RelayLimit(120, 1 << 17), Status.OK)
    for whole in (hop, stop):
        assert type(whole).decode(whole.encode()) == whole
        try:
            type(whole).decode(data.draw(mutated(whole.encode())))
        except RelayError:
            pass
    voucher = seal_voucher(KEY, Voucher(KEY.peer_id, OTHER.peer_id, 1_900_000_000))
    try:
        open_voucher(data.draw(mutated(voucher)))
    except RelayError:
        pass


@many
@given(st.one_of(anything, st.builds(lambda kind, rest: varint_field(1, kind) + rest, st.integers(0, 400), fields)))
def test_any_bytes_are_a_message_of_a_punch_or_its_error(data):
    try:
        message = HolePunch.decode(data)
    except DcutrError:
        return
    assert HolePunch.decode(message.encode()) == message
    assert len(punched(message.addrs, b"", lambda _: True)) <= MAX_PUNCHED
