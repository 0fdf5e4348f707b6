"""What we want of one peer: the union over sessions, and the changes not yet sent. Pure.

Spec: https://specs.ipfs.tech/bitswap-protocol/, ``Wantlist``
"""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Generic, TypeVar

from cidery.bitswap.message import Entry, WantType
from cidery.multiformats.cid import CID

S = TypeVar("S")
"""A session, or who else asks."""

MAX_ASKED = 16 * 1024
"""Wants that are remembered after they were answered."""
MAX_MESSAGE_ENTRIES = 1024
"""Most entries in one message: boxo keeps 1024 wants per peer."""


class PeerWantlist(Generic[S]):
    """Wants of all sessions towards one peer. A session is any hashable token."""

    def __init__(self) -> None:
        self._blocks: dict[CID, dict[S, None]] = {}
        self._haves: dict[CID, dict[S, None]] = {}
        self._pending: OrderedDict[CID, Entry] = OrderedDict()
        self._asked: OrderedDict[bytes, None] = OrderedDict()
        """Multihashes that it was sent a want for lately, answered, withdrawn or not."""
        self._told: set[CID] = set()
        """What the peer was sent a want for and may still answer."""

    def ask(self, session: S, blocks: Iterable[CID], haves: Iterable[CID]) -> None:
        """Add wants; what another session already asked is not sent again."""
        for cid in blocks:
            askers = self._blocks.setdefault(cid, {})
            if not askers:
                self._pending[cid] = Entry(cid, send_dont_have=True)
            askers[session] = None
        for cid in haves:
            asking = self._haves.setdefault(cid, {})
            # a want-have is answered once, so it is asked anew for each session
            if cid not in self._blocks:
                self._pending[cid] = Entry(cid, want_type=WantType.HAVE, send_dont_have=True)
            asking[session] = None

    def ask_again(self) -> None:
        """Send every want-block once more: the peer may have lost them with a stream."""
        for cid in self._blocks:
            self.want_whole(cid)

    def want_whole(self, cid: CID) -> None:
        """Send a want-block once more: what came for it was of no use."""
        if cid in self._blocks:
            self._pending[cid] = Entry(cid, send_dont_have=True)

    def cancel(self, session: S, cids: Iterable[CID]) -> None:
        """Withdraw a session's wants; the peer is told when no session wants them any more."""
        for cid in cids:
            was = cid in self._blocks or cid in self._haves
            self._drop(self._blocks, cid, session)
            self._drop(self._haves, cid, session)
            if was and cid not in self._blocks and cid not in self._haves:
                self._pending.pop(cid, None)
                # "it SHOULD send a Cancel message [...] to any peers that have not already responded"; one that never
                # heard of the want needs none
                if cid in self._told:
                    self._pending[cid] = Entry(cid, cancel=True)

    def spare(self, session: S, cid: CID, size: int) -> None:
        """Another peer sends the last bytes of a block that this one is sending: it may stop there."""
        if list(self._blocks.get(cid, ())) == [session] and cid in self._told:
            self.cancel(session, (cid,))
            self._pending[cid] = Entry(cid, cancel=True, spared=size)

    def cancel_all(self, session: S) -> None:
        self.cancel(session, [cid for cid in {**self._blocks, **self._haves} if self._has(cid, session)])

    def satisfied(self, cid: CID) -> None:
        """The peer sent the block, and by that forgot our want."""
        self._blocks.pop(cid, None)
        self._haves.pop(cid, None)
        self._pending.pop(cid, None)
        self._told.discard(cid)

    def denied(self, cid: CID) -> dict[S, None]:
        """The peer said that it does not have the block: all that is still asked is to say so when it has. Who asked.

        A want-block that stood would bring the block as soon as the peer has it, when others may have sent it already.
        """
        askers = self._blocks.pop(cid, {})
        if askers:
            self._haves.setdefault(cid, {}).update(askers)
            self._pending[cid] = Entry(cid, want_type=WantType.HAVE)
        return askers

    def confirmed(self, cid: CID) -> None:
        """The peer said that it has the block, and by that forgot our question."""
        if self._haves.pop(cid, None) is not None and cid not in self._blocks and cid not in self._pending:
            self._told.discard(cid)

    def unwanted(self, cid: CID) -> None:
        """The peer offered a block that it was asked for and no session wants any more: it is told so."""
        if self.was_asked(cid) and cid not in self._blocks and cid not in self._haves:
            self._pending[cid] = Entry(cid, cancel=True)

    def next_entries(self) -> list[Entry]:
        """Changes for the next message, at most MAX_MESSAGE_ENTRIES."""
        taken: list[Entry] = []
        while self._pending and len(taken) < MAX_MESSAGE_ENTRIES:
            entry = self._pending.popitem(last=False)[1]
            taken.append(entry)
            (self._told.discard if entry.cancel else self._told.add)(entry.cid)
            if not entry.cancel:
                self._asked[entry.cid.multihash] = None
                if len(self._asked) > MAX_ASKED:
                    self._asked.popitem(last=False)
        return taken

    def asked_before(self, earlier: "PeerWantlist[S]") -> None:
        """The peer has come again: what it was asked on its last connection may still be answered."""
        self._asked = earlier._asked

    def was_asked(self, cid: CID) -> bool:
        """Whether the peer was sent a want for it lately, under any name of that hash."""
        return cid.multihash in self._asked

    @property
    def has_pending(self) -> bool:
        return bool(self._pending)

    @property
    def wants_any(self) -> bool:
        """Whether blocks are wanted of this peer."""
        return bool(self._blocks)

    @property
    def wants(self) -> list[CID]:
        """What is wanted of this peer."""
        return list(self._blocks)

    def _has(self, cid: CID, session: S) -> bool:
        return session in self._blocks.get(cid, ()) or session in self._haves.get(cid, ())

    @staticmethod
    def _drop(table: dict[CID, dict[S, None]], cid: CID, session: S) -> None:
        sessions = table.get(cid)
        if sessions is not None:
            sessions.pop(session, None)
            if not sessions:
                del table[cid]
