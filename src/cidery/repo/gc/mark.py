"""The mark of a collection: which stored blocks can be reached from the roots.

Walks are keyed by codec and multihash, liveness by multihash: a bitmap of live ordinals, and one bitmap per codec of
the nodes whose links were followed. Missing blocks are remembered: when one arrives, everything below it is marked.
A mark can be saved between any two steps and resumed in another process.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from cidery.blockstore.bitmap import Bitmap
from cidery.blockstore.segment_file import CorruptSegment, Location
from cidery.errors import LimitExceeded
from cidery.multiformats.cid import CID
from cidery.multiformats.multihash import IDENTITY
from cidery.repo.gc.links import LEAF_CODECS, Target, Unreadable, link_targets
from cidery.repo.gc.reached import Reached

STEP_NODES = 256
"""Nodes per step: their look-ups share read transactions and their reads are in the order of the disk."""
NARROW_STEP = 8
"""Nodes per step once WIDE_STACK targets wait: nearly depth first, which keeps the stack small."""
WIDE_STACK = 1 << 16
"""Targets, about 10 MB."""
MAX_STACK = 1 << 22
"""Most targets waiting: about 600 MB, which only a DAG made to exhaust memory reaches."""
NOT_STORED = "it is not stored"
"""Reason of a fault."""
MAX_FAULTS = 1000
"""Most faults kept with their reason."""


class MarkedStore(Protocol):
    """The source of a mark; implemented by blockstore.collector.StoreCollector."""

    def locate(self, multihashes: Sequence[bytes]) -> list[Location | None]: ...

    def is_elsewhere(self, multihash: bytes) -> bool:
        """Whether a leaf that is not stored is in a file of the user."""
        ...

    def read(self, multihash: bytes, at: Location) -> bytes | None: ...


class MarkFault(NamedTuple):
    """A block needed by a pin that is missing, unreadable, or has unreadable links."""

    cid: CID
    reason: str

    def __str__(self) -> str:
        return f"{self.cid}: {self.reason}"


class MarkTooWide(LimitExceeded):
    """More links wait to be followed than should be held in memory."""

    def __str__(self) -> str:
        return f"gave up marking: more than {MAX_STACK} links wait to be followed; remove the pin of that DAG"


class Mark:
    """One mark. For one thread."""

    def __init__(self, store: MarkedStore) -> None:
        self._store = store
        self.live = Bitmap()
        self.walked: dict[int, Bitmap] = {}
        """Codec -> nodes whose links were followed."""
        self.stack: list[Target] = []
        self.missing: set[Target] = set()
        """Linked but not stored."""
        self.faults: list[MarkFault] = []
        self.blocks = 0
        """Blocks found to be live."""
        self.strict = False
        self.careful = False
        """See push()."""
        self.reached: Reached | None = None
        """Everything reached, stored or not; None: not recorded."""
        self._gaps: list[Target] = []

    def push(self, roots: Iterable[CID], *, strict: bool = False, careful: bool = False) -> None:
        """Add targets to follow. Until the stack is empty,

        ``strict``: missing blocks below them are faults, and so are blocks with unreadable links;
        ``careful``: only the latter.
        """
        self.strict, self.careful = strict, careful
        self.stack += [(root.codec, root.multihash) for root in roots]

    def push_present(self, targets: Sequence[Target]) -> None:
        """Continue with those of these missing blocks that are stored by now."""
        places = self._store.locate([key for _, key in targets])
        found = [target for target, at in zip(targets, places, strict=True) if at is not None]
        self.missing.difference_update(found)
        self.strict = self.careful = False
        self.stack += found

    def waiting_for(self, multihashes: Iterable[bytes]) -> list[Target]:
        """The missing targets with these multihashes."""
        codecs = {codec for codec, _ in self.missing}
        return [(codec, key) for key in multihashes for codec in codecs if (codec, key) in self.missing]

    def take_gaps(self) -> list[Target]:
        """Targets found missing since the last call."""
        gaps, self._gaps = self._gaps, []
        return gaps

    def hold(self, cid: CID) -> None:
        """Mark one block, but not its links."""
        self._mark_leaves({(cid.codec, cid.multihash): None})

    def step(self) -> bool:
        """Follow the links of some nodes; returns whether there is more to do. About 2 ms.

        Raises MarkTooWide, and as the store.
        """
        stack = self.stack
        if not stack:
            return False
        size = STEP_NODES if len(stack) < WIDE_STACK else NARROW_STEP
        batch = dict.fromkeys(stack[-size:])
        del stack[-size:]
        leaves: dict[Target, None] = {}
        nodes: dict[Target, None] = {}
        for target in batch:
            (leaves if target[0] in LEAF_CODECS else nodes)[target] = None
        for target, block in self._fresh(nodes):
            for found in self._links(target, block):
                if found[0] in LEAF_CODECS:
                    leaves[found] = None
                else:
                    stack.append(found)
        self._mark_leaves(leaves)
        if len(stack) > MAX_STACK:
            raise MarkTooWide
        return bool(stack)

    def _links(self, target: Target, block: bytes) -> Sequence[Target]:
        try:
            return link_targets(*target, block)
        except Unreadable as exc:
            if (self.strict or self.careful) and len(self.faults) < MAX_FAULTS:
                self.faults.append(MarkFault(CID(1, *target), exc.reason))
            return ()

    def _fresh(self, nodes: dict[Target, None]) -> list[tuple[Target, bytes]]:
        """Those of these nodes that were not walked yet, with their bytes."""
        if self.reached is not None:
            self.reached.update(key for _, key in nodes)
        out = [(target, CID(1, *target).identity_data) for target in nodes if target[1][0] == IDENTITY]
        wanted = [target for target in nodes if target[1][0] != IDENTITY]
        places: list[tuple[Location, Target]] = []
        for target, at in zip(wanted, self._store.locate([key for _, key in wanted]), strict=True):
            if at is None:
                self._lacks(target, NOT_STORED)
            elif self.walked.setdefault(target[0], Bitmap()).add(at.ordinal):
                self.missing.discard(target)
                places.append((at, target))
        for at, target in sorted(places):
            block = self._read(at, target)
            if block is not None:
                self.blocks += self.live.add(at.ordinal)
                out.append((target, block))
        return out

    def _read(self, at: Location, target: Target) -> bytes | None:
        try:
            block = self._store.read(target[1], at)
        except CorruptSegment as exc:
            self._lacks(target, exc.reason)
            self.live.add(at.ordinal)  # damaged perhaps, but a collector does not decide that
            return None
        if block is None:
            self.walked[target[0]].discard(at.ordinal)
            self._lacks(target, NOT_STORED)
        return block

    def _mark_leaves(self, leaves: dict[Target, None]) -> None:
        wanted = [target for target in leaves if target[1][0] != IDENTITY]
        if self.reached is not None:
            self.reached.update(key for _, key in wanted)
        add = self.live.add
        for target, at in zip(wanted, self._store.locate([key for _, key in wanted]), strict=True):
            if at is not None:
                self.blocks += add(at.ordinal)
            elif not self._store.is_elsewhere(target[1]):
                self._lacks(target, NOT_STORED)

    def _lacks(self, target: Target, reason: str) -> None:
        if target not in self.missing:
            self.missing.add(target)
            self._gaps.append(target)
        if self.strict and len(self.faults) < MAX_FAULTS:
            self.faults.append(MarkFault(CID(1, *target), reason))
