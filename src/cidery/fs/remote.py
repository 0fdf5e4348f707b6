"""Blocks of a daemon's RPC, and of trustless gateways."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING
from urllib.parse import quote

from cidery.core.reading.content_path import ContentPath, parse_path
from cidery.fs.errors import CannotWrite
from cidery.fs.http_blocks import HttpBlocks, Origin
from cidery.fs.rpc_files import RpcFiles

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
    from contextlib import AbstractAsyncContextManager

    from cidery.blockstore.drive import BlockReader
    from cidery.client.address import Endpoint
    from cidery.fs.source import Changing
    from cidery.identity.peer_id import PeerId
    from cidery.multiformats.cid import CID
    from cidery.namesys.resolver import NameResolver
    from cidery.repo.names import StoredName

NAME_SECONDS = 60.0
"""For how long a daemon's answer to a name is remembered: it has its own, shorter memory of the record."""
_RECORD = "application/vnd.ipfs.ipns-record"


class RpcSource:
    """A daemon: Kubo's, or one on another machine. Its blocks are checked, its names and mutable files are believed."""

    dear = False
    stored = False
    gateway = ""

    def __init__(self, endpoint: Endpoint) -> None:
        from cidery.client.answer import call_headers

        self._files = RpcFiles(endpoint)
        url = f"{endpoint.url}/api/v0/block/get?arg={{cid}}"
        headers = dict(call_headers(endpoint, body=False))
        self._blocks = HttpBlocks([Origin(endpoint.name, url, "POST", headers, endpoint.path, daemon=endpoint)])

    def session(self) -> AbstractAsyncContextManager[BlockReader]:
        return self._blocks.session()

    def read_part(self, cid: CID, size: int, start: int, into: memoryview) -> bool:
        return False

    def admitted(self, path: ContentPath) -> ContentPath:
        return path

    async def ahead(self, root: CID, names: Sequence[str], span: tuple[int, int] | None) -> None:
        """Nothing to do: a daemon gives blocks one by one."""

    async def block_size(self, cid: CID) -> int | None:
        return None

    async def locate(self, path: str) -> tuple[ContentPath, float]:
        return parse_path(await self._files.resolve(path)), NAME_SECONDS

    async def files_root(self) -> CID:
        return await self._files.root()

    async def change(self, work: Callable[[Changing], Awaitable[None]]) -> None:
        await work(self._files)

    async def close(self) -> None:
        await self._blocks.close()


class GatewaySource:
    """Trustless gateways: blocks and records of names are checked, so any of them will do."""

    dear = True
    stored = False

    def __init__(self, urls: Sequence[str]) -> None:
        self._urls = [reachable(url) for url in urls]
        self.gateway = urls[0]
        self._blocks = gateway_blocks(urls)
        self._resolver: NameResolver | None = None

    def session(self) -> AbstractAsyncContextManager[BlockReader]:
        return self._blocks.session()

    def read_part(self, cid: CID, size: int, start: int, into: memoryview) -> bool:
        return False

    def admitted(self, path: ContentPath) -> ContentPath:
        return path

    async def ahead(self, root: CID, names: Sequence[str], span: tuple[int, int] | None) -> None:
        path = "/".join([str(root.to_v1()), *(quote(name, safe="") for name in names)])
        scope = "dag-scope=block" if span is None else f"entity-bytes={span[0]}:{span[1] - 1}"
        await self._blocks.fetch_together(f"/ipfs/{path}?format=car&{scope}")

    async def block_size(self, cid: CID) -> int | None:
        return None

    async def locate(self, path: str) -> tuple[ContentPath, float]:
        if self._resolver is None:
            self._resolver = _resolver(self)
        target = await self._resolver.resolve(path)
        return parse_path(target.path), target.ttl

    async def search_value(self, key: bytes, quorum: int) -> AsyncGenerator[bytes, None]:
        """Records of a name, as gateways have them: satisfies namesys.resolver.ValueSearch."""
        import aiohttp

        from cidery.ipns.name import format_name, name_of_routing_key
        from cidery.ipns.record import MAX_RECORD

        name = format_name(name_of_routing_key(key))
        for url in self._urls:
            target = f"{url}/ipns/{name}?format=ipns-record"
            try:
                http = self._blocks.opened()
                async with http.get(target, headers={"Accept": _RECORD}, allow_redirects=False) as answer:
                    if answer.status == 200:
                        yield await answer.content.read(MAX_RECORD + 1)
            except (aiohttp.ClientError, TimeoutError, OSError):
                continue  # the next one may have it

    async def files_root(self) -> CID:
        raise NoFiles

    async def change(self, work: Callable[[Changing], Awaitable[None]]) -> None:
        raise NoFiles

    async def close(self) -> None:
        await self._blocks.close()


class NoFiles(CannotWrite):
    """A gateway has no mutable files."""

    def __init__(self) -> None:
        super().__init__(
            "a gateway has no mutable files; run `cidery init` for a repository of your own, or name a daemon with via="
        )


def gateway_blocks(urls: Sequence[str]) -> HttpBlocks:
    """A client of trustless gateways."""
    return HttpBlocks(
        [Origin(url, f"{reachable(url)}/ipfs/{{cid}}?format=raw", together=reachable(url)) for url in urls]
    )


def reachable(url: str) -> str:
    """With localhost as its number: by that name, gateways redirect to an origin of each site's own."""
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    name, colon, port = host.partition(":")
    return f"{scheme}://127.0.0.1{colon}{port}{slash}{path}" if name == "localhost" else url


def _resolver(search: GatewaySource) -> NameResolver:
    from cidery.dns.service import Dns
    from cidery.namesys.resolver import NameResolver
    from cidery.node.naming import fixed_names
    from cidery.repo.names import Names

    class Unstored(Names):
        """No records of our own."""

        def __init__(self) -> None:
            """Nothing is opened."""

        def get(self, name: PeerId) -> StoredName | None:
            return None

    clock = asyncio.get_running_loop().time
    return NameResolver(Unstored(), Dns(None, clock), search, clock=clock, wall=time.time, fixed=fixed_names())
