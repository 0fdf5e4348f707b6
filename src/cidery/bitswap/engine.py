"""The serving side: who wants what of us, in which order it goes out, and the ledgers. Pure.

Each peer has a queue of its own; turns.py says whose turn it is to be sent a message of bounded size. Wants that cannot
be served stay, bounded, and are served when the block comes.

Spec: https://specs.ipfs.tech/bitswap-protocol/
"""

from collections import OrderedDict
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from math import inf

from cidery.bitswap.message import Entry, WantType
from cidery.bitswap.offers import Offers
from cidery.bitswap.turns import LOOKED_AT, SMALL, Turns
from cidery.budgets import BITSWAP_ANSWERS, BITSWAP_WANTS
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import RAW

MAX_WANTS_PER_PEER = BITSWAP_WANTS.amount
MAX_QUEUED_PER_PEER = BITSWAP_ANSWERS.amount
MESSAGE_BYTES = 1024 * 1024
"""Block bytes after which a message is closed. Helia loses blocks of streams that hold more than 4 MiB unread."""
MESSAGE_BLOCKS = 1024
"""Most blocks in one message, however small: receivers bound the fields they read."""
ASKED_SECONDS = 60.0
"""How long it is remembered which peers ask for the root of a DAG..."""
ASKED_ROOTS = 4096
"""... of the roots asked for last..."""
MAX_ASKERS = 32
"""... and of the peers that asked last."""
INLINE_BYTES = 1024
"""Blocks up to this size are sent in answer to want-have: the block is no larger than the question back."""


@dataclass(slots=True)
class Ledger:
    """What passed between us and one peer."""

    bytes_sent: int = 0
    bytes_received: int = 0
    blocks_sent: int = 0
    blocks_received: int = 0


@dataclass(slots=True)
class Envelope:
    """What the next message to a peer carries; blocks are still to be read from the store."""

    blocks: list[CID] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    """Bytes to be sent of each of them."""
    starts: dict[CID, int] = field(default_factory=dict)
    """Offsets from which on they are sent, where that is not 0."""
    haves: list[CID] = field(default_factory=list)
    dont_haves: list[CID] = field(default_factory=list)
    pending_bytes: int = 0

    @property
    def empty(self) -> bool:
        return not (self.blocks or self.haves or self.dont_haves)


class _PeerQueue:
    def __init__(self) -> None:
        self.wants: OrderedDict[CID, Entry] = OrderedDict()
        """Wants not served yet because the block is not here."""
        self.blocks: OrderedDict[CID, int] = OrderedDict()
        """To be sent -> bytes."""
        self.priority: dict[CID, int] = {}
        """Of these, where it is not 1."""
        self.starts: dict[CID, int] = {}
        """Of these, the offset from which on one is to be sent, where that is not 0."""
        self.sending: dict[CID, int] | None = None
        """Blocks of the message that is being sent and that are still wanted -> offset; None: none is."""
        self.spared = 0
        """Bytes at the end of that message that are not wanted."""
        self.presences: OrderedDict[CID, bool] = OrderedDict()
        """To be said -> whether we have it."""
        self.queued_bytes = 0

    def put(self, cid: CID, size: int, start: int) -> None:
        """A block is to be sent, ``size`` bytes from an offset on; nothing else of it."""
        self.queued_bytes += size - self.blocks.get(cid, 0)
        self.blocks[cid] = size
        self.starts.pop(cid, None)
        if start:
            self.starts[cid] = start

    def take(self, cid: CID) -> int:
        """Remove a block that is to be sent; its bytes, 0 if there is none."""
        self.priority.pop(cid, None)
        self.starts.pop(cid, None)
        size = self.blocks.pop(cid, 0)
        self.queued_bytes -= size
        return size

    def serves(self, entry: Entry) -> bool:
        """Whether that is being sent, or to be sent: who asks for all once more is not sent it twice."""
        if entry.cid in self.blocks:
            return self.starts.get(entry.cid, 0) == entry.start
        return self.sending is not None and self.sending.get(entry.cid) == entry.start

    def pack(self, cid: CID, envelope: Envelope) -> None:
        """Move a block that is to be sent into an envelope."""
        start = self.starts.get(cid, 0)
        if start:
            envelope.starts[cid] = start
        envelope.blocks.append(cid)
        envelope.sizes.append(self.take(cid))
        if self.sending is None:
            self.sending, self.spared = {}, 0
        self.sending[cid] = start


class Engine:
    """Wants in, envelopes out. Peers are any hashable text."""

    def __init__(self, now: float = 0.0, seed: int = 0) -> None:
        """``seed``: see Turns."""
        self.ledgers: dict[str, Ledger] = {}
        self.turns = Turns(now, seed)
        self.offers = Offers()
        self._peers: dict[str, _PeerQueue] = {}
        self._asked: OrderedDict[bytes, dict[str, float]] = OrderedDict()
        """Multihash of what may be a root -> who asked for it, and when."""
        self._waiting: dict[str, _PeerQueue] = {}
        """Peers that blocks are queued for."""
        self.wanted_by: dict[bytes, dict[tuple[str, CID], None]] = {}
        """Multihash -> who waits, and under which name; other threads may ask whether one is in it."""

    def add_peer(self, peer: str, now: float = 0.0) -> None:
        self._peers.setdefault(peer, _PeerQueue())
        self.ledgers.setdefault(peer, Ledger())
        self.turns.add(peer, now)

    def remove_peer(self, peer: str) -> None:
        queue = self._peers.pop(peer, None)
        if queue is not None:
            for cid in queue.wants:
                self._unwant(cid, peer)
        self._waiting.pop(peer, None)
        self.turns.remove(peer)
        self.offers.left(peer)
        self.ledgers.pop(peer, None)

    def on_wantlist(self, peer: str, entries: Sequence[Entry], full: bool) -> list[CID]:
        """Take a wantlist; returns the CIDs whose sizes on_sizes() wants to be told."""
        queue = self._peers.get(peer)
        if queue is None:
            return []
        # "C MAY either send a complete wantlist, or an update to an outstanding wantlist"
        if full:
            self._forget(peer, queue, [*queue.wants, *queue.blocks, *queue.presences])
        lookups: list[CID] = []
        for entry in entries:
            # "signifying that the client no longer wants the block": what is queued for it is not sent either
            if entry.cancel and entry.spared:
                if queue.sending is not None and list(queue.sending) == [entry.cid]:
                    queue.spared = entry.spared
            elif entry.cancel:
                if entry.cid in queue.blocks:
                    self.turns.had_elsewhere(entry.cid.multihash, peer)
                self._forget(peer, queue, [entry.cid])
                if queue.sending is not None:
                    queue.sending.pop(entry.cid, None)
            elif len(queue.blocks) + len(queue.presences) + len(lookups) < MAX_QUEUED_PER_PEER:
                if entry.want_type is WantType.HAVE:
                    queue.take(entry.cid)  # it replaces the want for the block
                queue.wants[entry.cid] = entry
                queue.wants.move_to_end(entry.cid)
                self.wanted_by.setdefault(entry.cid.multihash, {})[peer, entry.cid] = None
                lookups.append(entry.cid)
        if not queue.blocks:
            self._waiting.pop(peer, None)
        return lookups

    def asks(self, peer: str, cid: CID, now: float) -> list[str]:
        """Note that a peer wants a DAG, by a want or as a stream; returns the others that do, the latest last."""
        askers = self._asked.setdefault(cid.multihash, {})
        self._asked.move_to_end(cid.multihash)
        if len(self._asked) > ASKED_ROOTS:
            self._asked.popitem(last=False)
        askers.pop(peer, None)
        askers[peer] = now
        for other, at in list(askers.items()):
            if now - at > ASKED_SECONDS or len(askers) > MAX_ASKERS:
                del askers[other]
        return [other for other in askers if other != peer]

    def on_sizes(self, peer: str, cids: Sequence[CID], sizes: Sequence[int | None], now: float = 0.0) -> None:
        """What the store knows of the looked-up wants: sizes in bytes, None where absent."""
        queue = self._peers.get(peer)
        if queue is None:
            return
        for cid, size in zip(cids, sizes, strict=True):
            entry = queue.wants.get(cid)
            if entry is None:
                continue
            if size is not None:
                self._serve(peer, queue, entry, size, now)
            # "If C sends S a Have request for data S does not have [...] and C has requested for DontHave responses
            # then S SHOULD respond with DontHave"; without, the peer hears nothing until the block is there
            elif entry.send_dont_have:
                queue.presences[cid] = False
        while len(queue.wants) > MAX_WANTS_PER_PEER:
            cid, _ = queue.wants.popitem(last=False)
            self._unwant(cid, peer)

    def on_new_blocks(self, blocks: Sequence[tuple[bytes, int]], now: float = 0.0) -> list[str]:
        """Blocks (multihash, bytes) came into the store; returns the peers that now have something to be sent.

        Whatever codec or version they were asked for by.
        """
        woken: dict[str, None] = {}
        for multihash, size in blocks:
            for peer, cid in list(self.wanted_by.get(multihash, ())):
                queue = self._peers[peer]
                self._serve(peer, queue, queue.wants[cid], size, now)
                woken[peer] = None
        return list(woken)

    @property
    def waiting(self) -> bool:
        """Whether blocks are queued for a peer whose turn it is not."""
        return any(not self.turns.serves(peer) for peer in self._waiting)

    def begin_turn(self, now: float) -> str | None:
        """The peer whose turn begins now; None while no more are served, or none waits. end_turn() must follow."""
        turns = self.turns
        if not self._waiting or turns.full(now):
            return None
        free = (peer for peer in self._waiting if not (turns.serves(peer) or turns.rests(peer, now)))
        waiting = {
            peer: [cid.multihash for cid in islice(self._waiting[peer].blocks, LOOKED_AT)]
            for peer in islice(free, LOOKED_AT * 4)
        }
        return turns.begin(waiting, now)

    def offer(self, acts_on_it: Callable[[str], bool], now: float) -> str | None:
        """The peer that is to be told again what we have, while nobody is in line. ``acts_on_it``: whether one does.

        As many at a time as there are free slots, but one as well while the last blocks are being sent.
        """
        turns = self.turns
        if self.waiting or (self._waiting and turns.free <= 0):
            return None
        strangers: list[str] = []

        def rank(peer: str) -> int | None:
            if not acts_on_it(peer):
                strangers.append(peer)
                return None
            return None if peer in self._waiting or turns.serves(peer) else turns.place(peer, now)

        made = self.offers.next(rank, now, max(1, turns.free))
        for peer in strangers:
            self.offers.left(peer)
        if made is None:
            return None
        peer, cids = made
        for cid in cids:
            self._peers[peer].presences.setdefault(cid, True)
        return peer

    def end_turn(self, peer: str, size: int, now: float) -> None:
        """``size`` bytes of blocks were sent in it."""
        self.turns.end(peer, size, now, others_wait=self.waiting)

    def next_envelope(self, peer: str) -> Envelope:
        """Take the next message's worth off the peer's queue, blocks only in its turn; empty if nothing is due."""
        envelope, queue = Envelope(), self._peers.get(peer)
        if queue is None:
            return envelope
        if queue.blocks and self.turns.serves(peer):
            self._take_blocks(peer, queue, envelope)
        elif queue.blocks:
            self._take_small(peer, queue, envelope)
        while queue.presences and len(envelope.haves) + len(envelope.dont_haves) < MAX_WANTS_PER_PEER:
            cid, have = queue.presences.popitem(last=False)
            (envelope.haves if have else envelope.dont_haves).append(cid)
        envelope.pending_bytes = queue.queued_bytes
        return envelope

    def _take_blocks(self, peer: str, queue: _PeerQueue, envelope: Envelope) -> None:
        """Up to a message's worth; when others wait too, first what was sent to the fewest."""
        limit, size, sent_to = min(MESSAGE_BYTES, self.turns.limit(peer)), 0, self.turns.sent_to
        due = list(islice(queue.blocks, MESSAGE_BLOCKS))
        # "S SHOULD respect the relative priority of wantlist requests from C": among equals when others wait, too
        if queue.priority:
            due.sort(key=lambda cid: -queue.priority.get(cid, 1))
        if len(self._waiting) > 1:
            sign = -1 if self.turns.spares(peer) else 1
            due = sorted(due[:LOOKED_AT], key=lambda cid: sign * sent_to(cid.multihash))
        for cid in due:
            length = queue.blocks[cid]
            read = length + queue.starts.get(cid, 0)  # a rest is read as a whole block
            if envelope.blocks and size + read > limit:
                break
            queue.pack(cid, envelope)
            self.turns.sends(cid.multihash, peer, tried=length > SMALL and len(self._waiting) > 1)
            size += read
        if not queue.blocks:
            self._waiting.pop(peer, None)

    def _take_small(self, peer: str, queue: _PeerQueue, envelope: Envelope) -> None:
        """Of the first few what is so small that it need not wait for a turn."""
        for cid, size in list(islice(queue.blocks.items(), LOOKED_AT)):
            if size <= SMALL and cid not in queue.starts and self.turns.passes(size):
                queue.pack(cid, envelope)
                self.turns.sends(cid.multihash, peer)
        if not queue.blocks:
            self._waiting.pop(peer, None)

    def to_ask_for(self, peer: str, envelope: Envelope) -> CID | None:
        """A leaf that was just sent to a peer, if others wait and it is not known whether that one passes blocks on."""
        if not (self._waiting or self.offers) or not self.turns.doubts(peer):
            return None
        sent = zip(envelope.blocks, envelope.sizes, strict=True)
        return next((cid for cid, size in sent if size > SMALL and cid.codec == RAW), None)

    def withdrawn_leaf(self, peer: str, entries: Sequence[Entry], asked: Container[CID]) -> CID | None:
        """A leaf that it withdraws its want for, unless it was ``asked``: has it that, for others to have it there?"""
        if not self.waiting or not self.turns.doubts(peer):
            return None
        leaf = next((one.cid for one in entries if one.cancel and not one.spared and one.cid.codec == RAW), None)
        return leaf if leaf is not None and leaf not in asked else None

    @contextmanager
    def sending(self, peer: str, envelope: Envelope) -> Iterator[None]:
        """While its blocks are read, and while it is sent: it is put back if that fails."""
        try:
            yield
        except BaseException:
            self.put_back(peer, envelope)
            raise

    def put_back(self, peer: str, envelope: Envelope) -> None:
        """What could not be sent goes to the front of the peer's queue again, if it is still there."""
        for cid in envelope.blocks:
            self.turns.not_sent(cid.multihash, peer)
        queue = self._peers.get(peer)
        if queue is None:
            return
        wanted, queue.sending = queue.sending or {}, None
        for cid, size in reversed(list(zip(envelope.blocks, envelope.sizes, strict=True))):
            if cid not in wanted and cid not in queue.blocks:
                continue
            if cid not in queue.blocks:
                queue.put(cid, size, envelope.starts.get(cid, 0))
                self._waiting[peer] = queue
            queue.blocks.move_to_end(cid, last=False)
        for have, cids in ((True, envelope.haves), (False, envelope.dont_haves)):
            for cid in cids:
                queue.presences.setdefault(cid, have)

    def withdrawn(self, peer: str) -> float:
        """Bytes at the end of the message that is being sent to it that it does not want any more; inf: any of it."""
        queue = self._peers.get(peer)
        if queue is None or queue.sending is None:
            return 0.0
        return queue.spared if queue.sending else inf

    def stops(self, peer: str) -> None:
        """What is left of that message is not sent."""
        if (queue := self._peers.get(peer)) is not None and queue.sending is not None:
            queue.sending.clear()

    def sent(self, peer: str, blocks: int, size: int) -> None:
        """The message that was being sent to it, with so many blocks."""
        if (queue := self._peers.get(peer)) is not None:
            queue.sending = None
        self._count(peer, blocks, size)

    def _count(self, peer: str, blocks: int, size: int) -> None:
        if (ledger := self.ledgers.get(peer)) is not None:
            ledger.blocks_sent += blocks
            ledger.bytes_sent += size

    def received(self, peer: str, cids: Sequence[CID], size: int, now: float = 0.0) -> None:
        """Blocks came, ``size`` bytes of them wanted."""
        self.turns.received(peer, size, now)
        for cid in cids:
            self.turns.fetched(cid.multihash)
        if (ledger := self.ledgers.get(peer)) is not None:
            ledger.blocks_received += len(cids)
            ledger.bytes_received += size

    def streamed(self, peer: str, cids: Sequence[CID], size: int, now: float = 0.0) -> None:
        """``size`` bytes went to a peer in a stream beside Bitswap, the last ones of these blocks among them."""
        self.turns.took(peer, size, now)
        for cid in cids:
            self.turns.sends(cid.multihash, peer)
        self._count(peer, len(cids), size)

    def wantlist(self, peer: str) -> list[CID]:
        """What the peer wants of us and we do not have."""
        queue = self._peers.get(peer)
        return list(queue.wants) if queue else []

    # --- inside

    def _serve(self, peer: str, queue: _PeerQueue, entry: Entry, size: int, now: float) -> None:
        cid = entry.cid
        del queue.wants[cid]
        self._unwant(cid, peer)
        # "it SHOULD respond with a Have, although it MAY instead respond with the block itself (e.g. if the block is
        # very small)"
        if entry.want_type is WantType.HAVE and size > INLINE_BYTES:
            queue.presences[cid] = True
            self.offers.told(peer, cid, now)
        elif not queue.serves(entry):
            self.offers.took(peer, cid, now)
            queue.presences.pop(cid, None)
            start = entry.start if entry.start < size else 0
            queue.put(cid, size - start, start)
            if entry.priority != 1:
                queue.priority[cid] = entry.priority
            self._waiting[peer] = queue
        else:
            queue.spared = 0

    def _forget(self, peer: str, queue: _PeerQueue, cids: Sequence[CID]) -> None:
        for cid in cids:
            if queue.wants.pop(cid, None) is not None:
                self._unwant(cid, peer)
            queue.take(cid)
            queue.presences.pop(cid, None)
            self.offers.settled(peer, cid)
        if not queue.blocks:
            self._waiting.pop(peer, None)

    def _unwant(self, cid: CID, peer: str) -> None:
        wants = self.wanted_by.get(cid.multihash)
        if wants is not None:
            wants.pop((peer, cid), None)
            if not wants:
                del self.wanted_by[cid.multihash]
