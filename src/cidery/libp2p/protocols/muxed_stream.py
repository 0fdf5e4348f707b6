"""One stream of a multiplexed connection: what is waiting to be read and sent, and where it is in its life. Pure.

How a stream lives and ends is the table in ``stream_state.py``; ``on()`` is the only way from one state to the next.
Flow control is the muxer's.
"""

from collections import deque
from typing import assert_never

from cidery import budgets
from cidery.errors import LocalProtocolError, RemoteProtocolError
from cidery.libp2p.protocols.stream_state import (
    FINISHED,
    RECEIVE_FIN,
    RESET,
    SEND,
    TRANSITIONS,
    WRITABLE,
    Event,
    State,
)
from cidery.multiformats.varint import MAX_VARINT_BYTES, Buffer, VarintError, decode_uvarint
from cidery.spare_buffers import SpareBuffers

FRAMED_AHEAD = budgets.BITSWAP_AHEAD.amount
"""Bytes of whole messages that may wait for a reader before nothing more is cut and credit is held back."""
MESSAGE_COST = 16 * 1024
"""Bytes that a waiting message counts beside its own, so that at most 256 small ones are cut before they are read."""
EAGER = 5 * 256 * 1024
"""Bytes that the announcement of a message reserves at most: a block of 1 MiB and what is around it. The buffer of a
larger one grows with what comes."""
LARGE_MESSAGE = 16 * 1024
"""Bytes of a message from which on its reader hears that it has begun."""
ZEROS = 4096
"""Most empty messages that are skipped at once."""


class MessageTooLarge(RemoteProtocolError):
    """A length-prefixed message announces more than the protocol allows."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(size, limit)
        self.size = size
        self.limit = limit

    def __str__(self) -> str:
        return f"a message of {self.size} bytes, at most {self.limit} are allowed"


class StreamReset(RemoteProtocolError):
    """The stream was reset, by the peer or by us, or its connection ended."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"the stream was reset: {self.reason}"


class DataAfterEnd(RemoteProtocolError):
    """The peer sent data after it had ended the stream; the connection ends."""

    def __init__(self, stream_id: int) -> None:
        super().__init__(stream_id)
        self.stream_id = stream_id

    def __str__(self) -> str:
        return f"data after FIN on stream {self.stream_id}"


class StreamClosed(LocalProtocolError):
    """A write after close_write()."""

    def __str__(self) -> str:
        return "this stream's write side is closed"


class MuxedStream:
    """State of one stream. Its muxer moves the bytes; readers and writers call the verbs here through the muxer.

    Received bytes go into ``target`` when a reader gave one (no second copy for large messages), else into ``inbox``.
    A framed stream cuts length-prefixed messages itself: their bytes go straight into buffers of their own.
    """

    __slots__ = (
        "began",
        "fin_received",
        "frame_error",
        "frame_limit",
        "heard_at",
        "held",
        "id",
        "inbox",
        "initiator",
        "messages",
        "message_size",
        "messages_bytes",
        "out",
        "out_bytes",
        "reset_reason",
        "spare",
        "state",
        "target",
        "target_at",
        "uncut",
        "uses_beginning",
    )

    def __init__(self, stream_id: int, initiator: bool, now: float, spare: SpareBuffers) -> None:
        self.id = stream_id
        self.spare = spare
        self.initiator = initiator
        """Whether this side opened it."""
        self.inbox = bytearray()
        """Received and not yet read; bounded by the window that the muxer gives."""
        self.target: memoryview | None = None
        self.target_at = 0
        self.heard_at = now
        """When bytes last came."""
        self.out: deque[memoryview] = deque()
        self.out_bytes = 0
        self.state = State.OPEN
        self.fin_received = False
        """Whether the peer's FIN came before any reset: for readers, and for each frame, which looks at no table."""
        self.reset_reason = ""
        """Why it is in State.RESET."""
        self.frame_limit = 0
        """Longest message of a framed stream, in bytes; 0: not framed."""
        self.frame_error: MessageTooLarge | VarintError | None = None
        self.messages: deque[memoryview] = deque()
        """Whole messages that wait for the reader."""
        self.messages_bytes = 0
        self.message_size = 0
        """Bytes of the message that is being received."""
        self.uses_beginning = False
        """Whether its reader takes with give_up() what has come when the stream ends."""
        self.began = False
        """That is a large one, and its reader has not been told of it yet."""
        self.uncut: deque[memoryview] = deque()
        """Bytes that are cut into messages when those that wait are read."""
        self.held = 0
        """Bytes of waiting messages whose credit is given back only when they are taken."""

    @property
    def readable(self) -> bool:
        """Whether a reader has something to wake for: bytes, a filled target, the end, or a reset."""
        if self.fin_received or self.reset_reason:
            return True
        if self.frame_limit:
            return bool(self.messages) or self.began or self.frame_error is not None
        return bool(self.inbox) or (self.target is not None and self.target_at == len(self.target))

    @property
    def blocked(self) -> bool:
        """Whether nothing can be sent until the peer has read what it has."""
        return False

    @property
    def unread(self) -> int:
        """Bytes that came and were not read, and what is reserved for a message that is not whole."""
        unfinished = len(self.target) if self.target is not None else 0
        return len(self.inbox) + self.messages_bytes + sum(map(len, self.uncut)) + unfinished

    @property
    def finished(self) -> bool:
        """Nothing more goes either way."""
        return self.state in FINISHED

    def on(self, event: Event) -> bool:
        """Move to the state that the table has for ``event``; returns whether that is another one.

        Raises:
            StreamReset, StreamClosed: nothing can be sent any more.
            DataAfterEnd: the peer sent data after its FIN.
        """
        following = TRANSITIONS[self.state].get(event)
        if following is None:
            raise self._refusal(event)
        if following is self.state:
            return False
        if event is RECEIVE_FIN:
            self.fin_received = True
        self.state = following
        return True

    def _refusal(self, event: Event) -> Exception:
        match event:
            case Event.SEND:
                return StreamReset(self.reset_reason) if self.state is State.RESET else StreamClosed()
            case Event.RECEIVE_DATA:
                return DataAfterEnd(self.id)
            case Event.CLOSE_WRITE | Event.SEND_FIN | Event.RECEIVE_FIN | Event.RESET:
                # only the muxer's own mistake leads here: no peer and no caller can
                return AssertionError(f"{event.name} on stream {self.id}, which is {self.state.name}")
            case _:
                assert_never(event)

    def check_writable(self) -> None:
        """Raises StreamReset, StreamClosed."""
        if self.state not in WRITABLE:
            self.on(SEND)

    def end(self, reason: str) -> bool:
        """Reset it; False if it had ended before."""
        if not self.on(RESET):
            return False
        self.reset_reason = reason
        self.drop_output()
        return True

    def accept(self, data: memoryview) -> int:
        """Take received bytes; returns how many may be given back as credit at once."""
        if self.frame_limit:
            return self._accept_framed(data)
        taken = 0
        if self.target is not None:
            taken = min(len(data), len(self.target) - self.target_at)
            self.target[self.target_at : self.target_at + taken] = data[:taken]
            self.target_at += taken
        if taken < len(data):
            self.inbox += data[taken:]
        return taken

    def place(self, size: int) -> memoryview | None:
        """Where the next ``size`` bytes go, if all belong to what is being received; then accept_placed() follows."""
        target, at = self.target, self.target_at
        if target is None or size > len(target) - at:
            return None
        if self.frame_limit and (self.uncut or self.frame_error or self.messages_bytes > FRAMED_AHEAD):
            return None
        return target[at : at + size]

    def accept_placed(self, size: int) -> int:
        """As accept(), of bytes that were written where place() said."""
        if not self.frame_limit:
            self.target_at += size
            return size
        assert self.target is not None  # place() has said so
        self._filled(self.target, size)
        return self._credit(size)

    @property
    def beginning(self) -> memoryview:
        """What has come of a message that is not whole."""
        return self.target[: self.target_at] if self.target is not None else memoryview(b"")

    def give_up(self) -> list[memoryview]:
        """The stream has ended: the whole messages that wait, and the beginning of one; they are no longer held."""
        taken = [*self.messages, self.beginning]
        self.messages.clear()
        self.messages_bytes = 0
        self.target = None
        return taken

    def frame(self, limit: int) -> int:
        """Cut messages of at most ``limit`` bytes from now on; returns the credit for what was waiting."""
        assert self.target is None and limit > 0  # readers of bytes are done
        waiting = bytes(self.inbox)
        self.inbox.clear()
        self.frame_limit = limit
        return self.accept(memoryview(waiting)) if waiting else 0

    def take_message(self) -> tuple[memoryview, int]:
        """The oldest whole message, and the credit that its reading gives back."""
        message = self.messages.popleft()
        self.messages_bytes -= len(message) + MESSAGE_COST
        while self.uncut and self.messages_bytes <= FRAMED_AHEAD and self.frame_error is None:
            piece = self.uncut.popleft()
            if rest := piece[self._cut(piece) :]:
                self.uncut.appendleft(rest)
        if self.uncut or self.messages_bytes > FRAMED_AHEAD:
            return message, 0
        credit, self.held = self.held, 0
        return message, credit

    def _accept_framed(self, data: memoryview) -> int:
        size = len(data)
        at = 0 if self.uncut else self._cut(data)
        if at < size and self.frame_error is None:
            self.uncut.append(memoryview(bytes(data[at:])))
        return self._credit(size)

    def _credit(self, size: int) -> int:
        if not self.uncut and self.messages_bytes <= FRAMED_AHEAD:
            return size
        self.held += size
        return 0

    def _cut(self, data: memoryview) -> int:
        """Take messages off ``data`` until enough of them wait; returns the bytes taken."""
        at, size = 0, len(data)
        while at < size and self.frame_error is None and self.messages_bytes <= FRAMED_AHEAD:
            target = self.target
            if target is None:
                at = self._read_length(data, at)
                continue
            taken = min(size - at, len(target) - self.target_at)
            target[self.target_at : self.target_at + taken] = data[at : at + taken]
            at += taken
            self._filled(target, taken)
        return at

    def _filled(self, target: memoryview, taken: int) -> None:
        """``taken`` more bytes are in ``target``: finish the message, or make room for the rest."""
        self.target_at += taken
        if self.target_at == self.message_size:
            self._finish_message(target)
        elif self.target_at == len(target):
            self.target = memoryview(bytearray(min(2 * len(target), self.message_size)))
            self.target[: len(target)] = target

    def _read_length(self, data: memoryview, at: int) -> int:
        """Take one byte of the length prefix; start the message when it is whole. Empty messages are dropped."""
        if not data[at] and not self.inbox:
            run = data[at : at + ZEROS].tobytes()
            return at + len(run) - len(run.lstrip(b"\0"))
        self.inbox.append(data[at])
        if data[at] < 0x80 or len(self.inbox) >= MAX_VARINT_BYTES:
            try:
                size, _ = decode_uvarint(self.inbox)
                if size > self.frame_limit:
                    raise MessageTooLarge(size, self.frame_limit)
            except (VarintError, MessageTooLarge) as exc:
                self.frame_error = exc
                return at + 1
            self.inbox.clear()
            self.target, self.target_at = self.spare.take(min(size, EAGER)), 0
            self.message_size = size
            self.began = size >= LARGE_MESSAGE
        return at + 1

    def _finish_message(self, message: memoryview) -> None:
        self.messages.append(message)
        self.messages_bytes += len(message) + MESSAGE_COST
        self.target = None
        self.began = False

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

    def take(self, limit: int) -> memoryview:
        """The next queued bytes, of one buffer and at most ``limit``, not copied."""
        piece = self.out.popleft()
        if len(piece) > limit:
            self.out.appendleft(piece[limit:])
            piece = piece[:limit]
        self.out_bytes -= len(piece)
        return piece

    def drop_output(self) -> None:
        self.out.clear()
        self.out_bytes = 0

    def abandon(self) -> None:
        """The connection ended, and with it the handler of a stream that the peer opened: drop what it has not read."""
        if not self.initiator:
            self.inbox.clear()
            self.uncut.clear()
            if not self.uses_beginning:
                self.give_up()
