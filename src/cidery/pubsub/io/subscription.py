"""Messages of one topic for one reader of this node."""

from __future__ import annotations

import asyncio
from collections import deque

from cidery.pubsub.message import Message

MAX_WAITING = 1024
"""Messages that wait for one reader; further ones are left out and counted, as other implementations do."""
MAX_WAITING_BYTES = 8 << 20


class Subscription:
    """``async for message in subscription``; its opener closes it."""

    def __init__(self, topic: str, most: int = MAX_WAITING) -> None:
        """``most``: messages that wait at a time."""
        self.topic = topic
        self._most = most
        self.missed = 0
        """Messages that were left out because the reader was slow."""
        self._waiting: deque[Message] = deque()
        self._bytes = 0
        self._ended = False
        self._arrived = asyncio.Event()

    def put(self, message: Message) -> None:
        if len(self._waiting) >= self._most or self._bytes + len(message.data) > MAX_WAITING_BYTES:
            self.missed += 1
            return
        self._waiting.append(message)
        self._bytes += len(message.data)
        self._arrived.set()

    def end(self) -> None:
        """The reader gets what waits, and then the end."""
        self._ended = True
        self._arrived.set()

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Message:
        """Cancellation: safe."""
        while not self._waiting:
            if self._ended:
                raise StopAsyncIteration
            self._arrived.clear()
            await self._arrived.wait()
        message = self._waiting.popleft()
        self._bytes -= len(message.data)
        return message
