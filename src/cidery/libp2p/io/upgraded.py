"""A connection over a byte stream: the socket, the handshake, then a secure channel under Yamux.

Received bytes are opened and dispatched inside ``buffer_updated``: no task wakes per frame, only for whole messages.
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast

from cidery import budgets
from cidery.errors import CideryError, RemoteProtocolError
from cidery.libp2p.io.byte_network import keep_unsent
from cidery.libp2p.io.connection import Connection, ConnectionFailed, log
from cidery.libp2p.io.connection_config import ConnectionConfig
from cidery.libp2p.io.layers import LayerTransport
from cidery.libp2p.io.long_line import LongLine
from cidery.libp2p.io.paths import PIECE, SHORT_PIECE, Connect, Paths, paths_for
from cidery.libp2p.io.sealing import Sealer
from cidery.libp2p.protocols.channel import SecureChannel, Secured
from cidery.libp2p.protocols.dial_rate import host_key
from cidery.libp2p.protocols.paths import Join, PathError, Proposed, token
from cidery.libp2p.protocols.steps import Handshake, HandshakeCut, Steps
from cidery.libp2p.protocols.timeouts import HANDSHAKE_ROUND_TRIPS
from cidery.libp2p.protocols.yamux import Yamux
from cidery.libp2p.protocols.yamux_state import YamuxError
from cidery.multiformats.multiaddr import Multiaddr

FIRST_BUFFER = 4 * 1024
"""Receive buffer of a quiet connection, in bytes: wants, pings and what identify says fit."""
LARGEST_BUFFER = 512 * 1024
"""Receive buffer of a busy connection, in bytes: half a millisecond of decryption, so no read stalls the loop."""
HEADS = 64
"""Bytes that a full buffer may lack: heads of WebSocket frames, which were read into it and taken out."""
READ_SLICE = 512 * 1024
"""Bytes read without a pause that end a connection's turn of the loop: about a millisecond of work."""
SHORT = 4 * 1024
"""Bytes that come together up to which answers wait for the end of the turn, to leave in one segment."""
FLUSH_SLICE = 512 * 1024
"""Bytes sealed in one turn of the loop; the rest waits for the next turn."""
WRITE_HIGH_WATER = 128 * 1024
"""Unsent bytes in the socket's queue above which nothing more is sealed, and above which uvloop writes at once."""
SLOW_BATCH = 64 * 1024
"""Bytes sealed at a time for a slow line: what waits in the socket's queue is what the next message waits for."""
SLOW_DRAIN = 0.05
"""Seconds until a full queue has left, from which on a line is slow."""
MAX_HANDSHAKE_BYTES = budgets.HANDSHAKE_BYTES.amount
CLOSE_GRACE = 5.0
"""Seconds, beside round trips, for the last bytes of a closed connection to leave."""
PARTING = 1.0
"""Seconds, beside round trips, for what the peer sent before it closed to come over the other TCP connections."""


class UpgradedConnection(Connection, asyncio.BufferedProtocol):
    """What asyncio's transports feed, from the raw socket on."""

    _mux: Yamux | None

    def __init__(
        self,
        config: ConnectionConfig,
        handshake: Steps[Secured] | Steps[Secured | Proposed],
        outbound: bool,
    ) -> None:
        super().__init__(config, outbound)
        self._handshake: Handshake[Secured] | Handshake[Secured | Proposed] | None = Handshake(handshake)
        self._handshake_bytes = self._flights = 0
        timeouts = config.timeouts
        self._handshake_wait = timeouts.wait(timeouts.handshake_base, None) if outbound else timeouts.patience
        self._transport: asyncio.Transport | None = None
        self._channel: SecureChannel | None = None
        self._buffer = memoryview(bytearray(FIRST_BUFFER))
        self._filled = 0
        self._sealer: Sealer | None = None
        self._burst = 0
        self._paused = self._flushing = self._gathering = self._slow = False
        self._little = True
        self._paused_at = 0.0
        self._resumed: asyncio.Future[None] | None = None
        self._aborting: asyncio.TimerHandle | None = None
        self._long_line: LongLine | None = None
        self._paths: Paths | None = None
        self._over = False
        self._ending: asyncio.TimerHandle | None = None
        self._handshake_at = self.opened_at

    def expect_round_trip(self, seconds: float, below: float = 0.0) -> None:
        """How far the peer is, by the TCP handshake or by what is remembered: what the handshake is given time for.

        ``below``: round trips until the handshake begins.
        """
        if self._handshake is not None and not self.closed.done():
            timeouts = self.config.timeouts
            self._handshake_wait = timeouts.wait(timeouts.handshake_base, seconds, HANDSHAKE_ROUND_TRIPS + below)
            self._arm()

    def local_host(self) -> str | None:
        """The address of this machine that the connection uses, None if it is not known."""
        name = self._transport.get_extra_info("sockname") if self._transport is not None else None
        return str(name[0]) if name else None

    @property
    def silent(self) -> bool:
        return not self._handshake_bytes

    def open_paths(self, connect: Connect) -> None:
        """Begin to open more TCP connections below this one, if its line is long; ``connect`` to the same address."""
        if self._long_line is not None and not self.closed.done() and (count := paths_for(self._long_line.round_trip)):
            self._paths = Paths(self, self._long_line, self.config.joining, outbound=True)
            self._paths.open(count, connect, self.upgraded, self._token)

    # --- asyncio.BufferedProtocol

    def begun(self, transport: asyncio.BaseTransport) -> None:
        """There is a socket. What lies between it and the handshake may take until the handshake's time is over."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is not a subclass
        if not self.outbound and self.remote_addr is None:
            host, port, *_ = transport.get_extra_info("peername") or ("0.0.0.0", 0)
            self.remote_addr = Multiaddr.tcp(str(host).partition("%")[0], int(port))
        if not self.made.done():
            self.made.set_result(None)
        if self.closed.done():  # refused before the socket was handed over
            self._transport.abort()
            return
        self._arm()

    def given_up(self, reason: str) -> None:
        """What is below speaks something else: this connection ends, and leaves the socket as it is."""
        self._transport = None
        self.fail(ConnectionFailed(reason))

    def carried(self, form: str) -> None:
        """A connection from outside turns out to come in another way than by plain TCP: the end of its address."""
        assert self.remote_addr is not None  # it has begun
        self.remote_addr = Multiaddr((*self.remote_addr.components, *Multiaddr.parse(form).components))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self._transport is None or self.closed.done():
            self.begun(transport)
            if self.closed.done():
                return
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(WRITE_HIGH_WATER)
        self._long_line = LongLine.over(transport, self._loop)
        self._advance_handshake(b"")

    def get_buffer(self, _sizehint: int) -> memoryview:
        return self._buffer[self._filled : self._filled + self._share.most_to_read]

    def buffer_updated(self, count: int) -> None:
        self._filled += count
        full = self._filled >= len(self._buffer) - HEADS
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
        self._came(count, full)

    def _came(self, count: int, full: bool) -> None:
        self._respond(count)
        if self.closed.done():
            return  # nobody would be told again that it has ended
        self.config.received.came(self, count)
        pause = self._share.received(count)
        self._burst = self._burst + count if full else 0
        if (pause or self._burst >= READ_SLICE) and not self.closed.done():
            assert self._transport is not None  # something was received
            self._burst = 0
            self._transport.pause_reading()
            if pause and self._paths is not None:
                self._paths.rest(True)
            if not pause:  # libuv reads up to 32 full buffers in one turn: the others wait long enough already
                self._loop.call_soon(self._read_on)
        elif self._paths is not None:
            self._read_all(self._paths)

    def _read_on(self) -> None:
        if self._transport is None or self.closed.done() or self._share.reading_waits:
            return
        # where little may be read, nothing is to be read before its turn
        if self._paths is None:
            self._transport.resume_reading()
        elif not self._paths.read_due():
            self._read_itself(self._transport)

    def _read_all(self, paths: Paths) -> None:
        """Read the connection and its paths, as far as there is room for what has to wait for its turn."""
        assert self._transport is not None  # something was received
        paths.rest(False)
        self._read_itself(self._transport)

    def _read_itself(self, transport: asyncio.Transport) -> None:
        if self._over or transport.is_closing():
            return
        if self._filled < len(self._buffer) - HEADS:
            transport.resume_reading()
        else:
            transport.pause_reading()

    # --- paths.Owner

    def came_by_path(self, count: int) -> None:
        if self.closed.done():
            return
        try:
            self._open(False)
        except CideryError as exc:
            self.fail(exc)
            return
        self._came(count, False)
        if self._over and self._paths is not None and not self._paths.order.waits:
            self._loop.call_soon(self.fail, ConnectionFailed("closed by the peer"))  # who waits for it reads it first

    def ends_soon(self, reason: str) -> None:
        if self._ending is None and not self.closed.done():
            self._ending = self._loop.call_later(self.wait(PARTING), self.fail, ConnectionFailed(reason))

    def path_has_room(self) -> None:
        if not self.closed.done():
            self._flush()
            if not self._is_full:
                self._resume()

    def eof_received(self) -> bool:
        if self._paths is not None and self._paths.order.waits and not self.closed.done():
            self._over = True
            self.ends_soon("closed by the peer")
            return True
        self.fail(HandshakeCut() if self._handshake is not None else ConnectionFailed("closed by the peer"))
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if self._aborting is not None:
            self._aborting.cancel()
        self.fail(ConnectionFailed(str(exc) if exc else "closed"))
        self._buffer = memoryview(b"")
        self._sealer = None
        self._resume()

    def pause_writing(self) -> None:
        self._paused, self._paused_at = True, self._loop.time()

    def resume_writing(self) -> None:
        self._paused = False
        self._slow = self._loop.time() - self._paused_at > SLOW_DRAIN
        if self._slow != self._little and self._transport is not None:
            self._little = self._slow
            keep_unsent(self._transport, slow=self._slow)
        self._flush()
        if not self._is_full:
            self._resume()

    @property
    def _is_full(self) -> bool:
        """Whether nothing long can be handed to the system now."""
        return self._paths.full if self._paths is not None and self._paths.carry else self._paused

    @property
    def unsent(self) -> int:
        below = 0 if self._paths is None else self._paths.unsent
        return below if self._transport is None else below + self._transport.get_write_buffer_size()

    async def has_sent(self) -> None:
        while self._is_full and not self.closed.done():
            if self._resumed is None:
                self._resumed = self._loop.create_future()
            await asyncio.shield(self._resumed)

    def _resume(self) -> None:
        if self._resumed is not None:
            self._resumed.set_result(None)
            self._resumed = None

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
            self._flights += 1
            if self._flights == (1 if self.outbound else 2):  # the first that will be answered
                self._handshake_at = self.config.clock()
            self._transport.write(out)
        if handshake.done:
            self._start(handshake)

    def _start(self, handshake: Handshake[Secured] | Handshake[Secured | Proposed]) -> None:
        secured, now = handshake.result, self.config.clock()
        assert secured is not None and self._transport is not None  # done, over it
        if isinstance(secured, Proposed):
            self._is_path(self._transport, bytes(handshake.rest))
            return
        self._handshake = None
        self.secured = secured
        # A first guess, until the first ping comes back: all flights were answered but the last of the dialler, or the
        # first of the listener.
        self.round_trip.smoothed = (now - self._handshake_at) / max(1, self._flights - 1)
        self._channel = secured.channel
        self._sealer = Sealer(secured.channel, self.config.scratch)
        self._share.peer = secured.peer
        self._mux = Yamux(
            initiator=self.outbound,
            now=now,
            round_trip=self.round_trip,
            timeouts=self.config.timeouts,
            spare=self.config.spare,
        )
        self._expect_paths(secured)
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
        self._greet()
        self._respond(0)
        self._arm()

    def _open(self, full: bool) -> None:
        """Open the messages in the buffer and move the rest to its front; a full buffer grows."""
        assert self._channel is not None and self._mux is not None
        mux, now = self._mux, self.config.clock()
        order = None if self._paths is None else self._paths.order
        deliver, place = lambda plain: mux.receive_data(plain, now), mux.place
        used = 0
        if order is None or not order.waits:
            used = self._channel.receive(self._buffer[: self._filled], deliver, place)
        if order is not None:
            while True:
                taken, piece = order.next(self._buffer[used : self._filled])
                used += taken
                if not piece:
                    break
                if self._channel.receive(memoryview(piece), deliver, place) != len(piece):
                    raise PathError("a piece ends within a message")
                used += self._channel.receive(self._buffer[used : self._filled], deliver, place)
        rest = self._filled - used
        if full and len(self._buffer) < LARGEST_BUFFER:
            larger = memoryview(bytearray(min(LARGEST_BUFFER, len(self._buffer) * 4)))
            larger[:rest] = self._buffer[used : self._filled]
            self._buffer = larger
        elif rest and used:
            self._buffer[:rest] = self._buffer[used : self._filled]
        self._filled = rest

    def _respond(self, came: int) -> None:
        """Hand on what came, and send what is said to it: by the muxer, and by the tasks that it wakes.

        These run before what is called soon from here, so all that they say at once to a short segment leaves in one.
        """
        told = self._dispatch()
        if came > SHORT:
            self._gathering = False
        elif told and not self._gathering:
            self._gathering = True
            self._loop.call_soon(self._gathered)
        self._flush()

    def _gathered(self) -> None:
        if self._gathering:
            self._gathering = False
            self._flush()

    def _flush_last(self) -> None:
        self._gathering = False
        self._flush(last=True)

    def _flush(self, *, last: bool = False) -> None:
        """Seal what the muxer has to send and hand it to the socket, a slice per turn of the loop.

        ``last``: nothing waits for the paths.
        """
        mux, sealer, transport = self._mux, self._sealer, self._transport
        if mux is None or sealer is None or transport is None or self._flushing or self._gathering:
            return
        slice_left, paths = FLUSH_SLICE, None
        if self._paths is not None and self._paths.carry:
            paths = self._paths
        while mux.has_output and not self._paused and not self.closed.done() and not transport.is_closing():
            if slice_left <= 0:
                self._flushing = True
                self._loop.call_soon(self._flush_again)
                break
            room = self._share.room(urgent=mux.urgent)
            most = SLOW_BATCH if self._slow else room
            if paths is not None:
                most = SHORT_PIECE if paths.full else PIECE
                room = room if mux.urgent or last or not paths.full else 0
            if not room:
                break  # it will be called again
            out = sealer.batch(mux, min(room, most))
            if not len(out):
                break
            slice_left -= len(out)
            self._share.sent(len(out))
            said = paths.send(out) if paths is not None and len(out) > SHORT_PIECE else None
            transport.write(said or out)
            if said is None and not transport.get_write_buffer_size():
                sealer.reuse(out)
        self._dispatch()

    def _flush_again(self) -> None:
        self._flushing = False
        self._flush()

    def _next_deadline(self) -> float:
        return self.opened_at + self._handshake_wait if self._mux is None else self._mux.next_deadline()

    def _on_deadline(self) -> None:
        super()._on_deadline()
        # it has been silent for long; Windows reads into the buffer all the while
        if self._filled < FIRST_BUFFER < len(self._buffer) and sys.platform != "win32":
            smaller = memoryview(bytearray(FIRST_BUFFER))
            smaller[: self._filled] = self._buffer[: self._filled]
            self._buffer = smaller
        if self._sealer is not None:
            self._sealer.rest()

    def _tell(self, exc: CideryError) -> None:
        if self._mux is not None and isinstance(exc, YamuxError):
            self._mux.go_away(exc.wire_code)
            self._flush_last()

    # --- inside: paths

    def _token(self) -> bytes:
        """Of its paths. Raises ConnectionFailed."""
        if not isinstance(self.secured, Secured) or not self.secured.binding:
            raise ConnectionFailed("this kind of handshake knows no paths")
        return token(self.secured.binding)

    def _expect_paths(self, secured: Secured) -> None:
        if self._paths is None and self._long_line is not None and not self.outbound and secured.binding:
            self._paths = Paths(self, self._long_line, self.config.joining, outbound=False)
            self.config.joining.expect(token(secured.binding), self._take_path, self.closed)
        if self._paths is not None and secured.binding:
            secured.channel.stops_at_records = True

    def _take_path(self, join: Join, transport: asyncio.Transport) -> bool:
        assert self._paths is not None  # it expects them
        try:
            self._paths.join(join.number, transport)
        except CideryError as exc:  # whoever has seen its token may have said this
            log.debug("%s: %s", self, exc)
            return False
        return True

    def _is_path(self, transport: asyncio.Transport, rest: bytes) -> None:
        """Of another connection: this one ends, and its socket goes on."""
        if isinstance(transport, LayerTransport):
            raise PathError("a path is a plain TCP connection")
        self.given_up("it is a path of another connection")
        assert self.remote_addr is not None  # it has begun
        self.config.joining.arrives(transport, rest, host_key(self.remote_addr.encode()))

    def held(self) -> int:
        return super().held() + (0 if self._paths is None else self._paths.order.held)

    def _shut(self) -> None:
        if self._ending is not None:
            self._ending.cancel()
        if self._paths is not None:
            self._paths.close(self.wait(CLOSE_GRACE))
        if self._long_line is not None:
            self._long_line.close()
        if self._transport is not None:
            self._transport.close()
            if self._transport.get_write_buffer_size():
                # the socket stays until the last byte is read; a peer that reads no more must not keep it
                grace = self.wait(CLOSE_GRACE)
                self._aborting = self._loop.call_later(grace, self._transport.abort)
