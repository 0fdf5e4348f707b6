"""Which peers ask for the same DAG at the same time, and who wants to know of that."""

from collections.abc import Callable, Mapping, Sequence

from cidery.bitswap.engine import Engine
from cidery.bitswap.peer import ConnectedPeer
from cidery.identity.peer_id import PeerId
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import RAW

NOTE_AGAIN = 1.0
"""Seconds until it is noted again that a peer fetches a DAG of which it asks for leaves."""


class Crowds:
    """One per node. ``peers``: those that are connected, by name."""

    def __init__(self, engine: Engine, peers: Mapping[str, ConnectedPeer], clock: Callable[[], float]) -> None:
        self.on_crowd: list[Callable[[CID, PeerId, Sequence[PeerId]], None]] = []
        """Called with the root of a DAG that a peer asks for, that peer, and others that did so lately."""
        self._engine = engine
        self._peers = peers
        self._clock = clock

    def asks(self, peer: PeerId, root: CID) -> bool:
        """Note that a peer wants a DAG, by a want or as a stream; True if others do, too."""
        names = self._engine.asks(str(peer), root, self._clock())
        others = [self._peers[name].peer for name in names if name in self._peers]
        if others:
            for hear in self.on_crowd:
                hear(root, peer, others)
        return bool(others)

    def note(self, peer: ConnectedPeer, wanted: Sequence[CID]) -> None:
        """What may be the root of a DAG is noted at once, and again while the peer asks for leaves."""
        now = self._clock()
        for cid in wanted:
            if cid.codec != RAW:
                peer.root, peer.noted_at = cid, now
                self.asks(peer.peer, cid)
        if wanted and peer.root is not None and now - peer.noted_at > NOTE_AGAIN:
            peer.noted_at = now
            self.asks(peer.peer, peer.root)
