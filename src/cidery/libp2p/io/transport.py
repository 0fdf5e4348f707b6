"""How connections come about: each transport dials and listens on the multiaddrs of its form, and yields connections.

A transport over byte streams upgrades them (stream_transport.py); one that is secured and multiplexed by itself yields
what it has. Everything above sees the same Connection and the same streams.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from cidery.errors import Unavailable
from cidery.identity.peer_id import PeerId
from cidery.libp2p.io.connection import Connection
from cidery.libp2p.io.connection_config import ConnectionConfig
from cidery.libp2p.protocols.upgrade import UpgradeConfig
from cidery.multiformats.multiaddr import Multiaddr

Accept = Callable[[Connection], None]
"""Takes each connection from outside, as it begins its handshake: ``upgraded`` or ``closed`` tells how that ends."""


class CannotListen(Unavailable):
    """An address cannot be bound."""

    def __init__(self, addr: Multiaddr, reason: str) -> None:
        super().__init__(addr, reason)
        self.addr = addr
        self.reason = reason

    def __str__(self) -> str:
        return f"cannot listen on {self.addr}: {self.reason}; change Addresses.Swarm or stop what uses it"


@dataclass(frozen=True, slots=True)
class LocalEnd:
    """This side of a connection: who it says it is, and what its streams are served by."""

    upgrade: UpgradeConfig
    connections: ConnectionConfig
    apart: bool = False
    """Whether each dial has a port of its own: the peer's router lets those in whom the peer has sent something."""


class Listening(Protocol):
    """What is bound."""

    @property
    def addrs(self) -> Sequence[Multiaddr]:
        """One for each bound socket and form, with real ports; wildcards as they are."""
        ...

    def close(self) -> None:
        """Accept no more. Connections that exist go on. Idempotent."""
        ...


@runtime_checkable
class Punching(Protocol):
    """A transport that can open a connection from both sides at once."""

    async def punch(
        self, addr: Multiaddr, peer: PeerId, end: LocalEnd, *, seconds: float, client: bool
    ) -> Connection | None:
        """Dial while the peer dials us, from the port that listens. Both sides dial, one is the client.

        Returns the connection; None, where it comes in from the peer. Raises as Transport.dial(). Cancel-safe.
        """
        ...


class Transport(Protocol):
    """One form of addresses, or several that share sockets."""

    def takes(self, addr: Multiaddr) -> bool:
        """Whether it dials, and listens on, an address of this form; a /p2p at its end makes no difference."""
        ...

    async def listen(self, addrs: Sequence[Multiaddr], end: LocalEnd, accept: Accept) -> Listening:
        """Bind addresses that it takes, all of them or none. Called once. Raises CannotListen."""
        ...

    async def dial(
        self, addr: Multiaddr, peer: PeerId, end: LocalEnd, *, seconds: float, round_trip: float | None = None
    ) -> Connection:
        """A connection to ``peer`` at an address that it takes, authenticated, with ``remote_addr`` set.

        Args:
            seconds: the most for all of it.
            round_trip: seconds, as far as it is known from earlier.
        Raises CideryError kinds, OSError, TimeoutError. Cancel-safe: nothing of the attempt is left.
        """
        ...

    def close(self) -> None:
        """Give up what is left of it; its connections are closed already. Idempotent."""
        ...
