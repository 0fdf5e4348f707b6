"""The muxer over QUIC: two of them over two real cores in memory, in a time that the test moves."""

from collections.abc import Callable

import pytest

from cidery.libp2p.protocols.muxed_stream import StreamReset
from cidery.libp2p.protocols.muxer import StreamChanged, StreamOpened, TooManyStreams
from cidery.libp2p.protocols.quic_core import PingAnswered, SendingStopped, StreamAborted, StreamData
from cidery.libp2p.protocols.quic_muxer import HELD_MOST, KEEP_ALIVE, QuicError, QuicMuxer, QuicStream
from cidery.libp2p.protocols.timeouts import RoundTrip, Timeouts
from quic_pair import CLIENT, SERVER, Pair, datagrams_of, events_of

STREAM_EVENTS = (StreamData, StreamAborted, SendingStopped, PingAnswered)


class Ends:
    """A connection with a muxer at each end."""

    def __init__(self) -> None:
        self.pair = Pair()
        self.pair.run(6)
        assert self.pair.server is not None
        self.cores = (self.pair.client, self.pair.server)
        self.near, self.far = (
            QuicMuxer(core, initiator=core is self.cores[0], now=self.now, round_trip=RoundTrip(), timeouts=Timeouts())
            for core in self.cores
        )
        self.opened: list[QuicStream] = []
        self.far_takes: tuple[type, ...] = STREAM_EVENTS
        self.run()

    @property
    def now(self) -> float:
        return self.pair.now

    def run(self, turns: int = 12, pace: float = 0.002, each: Callable[[], object] = lambda: None) -> None:
        for _ in range(turns):
            each()
            for mux, core, other, source in (
                (self.near, self.cores[0], self.cores[1], CLIENT),
                (self.far, self.cores[1], self.cores[0], SERVER),
            ):
                mux.fill()
                sent = datagrams_of(core, self.now)
                if sent:
                    (self.far if mux is self.near else self.near).came(sum(map(len, sent)), len(sent), self.now)
                    other.receive(sent, source, self.now)
                for one, its in ((self.near, self.cores[0]), (self.far, self.cores[1])):
                    for event in events_of(its):
                        if isinstance(event, STREAM_EVENTS) and (one is self.near or isinstance(event, self.far_takes)):
                            one.receive(event, self.now)
            self.pair.now += pace
            for mux in (self.near, self.far):
                mux.handle_deadline(self.now)
            while (happening := self.far.next_event()) is not None:
                if isinstance(happening, StreamOpened):
                    self.opened.append(happening.stream)
            while self.near.next_event() is not None:
                pass

    def open(self) -> tuple[QuicStream, QuicStream]:
        here = self.near.open_stream(self.now)
        self.near.send(here, b"hello")
        self.run(4)
        there = self.opened.pop()
        assert self.far.read(there, 10, self.now) == b"hello"
        return here, there


def test_bytes_go_both_ways_and_each_side_ends_its_own() -> None:
    ends = Ends()
    here, there = ends.open()
    ends.near.send(here, b"a", b"question")
    ends.near.close_write(here)
    ends.run(4)
    assert ends.far.read(there, 100, ends.now) == b"aquestion" and there.fin_received
    ends.far.send(there, b"answer")
    ends.far.close_write(there)
    ends.run(4)
    assert ends.near.read(here, 100, ends.now) == b"answer" and here.fin_received
    assert here.finished and there.finished
    assert not ends.near.streams and not ends.far.streams


def test_a_reset_ends_both_directions_at_both_ends() -> None:
    ends = Ends()
    here, there = ends.open()
    ends.near.reset(here, "not needed")
    ends.run(4)
    assert there.reset_reason == "by the peer" and here.reset_reason == "not needed"
    with pytest.raises(StreamReset):
        ends.far.send(there, b"x")
    assert not ends.near.streams and not ends.far.streams


def test_a_peer_that_reads_no_more_can_still_answer() -> None:
    ends = Ends()
    here, there = ends.open()
    ends.far_takes = (StreamData,)  # as Go's: what it said by STOP_SENDING is answered by a reset, which it expects
    ends.cores[1]._connection.stop_stream(there.id, 0)
    ends.far.send(there, b"enough")
    ends.far.close_write(there)
    ends.run(4)
    assert not here.reset_reason and ends.near.read(here, 10, ends.now) == b"enough"
    ends.near.send(here, b"more")
    assert not here.out_bytes
    ends.near.close_write(here)
    assert here.finished


def test_a_stream_that_is_not_read_holds_the_peer_back_and_goes_on_when_it_is() -> None:
    ends = Ends()
    here, there = ends.open()
    size = 3 * HELD_MOST
    ends.near.send(here, bytes(size))
    ends.run(4000)
    held = there.unread
    assert HELD_MOST <= held < HELD_MOST + 2 * 1024 * 1024
    assert here.out_bytes and here.blocked
    got = 0

    def read() -> None:
        nonlocal got
        got += len(ends.far.read(there, 1 << 20, ends.now))

    ends.run(4000, each=read)
    assert got == size


def test_a_stream_nobody_reads_is_reset_so_that_the_others_go_on() -> None:
    ends = Ends()
    stuck, there = ends.open()
    ends.near.send(stuck, bytes(3 * HELD_MOST))
    ends.run(3000)
    other = ends.near.open_stream(ends.now)
    ends.near.send(other, b"me too")
    ends.run(40)
    assert not [stream for stream in ends.opened if stream.id == other.id]
    ends.run(400, pace=0.1)
    assert there.reset_reason == "nobody reads it"
    (second,) = (stream for stream in ends.opened if stream.id == other.id)
    assert ends.far.read(second, 10, ends.now) == b"me too"


def test_a_limit_on_what_is_received_holds_everything_back() -> None:
    ends = Ends()
    here, there = ends.open()
    ends.far.limit(reading_waits=True)
    ends.near.send(here, b"later")
    ends.run(20)
    assert not there.unread
    ends.far.limit(reading_waits=False)
    ends.run(2)
    assert ends.far.read(there, 10, ends.now) == b"later"


def test_short_messages_go_before_transfers() -> None:
    ends = Ends()
    bulk, _ = ends.open()
    ends.near.send(bulk, bytes(4 << 20))
    assert not ends.near.urgent
    ends.near.fill()
    short, there = ends.near.open_stream(ends.now), None
    ends.near.send(short, b"want")
    ends.run(30)
    there = next(stream for stream in ends.opened if stream.id == short.id)
    assert ends.far.read(there, 10, ends.now) == b"want" and bulk.out_bytes


def test_streams_of_one_direction_end_the_connection() -> None:
    ends = Ends()
    connection = ends.cores[0]._connection
    connection.send_stream_data(connection.get_next_available_stream_id(is_unidirectional=True), b"x")
    with pytest.raises(QuicError, match="one direction"):
        ends.run(4)


def test_streams_opened_too_fast_end_the_connection() -> None:
    ends = Ends()

    def churn() -> None:
        while ends.cores[0].may_open:
            ends.near.reset(ends.near.open_stream(ends.now))
        ends.near.fill()

    with pytest.raises(QuicError, match="streams opened"):
        ends.run(4000, pace=0.0005, each=churn)


def test_no_more_streams_are_opened_than_the_peer_allows_nor_after_the_end() -> None:
    ends = Ends()
    with pytest.raises(TooManyStreams, match="allows no more"):
        for _ in range(200):
            ends.near.open_stream(ends.now)
    ends.near.go_away(0)
    assert not ends.near.opens_streams
    with pytest.raises(TooManyStreams, match="going away"):
        ends.near.open_stream(ends.now)


def test_a_quiet_connection_is_kept_open() -> None:
    ends = Ends()
    ends.run(400, pace=0.5)
    assert ends.cores[0].ended is None and ends.cores[1].ended is None


def test_a_silent_peer_is_noticed() -> None:
    ends = Ends()
    with pytest.raises(QuicError, match="silent"):
        for _ in range(2000):
            ends.pair.now += 0.1
            ends.near.handle_deadline(ends.now)
            datagrams_of(ends.cores[0], ends.now)
            if ends.cores[0].ended is not None:
                raise QuicError("silent")
    assert ends.now > KEEP_ALIVE


def test_the_end_of_the_connection_ends_every_stream() -> None:
    ends = Ends()
    here, there = ends.open()
    ends.near.send(here, b"unread")
    ends.near.fail("cable pulled")
    assert here.reset_reason == "cable pulled" and not ends.near.streams
    assert isinstance(ends.near.next_event(), StreamChanged)
    ends.cores[0].close("cable pulled")
    ends.run(2)
    assert ends.cores[1].ended == "cable pulled"
    with pytest.raises(TooManyStreams):
        ends.far.open_stream(ends.now)
