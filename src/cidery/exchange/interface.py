"""What a session needs of those that ask sources on its behalf, whatever their protocol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from cidery.exchange.commands import Heard
from cidery.exchange.probe import Asker
from cidery.multiformats.cid import CID

if TYPE_CHECKING:
    from cidery.exchange.service import NetworkSession


class PeerSources(Protocol):
    """Asks sources of one kind on behalf of sessions; calls their on_* methods."""

    def attach(self, session: Asker) -> None: ...

    def detach(self, session: Asker) -> None: ...

    def ask(self, session: Asker, source: str, blocks: Sequence[CID], haves: Sequence[CID]) -> None: ...

    def cancel(self, session: Asker, source: str, cids: Sequence[CID]) -> None: ...

    def heard(self, source: str) -> Heard:
        """What has come from a source that owes something; one that was silent for a moment is asked if it is there."""
        ...


class Sources(PeerSources, Protocol):
    """Sources of every kind, and the search for more."""

    def search(self, session: NetworkSession, cid: CID) -> None:
        """Look for further sources that have ``cid``. A hint; a search already running for the session continues."""
        ...

    def stream(self, session: NetworkSession, root: CID, source: str) -> None:
        """Begin to stream everything below ``root`` from a source, if it can and the line to it is long. A hint."""
        ...

    def end_stream(self, session: NetworkSession) -> None:
        """End the stream of a session, if there is one; on_stream_end() follows."""
        ...

    def stage(self, session: NetworkSession) -> str:
        """The state of a search for the session: "finding", "dialling", "" when none runs."""
        ...

    def alone(self) -> bool:
        """Whether no source is there and nothing is under way or configured that could find one."""
        ...
