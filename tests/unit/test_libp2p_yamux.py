"""Yamux: two machines back to back, with a clock the test turns."""

import random
from collections import Counter

import pytest

from cidery.budgets import SMALL_FRAMES, STREAMS_OPENED
from cidery.libp2p.protocols.muxed_stream import (
    EAGER,
    FRAMED_AHEAD,
    LARGE_MESSAGE,
    MESSAGE_COST,
    MessageTooLarge,
    StreamClosed,
    StreamReset,
)
from cidery.libp2p.protocols.muxer import GoneAway, StreamChanged, StreamOpened, TooManyStreams
from cidery.libp2p.protocols.timeouts import RoundTrip, Timeouts
from cidery.libp2p.protocols.yamux import (
    ACK,
    DATA,
    EARNED,
    FIN,
    GO_AWAY,
    HEADER,
    MAX_CONTROL,
    MAX_DRAINING,
    MAX_STREAMS,
    MAX_UNACKED,
    PING,
    RST,
    SYN,
    WINDOW_UPDATE,
    Yamux,
)
from cidery.libp2p.protocols.yamux_state import YamuxError
from cidery.libp2p.protocols.yamux_stream import INITIAL_WINDOW, YamuxStream
from cidery.libp2p.protocols.yamux_windows import BULK_RATE, MAX_WINDOW, WINDOW_BUDGET


def machine(initiator: bool = True, round_trip: float | None = 0.1) -> Yamux:
    return Yamux(initiator=initiator, now=0.0, round_trip=RoundTrip(round_trip), timeouts=Timeouts())


def output(mux: Yamux, room: int = 64 * 1024) -> bytes:
    out = bytearray()
    buffer = memoryview(bytearray(room))
    while count := mux.data_into(buffer):
        out += buffer[:count]
    return bytes(out)


def events(mux: Yamux) -> list[object]:
    out = []
    while (event := mux.next_event()) is not None:
        out.append(event)
    return out


def frame(kind: int, flags: int, stream_id: int, length: int, body: bytes = b"") -> bytes:
    return HEADER.pack(0, kind, flags, stream_id, length) + body


def parse(data: bytes) -> list[tuple[int, int, int, int]]:
    at, out = 0, []
    while at < len(data):
        _, kind, flags, stream_id, length = HEADER.unpack_from(data, at)
        at += HEADER.size + (length if kind == DATA else 0)
        out.append((kind, flags, stream_id, length))
    return out


class Pair:
    """A dialler and a listener; exchange() carries everything both ways until both are idle."""

    def __init__(self, round_trip: float | None = 0.1) -> None:
        self.now = 0.0
        self.a, self.b = machine(True, round_trip), machine(False, round_trip)
        self.exchange()

    def exchange(self) -> None:
        while (left := output(self.a)) + (right := output(self.b)):
            self.b.receive_data(memoryview(left), self.now)
            self.a.receive_data(memoryview(right), self.now)

    def open(self) -> tuple[YamuxStream, YamuxStream]:
        stream = self.a.open_stream(self.now)
        self.exchange()
        opened = [e.stream for e in events(self.b) if isinstance(e, StreamOpened)]
        assert len(opened) == 1
        return stream, opened[0]


def receive(mux: Yamux, data: bytes, now: float = 0.0) -> None:
    mux.receive_data(memoryview(data), now)


def test_a_stream_is_opened_accepted_and_carries_bytes_both_ways():
    pair = Pair()
    near, far = pair.open()
    assert near.id == 1 and near.acked and far.id == 1
    pair.a.send(near, b"hello ", b"there")
    pair.b.send(far, b"hi")
    pair.exchange()
    assert pair.b.read(far, 100, 0.0) == b"hello there"
    assert pair.a.read(near, 1, 0.0) == b"h" and pair.a.read(near, 9, 0.0) == b"i"


def test_each_side_opens_ids_of_its_own_parity():
    pair = Pair()
    assert [pair.a.open_stream(0.0).id for _ in range(3)] == [1, 3, 5]
    assert [pair.b.open_stream(0.0).id for _ in range(3)] == [2, 4, 6]


def test_a_half_closed_stream_still_carries_the_other_direction():
    pair = Pair()
    near, far = pair.open()
    pair.a.send(near, b"question")
    pair.a.close_write(near)
    pair.a.close_write(near)
    pair.exchange()
    assert far.fin_received and not far.finished
    pair.b.send(far, b"answer")
    pair.b.close_write(far)
    pair.exchange()
    assert pair.a.read(near, 100, 0.0) == b"answer" and near.finished and far.finished
    assert not pair.a.streams and not pair.b.streams
    with pytest.raises(StreamClosed):
        pair.a.send(near, b"more")


def test_fin_follows_the_last_data_frame_in_a_frame_of_its_own():
    pair = Pair()
    near, _ = pair.open()
    pair.a.send(near, b"x" * 10)
    pair.a.close_write(near)
    assert parse(output(pair.a)) == [(DATA, 0, 1, 10), (WINDOW_UPDATE, FIN, 1, 0)]


def test_a_reset_ends_both_directions_and_late_data_is_dropped():
    pair = Pair()
    near, far = pair.open()
    pair.b.send(far, b"late")
    late = output(pair.b)
    pair.a.reset(near, "enough")
    receive(pair.a, late)
    pair.exchange()
    assert near.reset_reason == "enough" and far.reset_reason == "by the peer"
    assert not pair.a.streams and not pair.b.streams and not near.inbox
    with pytest.raises(StreamReset, match="by the peer"):
        pair.b.send(far, b"x")


def test_more_late_data_than_the_window_had_is_an_error():
    pair = Pair()
    near, _ = pair.open()
    credit = near.credit
    pair.a.reset(near)
    receive(pair.a, frame(DATA, 0, 1, credit, bytes(credit)))
    with pytest.raises(YamuxError, match="0 left in its window"):
        receive(pair.a, frame(DATA, 0, 1, 1, b"x"))


def test_what_a_sender_may_send_is_bounded_by_the_window():
    pair = Pair()
    near, far = pair.open()
    pair.a.send(near, bytes(INITIAL_WINDOW + 100))
    pair.exchange()
    assert near.out_bytes == 100 and len(far.inbox) == INITIAL_WINDOW
    assert pair.b.read(far, INITIAL_WINDOW, 9.0)
    pair.exchange()
    assert near.out_bytes == 0 and len(far.inbox) == 100


def test_the_window_is_enforced_on_receipt():
    mux = machine(False)
    receive(mux, frame(WINDOW_UPDATE, SYN, 1, 0))
    receive(mux, frame(DATA, 0, 1, INITIAL_WINDOW, bytes(INITIAL_WINDOW)))
    with pytest.raises(YamuxError, match="1 bytes on stream 1, which has 0 left"):
        receive(mux, frame(DATA, 0, 1, 1, b"x"))
    assert len(mux.streams[1].inbox) == INITIAL_WINDOW


def test_an_overrun_is_refused_at_its_header_before_a_byte_is_taken():
    mux = machine(False)
    receive(mux, frame(WINDOW_UPDATE, SYN, 1, 0))
    with pytest.raises(YamuxError):
        receive(mux, frame(DATA, 0, 1, INITIAL_WINDOW + 1))
    assert not mux.streams[1].inbox


def test_the_window_doubles_while_it_is_used_up_within_a_few_round_trips():
    pair = Pair(round_trip=0.1)
    near, far = pair.open()
    windows = [far.window]
    for _ in range(12):
        pair.a.send(near, bytes(far.window // 2 + 1))
        pair.exchange()
        pair.now += 0.1
        pair.b.read(far, 1 << 30, pair.now)
        pair.exchange()
        windows.append(far.window)
    assert windows[1] == 2 * INITIAL_WINDOW and windows[3] == 8 * INITIAL_WINDOW
    assert windows[-1] == MAX_WINDOW
    assert pair.a.open_stream(pair.now).window == INITIAL_WINDOW
    assert pair.b.open_stream(pair.now).window == MAX_WINDOW  # what was learned serves new streams at once


def test_a_slow_stream_keeps_its_first_window():
    pair = Pair(round_trip=0.1)
    near, far = pair.open()
    for _ in range(6):
        pair.a.send(near, bytes(far.window // 2 + 1))
        pair.exchange()
        pair.now += 5.0
        pair.b.read(far, 1 << 30, pair.now)
        pair.exchange()
    assert far.window == INITIAL_WINDOW


def test_a_stream_of_bulk_data_gets_the_window_of_a_long_line_before_the_first_byte():
    pair = Pair(round_trip=0.2)
    near, far = pair.open()
    pair.b.expect_bulk(far)
    pair.b.expect_bulk(far)  # once is enough
    pair.exchange()
    wanted = int(BULK_RATE * (pair.b.round_trip.smoothed or 0.0))
    assert far.window == far.credit == near.send_window == wanted > 20 * INITIAL_WINDOW
    pair.a.send(near, bytes(far.window))
    pair.exchange()
    assert not near.out_bytes and len(far.inbox) == wanted


def test_a_near_stream_of_bulk_data_keeps_the_first_window_and_a_far_one_stays_within_the_largest():
    for round_trip, window in ((0.001, INITIAL_WINDOW), (2640.0, MAX_WINDOW)):
        mux = machine(round_trip=round_trip)
        stream = mux.open_stream(0.0)
        mux.expect_bulk(stream)
        assert stream.window == window
    for _ in range(20):
        mux.expect_bulk(mux.open_stream(0.0))
    assert sum(stream.window - INITIAL_WINDOW for stream in mux.streams.values()) == WINDOW_BUDGET


def test_growth_of_all_windows_stays_within_the_budget_and_comes_back():
    pair = Pair()
    streams = [pair.b.open_stream(0.0) for _ in range(3)]
    pair.exchange()
    for stream in streams:
        pair.b._windows.widen(stream, MAX_WINDOW)
    pair.b._windows.learned = MAX_WINDOW
    more = [pair.b.open_stream(0.0) for _ in range(6)]
    assert sum(s.window - INITIAL_WINDOW for s in streams + more) <= WINDOW_BUDGET
    for stream in streams + more:
        pair.b.reset(stream)
    assert pair.b._windows.grown == 0


def test_a_ping_is_echoed_and_measures_the_round_trip():
    pair = Pair(round_trip=None)
    pair.a.ping(1.0)
    receive(pair.b, output(pair.a), 1.2)
    receive(pair.a, output(pair.b), 1.5)
    assert pair.a.round_trip.least == 0.0  # the ping of the start came back at once
    assert pair.a.round_trip.smoothed == pytest.approx(0.5 / 8)


def test_a_second_ping_waits_for_the_first_and_a_wrong_answer_counts_for_nothing():
    mux = machine()
    first = parse(output(mux))
    mux.ping(1.0)
    assert first == [(PING, SYN, 0, 1)] and output(mux) == b""
    receive(mux, frame(PING, ACK, 0, 77), 1.0)
    assert mux.round_trip.smoothed == 0.1


def test_a_peer_counts_as_silent_from_a_ping_until_anything_is_heard():
    pair = Pair()
    pair.exchange()
    pair.a.ping(1.0)
    assert pair.a.unanswered(1.5) == 0.5 and pair.b.unanswered(1.5) == 0.0
    receive(pair.a, frame(2, 1, 0, 7), now=1.6)  # a ping of the other side is no answer, but it lives
    assert pair.a.unanswered(2.0) == 0.0


def test_a_silent_peer_is_pinged_and_then_given_up():
    pair = Pair(round_trip=1.0)
    due = pair.a.next_deadline()
    assert due == pytest.approx(30 + 4 * pair.a.round_trip.smoothed)
    pair.a.handle_deadline(due - 0.1)
    assert output(pair.a) == b""
    pair.a.handle_deadline(due)
    assert parse(output(pair.a)) == [(PING, SYN, 0, 2)]
    last = pair.a.next_deadline()
    assert last == pytest.approx(due + 20 + 4 * pair.a.round_trip.smoothed)
    with pytest.raises(YamuxError, match="silent"):
        pair.a.handle_deadline(last)


def test_a_peer_that_sends_but_never_answers_pings_is_kept():
    pair = Pair()
    pair.a.handle_deadline(pair.a.next_deadline())
    output(pair.a)
    late = pair.a.next_deadline()
    receive(pair.a, frame(PING, SYN, 0, 5), late - 1)
    pair.a.handle_deadline(late)
    assert pair.a.next_deadline() > late


@pytest.mark.parametrize("initiator, stream_id", [(True, 1), (True, 3), (False, 2)])
def test_a_stream_of_our_half_of_the_ids_is_an_error(initiator, stream_id):
    with pytest.raises(YamuxError, match="our half"):
        receive(machine(initiator), frame(WINDOW_UPDATE, SYN, stream_id, 0))


def test_an_id_opened_twice_is_an_error():
    mux = machine(False)
    receive(mux, frame(WINDOW_UPDATE, SYN, 5, 0))
    with pytest.raises(YamuxError, match="opened twice"):
        receive(mux, frame(WINDOW_UPDATE, SYN, 5, 0))


def test_streams_may_be_opened_out_of_order_as_go_yamux_does():
    mux = machine(False)
    for stream_id in (5, 1, 3):
        receive(mux, frame(WINDOW_UPDATE, SYN, stream_id, 0))
    assert [event.stream.id for event in events(mux) if isinstance(event, StreamOpened)] == [5, 1, 3]


@pytest.mark.parametrize(
    "data",
    [
        HEADER.pack(1, DATA, 0, 1, 0),
        frame(4, 0, 1, 0),
        frame(DATA, 0, 0, 0),
        frame(WINDOW_UPDATE, SYN, 0, 0),
        frame(DATA, 0, 1, 1 << 31),
        frame(DATA, 0, 99, 1),
    ],
)
def test_a_frame_that_the_protocol_forbids_is_an_error(data):
    with pytest.raises(YamuxError):
        receive(machine(False), data)


def test_data_after_fin_is_an_error_and_a_window_over_32_bits_too():
    mux = machine(False)
    receive(mux, frame(DATA, SYN | FIN, 1, 0))
    with pytest.raises(YamuxError, match="after FIN"):
        receive(mux, frame(DATA, 0, 1, 1, b"x"))
    with pytest.raises(YamuxError, match="32 bits"):
        receive(mux, frame(WINDOW_UPDATE, 0, 1, 0xFFFFFFFF))


def test_a_stream_beyond_the_bound_is_reset_and_the_others_go_on():
    mux = machine(False)
    for at in range(MAX_STREAMS):
        receive(mux, frame(WINDOW_UPDATE, SYN, 2 * at + 1, 0))
    output(mux)
    extra = 2 * MAX_STREAMS + 1
    receive(mux, frame(WINDOW_UPDATE, SYN, extra, 0) + frame(DATA, 0, extra, 3, b"abc"))
    assert parse(output(mux)) == [(WINDOW_UPDATE, RST, extra, 0)]
    assert len(mux.streams) == MAX_STREAMS
    receive(mux, frame(DATA, 0, 1, 2, b"ok"))
    assert bytes(mux.streams[1].inbox) == b"ok"
    receive(mux, frame(WINDOW_UPDATE, RST, 3, 0))
    receive(mux, frame(WINDOW_UPDATE, SYN, extra + 2, 0))
    assert extra + 2 in mux.streams


def test_a_flood_of_opens_is_bounded_in_every_table():
    mux = machine(False)
    with pytest.raises(YamuxError, match="does not read"):
        for at in range(10 * MAX_CONTROL):
            receive(mux, frame(WINDOW_UPDATE, SYN, 2 * at + 1, 0))
    assert len(mux.streams) == MAX_STREAMS
    assert len(mux._draining) <= MAX_DRAINING and len(mux._control) <= MAX_CONTROL


def test_a_flood_of_pings_that_nobody_reads_ends_the_connection():
    mux = machine(False)
    with pytest.raises(YamuxError, match="does not read"):
        receive(mux, frame(PING, SYN, 0, 1) * (MAX_CONTROL + 1))
    assert len(mux._control) == MAX_CONTROL


def test_verbs_never_raise_for_a_peer_that_does_not_read():
    mux = machine(False)
    receive(mux, frame(WINDOW_UPDATE, SYN, 1, 0))
    stream = mux.streams[1]
    receive(mux, frame(PING, SYN, 0, 1) * (MAX_CONTROL - len(mux._control)))
    mux.ping(0.0)
    mux.go_away(0)
    mux.close_write(stream)
    mux.reset(stream)
    assert len(mux._control) == MAX_CONTROL
    with pytest.raises(YamuxError, match="does not read"):
        mux.handle_deadline(0.0)
    with pytest.raises(YamuxError, match="does not read"):
        receive(mux, b"")


def test_our_own_opens_wait_for_acknowledgement_beyond_the_backlog():
    mux = machine()
    streams = [mux.open_stream(0.0) for _ in range(MAX_UNACKED)]
    with pytest.raises(TooManyStreams, match="acknowledgement"):
        mux.open_stream(0.0)
    receive(mux, frame(WINDOW_UPDATE, ACK, streams[0].id, 0) * 2)
    mux.open_stream(0.0)
    with pytest.raises(TooManyStreams):
        mux.open_stream(0.0)
    receive(mux, frame(WINDOW_UPDATE, RST, streams[1].id, 0))
    mux.open_stream(0.0)


def test_after_go_away_no_stream_is_opened_but_open_ones_go_on():
    pair = Pair()
    near, far = pair.open()
    pair.b.go_away(0)
    pair.exchange()
    assert GoneAway(0) in events(pair.a) and parse(frame(GO_AWAY, 0, 0, 0)) == [(GO_AWAY, 0, 0, 0)]
    with pytest.raises(TooManyStreams, match="going away"):
        pair.a.open_stream(0.0)
    pair.a.send(near, b"still")
    pair.exchange()
    assert pair.b.read(far, 10, 0.0) == b"still"


def test_frames_split_at_every_byte_give_the_same_streams():
    pair = Pair()
    stream = pair.a.open_stream(0.0)
    other = pair.a.open_stream(0.0)
    pair.a.send(stream, b"first message")
    pair.a.send(other, b"second")
    pair.a.close_write(other)
    data = output(pair.a)
    for cut in range(len(data) + 1):
        mux = machine(False)
        receive(mux, data[:cut])
        receive(mux, data[cut:])
        assert bytes(mux.streams[1].inbox) == b"first message"
        assert bytes(mux.streams[3].inbox) == b"second" and mux.streams[3].fin_received
    mux = machine(False)
    for byte in data:
        receive(mux, bytes([byte]))
    assert bytes(mux.streams[1].inbox) == b"first message"


def test_two_streams_take_turns_frame_by_frame():
    pair = Pair()
    (one, _), (two, _) = pair.open(), pair.open()
    pair.a.send(one, bytes(200_000))
    pair.a.send(two, bytes(200_000))
    order = [stream_id for kind, _, stream_id, _ in parse(output(pair.a, 8192)) if kind == DATA]
    for at in range(0, 40, 2):
        assert order[at] != order[at + 1]
    assert Counter(order)[1] == Counter(order)[3]


def test_a_blocked_stream_does_not_hold_up_another():
    pair = Pair()
    (one, _), (two, far) = pair.open(), pair.open()
    pair.a.send(one, bytes(INITIAL_WINDOW * 2))
    pair.a.send(two, b"through")
    pair.exchange()
    assert one.out_bytes == INITIAL_WINDOW and pair.b.read(far, 99, 0.0) == b"through"


def test_a_reader_that_gives_a_target_is_woken_once_it_is_full():
    pair = Pair()
    near, far = pair.open()
    target = memoryview(bytearray(10))
    pair.b.read_into(far, target, 0.0)
    pair.a.send(near, b"12345")
    pair.exchange()
    assert not [e for e in events(pair.b) if isinstance(e, StreamChanged) and e.stream.readable]
    pair.a.send(near, b"67890rest")
    pair.exchange()
    assert bytes(target) == b"1234567890" and bytes(far.inbox) == b"rest"
    assert StreamChanged(far) in events(pair.b)


def framed(limit: int = 1 << 22) -> tuple[Yamux, YamuxStream]:
    mux = machine(False)
    receive(mux, frame(WINDOW_UPDATE, SYN, 1, 0))
    mux.frame(mux.streams[1], limit, 0.0)
    return mux, mux.streams[1]


def test_a_framed_stream_cuts_messages_in_any_chunks():
    data = b"\x03abc\x00\x80\x01" + bytes(128) + b"\x02xy"
    for seed in range(20):
        mux, stream = framed()
        at, rng = 0, random.Random(seed)
        while at < len(data):
            size = rng.randint(1, 9)
            piece = data[at : at + size]
            receive(mux, frame(DATA, 0, 1, len(piece), piece))
            at += size
        got = []
        while (message := mux.next_message(stream, 0.0)) is not None:
            got.append(bytes(message))
        assert got == [b"abc", bytes(128), b"xy"]  # one of no bytes says nothing


def test_a_framed_stream_refuses_a_message_beyond_its_limit_without_reserving_it():
    mux, stream = framed(1000)
    receive(mux, frame(DATA, 0, 1, 5, b"\xe9\x07aaa"))
    assert isinstance(stream.frame_error, MessageTooLarge) and stream.target is None
    assert str(stream.frame_error) == "a message of 1001 bytes, at most 1000 are allowed"


def test_the_announcement_of_a_large_message_reserves_little():
    mux, stream = framed(8 * EAGER)
    receive(mux, frame(DATA, 0, 1, 4, b"\x80\x80\xc0\x02"))  # 5 MiB
    assert stream.target is not None and len(stream.target) == EAGER == stream.unread
    data, sent = random.Random(1).randbytes(5 * 1024 * 1024), 0
    while sent < len(data):
        size = min(100_000, len(data) - sent)
        stream.credit = INITIAL_WINDOW
        receive(mux, frame(DATA, 0, 1, size, data[sent : sent + size]))
        sent += size
        assert stream.target is None or len(stream.target) <= max(2 * sent, EAGER)
    assert mux.next_message(stream, 0.0) == data


def test_a_reader_is_woken_once_when_a_large_message_has_begun():
    mux, stream = framed()
    receive(mux, frame(DATA, 0, 1, 4, b"\x80\x80\x01a"))  # 16 KiB
    assert stream.began and stream.readable
    stream.began = False  # as its reader does
    receive(mux, frame(DATA, 0, 1, LARGE_MESSAGE - 2, bytes(LARGE_MESSAGE - 2)))
    assert not stream.readable
    receive(mux, frame(DATA, 0, 1, 3, b"b\x05c"))
    assert stream.readable and not stream.began, "the next one is small"
    assert mux.next_message(stream, 0.0) is not None and not stream.readable


def test_empty_messages_cost_nothing_and_hold_up_nothing():
    mux, stream = framed()
    for _ in range(8):
        receive(mux, frame(DATA, 0, 1, 128 * 1024, bytes(128 * 1024)))
        assert not stream.messages and not stream.uncut
    receive(mux, frame(DATA, 0, 1, 4, b"\0\x02xy"))
    assert mux.next_message(stream, 0.0) == b"xy" and stream.credit >= INITIAL_WINDOW // 2


def test_a_flood_of_small_messages_is_cut_as_they_are_read_and_none_is_lost():
    mux, stream = framed()
    body = b"".join(b"\x02%02d" % (at % 100) for at in range(INITIAL_WINDOW // 3))
    receive(mux, frame(DATA, 0, 1, len(body), body))
    most = FRAMED_AHEAD // (MESSAGE_COST + 2) + 1
    assert len(stream.messages) == most and sum(map(len, stream.uncut)) == len(body) - 3 * most
    assert stream.credit < INITIAL_WINDOW // 2
    for at in range(INITIAL_WINDOW // 3):
        assert mux.next_message(stream, 0.0) == b"%02d" % (at % 100)
        assert len(stream.messages) <= most
    assert mux.next_message(stream, 0.0) is None and not stream.uncut
    assert stream.messages_bytes == 0 and stream.credit > INITIAL_WINDOW // 2


@pytest.mark.parametrize("kind, flags, number", [(WINDOW_UPDATE, 0, 1), (DATA, 0, 1), (PING, ACK, 0)])
def test_more_small_frames_than_the_budget_end_the_session(kind, flags, number):
    mux, _ = framed()
    small = frame(kind, flags, number, 0)
    for _ in range(int(SMALL_FRAMES.burst) // 1000 - 1):
        receive(mux, small * 1000)
    receive(mux, small * int(SMALL_FRAMES.amount), now=1.0)  # a second later so many more
    with pytest.raises(YamuxError, match="frames below 1 KiB a second"):
        receive(mux, small * 2000, now=1.0)


def test_bulk_data_costs_nothing_of_the_budget_for_small_frames():
    mux, stream = framed()
    for _ in range(2 * int(SMALL_FRAMES.burst)):
        stream.credit = INITIAL_WINDOW
        receive(mux, frame(DATA, 0, 1, 1024, bytes(1024)))


def test_a_receiver_may_give_credit_back_for_each_few_bytes_that_it_was_sent():
    mux, stream = framed()
    update = frame(WINDOW_UPDATE, 0, 1, EARNED)
    for _ in range(2 * int(SMALL_FRAMES.burst) // 16):
        mux.send(stream, bytes(16 * EARNED))
        assert len(output(mux)) > 16 * EARNED
        receive(mux, update * 16)


def test_more_streams_than_the_budget_end_the_session():
    mux = machine(initiator=False)
    with pytest.raises(YamuxError, match="streams opened a second"):
        for number in range(1, 2 * int(STREAMS_OPENED.burst) + 3, 2):
            receive(mux, frame(WINDOW_UPDATE, SYN, number, 0) + frame(WINDOW_UPDATE, RST, number, 0))
            output(mux)
    assert number == 2 * STREAMS_OPENED.burst + 1


def test_the_end_of_the_connection_resets_every_stream_without_a_word():
    pair = Pair()
    near, _ = pair.open()
    pair.a.send(near, bytes(100))
    pair.a.fail("cable cut")
    assert near.reset_reason == "cable cut" and not pair.a.streams and output(pair.a) == b""
    assert StreamChanged(near) in events(pair.a)
