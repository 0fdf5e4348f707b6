"""Which sources are asked whether they have a block, by want-have. Pure.

Partial ones are asked about every open want. Complete ones need not be asked; they are told of what a reader is asked
for all the same, so that they can offer it when they have nothing to do.
"""

from itertools import islice

from cidery.exchange.choice import MAX_PROBED_SOURCES
from cidery.exchange.commands import Outbox
from cidery.exchange.source import MAX_WANTS, Source
from cidery.exchange.wants import Want, Wants
from cidery.multiformats.cid import CID

TOLD_SEEDS = 8
"""Complete sources that are told of what a reader is asked for."""


class Questions:
    """Of one session."""

    def __init__(self, wants: Wants, out: Outbox) -> None:
        self.partial: dict[str, Source] = {}
        self._seeds: dict[str, Source] = {}
        """Sources that were complete when they sent a block."""
        self._wants, self._out = wants, out

    def gave(self, source: Source) -> None:
        """It sent a block."""
        if not source.partial:
            self._seeds[source.name] = source

    def left(self, name: str) -> None:
        self.partial.pop(name, None)
        self._seeds.pop(name, None)

    def began(self, source: Source) -> None:
        """It is partial from now on."""
        self.partial[source.name] = source
        self._seeds.pop(source.name, None)
        for cid in islice(self._wants.visible(), MAX_WANTS):
            self.ask_whether(source, cid)

    def of_partial(self, cid: CID) -> None:
        """A want is open now."""
        for source in islice(self.partial.values(), MAX_PROBED_SOURCES):
            self.ask_whether(source, cid)

    def tell_seeds(self, cid: CID) -> None:
        """A reader is asked for it."""
        for seed in islice(self._seeds.values(), TOLD_SEEDS):
            if seed.usable:
                self.ask_whether(seed, cid)

    def ask_whether(self, source: Source, cid: CID) -> None:
        want = self._wants.all[cid]
        if source.name not in want.holders and source.name not in want.told:
            want.told[source.name] = None
            self._out.ask_whether(source.name, cid)

    def settle(self, cid: CID, want: Want, sources: dict[str, Source]) -> None:
        """Tell every source that was asked for the block, or whether it has it, that it is no longer wanted.

        "When C no longer needs a block it previously asked for it SHOULD send a Cancel message for that request to any
        peers that have not already responded about that particular block" (https://specs.ipfs.tech/bitswap-protocol/).
        """
        for name in want.told:
            source = sources.get(name)
            if source is not None:
                source.probed.discard(cid)
                source.answered(cid, source.progress_at)
                self._out.cancel(name, cid)
