"""Passes bytes on between peers that cannot dial each other: the relay's side of circuit relay v2.

Only ciphertext goes through. What is on its way is bounded by the windows of both streams and one buffer per direction.

Spec: https://github.com/libp2p/specs/blob/master/relay/circuit-v2.md
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from cidery.errors import CideryError
from cidery.identity.peer_id import PeerId
from cidery.libp2p.io.connection import Connection
from cidery.libp2p.io.stream import Stream
from cidery.libp2p.io.swarm import Swarm
from cidery.libp2p.protocols.muxed_stream import StreamReset
from cidery.libp2p.protocols.relay_messages import (
    HOP,
    MAX_MESSAGE,
    STOP,
    Granted,
    HopMessage,
    HopType,
    Peer,
    RelayError,
    RelayLimit,
    Status,
    StopMessage,
    StopType,
    Voucher,
    seal_voucher,
)
from cidery.libp2p.protocols.relay_server import RelayDesk, RelayLimits
from cidery.multiformats.multiaddr import Multiaddr

log = logging.getLogger("cidery.libp2p")

REQUEST_BASE = 10.0
"""Seconds, beside round trips, for a request to arrive, and for the other peer to answer."""
UNLIMITED_BUFFER = 64 * 1024
"""Bytes that are passed on at a time where there is no limit: it is for the user's own nodes."""
MAX_TOLD = 16
"""Own addresses in a reservation."""


class RelayService:
    """``serve(True)`` begins to answer, ``serve(False)`` ends it; circuits that are open go on."""

    def __init__(
        self,
        swarm: Swarm,
        limits: RelayLimits,
        *,
        is_friend: Callable[[PeerId], bool],
        own_addrs: Callable[[], list[Multiaddr]],
        public: Callable[[], bool],
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """``is_friend``: for whom there are no limits, and who is served before this node is known to be ``public``."""
        self.desk = RelayDesk(limits, is_friend)
        self.passed_on = 0
        """Bytes since the start."""
        self._swarm = swarm
        self._is_friend = is_friend
        self._own_addrs = own_addrs
        self._public = public
        self._wall_clock = wall_clock
        swarm.on_disconnected.append(self.desk.gone)

    @property
    def serving(self) -> bool:
        return HOP in self._swarm.handlers

    def serve(self, on: bool) -> bool:
        """Whether that is a change, of which others have to be told."""
        if on == self.serving:
            return False
        if on:
            self._swarm.handlers[HOP] = self._asked
        else:
            del self._swarm.handlers[HOP]
        return True

    async def _asked(self, stream: Stream) -> None:
        connection = stream.connection
        assert isinstance(connection, Connection)
        async with asyncio.timeout(connection.wait(REQUEST_BASE)):
            try:
                message = HopMessage.decode(await stream.read_message(MAX_MESSAGE) or b"")
            except RelayError:
                await _answer(stream, Status.MALFORMED)
                return
        if message.type is HopType.RESERVE:
            await self._reserve(stream, connection)
        elif message.type is not HopType.CONNECT:
            await _answer(stream, Status.UNEXPECTED)
        elif message.peer is None:
            await _answer(stream, Status.MALFORMED)
        else:
            await self._connect(stream, connection, message.peer.peer)

    def _permits(self, peer: PeerId) -> bool:
        return self._public() or self._is_friend(peer)

    async def _reserve(self, stream: Stream, connection: Connection) -> None:
        desk, peer = self.desk, connection.peer
        remote = connection.remote_addr.encode() if connection.remote_addr is not None else None
        if not self._permits(peer):
            await _answer(stream, Status.PERMISSION_DENIED)
            return
        status = desk.reserve(peer, remote, self._swarm.clock(), relayed=connection.relayed)
        if status is not Status.OK:
            await _answer(stream, status)
            return
        us = self._swarm.local_peer
        expires = int(self._wall_clock()) + desk.limits.reserved_for
        addrs = tuple(addr.with_peer(us.multihash).encode() for addr in self._own_addrs()[:MAX_TOLD])
        grant = Granted(expires, addrs, seal_voucher(self._swarm.identity, Voucher(us, peer, expires)))
        message = HopMessage(HopType.STATUS, granted=grant, limit=desk.limit_for(peer), status=Status.OK)
        await stream.write_message(message.encode())

    async def _connect(self, stream: Stream, connection: Connection, target: PeerId) -> None:
        source, now = connection.peer, self._swarm.clock()
        if not (self._permits(source) or self._is_friend(target)):
            await _answer(stream, Status.PERMISSION_DENIED)
            return
        status = self.desk.connect(source, target, self._swarm.local_peer, now, relayed=connection.relayed)
        if status is not Status.OK:
            await _answer(stream, status)
            return
        try:
            limit = self.desk.limit_for(target)
            far = await self._bring(source, target, limit)
            if far is None:
                await _answer(stream, Status.CONNECTION_FAILED)
                return
            try:
                done = HopMessage(HopType.STATUS, limit=limit, status=Status.OK)
                await stream.write_message(done.encode())
                await self._pass_on(stream, far, limit or RelayLimit())
            finally:
                far.reset("the circuit is over")
        finally:
            self.desk.end(source, target)

    async def _bring(self, source: PeerId, target: PeerId, limit: RelayLimit | None) -> Stream | None:
        """A stream to the peer with the reservation, which has accepted it; None if it has not."""
        connection = self._swarm.best(target)
        if connection is None or connection.relayed:
            return None
        stream: Stream | None = None
        try:
            async with asyncio.timeout(connection.wait(REQUEST_BASE)):
                stream = await connection.open_stream([STOP])
                await stream.write_message(StopMessage(StopType.CONNECT, Peer(source), limit).encode())
                answer = StopMessage.decode(await stream.read_message(MAX_MESSAGE) or b"")
            if answer.type is StopType.STATUS and answer.status == Status.OK:
                return stream
            log.debug("%s takes no circuit: %d", target, answer.status)
        except (CideryError, TimeoutError) as exc:
            log.debug("circuit to %s: %s", target, exc)
        if stream is not None:
            stream.reset("no circuit")
        return None

    async def _pass_on(self, near: Stream, far: Stream, limit: RelayLimit) -> None:
        """Both directions, until both have ended, one is broken, or a limit is reached."""
        size = UNLIMITED_BUFFER if not limit.limits else self.desk.limits.buffer
        most = limit.data or None
        try:
            async with asyncio.timeout(limit.seconds or None), asyncio.TaskGroup() as both:
                both.create_task(self._copy(near, far, size, most))
                both.create_task(self._copy(far, near, size, most))
        except* (CideryError, TimeoutError) as group:
            log.debug("circuit: %s", group.exceptions[0])
            near.reset("the circuit is over")

    async def _copy(self, source: Stream, target: Stream, size: int, most: int | None) -> None:
        """Raises StreamReset at the limit, and as streams do."""
        left = most
        while data := await source.read(size if left is None else min(size, left + 1)):
            if left is not None and (left := left - len(data)) < 0:
                raise StreamReset("the limit of the circuit is reached")
            self.passed_on += len(data)
            await target.write(data)
        target.close_write()


async def _answer(stream: Stream, status: Status) -> None:
    await stream.write_message(HopMessage(HopType.STATUS, status=status).encode())
