"""What came of blocks whose sender left before their end: the rest is asked of another peer. Pure.

A want names the offset from which on the block is missing, a field of ours that others skip: they send the whole block.
Nothing is known of the first part until the last byte is here and the hash is taken. If that is wrong, one of those
that sent it lied: the block is fetched as a whole, and none of them completes a block again, or has one completed, for
a while.

A block may also be shared at the end of a fetch: one peer is sending it, and another is asked for its last part
meanwhile. The first is told where to stop (``wantlist.spare``).
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
"""Most peers that are remembered for a block that two or more of them sent wrongly."""
MAX_SHARED = 64
"""Most blocks of which two peers send a part each: a session shares one with each source that has nothing to do."""

Senders = tuple[str, ...]
"""Of a beginning, each once."""


class Parts:
    """One per node. Peers are any hashable text."""

    def __init__(self, most: int = BITSWAP_PARTS.amount) -> None:
        """``most``: bytes that are kept."""
        self._known: OrderedDict[CID, tuple[bytes, Senders]] = OrderedDict()
        self._bytes = 0
        self._most = most
        self._suspects: OrderedDict[str, None] = OrderedDict()
        self._shared: OrderedDict[CID, tuple[str, str, int]] = OrderedDict()
        """Block -> who is sending it, who is asked for its end, and from which offset on that is."""

    def keep(self, peer: str, begun: Payload) -> None:
        """A peer sent the beginning of the block ``begun.rest_of``, or more of one whose beginning is here."""
        cid = begun.rest_of
        if cid is None or peer in self._suspects:
            return
        before, by = self._known.get(cid, (b"", ()))
        size = begun.start + len(begun.data)
        if len(begun.data) < LEAST_PART or not begun.start <= len(before) < size <= MAX_BLOCK:
            return
        self._forget(cid)
        others = tuple(one for one in by if one != peer) if begun.start else ()
        self._known[cid] = before[: begun.start] + begun.data, (*others, peer)
        self._bytes += size
        while self._bytes > self._most:
            self._forget(next(iter(self._known)))

    def drop(self, cid: CID) -> None:
        """The block is here, or nobody wants it."""
        self._shared.pop(cid, None)
        self._forget(cid)

    def _forget(self, cid: CID) -> None:
        if (known := self._known.pop(cid, None)) is not None:
            self._bytes -= len(known[0])

    def start(self, peer: str, cid: CID) -> int:
        """The offset from which on a block is asked of a peer."""
        if peer in self._suspects:
            return 0
        if (shared := self._shared.get(cid)) is not None and shared[1] == peer:
            return shared[2]
        known = self._known.get(cid)
        return len(known[0]) if known is not None else 0

    def share(self, cid: CID, giver: str, peer: str, begun: Payload | None, more: int) -> bool:
        """A peer is asked for the end of what ``giver`` has begun to send, from so many bytes after the last on.

        False: it is not known what that is, or one of them may lie.
        """
        if begun is None or begun.rest_of != cid or more < 0 or not {giver, peer}.isdisjoint(self._suspects):
            return False
        self._shared[cid] = giver, peer, begun.start + len(begun.data) + more
        if len(self._shared) > MAX_SHARED:
            self._shared.popitem(last=False)
        return True

    def giver(self, peer: str, rest: Payload) -> str | None:
        """Who is sending the beginning of a block of which this peer was asked for the end, which this is."""
        shared = self._shared.get(rest.rest_of) if rest.rest_of is not None else None
        return shared[0] if shared is not None and shared[1:] == (peer, rest.start) else None

    def unshare(self, peer: str, cids: Iterable[CID]) -> None:
        """The end that this peer was asked for is of no use, or not wanted any more."""
        for cid in cids:
            if (shared := self._shared.get(cid)) is not None and shared[1] == peer:
                del self._shared[cid]

    def asking(self, peer: str, entries: Iterable[Entry]) -> list[Entry]:
        """These wants, for blocks that are here in part from where they end."""
        out: list[Entry] = []
        for one in entries:
            start = 0 if one.cancel or one.want_type is WantType.HAVE else self.start(peer, one.cid)
            out.append(replace(one, start=start) if start else one)
        return out

    def join(self, peer: str, rest: Payload) -> tuple[Payload, Senders] | None:
        """The whole block of which a peer sent the rest, and who sent it. Copies it.

        None: its beginning is not here, or the peer sent wrong ones, maybe.
        """
        known = self._known.get(rest.rest_of) if rest.rest_of is not None and peer not in self._suspects else None
        if known is None or len(known[0]) < rest.start or rest.start + len(rest.data) > MAX_BLOCK:
            return None
        data, by = known
        return replace(rest, data=memoryview(b"".join((memoryview(data)[: rest.start], rest.data)))), (*by, peer)

    def failed(self, by: Senders) -> None:
        """The hash of a block of which these peers sent a piece each is wrong: nothing of theirs is kept."""
        for cid in [cid for cid, (_, senders) in self._known.items() if not set(by).isdisjoint(senders)]:
            self.drop(cid)
        for name in by:
            self._suspects[name] = None
            self._suspects.move_to_end(name)
        while len(self._suspects) > MAX_SUSPECTS:
            self._suspects.popitem(last=False)

    def __len__(self) -> int:
        """Bytes that are kept."""
        return self._bytes
