"""Several TCP connections below one secured connection: what goes over which of them, and in which order it is read.

::

    the connection    sealed messages | 00 00, path (1 byte), size (4 bytes) | sealed messages ...
    a path            multistream-select | token (32 bytes), its number (1 byte) | whole sealed messages, nothing else

A sealed message of Noise is never empty, so a length of 0 says: the next ``size`` bytes come over that path. Whoever
dialled the connection opens paths beside it, with a token that only the two ends of its handshake know.
It says at once that it is one, so that it takes no place of a handshake, and whose it is when that is known.
A protocol between Cidery nodes; whoever does not speak it refuses it by multistream-select.
"""

import hmac
from typing import NamedTuple

from cidery.budgets import PATHS
from cidery.errors import RemoteProtocolError
from cidery.libp2p.protocols.multistream import confirm, optimistic_opening
from cidery.libp2p.protocols.steps import Read, Send, Steps

PROTOCOL = "/cidery/path/1.0.0"
ACCEPTED = b"\1"
"""What the side that was asked says once a path has joined its connection; before that nothing goes over it."""
TOKEN_SIZE = 32
JOIN_SIZE = TOKEN_SIZE + 1
RECORD_SIZE = 7
MAX_PIECE = 64 * 1024
"""Most bytes that one record names: a sealed message, at least."""
MAX_AHEAD = 256 * 1024
"""Bytes of one path that may be here before their turn; then it is not read for a while."""


class PathError(RemoteProtocolError):
    """What a peer says of its paths is wrong."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"paths: {self.reason}"


class Proposed(NamedTuple):
    """A connection from outside will be one more path of another one."""


class Join(NamedTuple):
    """Of which connection a path is, and which of its paths."""

    token: bytes
    number: int

    @classmethod
    def of(cls, said: bytes) -> "Join":
        """What JOIN_SIZE bytes of the other side say."""
        return cls(said[:TOKEN_SIZE], said[TOKEN_SIZE])

    @property
    def said(self) -> bytes:
        return self.token + bytes([self.number])


def token(binding: bytes) -> bytes:
    """What shows that a path is of one of the two ends. ``binding``: of the handshake, known to them alone."""
    return hmac.digest(binding, b"cidery path", "sha256")


def propose() -> Steps[None]:
    """The side that opens a path; what Join says follows when it is known, whatever has been answered by then.

    Raises MultistreamError, ProtocolNotSupported, PathError.
    """
    yield Send(optimistic_opening(PROTOCOL))
    yield from confirm(PROTOCOL)
    if (answer := (yield Read(1))) != ACCEPTED:
        raise PathError(f"{answer!r} is no answer to a path")


def record(number: int, size: int) -> bytes:
    """Says that the next bytes come over a path."""
    return b"\0\0" + bytes([number]) + size.to_bytes(4, "big")


class Order:
    """What came over the paths of one connection, until it is its turn."""

    def __init__(self) -> None:
        self._waiting: dict[int, bytearray] = {}
        self._due: tuple[int, int] | None = None

    @property
    def waits(self) -> bool:
        """Whether the next bytes are those of a path, which are not all here."""
        return self._due is not None

    @property
    def due(self) -> int:
        """The path whose bytes are waited for; 0: those of the connection are next."""
        return 0 if self._due is None else self._due[0]

    @property
    def held(self) -> int:
        """Bytes that are here before their turn."""
        return sum(map(len, self._waiting.values()))

    def add(self, number: int) -> None:
        """A path that may carry something from now on. Raises PathError."""
        if number in self._waiting or not 0 < number <= PATHS.amount:
            raise PathError(f"path {number} is there already, or one too many")
        self._waiting[number] = bytearray()

    def remove(self, number: int) -> None:
        """A path over which nothing will come."""
        self._waiting.pop(number, None)

    def received(self, number: int, data: memoryview) -> None:
        self._waiting[number] += data

    def has_room(self, number: int) -> bool:
        """Whether more of a path may be read."""
        return len(self._waiting.get(number, b"")) < MAX_AHEAD

    def next(self, main: memoryview) -> tuple[int, bytes]:
        """How many bytes of the connection are used, and the sealed messages that come next; b"": none are here.

        ``main``: what of the connection is not read yet, from the beginning of a message or record on.

        Raises PathError.
        """
        used = 0
        if self._due is None:
            if len(main) < RECORD_SIZE or main[0] or main[1]:
                return 0, b""
            number, size = main[2], int.from_bytes(main[3:RECORD_SIZE], "big")
            if number not in self._waiting or not 0 < size <= MAX_PIECE:
                raise PathError(f"{size} bytes are said to come over path {number}")
            self._due, used = (number, size), RECORD_SIZE
        number, size = self._due
        waiting = self._waiting.get(number)
        if waiting is None:
            raise PathError(f"path {number} has ended before its bytes came")
        if len(waiting) < size:
            return used, b""
        piece = bytes(waiting[:size])
        del waiting[:size]
        self._due = None
        return used, piece
