"""One connection to a peer: its streams and their handlers, from the first bytes to the end. Drives a muxer.

What is below the muxer is a subclass's: a byte stream under a handshake (upgraded.py), or a transport that is secured
and multiplexed by itself.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from cidery import budgets
from cidery.errors import CideryError, Unavailable
from cidery.identity.peer_id import PeerId
from cidery.libp2p.io.connection_config import ConnectionConfig
from cidery.libp2p.io.stream import Stream
from cidery.libp2p.protocols import multistream
from cidery.libp2p.protocols.channel import Authenticated
from cidery.libp2p.protocols.muxed_stream import MuxedStream
from cidery.libp2p.protocols.muxer import GoneAway, Muxer, StreamChanged, StreamOpened
from cidery.libp2p.protocols.relayed import ALLOWED
from cidery.libp2p.protocols.timeouts import RoundTrip
from cidery.multiformats.multiaddr import Multiaddr
from cidery.multiformats.varint import Buffer

log = logging.getLogger("cidery.libp2p")

MAX_HANDLERS = budgets.STREAMS.amount
DRAINED_AT_A_TIME = 64 * 1024
"""Bytes read at once of what a peer sends after its handler is done."""

DOUBTFUL = 3.0
"""Seconds, beside round trips, of silence after a ping when another connection to the peer is better."""


class ConnectionFailed(Unavailable):
    """The connection ended or could not be made."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"connection failed: {self.reason}"


class Limited(Unavailable):
    """The peer is reached through a relay that limits what goes over it."""

    def __init__(self, peer: PeerId) -> None:
        super().__init__(peer)
        self.peer = peer

    def __str__(self) -> str:
        return f"{self.peer} is reached through a relay with limits only, over which this is not sent"


class Connection(ABC):
    """From its beginning to closed. ``upgraded`` resolves when the peer is authenticated and the muxer runs."""

    def __init__(self, config: ConnectionConfig, outbound: bool) -> None:
        self.config = config
        self.outbound = outbound
        self.remote_addr: Multiaddr | None = None
        """Once there is a socket."""
        self.local_addr: Multiaddr | None = None
        self.relayed = False
        """Whether the peer is reached through a relay, which sees none of it."""
        self.limited = False
        """Whether that relay ends it after some time or bytes: few protocols run over it."""
        self.closed_here = False
        """Whether close() was called, before anything else ended it or after."""
        self.round_trip = RoundTrip()
        self.opened_at = config.clock()
        loop = asyncio.get_running_loop()
        self.made: asyncio.Future[None] = loop.create_future()
        """Done when there is a socket, or will be none."""
        self.upgraded: asyncio.Future[None] = loop.create_future()
        self.closed: asyncio.Future[None] = loop.create_future()
        self._loop = loop
        self.secured: Authenticated | None = None
        """Once the peer is authenticated."""
        self.greeting: Stream | None = None
        """What was opened for the first request before ``upgraded`` was heard of; whoever takes it clears this."""
        self._mux: Muxer[Any] | None = None
        self._streams: dict[int, Stream] = {}
        self._handlers: set[asyncio.Task[None]] = set()
        self._share = config.traffic.share(self._flush, self._read_on)
        self._timer: asyncio.TimerHandle | None = None
        self._failure: CideryError | None = None

    # --- what is below

    @abstractmethod
    def _flush(self) -> None:
        """Send what the muxer has to send."""

    def _flush_last(self) -> None:
        """As _flush(), when there will be no later one."""
        self._flush()

    @abstractmethod
    def _read_on(self) -> None:
        """The bandwidth allows to read again."""

    @abstractmethod
    def _shut(self) -> None:
        """Close the socket, or what it is, once what was sent has left."""

    @abstractmethod
    def local_host(self) -> str | None:
        """The address of this machine that the connection uses, None if it is not known."""

    @abstractmethod
    def _tell(self, exc: CideryError) -> None:
        """Tell the peer why the connection ends, where that can be told."""

    # --- what others see

    @property
    def peer(self) -> PeerId:
        """The authenticated peer; only after ``upgraded``."""
        assert self.secured is not None  # callers wait for upgraded
        return self.secured.peer

    @property
    def usable(self) -> bool:
        """Whether new streams can be opened."""
        return self._mux is not None and self._mux.opens_streams and not self.closed.done()

    @property
    def silent(self) -> bool:
        """Whether nothing has come yet, as far as that is known."""
        return False

    @property
    def streams(self) -> list[Stream]:
        """Open streams."""
        return list(self._streams.values())

    async def open_stream(self, protocols: Sequence[str], *, optimistic: bool = False, window: int = 0) -> Stream:
        """Open a stream and agree on one of ``protocols``.

        ``window``: bytes that the peer may send at once; pass it when much data is expected.
        ``optimistic``: with a single protocol that the peer is known to speak, do not wait for its answer.

        Raises:
            ConnectionFailed, Limited, TooManyStreams, ProtocolNotSupported, StreamReset, TimeoutError.
        """
        if self._mux is None or self.closed.done():
            raise ConnectionFailed(str(self._failure or "closed"))
        if self.limited and not ALLOWED.issuperset(protocols):
            raise Limited(self.peer)
        stream = self._opened(self._mux, window)
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

    def _opened(self, mux: Muxer[Any], window: int = 0) -> Stream:
        inner = mux.open_stream(self.config.clock(), window)
        stream = self._streams[inner.id] = Stream(self, inner, self.config.traffic)
        return stream

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

    @property
    def unsent(self) -> int:
        """Bytes that wait in this process for the socket to take them, where that is known."""
        return 0

    async def has_sent(self) -> None:
        """Wait until little of what streams handed over waits here. Returns at once where that is not known."""
        return

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
            self._flush_last()
        self.fail(ConnectionFailed(reason))

    # --- verbs of streams

    @property
    def _muxer(self) -> Muxer[Any]:
        assert self._mux is not None  # streams exist only with a muxer
        return self._mux

    def _flush_output(self) -> None:
        if self._muxer.has_output:
            self._flush()

    def send(self, inner: MuxedStream, *data: Buffer) -> None:
        self._muxer.send(inner, *data)
        self._flush()

    def read(self, inner: MuxedStream, limit: int) -> bytes:
        data = self._muxer.read(inner, limit, self.config.clock())
        self._flush_output()
        return data

    def read_into(self, inner: MuxedStream, target: memoryview) -> None:
        self._muxer.read_into(inner, target, self.config.clock())
        self._flush_output()

    def frame(self, inner: MuxedStream, limit: int) -> None:
        self._muxer.frame(inner, limit, self.config.clock())
        self._flush_output()

    def next_message(self, inner: MuxedStream) -> memoryview | None:
        message = self._muxer.next_message(inner, self.config.clock())
        self._flush_output()
        return message

    def expect_bulk(self, inner: MuxedStream) -> None:
        self._muxer.expect_bulk(inner)
        self._flush_output()

    def close_write(self, inner: MuxedStream) -> None:
        self._muxer.close_write(inner)
        self._flush()

    def reset(self, inner: MuxedStream, reason: str) -> None:
        self._muxer.reset(inner, reason)
        self._dispatch()
        self._flush()

    # --- inside

    def _greet(self) -> None:
        """Make the first request, so that it leaves with the end of the handshake."""
        if self._mux is not None and self.usable and self.config.greeting and not self.limited:
            self.greeting = self._opened(self._mux)
            self.greeting.propose_optimistically(self.config.greeting)

    def held(self) -> int:
        """Bytes that came and were not read."""
        return 0 if self._mux is None else sum(stream.unread for stream in self._mux.streams.values())

    def _dispatch(self) -> bool:
        """Hand on what the muxer tells; whether a task is woken by it, which may have something to send."""
        woken = False
        if self._mux is None:
            return woken
        while (event := self._mux.next_event()) is not None:
            match event:
                case StreamChanged(inner):
                    stream = self._streams.get(inner.id)
                    if stream is not None:
                        woken = stream.wake() or woken
                        if inner.finished:
                            del self._streams[inner.id]
                case StreamOpened(inner):
                    self._accept(Stream(self, inner, self.config.traffic))
                    woken = True
                case GoneAway(code):
                    log.debug("%s goes away, code %d", self, code)
        return woken

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
                while not stream.inner.finished and await stream.read(DRAINED_AT_A_TIME):
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

    def _next_deadline(self) -> float:
        assert self._mux is not None
        return self._mux.next_deadline()

    def _arm(self) -> None:
        """Set the one timer for the next deadline."""
        if self._timer is not None:
            self._timer.cancel()
        delay = self._next_deadline() - self.config.clock()
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
        self._tell(exc)
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
        self._shut()

    def __str__(self) -> str:
        peer = str(self.secured.peer)[-8:] if self.secured else "?"
        return f"{'>' if self.outbound else '<'}{peer}@{self.remote_addr}"
