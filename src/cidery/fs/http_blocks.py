"""Blocks over HTTP from gateways or a daemon, every one checked against its hash.

Concurrent requests for one block are one; recent blocks are kept in memory, since the nodes above a file's parts are
needed for each of them. A source that is busy is asked again, one that fails is left alone for a while, and one that
sends other bytes is not asked any more.

Spec: https://specs.ipfs.tech/http-gateways/trustless-gateway/
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple, Self

from cidery.fs.source import NotThere
from cidery.host_names import http_connector
from cidery.ipld.block import MAX_BLOCK
from cidery.ipld.car import CarError
from cidery.ipld.car_reader import CarReader
from cidery.multiformats.multihash import matches
from cidery.tasks import Tasks
from cidery.version import __version__

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping, Sequence

    import aiohttp

    from cidery.client.address import Endpoint
    from cidery.multiformats.cid import CID
    from cidery.multiformats.varint import Buffer

MAX_REQUESTS = 16
"""Concurrent requests (as Kubo's to one gateway)."""
READ_BUFFER = 512 * 1024
"""Bytes of an answer that wait for us before its connection is told to wait; twice as many may. It is eight times what
aiohttp has by itself, so that a block takes a few wake-ups."""
MAX_AHEAD = 32
"""Blocks that one reader has requested ahead: 32 MiB of a usual file."""
CACHE_BYTES = 64 << 20
"""Recent blocks kept in memory."""
CONNECT_SECONDS = 10.0
IDLE_SECONDS = 30.0
"""Longest wait for the next bytes."""
TRIES = 4
"""Requests for one block to one source, when it is busy or the connection breaks."""
PAUSE_SECONDS = 0.5
"""Before the second one; twice as long before each further one, or as long as the source says."""
MAX_PAUSE = 10.0
AROUND = 4096
"""Bytes beside a block that may be kept with it."""
MAX_TOGETHER = 16 << 20
"""Most bytes of blocks fetched by one request: a fourth of what is kept."""
VERIFY_INLINE = 32 * 1024
"""Bytes below which hashing on the loop is cheaper than a thread."""
_BUSY = frozenset({429, 500, 502, 503, 504})
_RAW = "application/vnd.ipld.raw"
_CAR_TYPE = "application/vnd.ipld.car"
_CAR = f"{_CAR_TYPE}; version=1; order=dfs; dups=n"


class Origin(NamedTuple):
    """Something that answers requests for blocks."""

    name: str
    """For messages."""
    url: str
    """With ``{cid}``."""
    method: str = "GET"
    headers: Mapping[str, str] = {}
    socket: str = ""
    """Path of a Unix socket, instead of the host of the URL."""
    together: str = ""
    """URL in front of the paths of archives that hold several blocks; "": it has none."""
    daemon: Endpoint | None = None
    """A daemon of which blocks are asked, for whom it is trusted by."""


class HttpBlocks:
    """The client: for one event loop."""

    def __init__(self, origins: Sequence[Origin]) -> None:
        self._origins = list(origins)
        self._turns = asyncio.Semaphore(MAX_REQUESTS)
        self._cache: OrderedDict[bytes, bytes | memoryview] = OrderedDict()
        self._cached = 0
        self._running: dict[bytes, asyncio.Task[bytes]] = {}
        self._alone: set[str] = set()
        """Origins without archives."""
        self._tasks = Tasks()
        self._http: aiohttp.ClientSession | None = None
        self.requested = 0
        """Blocks that were fetched."""

    def session(self) -> HttpSession:
        """A reader for one operation."""
        return HttpSession(self)

    async def close(self) -> None:
        await self._tasks.close()
        if self._http is not None:
            await self._http.close()

    def opened(self) -> aiohttp.ClientSession:
        """The connections, made at the first call."""
        import aiohttp  # 250 ms that a local repository does not need

        if self._http is None:
            limits = aiohttp.ClientTimeout(None, sock_connect=CONNECT_SECONDS, sock_read=IDLE_SECONDS)
            path = next((origin.socket for origin in self._origins if origin.socket), "")
            secure = next((one.daemon for one in self._origins if one.daemon is not None and one.daemon.secure), None)
            self._http = aiohttp.ClientSession(
                timeout=limits,
                connector=aiohttp.UnixConnector(path) if path else http_connector(ssl_context=_trusted(secure)),
                trust_env=True,
                headers={"User-Agent": f"cidery-fs/{__version__}"},
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                read_bufsize=READ_BUFFER,
            )
        return self._http

    def cached(self, cid: CID) -> bytes | memoryview | None:
        """A recent block."""
        found = self._cache.get(cid.multihash)
        if found is not None:
            self._cache.move_to_end(cid.multihash)
        return found

    def begin(self, cid: CID) -> asyncio.Task[bytes]:
        """The request for a block, the running one if there is one."""
        key = cid.multihash
        task = self._running.get(key)
        if task is None:
            task = self._running[key] = self._tasks.spawn(self._fetch(cid))
            task.add_done_callback(lambda _: self._running.pop(key, None))
            task.add_done_callback(_seen)
        return task

    async def _fetch(self, cid: CID) -> bytes:
        """Raises NotThere."""
        reasons: list[str] = []
        for origin in list(self._origins):
            async with self._turns:
                found = await self._ask(origin, cid)
            if isinstance(found, str):
                reasons.append(f"{origin.name} {found}")
                continue
            self.requested += 1
            self._keep(cid, found)
            return found
        raise NotThere(cid, "; ".join(reasons) or "no source that was asked is trustworthy")

    async def _ask(self, origin: Origin, cid: CID) -> bytes | str:
        """The block, or why it did not come."""
        import aiohttp

        pause, reason = PAUSE_SECONDS, ""
        for attempt in range(TRIES):
            if attempt:
                await asyncio.sleep(min(pause, MAX_PAUSE))
                pause *= 2
            target = origin.url.format(cid=cid.to_v1())
            headers = {"Accept": _RAW, **origin.headers}
            try:
                async with self.opened().request(origin.method, target, headers=headers, allow_redirects=False) as got:
                    if got.status == 200:
                        data = await _body(got)
                        if data is None:
                            return f"sends a block of more than {MAX_BLOCK} bytes"
                        if await _verified(cid, data):
                            return data
                        self._origins.remove(origin)
                        return "sent other bytes than those of the block, and is not asked any more"
                    reason = f"answers with status {got.status}"
                    if got.status not in _BUSY or origin.method == "POST":
                        return reason
                    pause = max(pause, _wanted_pause(got))
            except (aiohttp.ClientError, TimeoutError, OSError) as exc:
                reason = str(exc) or type(exc).__name__
        return reason

    async def fetch_together(self, target: str) -> None:
        """Fetch the blocks of one archive into memory; each is checked. A hint: what does not come is asked for alone.

        At most MAX_TOGETHER bytes of it are read.
        """
        for origin in self._origins:
            if origin.together and origin.name not in self._alone:
                async with self._turns:
                    if await self._take(origin, origin.together + target):
                        return

    async def _take(self, origin: Origin, target: str) -> bool:
        """Whether the origin had it."""
        import aiohttp

        taken = 0
        reader = CarReader()
        try:
            async with self.opened().get(target, headers={"Accept": _CAR}, allow_redirects=False) as answer:
                if answer.status != 200 or not answer.headers.get("Content-Type", "").startswith(_CAR_TYPE):
                    if answer.status not in _BUSY and answer.status != 404:
                        self._alone.add(origin.name)  # it gives blocks only one by one
                    return False
                async for piece in answer.content.iter_any():
                    for block, _ in reader.receive_data(piece):
                        taken += len(block.data)
                        if taken > MAX_TOGETHER:
                            return True
                        if not await _verified(block.cid, block.data):
                            if origin in self._origins:
                                self._origins.remove(origin)
                            return False
                        self.requested += 1
                        self._keep(block.cid, _alone(block.data))
        except (aiohttp.ClientError, TimeoutError, OSError, CarError):
            return False
        return True

    def _keep(self, cid: CID, data: bytes | memoryview) -> None:
        before = self._cache.pop(cid.multihash, b"")
        self._cache[cid.multihash] = data
        self._cached += len(data) - len(before)
        while self._cached > CACHE_BYTES:
            self._cached -= len(self._cache.popitem(last=False)[1])


class HttpSession:
    """A BlockReader of HttpBlocks; at its end, what it requested ahead alone is cancelled."""

    def __init__(self, blocks: HttpBlocks) -> None:
        self._blocks = blocks
        self._ahead: list[asyncio.Task[bytes]] = []
        self._next: list[CID] = []
        """To be requested ahead when others have arrived."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._ahead:
            task.cancel()

    def get_if_ready(self, cid: CID) -> bytes | memoryview | None:
        """A recent block."""
        if cid.is_identity:
            return cid.identity_data
        return self._blocks.cached(cid)

    async def get(self, cid: CID) -> bytes | memoryview:
        """The block. Raises NotThere. Cancel-safe."""
        self._advance()
        while True:
            found = self.get_if_ready(cid)
            if found is not None:
                return found
            try:
                return await asyncio.shield(self._blocks.begin(cid))
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
                # another reader had requested it ahead, and has ended

    def prefetch(self, cids: Sequence[CID]) -> None:
        self._next = list(reversed(cids))
        self._advance()

    def _advance(self) -> None:
        self._ahead = [task for task in self._ahead if not task.done()]
        while self._next and len(self._ahead) < MAX_AHEAD:
            cid = self._next.pop()
            if self.get_if_ready(cid) is None:
                self._ahead.append(self._blocks.begin(cid))


def _trusted(daemon: Endpoint | None) -> ssl.SSLContext | None:
    if daemon is None:
        return None
    from cidery.client.secure import context_for

    return context_for(daemon)


def _seen(task: asyncio.Task[bytes]) -> None:
    """A block requested ahead may have failed with nobody asking."""
    if not task.cancelled():
        task.exception()


def _alone(data: Buffer) -> bytes | memoryview:
    """The same, without what else came with it: a view of most of its memory stays one, since copying costs as much as
    receiving."""
    if isinstance(data, memoryview) and isinstance(data.obj, bytes) and len(data.obj) <= len(data) + AROUND:
        return data
    return bytes(data)


async def _body(answer: aiohttp.ClientResponse) -> bytes | None:
    data = bytearray()
    async for piece in answer.content.iter_any():
        data += piece
        if len(data) > MAX_BLOCK:
            return None
    return bytes(data)


async def _verified(cid: CID, data: Buffer) -> bool:
    from cidery.multiformats.multihash import MultihashError

    try:
        if len(data) < VERIFY_INLINE:
            return matches(cid.multihash, data)
        return await asyncio.to_thread(matches, cid.multihash, data)
    except MultihashError:
        return False  # a hash that cannot be checked here


def _wanted_pause(answer: aiohttp.ClientResponse) -> float:
    text = answer.headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0.0
