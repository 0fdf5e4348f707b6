"""What came of blocks whose sender left before their end: the rest is asked of another peer. Pure.

A want names the offset from which on the block is missing, a field of ours that others skip: they send the whole block.
Nothing is known of the first part until the last byte is here and the hash is taken. If that is wrong, one of the two
peers lied: the block is fetched as a whole, and neither completes a block again, or has one completed, for a while.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import replace

from cidery.bitswap.message import Entry, Payload, WantType
from cidery.budgets import BITSWAP_PARTS
from cidery.ipld.block import MAX_BLOCK
from cidery.multiformats.cid import CID

LEAST_PART = 16 * 1024
"""Bytes from which on it is worth while to ask for the rest only."""
MAX_SUSPECTS = 1024
"""Most peers that are remembered for a block that two of them sent wrongly."""


class Parts:
    """One per node. Peers are any hashable text."""

    def __init__(self, most: int = BITSWAP_PARTS.amount) -> None:
        """``most``: bytes that are kept."""
        self._known: OrderedDict[CID, tuple[bytes, str]] = OrderedDict()
        self._bytes = 0
        self._most = most
        self._suspects: OrderedDict[str, None] = OrderedDict()

    def keep(self, peer: str, begun: Payload) -> None:
        """A peer sent the beginning of the block ``begun.rest_of``, or more of one whose beginning is here."""
        cid = begun.rest_of
        if cid is None or peer in self._suspects:
            return
        before, by = self._known.get(cid, (b"", peer))
        size = begun.start + len(begun.data)
        if len(begun.data) < LEAST_PART or not begun.start <= len(before) < size <= MAX_BLOCK:
            return
        self.drop(cid)
        self._known[cid] = before[: begun.start] + begun.data, by if begun.start else peer
        self._bytes += size
        while self._bytes > self._most:
            self.drop(next(iter(self._known)))

    def drop(self, cid: CID) -> None:
        """The block is here, or nobody wants it."""
        if (known := self._known.pop(cid, None)) is not None:
            self._bytes -= len(known[0])

    def start(self, peer: str, cid: CID) -> int:
        """The offset from which on a block is asked of a peer."""
        known = self._known.get(cid)
        return len(known[0]) if known is not None and peer not in self._suspects else 0

    def asking(self, peer: str, entries: Iterable[Entry]) -> list[Entry]:
        """These wants, for blocks that are here in part from where they end."""
        out: list[Entry] = []
        for one in entries:
            start = 0 if one.cancel or one.want_type is WantType.HAVE else self.start(peer, one.cid)
            out.append(replace(one, start=start) if start else one)
        return out

    def join(self, rest: Payload) -> Payload | None:
        """The whole block of which this is the rest; None: its beginning is not here. Copies it."""
        known = self._known.get(rest.rest_of) if rest.rest_of is not None else None
        if known is None or len(known[0]) < rest.start or rest.start + len(rest.data) > MAX_BLOCK:
            return None
        return replace(rest, data=memoryview(b"".join((memoryview(known[0])[: rest.start], rest.data))))

    def failed(self, peer: str, cid: CID) -> None:
        """What a peer sent as the rest does not complete the block."""
        _, by = self._known.get(cid, (b"", peer))
        self.drop(cid)
        for name in (by, peer):
            self._suspects[name] = None
            self._suspects.move_to_end(name)
        while len(self._suspects) > MAX_SUSPECTS:
            self._suspects.popitem(last=False)

    def __len__(self) -> int:
        """Bytes that are kept."""
        return self._bytes
