"""Files open for reading. Each is its CID from the moment it is opened: a name that moves on changes nothing in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fsspec.asyn import AbstractAsyncStreamedFile, sync
from fsspec.spec import AbstractBufferedFile

from cidery.fs import shared
from cidery.multiformats.cid import CID

if TYPE_CHECKING:
    from typing import Any


class ContentFile(AbstractBufferedFile):  # type: ignore[misc]  # fsspec has no types
    """A seekable file. Pickled, it is opened again by its path."""

    def __init__(
        self,
        fs: Any,
        path: str,
        info: dict[str, Any],
        mode: str = "rb",
        block_size: int = 1 << 20,
        cache_type: str = "readahead",
        cache_options: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        self.details = info
        self._cid = CID.parse(info["cid"])
        super().__init__(
            fs,
            path,
            mode,
            block_size,
            cache_type=cache_type,
            cache_options=cache_options,
            size=info["size"],
            **kwargs,
        )

    def _fetch_range(self, start: int, end: int) -> bytes:
        opened = shared.ready(self.fs._options)
        found = opened[1].read_now(self._cid, start, end) if opened is not None else None
        if found is None:
            found = sync(self.fs.loop, self.fs._read_range, self._cid, start, end, self.path)
        return bytes(found)


BLOCK = 1 << 20
"""Bytes read at a time."""


class AsyncContentFile(AbstractAsyncStreamedFile):  # type: ignore[misc]  # fsspec has no types
    """A file for programs with an event loop."""

    def __init__(self, fs: Any, path: str, info: dict[str, Any]) -> None:
        super().__init__(fs, path, "rb", BLOCK, size=info["size"])
        self.details = info
        self.size = info["size"]
        self._cid = CID.parse(info["cid"])

    async def _fetch_range(self, start: int, end: int) -> bytes:
        found: bytes = await self.fs._read_range(self._cid, start, end, self.path)
        return found
