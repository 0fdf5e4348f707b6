"""What a session needs of those that ask sources on its behalf, whatever their protocol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from cidery.exchange.commands import Heard
from cidery.exchange.probe import Asker
from cidery.multiformats.cid import CID


class PeerSources(Protocol):
    """Asks sources of one kind on behalf of sessions; calls their on_* methods."""

    def attach(self, session: Asker) -> None: ...

    def detach(self, session: Asker) -> None: ...

    def ask(self, session: Asker, source: str, blocks: Sequence[CID], haves: Sequence[CID]) -> None: ...

    def cancel(self, session: Asker, source: str, cids: Sequence[CID]) -> None: ...

    def share(self, session: Asker, giver: str, source: str, cid: CID, size: int) -> None:
        """Ask ``source`` for the last ``size`` bytes of a block that ``giver`` is sending."""
        ...

    def heard(self, source: str) -> Heard:
        """What has come from a source that owes something; one that was silent for a moment is asked if it is there."""
        ...
