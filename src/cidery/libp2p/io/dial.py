"""Dial a peer: all addresses raced, the first that authenticates wins at once, the others are dropped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from cidery.errors import CideryError, Unavailable
from cidery.identity.peer_id import PeerId
from cidery.libp2p.io.connection import Connection, ConnectionFailed
from cidery.libp2p.io.transport import Transport
from cidery.libp2p.protocols.multistream import MultistreamError, ProtocolNotSupported
from cidery.libp2p.protocols.steps import HandshakeCut
from cidery.multiformats.multiaddr import Multiaddr

MAX_RACED = 16
"""Addresses of one peer dialled at once; the others follow as these fail."""
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


async def dial_tcp(network: Transport, addr: Multiaddr, make: Callable[[], Connection], seconds: float) -> Connection:
    """Connect one TCP address and upgrade. Raises CideryError kinds, OSError, TimeoutError. Cancel-safe."""
    endpoint = addr.tcp_endpoint()
    if endpoint is None:
        raise UnsupportedAddress(addr)
    host, port = endpoint
    connection: Connection | None = None
    try:
        async with asyncio.timeout(seconds):
            connection = await network.connect(make, host, port)
            connection.remote_addr = addr
            await asyncio.shield(connection.upgraded)
    except BaseException as exc:
        if connection is not None:
            connection.close("dial given up")
            if network.private and _not_understood(exc):
                raise Stranger(_why(exc)) from exc
        raise
    return connection


def _not_understood(exc: BaseException) -> bool:
    """Whether a handshake failed as it does without the key: noise, silence, or the end."""
    if isinstance(exc, ProtocolNotSupported):
        return False  # that much was understood
    return isinstance(exc, (TimeoutError, HandshakeCut, MultistreamError, ConnectionFailed))


async def race(
    peer: PeerId | None,
    addrs: Sequence[Multiaddr],
    dial: Callable[[Multiaddr], asyncio.Future[Connection]],
    on_failure: Callable[[Multiaddr], None],
) -> Connection:
    """The first connection of all addresses. Raises DialFailed naming what was tried. Cancel-safe: drops them all."""
    waiting = list(addrs)
    running: dict[asyncio.Future[Connection], Multiaddr] = {}
    failures: list[tuple[Multiaddr, str]] = []
    winner: Connection | None = None
    try:
        while winner is None and (waiting or running):
            while waiting and len(running) < MAX_RACED:
                addr = waiting.pop(0)
                running[dial(addr)] = addr
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                addr = running.pop(task)
                exc = task.exception()
                if exc is None and winner is None:
                    winner = task.result()
                elif exc is None:
                    task.result().close("another address was faster")
                elif isinstance(exc, (CideryError, OSError, TimeoutError)):
                    failures.append((addr, _why(exc)))
                    on_failure(addr)
                else:
                    raise exc
    finally:
        for task in running:
            task.cancel()
            task.add_done_callback(_close_latecomer)
    if winner is None:
        raise DialFailed(peer, failures)
    return winner


def _close_latecomer(task: asyncio.Future[Connection]) -> None:
    """A dial that was through before its cancellation reached it: nobody wants its connection."""
    if not task.cancelled() and task.exception() is None:
        task.result().close("another address was faster")


def _why(exc: BaseException) -> str:
    if isinstance(exc, TimeoutError):
        return "timed out"
    if isinstance(exc, OSError):
        return (exc.strerror or str(exc)).lower()
    return str(exc)
