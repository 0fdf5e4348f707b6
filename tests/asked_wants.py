"""Wants that have all been asked of sources."""

from cidery.exchange.source import Source
from cidery.exchange.wants import Wants


def asked_of(*sources: Source, at: float = 0.0) -> Wants:
    """What these owe; none is open."""
    wants = Wants()
    wants.add([cid for source in sources for cid in source.outstanding])
    wants.fill()
    for source in sources:
        for cid in source.outstanding:
            wants.ask(cid, source.name, at)
    return wants
