"""Connections to a daemon that are between two calls."""

import asyncio

from cidery.client.address import Endpoint
from cidery.client.answer import DaemonGone
from cidery.client.blocking import RECEIVE_SIZE, connect_timeout

MAX_IDLE = 32
"""Most connections kept: those of as many tasks that call at once."""
IDLE_SECONDS = 10.0
"""Age at which one is not used any more: servers, also those in between, keep them longer. So no call is sent on a
connection that its other end is about to close, and none has to be sent twice."""
Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Connections:
    """Of one event loop. Nothing is kept before open() and after close()."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._idle: list[tuple[float, Stream]] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def keeping(self) -> bool:
        """Whether connections are kept: in the loop that called open(), until close()."""
        return self._loop is not None and self._loop is asyncio.get_running_loop()

    def open(self) -> None:
        """Keep connections from now on, for this loop."""
        self._loop = asyncio.get_running_loop()

    async def take(self) -> Stream:
        """One that is idle, or a new one. Raises DaemonGone, NoSecureConnection."""
        while self.keeping and self._idle:
            since, (incoming, outgoing) = self._idle.pop()
            if self._now() - since < IDLE_SECONDS and not incoming.at_eof() and not outgoing.is_closing():
                return incoming, outgoing
            await close_stream(outgoing)
        try:
            async with asyncio.timeout(connect_timeout(self._endpoint)):
                return await connect(self._endpoint)
        except OSError as exc:  # TimeoutError is one
            raise DaemonGone(self._endpoint.name, exc.strerror or "no connection in time") from exc

    async def give(self, stream: Stream) -> None:
        """Take back one on which an answer has ended."""
        if self.keeping and len(self._idle) < MAX_IDLE:
            self._idle.append((self._now(), stream))
        else:
            await close_stream(stream[1])

    async def close(self) -> None:
        """End those that are idle, and keep none from now on. Idempotent."""
        mine, self._loop = self.keeping, None
        idle, self._idle = self._idle, []
        for _, (_, outgoing) in idle if mine else ():
            await close_stream(outgoing)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


async def close_stream(outgoing: asyncio.StreamWriter) -> None:
    """End a connection."""
    outgoing.close()
    try:
        await outgoing.wait_closed()
    except OSError:
        return  # the other end closed it first


async def connect(endpoint: Endpoint) -> Stream:
    """A connection to a daemon. Raises OSError, NoSecureConnection, BadAuthorities."""
    if endpoint.secure:
        from cidery.client.secure import open_secure  # ssl, and what the system trusts: for those who use it

        return await open_secure(endpoint, RECEIVE_SIZE)
    if endpoint.path:
        return await asyncio.open_unix_connection(endpoint.path, limit=RECEIVE_SIZE)
    return await asyncio.open_connection(endpoint.host, endpoint.port, limit=RECEIVE_SIZE)
