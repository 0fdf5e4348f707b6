"""All sources of sessions as one: peers, gateways, and the search for providers of missing blocks."""

import asyncio
import logging
from collections.abc import Callable, Sequence

from cidery.exchange.commands import Heard
from cidery.exchange.interface import PeerSources
from cidery.exchange.probe import Asker
from cidery.exchange.service import NetworkSession
from cidery.multiformats.cid import CID
from cidery.retrieval.service import GatewaySources
from cidery.routing.service import ProviderSearch
from cidery.tasks import end

log = logging.getLogger("cidery.retrieval")


class JoinedSources:
    """Satisfies exchange.service.Sources. A source whose name is a URL is a gateway's."""

    def __init__(
        self,
        peers: PeerSources,
        gateways: GatewaySources,
        search: ProviderSearch,
        for_strangers: ProviderSearch,
        alone: Callable[[], bool],
    ) -> None:
        """``alone``: whether no peer is connected and nothing could find one."""
        self._peers = peers
        self._gateways = gateways
        self._search = search
        self._for_strangers = for_strangers
        self._alone = alone
        self._searches: dict[Asker, asyncio.Task[None]] = {}
        self._stages: dict[Asker, str] = {}

    async def close(self) -> None:
        """End the searches. Idempotent."""
        await end(list(self._searches.values()))

    def attach(self, session: Asker) -> None:
        self._peers.attach(session)
        self._gateways.attach(session)

    def detach(self, session: Asker) -> None:
        if (task := self._searches.get(session)) is not None:
            task.cancel()
        self._peers.detach(session)
        self._gateways.detach(session)

    def ask(self, session: Asker, source: str, blocks: Sequence[CID], haves: Sequence[CID]) -> None:
        self._of(source).ask(session, source, blocks, haves)

    def cancel(self, session: Asker, source: str, cids: Sequence[CID]) -> None:
        self._of(source).cancel(session, source, cids)

    def share(self, session: Asker, giver: str, source: str, cid: CID, size: int) -> None:
        self._of(source).share(session, giver, source, cid, size)

    def heard(self, source: str) -> Heard:
        return self._of(source).heard(source)

    def search(self, session: NetworkSession, cid: CID) -> None:
        if session not in self._searches:
            self._searches[session] = asyncio.get_running_loop().create_task(self._run(session, cid))

    async def _run(self, session: NetworkSession, cid: CID) -> None:
        try:
            search = self._for_strangers if session.terms.public else self._search
            session.searched = True
            counted = session.providers.update
            reached = await search.run(
                cid, lambda stage: self._stages.__setitem__(session, stage), lambda what: counted((what,))
            )
            log.debug("%s: %d providers reached", cid, reached)
        finally:
            self._stages.pop(session, None)
            self._searches.pop(session, None)

    def stage(self, session: NetworkSession) -> str:
        return self._stages.get(session, "")

    def stream(self, session: NetworkSession, root: CID, source: str) -> None:
        self._gateways.stream(session, root, source)

    def end_stream(self, session: NetworkSession) -> None:
        self._gateways.end_stream(session)

    def alone(self) -> bool:
        return not self._searches and not self._gateways.gateways and self._alone()

    def _of(self, source: str) -> PeerSources:
        return self._gateways if source.startswith(("http://", "https://")) else self._peers
