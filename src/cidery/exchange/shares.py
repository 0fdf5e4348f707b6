"""At the end: a block that one source is bringing is shared with one that has nothing else to do. Pure.

The first goes on from the beginning, and is told where to stop; the other is asked for what is behind that, as much as
makes both end at the same time.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from math import inf
from typing import NamedTuple

from cidery.exchange.commands import Outbox
from cidery.exchange.moves import CROSSING, LEAST_PAUSE
from cidery.exchange.source import Source
from cidery.exchange.wants import Wants
from cidery.multiformats.cid import CID

LEAST_SHARE = 96 * 1024
"""Bytes that the first is to be spared: it does not stop for less than two thirds of that."""


class End(NamedTuple):
    """The last bytes of a block."""

    giver: Source
    """Who is bringing the block."""
    taker: Source
    """Who is asked for its end."""
    cid: CID
    size: int


class Shares:
    """Of one session. Times are seconds of its clock."""

    def __init__(self) -> None:
        self.next_at: float | None = None
        """When one has nothing to do, or it is known how soon a block comes that has just begun to."""
        self._ends: dict[CID, tuple[str, str]] = {}
        """Shared block -> who is bringing it, and who was asked for its end."""

    def over(self, wants: Wants, sources: Mapping[str, Source]) -> Iterator[tuple[Source, CID, bool]]:
        """Blocks of which one of both brings its part no more, the other one, and whether that was to bring the first.

        It is to bring all of it, then; the end alone is of no use.
        """
        self.next_at = None
        for cid, (giver, name) in list(self._ends.items()):
            want, first, taker = wants.get(cid), sources.get(giver), sources.get(name)
            if want is None:
                del self._ends[cid]
            elif taker is None or cid not in taker.outstanding:
                del self._ends[cid]
                if first is not None and want.source == giver:
                    yield first, cid, True
            elif want.source != giver:
                del self._ends[cid]
                yield taker, cid, False

    def asks(self, source: Source, cid: CID) -> bool:
        """Whether it was asked for the end of a block."""
        return self._ends.get(cid, ("", ""))[1] == source.name

    def ask(
        self,
        wants: Wants,
        sources: Collection[Source],
        takers: Collection[Source],
        leaves: Callable[[CID], bool],
        out: Outbox,
        now: float,
    ) -> None:
        """Ask for what found() finds."""
        for giver, taker, cid, size in self.found(wants, sources, takers, leaves, now):
            wants.all[cid].told[taker.name] = None
            taker.asked(cid, now)
            out.share(giver.name, taker.name, cid, size)

    def found(
        self,
        wants: Wants,
        sources: Collection[Source],
        takers: Collection[Source],
        leaves: Callable[[CID], bool],
        now: float,
    ) -> Iterator[End]:
        """Who is to be asked for the end of what now. ``leaves``: whether a block was cancelled already.

        None while anything else is to be asked for, and in a crowd. Only of those who foretell their blocks: they know
        what the end of a block is.
        """
        if wants.open or any(source.partial for source in sources):
            return
        idle = [one for one in takers if one.foretells and one.rate and self._idle(one, now)]
        for giver in sorted(sources, key=_left, reverse=True) if idle else ():
            if giver.foretells and giver.outstanding and _just_begun(giver, now):
                self._look_at(now + LEAST_PAUSE)
                continue
            if giver.coming is None or len(giver.coming) != 1 or not (giver.missing and now < giver.ends_at < inf):
                continue
            (cid,) = giver.coming
            want = wants.asked.get(cid)
            if want is None or want.source != giver.name or cid in self._ends or leaves(cid):
                continue
            able = (one for one in idle if one is not giver and one.name not in want.denied)
            best = max((End(giver, one, cid, _share(giver, one, now)) for one in able), key=_size, default=None)
            if best is not None and _worth(best, sources, now):
                idle.remove(best.taker)
                self._ends[cid] = giver.name, best.taker.name
                yield best

    def _idle(self, source: Source, now: float) -> bool:
        """Whether it has nothing to do when it hears of what it is asked now."""
        if not source.owes or source.proof or source.probed or len(source.outstanding) > 1:
            return not source.owes
        idle_at = source.ends_at - (source.least_delay or 0.0)
        if now < idle_at < inf:
            self._look_at(idle_at)
        return idle_at <= now and source.coming == source.outstanding.keys()

    def _look_at(self, at: float) -> None:
        self.next_at = at if self.next_at is None else min(self.next_at, at)


def _just_begun(giver: Source, now: float) -> bool:
    """Whether too little of it is here to know how fast it comes."""
    return giver.ends_at == inf or now < giver.coming_since + LEAST_PAUSE


def _left(source: Source) -> tuple[int, int]:
    return len(source.outstanding), source.missing


def _size(end: End) -> int:
    return end.size


def _rate(giver: Source, now: float) -> float:
    return giver.missing / (giver.ends_at - now)


def _worth(end: End, sources: Collection[Source], now: float) -> bool:
    """Whether the first is spared enough, hears in time where to stop, and no other is to bring all of it sooner."""
    giver, both = end.giver, (end.giver, end.taker)
    until = (giver.missing - end.size) / _rate(giver, now)
    if end.size < LEAST_SHARE or until < (giver.least_delay or 0.0) + CROSSING:
        return False
    return not any(one.usable and one.rate and one not in both and one.cost() < until for one in sources)


def _share(giver: Source, taker: Source, now: float) -> int:
    """Bytes of the end, with which both are through at the same time."""
    busy = taker.ends_at - now if taker.outstanding else 0.0
    rate, wait = _rate(giver, now), max(taker.least_delay or 0.0, busy) + CROSSING
    return int(giver.missing - rate * (giver.missing + taker.rate * wait) / (rate + taker.rate))
