"""Handshakes as generators: straight-line code that yields what it wants to read and send.

A handshake is a ``Steps[T]``: it yields ``Read(n)`` and is resumed with exactly ``n`` bytes, yields ``Send(data)``
and is resumed with ``b""``, and returns its result. Its driver owns the bytes: a socket driver, a stream, or a test
that splits the input at every byte.
"""

from collections.abc import Generator
from typing import Generic, NamedTuple, TypeVar

from cidery.errors import RemoteProtocolError

T = TypeVar("T")


class Read(NamedTuple):
    """Resume me with exactly ``size`` bytes."""

    size: int


class Send(NamedTuple):
    """Send these bytes, in order; then resume me at once."""

    data: bytes


Steps = Generator[Read | Send, bytes, T]


class HandshakeCut(RemoteProtocolError):
    """The peer closed in the middle of a handshake."""

    def __str__(self) -> str:
        return "the peer closed the connection during the handshake"


class Handshake(Generic[T]):
    """Runs one ``Steps`` over a growing input: ``receive_data()``, then ``data_to_send()``; ``done`` and ``result``.

    Input beyond what the handshake read stays in ``rest``, for the protocol that follows.
    """

    def __init__(self, steps: Steps[T]) -> None:
        self._steps = steps
        self._out: list[bytes] = []
        self._wanted = 0
        self.rest = bytearray()
        self.done = False
        self.result: T | None = None
        self._advance(None)

    def receive_data(self, data: bytes | bytearray | memoryview) -> None:
        """Feed input; then send data_to_send(). Raises what the handshake raises."""
        self.rest += data
        while not self.done and len(self.rest) >= self._wanted:
            piece = bytes(self.rest[: self._wanted])
            del self.rest[: self._wanted]
            self._advance(piece)

    def data_to_send(self) -> bytes:
        out = b"".join(self._out)
        self._out.clear()
        return out

    def _advance(self, resume: bytes | None) -> None:
        try:
            step = next(self._steps) if resume is None else self._steps.send(resume)
            while isinstance(step, Send):
                self._out.append(step.data)
                step = self._steps.send(b"")
            self._wanted = step.size
        except StopIteration as stop:
            self.done, self.result = True, stop.value
