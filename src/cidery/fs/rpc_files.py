"""Mutable files of a daemon, changed over its RPC."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from cidery.client.asynchronous import AsyncAnswer
from cidery.client.http1 import BadResponse
from cidery.client.multipart import FILE, Part, content_type, encode_parts
from cidery.multiformats.cid import CID

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator

    from cidery.client.address import Endpoint


class RpcFiles:
    """The commands of ``files``. Each raises RpcError, DaemonGone (and then nothing was sent)."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    async def _call(
        self,
        command: str,
        *args: str,
        body: AsyncIterator[bytes] | None = None,
        kind: str = "",
        **options: str | bool,
    ) -> dict[str, Any]:
        query = [("arg", arg) for arg in args]
        for name, value in options.items():
            text = str(value).lower() if isinstance(value, bool) else value
            query.append((name.replace("_", "-"), text))
        last: dict[str, Any] = {}
        path = command.split("/")
        async with AsyncAnswer(self._endpoint, path, query, body=body, content_type=kind) as answer:
            async for one in answer.values():
                last = one
        return last

    async def root(self) -> CID:
        found = await self._call("files/stat", "/", hash=True)
        if not isinstance(found.get("Hash"), str):
            raise BadResponse("files stat gave no CID")
        return CID.parse(str(found["Hash"]))

    async def write(self, path: str, content: AsyncIterable[bytes], offset: int | None) -> None:
        boundary = secrets.token_hex(16)
        await self._call(
            "files/write",
            path,
            body=_body(content, boundary),
            kind=content_type(boundary),
            create=True,
            parents=True,
            truncate=offset is None,
            offset=str(offset or 0),
        )

    async def mkdir(self, path: str, *, parents: bool) -> None:
        await self._call("files/mkdir", path, parents=parents)

    async def remove(self, path: str, *, recursive: bool) -> None:
        await self._call("files/rm", path, recursive=recursive)

    async def copy(self, source: CID, path: str) -> None:
        await self._call("files/cp", f"/ipfs/{source}", path, parents=True, force=True)

    async def move(self, source: str, target: str) -> None:
        await self._call("files/mv", source, target)

    async def resolve(self, path: str) -> str:
        """The path behind ``/ipns/NAME/rest``."""
        found = await self._call("name/resolve", path, recursive=True)
        if not isinstance(found.get("Path"), str):
            raise BadResponse("name resolve gave no path")
        return str(found["Path"])


async def _body(content: AsyncIterable[bytes], boundary: str) -> AsyncIterator[bytes]:
    *head, end_of_line, end = encode_parts(iter([Part("data", FILE, b"", 0)]), boundary)
    yield b"".join(head)
    async for piece in content:
        yield piece
    yield end_of_line + end
