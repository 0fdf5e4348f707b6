"""What the store does not hold, asked of the daemon: the reader's side of core.misses.

Each session is one connection, made at its first miss: when it ends, the daemon wants nothing more for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import TYPE_CHECKING

from cidery.client.address import Endpoint
from cidery.client.answer import DaemonGone, NoSecureConnection, call_headers, check_daemon
from cidery.client.blocking import RECEIVE_SIZE
from cidery.client.connections import connect
from cidery.client.http1 import BadResponse, ResponseReader, chunk_frame
from cidery.core.misses import MEDIA_TYPE, PATH, FrameReader, NotFoundThere, UnavailableThere, Verb, asked, asked_on
from cidery.core.session import NotStored, StoredDamaged, StoreSession
from cidery.errors import CideryError
from cidery.exchange.stats import SessionStats
from cidery.exchange.terms import EAGER, Terms
from cidery.ipld.block import Block
from cidery.ipns.name import format_name, name_of_routing_key

if TYPE_CHECKING:
    from cidery.blockstore.interface import BlockStore
    from cidery.multiformats.cid import CID

MAX_UNSENT = 64 * 1024
"""Bytes of hints that wait for the daemon; further ones are dropped."""
CONNECT_SECONDS = 5.0
"""Longest wait for a connection: the daemon is on this machine."""
log = logging.getLogger("cidery.client")


class NoDaemon(NotStored):
    """A block that is not stored, while no daemon runs that could fetch it."""

    def __str__(self) -> str:
        return f"{self.cid} is not stored here, and no daemon runs to fetch it; start it with: cidery daemon"


class DaemonMisses:
    """The daemon of a repository, for one process that reads the store."""

    def __init__(self, find: Callable[[], Endpoint | None]) -> None:
        """``find``: where the daemon is now; None: none runs. Its endpoint has the token."""
        self._find = find

    def session(self, blocks: BlockStore, terms: Terms) -> DaemonSession:
        """A BlockSession of ``blocks`` and, for what is not there, of the daemon, which fetches on these terms."""
        return DaemonSession(blocks, self._find, terms)

    async def search_value(self, key: bytes, quorum: int) -> AsyncGenerator[bytes, None]:
        """The record of a name that the daemon has or finds: satisfies namesys.resolver.ValueSearch."""
        endpoint = self._find()
        if endpoint is None:
            return
        line = _Line(endpoint)
        try:
            await line.open(EAGER)
            yield await line.ask(asked(Verb.NAME, name=format_name(name_of_routing_key(key))))
        except (NotFoundThere, DaemonGone):
            return
        finally:
            line.close()


class DaemonSession(StoreSession):
    """A BlockSession of a store and the daemon behind it."""

    def __init__(self, blocks: BlockStore, find: Callable[[], Endpoint | None], terms: Terms) -> None:
        super().__init__(blocks)
        self._find = find
        self._terms = terms
        self._line: _Line | None = None
        self._root: CID | None = None
        self._ahead: Sequence[CID] = ()
        """The last hint, for a connection that is made later."""
        self._from_daemon = (0, 0)

    async def __aexit__(self, *_: object) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None

    async def get(self, cid: CID) -> bytes | memoryview:
        """The block. Raises NoDaemon, and what the daemon says: NotFound, Unavailable, IntegrityError. Cancel-safe:
        a session of which a get() was cancelled goes on with a new connection."""
        found = await self.find(cid)
        if found is not None:
            return found
        line = self._line or await self._open(cid)
        try:
            data = await line.ask(asked(Verb.GET, cid))
        except BaseException as exc:
            if not isinstance(exc, CideryError) or isinstance(exc, BadResponse):
                line.close()  # its next answer would be to this question
                self._line = None
            raise
        Block.verified(cid, data)
        self._from_daemon = (self._from_daemon[0] + 1, self._from_daemon[1] + len(data))
        return data

    async def _open(self, cid: CID) -> _Line:
        """Raises NoDaemon, StoredDamaged, UnavailableThere."""
        endpoint = self._find()
        if endpoint is None:
            raise self._absent(cid)
        line = _Line(endpoint)
        try:
            await line.open(self._terms)
        except DaemonGone as exc:
            log.info("%s", exc)
            raise self._absent(cid) from exc
        self._line = line
        if self._root is not None:
            line.say(asked(Verb.EXPECT, self._root))
        if self._ahead:
            line.say(asked(Verb.AHEAD, *self._ahead))
        return line

    def _absent(self, cid: CID) -> NotStored:
        damage = self._store.damage(cid)
        return StoredDamaged(cid, damage) if damage else NoDaemon(cid)

    def prefetch(self, cids: Sequence[CID]) -> None:
        if not cids:
            return
        if self._line is None:
            self._ahead = cids
        else:
            self._line.say(asked(Verb.AHEAD, *cids))

    def expect(self, root: CID) -> None:
        self._root = root
        if self._line is not None:
            self._line.say(asked(Verb.EXPECT, root))

    async def sync(self) -> None:
        """Nothing to do: the daemon stores what it fetches."""

    def stats(self) -> SessionStats:
        local = super().stats().local
        return SessionStats("local", local, {"daemon": self._from_daemon}, 0)


class _Line:
    """One connection to the daemon."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._response = ResponseReader()
        self._frames = FrameReader()
        self._writer: asyncio.StreamWriter | None = None

    async def open(self, terms: Terms) -> None:
        """Raises DaemonGone, UnavailableThere. Cancel-safe."""
        endpoint = self._endpoint
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                self._reader, self._writer = await connect(endpoint)
        except OSError as exc:  # TimeoutError is one
            raise DaemonGone(endpoint.name, exc.strerror or "no connection in time") from exc
        except NoSecureConnection as exc:
            raise DaemonGone(endpoint.name, exc.reason) from exc
        headers = [("Content-Type", MEDIA_TYPE), *call_headers(endpoint, body=False)]
        lines = [f"POST {PATH} HTTP/1.1", f"Host: {endpoint.authority}", "Transfer-Encoding: chunked"]
        lines += [f"{name}: {value}" for name, value in headers]
        try:
            self._writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
            while self._response.status == 0:
                await self._receive()
            check_daemon(endpoint, self._response.status, self._response.headers)
            if self._response.status == 429:
                raise UnavailableThere("the daemon fetches too much at the moment; try again later")
            if self._response.status != 200:
                raise DaemonGone(endpoint.name, "it is of another version")
            self.say(asked_on(terms))
        except BadResponse as exc:
            self.close()
            raise DaemonGone(endpoint.name, str(exc)) from exc
        except BaseException:
            self.close()
            raise

    def say(self, line: bytes) -> None:
        """Send a hint, unless many wait already."""
        assert self._writer is not None  # open() returned
        if self._writer.transport.get_write_buffer_size() < MAX_UNSENT:
            self._writer.write(chunk_frame(len(line)) + line + b"\r\n")

    async def ask(self, line: bytes) -> bytes:
        """Send a question and wait for its answer. Raises what the daemon says, and BadResponse."""
        assert self._writer is not None  # open() returned
        self._writer.write(chunk_frame(len(line)) + line + b"\r\n")
        while True:
            for data in self._response.body():
                for frame in self._frames.receive_data(data):
                    if isinstance(frame, CideryError):
                        raise frame
                    return frame
            if self._response.done:
                raise BadResponse("the session ended")
            await self._receive()

    async def _receive(self) -> None:
        try:
            data = await self._reader.read(RECEIVE_SIZE)
        except ConnectionError:
            data = b""
        if data:
            self._response.receive_data(data)
        else:
            self._response.receive_eof()

    def close(self) -> None:
        """End the connection immediately."""
        if self._writer is not None:
            self._writer.transport.abort()
