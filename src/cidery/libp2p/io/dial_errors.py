"""Why an address cannot be dialled, or was in vain."""

from __future__ import annotations

from collections.abc import Sequence

from cidery.errors import Unavailable, words_of
from cidery.identity.peer_id import PeerId
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
        return "no transport here dials such addresses"


class Stranger(Unavailable):
    """The address of a private network answers, and the handshake did not come as far as security."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.reason}; is the swarm.key there the same as here?"


def reason_of(exc: BaseException) -> str:
    """For people, in a few words."""
    if isinstance(exc, TimeoutError):
        return "timed out"
    if isinstance(exc, OSError):
        return words_of(exc)
    return str(exc)
