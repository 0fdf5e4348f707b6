"""What a finished security handshake gives: a channel that seals and opens, and who is at the other end."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from cidery.errors import RemoteProtocolError
from cidery.identity.peer_id import PeerId
from cidery.libp2p.protocols.steps import Steps

Deliver = Callable[[memoryview], None]
"""Takes plaintext; the view is valid only during the call."""
Place = Callable[[int], memoryview | None]
"""Says where the next bytes of plaintext, of this number, belong: memory of that size, or None: anywhere."""


class SecurityError(RemoteProtocolError):
    """A security handshake or channel failed: wrong key, wrong signature, forged or garbled bytes."""

    def __init__(self, layer: str, reason: str) -> None:
        super().__init__(layer, reason)
        self.layer = layer
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.layer}: {self.reason}"


class WrongPeer(SecurityError):
    """Another peer answers at the dialled address than the one that was asked for."""

    def __init__(self, layer: str, wanted: PeerId, got: PeerId) -> None:
        super().__init__(layer, f"the peer at this address is {got}, not {wanted}")
        self.wanted = wanted
        self.got = got


class SecureChannel(Protocol):
    """A byte pipe under encryption. Pure: takes and gives buffers."""

    plain_size: int
    """Bytes of plaintext that fill one sealed message best."""
    sealed_size: int
    """Most bytes that sealing ``plain_size`` bytes takes."""
    stops_at_records: bool
    """Whether receive() ends before an empty message, which is a record then (paths.py), instead of refusing it."""

    def receive(self, data: memoryview, deliver: Deliver, place: Place | None = None) -> int:
        """Open every whole message in ``data``; returns how many bytes were used. Raises SecurityError.

        ``place``: may be asked before a message is opened; ``deliver`` is then called with that very view.
        """
        ...

    def sealed_message(self) -> Steps[bytes]:
        """Read one whole sealed message, for use before receive() is fed. Raises SecurityError."""
        ...

    def seal_into(self, plain: memoryview, out: memoryview) -> int:
        """Seal ``plain``, 1..plain_size bytes, into ``out``; returns the bytes written, at most sealed_size."""
        ...


class Authenticated(Protocol):
    """Who is at the other end of a connection, and by which protocols that is known."""

    @property
    def peer(self) -> PeerId: ...

    @property
    def public_key(self) -> bytes:
        """Encoded, of the peer."""
        ...

    @property
    def security(self) -> str:
        """Protocol id."""
        ...

    @property
    def muxer(self) -> str | None:
        """Protocol id."""
        ...


@dataclass(frozen=True, slots=True)
class Secured:
    """The outcome of a security handshake."""

    channel: SecureChannel
    peer: PeerId
    public_key: bytes
    """Encoded, of the peer."""
    security: str
    """Protocol id."""
    muxer: str | None
    """Agreed on within the handshake, or None: negotiate it."""
    early: bytes = b""
    """Plaintext that followed the negotiation in the same message: the muxer's first input."""
    binding: bytes = b""
    """Of the handshake, known to its two ends alone; b"": the protocol gives none."""
