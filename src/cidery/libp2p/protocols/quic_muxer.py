"""The streams of a QUIC connection as a Muxer: QUIC's own, with nothing between them and the packets. Pure.

Flow control is QUIC's: a peer gets credit for what is taken from the core. So when a stream holds more than it should,
nothing more is taken until its reader goes on; all streams of the connection wait meanwhile, and a reader that does not
go on loses its stream, so that the others do.

Spec: https://github.com/libp2p/specs/blob/master/quic/README.md, https://www.rfc-editor.org/rfc/rfc9000.html#section-2
"""

from collections import deque

from cidery import budgets
from cidery.budgets import Bucket
from cidery.errors import RemoteProtocolError
from cidery.libp2p.protocols.muxed_stream import MuxedStream
from cidery.libp2p.protocols.muxer import LOW_WATER, StreamChanged, StreamOpened, TooManyStreams
from cidery.libp2p.protocols.quic_core import (
    CONNECTION_WINDOW,
    IDLE_TIMEOUT,
    PingAnswered,
    QuicCore,
    SendingStopped,
    StreamAborted,
    StreamData,
)
from cidery.libp2p.protocols.stream_state import (
    CLOSE_WRITE,
    FIN_WAITING,
    RECEIVE_DATA,
    RECEIVE_FIN,
    SEND_FIN,
    WRITABLE,
)
from cidery.libp2p.protocols.timeouts import RoundTrip, Timeouts
from cidery.multiformats.varint import Buffer
from cidery.spare_buffers import SpareBuffers

MAX_STREAMS = budgets.STREAMS.amount
KEEP_ALIVE = IDLE_TIMEOUT / 2
"""Seconds of silence after which a ping keeps a connection open."""
AHEAD = 128 * 1024
"""Bytes of a stream in the core's queue up to which more is given to it: the rest can still be put in order."""
PIECE = 64 * 1024
"""Bytes given to the core at a time, so that streams take turns."""
LIGHT = 16 * 1024
"""Queued bytes of a stream up to which it goes before others: requests, wants, answers of a few records."""
HELD_MOST = 8 * 1024 * 1024
"""Bytes of a stream that may wait for their reader: more than the largest message and what is read ahead."""
HELD_AGAIN = 5 * 1024 * 1024
"""Bytes at which more is taken again: more than a message of 4 MiB that is not whole."""
SERVER_STARTED, ONE_WAY = 1, 2
"""Bits of a stream's id (RFC 9000, section 2.1)."""
OVERHEAD = 64
"""Bytes of a datagram that are no stream's, about."""


class QuicError(RemoteProtocolError):
    """The peer broke a rule of libp2p over QUIC, or the connection ended by one of QUIC's."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"quic: {self.reason}"


class QuicStream(MuxedStream):
    """Its windows are the core's."""

    __slots__ = ("deaf", "stalled")

    def __init__(self, stream_id: int, initiator: bool, now: float, spare: SpareBuffers) -> None:
        super().__init__(stream_id, initiator, now, spare)
        self.deaf = False
        """Whether the peer reads no more of it: what is written is dropped, as a peer with Yamux does itself."""
        self.stalled = False
        """Whether what is queued waits for the peer's credit."""

    @property
    def blocked(self) -> bool:
        return self.stalled


Happening = StreamOpened[QuicStream] | StreamChanged[QuicStream]
StreamEvent = StreamData | StreamAborted | SendingStopped | PingAnswered


class QuicMuxer:
    """One connection's. Made when the peer is authenticated, not before. Satisfies Muxer."""

    def __init__(
        self,
        core: QuicCore,
        *,
        initiator: bool,
        now: float,
        round_trip: RoundTrip,
        timeouts: Timeouts,
        spare: SpareBuffers | None = None,
    ) -> None:
        """``spare``: where the buffers of messages come from; shared by the connections of a node."""
        self.streams: dict[int, QuicStream] = {}
        self.round_trip = round_trip
        self.heard_at = now
        self.has_output = False
        self.parked = 0
        """Bytes that the core holds and no reader can have, about: they wait for what is missing before them."""
        self._core = core
        self._timeouts = timeouts
        self._spare = spare or SpareBuffers()
        self._theirs = SERVER_STARTED if initiator else 0
        self._newest = -4 + self._theirs
        self._skipped: set[int] = set()
        self._inbound = 0
        self._opened = Bucket(budgets.STREAMS_OPENED, now)
        self._changed: dict[int, QuicStream] = {}
        self._events: deque[Happening] = deque()
        self._going = False
        self._waiting: dict[int, QuicStream] = {}
        """Streams with something to send, or an end that was not sent."""
        self._held_at: float | None = None
        """Since when a stream holds too much."""
        self._limited = False
        self._ping_at: float | None = None
        self._ping_number = 0
        self._measure()

    @property
    def opens_streams(self) -> bool:
        return not self._going and self._core.ended is None

    # --- verbs

    def open_stream(self, now: float, window: int = 0) -> QuicStream:
        if not self.opens_streams:
            raise TooManyStreams("the peer is going away")
        if not self._core.may_open:
            raise TooManyStreams("the peer allows no more at a time")
        stream = QuicStream(self._core.open_stream(), True, now, self._spare)
        self.streams[stream.id] = stream
        return stream

    def send(self, stream: QuicStream, *data: Buffer) -> None:
        stream.check_writable()
        if stream.deaf:
            return
        for piece in data:
            stream.queue(piece)
        if stream.out_bytes:
            self._waiting[stream.id] = stream
            self.has_output = True

    def close_write(self, stream: QuicStream) -> None:
        if stream.on(CLOSE_WRITE) and stream.state in FIN_WAITING:
            if stream.deaf:
                self._drop(stream)
                return
            self._waiting[stream.id] = stream
            self.has_output = True

    def reset(self, stream: QuicStream, reason: str = "cancelled here") -> None:
        if stream.finished:
            return
        self._core.abort(stream.id)
        self.has_output = True
        self._end(stream, reason)

    def read(self, stream: QuicStream, limit: int, now: float) -> bytes:
        data = bytes(stream.inbox[:limit])
        del stream.inbox[:limit]
        self._go_on(now)
        return data

    def read_into(self, stream: QuicStream, target: memoryview, now: float) -> None:
        taken = min(len(stream.inbox), len(target))
        target[:taken] = stream.inbox[:taken]
        del stream.inbox[:taken]
        stream.target, stream.target_at = target, taken
        self._go_on(now)

    def frame(self, stream: QuicStream, limit: int, now: float) -> None:
        stream.frame(limit)

    def next_message(self, stream: QuicStream, now: float) -> memoryview | None:
        if not stream.messages:
            return None
        message, _ = stream.take_message()
        self._go_on(now)
        return message

    def expect_bulk(self, stream: QuicStream) -> None:
        """Nothing to do: windows have their full size from the beginning."""

    def ping(self, now: float) -> None:
        if self._ping_at is None:
            self._ping_at = now
            self._ping_number += 1
            self._core.ping(self._ping_number)
            self.has_output = True

    def unanswered(self, now: float) -> float:
        return 0.0 if self._ping_at is None or self.heard_at > self._ping_at else now - self._ping_at

    def go_away(self, code: int) -> None:
        """Open none here; QUIC has no word for it, so the peer learns of it when the connection is closed."""
        self._going = True

    def fail(self, reason: str) -> None:
        self._going = True
        for stream in list(self.streams.values()):
            self._end(stream, reason)
            stream.abandon()
        self._waiting.clear()

    # --- input

    def came(self, size: int, count: int, now: float) -> None:
        """So many bytes came, in so many datagrams; call before the events are taken."""
        self.heard_at = now
        self._measure()
        self.parked = min(CONNECTION_WINDOW, self.parked + max(0, size - count * OVERHEAD))

    def receive(self, event: StreamEvent, now: float) -> None:
        """Raises QuicError: the connection ends."""
        match event:
            case StreamData(stream_id, data, end):
                self.parked = max(0, self.parked - len(data) - len(data) // 16)
                stream = self._stream(stream_id, now)
                if stream is not None:
                    self._accept(stream, data, end, now)
            case StreamAborted(stream_id):
                stream = self._stream(stream_id, now)
                if stream is not None and not stream.finished:
                    self._core.abort(stream_id)
                    self._end(stream, "by the peer")
            case SendingStopped(stream_id):
                stream = self._stream(stream_id, now)
                if stream is not None:
                    self._drop(stream)
            case PingAnswered(number):
                if number == self._ping_number:
                    self._ping_at = None

    def _stream(self, stream_id: int, now: float) -> QuicStream | None:
        """The stream, opened if it is new; None if it has ended."""
        if (stream := self.streams.get(stream_id)) is not None or stream_id & SERVER_STARTED != self._theirs:
            return stream
        if stream_id & ONE_WAY:
            raise QuicError("the peer opened a stream of one direction")
        if stream_id > self._newest:
            # "opening a stream ... causes all streams of that type with lower-numbered stream IDs to also open"
            self._skipped.update(range(self._newest + 4, stream_id, 4))
            self._newest = stream_id
        elif stream_id in self._skipped:
            self._skipped.discard(stream_id)
        else:
            return None
        if self._opened.reserve(now):
            raise QuicError(f"more than {budgets.STREAMS_OPENED.size}")
        if self._inbound >= MAX_STREAMS:
            self._core.abort(stream_id)
            return None
        stream = self.streams[stream_id] = QuicStream(stream_id, False, now, self._spare)
        self._inbound += 1
        self._events.append(StreamOpened(stream))
        return stream

    def _accept(self, stream: QuicStream, data: bytes, end: bool, now: float) -> None:
        if data and not stream.reset_reason:
            if stream.fin_received:
                stream.on(RECEIVE_DATA)  # raises
            stream.heard_at = now
            stream.accept(memoryview(data))
            if stream.unread > HELD_MOST:
                self._core.holding = True
                self._held_at = self._held_at if self._held_at is not None else now
        if end:
            stream.on(RECEIVE_FIN)
            self._forget_if_finished(stream)
        if stream.readable:
            self._changed[stream.id] = stream

    def _drop(self, stream: QuicStream) -> None:
        """Nobody reads what this side sends; what the peer sends may still come."""
        stream.deaf = True
        stream.drop_output()
        self._waiting.pop(stream.id, None)
        if stream.state in FIN_WAITING:
            stream.on(SEND_FIN)
        self._changed[stream.id] = stream
        self._forget_if_finished(stream)

    def _go_on(self, now: float) -> None:
        """Take more from the core, if what it was held for has been read."""
        if self._held_at is not None and all(stream.unread <= HELD_AGAIN for stream in self.streams.values()):
            self._held_at = None
            self._release()

    def _release(self) -> None:
        if self._held_at is None and not self._limited:
            self._core.release()
            self.has_output = True

    def limit(self, reading_waits: bool) -> None:
        """Whether nothing more is to be taken for now, because of a limit on what this node receives."""
        self._limited = reading_waits
        if reading_waits:
            self._core.holding = True
        else:
            self._release()

    # --- output

    def next_event(self) -> Happening | None:
        if self._events:
            return self._events.popleft()
        if self._changed:
            return StreamChanged(self._changed.popitem()[1])
        return None

    @property
    def urgent(self) -> bool:
        """Whether what is to be sent is short: no stream has more than a little."""
        return all(stream.out_bytes <= LIGHT and not self._core.queued(stream.id) for stream in self._waiting.values())

    def fill(self) -> None:
        """Give the core what it may send next. Call before datagrams are taken, until nothing of it changes."""
        self.has_output = False
        if not self._waiting:
            return
        for stream in sorted(self._waiting.values(), key=lambda one: one.out_bytes > LIGHT):
            self._fill_from(stream)

    def _fill_from(self, stream: QuicStream) -> None:
        core, queued = self._core, self._core.queued(stream.id)
        stream.stalled = queued > 0 and core.stuck
        while stream.out_bytes and queued < AHEAD:
            piece = stream.take(PIECE)
            end = not stream.out_bytes and stream.state in FIN_WAITING
            if not core.send(stream.id, piece, end):
                self._drop(stream)
                return
            queued += len(piece)
            if end:
                stream.on(SEND_FIN)
        if not stream.out_bytes:
            if stream.state in FIN_WAITING:
                core.send(stream.id, b"", True)
                stream.on(SEND_FIN)
            if not queued or stream.state not in WRITABLE:
                self._waiting.pop(stream.id, None)
            self._forget_if_finished(stream)
        if stream.out_bytes < LOW_WATER:
            self._changed[stream.id] = stream

    def next_deadline(self) -> float:
        core = self._core.timer()
        own = self._held_at + self._stall if self._held_at is not None else self._keep_alive_at()
        return own if core is None else min(core, own)

    @property
    def _stall(self) -> float:
        return self._timeouts.wait(self._timeouts.idle_base, self.round_trip.smoothed)

    def _keep_alive_at(self) -> float:
        if self._ping_at is not None:
            return self._ping_at + self._timeouts.wait(self._timeouts.dead_base, self.round_trip.smoothed)
        return self.heard_at + KEEP_ALIVE

    def handle_deadline(self, now: float) -> None:
        """Raises QuicError when the peer did not answer a ping and sent nothing else either."""
        timer = self._core.timer()
        if timer is not None and timer <= now:
            self._core.handle_timer(now)
            self.has_output = True
        if self._held_at is not None:
            if now >= self._held_at + self._stall:
                self.reset(max(self.streams.values(), key=lambda stream: stream.unread), "nobody reads it")
                self._go_on(now)
                self._held_at = now if self._held_at is not None else None
        elif now >= self._keep_alive_at():
            if self._ping_at is None:
                self.ping(now)
            elif self.heard_at <= self._ping_at:
                raise QuicError("the peer has gone silent")
            else:
                self._ping_at = None  # the answer is lost, but the peer lives

    # --- inside

    def _measure(self) -> None:
        """The core measures with each acknowledgement."""
        seconds = self._core.round_trip
        if seconds is not None:
            least = self.round_trip.least
            self.round_trip.smoothed, self.round_trip.least = seconds, min(seconds, least or seconds)

    def _end(self, stream: QuicStream, reason: str) -> None:
        if stream.end(reason):
            self._changed[stream.id] = stream
            self._forget(stream)

    def _forget_if_finished(self, stream: QuicStream) -> None:
        if stream.finished:
            self._forget(stream)

    def _forget(self, stream: QuicStream) -> None:
        if self.streams.pop(stream.id, None) is None:
            return
        self._waiting.pop(stream.id, None)
        self._changed[stream.id] = stream
        if not stream.initiator:
            self._inbound -= 1
