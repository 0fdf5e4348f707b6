"""One Yamux stream: what is waiting to be read and sent, its windows, its half-closes. Pure."""

from collections import deque

from cidery.errors import LocalProtocolError, RemoteProtocolError
from cidery.multiformats.varint import Buffer

INITIAL_WINDOW = 256 * 1024
"""Bytes each side may send on a new stream ("Both sides assume the initial 256KB window": yamux spec)."""


class StreamReset(RemoteProtocolError):
    """The stream was reset, by the peer or by us, or its connection ended."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"the stream was reset: {self.reason}"


class StreamClosed(LocalProtocolError):
    """A write after close_write()."""

    def __str__(self) -> str:
        return "this stream's write side is closed"


class YamuxStream:
    """State of one stream. Its muxer moves the bytes; readers and writers call the verbs here through the muxer.

    Received bytes go into ``target`` when a reader gave one (no second copy for large messages), else into ``inbox``.
    """

    __slots__ = (
        "acked",
        "consumed",
        "credit",
        "epoch",
        "fin_queued",
        "fin_received",
        "fin_sent",
        "id",
        "inbox",
        "initiator",
        "out",
        "out_bytes",
        "reset_reason",
        "send_window",
        "target",
        "target_at",
        "window",
    )

    def __init__(self, stream_id: int, initiator: bool, now: float) -> None:
        self.id = stream_id
        self.initiator = initiator
        """Whether this side opened it."""
        self.acked = not initiator
        self.inbox = bytearray()
        """Received and not yet read; at most ``window`` bytes."""
        self.target: memoryview | None = None
        self.target_at = 0
        self.credit = INITIAL_WINDOW
        """Bytes the peer may still send."""
        self.window = INITIAL_WINDOW
        """Credit the peer has when everything is read."""
        self.consumed = 0
        """Bytes read and not yet given back as credit."""
        self.epoch = now
        """When credit was last given back."""
        self.send_window = INITIAL_WINDOW
        self.out: deque[memoryview] = deque()
        self.out_bytes = 0
        self.fin_queued = self.fin_sent = self.fin_received = False
        self.reset_reason = ""

    @property
    def readable(self) -> bool:
        """Whether a reader has something to wake for: bytes, a filled target, the end, or a reset."""
        filled = self.target is not None and self.target_at == len(self.target)
        return bool(self.inbox) or filled or self.fin_received or bool(self.reset_reason)

    @property
    def finished(self) -> bool:
        """Nothing more goes either way."""
        return bool(self.reset_reason) or (self.fin_sent and self.fin_received)

    def check_writable(self) -> None:
        """Raises StreamReset, StreamClosed."""
        if self.reset_reason:
            raise StreamReset(self.reset_reason)
        if self.fin_queued:
            raise StreamClosed()

    def accept(self, data: memoryview) -> int:
        """Take received bytes; returns how many were consumed at once by the target."""
        taken = 0
        if self.target is not None:
            taken = min(len(data), len(self.target) - self.target_at)
            self.target[self.target_at : self.target_at + taken] = data[:taken]
            self.target_at += taken
        if taken < len(data):
            self.inbox += data[taken:]
        return taken

    def queue(self, data: Buffer) -> None:
        """Queue bytes to be sent; not copied until they are framed, so the caller leaves them unchanged."""
        view = memoryview(data)
        if len(view):
            self.out.append(view)
            self.out_bytes += len(view)

    def take_into(self, out: memoryview) -> None:
        """Move exactly ``len(out)`` queued bytes into ``out``."""
        at, size = 0, len(out)
        while at < size:
            piece = self.out[0]
            if len(piece) <= size - at:
                out[at : at + len(piece)] = piece
                at += len(piece)
                self.out.popleft()
            else:
                out[at:] = piece[: size - at]
                self.out[0] = piece[size - at :]
                at = size
        self.out_bytes -= size

    def drop_output(self) -> None:
        self.out.clear()
        self.out_bytes = 0
