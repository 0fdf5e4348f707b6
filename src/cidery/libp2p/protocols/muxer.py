"""What carries the streams of one connection: the machine that a connection drives, and what it tells. Pure.

Yamux is one, over a secure channel; QUIC brings its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from cidery.errors import LimitExceeded
from cidery.libp2p.protocols.muxed_stream import MuxedStream
from cidery.multiformats.varint import Buffer

S = TypeVar("S", bound=MuxedStream)

LOW_WATER = 512 * 1024
"""Queued bytes of a stream below which its writer is woken."""


class TooManyStreams(LimitExceeded):
    """No stream can be opened now: too many wait for the peer's acknowledgement, or the peer is going away."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"cannot open a stream: {self.reason}"


@dataclass(frozen=True, slots=True)
class StreamOpened(Generic[S]):
    """The peer opened a stream."""

    stream: S


@dataclass(frozen=True, slots=True)
class StreamChanged(Generic[S]):
    """Bytes, the end, a reset, or room to write: tasks that wait on the stream are woken."""

    stream: S


@dataclass(frozen=True, slots=True)
class GoneAway:
    """The peer accepts no more streams."""

    code: int
    """0 normal, 1 protocol error, 2 internal error."""


class Muxer(Protocol[S]):
    """After each verb, the caller takes next_event() until None, sends what is to be sent, and asks next_deadline()."""

    heard_at: float
    """When anything last came from the peer."""

    @property
    def streams(self) -> Mapping[int, S]:
        """The open ones."""
        ...

    @property
    def opens_streams(self) -> bool: ...

    @property
    def has_output(self) -> bool: ...

    def next_event(self) -> StreamOpened[S] | StreamChanged[S] | GoneAway | None: ...

    def next_deadline(self) -> float:
        """When handle_deadline() wants to be called. Seconds of the caller's clock."""
        ...

    def handle_deadline(self, now: float) -> None:
        """Raises RemoteProtocolError kinds: the connection ends."""
        ...

    def unanswered(self, now: float) -> float:
        """Seconds since a ping, if nothing at all was heard from the peer after it; else 0.0."""
        ...

    def ping(self, now: float) -> None:
        """Measure a round trip, unless a ping is under way."""
        ...

    def go_away(self, code: int) -> None:
        """Tell the peer that no more streams are accepted, if that can be told, and open none."""
        ...

    def fail(self, reason: str) -> None:
        """The connection ended: every stream is reset, without sending anything."""
        ...

    def open_stream(self, now: float, window: int = 0) -> S:
        """Usable at once. ``window``: bytes that the peer may send at once, if that can be told.

        Raises TooManyStreams.
        """
        ...

    def send(self, stream: S, *data: Buffer) -> None:
        """Queue bytes on a stream. Buffers must stay unchanged until sent. Raises StreamReset, StreamClosed."""
        ...

    def close_write(self, stream: S) -> None:
        """Half-close after what is queued. Idempotent."""
        ...

    def reset(self, stream: S, reason: str = ...) -> None:
        """End both directions at once. Idempotent."""
        ...

    def read(self, stream: S, limit: int, now: float) -> bytes:
        """Up to ``limit`` received bytes, b"" if none are there."""
        ...

    def read_into(self, stream: S, target: memoryview, now: float) -> None:
        """Fill ``target`` from what is there and what comes; full when ``stream.target_at == len(target)``."""
        ...

    def frame(self, stream: S, limit: int, now: float) -> None:
        """Let the stream cut length-prefixed messages of at most ``limit`` bytes; next_message() takes them."""
        ...

    def next_message(self, stream: S, now: float) -> memoryview | None:
        """The oldest whole message of a framed stream, None if there is none yet."""
        ...

    def expect_bulk(self, stream: S) -> None:
        """Much was asked for and will be read as it comes."""
        ...
