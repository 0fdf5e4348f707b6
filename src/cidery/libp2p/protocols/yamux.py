"""Yamux: many flow-controlled streams over one connection. A pure machine.

    offset  size  field         a 12-byte big-endian header before each frame
    0       1     version = 0
    1       1     type          0 data, 1 window update, 2 ping, 3 go away
    2       2     flags         1 SYN, 2 ACK, 4 FIN, 8 RST
    4       4     stream id     odd: opened by the dialler; 0: the session
    8       4     length        data: bytes that follow; window update: delta; ping: opaque; go away: code

Flow control is enforced on receipt: a peer that sends beyond its credit loses the connection. How
large windows are is up to yamux_windows.

Spec: https://github.com/hashicorp/yamux/blob/master/spec.md, https://github.com/libp2p/specs/blob/master/yamux/README.md
"""

import struct
from collections import OrderedDict, deque

from cidery import budgets
from cidery.budgets import Bucket
from cidery.libp2p.protocols.muxer import LOW_WATER, GoneAway, StreamChanged, StreamOpened, TooManyStreams
from cidery.libp2p.protocols.stream_state import CLOSE_WRITE, FIN_WAITING, RECEIVE_DATA, RECEIVE_FIN, SEND_FIN
from cidery.libp2p.protocols.timeouts import RoundTrip, Timeouts
from cidery.libp2p.protocols.yamux_state import (
    OPENS_STREAMS,
    TAKES_INPUT,
    SessionEvent,
    SessionState,
    YamuxError,
    session_after,
)
from cidery.libp2p.protocols.yamux_stream import INITIAL_WINDOW, YamuxStream
from cidery.libp2p.protocols.yamux_windows import Windows
from cidery.multiformats.varint import Buffer
from cidery.spare_buffers import SpareBuffers

PROTOCOL = "/yamux/1.0.0"
HEADER = struct.Struct(">BBHII")
HEADER_SIZE = HEADER.size

DATA, WINDOW_UPDATE, PING, GO_AWAY = 0, 1, 2, 3
SYN, ACK, FIN, RST = 1, 2, 4, 8

MAX_STREAMS = budgets.STREAMS.amount
MAX_UNACKED = budgets.UNACKED_STREAMS.amount
MAX_FRAME = 16 * 1024 * 1024
"""Longest data frame accepted, in bytes; the window is the real bound."""
MAX_CONTROL = budgets.CONTROL_FRAMES_WAITING.amount
LARGE_FRAME = 1024
"""Bytes of a data frame from which it costs nothing of the budget for small ones."""
EARNED = 4096
"""Bytes sent for which the peer may send one small frame more: some give credit back for each read."""
MAX_DRAINING = 256
"""Streams we reset whose late data is still expected."""
LEAST_BULK = 128 * 1024
"""Bytes that a stream must have to send, and the window for them, before it gets a long frame."""
LIGHT = 16 * 1024
"""Queued bytes of a stream up to which it goes before others: requests, wants, answers of a few records."""


Happening = StreamOpened[YamuxStream] | StreamChanged[YamuxStream] | GoneAway


class Yamux:
    """One session.

    Input: receive_data() with plaintext, the verbs open_stream/send/close_write/reset/read_into, and deadlines.
    After each, the caller takes next_event() until None and moves data_into() output until it returns 0.
    """

    def __init__(
        self,
        *,
        initiator: bool,
        now: float,
        round_trip: RoundTrip,
        timeouts: Timeouts,
        spare: SpareBuffers | None = None,
    ) -> None:
        """``spare``: where the buffers of messages come from; shared by the connections of a node."""
        self.streams: dict[int, YamuxStream] = {}
        self.round_trip = round_trip
        self.state = SessionState.OPEN
        self._timeouts = timeouts
        self._spare = spare or SpareBuffers()
        self._initiator = initiator
        self._next_id = 1 if initiator else 2
        self._inbound = self._unacked = 0
        self._header = bytearray()
        self._body = 0
        self._body_flags = 0
        self._current: YamuxStream | None = None
        self._placed: memoryview | None = None
        self._draining: OrderedDict[int, int] = OrderedDict()
        self._control: deque[bytes] = deque()
        self._active: deque[YamuxStream] = deque()
        self._light: deque[YamuxStream] = deque()
        self._events: deque[Happening] = deque()
        self._changed: dict[int, YamuxStream] = {}
        self._windows = Windows(round_trip)
        self._frames = Bucket(budgets.SMALL_FRAMES, now)
        self._opened = Bucket(budgets.STREAMS_OPENED, now)
        self.heard_at = now
        self._ping_at: float | None = None
        self._ping_id = 0
        self.ping(now)

    # --- verbs

    @property
    def opens_streams(self) -> bool:
        return self.state in OPENS_STREAMS

    def open_stream(self, now: float, window: int = 0) -> YamuxStream:
        """Open a stream; usable at once, before the peer acknowledges it. Raises TooManyStreams.

        ``window``: bytes that the peer may send at once, within the bounds; pass it when much data is expected.
        """
        if not self.opens_streams:
            self._on(SessionEvent.OPEN_STREAM)
        if self._unacked >= MAX_UNACKED:
            raise TooManyStreams(f"{MAX_UNACKED} wait for the peer's acknowledgement")
        stream = YamuxStream(self._next_id, True, now, self._spare)
        self._next_id += 2
        self._unacked += 1
        self.streams[stream.id] = stream
        credit = self._windows.open(stream, window)
        self._queue_control(WINDOW_UPDATE, SYN, stream.id, credit)
        return stream

    def send(self, stream: YamuxStream, *data: Buffer) -> None:
        """Queue bytes on a stream. Buffers must stay unchanged until sent. Raises StreamReset, StreamClosed."""
        stream.check_writable()
        idle = not stream.out_bytes
        for piece in data:
            stream.queue(piece)
        if idle and stream.out_bytes and stream.send_window > 0:
            self._queue(stream)

    def close_write(self, stream: YamuxStream) -> None:
        """Half-close: FIN after what is queued. Idempotent."""
        if stream.on(CLOSE_WRITE) and not stream.out_bytes:
            self._send_fin(stream)

    def reset(self, stream: YamuxStream, reason: str = "cancelled here") -> None:
        """End both directions at once. Idempotent."""
        if stream.finished:
            return
        self._queue_control(WINDOW_UPDATE, RST, stream.id, 0)
        self._draining[stream.id] = stream.credit
        if len(self._draining) > MAX_DRAINING:
            self._draining.popitem(last=False)
        self._end(stream, reason)

    def read(self, stream: YamuxStream, limit: int, now: float) -> bytes:
        """Up to ``limit`` received bytes, b"" if none are there."""
        data = bytes(stream.inbox[:limit])
        del stream.inbox[:limit]
        self._consume(stream, len(data), now)
        return data

    def read_into(self, stream: YamuxStream, target: memoryview, now: float) -> None:
        """Fill ``target`` from what is there and what comes; full when ``stream.target_at == len(target)``."""
        taken = min(len(stream.inbox), len(target))
        target[:taken] = stream.inbox[:taken]
        del stream.inbox[:taken]
        stream.target, stream.target_at = target, taken
        self._consume(stream, taken, now)

    def frame(self, stream: YamuxStream, limit: int, now: float) -> None:
        """Let the stream cut length-prefixed messages of at most ``limit`` bytes; next_message() takes them."""
        self._consume(stream, stream.frame(limit), now)

    def next_message(self, stream: YamuxStream, now: float) -> memoryview | None:
        """The oldest whole message of a framed stream, None if there is none yet."""
        if not stream.messages:
            return None
        message, credit = stream.take_message()
        self._consume(stream, credit, now)
        return message

    def expect_bulk(self, stream: YamuxStream) -> None:
        """Much was asked for and will be read as it comes: a window for BULK_RATE over the measured round trip."""
        if stream.fin_received or stream.reset_reason:
            return
        if growth := self._windows.expect_bulk(stream):
            self._queue_control(WINDOW_UPDATE, 0, stream.id, growth)

    def unanswered(self, now: float) -> float:
        """Seconds since a ping, if nothing at all was heard from the peer after it; else 0.0."""
        return 0.0 if self._ping_at is None or self.heard_at > self._ping_at else now - self._ping_at

    def ping(self, now: float) -> None:
        """Measure a round trip, unless a ping is under way."""
        if self._ping_at is None:
            self._ping_at = now
            self._ping_id = (self._ping_id + 1) & 0xFFFFFFFF
            self._queue_control(PING, SYN, 0, self._ping_id)

    def go_away(self, code: int) -> None:
        """Tell the peer that no more streams are accepted, and open none."""
        self._on(SessionEvent.GO_AWAY)
        self._queue_control(GO_AWAY, 0, 0, code)

    def fail(self, reason: str) -> None:
        """The connection ended: every stream is reset, without sending anything."""
        self._on(SessionEvent.FAIL)
        for stream in list(self.streams.values()):
            self._end(stream, reason)
            stream.abandon()
        self._control.clear()

    # --- input

    def place(self, size: int) -> memoryview | None:
        """Where the next ``size`` bytes of input belong, if all are of one message: as channel.Place."""
        stream = self._current
        if size > self._body or stream is None or stream.reset_reason:
            return None
        self._placed = stream.place(size)
        return self._placed

    def receive_data(self, data: memoryview, now: float) -> None:
        """Take plaintext in pieces of any size. Raises YamuxError: send what is left, then close the connection."""
        self.heard_at = now
        state = self.state
        if state not in TAKES_INPUT:
            self._on(SessionEvent.INPUT)
        placed, self._placed = self._placed, None
        if data is placed:
            self._receive_body(data, now, placed=True)
            return
        at, end = 0, len(data)
        while at < end:
            if self._body:
                size = min(self._body, end - at)
                self._receive_body(data[at : at + size], now)
                at += size
                continue
            if not self._header and end - at >= HEADER_SIZE:
                fields: tuple[int, int, int, int, int] = HEADER.unpack_from(data, at)
                at += HEADER_SIZE
            else:
                need = min(HEADER_SIZE - len(self._header), end - at)
                self._header += data[at : at + need]
                at += need
                if len(self._header) < HEADER_SIZE:
                    return
                fields = HEADER.unpack(self._header)
                self._header.clear()
            self._receive_header(fields, now)
            if self.state is not state:
                state = self.state
                if state not in TAKES_INPUT:
                    self._on(SessionEvent.INPUT)

    def _receive_header(self, fields: tuple[int, int, int, int, int], now: float) -> None:
        version, kind, flags, stream_id, length = fields
        if version != 0:
            raise YamuxError(f"version {version}")
        if kind != DATA or length < LARGE_FRAME:
            if self._frames.reserve(now):
                raise YamuxError(f"more than {budgets.SMALL_FRAMES.size}")
        if kind == PING:
            self._receive_ping(flags, length, now)
        elif kind == GO_AWAY:
            self._on(SessionEvent.GO_AWAY)
            self._events.append(GoneAway(length))
        elif kind in (DATA, WINDOW_UPDATE):
            if stream_id == 0:
                raise YamuxError("stream 0 carries no data")
            stream = self._accept(stream_id, now) if flags & SYN else self.streams.get(stream_id)
            if stream is not None and flags & ACK and not stream.acked:
                stream.acked = True
                self._unacked -= 1
            if kind == DATA:
                self._receive_data_header(stream, stream_id, flags, length)
            else:
                self._receive_window_update(stream, flags, length)
        else:
            raise YamuxError(f"frame type {kind}")

    def _accept(self, stream_id: int, now: float) -> YamuxStream | None:
        # "The client side should use odd ID's, and the server even": yamux spec, StreamID Field
        if stream_id % 2 == (1 if self._initiator else 0):
            raise YamuxError(f"the peer opened stream {stream_id} of our half of the ids")
        # Ids may come out of order: go-yamux numbers streams before it queues their first frames, in several threads.
        if stream_id in self.streams:
            raise YamuxError(f"stream {stream_id} is opened twice")
        self._draining.pop(stream_id, None)
        if self._inbound >= MAX_STREAMS:
            self._queue_control(WINDOW_UPDATE, RST, stream_id, 0)
            self._draining[stream_id] = INITIAL_WINDOW
            if len(self._draining) > MAX_DRAINING:
                self._draining.popitem(last=False)
            return None
        if self._opened.reserve(now):
            raise YamuxError(f"more than {budgets.STREAMS_OPENED.size}")
        stream = YamuxStream(stream_id, False, now, self._spare)
        self.streams[stream_id] = stream
        self._inbound += 1
        self._queue_control(WINDOW_UPDATE, ACK, stream_id, self._windows.open(stream))
        self._events.append(StreamOpened(stream))
        return stream

    def _receive_data_header(self, stream: YamuxStream | None, stream_id: int, flags: int, length: int) -> None:
        if length > MAX_FRAME:
            raise YamuxError(f"frame of {length} bytes")
        credit = stream.credit if stream is not None else self._draining.get(stream_id, 0)
        # "flow control MUST be enforced on receipt": a sender beyond its window is broken or hostile
        if length > credit:
            raise YamuxError(f"{length} bytes on stream {stream_id}, which has {credit} left in its window")
        if stream is not None:
            if stream.fin_received and length:
                stream.on(RECEIVE_DATA)  # raises, unless it was reset
            stream.credit -= length
        else:
            self._draining[stream_id] = credit - length
        self._current, self._body, self._body_flags = stream, length, flags
        if not length:
            self._finish_frame(stream, flags)

    def _receive_body(self, view: memoryview, now: float, *, placed: bool = False) -> None:
        stream = self._current
        if stream is not None and not stream.reset_reason:
            stream.heard_at = now
            taken = stream.accept_placed(len(view)) if placed else stream.accept(view)
            if taken:
                self._consume(stream, taken, now)
        self._body -= len(view)
        if stream is not None and stream.readable:
            self._changed[stream.id] = stream
        if not self._body:
            self._finish_frame(stream, self._body_flags)

    def _receive_window_update(self, stream: YamuxStream | None, flags: int, length: int) -> None:
        if stream is None:
            return
        if stream.send_window + length > 0xFFFFFFFF:
            raise YamuxError("send window over 32 bits")
        blocked = stream.send_window <= 0 and stream.out_bytes
        stream.send_window += length
        if blocked and length:
            self._queue(stream)
        self._finish_frame(stream, flags)

    def _finish_frame(self, stream: YamuxStream | None, flags: int) -> None:
        if stream is None or stream.reset_reason:
            return
        if flags & RST:
            self._end(stream, "by the peer")
        elif flags & FIN:
            stream.on(RECEIVE_FIN)
            self._changed[stream.id] = stream
            self._forget_if_finished(stream)

    def _receive_ping(self, flags: int, opaque: int, now: float) -> None:
        if flags & SYN:
            self._queue_control(PING, ACK, 0, opaque)
        elif flags & ACK and self._ping_at is not None and opaque == self._ping_id:
            self.round_trip.sample(now - self._ping_at)
            self._ping_at = None

    # --- output

    def next_event(self) -> Happening | None:
        if self._events:
            return self._events.popleft()
        if self._changed:
            return StreamChanged(self._changed.popitem()[1])
        return None

    def data_into(self, out: memoryview) -> int:
        """Write whole frames into ``out`` (room for a header and a byte); returns the bytes written, 0 if idle.

        Streams take turns frame by frame, first those with little to send: a request does not wait for a transfer.
        """
        at, size = 0, len(out)
        control, active, light = self._control, self._active, self._light
        while (control or light or active) and size - at > HEADER_SIZE:
            if control:
                out[at : at + HEADER_SIZE] = control.popleft()
                at += HEADER_SIZE
                continue
            stream = light.popleft() if light else active.popleft()
            length = min(stream.out_bytes, stream.send_window, size - at - HEADER_SIZE)
            if length <= 0:
                continue
            start = at + HEADER_SIZE
            stream.take_into(out[start : start + length])
            HEADER.pack_into(out, at, 0, DATA, 0, stream.id, length)
            self._sent(stream, length)
            at = start + length
        return at

    def bulk(self, header: memoryview, most: int) -> list[memoryview]:
        """Begin one long frame, if nothing but long transfers waits: its header is written, and the content returned,
        LEAST_BULK to ``most`` bytes that lie where they were queued, follows it. Else returns nothing.
        """
        if self._control or self._light or not self._active:
            return []
        stream = self._active[0]
        length = rest = min(stream.out_bytes, stream.send_window, most)
        if length < LEAST_BULK:
            return []
        self._active.popleft()
        HEADER.pack_into(header, 0, 0, DATA, 0, stream.id, length)
        pieces = []
        while rest:
            pieces.append(stream.take(rest))
            rest -= len(pieces[-1])
        self._sent(stream, length)
        return pieces

    def _sent(self, stream: YamuxStream, length: int) -> None:
        """A frame of ``length`` bytes was made: queue the stream again, or end it."""
        self._frames.give_back(length / EARNED)
        stream.send_window -= length
        if stream.out_bytes:
            if stream.send_window > 0:
                self._queue(stream)
        elif stream.state in FIN_WAITING:
            # a frame of its own, as go-yamux does: js-libp2p takes a FIN on a data frame to come before the data
            self._send_fin(stream)
        if stream.out_bytes < LOW_WATER:
            self._changed[stream.id] = stream

    @property
    def has_output(self) -> bool:
        return bool(self._control or self._light or self._active)

    @property
    def urgent(self) -> bool:
        """Whether there is something short to send."""
        return bool(self._control or self._light)

    def next_deadline(self) -> float:
        """When handle_deadline() wants to be called. Seconds of the caller's clock."""
        if self._ping_at is not None:
            return self._ping_at + self._timeouts.wait(self._timeouts.dead_base, self.round_trip.smoothed)
        return self.heard_at + self._timeouts.wait(self._timeouts.keepalive_base, self.round_trip.smoothed)

    def handle_deadline(self, now: float) -> None:
        """Ping a silent peer. Raises YamuxError when it did not answer and sent nothing else either."""
        if self.state not in TAKES_INPUT:
            self._on(SessionEvent.INPUT)
        if now < self.next_deadline():
            return
        if self._ping_at is None:
            self.ping(now)
        elif self.heard_at <= self._ping_at:
            raise YamuxError("the peer has gone silent")
        else:
            self._ping_at = None  # the answer is lost in a busy queue, but the peer lives

    # --- inside

    def _on(self, event: SessionEvent) -> None:
        self.state = session_after(self.state, event)

    def _queue(self, stream: YamuxStream) -> None:
        (self._light if stream.out_bytes <= LIGHT else self._active).append(stream)

    def _queue_control(self, kind: int, flags: int, stream_id: int, length: int) -> None:
        if len(self._control) >= MAX_CONTROL:
            # raised to the driver at the next input or deadline, never out of a verb that a stream's task calls
            self._on(SessionEvent.OVERFLOW)
            return
        self._control.append(HEADER.pack(0, kind, flags, stream_id, length))

    def _send_fin(self, stream: YamuxStream) -> None:
        stream.on(SEND_FIN)
        self._queue_control(WINDOW_UPDATE, FIN, stream.id, 0)
        self._forget_if_finished(stream)

    def _consume(self, stream: YamuxStream, size: int, now: float) -> None:
        if not size or stream.fin_received or stream.reset_reason:
            return
        if credit := self._windows.consumed(stream, size, now):
            self._queue_control(WINDOW_UPDATE, 0, stream.id, credit)

    def _end(self, stream: YamuxStream, reason: str) -> None:
        if stream.end(reason):
            self._changed[stream.id] = stream
            self._forget(stream)

    def _forget_if_finished(self, stream: YamuxStream) -> None:
        if stream.finished:
            self._forget(stream)

    def _forget(self, stream: YamuxStream) -> None:
        if self.streams.pop(stream.id, None) is None:
            return
        self._changed[stream.id] = stream
        if not stream.acked:
            self._unacked -= 1
        if not stream.initiator:
            self._inbound -= 1
        self._windows.close(stream)
