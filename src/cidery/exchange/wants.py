"""The wants of a session: which are open, which are asked of a source, which no source may have. Pure.

::

    queue --> open --> asked of a source --> done
               ^  ^           |
               |  +-----------+  refused, taken away, source gone
               v
             barren                all sources that could be asked said no

The open ones are a window over the wants in reading order. Within it a block that few have is asked for first, so
that readers of the same DAG fetch different blocks and have something to give each other.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, KeysView
from itertools import islice

from cidery.multiformats.cid import CID

MAX_SESSION_WANTS = 64 * 1024
"""Wants that one session remembers; a reader that prefetches more must do so later."""
WINDOW = 256
"""Open wants: 64 MiB of blocks of 256 KiB. Peers are asked what they have of these."""


class Want:
    """One block that is to come."""

    __slots__ = ("asked_at", "denied", "holders", "needed", "salt", "source", "told")

    def __init__(self) -> None:
        self.source: str | None = None
        """The source that is being asked for the block."""
        self.asked_at = 0.0
        self.denied: set[str] = set()
        """Sources that do not have it."""
        self.holders: dict[str, None] = {}
        """Sources that said HAVE."""
        self.told: dict[str, None] = {}
        """Sources that know of this want, by want-block or want-have, and may still answer."""
        self.needed = False
        """The reader waits for it."""
        self.salt = 0.0
        """Its place among wants that equally many sources have."""


class Wants:
    """See the module's text. Every want is in exactly one of queue, ``open``, ``asked`` and ``barren``."""

    def __init__(self) -> None:
        self.all: OrderedDict[CID, Want] = OrderedDict()
        self.open: OrderedDict[CID, Want] = OrderedDict()
        self.asked: dict[CID, Want] = {}
        self.barren: OrderedDict[CID, Want] = OrderedDict()
        self._queue: OrderedDict[CID, Want] = OrderedDict()

    def __len__(self) -> int:
        return len(self.all)

    def __contains__(self, cid: CID) -> bool:
        return cid in self.all

    def keys(self) -> KeysView[CID]:
        """All of them, in the order in which they were wanted."""
        return self.all.keys()

    def get(self, cid: CID) -> Want | None:
        return self.all.get(cid)

    def first(self) -> CID:
        """The one wanted first. Raises StopIteration if there is none."""
        return next(iter(self.all))

    def add(self, cids: Iterable[CID]) -> None:
        """Repeats cost nothing; beyond MAX_SESSION_WANTS they are dropped."""
        for cid in cids:
            if cid not in self.all and len(self.all) < MAX_SESSION_WANTS:
                self.all[cid] = self._queue[cid] = Want()

    def need(self, cid: CID) -> bool:
        """The reader waits for it: it is opened, before the others; True if it was in the queue until now."""
        want = self.all.get(cid)
        if want is None:
            return False
        want.needed = True
        if self._queue.pop(cid, None) is not None:
            self._open_first(cid, want)
            return True
        if cid in self.open:
            self.open.move_to_end(cid, last=False)
        return False

    def fill(self) -> list[CID]:
        """Open more, as far as the window reaches; returns those."""
        entered: list[CID] = []
        while self._queue and len(self.open) < WINDOW:
            cid, want = self._queue.popitem(last=False)
            self.open[cid] = want
            entered.append(cid)
        return entered

    def ask(self, cid: CID, source: str, now: float) -> None:
        """An open want is asked of a source."""
        want = self.asked[cid] = self.open.pop(cid)
        want.source, want.asked_at = source, now
        want.told[source] = None

    def reopen(self, cid: CID, source: str) -> None:
        """It is no longer asked of ``source``; the others come after it."""
        want = self.asked.get(cid)
        if want is not None and want.source == source:
            del self.asked[cid]
            want.source = None
            self._open_first(cid, want)

    def give_up(self, cid: CID) -> None:
        """No source may have it."""
        self.barren[cid] = self.open.pop(cid)

    def revive(self, cid: CID) -> None:
        """A source has it after all."""
        want = self.barren.pop(cid, None)
        if want is not None:
            self._open_first(cid, want)

    def _open_first(self, cid: CID, want: Want) -> None:
        self.open[cid] = want
        self.open.move_to_end(cid, last=False)

    def revive_all(self) -> None:
        """There is a source that was not asked."""
        self.open.update(self.barren)
        self.barren.clear()

    def pop(self, cid: CID) -> Want | None:
        """Remove it, done or forgotten."""
        want = self.all.pop(cid, None)
        if want is not None:
            for place in (self.open, self.asked, self._queue, self.barren):
                if place.pop(cid, None) is not None:
                    break
        return want

    def forget_source(self, name: str) -> None:
        """It is gone: what it said of wants no longer counts. O(wants)."""
        for want in self.all.values():
            if want.told or want.denied or want.holders:
                want.denied.discard(name)
                want.holders.pop(name, None)
                want.told.pop(name, None)

    def visible(self) -> Iterator[CID]:
        """Those that sources are asked about: the window and what is under way."""
        yield from self.open
        yield from self.asked

    def rarest_first(self) -> list[CID]:
        """The open ones: what the reader waits for, then what few sources have."""
        return sorted(self.open, key=self._rank)

    def _rank(self, cid: CID) -> tuple[bool, int, float]:
        want = self.open[cid]
        return not want.needed, len(want.holders), want.salt

    def hard_to_find(self, count: int) -> list[CID]:
        """Up to ``count`` that no source may have."""
        return list(islice(self.barren, count))
