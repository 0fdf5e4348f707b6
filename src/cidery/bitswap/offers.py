"""What a node that has nothing to send offers, and to whom. Pure.

Who wants a block that several have waits in the line of one of them, and does not know how long the lines of the
others are: while few of them were there all joined theirs. So one with nobody in line says again what it has, to one
peer at a time; that takes one of the wants which wait elsewhere to it, or withdraws its questions.
"""

from collections import OrderedDict
from collections.abc import Callable

from cidery.multiformats.cid import CID

OFFER_PAUSE = 0.25
"""Seconds from a HAVE until the block is offered; twice as long after each offer that the peer does not act on. Also
the seconds in which one peer is offered something, or as many as there are free slots."""
MAX_OFFERS = 6
"""Times that a peer which does not act on it is offered one block."""
OFFERED_SECONDS = 30.0
"""Seconds after a HAVE in which the block is offered: a peer that did not ask by then has it, or is gone."""
MAX_TOLD = 64
"""Blocks that are offered to one peer; those it asked for last."""


class _Told:
    __slots__ = ("due", "offers", "since")

    def __init__(self, since: float) -> None:
        self.since = since
        self.due = since + OFFER_PAUSE
        """When it is offered next."""
        self.offers = 0


class Offers:
    """One per node. Peers are any hashable text; times are seconds of any one clock."""

    def __init__(self) -> None:
        self._told: OrderedDict[str, OrderedDict[CID, _Told]] = OrderedDict()
        """Peer -> blocks that it was told we have, and has neither asked for nor withdrawn; offered to last: last."""
        self._next_at = 0.0
        self._made = 0
        """Offers since the last pause."""

    def __len__(self) -> int:
        """Peers that there may be something to offer to."""
        return len(self._told)

    def told(self, peer: str, cid: CID, now: float) -> None:
        """A peer that wants a block is told that we have it."""
        blocks = self._told.get(peer)
        if blocks is None:
            blocks = self._told[peer] = OrderedDict()
            self._told.move_to_end(peer, last=False)
        if cid not in blocks:
            blocks[cid] = _Told(now)
            if len(blocks) > MAX_TOLD:
                blocks.popitem(last=False)

    def settled(self, peer: str, cid: CID) -> None:
        """It does not want the block any more, or asked for it."""
        blocks = self._told.get(peer)
        if blocks is not None and blocks.pop(cid, None) is not None and not blocks:
            del self._told[peer]

    def took(self, peer: str, cid: CID, now: float) -> None:
        """It asked for the block: it acts on offers, so the others are as good as new."""
        self.settled(peer, cid)
        for told in self._told.get(peer, {}).values():
            told.offers, told.since, told.due = 0, now, now

    def left(self, peer: str) -> None:
        self._told.pop(peer, None)

    def next(self, rank: Callable[[str], int | None], now: float, most: int = 1) -> tuple[str, list[CID]] | None:
        """The peer to make an offer to now, and the blocks. ``rank``: the least is first; None: not to this one.

        ``most``: so many before the next pause.
        """
        if now >= self._next_at:
            self._made = 0
        if self._made >= most:
            return None
        self._forget_old(now)
        best, peer, due = None, "", list[CID]()
        for one, blocks in self._told.items():
            if (place := rank(one)) is None or (best is not None and place >= best):
                continue
            if cids := [cid for cid, told in blocks.items() if now >= told.due]:
                best, peer, due = place, one, cids
                if not place:
                    break
        if not due:
            return None
        blocks = self._told[peer]
        if not self._made:
            self._next_at = now + OFFER_PAUSE
        self._made += 1
        for cid in due:
            blocks[cid].offers += 1
            blocks[cid].due = now + OFFER_PAUSE * 2 ** blocks[cid].offers
            if blocks[cid].offers >= MAX_OFFERS:
                del blocks[cid]
        if blocks:
            self._told.move_to_end(peer)
        else:
            del self._told[peer]
        return peer, due

    def _forget_old(self, now: float) -> None:
        for peer, blocks in list(self._told.items()):
            # in the order in which they were told
            while blocks and now - next(iter(blocks.values())).since >= OFFERED_SECONDS:
                blocks.popitem(last=False)
            if not blocks:
                del self._told[peer]

    def wait(self, now: float) -> float | None:
        """Seconds until there may be something to offer; None: there is nothing."""
        return max(OFFER_PAUSE, self._next_at - now) if self._told else None
