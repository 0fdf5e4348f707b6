"""Trustless gateways as sources of fetch sessions, in addition to Bitswap. The only IO of this package.

::

    https://host          GET /ipfs/CID?format=raw per block, HEAD for "have you"
    a Cidery peer         GET /ipfs/ROOT?format=car over a stream: a whole DAG in one round trip, where the line is long

A failing gateway rests, longer each time; one whose bytes do not match their hash is not asked again.

Specs: https://specs.ipfs.tech/http-gateways/trustless-gateway/
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cidery.errors import CideryError
from cidery.exchange.commands import Heard
from cidery.exchange.probe import Asker
from cidery.exchange.service import NetworkSession
from cidery.host_names import http_connector
from cidery.identity.peer_id import PeerId
from cidery.ipld.block import MAX_BLOCK, Block
from cidery.libp2p.io.connection import Connection
from cidery.libp2p.io.swarm import Swarm
from cidery.libp2p.protocols.yamux_windows import MAX_WINDOW
from cidery.multiformats.address_filter import is_public
from cidery.multiformats.cid import CID
from cidery.multiformats.multihash import matches
from cidery.retrieval.dag_stream import BadStream, DagStream
from cidery.retrieval.stream_http import PROTOCOL, BadHttp, fetch
from cidery.tasks import Tasks

if TYPE_CHECKING:
    import aiohttp

log = logging.getLogger("cidery.retrieval")

MAX_GATEWAYS = 64
"""Gateways known at a time; the least recently used are dropped."""
REQUESTS_PER_GATEWAY = 16
"""Concurrent requests to one gateway (as Kubo)."""
CONNECT_SECONDS = 10.0
IDLE_SECONDS = 30.0
"""Longest wait for the next bytes ("30 s without bytes", as Kubo)."""
REST_BASE = 2.0
"""Seconds a gateway rests after its first failure; doubles with each further one."""
REST_CEILING = 600.0
STREAM_DELAY = 0.03
"""Seconds of round trip from which a whole DAG is requested in one stream: below, Bitswap fills the line as well."""
STREAM_STALL = 0.5
"""Longest wait for the next bytes of a CAR stream, plus two round trips of the connection: then Bitswap continues."""
STREAM_PATIENCE = 8
"""Such waits for as many bytes as ..."""
TRICKLE = 8 * 1024
"""... these: a source that sends a trickle must not hold a request."""
STREAM_REST = 60.0
"""Seconds in which no other stream is requested from a peer whose stream stalled."""
VERIFY_INLINE = 32 * 1024
"""Bytes below which hashing on the loop is cheaper than a thread."""
RAW = "application/vnd.ipld.raw"
CAR = "application/vnd.ipld.car; version=1; order=dfs; dups=n"


class _Gateway:
    def __init__(self, url: str, *, inside: bool) -> None:
        self.url = url
        self.host = urlsplit(url).hostname or ""
        self.inside = inside
        self.failures = 0
        self.rests_until = float("-inf")
        self.lied = False
        self.turns = asyncio.Semaphore(REQUESTS_PER_GATEWAY)
        self.heard_at = 0.0
        self.begun: set[CID] = set()
        """Blocks that are being requested: what is stopped half-way has cost as much."""


class GatewaySources:
    """Satisfies exchange.service.Sources for names that are URLs, and begins CAR streams."""

    def __init__(
        self, swarm: Swarm, *, clock: Callable[[], float], speaks: Callable[[PeerId, str], bool], agent: str
    ) -> None:
        self._swarm = swarm
        self._clock = clock
        self._speaks = speaks
        self._agent = agent
        self._gateways: dict[str, _Gateway] = {}
        self._sessions: dict[Asker, None] = {}
        self._asked: dict[tuple[Asker, str, CID, bool], asyncio.Task[None]] = {}
        """Session, gateway, CID, whether the block itself is wanted -> the request."""
        self._streams: dict[Asker, asyncio.Task[None]] = {}
        self._stalled: dict[str, float] = {}
        """Peer -> when its stream stalled."""
        self._tasks = Tasks()
        self._http: aiohttp.ClientSession | None = None
        self.refuses: Callable[[CID], bool] = lambda _cid: False
        """Blocks of streams that are dropped, unasked for as they may come."""
        self.took: Callable[[str, Sequence[CID], int], None] = lambda _peer, _cids, _size: None
        """Told of the blocks, and their bytes, that came in a stream of a peer."""
        self.blocks_received = self.data_received = 0
        self.streams_begun = 0

    def add(self, url: str, *, inside: bool = True) -> None:
        """Add a gateway that may be asked from now on; every running session learns of it.

        ``inside``: even if its name leads into a network of our own; not for a gateway named by strangers.
        """
        gateway = self._gateways.pop(url, None) or _Gateway(url, inside=inside)
        if not self._swarm.config.addresses.allows_host(gateway.host):
            return
        self._gateways[url] = gateway
        if len(self._gateways) > MAX_GATEWAYS:
            gone = next(iter(self._gateways))
            del self._gateways[gone]
            for session in list(self._sessions):
                session.on_source_gone(gone)
        if self._usable(gateway):
            for session in list(self._sessions):
                session.on_source(url, None)

    def _allows(self, name: str, address: str) -> bool:
        """Whether a gateway's name may lead to an address; a proxy's may lead anywhere."""
        asked = [gateway for gateway in self._gateways.values() if gateway.host == name]
        if asked and not self._swarm.config.addresses.allows_host(address):
            return False
        return not asked or any(one.inside for one in asked) or is_public(address)

    @property
    def gateways(self) -> list[str]:
        return list(self._gateways)

    async def close(self) -> None:
        await self._tasks.close()
        if self._http is not None:
            await self._http.close()

    # --- Sources

    def attach(self, session: Asker) -> None:
        self._sessions[session] = None
        for gateway in self._gateways.values():
            if self._usable(gateway):
                session.on_source(gateway.url, None)

    def detach(self, session: Asker) -> None:
        self._sessions.pop(session, None)
        for key in [key for key in self._asked if key[0] is session]:
            if self._asked[key] is not asyncio.current_task():
                self._asked[key].cancel()
        if (stream := self._streams.pop(session, None)) is not None:
            stream.cancel()

    def ask(self, session: Asker, source: str, blocks: Sequence[CID], haves: Sequence[CID]) -> None:
        gateway = self._gateways.get(source)
        if gateway is None:
            return
        for cid, wanted in [(cid, True) for cid in blocks] + [(cid, False) for cid in haves]:
            key = (session, source, cid, wanted)
            if key not in self._asked:
                task = self._asked[key] = self._tasks.spawn(self._request(session, gateway, cid, wanted=wanted))
                task.add_done_callback(lambda _, key=key: self._asked.pop(key, None))  # type: ignore[misc]

    def cancel(self, session: Asker, source: str, cids: Sequence[CID]) -> None:
        for cid in cids:
            for wanted in (True, False):
                task = self._asked.get((session, source, cid, wanted))
                if task is not None and task is not asyncio.current_task():
                    task.cancel()

    def share(self, session: Asker, giver: str, source: str, cid: CID, size: int) -> None:
        """A gateway sends whole blocks."""
        self.ask(session, source, (cid,), ())

    def search(self, session: NetworkSession, cid: CID) -> None:
        """Nothing to do: gateways are found by the routing."""

    def stage(self, session: NetworkSession) -> str:
        return ""

    def heard(self, source: str) -> Heard:
        gateway = self._gateways.get(source)
        return Heard(gateway.heard_at, 0.0, frozenset(gateway.begun)) if gateway is not None else Heard()

    def stream(self, session: NetworkSession, root: CID, source: str) -> None:
        """Begin a CAR stream from a peer that offers one, if the line to it is long. A hint."""
        now = self._clock()
        self._stalled = {name: at for name, at in self._stalled.items() if now - at < STREAM_REST}
        peer = next((peer for peer in self._swarm.peers() if str(peer) == source), None)
        if session in self._streams or peer is None or source in self._stalled or not self._speaks(peer, PROTOCOL):
            return
        connection = self._swarm.best(peer)
        if connection is None or _delay(connection) < STREAM_DELAY:
            return
        self.streams_begun += 1
        session.on_stream(source)
        task = self._streams[session] = self._tasks.spawn(self._run_stream(session, connection, root))
        # not by the task itself: it may be cancelled before its first step
        task.add_done_callback(lambda _: self._stream_ended(session))

    def _stream_ended(self, session: NetworkSession) -> None:
        self._streams.pop(session, None)
        session.on_stream_end()

    def end_stream(self, session: NetworkSession) -> None:
        if (stream := self._streams.get(session)) is not None:
            stream.cancel()

    # --- requests

    def _usable(self, gateway: _Gateway) -> bool:
        return not gateway.lied and self._clock() >= gateway.rests_until

    async def _request(self, session: Asker, gateway: _Gateway, cid: CID, *, wanted: bool) -> None:
        # imported here: 250 ms that nodes without gateways do not need
        import aiohttp

        target = f"{gateway.url}/ipfs/{cid.to_v1()}?format=raw"
        try:
            async with gateway.turns:
                if wanted:
                    gateway.begun.add(cid)
                http = self._opened()
                method, headers = ("GET" if wanted else "HEAD"), {"Accept": RAW}
                async with http.request(method, target, headers=headers, allow_redirects=False) as answer:
                    if answer.status != 200 and answer.status not in (404, 410, 412, 451):
                        raise BadHttp(f"{gateway.url} answers with status {answer.status}")
                    data = await self._read(gateway, answer) if wanted and answer.status == 200 else None
                    status = answer.status
        except (aiohttp.ClientError, TimeoutError, OSError, CideryError) as exc:
            self._failed(gateway, str(exc) or type(exc).__name__)
            return
        finally:
            if wanted:
                gateway.begun.discard(cid)
        gateway.failures = 0
        if status != 200:
            session.on_dont_have(gateway.url, cid)
        elif data is None:
            session.on_have(gateway.url, cid)
        elif not await _verified(cid, data):
            gateway.lied = True
            self._failed(gateway, f"it sent other bytes than those of {cid}")
            return
        else:
            self._count(1, len(data))
            session.on_block(gateway.url, cid, memoryview(data))
        session.turn()

    async def _read(self, gateway: _Gateway, answer: aiohttp.ClientResponse) -> bytes:
        data = bytearray()
        async for piece in answer.content.iter_any():
            gateway.heard_at = self._clock()
            data += piece
            if len(data) > MAX_BLOCK:
                raise BadHttp(f"{gateway.url} sends a block of more than {MAX_BLOCK} bytes")
        return bytes(data)

    def _failed(self, gateway: _Gateway, reason: str) -> None:
        """It rests; its wants go to other sources, and it is asked again if some are still open."""
        log.info("gateway %s: %s", gateway.url, reason)
        gateway.failures += 1
        rest = min(REST_CEILING, REST_BASE * 2 ** min(gateway.failures - 1, 10))
        gateway.rests_until = self._clock() + rest
        for session in list(self._sessions):
            session.on_source_gone(gateway.url)
        if not gateway.lied:
            asyncio.get_running_loop().call_later(rest, self._rested, gateway)

    def _rested(self, gateway: _Gateway) -> None:
        if self._gateways.get(gateway.url) is gateway and self._usable(gateway):
            for session in list(self._sessions):
                session.on_source(gateway.url, None)

    def _opened(self) -> aiohttp.ClientSession:
        import aiohttp

        if self._http is None:
            limits = aiohttp.ClientTimeout(None, sock_connect=CONNECT_SECONDS, sock_read=IDLE_SECONDS)
            self._http = aiohttp.ClientSession(
                timeout=limits,
                connector=http_connector(self._allows),
                trust_env=True,
                headers={"User-Agent": self._agent},
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            )
        return self._http

    # --- streams

    async def _run_stream(self, session: NetworkSession, connection: Connection, root: CID) -> None:
        name = str(connection.peer)
        try:
            await self._read_stream(session, connection, name, root)
        except (CideryError, TimeoutError) as exc:
            log.info("CAR stream from %s: %s", name, str(exc) or "no bytes in time")
            if isinstance(exc, BadStream):
                connection.close(str(exc))

    async def _read_stream(self, session: NetworkSession, connection: Connection, name: str, root: CID) -> None:
        wait = connection.wait(STREAM_STALL, 2.0)
        stream = await connection.open_stream([PROTOCOL], optimistic=True, window=MAX_WINDOW)
        try:
            # a new stream, and a server that reads its store before it answers
            async with asyncio.timeout(connection.wait(STREAM_STALL)):
                status, body = await fetch(stream, name, f"/ipfs/{root}?format=car", CAR)
            if status != 200:
                return  # it does not have it: ask others
            dag, until, few = DagStream(root), self._clock() + STREAM_PATIENCE * wait, 0
            async with aclosing(body):
                while True:
                    async with asyncio.timeout(min(wait, max(0.0, until - self._clock()))):
                        piece = await anext(body, None)
                    if piece is None:
                        dag.receive_eof()
                        return
                    few += len(piece)
                    if blocks := dag.receive_data(piece):
                        await self._take(session, name, dag, blocks)
                    if blocks or few >= TRICKLE:
                        until, few = self._clock() + STREAM_PATIENCE * wait, 0
        except TimeoutError:
            self._stalled[name] = self._clock()
            raise
        finally:
            stream.reset("the CAR stream has ended")

    async def _take(self, session: NetworkSession, name: str, dag: DagStream, blocks: list[Block]) -> None:
        size = sum(len(block.data) for block in blocks)
        if size < VERIFY_INLINE:
            dag.verify(blocks)
        else:
            await asyncio.to_thread(dag.verify, blocks)
        for block in blocks:
            for _ in dag.accept(block):
                await asyncio.sleep(0)
            if not self.refuses(block.cid):
                session.on_streamed(name, block.cid, memoryview(bytes(block.data)))
        self._count(len(blocks), size)
        self.took(name, [block.cid for block in blocks], size)
        await session.room()

    def _count(self, blocks: int, size: int) -> None:
        self.blocks_received += blocks
        self.data_received += size


def _delay(connection: Connection) -> float:
    return connection.round_trip.smoothed or 0.0


async def _verified(cid: CID, data: bytes) -> bool:
    if len(data) < VERIFY_INLINE:
        return matches(cid.multihash, data)
    return await asyncio.to_thread(matches, cid.multihash, data)
