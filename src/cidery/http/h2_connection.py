"""HTTP/2 on TLS: one connection of the HTTP server. The protocol is the library h2's; this is its input and output.

Each stream is answered by the same handler as a request of HTTP/1.1, with the windows obeyed both ways; one that its
client resets is cancelled at once. What costs more than requests do is bounded: see H2_* in budgets.py.

Spec: https://www.rfc-editor.org/rfc/rfc9113
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, cast

from h2.config import H2Configuration
from h2.connection import H2Connection as Machine
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    PingReceived,
    PriorityUpdated,
    RemoteSettingsChanged,
    RequestReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
    UnknownFrameReceived,
    WindowUpdated,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings
from hyperframe.frame import GoAwayFrame

from cidery.budgets import H2_CONTROL, H2_RESETS, H2_STREAMS, Bucket
from cidery.http.connection import MAX_HEADERS
from cidery.http.h2_fields import FieldEncoder
from cidery.http.h2_request import HeaderList, head_of
from cidery.http.h2_stream import H2Stream
from cidery.http.message import Request
from cidery.http.patience import IDLE_SECONDS, WRITE_SECONDS
from cidery.http.served import Server

CONFIGURATION = H2Configuration(
    client_side=False, header_encoding=None, validate_outbound_headers=False, normalize_outbound_headers=False
)
"""What is received is validated; what is sent is made by head_fields(), which does it right."""
MAX_UNSENT = 64 * 1024
"""Bytes of small answers that are written together."""
log = logging.getLogger("cidery.http")


class H2Connection(asyncio.Protocol):
    """Made by the server for each connection whose client speaks HTTP/2."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._machine = Machine(CONFIGURATION)
        self._machine.encoder = cast(Any, FieldEncoder())
        self._machine.local_settings = Settings(
            client=False,
            initial_values={
                SettingCodes.MAX_CONCURRENT_STREAMS: H2_STREAMS.amount,
                SettingCodes.MAX_HEADER_LIST_SIZE: MAX_HEADERS,
            },
        )
        self._transport: asyncio.Transport | None = None
        self._client = ""
        self._streams: dict[int, H2Stream] = {}
        self._writable = asyncio.Event()
        self._writable.set()
        self._draining = False
        self._together = False
        """Whether what is sent waits for the other answers to what has just come."""
        self._unsent = 0
        """Bytes of bodies that wait so."""
        self._idle_timer: asyncio.TimerHandle | None = None
        now = asyncio.get_running_loop().time()
        self._resets = Bucket(H2_RESETS, now)
        self._control = Bucket(H2_CONTROL, now)

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's derives from nothing
        peer = transport.get_extra_info("peername")
        self._client = str(peer[0]) if peer else ""
        self.server.opened(self, self._transport)
        self._machine.initiate_connection()
        self._flush()
        self._wait_idle()

    def connection_lost(self, exc: Exception | None) -> None:
        self.server.closed(self)
        self._transport = None
        self._stop_waiting()
        self._writable.set()
        for stream in list(self._streams.values()):
            stream.gone()
        self._streams.clear()

    def data_received(self, data: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        try:
            events = self._machine.receive_data(data)
        except ProtocolError as exc:
            log.info("a connection that is not HTTP/2: %s", " ".join(str(exc).split())[:200])
            self._end()  # with the GOAWAY that the library has made
            return
        # a request that was reset in the same moment costs nothing but its parsing
        gone = {event.stream_id for event in events if isinstance(event, StreamReset)}
        self._together = True
        for event in events:
            self._handle(event, gone)
            if self._transport is None or self._transport.is_closing():
                break
        self._together = False
        self._flush()

    def pause_writing(self) -> None:
        """Nothing is read either, until the client reads: else it could make answers to PINGs pile up."""
        self._writable.clear()
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._writable.set()
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    # --- events

    def _handle(self, event: Event, gone: set[int]) -> None:
        if isinstance(event, RequestReceived):
            assert event.stream_id is not None and event.headers is not None  # the library sets them
            if event.stream_id not in gone:
                self._requested(event.stream_id, event.headers, complete=event.stream_ended is not None)
        elif isinstance(event, DataReceived):
            self._received(event)
        elif isinstance(event, StreamEnded):
            if (stream := self._streams.get(event.stream_id or 0)) is not None:
                stream.body.feed_eof()
        elif isinstance(event, StreamReset):
            self._was_reset(event.stream_id or 0)
        elif isinstance(event, WindowUpdated):
            self._widened(event.stream_id or 0)
        elif isinstance(event, RemoteSettingsChanged):
            self._widened(0)
            self._spend(self._control)
        elif isinstance(event, PingReceived | PriorityUpdated | UnknownFrameReceived | TrailersReceived):
            self._spend(self._control)
        elif isinstance(event, ConnectionTerminated):
            self._end()

    def _requested(self, number: int, fields: HeaderList, *, complete: bool) -> None:
        if self._draining or len(self._streams) >= H2_STREAMS.amount:
            self.reset(number, ErrorCodes.REFUSED_STREAM)
            return
        stream = H2Stream(number, self)
        if complete:
            stream.body.feed_eof()
        head = head_of(fields, self.server.max_target)
        if not self._streams:
            self._stop_waiting()
            self.server.busy(self)
        self._streams[number] = stream
        request = Request(head.method, head.target, head.headers, stream.body, self._client, stream.abort, True)
        try:
            stream.begin(request, head.refusal, at_hand=self._writable.is_set())
        except ProtocolError as exc:  # it was closed by a frame after this one
            log.debug("stream %d ended: %s", number, exc)
            self.ended(stream)

    def _received(self, event: DataReceived) -> None:
        assert event.stream_id is not None and event.data is not None  # the library sets them
        data = event.data
        padding = (event.flow_controlled_length or 0) - len(data)
        stream = self._streams.get(event.stream_id)
        if not data and event.stream_ended is None:
            self._spend(self._control)  # a frame that says nothing
        if stream is None:
            padding += len(data)
        elif data:
            stream.body.feed(data)
        if padding:
            self.read(event.stream_id, padding)

    def _was_reset(self, number: int) -> None:
        if (stream := self._streams.pop(number, None)) is not None:
            stream.gone()
            self._rest()
        # "an attacker ... rapid reset": CVE-2023-44487
        self._spend(self._resets)

    def _widened(self, number: int) -> None:
        for stream in self._streams.values() if not number else [self._streams.get(number)]:
            if stream is not None:
                stream.widened()

    def _spend(self, bucket: Bucket) -> None:
        """End the connection of a client that spends more than its budget."""
        if bucket.reserve(asyncio.get_running_loop().time()):
            log.info("%s spends too much of an HTTP/2 connection", self._client)
            self._go_away(ErrorCodes.ENHANCE_YOUR_CALM)
            self._end()

    # --- for streams

    def send_head(self, stream: int, fields: HeaderList, *, last: bool) -> None:
        """It goes with what follows it, unless it is the ``last``. Raises ProtocolError if the stream is gone."""
        self._machine.send_headers(stream, fields, end_stream=last)
        if last:
            self._flush()

    def send_some(self, stream: int, data: memoryview, *, last: bool) -> int:
        """Send what the windows take; with ``last``, the end follows the last byte. Raises ProtocolError."""
        machine, sent = self._machine, 0
        if not data:
            machine.send_data(stream, b"", end_stream=last)
        while sent < len(data):
            size = min(machine.local_flow_control_window(stream), machine.max_outbound_frame_size, len(data) - sent)
            if size <= 0:
                break
            machine.send_data(stream, data[sent : sent + size], end_stream=last and sent + size == len(data))
            sent += size
        self._unsent += sent
        if self._unsent > MAX_UNSENT:
            self._write()
        else:
            self._flush()
        return sent

    async def writable(self) -> None:
        """Wait until the socket takes more. Raises ConnectionResetError, TimeoutError after WRITE_SECONDS."""
        if not self._writable.is_set():
            async with asyncio.timeout(WRITE_SECONDS):
                await self._writable.wait()
        if self._transport is None:
            raise ConnectionResetError

    def reset(self, stream: int, code: ErrorCodes) -> None:
        """End a stream, if it is still open. Its task is cancelled."""
        try:
            self._machine.reset_stream(stream, code)
        except ProtocolError as exc:
            log.debug("stream %d ended: %s", stream, exc)
        self._flush()
        if (found := self._streams.pop(stream, None)) is not None:
            found.gone()
            self._rest()

    def read(self, stream: int, size: int) -> None:
        """The client may send ``size`` bytes more."""
        if self._transport is None:
            return
        try:
            self._machine.acknowledge_received_data(size, stream)
        except ProtocolError as exc:
            log.debug("stream %d ended: %s", stream, exc)
        self._flush()

    def ended(self, stream: H2Stream) -> None:
        """A stream is answered."""
        if self._streams.pop(stream.number, None) is None:
            return
        if not stream.body.complete and self._transport is not None:
            # "request that the client stop transmission of a request without error": 8.1
            self.reset(stream.number, ErrorCodes.NO_ERROR)
        stream.body.drop()
        self._rest()

    # --- ending

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """What runs for it now."""
        return [stream.task for stream in self._streams.values() if stream.task is not None]

    def _rest(self) -> None:
        """Called when a stream has ended: after the last one, wait for others, or end."""
        if self._streams or self._transport is None:
            return
        if self._draining:
            self._end()
        else:
            self.server.idle(self)
            self._wait_idle()

    def _wait_idle(self) -> None:
        self._stop_waiting()
        self._idle_timer = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._idle_too_long)

    def _stop_waiting(self) -> None:
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None

    def _idle_too_long(self) -> None:
        if self._writable.is_set():
            self.close()
        else:
            self.abort()  # it does not even take what it was sent

    def _go_away(self, code: ErrorCodes) -> None:
        """Say which requests are still answered. The frame is made here: after its own the library answers none."""
        if self._transport is not None and not self._transport.is_closing():
            self._write()
            last = self._machine.highest_inbound_stream_id
            self._transport.write(GoAwayFrame(0, last_stream_id=last, error_code=int(code)).serialize())

    def _flush(self) -> None:
        if not self._together:
            self._write()

    def _write(self) -> None:
        self._unsent = 0
        data = self._machine.data_to_send()
        if data and self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def _end(self) -> None:
        self._write()
        if self._transport is not None:
            self._transport.close()

    def drain(self) -> None:
        """Take no further requests, and end when the running ones are answered."""
        if not self._draining:
            self._draining = True
            self._go_away(ErrorCodes.NO_ERROR)
        if not self._streams:
            self._end()

    def close(self) -> None:
        """End the connection once the written data is sent."""
        self._go_away(ErrorCodes.NO_ERROR)
        self._end()

    def abort(self) -> None:
        """End the connection immediately."""
        if self._transport is not None:
            self._transport.abort()
