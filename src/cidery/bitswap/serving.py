"""Gives peers their turns to be sent blocks, and makes offers while nobody is in line."""

import asyncio
from collections.abc import Callable, Mapping

from cidery.bitswap.engine import Engine
from cidery.bitswap.peer import ConnectedPeer
from cidery.bitswap.turns import UNREAD
from cidery.libp2p.io.connection import Connection

WORTH_ENDING = 64 * 1024
"""Bytes of a message that have not left yet for which it is ended, and with it its stream."""
WATCH = 0.01
"""Seconds between two looks at how much has left of a message of which the end is not wanted."""


class Serving:
    """One per node. ``answer``: sends a connected peer what is due; ``acts_on_offers``: whether a peer knows them."""

    def __init__(
        self,
        engine: Engine,
        peers: Mapping[str, ConnectedPeer],
        clock: Callable[[], float],
        answer: Callable[[ConnectedPeer], None],
        acts_on_offers: Callable[[str], bool],
    ) -> None:
        self._engine = engine
        self._peers = peers
        self._clock = clock
        self._answer = answer
        self._acts_on_offers = acts_on_offers
        self._loop = asyncio.get_running_loop()
        self._looking: asyncio.TimerHandle | None = None
        self._watched: set[str] = set()
        """Peers that do not want the end of what they are being sent."""

    def close(self) -> None:
        if self._looking is not None:
            self._looking.cancel()

    def begin_turns(self) -> None:
        """Let those be served whose turn it is."""
        engine, now = self._engine, self._clock()
        if not engine.waiting:
            self._offer(now)
            return
        for name in engine.turns.served():
            if (stream := self._peers[name].streams.get("answers")) is not None:
                inner = stream.inner
                left = inner.out_bytes + (stream.connection.unsent if isinstance(stream.connection, Connection) else 0)
                engine.turns.progress(name, left, now, blocked=inner.blocked)
        for name in engine.turns.unread(now):
            self._peers[name].take_back()
        while (begun := engine.begin_turn(now)) is not None:
            self._answer(self._peers[begun])
        if engine.waiting:
            self._look_in(engine.turns.held(now) or UNREAD)

    def stop_withdrawn(self, peer: ConnectedPeer) -> None:
        """End a message of which no block is wanted any more, or only the end not, if that saves its line something.

        Not while its stream still holds anything of an earlier one, which counts as sent. What has left counts as
        taken, or a peer could have turn after turn by withdrawing all but the last bytes.
        """
        stream, task = peer.streams.get("answers"), peer.sending.get("answers")
        if stream is None or task is None or peer.gone or not (spared := self._engine.withdrawn(peer.name)):
            return
        left = stream.inner.out_bytes
        if spared < left <= peer.written:
            self._watch(peer)
        elif WORTH_ENDING <= left <= peer.written:
            self._engine.stops(peer.name)
            self._engine.turns.took(peer.name, peer.written - left, self._clock())
            peer.take_back("not wanted any more")
            task.add_done_callback(lambda _: None if peer.gone else self._answer(peer))

    def _watch(self, peer: ConnectedPeer) -> None:
        """Of a message only the end is not wanted: look again until that is what is left."""

        def look() -> None:
            self._watched.discard(peer.name)
            self.stop_withdrawn(peer)

        if peer.name not in self._watched:
            self._watched.add(peer.name)
            self._loop.call_later(WATCH, look)

    def _offer(self, now: float) -> None:
        """Is there a peer that waits elsewhere for what is here?"""
        while (name := self._engine.offer(self._acts_on_offers, now)) is not None:
            self._answer(self._peers[name])
        if (wait := self._engine.offers.wait(now)) is not None:
            self._look_in(wait)

    def _look_in(self, seconds: float) -> None:
        if self._looking is not None and self._looking.when() > self._loop.time() + seconds:
            self._looking.cancel()
            self._looking = None
        if self._looking is None:
            self._looking = self._loop.call_later(seconds, self._look_again)

    def _look_again(self) -> None:
        """Some wait: is it still for peers that take what they are sent? Or nobody does: is there one to offer to?"""
        self._looking = None
        self.begin_turns()
