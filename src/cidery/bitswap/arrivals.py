"""From whom large messages are arriving, for others to know that our line is in use. Pure.

Two who send to the same node at the same time both take twice as long, and it can pass neither block on meanwhile. So
it tells those whom it asks for blocks how many others are sending to it, and they serve somebody else first if they
can.
"""

from math import inf

ARRIVES_SLOWLY = 0.05
"""Seconds after which a message that is not whole yet counts: what takes less is not worth telling."""


class Arrivals:
    """One per node. Peers are any hashable text; times are seconds of any one clock."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}
        self._latest: dict[str, float] = {}
        """When the latest began, if there are several."""
        self._slow: set[str] = set()

    def begins(self, peer: str, now: float) -> None:
        """A large message from it has begun: look() is due ARRIVES_SLOWLY later."""
        self._since.setdefault(peer, now)
        self._latest[peer] = now

    def ends(self, peer: str, *, others: bool = False) -> bool:
        """It is here, or will not come; whether what is to be told has changed.

        ``others``: another one has begun meanwhile, on another stream.
        """
        self._since.pop(peer, None)
        latest = self._latest.pop(peer, None)
        if others and latest is not None:
            self._since[peer] = self._latest[peer] = latest
        changed = peer in self._slow
        self._slow.discard(peer)
        return changed

    def look(self, now: float) -> bool:
        """Whether one counts from now on."""
        late = {peer for peer, since in self._since.items() if now >= since + ARRIVES_SLOWLY} - self._slow
        self._slow |= late
        return bool(late)

    def ends_at(self, peer: str, arrived: int, missing: int, at: float, now: float) -> float:
        """When a message will be whole of which so many bytes have arrived until ``at``, at this rate; inf: unknown.

        One that should be whole by now and is not comes at the lower rate that it has had until now.
        """
        since = self._since.get(peer, at)
        if not arrived or at <= since:
            return inf
        ends = at + missing * (at - since) / arrived
        return ends if ends >= now else now + missing * (now - since) / arrived

    def beside(self, peer: str) -> int:
        """How many others than this one are sending."""
        return len(self._slow) - (peer in self._slow)
