"""One connected peer as the Bitswap service sees it: what is wanted of it, its streams, what is arriving from it."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence

from cidery import budgets
from cidery.bitswap.engine import Envelope
from cidery.bitswap.loop_line import BYTES_AT_A_TIME, LoopLine, Place
from cidery.bitswap.message import FORETOLD, ITEM_COST, STEP, Message, Payload, foretold, read_cut
from cidery.bitswap.wantlist import PeerWantlist
from cidery.bitswap.work import PeerWork
from cidery.blockstore.interface import BlockStore
from cidery.errors import CideryError, RemoteProtocolError
from cidery.exchange.probe import Asker
from cidery.exchange.source import WRONG_COSTS
from cidery.identity.peer_id import PeerId
from cidery.ipld.block import Block
from cidery.libp2p.io.connection import Connection
from cidery.libp2p.io.stream import Stream
from cidery.multiformats.cid import CID
from cidery.multiformats.varint import encode_uvarint

MAX_VERIFYING = budgets.BITSWAP_VERIFYING.amount
MAX_READING = budgets.BITSWAP_READING.amount
MAX_UNWANTED = budgets.BITSWAP_UNWANTED.amount
MAX_WRONG = budgets.BITSWAP_WRONG.amount
SHUNNED_SECONDS = 600.0
MAX_SHUNNED = 1024
"""Most peers that are shunned; the first is forgotten."""
MAX_WONDERED = 4
"""Blocks that one peer was sent, and is asked at a time whether it has them: it says so at once, or does not."""
MAX_LEFT = 64
"""Disconnected peers of which it is remembered what they were asked."""


class UnwantedBlocks(RemoteProtocolError):
    """A peer keeps sending blocks that nobody asked it for."""

    def __str__(self) -> str:
        return f"bitswap: more than {MAX_WRONG} bytes of blocks never asked for, or {MAX_UNWANTED} no longer wanted"


def one_message_per_stream(agent: str) -> bool:
    """Whether a peer gets a new stream for each message.

    js-libp2p resets a stream that holds more than 4 MiB unread and Helia never asks again for what was lost, so only
    peers that are known to keep reading get long-lived streams.
    """
    return not agent.startswith(("cidery/", "kubo/", "go-ipfs/"))


class Arrived:
    """A message that has come: which blocks it was said to hold, None if it did not say."""

    __slots__ = ("blocks",)

    def __init__(self, blocks: frozenset[CID] | None) -> None:
        self.blocks = blocks


class Shunned:
    """Peers that lied: for a while they are asked for nothing and sent nothing."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}

    def add(self, name: str, now: float) -> None:
        self._since[name] = now
        if len(self._since) > MAX_SHUNNED:
            del self._since[next(iter(self._since))]

    def holds(self, name: str, now: float) -> bool:
        if now - self._since.get(name, float("-inf")) < SHUNNED_SECONDS:
            return True
        self._since.pop(name, None)
        return False

    def refuse(self, peer: "ConnectedPeer", stream: Stream, why: UnwantedBlocks, now: float) -> None:
        """End the connection of a peer, and shun it if it lied."""
        if peer.debt > MAX_WRONG:
            self.add(peer.name, now)
        if isinstance(stream.connection, Connection):
            stream.connection.close(str(why))


class ConnectedPeer:
    """What one connected peer needs: wants towards it, and its two outgoing streams."""

    def __init__(self, peer: PeerId, name: str, now: float, line: LoopLine) -> None:
        self.peer = peer
        self.name = name
        self.wantlist = PeerWantlist[Asker | ConnectedPeer]()
        self.streams: dict[str, Stream] = {}
        self.sending: dict[str, asyncio.Task[None]] = {}
        self.written = 0
        """Bytes of the message with answers that was written and is not sent, with what opened its stream for it."""
        self.inbound: dict[Stream, None] = {}
        self.half_closed: deque[Stream] = deque()
        self.reading = asyncio.Semaphore(MAX_READING)
        self.verifying = asyncio.Semaphore(MAX_VERIFYING)
        self.work = PeerWork(now)
        self._line, self._place = line, Place()
        self.arrived: set[Arrived] = set()
        """Whole messages of which the blocks are not hashed yet."""
        self.turn = asyncio.Lock()
        """Of its streams one is read at a time, so that a peer with many has no more of the loop than one with few."""
        self.unwanted = self.wrong = self.right = 0
        """Bytes of blocks: no longer wanted, never asked for, wanted."""
        self.wondered: dict[CID, None] = {}
        """Blocks that we sent it, and asked it whether it has them: then it passes them on."""
        self.root: CID | None = None
        """The last that it asked for of what may be the root of a DAG."""
        self.noted_at = now
        self.failed = 0
        """Times in a row that something could not be sent."""
        self.told_receiving = 0
        """From how many others we are receiving, as it was told last."""
        self.deaf = False
        """It does not speak Bitswap."""
        self.gone = False

    def news(self, others: int) -> int | None:
        """How many others are sending to us, if it was told another number, and is asked for blocks."""
        return others if others != self.told_receiving and self.wantlist.wants_any else None

    def denied(self, cid: CID) -> dict[Asker, None]:
        """It said that it does not have a block; the sessions that had asked it for that."""
        return {one: None for one in self.wantlist.denied(cid) if not isinstance(one, ConnectedPeer)}

    def lost_wants(self) -> bool:
        """Whether the connection has ended over which it was told what we want; then it is to be told all again."""
        stream = self.streams.get("wants")
        if stream is None or not isinstance(stream.connection, Connection) or stream.connection.usable:
            return False
        del self.streams["wants"]
        self.wantlist.ask_again()
        return True

    def lost_answers(self, stream: Stream, now: float) -> bool:
        """Whether a stream of it was reset, with answers maybe; then it is to be told all again, not beyond its rate.

        It may have another connection, and count as sent what this one carried.
        """
        if not stream.inner.reset_reason or self.work.spend(ITEM_COST * len(self.wantlist.wants), now):
            return False
        self.wantlist.ask_again()
        return True

    def take_back(self, reason: str = "too much is not read") -> None:
        """End the message that is being sent to it; what it still wants of that is sent again later."""
        if (task := self.sending.get("answers")) is not None:
            task.cancel()
        if (stream := self.streams.pop("answers", None)) is not None:
            stream.reset(reason)

    def wonder(self, cid: CID, *, sent: bool = False) -> bool:
        """Ask whether it has what it withdrew, or was ``sent``; False: too many such questions have no answer.

        What it was sent it has as a rule, and what it withdrew it may just want of another: so that gives way.
        """
        if len(self.wondered) >= MAX_WONDERED:
            if not sent:
                return False
            oldest = next(iter(self.wondered))
            del self.wondered[oldest]
            self.wantlist.cancel(self, (oldest,))
        self.wondered[cid] = None
        self.wantlist.ask(self, (), (cid,))
        return True

    async def its_turn(self, size: int) -> None:
        """Wait until so many bytes of it may be read: what we asked for is not behind what others ask for."""
        if not self.wantlist.wants_any:
            await self._line.enter(self._place, size)

    async def pause(self, seconds: float) -> None:
        """Within a message: for a turn of the loop at least, and until it is its turn again."""
        await asyncio.sleep(seconds)
        await self.its_turn(BYTES_AT_A_TIME)

    async def decode(self, data: memoryview, clock: Callable[[], float]) -> Message:
        """In steps, at the peer's rate, when it is its turn. Raises BitswapError."""
        await self.its_turn(len(data))
        steps = Message.decode_steps(data)
        while True:
            message: Message | None = None
            try:
                cost = next(steps)
            except StopIteration as stop:
                message, cost = stop.value
            pause = self.work.spend(cost, clock())
            if pause is not None:
                await self.pause(pause)
            if message is not None:
                return message

    def not_asked_for(self, blocks: Sequence[tuple[CID, Payload]]) -> int:
        """Bytes of blocks that it was never sent a want for: they are other bytes than those it was asked for."""
        asked = self.wantlist.was_asked
        wrong = sum(len(one.data) for cid, one in blocks if not asked(cid))
        self.wrong += wrong
        return wrong

    def took(self, wanted: int, size: int) -> None:
        """Of ``size`` bytes of blocks ``wanted`` were taken. Raises UnwantedBlocks after too many others."""
        self.right += wanted
        self.unwanted = max(0, self.unwanted + size - 2 * wanted)
        if self.unwanted > MAX_UNWANTED or self.debt > MAX_WRONG:
            raise UnwantedBlocks()

    def sent_in_vain(self, cid: CID, size: int) -> None:
        """It sent the rest of a block, which is of no use: it is asked for all of it, if that still is wanted."""
        if self.wantlist.was_asked(cid):
            self.unwanted += size
        else:
            self.wrong += size
        self.wantlist.want_whole(cid)

    @property
    def debt(self) -> int:
        """Bytes of blocks that it was never asked for, that wanted ones do not make up for; 0: it is no liar."""
        return max(0, self.wrong - self.right // WRONG_COSTS)

    def arrives(self, message: memoryview) -> Arrived:
        one = Arrived(foretold(message) if len(message) >= FORETOLD else frozenset())
        self.arrived.add(one)
        return one

    def verified(self, one: Arrived) -> None:
        """The blocks of a message that waited for ``verifying`` are hashed, or will not be. Idempotent."""
        if one in self.arrived:
            self.arrived.discard(one)
            self.verifying.release()

    def begun(self) -> Payload | None:
        """The block of which a part is here, if it is known which."""
        for stream in self.inbound:
            if len(beginning := stream.inner.beginning) >= FORETOLD:
                return read_cut(beginning)[1]
        return None

    def unfinished(self) -> tuple[int, int]:
        """Bytes of a message that have arrived, and that are missing; (0, 0): none has begun, or several have."""
        found = [one.inner for one in self.inbound if one.inner.target is not None]
        return (found[0].target_at, found[0].message_size - found[0].target_at) if len(found) == 1 else (0, 0)

    def coming(self) -> frozenset[CID] | None:
        """The blocks of its messages that are not whole, or not hashed; None if one of those does not say."""
        said = [one.blocks for one in self.arrived]
        for stream in self.inbound:
            begun = [message for message in stream.inner.messages if len(message) >= FORETOLD]
            if stream.inner.target is not None and len(stream.inner.target) >= FORETOLD:
                begun.append(stream.inner.beginning)
            said += map(foretold, begun)
        known: set[CID] = set()
        for one in said:
            if one is None:
                return None
            known |= one
        return frozenset(known)


class LeftPeers:
    """Peers that have disconnected, and what they were asked: they may come again and answer late."""

    def __init__(self) -> None:
        self._wantlists: OrderedDict[str, PeerWantlist[Asker | ConnectedPeer]] = OrderedDict()

    def add(self, peer: ConnectedPeer) -> None:
        self._wantlists[peer.name] = peer.wantlist
        if len(self._wantlists) > MAX_LEFT:
            self._wantlists.popitem(last=False)

    def again(self, peer: ConnectedPeer) -> None:
        """It has come again."""
        if (earlier := self._wantlists.pop(peer.name, None)) is not None:
            peer.wantlist.asked_before(earlier)


def take_beginning(peer: ConnectedPeer, stream: Stream, now: float) -> tuple[list[Payload], Payload | None]:
    """As read_cut(), of all that a stream held when it ended, which it holds no longer.

    Nothing is read beyond the peer's rate: there is no message to be held up.
    """
    whole: list[Payload] = []
    begun = None
    for message in stream.inner.give_up():
        if len(message) >= FORETOLD and not peer.work.spend(STEP, now):
            more, begun = read_cut(message)
            whole += more
    return whole, begun


async def read_blocks(store: BlockStore, envelope: Envelope) -> Message:
    """The message; what is not in the store any more is denied."""
    message = Message(haves=envelope.haves, dont_haves=envelope.dont_haves, pending_bytes=envelope.pending_bytes)
    message.starts = envelope.starts
    for cid, data in zip(envelope.blocks, await store.get_many(envelope.blocks), strict=True):
        if data is None:
            message.dont_haves.append(cid)
        else:
            message.blocks.append(Block(cid, data))
    return message


async def write_message(peer: ConnectedPeer, kind: str, stream: Stream, message: Message) -> None:
    buffers = message.buffers(stream.protocol)
    size = sum(map(len, buffers))
    head = encode_uvarint(size)
    if kind == "answers":
        peer.written += len(head) + size
    if not message.coming:
        await stream.write(head, *buffers)
        return
    # what is foretold travels by itself: a receiver cannot open the first part of a large sealed frame
    await stream.write(head, buffers[0])
    await stream.write(*buffers[1:])


def first_of(group: ExceptionGroup[Exception]) -> Exception:
    """What ended the reading of a stream: the peer's fault if there is one, else the group as it is."""
    peers_fault, ours = group.split(CideryError)
    if peers_fault is None or ours is not None:
        return group
    first: Exception = peers_fault
    while isinstance(first, ExceptionGroup):
        first = first.exceptions[0]
    return first
