"""One connection: a socket, the handshake, then a secure channel under a muxer. The driver of their pure machines.

Received bytes are opened and dispatched inside ``buffer_updated``: no task wakes per frame, only for whole messages.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import cast

from cidery import budgets
from cidery.errors import CideryError, RemoteProtocolError, Unavailable
from cidery.identity.peer_id import PeerId
from cidery.libp2p.io.connection_config import ConnectionConfig
from cidery.libp2p.io.sealing import Sealer
from cidery.libp2p.io.stream import Stream
from cidery.libp2p.protocols import multistream
from cidery.libp2p.protocols.channel import SecureChannel, Secured
from cidery.libp2p.protocols.steps import Handshake, HandshakeCut, Steps
from cidery.libp2p.protocols.timeouts import HANDSHAKE_ROUND_TRIPS, RoundTrip
from cidery.libp2p.protocols.yamux import GoneAway, StreamChanged, StreamOpened, Yamux
from cidery.libp2p.protocols.yamux_state import OPENS_STREAMS, YamuxError
from cidery.libp2p.protocols.yamux_stream import YamuxStream
from cidery.multiformats.multiaddr import Multiaddr
from cidery.multiformats.varint import Buffer

log = logging.getLogger("cidery.libp2p")

FIRST_BUFFER = 66 * 1024
"""Receive buffer of a quiet connection, in bytes: one whole Noise message fits."""
LARGEST_BUFFER = 512 * 1024
"""Receive buffer of a busy connection, in bytes: half a millisecond of decryption, so no read stalls the loop."""
READ_SLICE = 512 * 1024
"""Bytes read without a pause that end a connection's turn of the loop: about a millisecond of work."""
FLUSH_SLICE = 512 * 1024
"""Bytes sealed in one turn of the loop; the rest waits for the next turn."""
WRITE_HIGH_WATER = 128 * 1024
"""Unsent bytes in the socket's queue above which nothing more is sealed, and above which uvloop writes at once."""
MAX_HANDSHAKE_BYTES = budgets.HANDSHAKE_BYTES.amount
MAX_HANDLERS = budgets.STREAMS.amount

DOUBTFUL = 3.0
"""Seconds, beside round trips, of silence after a ping when another connection to the peer is better."""
CLOSE_GRACE = 5.0
"""Seconds, beside round trips, for the last bytes of a closed connection to leave."""


class ConnectionFailed(Unavailable):
    """The connection ended or could not be made."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"connection failed: {self.reason}"


class Connection(asyncio.BufferedProtocol):
    """From the raw socket to closed. ``upgraded`` resolves when the peer is authenticated and the muxer runs."""

    def __init__(self, config: ConnectionConfig, handshake: Steps[Secured], outbound: bool) -> None:
        self.config = config
        self.outbound = outbound
        self.remote_addr: Multiaddr | None = None
        self.local_addr: Multiaddr | None = None
        self.closed_here = False
        """Whether close() was called, before anything else ended it or after."""
        self.round_trip = RoundTrip()
        self.secured: Secured | None = None
        self.opened_at = config.clock()
        loop = asyncio.get_running_loop()
        self.made: asyncio.Future[None] = loop.create_future()
        """Done when there is a socket, or will be none."""
        self.upgraded: asyncio.Future[None] = loop.create_future()
        self.closed: asyncio.Future[None] = loop.create_future()
        self._loop = loop
        self._handshake: Handshake[Secured] | None = Handshake(handshake)
        self._handshake_bytes = 0
        timeouts = config.timeouts
        self._handshake_wait = timeouts.wait(timeouts.handshake_base, None) if outbound else timeouts.patience
        self._transport: asyncio.Transport | None = None
        self._channel: SecureChannel | None = None
        self._mux: Yamux | None = None
        self._streams: dict[int, Stream] = {}
        self._handlers: set[asyncio.Task[None]] = set()
        self._buffer = memoryview(bytearray(FIRST_BUFFER))
        self._filled = 0
        self._sealer: Sealer | None = None
        self._share = config.traffic.share(self._flush, self._read_on)
        self._burst = 0
        self._paused = self._flushing = False
        self._timer: asyncio.TimerHandle | None = None
        self._aborting: asyncio.TimerHandle | None = None
        self._failure: CideryError | None = None

    # --- what others see

    @property
    def peer(self) -> PeerId:
        """The authenticated peer; only after ``upgraded``."""
        assert self.secured is not None  # callers wait for upgraded
        return self.secured.peer

    @property
    def usable(self) -> bool:
        """Whether new streams can be opened."""
        return self._mux is not None and self._mux.state in OPENS_STREAMS and not self.closed.done()

    @property
    def streams(self) -> list[Stream]:
        """Open streams."""
        return list(self._streams.values())

    async def open_stream(self, protocols: Sequence[str], *, optimistic: bool = False, window: int = 0) -> Stream:
        """Open a stream and agree on one of ``protocols``.

        ``window``: bytes that the peer may send at once, for who knows that much is to come.
        ``optimistic``: with a single protocol that the peer is known to speak, do not wait for its answer.

        Raises:
            ConnectionFailed, TooManyStreams, ProtocolNotSupported, StreamReset, TimeoutError.
        """
        if self._mux is None or self.closed.done():
            raise ConnectionFailed(str(self._failure or "closed"))
        inner = self._mux.open_stream(self.config.clock(), window)
        stream = self._streams[inner.id] = Stream(self, inner, self.config.traffic)
        if optimistic:
            stream.propose_optimistically(protocols[0])
            return stream
        try:
            async with asyncio.timeout(self.wait(self.config.timeouts.stream_base)):
                stream.protocol = await stream.run(multistream.propose(protocols))
        except BaseException:
            stream.reset("negotiation failed")
            raise
        return stream

    def expect_round_trip(self, seconds: float) -> None:
        """How far the peer is, by the TCP handshake or by what is remembered: what the handshake is given time for."""
        if self._handshake is not None and not self.closed.done():
            timeouts = self.config.timeouts
            self._handshake_wait = timeouts.wait(timeouts.handshake_base, seconds, HANDSHAKE_ROUND_TRIPS)
            self._arm()

    def remote_endpoint(self) -> tuple[object, ...]:
        """The socket's other end, as asyncio names it."""
        assert self._transport is not None  # something was received
        name: tuple[object, ...] = self._transport.get_extra_info("peername") or ("0.0.0.0", 0)
        return name

    def local_host(self) -> str | None:
        """The address of this machine that the connection uses, None if it is not known."""
        name = self._transport.get_extra_info("sockname") if self._transport is not None else None
        return str(name[0]) if name else None

    def wait(self, base: float, factor: float = 4.0) -> float:
        """A wait in seconds for this connection's measured round trip."""
        return self.config.timeouts.wait(base, self.round_trip.smoothed, factor)

    def ping(self) -> None:
        """Measure a round trip; the answer updates ``round_trip``. Without one the connection ends before long."""
        if self._mux is not None and not self.closed.done():
            self._mux.ping(self.config.clock())
            self._flush()
            self._arm()

    @property
    def heard_at(self) -> float:
        """When anything last came from the peer, on the node's clock."""
        return self.opened_at if self._mux is None else self._mux.heard_at

    @property
    def unanswered(self) -> float:
        """Seconds since a ping, if nothing was heard from the peer after it; else 0.0."""
        return 0.0 if self._mux is None else self._mux.unanswered(self.config.clock())

    def announce_close(self) -> None:
        """Tell the peer to open no more streams here; those that are open go on."""
        if self._mux is not None and not self.closed.done():
            self._mux.go_away(0)
            self._flush()

    def close(self, reason: str = "closed here") -> None:
        """Close at once, telling the peer. Idempotent."""
        self.closed_here = True
        if self._mux is not None and not self.closed.done():
            self._mux.go_away(0)
            self._flush()
        self.fail(ConnectionFailed(reason))

    # --- verbs of streams

    @property
    def _muxer(self) -> Yamux:
        assert self._mux is not None  # streams exist only with a muxer
        return self._mux

    def _flush_output(self) -> None:
        if self._muxer.has_output:
            self._flush()

    def send(self, inner: YamuxStream, *data: Buffer) -> None:
        self._muxer.send(inner, *data)
        self._flush()

    def read(self, inner: YamuxStream, limit: int) -> bytes:
        data = self._muxer.read(inner, limit, self.config.clock())
        self._flush_output()
        return data

    def read_into(self, inner: YamuxStream, target: memoryview) -> None:
        self._muxer.read_into(inner, target, self.config.clock())
        self._flush_output()

    def frame(self, inner: YamuxStream, limit: int) -> None:
        self._muxer.frame(inner, limit, self.config.clock())
        self._flush_output()

    def next_message(self, inner: YamuxStream) -> memoryview | None:
        message = self._muxer.next_message(inner, self.config.clock())
        self._flush_output()
        return message

    def expect_bulk(self, inner: YamuxStream) -> None:
        self._muxer.expect_bulk(inner)
        self._flush_output()

    def close_write(self, inner: YamuxStream) -> None:
        self._muxer.close_write(inner)
        self._flush()

    def reset(self, inner: YamuxStream, reason: str) -> None:
        self._muxer.reset(inner, reason)
        self._dispatch()
        self._flush()

    # --- asyncio.BufferedProtocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is not a subclass
        if not self.made.done():
            self.made.set_result(None)
        if self.closed.done():  # refused before the socket was handed over
            self._transport.abort()
            return
        self._transport.set_write_buffer_limits(WRITE_HIGH_WATER)
        self._arm()
        self._advance_handshake(b"")

    def get_buffer(self, _sizehint: int) -> memoryview:
        return self._buffer[self._filled : self._filled + self._share.most_to_read]

    def buffer_updated(self, count: int) -> None:
        self._filled += count
        full = self._filled == len(self._buffer)
        try:
            if self._handshake is not None:
                self._handshake_bytes += count
                if self._handshake_bytes > MAX_HANDSHAKE_BYTES:
                    raise RemoteProtocolError(f"more than {MAX_HANDSHAKE_BYTES} bytes before authentication")
                data, self._filled = bytes(self._buffer[: self._filled]), 0
                self._advance_handshake(data)
            else:
                self._open(full)
        except CideryError as exc:
            self.fail(exc)
            return
        self._dispatch()
        self._flush()
        self.config.received.came(self, count)
        pause = self._share.received(count)
        self._burst = self._burst + count if full else 0
        if (pause or self._burst >= READ_SLICE) and not self.closed.done():
            assert self._transport is not None  # something was received
            self._burst = 0
            self._transport.pause_reading()
            if not pause:  # libuv reads up to 32 full buffers in one turn: the others wait long enough already
                self._loop.call_soon(self._read_on)

    def _read_on(self) -> None:
        if self._transport is not None and not self.closed.done() and not self._share.reading_waits:
            self._transport.resume_reading()

    def eof_received(self) -> bool:
        self.fail(HandshakeCut() if self._handshake is not None else ConnectionFailed("closed by the peer"))
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if self._aborting is not None:
            self._aborting.cancel()
        self.fail(ConnectionFailed(str(exc) if exc else "closed"))
        self._buffer = memoryview(b"")
        self._sealer = None

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._flush()

    def held(self) -> int:
        """Bytes that came and were not read."""
        return 0 if self._mux is None else sum(stream.unread for stream in self._mux.streams.values())

    # --- inside

    def _advance_handshake(self, data: bytes) -> None:
        handshake = self._handshake
        assert handshake is not None and self._transport is not None
        try:
            handshake.receive_data(data)
        except CideryError as exc:
            self._transport.write(handshake.data_to_send())
            self.fail(exc)
            return
        if out := handshake.data_to_send():
            self._transport.write(out)
        if handshake.done:
            self._start(handshake)

    def _start(self, handshake: Handshake[Secured]) -> None:
        secured, now = handshake.result, self.config.clock()
        assert secured is not None  # done
        self._handshake = None
        self.secured = secured
        # the handshake took two round trips: a first guess, until the first ping comes back
        self.round_trip.smoothed = (now - self.opened_at) / 2
        self._channel = secured.channel
        self._sealer = Sealer(secured.channel)
        self._share.peer = secured.peer
        self._mux = Yamux(
            initiator=self.outbound,
            now=now,
            round_trip=self.round_trip,
            timeouts=self.config.timeouts,
            spare=self.config.spare,
        )
        if secured.early:
            self._mux.receive_data(memoryview(secured.early), now)
        rest = bytes(handshake.rest)
        if not self.upgraded.done():
            self.upgraded.set_result(None)
        if rest:
            if len(rest) > len(self._buffer):
                self._buffer = memoryview(bytearray(LARGEST_BUFFER))
            self._buffer[: len(rest)] = rest
            self._filled = len(rest)
            self._open(False)
        self._arm()
        self._dispatch()
        self._flush()

    def _open(self, full: bool) -> None:
        """Open the messages in the buffer and move the rest to its front; a full buffer grows."""
        assert self._channel is not None and self._mux is not None
        mux, now = self._mux, self.config.clock()
        used = self._channel.receive(self._buffer[: self._filled], lambda plain: mux.receive_data(plain, now))
        rest = self._filled - used
        if full and len(self._buffer) < LARGEST_BUFFER:
            larger = memoryview(bytearray(min(LARGEST_BUFFER, len(self._buffer) * 4)))
            larger[:rest] = self._buffer[used : self._filled]
            self._buffer = larger
        elif rest and used:
            self._buffer[:rest] = self._buffer[used : self._filled]
        self._filled = rest

    def _dispatch(self) -> None:
        if self._mux is None:
            return
        while (event := self._mux.next_event()) is not None:
            match event:
                case StreamChanged(inner):
                    stream = self._streams.get(inner.id)
                    if stream is not None:
                        stream.wake()
                        if inner.finished:
                            del self._streams[inner.id]
                case StreamOpened(inner):
                    self._accept(Stream(self, inner, self.config.traffic))
                case GoneAway(code):
                    log.debug("%s goes away, code %d", self, code)

    def _accept(self, stream: Stream) -> None:
        assert self._mux is not None
        if len(self._handlers) >= MAX_HANDLERS:
            self._mux.reset(stream.inner, "too many streams")
            return
        self._streams[stream.inner.id] = stream
        task = self._loop.create_task(self._handle(stream))
        self._handlers.add(task)
        task.add_done_callback(self._handlers.discard)

    async def _handle(self, stream: Stream) -> None:
        """Negotiate and run the handler; whatever it raises ends this stream and nothing else."""
        try:
            async with asyncio.timeout(self.wait(self.config.timeouts.stream_base)):
                stream.protocol = await stream.run(multistream.respond(self.config.handlers.keys()))
            await self.config.handlers[stream.protocol](stream)
            stream.close_write()
            # a peer that goes on sending, or never ends its side, would hold the stream and its window for ever
            async with asyncio.timeout(self.wait(self.config.timeouts.idle_base)):
                while not stream.inner.finished and await stream.read(FIRST_BUFFER):
                    pass
        except (CideryError, TimeoutError) as exc:
            log.debug("%s %s: %s", self, stream.protocol or "negotiation", exc)
            stream.reset(str(exc))
        except asyncio.CancelledError:
            stream.reset("cancelled here")
            raise
        except Exception:
            log.exception("%s: the handler of %s failed", self, stream.protocol)
            stream.reset("internal error")

    def _flush(self) -> None:
        """Seal what the muxer has to send and hand it to the socket, a slice per turn of the loop."""
        mux, sealer, transport = self._mux, self._sealer, self._transport
        if mux is None or sealer is None or transport is None or self._flushing:
            return
        slice_left = FLUSH_SLICE
        while mux.has_output and not self._paused and not self.closed.done():
            if slice_left <= 0:
                self._flushing = True
                self._loop.call_soon(self._flush_again)
                break
            room = self._share.room(urgent=mux.urgent)
            if not room:
                break  # it will be called again
            out = sealer.batch(mux, room)
            if not len(out):
                break
            slice_left -= len(out)
            self._share.sent(len(out))
            transport.write(out)
            if not transport.get_write_buffer_size():
                sealer.reuse(out)
        self._dispatch()

    def _flush_again(self) -> None:
        self._flushing = False
        self._flush()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._mux is not None:
            delay = self._mux.next_deadline() - self.config.clock()
        else:
            delay = self.opened_at + self._handshake_wait - self.config.clock()
        self._timer = self._loop.call_later(max(delay, 0.001), self._on_deadline)

    def _on_deadline(self) -> None:
        if self.closed.done():
            return
        if self._mux is None:
            self.fail(ConnectionFailed("the peer did not finish the handshake in time"))
            return
        try:
            self._mux.handle_deadline(self.config.clock())
        except CideryError as exc:
            self.fail(exc)
            return
        self._flush()
        self._arm()

    def fail(self, exc: CideryError) -> None:
        """End the connection: every stream is reset, every handler cancelled, the socket closed."""
        if self.closed.done():
            return
        if self._mux is not None and isinstance(exc, YamuxError):
            self._mux.go_away(exc.wire_code)
            self._flush()
        self._failure = exc
        if not self.made.done():
            self.made.set_result(None)
        self.config.received.ended(self)
        self._share.end()
        self.closed.set_result(None)
        if self._timer is not None:
            self._timer.cancel()
        if not self.upgraded.done():
            self.upgraded.set_exception(exc)
            self.upgraded.exception()  # nobody may be waiting: it is not lost, it is in closed
        log.debug("%s ends: %s", self, exc)
        if self._mux is not None:
            self._mux.fail(str(exc))
            self._dispatch()
        for stream in self._streams.values():
            stream.wake()
        self._streams.clear()
        for task in self._handlers:
            task.cancel()
        if self._transport is not None:
            self._transport.close()
            if self._transport.get_write_buffer_size():
                # the socket stays until the last byte is read; a peer that reads no more must not keep it
                grace = self.wait(CLOSE_GRACE)
                self._aborting = self._loop.call_later(grace, self._transport.abort)

    def __str__(self) -> str:
        peer = str(self.secured.peer)[-8:] if self.secured else "?"
        return f"{'>' if self.outbound else '<'}{peer}@{self.remote_addr}"
