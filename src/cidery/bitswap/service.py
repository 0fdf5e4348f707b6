"""Bitswap over the swarm: reads messages, verifies blocks, hands them to sessions, serves wants. The only IO here.

Spec: https://specs.ipfs.tech/bitswap-protocol/
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from cidery import budgets
from cidery.bitswap.arrivals import ARRIVES_SLOWLY, Arrivals
from cidery.bitswap.crowds import Crowds
from cidery.bitswap.engine import Engine
from cidery.bitswap.loop_line import LoopLine
from cidery.bitswap.message import FORETOLD, MAX_MESSAGE, PROTOCOLS, BitswapError, Message, Payload
from cidery.bitswap.outgoing import Outgoing
from cidery.bitswap.peer import (
    Arrived,
    ConnectedPeer,
    LeftPeers,
    Shunned,
    UnwantedBlocks,
    first_of,
    read_blocks,
    take_beginning,
)
from cidery.bitswap.serving import Serving
from cidery.bitswap.verification import VERIFY_ITEMS, Verification, Verified
from cidery.blockstore.interface import BlockStore
from cidery.errors import CideryError
from cidery.exchange.commands import Heard
from cidery.exchange.probe import Asker
from cidery.exchange.service import NetworkSession
from cidery.exchange.stats import SessionState
from cidery.identity.peer_id import PeerId
from cidery.libp2p.io.connection import Connection
from cidery.libp2p.io.stream import Stream
from cidery.libp2p.io.swarm import Swarm
from cidery.libp2p.protocols.multistream import ProtocolNotSupported
from cidery.libp2p.protocols.muxed_stream import StreamReset
from cidery.libp2p.protocols.timeouts import Timeouts
from cidery.multiformats.cid import CID
from cidery.tasks import Tasks

log = logging.getLogger("cidery.bitswap")

WANTS_AT_ONCE = 256
"""Wants that are looked up between two looks at the line."""
ASK_ALIVE = 0.5
"""Seconds of silence of a peer that owes blocks, beside a round trip, after which it is pinged."""
RETRY_BASE, MAX_DOUBLINGS = 1.0, 6
"""Seconds, beside round trips, until what could not be sent is sent again, and how often that wait doubles."""


class BitswapService:
    """One per node. Satisfies ``exchange.service.Sources``."""

    def __init__(
        self,
        swarm: Swarm,
        store: BlockStore,
        *,
        clock: Callable[[], float],
        agent_of: Callable[[PeerId], str],
        speaks: Callable[[PeerId, str], bool],
    ) -> None:
        """``agent_of`` and ``speaks``: what identify learned of a peer."""
        self.engine = Engine(clock(), int.from_bytes(swarm.local_peer.multihash[-8:]))
        self.blocks_received = self.data_received = self.duplicate_blocks = self.duplicate_data = 0
        self.blocks_sent = self.data_sent = self.messages_received = 0
        self._swarm = swarm
        self._store = store
        self._clock = clock
        self._agent_of = agent_of
        self._peers: dict[str, ConnectedPeer] = {}
        self.crowds = Crowds(self.engine, self._peers, clock)
        self._serving = Serving(self.engine, self._peers, clock, self._answer, self._is_ours)
        self._sessions: dict[Asker, None] = {}
        self._interest: dict[CID, dict[Asker, None]] = {}
        self._line = LoopLine(clock)
        self._reading = asyncio.Semaphore(budgets.BITSWAP_SERVING.amount)
        self._shunned = Shunned()
        self._arrivals = Arrivals()
        self._verification = Verification(self._peers)
        self._parts = self._verification.parts
        self._left = LeftPeers()
        self._outgoing = Outgoing(swarm, agent_of=agent_of, speaks=speaks)
        self._tasks = Tasks()
        for protocol in PROTOCOLS:
            swarm.handlers[protocol] = self._receive
        self._loop = asyncio.get_running_loop()
        store.on_stored.append(self._stored)
        swarm.on_connected.append(self._connected)
        swarm.on_disconnected.append(self._disconnected)
        swarm.on_reduced.append(self._reduced)

    def _stored(self, blocks: Sequence[tuple[bytes, int]]) -> None:
        """Blocks came into the store, in any thread and by any way: serve the peers that wait for them."""
        wanted_by = self.engine.wanted_by
        if wanted_by and (awaited := [one for one in blocks if one[0] in wanted_by]):
            self._loop.call_soon_threadsafe(self._serve_stored, awaited)

    def _serve_stored(self, blocks: Sequence[tuple[bytes, int]]) -> None:
        for name in self.engine.on_new_blocks(blocks, self._clock()):
            self._kick_answers(name)

    def exchanged(self, name: str) -> bool:
        """Whether blocks went either way with a connected peer."""
        ledger = self.engine.ledgers.get(name)
        return ledger is not None and bool(ledger.bytes_sent or ledger.bytes_received)

    def wantlist(self) -> list[CID]:
        """What sessions want now."""
        return list(self._interest)

    def fetching(self, cid: CID) -> list[SessionState]:
        """Sessions under way that began with ``cid`` or want it."""
        return [one.state() for one in self._sessions if isinstance(one, NetworkSession) and one.concerns(cid)]

    async def close(self) -> None:
        if self._stored in self._store.on_stored:
            self._store.on_stored.remove(self._stored)
        for peer in self._peers.values():
            peer.gone = True
        self._serving.close()
        await self._tasks.close()
        self._verification.close()

    # --- PeerSources, for sessions

    def attach(self, session: Asker) -> None:
        self._sessions[session] = None
        for name, peer in self._peers.items():
            if not peer.deaf:
                session.on_source(name, self._round_trip(peer.peer), gave=peer.right > 0)
                if peer.debt:
                    session.on_wrong(name, peer.debt)

    def detach(self, session: Asker) -> None:
        self._sessions.pop(session, None)
        for cid in [cid for cid, sessions in self._interest.items() if session in sessions]:
            self._uninterested(session, cid)
        for peer in self._peers.values():
            peer.wantlist.cancel_all(session)
            self._kick_wants(peer)

    def ask(self, session: Asker, source: str, blocks: Sequence[CID], haves: Sequence[CID]) -> None:
        peer = self._peers.get(source)
        if peer is None:
            return
        for cid in (*blocks, *haves):
            self._interest.setdefault(cid, {})[session] = None
        if blocks and not peer.wantlist.wants_any:
            for stream in peer.inbound:
                stream.expect_bulk()
        peer.wantlist.ask(session, blocks, haves)
        self._kick_wants(peer)

    def cancel(self, session: Asker, source: str, cids: Sequence[CID]) -> None:
        if (peer := self._peers.get(source)) is not None:
            begun = peer.begun() if any(cid in self._interest for cid in cids) else None
            if begun is not None and begun.rest_of in cids:
                self._keep(peer, begun)  # another may be asked for the rest
            self._parts.unshare(source, cids)
            peer.wantlist.cancel(session, cids)
            self._kick_wants(peer)

    def share(self, session: Asker, giver: str, source: str, cid: CID, size: int) -> None:
        first = self._peers.get(giver)
        if first is not None and self._parts.share(cid, giver, source, first.begun(), first.unfinished()[1] - size):
            first.wantlist.spare(session, cid, size)
            self._kick_wants(first)
        self.ask(session, source, (cid,), ())

    def heard(self, source: str) -> Heard:
        peer = self._peers.get(source)
        connection = self._swarm.best(peer.peer) if peer is not None else None
        if peer is None or connection is None:
            return Heard()
        if self._clock() - connection.heard_at > Timeouts.wait(ASK_ALIVE, connection.round_trip.smoothed, 1.0):
            connection.ping()
            self._swarm.renewals.consider(connection)
        at = max((stream.inner.heard_at for stream in peer.inbound), default=0.0)
        arrived, missing = peer.unfinished()
        ends_at = self._arrivals.ends_at(source, arrived, missing, at, self._clock())
        return Heard(at, connection.heard_at, peer.coming(), ends_at, missing, arrived)

    def reads(self, root: CID) -> bool:
        """Whether a session fetches the DAG."""
        return any(isinstance(one, NetworkSession) and one.concerns(root) for one in self._sessions)

    def _uninterested(self, session: Asker, cid: CID) -> None:
        if (sessions := self._interest.get(cid)) is not None:
            sessions.pop(session, None)
            if not sessions:
                del self._interest[cid]
                self._parts.drop(cid)

    def _round_trip(self, peer: PeerId) -> float | None:
        connection = self._swarm.best(peer)
        return connection.round_trip.smoothed if connection is not None else None

    # --- peers

    async def _connected(self, connection: Connection) -> None:
        name = str(connection.peer)
        if name in self._peers or connection.closed.done() or connection.limited:
            return
        if self._shunned.holds(name, self._clock()):
            return
        peer = self._peers[name] = ConnectedPeer(connection.peer, name, self._clock(), self._line)
        self._left.again(peer)
        self.engine.add_peer(name, self._clock())
        for session in list(self._sessions):
            session.on_source(peer.name, self._round_trip(peer.peer))

    def _disconnected(self, peer_id: PeerId) -> None:
        if (peer := self._peers.pop(str(peer_id), None)) is None:
            return
        for stream in peer.inbound:
            if stream.inner.reset_reason:
                self._cut(peer, stream)
        peer.gone = True
        self._left.add(peer)
        self.engine.remove_peer(peer.name)
        for session in list(self._sessions):
            session.on_source_gone(peer.name)

    def _reduced(self, peer_id: PeerId) -> None:
        if (peer := self._peers.get(str(peer_id))) is not None and peer.lost_wants():
            self._kick_wants(peer)

    # --- receiving

    async def _receive(self, stream: Stream) -> None:
        name = str(stream.connection.peer)
        if name not in self._peers and isinstance(stream.connection, Connection):
            await self._connected(stream.connection)
        if (peer := self._peers.get(name)) is None:
            return  # its connection ended meanwhile
        ended = ""
        try:
            async with peer.reading, asyncio.TaskGroup() as group:
                peer.inbound[stream] = None
                stream.inner.uses_beginning = True
                if peer.wantlist.wants_any:
                    stream.expect_bulk()
                # "All protocol messages MUST be less than or equal to 4MiB in size": before the bytes are read
                try:
                    async for data in stream.messages(MAX_MESSAGE, lambda: self._begins(peer, stream)):
                        self._tell_receiving(self._arrivals.ends(peer.name, stream))
                        await self._receive_message(stream, peer, data, group)
                        del data  # megabytes, and the next one may never come
                except StreamReset as exc:
                    ended = exc.reason  # blocks that came before count
            if ended:
                raise StreamReset(ended)
        except ExceptionGroup as group_error:
            raise first_of(group_error) from group_error
        finally:
            self._cut(peer, stream)
            peer.inbound.pop(stream, None)
            if peer.lost_answers(stream, self._clock()):
                self._kick_wants(peer)
            self._tell_receiving(self._arrivals.ends(peer.name, stream))

    async def _receive_message(
        self, stream: Stream, peer: ConnectedPeer, data: memoryview, group: asyncio.TaskGroup
    ) -> None:
        arrived, hashing = peer.arrives(data), None
        try:
            async with peer.turn:
                message = await peer.decode(data, self._clock)
                self.messages_received += 1
                self._receive_presences(peer, message)
                if message.receiving is not None:
                    self.engine.turns.receives(peer.name, message.receiving)
                if message.entries or message.full:
                    await self._receive_wantlist(peer.name, message)
            if message.payloads:
                await peer.verifying.acquire()
                hashing = group.create_task(self._receive_blocks(stream, peer, message.payloads, arrived))
                hashing.add_done_callback(lambda _: peer.verified(arrived))  # it may be cancelled before it begins
        finally:
            if hashing is None:
                peer.arrived.discard(arrived)

    def _begins(self, peer: ConnectedPeer, stream: Stream) -> None:
        self._arrivals.begins(peer.name, stream, self._clock())
        self._loop.call_later(ARRIVES_SLOWLY, lambda: self._tell_receiving(self._arrivals.look(self._clock())))

    def _tell_receiving(self, changed: bool) -> None:
        """Tell those that are asked for blocks how many others are sending to us, if that has changed."""
        if changed:
            for peer in self._peers.values():
                if self._news(peer) is not None:
                    self._spawn(peer, "wants", self._send_wants)

    def _news(self, peer: ConnectedPeer) -> int | None:
        return peer.news(self._arrivals.beside(peer.name)) if self._is_ours(peer.name) else None

    def _is_ours(self, name: str) -> bool:
        """Whether a peer knows what Bitswap has not: offers, and fields of ours."""
        return name in self._peers and self._agent_of(self._peers[name].peer).startswith("cidery/")

    def _receive_presences(self, peer: ConnectedPeer, message: Message) -> None:
        touched: dict[Asker, None] = {}
        for cid in message.haves:
            if peer.wondered.pop(cid, peer) is None:
                self.engine.turns.gives(peer.name)  # it passes on what we sent it
            peer.wantlist.confirmed(cid)
            if cid not in self._interest and self._is_ours(peer.name):
                peer.wantlist.unwanted(cid)
            for session in self._interest.get(cid, ()):
                session.on_have(peer.name, cid)
                touched[session] = None
        for cid in message.dont_haves:
            # who asked this peer hears of it, even if others have sent the block since
            for session in {**self._interest.get(cid, {}), **peer.denied(cid)}:
                session.on_dont_have(peer.name, cid)
                touched[session] = None
        self._kick_wants(peer)
        if any(cid in self._interest for cid in message.haves):
            self.engine.turns.gives(peer.name)
        for session in touched:
            session.turn()

    async def _receive_wantlist(self, name: str, message: Message) -> None:
        for start in range(0, max(len(message.entries), 1), WANTS_AT_ONCE):
            entries = message.entries[start : start + WANTS_AT_ONCE]
            cids = self.engine.on_wantlist(name, entries, message.full and not start)
            for session in list(self._sessions):
                session.on_wanted(name, cids)
            if (peer := self._peers.get(name)) is not None:
                self.crowds.note(peer, cids)
                if (leaf := self.engine.withdrawn_leaf(name, entries, peer.wondered)) is not None and peer.wonder(leaf):
                    self._kick_wants(peer)
                self._serving.stop_withdrawn(peer)
            self.engine.on_sizes(name, cids, await self._store.size_many(cids) if cids else [], self._clock())
            self._kick_answers(name)
            if start and peer is not None:
                await peer.pause(0.0)

    async def _receive_blocks(
        self, stream: Stream, peer: ConnectedPeer, payloads: Sequence[Payload], arrived: Arrived
    ) -> None:
        try:
            blocks = await self._verification.verify(peer, payloads)
        finally:
            peer.verified(arrived)
        try:
            for at in range(0, max(len(blocks), 1), VERIFY_ITEMS):
                self._take(peer, blocks[at : at + VERIFY_ITEMS])
                if at + VERIFY_ITEMS < len(blocks):
                    await asyncio.sleep(0)
        except UnwantedBlocks as exc:
            self._shunned.refuse(peer, stream, exc, self._clock())
            raise
        self._kick_wants(peer)

    def _take(self, peer: ConnectedPeer, blocks: Verified) -> None:
        """Hand blocks to those who want them. Raises UnwantedBlocks."""
        if wrong := peer.not_asked_for(blocks):
            self._parts.failed((peer.name,))
            for session in list(self._sessions):
                session.on_wrong(peer.name, wrong)
        touched: dict[Asker, None] = {}
        size = wanted = 0
        for cid, payload in blocks:
            self._interest.pop(cid, None)
            self._parts.drop(cid)
            peer.wantlist.satisfied(cid)
            came = len(payload.data) - payload.start
            # each session judges for itself: a duplicate to one may be what another was about to ask for
            sessions = list(self._sessions)
            taken = [one for one in sessions if one.on_block(peer.name, cid, payload.data, came)]
            touched.update(dict.fromkeys(taken or self._sessions))
            size += came
            if taken:
                wanted += came
            else:
                self.duplicate_blocks += 1
                self.duplicate_data += came
        for session in touched:
            session.turn()
        self.blocks_received += len(blocks)
        self.data_received += size
        self.engine.received(peer.name, [cid for cid, _ in blocks], wanted, self._clock())
        peer.took(wanted, size)

    def _cut(self, peer: ConnectedPeer, stream: Stream) -> None:
        """A stream ended within a message: its whole blocks count, and of a begun one the rest is asked of another."""
        whole, begun = take_beginning(peer, stream, self._clock())
        if begun is not None:
            self._keep(peer, begun)
        if not (whole and peer.wantlist.wants_any):
            return
        try:
            self._take(peer, self._verification.verify_now(peer, whole))
        except BitswapError as exc:
            log.debug("of a message of %s that was cut: %s", peer.name, exc)
        except UnwantedBlocks as exc:
            self._shunned.refuse(peer, stream, exc, self._clock())
        self._kick_wants(peer)

    def _keep(self, peer: ConnectedPeer, begun: Payload) -> None:
        cid = begun.rest_of
        if cid in self._interest and peer.wantlist.was_asked(cid):
            self._parts.keep(peer.name, begun)

    # --- sending

    def _kick_wants(self, peer: ConnectedPeer) -> None:
        if peer.wantlist.has_pending:
            self._spawn(peer, "wants", self._send_wants)

    def _answer(self, peer: ConnectedPeer) -> None:
        self._spawn(peer, "answers", self._send_answers)

    def _kick_answers(self, name: str) -> None:
        if (peer := self._peers.get(name)) is not None:
            self._answer(peer)
        self._serving.begin_turns()

    def _spawn(self, peer: ConnectedPeer, kind: str, work: Callable[[ConnectedPeer], Awaitable[None]]) -> None:
        """Run ``work`` for a peer unless it runs already; its failure ends what it does for this peer."""
        if kind in peer.sending or peer.gone:
            return

        async def run() -> None:
            try:
                await work(peer)
            except (CideryError, TimeoutError) as exc:
                log.debug("%s to %s: %s", kind, peer.name, exc)
                self._sending_failed(peer, kind, exc)
            finally:
                del peer.sending[kind]
                if kind == "answers":  # now: the next turn may be the same peer's
                    self.engine.end_turn(peer.name, 0, self._clock())
                    self._serving.begin_turns()

        peer.sending[kind] = self._tasks.spawn(run())

    def _sending_failed(self, peer: ConnectedPeer, kind: str, exc: Exception) -> None:
        stream = peer.streams.pop(kind, None)
        if stream is not None:
            stream.reset(str(exc))
        if isinstance(exc, ProtocolNotSupported):
            peer.deaf = True
            for session in list(self._sessions):
                session.on_source_gone(peer.name)
        elif not peer.gone:
            delay = Timeouts.wait(RETRY_BASE, self._round_trip(peer.peer)) * 2 ** min(peer.failed, MAX_DOUBLINGS)
            peer.failed += 1
            if kind == "wants":
                peer.wantlist.ask_again()
                self._loop.call_later(delay, self._kick_wants, peer)
            else:
                self.engine.turns.pause(peer.name, self._clock() + delay)
                self._loop.call_later(delay, self._kick_answers, peer.name)

    async def _send_wants(self, peer: ConnectedPeer) -> None:
        while not peer.gone and (peer.wantlist.has_pending or self._news(peer) is not None):
            if (news := self._news(peer)) is not None:
                peer.told_receiving = news
            entries = peer.wantlist.next_entries()
            if self._is_ours(peer.name):
                entries = self._parts.asking(peer.name, entries)
            await self._outgoing.send(peer, "wants", Message(entries=entries, receiving=news))
            await asyncio.sleep(0)  # changes of the same turn of the loop travel together

    async def _send_answers(self, peer: ConnectedPeer) -> None:
        while not peer.gone:
            async with self._reading:
                envelope = self.engine.next_envelope(peer.name)
                if envelope.empty:
                    return
                with self.engine.sending(peer.name, envelope):
                    message = await read_blocks(self._store, envelope)
                if envelope.blocks and self._is_ours(peer.name):
                    message.coming = [cid for cid, data in message.blocks if len(data) >= FORETOLD]
            # outside: a peer that reads slowly, or not at all, holds up nobody but itself
            with self.engine.sending(peer.name, envelope):
                await self._outgoing.send(peer, "answers", message)
                if message.blocks and self.engine.turns.slow(peer.name) and (stream := peer.streams.get("answers")):
                    await stream.drain()
                    if isinstance(stream.connection, Connection):
                        await stream.connection.has_sent()
            peer.failed = peer.written = 0
            size = sum(len(block.data) - message.starts.get(block.cid, 0) for block in message.blocks)
            self.engine.sent(peer.name, len(message.blocks), size)
            self.blocks_sent += len(message.blocks)
            self.data_sent += size
            if envelope.blocks:
                cid, many = self.engine.to_ask_for(peer.name, envelope), self.engine.turns.many
                if cid is not None and peer.wonder(cid, sent=many):
                    self._kick_wants(peer)
                self.engine.end_turn(peer.name, size, self._clock())
                self._serving.begin_turns()
