"""Which wants leave the source that they are asked of, because another would bring them sooner. Pure.

A want leaves in two steps, so that the block does not come from both: it is cancelled, and only when its source has
had the time to hear of that, and the block is not on its way, is it asked of another. One that is on its way may be
ended yet: its source does so if it hears then that none of the message is wanted.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from math import inf

from cidery.exchange.choice import SEED_RELIEF, Able
from cidery.exchange.source import PATIENCE, Source
from cidery.exchange.waits import SessionWaits
from cidery.exchange.wants import Want, Wants
from cidery.multiformats.cid import CID

SOONER = 1.5
"""A want leaves a source for another that is expected to bring it this many times sooner."""
LEAST_STAY = 0.1
"""Seconds, beside two round trips, that a want stays with a source at least."""
CROSSING = 0.04
"""Seconds, beside a round trip and a half, until a cancel is heard, or the block that has left before shows itself."""
LATE = 2.0
"""A begun block leaves its source for one with nothing else to do that would bring all of it this many times sooner."""
LEAST_PAUSE = 0.1
"""Seconds between two looks for wants that another source would bring sooner."""


class Moves:
    """Of one session. Times are seconds of its clock."""

    def __init__(self, waits: SessionWaits) -> None:
        self._waits = waits
        self._leaving: dict[CID, tuple[str, float, str]] = {}
        """Cancelled wants -> the source they leave, when they may be asked of another one, and which if it is known."""
        self._brought: dict[CID, tuple[str, float, str]] = {}
        """Of these, the ones on their way by then, and when to look whether they still are."""
        self._offers: dict[str, list[CID]] = {}
        self._look_at: float | None = None

    @property
    def next_at(self) -> float | None:
        """When there is something to decide again."""
        leaving = (*self._leaving.values(), *self._brought.values())
        return min((at for _, at, _ in leaving), default=self._look_at)

    def rest(self) -> None:
        """There is nothing to look for now."""
        self._look_at = None

    def leaves(self, cid: CID) -> bool:
        """Whether it has been cancelled, and its source may send it yet."""
        return cid in self._leaving or cid in self._brought

    def brings(self, giver: Source, cid: CID, now: float) -> bool:
        """Whether a block is on its way from the source it was asked of."""
        return giver.brings(cid, now, PATIENCE * self._waits.stall(giver.least_delay))

    def begin(self, giver: Source, cid: CID, now: float, taker: str = "") -> None:
        """It has been cancelled; ``taker``: who is asked then, if that is known."""
        self._brought.pop(cid, None)
        self._leaving[cid] = giver.name, now + CROSSING + 1.5 * (giver.least_delay or 0.0), taker

    def due(self, wants: Wants, sources: dict[str, Source], now: float) -> list[tuple[Source, CID, str]]:
        """Wants that have left, and the sources that do not bring them."""
        gone: list[tuple[Source, CID, str]] = []
        for leaving in (self._brought, self._leaving):
            for cid, (name, at, taker) in list(leaving.items()):
                want = wants.asked.get(cid)
                if want is None or want.source != name:
                    del leaving[cid]  # it came, or its source lost it in another way
                elif self.brings(sources[name], cid, now):
                    if now >= at:
                        del leaving[cid]
                        self._brought[cid] = name, now + LEAST_PAUSE, taker
                elif leaving is self._brought or now >= at:
                    del leaving[cid]
                    gone.append((sources[name], cid, taker))
        return gone

    def slow(
        self,
        wants: Wants,
        sources: Iterable[Source],
        takers: list[Source],
        choose: Callable[[Want, Able, str], Source | None],
        pace: float,
        now: float,
    ) -> Iterator[tuple[Source, CID]]:
        """Wants that one of the ``takers`` would bring much sooner. ``pace``: seconds that blocks take these days.

        O(wants that are asked of sources), if there is a taker at all.
        """
        self._look_at = None
        givers = [source for source in sources if source.outstanding]
        if not takers or not givers or (len(givers) == 1 and takers == givers):
            return
        soonest, able = min(taker.cost() for taker in takers), Able(takers)
        for giver in givers:
            patience = max(self._waits.stall(giver.least_delay), SOONER * pace)
            if giver.awaited and not giver.gave:  # nothing is known of it, and a taker has something
                patience = giver.first_wait
            for cid in reversed(list(giver.outstanding)):
                want = wants.asked.get(cid)
                remaining = giver.remaining(cid, now, patience)
                if want is None or want.source != giver.name or remaining < SOONER * soonest:
                    continue
                if self._stays(giver, cid, now):
                    continue
                taker = choose(want, able, giver.name)
                if taker is not None and taker.cost() * SOONER <= remaining:
                    yield giver, cid
        self._look_at = now + max(LEAST_PAUSE, soonest / 2)

    def late(
        self,
        wants: Wants,
        sources: Collection[Source],
        takers: list[Source],
        choose: Callable[[Want, Able, str], Source | None],
        now: float,
    ) -> Iterator[tuple[Source, CID, Source]]:
        """Blocks that are on their way and will be for long, from whom, and who is to be asked for their rest now.

        None while anything else is to be asked for, and in a crowd, where whoever is slow now serves others. What the
        giver has handed to its line comes all the same.
        """
        if wants.open or any(source.partial for source in sources):
            return
        able = Able(taker for taker in takers if taker.rate)
        for giver in sources if able else ():
            begun = giver.coming if giver.coming is not None else list(giver.outstanding)[:1]
            for cid in begun:
                want = wants.asked.get(cid)
                if want is None or want.source != giver.name or not self._stayed(giver, cid, now):
                    continue
                taker = choose(want, able, giver.name)
                if taker is not None and self._late(giver, taker.cost(), now):
                    able.remove(taker.name)
                    yield giver, cid, taker

    def turns(
        self, giver: Source, reader: Source, cid: CID, want: Want, chance: Callable[[], float], now: float
    ) -> bool:
        """Whether a want goes from its source to a reader that has just got the block: by chance, so that those who
        want it do not all wait in one line.
        """
        if giver is reader or self._stays(giver, cid, now):
            return False
        if giver.partial and chance() * len(want.holders) >= 1:
            return False
        asked_at, _ = giver.outstanding[cid]
        return SEED_RELIEF * max(giver.cost(), now - asked_at) > reader.cost()

    def offered(self, reader: str, cid: CID) -> None:
        """A source says once more that it has a block: nobody is in its line."""
        self._offers.setdefault(reader, []).append(cid)

    def accepted(
        self, wants: Wants, sources: dict[str, Source], room: Callable[[Source], bool], now: float
    ) -> Iterator[tuple[Source, Source, CID]]:
        """Who is asked for something because it offers that, who is not any more, and what: one block of each offer.

        ``room``: whether a source may be asked for more.
        """
        offers, self._offers = self._offers, {}
        for name, cids in offers.items():
            reader = sources.get(name)
            if reader is None or reader.outstanding or not (reader.partial or reader.blocks):
                continue
            if not (reader.usable and room(reader)):
                continue
            if any(taker == name for _, _, taker in self._leaving.values()):
                continue
            found = [one for cid in cids if (one := self._would_move(reader, cid, wants, sources, now)) is not None]
            if found:
                *_, cid, giver = min(found, key=lambda one: one[:3])
                yield reader, giver, cid

    def _would_move(
        self, reader: Source, cid: CID, wants: Wants, sources: dict[str, Source], now: float
    ) -> tuple[bool, float, float, CID, Source] | None:
        """Sorts by how many have it, and when it was asked; None: it stays where it is.

        What is on its way goes last, and only to a complete source that was measured: that has no part of what a slow
        reader has begun, and the reader serves somebody else sooner.
        """
        want = wants.asked.get(cid)
        giver = sources.get(want.source or "") if want is not None else None
        if want is None or giver is None or giver is reader or not self._stayed(giver, cid, now):
            return None
        asked_at, _ = giver.outstanding[cid]
        if self.brings(giver, cid, now):
            if reader.partial or not reader.idle_rate or not self._late(giver, reader.offer_cost(), now):
                return None
            return True, -giver.ends_at, asked_at, cid, giver
        relief = SEED_RELIEF if reader.partial else 1 / SEED_RELIEF
        if relief * max(giver.cost(), now - asked_at) <= reader.offer_cost():
            return None
        return False, len(want.holders), asked_at, cid, giver

    def _late(self, giver: Source, cost: float, now: float) -> bool:
        """Whether what it is bringing would be here much sooner from a source with this cost."""
        return LATE * (cost + CROSSING) < giver.ends_at - now < inf

    def _stays(self, giver: Source, cid: CID, now: float) -> bool:
        return not self._stayed(giver, cid, now) or self.brings(giver, cid, now)

    def _stayed(self, giver: Source, cid: CID, now: float) -> bool:
        """Whether it has been with its source for a while, and is not leaving."""
        asked_at, _ = giver.outstanding[cid]
        return cid not in self._leaving and now >= asked_at + LEAST_STAY + 2 * (giver.least_delay or 0.0)
