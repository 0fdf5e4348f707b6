"""Messages that were seen: their ids, the last numbers of their authors, and for a while the messages themselves.

Spec: https://github.com/libp2p/specs/blob/master/pubsub/gossipsub/gossipsub-v1.0.md#message-cache
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque

from cidery.pubsub.message import Message
from cidery.pubsub.parameters import (
    HISTORY,
    HISTORY_GOSSIPED,
    MAX_AUTHORS,
    MAX_HISTORY_BYTES,
    MAX_RETRANSMISSIONS,
    MAX_SEEN,
    SEEN_SECONDS,
)


class Seen:
    """Ids of messages, each remembered for SEEN_SECONDS since it was last met.

    A message whose id has been forgotten could go round again. So the largest number of each author that was forgotten
    stays known, and what is not above it is old: without that, one late copy would be passed on for ever.
    """

    def __init__(self) -> None:
        self._until: OrderedDict[bytes, tuple[float, bytes, bytes]] = OrderedDict()
        self._floors: OrderedDict[bytes, bytes] = OrderedDict()

    def __len__(self) -> int:
        return len(self._until)

    def knows(self, message_id: bytes) -> bool:
        return message_id in self._until

    def again(self, message_id: bytes, now: float) -> None:
        """A message has come once more."""
        _, author, seqno = self._until[message_id]
        self._until[message_id] = (now + SEEN_SECONDS, author, seqno)
        self._until.move_to_end(message_id)

    def is_old(self, message: Message) -> bool:
        """Whether it is a copy of what was forgotten."""
        floor = self._floors.get(message.author)
        return floor is not None and int.from_bytes(message.seqno) <= int.from_bytes(floor)

    def add(self, message: Message, now: float) -> None:
        self._until[message.id] = (now + SEEN_SECONDS, message.author, message.seqno)
        if len(self._until) > MAX_SEEN:
            self._forget()

    def expire(self, now: float) -> None:
        while self._until and next(iter(self._until.values()))[0] <= now:
            self._forget()

    def _forget(self) -> None:
        _, (_, author, seqno) = self._until.popitem(last=False)
        floor = self._floors.pop(author, b"")
        self._floors[author] = max(floor, seqno, key=int.from_bytes)
        if len(self._floors) > MAX_AUTHORS:
            self._floors.popitem(last=False)

    def reset(self, author: bytes | None) -> int:
        """Forget the numbers of an author, or of all; returns of how many."""
        if author is None:
            count = len(self._floors)
            self._floors.clear()
            return count
        return int(self._floors.pop(author, None) is not None)


class _Kept:
    """A message, and what peers had to do with it."""

    __slots__ = ("asked", "carriers", "message")

    def __init__(self, message: Message) -> None:
        self.message = message
        self.asked: Counter[bytes] = Counter()
        """Times, by peer."""
        self.carriers: set[bytes] = set()


class History:
    """The messages of the last heartbeats, for those that ask for them."""

    def __init__(self) -> None:
        self.bytes = 0
        self._messages: OrderedDict[bytes, _Kept] = OrderedDict()
        self._windows: deque[list[bytes]] = deque([[]], HISTORY)

    def add(self, message: Message) -> None:
        self._messages[message.id] = _Kept(message)
        self._windows[0].append(message.id)
        self.bytes += len(message.data)
        while self.bytes > MAX_HISTORY_BYTES:
            self._drop(next(iter(self._messages)))

    def ids(self, topic: str) -> list[bytes]:
        """Those that are worth a gossip."""
        recent = list(self._windows)[:HISTORY_GOSSIPED]
        found = (self._messages.get(one) for window in recent for one in window)
        return [one.message.id for one in found if one is not None and one.message.topic == topic]

    def asked(self, message_id: bytes, peer: bytes) -> Message | None:
        """The message, unless this peer has asked for it too often."""
        known = self._messages.get(message_id)
        if known is None or known.asked[peer] >= MAX_RETRANSMISSIONS:
            return None
        known.asked[peer] += 1
        return known.message

    def carried(self, message_id: bytes, peer: bytes) -> str | None:
        """A peer has brought the message; its topic, if this peer had not brought it before."""
        known = self._messages.get(message_id)
        if known is None or peer in known.carriers:
            return None
        known.carriers.add(peer)
        return known.message.topic

    def shift(self) -> None:
        """At each heartbeat."""
        if len(self._windows) == HISTORY:
            for one in self._windows.pop():
                self._drop(one)
        self._windows.appendleft([])

    def _drop(self, message_id: bytes) -> None:
        known = self._messages.pop(message_id, None)
        if known is not None:
            self.bytes -= len(known.message.data)
