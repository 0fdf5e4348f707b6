"""Why a session has no block to give."""

from cidery.errors import Unavailable
from cidery.multiformats.cid import CID


class NoSourceHasIt(Unavailable):
    """Every available source was asked, for long enough."""

    def __init__(self, cid: CID, sources: int, stage: str) -> None:
        super().__init__(cid, sources, stage)
        self.cid = cid
        self.sources = sources
        self.stage = stage

    def __str__(self) -> str:
        if not self.sources:
            return (
                f"{self.cid} is not stored here and no peer is connected: "
                "connect to one that has it with cidery swarm connect ADDRESS"
            )
        return (
            f"none of {self.sources} connected peers sent {self.cid} in time ({self.stage}): "
            "connect to one that has it with cidery swarm connect ADDRESS, then try again"
        )


class NobodyToAsk(NoSourceHasIt):
    """No source is there, and nothing that could find one: waiting would be of no use."""

    def __init__(self, cid: CID) -> None:
        super().__init__(cid, 0, "finding")

    def __str__(self) -> str:
        return (
            f"{self.cid} is not stored here and there is nobody to ask: no peer is connected, and no routing, "
            "bootstrap peer, local discovery or gateway is configured that could find one; "
            "connect to a peer that has it with cidery swarm connect ADDRESS"
        )
