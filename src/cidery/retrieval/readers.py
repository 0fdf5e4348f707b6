"""Readers of the same DAG are brought together: told of each other by a node that they all ask, and dialled.

So a crowd that knows only a busy origin finds itself, without a DHT. Who is told learns that others want what it wants
itself, and nothing else. The message is in ``bitswap.introduction``.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence

from cidery.bitswap.introduction import MAX_ADDRS, MAX_MESSAGE, MAX_READERS, PROTOCOL, Introduction, Reader
from cidery.errors import CideryError
from cidery.identity.peer_id import PeerId
from cidery.libp2p.io.stream import Stream
from cidery.libp2p.io.swarm import Swarm
from cidery.libp2p.protocols.addresses import Scope, keep, scope_of
from cidery.multiformats.cid import CID
from cidery.multiformats.multiaddr import Multiaddr, MultiaddrError
from cidery.tasks import Tasks

log = logging.getLogger("cidery.retrieval")

AGAIN = 60.0
"""Seconds until a peer is told again of a reader."""
REMEMBERED = 256
"""Peers of which it is remembered of whom they were told."""
MAX_DIALS = 16
"""Readers that are being dialled at a time; further ones are left out."""
LONGEST = 10.0
"""Seconds for the exchange of one message, beside round trips."""


class Readers:
    """One per node."""

    def __init__(
        self,
        swarm: Swarm,
        *,
        clock: Callable[[], float],
        speaks: Callable[[PeerId, str], bool],
        reads: Callable[[CID], bool],
    ) -> None:
        """``reads``: whether a session of this node fetches the DAG."""
        self._swarm = swarm
        self._clock = clock
        self._speaks = speaks
        self._reads = reads
        self._told: OrderedDict[PeerId, dict[PeerId, float]] = OrderedDict()
        """Newcomer -> reader -> when it was told of that one."""
        self._tasks = Tasks()
        self._dialling: set[PeerId] = set()
        swarm.handlers[PROTOCOL] = self._hear

    async def close(self) -> None:
        await self._tasks.close()

    def on_crowd(self, root: CID, newcomer: PeerId, others: Sequence[PeerId]) -> None:
        """``newcomer`` asks us for a DAG that others have asked for lately: it is told of them."""
        if not self._speaks(newcomer, PROTOCOL):
            return
        now = self._clock()
        told = self._told.setdefault(newcomer, {})
        self._told.move_to_end(newcomer)
        if len(self._told) > REMEMBERED:
            self._told.popitem(last=False)
        fresh = [other for other in others if now - told.get(other, float("-inf")) >= AGAIN]
        readers = self._introduced(newcomer, fresh) if fresh else ()
        if readers:
            told.update(dict.fromkeys(fresh, now))
            self._tasks.spawn(self._tell(newcomer, Introduction(root, readers)))

    # --- inside

    def _introduced(self, newcomer: PeerId, others: Sequence[PeerId]) -> tuple[Reader, ...]:
        """The latest ones, at addresses that the newcomer may be able to reach: no private ones for a stranger."""
        connection = self._swarm.best(newcomer)
        remote = connection.remote_addr if connection is not None else None
        scope = scope_of(remote.encode()) if remote is not None else Scope.PUBLIC
        near = {Scope.LOOPBACK, Scope.PRIVATE, Scope.PUBLIC} if scope is Scope.LOOPBACK else {scope, Scope.PUBLIC}
        readers: list[Reader] = []
        for other in reversed(others):
            known = tuple(addr.encode() for addr in self._swarm.peer_store.addrs(other))
            addrs = keep(known, frozenset(near))[:MAX_ADDRS]
            if other != newcomer and addrs and self._speaks(other, PROTOCOL):
                readers.append(Reader(other.multihash, addrs))
        return tuple(readers[:MAX_READERS])

    async def _tell(self, peer: PeerId, introduction: Introduction) -> None:
        connection = self._swarm.best(peer)
        if connection is None:
            return
        try:
            async with asyncio.timeout(connection.wait(LONGEST)):
                stream = await connection.open_stream([PROTOCOL], optimistic=True)
                await stream.write_message(introduction.encode())
                stream.close_write()
        except (CideryError, TimeoutError) as exc:
            log.debug("introduction to %s: %s", peer, exc)

    async def _hear(self, stream: Stream) -> None:
        async with asyncio.timeout(stream.connection.wait(LONGEST)):
            data = await stream.read_message(MAX_MESSAGE)
        if data is None:
            return
        introduction = Introduction.decode(data)
        if not self._reads(introduction.root):
            return  # nobody here asked for it, or no longer
        for reader in introduction.readers:
            self._meet(reader)

    def _meet(self, reader: Reader) -> None:
        try:
            peer = PeerId.decode(reader.peer_id)
            addrs = [Multiaddr.decode(addr) for addr in reader.addrs]
        except (CideryError, MultiaddrError):
            return
        known = peer == self._swarm.local_peer or self._swarm.best(peer) is not None or peer in self._dialling
        if not known and addrs and len(self._dialling) < MAX_DIALS:
            self._dialling.add(peer)
            self._tasks.spawn(self._dial(peer, addrs))

    async def _dial(self, peer: PeerId, addrs: list[Multiaddr]) -> None:
        try:
            await self._swarm.dial(peer, [addr.without_peer() for addr in addrs])
        except (CideryError, TimeoutError) as exc:
            log.debug("reader %s: %s", peer, exc)
        finally:
            self._dialling.discard(peer)
