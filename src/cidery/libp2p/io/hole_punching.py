"""From a relayed connection to a direct one: both sides dial at the same moment, so that their NATs let it through.

The side that was reached through the relay begins. Whoever dialled the relay is the client of the new connection,
whichever side's packets come first. New streams then take the direct connection; the relayed one is closed once idle.

Spec: https://github.com/libp2p/specs/blob/master/relay/DCUtR.md
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from cidery.budgets import PUNCHES
from cidery.errors import CideryError
from cidery.identity.peer_id import PeerId
from cidery.libp2p.io.connection import Connection
from cidery.libp2p.io.stream import Stream
from cidery.libp2p.io.swarm import Swarm
from cidery.libp2p.protocols.addresses import believed_from, scope_of
from cidery.libp2p.protocols.dcutr import ATTEMPTS, MAX_ADDRS, MAX_MESSAGE, DcutrError, HolePunch, PunchType, punched
from cidery.libp2p.protocols.relayed import DCUTR, is_relayed
from cidery.multiformats.multiaddr import Multiaddr
from cidery.tasks import Tasks, end, logged

log = logging.getLogger("cidery.libp2p")

PUNCH_BASE = 4.0
"""Seconds, beside round trips, that one attempt may take."""
APART = 2.0
"""Seconds between the beginnings of the first two attempts, twice that between the others: go-libp2p takes part only
once it has learned its own address from others, and refuses until then."""
HEAD_START = 0.1
"""Seconds, beside two round trips through the relay, that a plain dial has before the first attempt: it goes on beside
the attempts, since most of those who name public addresses cannot be dialled there either."""
EXCHANGE_BASE = 10.0
"""Seconds, beside round trips, for the messages of an attempt."""
MAX_AT_ONCE = PUNCHES.amount
RETIRE_EVERY, RETIRE_TIMES = 1.0, 30
"""Seconds between looks whether a relayed connection is idle, and how many; its relay ends it anyway."""
MAX_OUTCOMES = 64
"""Peers of whom it is remembered how it went."""


class HolePunching:
    """``outcomes``: in words, what each attempt with a peer said."""

    def __init__(
        self, swarm: Swarm, *, own_addrs: Callable[[], list[Multiaddr]], known: Callable[[PeerId], list[Multiaddr]]
    ) -> None:
        """``own_addrs``: where this node may be reached directly. ``known``: where a peer says that it is."""
        self.outcomes: OrderedDict[PeerId, list[str]] = OrderedDict()
        self._swarm = swarm
        self._own_addrs = own_addrs
        self._known = known
        self._direct: dict[PeerId, asyncio.Event] = {}
        """Of peers that are waited for."""
        self._answers: dict[PeerId, asyncio.Task[None]] = {}
        """Punches that peers have asked for."""
        self._tasks = Tasks()
        swarm.handlers[DCUTR] = self._asked
        swarm.on_connected.append(self._connected)

    async def close(self) -> None:
        await self._tasks.close()

    async def _connected(self, connection: Connection) -> None:
        peer = connection.peer
        if not connection.relayed:
            if peer in self._direct:
                self._direct[peer].set()
        elif not connection.outbound and peer not in self._direct and len(self._direct) < MAX_AT_ONCE:
            self._direct[peer] = asyncio.Event()
            self._tasks.spawn(logged(self._upgrade(connection), log))

    # --- the side that was reached through the relay

    async def _upgrade(self, connection: Connection) -> None:
        peer = connection.peer
        said = self._begin(peer)
        plain = asyncio.ensure_future(self._dial_plainly(connection, said))
        try:
            await asyncio.wait([plain], timeout=connection.wait(HEAD_START, 2.0))
            for attempt in range(1, ATTEMPTS + 1):
                if connection.closed.done():
                    said.append("the relayed connection ended")
                    return
                began = self._swarm.clock()
                if self._is_direct(peer) or await self._attempt(connection, attempt, said):
                    break
                await self._until_direct(peer, began + APART * attempt - self._swarm.clock())
            if self._is_direct(peer):
                self._tasks.spawn(logged(self._retire(connection), log))
                await plain  # which says so
        finally:
            await end([plain])
            self._direct.pop(peer, None)

    async def _until_direct(self, peer: PeerId, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, seconds)):
                await self._direct[peer].wait()

    async def _dial_plainly(self, connection: Connection, said: list[str]) -> bool:
        """Where the peer has a public address, no hole is needed.

        Not from the port that listens: a NAT would remember this connection there, and refuse the next one's numbers.
        """
        addrs = tuple(addr.encode() for addr in self._known(connection.peer) if not is_relayed(addr))
        theirs = HolePunch(PunchType.CONNECT, addrs)
        return await self._punch(connection, theirs, client=None, label="plain dial", said=said)

    async def _attempt(self, connection: Connection, attempt: int, said: list[str]) -> bool:
        clock = self._swarm.clock
        try:
            async with asyncio.timeout(connection.wait(EXCHANGE_BASE, 8.0)):
                stream = await connection.open_stream([DCUTR])
                try:
                    began = clock()
                    await stream.write_message(self._ours(connection).encode())
                    theirs = HolePunch.expected(await stream.read_message(MAX_MESSAGE), PunchType.CONNECT)
                    round_trip = clock() - began
                    await stream.write_message(HolePunch(PunchType.SYNC).encode())
                    await stream.drain()
                finally:
                    stream.close_write()
            # "wait for half the RTT": then the sign is there, and both begin
            await asyncio.sleep(round_trip / 2)
            if self._is_direct(connection.peer):
                return True  # by the plain dial
        except (CideryError, TimeoutError) as exc:
            said.append(f"attempt {attempt}: {exc or 'no answer in time'}")
            return False
        return await self._punch(connection, theirs, client=False, label=f"attempt {attempt}", said=said)

    # --- the side that dialled the relay

    async def _asked(self, stream: Stream) -> None:
        connection = stream.connection
        assert isinstance(connection, Connection)
        peer = connection.peer
        if not connection.relayed or not connection.outbound:
            raise DcutrError("only who was reached through a relay asks for it, over that connection")
        if (earlier := self._answers.get(peer)) is not None:
            await end([earlier])  # its clock was first: it has given that attempt up, and begins the next
        if peer in self._direct or len(self._direct) >= MAX_AT_ONCE:
            raise DcutrError("too many at once")
        said = self._begin(peer)
        self._direct[peer] = asyncio.Event()
        try:
            async with asyncio.timeout(connection.wait(EXCHANGE_BASE, 8.0)):
                theirs = HolePunch.expected(await stream.read_message(MAX_MESSAGE), PunchType.CONNECT)
                await stream.write_message(self._ours(connection).encode())
                HolePunch.expected(await stream.read_message(MAX_MESSAGE), PunchType.SYNC)
        except BaseException:
            del self._direct[peer]
            raise
        answer = self._answers[peer] = self._tasks.spawn(logged(self._answer(connection, theirs, said), log))
        answer.add_done_callback(lambda _: self._answered(peer))
        stream.close_write()

    def _answered(self, peer: PeerId) -> None:
        del self._direct[peer], self._answers[peer]

    async def _answer(self, connection: Connection, theirs: HolePunch, said: list[str]) -> None:
        if await self._punch(connection, theirs, client=True, label="asked for", said=said):
            self._tasks.spawn(logged(self._retire(connection), log))

    # --- both

    def _ours(self, connection: Connection) -> HolePunch:
        believed = believed_from(_relay(connection))
        raw = [addr.encode() for addr in self._own_addrs()]
        return HolePunch(PunchType.CONNECT, tuple(one for one in raw if scope_of(one) in believed)[:MAX_ADDRS])

    def _begin(self, peer: PeerId) -> list[str]:
        said = self.outcomes.setdefault(peer, [])
        if len(said) >= 2 * ATTEMPTS:
            said.clear()
        self.outcomes.move_to_end(peer)
        while len(self.outcomes) > MAX_OUTCOMES:
            self.outcomes.popitem(last=False)
        return said

    def _is_direct(self, peer: PeerId) -> bool:
        best = self._swarm.best(peer)
        return best is not None and not best.relayed

    async def _punch(
        self, connection: Connection, theirs: HolePunch, *, client: bool | None, label: str, said: list[str]
    ) -> bool:
        """Dial all their addresses now; whether there is a direct connection, theirs or ours."""
        peer, began = connection.peer, self._swarm.clock()
        addrs = punched(theirs.addrs, _relay(connection), self._swarm.takes)
        if not addrs and client is None:
            said.append(f"{label}: the peer names no address that may be dialled")
            return False
        seconds = connection.wait(PUNCH_BASE, 2.0)
        dials = [asyncio.ensure_future(self._swarm.punch(peer, addr, seconds, client=client)) for addr in addrs]
        arrived = asyncio.ensure_future(self._direct[peer].wait())
        over = asyncio.gather(*dials, return_exceptions=True)
        try:
            # the peer's own dials may come through when ours are over, unless it does not dial
            awaited: set[asyncio.Future[Any]] = {arrived} if client is not None else {arrived, over}
            await asyncio.wait(awaited, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            arrived.cancel()
            succeeded = any(dial.done() and not dial.cancelled() and dial.exception() is None for dial in dials)
            for dial in dials:
                dial.cancel()
            await over
        if not self._direct[peer].is_set():
            failures = {str(one.exception() or "") for one in dials if one.done() and not one.cancelled()} - {""}
            said.append(f"{label}: {'; '.join(sorted(failures)) or 'no answer in time'} ({len(addrs)} addresses)")
            return False
        if client is None and not succeeded:
            return True  # it is an attempt's
        best = self._swarm.best(peer)
        at = best.remote_addr if best is not None else "?"
        said.append(f"{label}: direct at {at} after {self._swarm.clock() - began:.2f} s")
        log.info("%s is reached directly now, at %s", peer, at)
        return True

    async def _retire(self, connection: Connection) -> None:
        """Close a relayed connection once nothing goes over it."""
        for _ in range(RETIRE_TIMES):
            await asyncio.sleep(RETIRE_EVERY)
            if connection.closed.done() or not self._is_direct(connection.peer):
                return
            if not connection.streams:
                connection.announce_close()
                with suppress(CideryError):
                    connection.close("there is a direct connection now")
                return


def _relay(connection: Connection) -> bytes:
    assert connection.remote_addr is not None  # a relayed connection has its relay's
    return connection.remote_addr.encode()
