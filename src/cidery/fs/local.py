"""Blocks of a repository on this machine: read from its segments, also while a daemon has it.

What is not stored is asked of the daemon if one runs, else of gateways if some are known. Mutable files are changed by
the daemon if one runs, else by this process.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from cidery.client.address import find_daemon
from cidery.client.answer import DaemonGone
from cidery.client.misses import DaemonMisses
from cidery.core.api import Api
from cidery.core.session import NotStored
from cidery.errors import CideryError
from cidery.fs.embedded_files import EmbeddedFiles
from cidery.fs.remote import gateway_blocks
from cidery.fs.rpc_files import RpcFiles
from cidery.node.build import Access, build, opened_parts
from cidery.repo.layout import RepoLayout
from cidery.repo.lock import SERVING, RepoLocked, read_holder
from cidery.repo.places import gateway_url

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path
    from typing import Self

    from cidery.blockstore.drive import BlockReader
    from cidery.core.reading.content_path import ContentPath
    from cidery.core.session import BlockSession
    from cidery.fs.http_blocks import HttpBlocks
    from cidery.fs.options import Options
    from cidery.fs.source import Changing
    from cidery.multiformats.cid import CID


class LocalSource:
    """Created by open_local()."""

    dear = False
    stored = True

    def __init__(self, api: Api, stack: AsyncExitStack, secret: str, gateways: HttpBlocks | None) -> None:
        self._api = api
        self._stack = stack
        self._secret = secret
        self._gateways = gateways
        self._online = api.arrival is not None
        self._files = EmbeddedFiles(api.path, api if self._online else None)

    @property
    def gateway(self) -> str:
        return gateway_url(self._api.path).rstrip("/")

    def session(self) -> AbstractAsyncContextManager[BlockReader]:
        return self._api.session() if self._gateways is None else _WithGateways(self._api, self._gateways)

    def read_part(self, cid: CID, size: int, start: int, into: memoryview) -> bool:
        if self._api.denylists is not None:
            return False  # the session asks them
        try:
            return self._api.store.read_part(cid, size, start, into)
        except CideryError:
            return False  # as it is closed, or the reading that follows says why

    def admitted(self, path: ContentPath) -> ContentPath:
        return self._api.admitted(path)

    async def ahead(self, root: CID, names: Sequence[str], span: tuple[int, int] | None) -> None:
        """Nothing to do: the store is read on demand."""

    async def block_size(self, cid: CID) -> int | None:
        return (await self._api.store.size_many([cid]))[0] if self._api.denylists is None else None

    async def locate(self, path: str) -> tuple[ContentPath, float]:
        from cidery.core.reading.content_path import parse_path

        await self._api.arrived()
        target = await self._api.naming.resolver.resolve(path)
        return self._api.admitted(parse_path(target.path)), target.ttl

    async def files_root(self) -> CID:
        return await self._api.files.root()

    async def change(self, work: Callable[[Changing], Awaitable[None]]) -> None:
        while True:  # one round, and another for each daemon that has started meanwhile
            daemon = None if self._online else find_daemon(str(self._api.path))
            if daemon is not None:
                try:
                    await work(RpcFiles(daemon.with_secret(self._secret) if self._secret else daemon))
                    return
                except DaemonGone:
                    pass  # it ends or was killed, and nothing was sent
            try:
                await work(self._files)
                return
            except RepoLocked as exc:
                if exc.phase != SERVING or find_daemon(str(self._api.path)) in (None, daemon):
                    raise

    async def close(self) -> None:
        await self._files.close()
        if self._gateways is not None:
            await self._gateways.close()
        await self._stack.aclose()


class _WithGateways:
    """A session of the repository that asks gateways for what neither it nor a daemon has."""

    def __init__(self, api: Api, gateways: HttpBlocks) -> None:
        self._context = api.session()
        self._http = gateways.session()
        self._here: BlockSession | None = None

    async def __aenter__(self) -> Self:
        self._here = await self._context.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.__aexit__()
        await self._context.__aexit__(None, None, None)

    def get_if_ready(self, cid: CID) -> bytes | memoryview | None:
        assert self._here is not None  # inside the context
        return self._here.get_if_ready(cid) or self._http.get_if_ready(cid)

    async def get(self, cid: CID) -> bytes | memoryview:
        assert self._here is not None  # inside the context
        try:
            return await self._here.get(cid)
        except NotStored:
            return await self._http.get(cid)

    def prefetch(self, cids: Sequence[CID]) -> None:
        assert self._here is not None  # inside the context
        self._here.prefetch(cids)


async def open_local(repo: Path, options: Options, urls: Sequence[str]) -> LocalSource:
    """Raises as node.build.build()."""
    async with AsyncExitStack() as stack:
        api = await _opened(repo, stack, online=options.online)
        gateways = gateway_blocks(urls) if urls else None
        return LocalSource(api, stack.pop_all(), options.auth, gateways)
    raise AssertionError("unreachable")


async def _opened(repo: Path, stack: AsyncExitStack, *, online: bool) -> Api:
    """The repository: with a network, or beside the daemon that has one."""
    if online and not _runs(repo):
        try:
            parts = await stack.enter_async_context(opened_parts(repo, Access.WRITE, online=True))
            await parts.connect_behind()
            return Api(parts)
        except RepoLocked as exc:
            if exc.phase != SERVING:
                raise  # else a daemon has started meanwhile
    misses = DaemonMisses(lambda: find_daemon(str(repo)))
    return await stack.enter_async_context(build(repo, Access.READ, elsewhere=misses))


def _runs(repo: Path) -> bool:
    """Whether a daemon has the repository: it writes the file when it is ready."""
    return find_daemon(str(repo)) is not None and read_holder(RepoLayout(repo).lock) is not None
