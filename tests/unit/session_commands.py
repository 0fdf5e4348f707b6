"""What a session's commands tell one source."""

from cidery.exchange.commands import Ask, Cancel
from cidery.multiformats.cid import CID


def asks(commands: list[object], name: str) -> list[CID]:
    return [cid for c in commands if isinstance(c, Ask) and c.source == name for cid in c.blocks]


def probes(commands: list[object], name: str) -> list[CID]:
    return [cid for c in commands if isinstance(c, Ask) and c.source == name for cid in c.haves]


def cancels(commands: list[object], name: str) -> list[CID]:
    return [cid for c in commands if isinstance(c, Cancel) and c.source == name for cid in c.cids]
