"""Dial one address, and say why it failed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from cidery.errors import Unavailable
from cidery.identity.peer_id import PeerId
from cidery.libp2p.io.connection import Connection, ConnectionFailed
from cidery.libp2p.io.transport import Transport
from cidery.libp2p.protocols.multistream import MultistreamError, ProtocolNotSupported
from cidery.libp2p.protocols.steps import HandshakeCut
from cidery.multiformats.multiaddr import Multiaddr

MAX_REPORTED = 4
"""Failures named in one error line."""


class DialFailed(Unavailable):
    """No address of the peer could be reached."""

    def __init__(self, peer: PeerId | None, failures: Sequence[tuple[Multiaddr, str]]) -> None:
        super().__init__(peer, failures)
        self.peer = peer
        self.failures = tuple(failures)

    def __str__(self) -> str:
        who = f"peer {self.peer}" if self.peer else "the peer"
        if not self.failures:
            return f"no address of {who} is known: connect with cidery swarm connect /ip4/.../tcp/.../p2p/ID"
        tried = "; ".join(f"{addr}: {why}" for addr, why in self.failures[:MAX_REPORTED])
        more = len(self.failures) - MAX_REPORTED
        return f"cannot reach {who}: {tried}" + (f"; and {more} more" if more > 0 else "")


class UnsupportedAddress(Unavailable):
    """No transport for this address here."""

    def __init__(self, addr: Multiaddr) -> None:
        super().__init__(addr)
        self.addr = addr

    def __str__(self) -> str:
        return "only /ip4|ip6|dns*/.../tcp/... addresses can be dialled"


class Stranger(Unavailable):
    """The address of a private network answers, and the handshake did not come as far as security."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.reason}; is the swarm.key there the same as here?"


async def dial_tcp(
    network: Transport,
    addr: Multiaddr,
    make: Callable[[], Connection],
    seconds: float,
    clock: Callable[[], float],
    round_trip: float | None = None,
) -> Connection:
    """Connect one TCP address and upgrade. Raises CideryError kinds, OSError, TimeoutError. Cancel-safe.

    Args:
        seconds: the most for all of it. The system also gives up: Linux sends six SYNs, for about 127 seconds.
        round_trip: as far as it is known from earlier.
    """
    endpoint = addr.tcp_endpoint()
    if endpoint is None:
        raise UnsupportedAddress(addr)
    host, port = endpoint
    connection: Connection | None = None
    try:
        async with asyncio.timeout(seconds):
            began = clock()
            connection = await network.connect(make, host, port)
            connection.remote_addr = addr
            connection.expect_round_trip(max(clock() - began, round_trip or 0.0))
            await asyncio.shield(connection.upgraded)
    except BaseException as exc:
        if connection is not None:
            connection.close("dial given up")
            if network.private and _not_understood(exc):
                raise Stranger(reason_of(exc)) from exc
        raise
    return connection


def _not_understood(exc: BaseException) -> bool:
    """Whether a handshake failed as it does without the key: noise, silence, or the end."""
    if isinstance(exc, ProtocolNotSupported):
        return False  # that much was understood
    return isinstance(exc, (TimeoutError, HandshakeCut, MultistreamError, ConnectionFailed))


def reason_of(exc: BaseException) -> str:
    """For people, in a few words."""
    if isinstance(exc, TimeoutError):
        return "timed out"
    if isinstance(exc, OSError):
        return (exc.strerror or str(exc)).lower()
    return str(exc)
