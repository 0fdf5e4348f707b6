"""What is needed of a QUIC library for one connection: datagrams in and out, timers, streams, events. Pure.

An adapter (qh3_core.py) makes a library satisfy QuicCore; nothing else knows which one it is. Credit for what came is
given as events are taken. Taking none lets the peer's windows run out, which is the back-pressure.

Spec: https://www.rfc-editor.org/rfc/rfc9000.html, https://github.com/libp2p/specs/blob/master/quic/README.md
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from cidery.multiformats.varint import Buffer

Endpoint = tuple[str, int]
"""(IP address, port)."""

CONNECTION_ID_SIZE = 8
"""Bytes of the ids that this node gives its connections: by them a socket's datagrams are told apart."""
STREAM_WINDOW = 8 * 1024 * 1024
"""Bytes that came on a stream and were not taken, in or out of order: 32 MiB/s over a quarter of a second."""
CONNECTION_WINDOW = 16 * 1024 * 1024
"""The same of all streams of a connection."""
IDLE_TIMEOUT = 30.0
"""Seconds without anything of the peer's after which a connection has ended, as in go-libp2p."""
LARGE_DATAGRAM = 1452
"""Bytes of a datagram on Ethernet, over either version of IP."""
SAFE_DATAGRAM = 1232
"""Bytes of a datagram that every path of IPv6 carries (RFC 8200, section 5)."""
LEAST_INITIAL = 1200
"""Bytes of a client's first datagrams at least; "a server MUST discard" shorter ones (RFC 9000, section 14.1)."""
NO_ERROR = 0


@dataclass(frozen=True, slots=True)
class Completed:
    """The handshake is done. Who the peer is must be checked before anything else."""

    alpn: str | None
    certificates: tuple[bytes, ...]
    """DER, as the peer showed them; it proved to have the key of the first."""


@dataclass(frozen=True, slots=True)
class StreamData:
    """Bytes of a stream, in order; the first of a new id opens it."""

    stream_id: int
    data: bytes
    end: bool


@dataclass(frozen=True, slots=True)
class StreamAborted:
    """The peer reset its side of a stream."""

    stream_id: int


@dataclass(frozen=True, slots=True)
class SendingStopped:
    """The peer reads no more of a stream."""

    stream_id: int


@dataclass(frozen=True, slots=True)
class PingAnswered:
    """A ping came back."""

    number: int


@dataclass(frozen=True, slots=True)
class IdIssued:
    """The peer may address datagrams of this connection so from now on."""

    connection_id: bytes


@dataclass(frozen=True, slots=True)
class IdRetired:
    """It will no longer."""

    connection_id: bytes


CoreEvent = Completed | StreamData | StreamAborted | SendingStopped | PingAnswered | IdIssued | IdRetired


class QuicCore(Protocol):
    """One connection. After each call: take the events, the datagrams, and the timer. Times are the caller's clock."""

    connection_id: bytes
    """The first that datagrams for it bear."""
    holding: bool
    """While set, no events come, and the peer gets no credit. Setting it to False is not enough: call release()."""

    @property
    def ended(self) -> str | None:
        """The reason why it has ended; None while it is open. Datagrams may still have to leave."""
        ...

    @property
    def round_trip(self) -> float | None:
        """Smoothed, in seconds."""
        ...

    @property
    def stuck(self) -> bool:
        """Whether nothing of it is on its way: what is queued waits for credit."""
        ...

    @property
    def may_open(self) -> bool:
        """Whether the peer allows one more stream now."""
        ...

    def receive(self, datagrams: Sequence[bytes], source: Endpoint, now: float) -> None:
        """Take datagrams of one source. Never raises: what a peer sends can only end the connection (fuzzed)."""
        ...

    def next_datagram(self, now: float) -> tuple[bytes, Endpoint] | None: ...

    def next_event(self) -> CoreEvent | None: ...

    def release(self) -> None:
        """Let events come again."""
        ...

    def timer(self) -> float | None: ...

    def handle_timer(self, now: float) -> None: ...

    def open_stream(self) -> int: ...

    def send(self, stream_id: int, data: Buffer, end: bool = False) -> bool:
        """Copy bytes to be sent; False if the peer takes no more of the stream."""
        ...

    def queued(self, stream_id: int) -> int:
        """Bytes of a stream that were not sent once."""
        ...

    def abort(self, stream_id: int) -> None:
        """Reset both directions."""
        ...

    def ping(self, number: int) -> None: ...

    def close(self, reason: str) -> None:
        """Close the connection and tell the peer."""
        ...
