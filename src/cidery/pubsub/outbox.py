"""What waits to be sent to one peer: joined as it piles up, and bounded.

Subscriptions and mesh links are kept by topic, the last word counting, so their number is that of our own topics.
Messages are bounded in bytes, ids in number; what is beyond is dropped: gossip makes up for it.
"""

from __future__ import annotations

from collections import OrderedDict

from cidery.pubsub.message import MAX_RPC, MAX_TOPIC, Message, Prune, Rpc
from cidery.pubsub.parameters import MAX_IHAVE_IDS, MAX_OUTBOX_BYTES

OVERHEAD = 64
"""Bytes that a part costs beside its content, at most: keys, lengths, the fields around it."""
ROOM = MAX_RPC - 8 * OVERHEAD - 4 * MAX_TOPIC
"""Bytes of content of one RPC: one topic more than fits does no harm."""


class Outbox:
    """Of one peer."""

    def __init__(self) -> None:
        self.dropped = 0
        """Messages that found no room."""
        self._subscriptions: dict[str, bool] = {}
        self._links: dict[str, Prune | None] = {}
        """Topic -> the PRUNE, or None for a GRAFT."""
        self._messages: OrderedDict[bytes, Message] = OrderedDict()
        self._bytes = 0
        self._ihave: dict[str, list[bytes]] = {}
        self._ihave_ids = 0
        self._iwant: dict[bytes, None] = {}
        self._idontwant: dict[bytes, None] = {}

    def __bool__(self) -> bool:
        return bool(
            self._subscriptions or self._links or self._messages or self._ihave or self._iwant or self._idontwant
        )

    def subscription(self, topic: str, on: bool) -> None:
        self._subscriptions[topic] = on

    def graft(self, topic: str) -> None:
        self._links[topic] = None

    def prune(self, prune: Prune) -> None:
        self._links[prune.topic] = prune

    def message(self, message: Message) -> bool:
        """False if there is no room. What waits already waits once."""
        if message.id in self._messages:
            return True
        size = _size(message)
        if self._bytes + size > MAX_OUTBOX_BYTES:
            self.dropped += 1
            return False
        self._messages[message.id] = message
        self._bytes += size
        return True

    def ihave(self, topic: str, ids: list[bytes]) -> None:
        ids = ids[: MAX_IHAVE_IDS - self._ihave_ids]
        if ids:
            self._ihave.setdefault(topic, []).extend(ids)
            self._ihave_ids += len(ids)

    def iwant(self, ids: list[bytes]) -> None:
        self._iwant.update(dict.fromkeys(ids[: MAX_IHAVE_IDS - len(self._iwant)]))

    def idontwant(self, message_id: bytes) -> None:
        if len(self._idontwant) < MAX_IHAVE_IDS:
            self._idontwant[message_id] = None

    def refused(self, message_id: bytes) -> None:
        """The peer does not want a message any more."""
        if (message := self._messages.pop(message_id, None)) is not None:
            self._bytes -= _size(message)

    def take(self) -> Rpc:
        """The next RPC, of at most MAX_RPC bytes; what is most urgent first. Empty when nothing waits."""
        rpc, room = Rpc(), ROOM
        while self._subscriptions and room > 0:
            topic, on = self._subscriptions.popitem()
            rpc.subscriptions.append((on, topic))
            room -= len(topic) * 4 + OVERHEAD
        while self._links and room > 0:
            topic, prune = self._links.popitem()
            if prune is None:
                rpc.graft.append(topic)
            else:
                rpc.prune.append(prune)
                room -= sum(len(one.peer) + len(one.record) + OVERHEAD for one in prune.peers)
            room -= len(topic) * 4 + OVERHEAD
        room = _move(self._idontwant, rpc.idontwant, room)
        room = _move(self._iwant, rpc.iwant, room)
        while self._messages and room > 0:
            message_id, message = self._messages.popitem(last=False)
            if room < _size(message) and room < ROOM:
                self._messages[message_id] = message
                self._messages.move_to_end(message_id, last=False)
                break
            self._bytes -= _size(message)
            room -= _size(message)
            rpc.messages.append(message)
        while self._ihave and room > 0:
            room = self._take_ids(rpc, room)
        return rpc

    def _take_ids(self, rpc: Rpc, room: int) -> int:
        """Those of one topic, as many as fit; returns the room that is left."""
        topic, ids = self._ihave.popitem()
        told: list[bytes] = []
        while ids and room > 0:
            told.append(ids.pop())
            room -= len(told[-1]) + OVERHEAD
        if ids:
            self._ihave[topic] = ids
        self._ihave_ids -= len(told)
        rpc.ihave.append((topic, told))
        return room - len(topic) * 4 - OVERHEAD


def _size(message: Message) -> int:
    return len(message.data) + len(message.topic) * 4 + len(message.key) + len(message.signature) + 2 * OVERHEAD


def _move(waiting: dict[bytes, None], into: list[bytes], room: int) -> int:
    while waiting and room > 0:
        one, _ = waiting.popitem()
        into.append(one)
        room -= len(one) + OVERHEAD
    return room
