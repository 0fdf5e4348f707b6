"""Which of several sources a block is asked of. Pure; chance is an argument."""

from collections.abc import Callable, Collection, Iterable, Iterator
from heapq import nsmallest

from cidery.exchange.source import MAX_BROKEN, MAX_WANTS, Source
from cidery.exchange.wants import Want, Wants
from cidery.multiformats.cid import CID

SEED_RELIEF = 2.0
"""A complete source is asked for what a reader has only if it is this many times sooner: readers serve each other."""
FAIR_CHANCE = 0.5
"""Costs of sources count as up to this share more, by chance: readers must not all choose the same one."""
MAX_SEEDS = 32
"""Complete sources, the soonest ones, that are compared for each block."""

FAR = 4.0
"""Times the nearest round trip, and ..."""
FAR_SECONDS = 0.02
"""... seconds more, from which on a source is far."""
MAX_PROBED_SOURCES = 64
"""Concurrent want-have questions for one CID."""
MAX_PROBES = 16
"""CIDs without a known holder that are asked for by want-have concurrently."""


class Able:
    """The sources that can be asked now: complete ones, the soonest of many, and readers."""

    def __init__(self, sources: Iterable[Source]) -> None:
        every = list(sources)
        self.readers = {source.name: source for source in every if source.partial}
        seeds = [source for source in every if not source.partial]
        few = seeds if len(seeds) <= MAX_SEEDS else nsmallest(MAX_SEEDS, seeds, key=Source.cost)
        self.seeds = {source.name: source for source in few}

    def __len__(self) -> int:
        return len(self.readers) + len(self.seeds)

    def keep(self, good: Callable[[Source], bool]) -> None:
        """Only those."""
        self.readers = {name: source for name, source in self.readers.items() if good(source)}
        self.seeds = {name: source for name, source in self.seeds.items() if good(source)}

    def remove(self, name: str) -> None:
        """It has no more room."""
        self.readers.pop(name, None)
        self.seeds.pop(name, None)


def askable(sources: Collection[Source]) -> list[Source]:
    """Those that may be asked for blocks: the ones known to have something, else the nearest unknown one."""
    known = [s for s in sources if s.usable]
    if known:
        return known
    unknown = [s for s in sources if not s.stalled and s.denials == 0 and s.broken < MAX_BROKEN]
    unknown = [s for s in unknown if not s.lies] or unknown
    if not unknown:
        stalled = [s for s in sources if s.stalled and not s.outstanding]
        return [max(stalled, key=lambda s: s.progress_at)] if stalled else []
    busy = any(s.outstanding for s in unknown)
    return [] if busy else [min(unknown, key=_distance)]


def _distance(source: Source) -> float:
    """Of one of which nothing is known in this session: one that gave something in another is preferred, if not far."""
    delay = source.least_delay or 0.0
    return delay if source.gave else FAR * delay + FAR_SECONDS


def soonest(sources: Iterable[Source], chance: Callable[[], float]) -> Source | None:
    """The one that would bring a block first, roughly."""
    few = list(sources)
    if len(few) < 2:
        return few[0] if few else None
    return min(few, key=lambda source: source.cost() * (1 + FAIR_CHANCE * chance()))


def choose(want: Want, able: Able, but: Collection[str], chance: Callable[[], float]) -> Source | None:
    """The source that would bring it first, ``but`` these; a reader rather than a complete one, if both do."""
    readers = able.readers
    reader = soonest((s for name in want.holders if (s := readers.get(name)) and name not in but), chance)
    seed = soonest((s for s in able.seeds.values() if s.name not in want.denied and s.name not in but), chance)
    if reader is None or seed is None:
        return reader or seed
    return seed if seed.cost() * SEED_RELIEF < reader.cost() else reader


def measured_seeds(sources: Iterable[Source], held: Collection[str]) -> list[Source]:
    """Complete sources that have sent something and may be asked; ``held``: those that are not asked now."""
    return [one for one in sources if one.rate and one.usable and not one.partial and one.name not in held]


def sooner_later(chosen: Source, full: Iterable[Source]) -> bool:
    """Whether one of these, measured sources without room, would still bring a block before the chosen one."""
    return any(source.cost() < chosen.cost() for source in full)


def may_have(want: Want, sources: Iterable[Source], held: Collection[str]) -> bool:
    """Whether one of the sources that are not held may have it."""
    return any(one.may_have(want.denied, want.holders) for one in sources if one.name not in held)


def unanswered(wants: Wants, sources: Iterable[Source], but: str, now: float) -> Iterator[tuple[Source, CID]]:
    """Whom of those of which nothing is known to ask whether they have the first want, or one that nobody may have.

    ``but``: not this source. A stalled one is asked a single question: its answer shows that it is back.
    """
    unknown = [s for s in sources if s.name != but and not (s.has_any or s.lies or (s.stalled and s.probed))]
    if not unknown or not wants:
        return
    barren, first = wants.hard_to_find(MAX_PROBES), wants.first()
    for cid in [*barren, *(() if first in barren else (first,))]:
        want = wants.all[cid]
        asked = [s for s in unknown if s.name != want.source and (cid in wants.barren or now >= s.probe_at)]
        for source in asked[:MAX_PROBED_SOURCES]:
            known = source.name in want.denied or (source.name in want.holders and not source.stalled)
            if not (cid in source.probed or known or len(source.probed) >= MAX_WANTS):
                yield source, cid


def last_resorts(wants: Wants, sources: Collection[Source], most: int) -> Iterator[tuple[CID, Source]]:
    """Wants that no other source may have, now or later, each with one that sent wrong blocks: one want at a time."""
    barren = wants.hard_to_find(most)
    idle = [source for source in sources if source.lies and not source.owes] if barren else []
    for cid in barren if idle else ():
        denied = wants.all[cid].denied
        if any(not (source.lies or source.stalled) and source.name not in denied for source in sources):
            continue
        source = next((one for one in idle if one.name not in denied and one.broken < MAX_BROKEN), None)
        if source is not None:
            idle.remove(source)
            yield cid, source
