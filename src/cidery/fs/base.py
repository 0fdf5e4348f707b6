"""What the file systems have in common: fsspec's methods for reading, over a tree of content.

Spec: https://filesystem-spec.readthedocs.io/en/latest/async.html
"""

from __future__ import annotations

import errno
import os
import sys
from abc import abstractmethod
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from fsspec.asyn import AsyncFileSystem, get_loop
from fsspec.callbacks import DEFAULT_CALLBACK

from cidery.fs import shared
from cidery.fs.errors import as_os_errors, is_a_folder
from cidery.fs.options import stated
from cidery.fs.paths import shown
from cidery.unixfs.node import Kind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
    from typing import Any

    from cidery.fs.source import Source
    from cidery.fs.tree import Entry, Tree
    from cidery.multiformats.cid import CID

T = TypeVar("T")

BLOCK_SIZE = 1 << 20
"""Bytes that a file object reads ahead: one block of the usual profile."""


class Base(AsyncFileSystem):  # type: ignore[misc]  # fsspec has no types
    """Reading; the subclasses say what a path means."""

    _pid: int
    async_impl = True
    cachable = True
    root_marker = ""
    fixed = False
    """Whether what is at a path can never change."""

    def __init__(
        self,
        via: str = "auto",
        repo: str | None = None,
        gateways: str | Sequence[str] = (),
        online: bool = False,
        auth: str = "",
        **kwargs: Any,
    ) -> None:
        """Nothing is opened before the first call.

        Args:
            via: where blocks come from: "repo", "daemon", "gateway", or the address of a daemon's RPC such as
                ``http://127.0.0.1:5001``. "auto": a repository with its daemon, else without, else another daemon that
                is found (Kubo's in ~/.ipfs), else the gateways of the environment.
            repo: the repository; None: $CIDERY_PATH, $IPFS_PATH or ~/.cidery.
            gateways: URLs of trustless gateways; (): those of $IPFS_GATEWAY or ~/.ipfs/gateway.
            online: without a daemon, fetch from peers as a node of this process. It then has the repository alone.
            auth: a secret of the daemon's API.Authorizations, as ``bearer:TOKEN``.
        """
        super().__init__(**kwargs)
        self._options = stated(via, repo, gateways, online, auth)

    @property
    def loop(self) -> Any:
        """fsspec's, also in a process that was forked since."""
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self._loop = None if self.asynchronous else get_loop()
        return self._loop

    async def _there(self, path: str, work: Callable[[Source, Tree], Coroutine[Any, Any, T]]) -> T:
        """Run ``work`` where the source lives; its errors become OSErrors about ``path``."""

        async def run() -> T:
            with as_os_errors(shown(path)):
                async with shared.using(self._options) as (source, tree):
                    return await work(source, tree)

        return await shared.in_io_loop(run)

    @abstractmethod
    async def _find_entry(self, source: Source, tree: Tree, path: str, span: tuple[int, int] | None = None) -> Entry:
        """What is at a stripped path. ``span``: as Tree.look(). Raises OSError, CideryError."""

    def _described(self, path: str, entry: Entry) -> dict[str, Any]:
        info: dict[str, Any] = {
            "name": path,
            "size": entry.size if entry.kind is Kind.FILE else 0,
            "type": {Kind.FILE: "file", Kind.DIRECTORY: "directory"}.get(entry.kind, "other"),
            "cid": str(entry.cid),
        }
        if entry.mode is not None:
            info["mode"] = entry.mode
        if entry.mtime is not None:
            info["mtime"] = entry.mtime.seconds + entry.mtime.nanoseconds / 1e9
        if entry.target:
            info |= {"islink": True, "destination": entry.target}
        return info

    # -- what is there ---------------------------------------------------------------------------------------------

    async def _info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        path = self._strip_protocol(path)
        entry = await self._there(path, lambda source, tree: self._find_entry(source, tree, path))
        return self._described(path, entry)

    async def _ls(self, path: str, detail: bool = True, **kwargs: Any) -> list[Any]:
        path = self._strip_protocol(path)

        async def work(source: Source, tree: Tree) -> list[dict[str, Any]]:
            entry = await self._find_entry(source, tree, path)
            if entry.kind is not Kind.DIRECTORY:
                return [self._described(path, entry)]
            found = []
            for one in await tree.entries(entry.cid):
                name = f"{path}/{one.name}"
                found.append(self._described(name, await self._followed(source, tree, name, one)))
            return found

        found = await self._there(path, work)
        return found if detail else [one["name"] for one in found]

    async def _walk(
        self, path: str, maxdepth: int | None = None, on_error: Any = None, **kwargs: Any
    ) -> AsyncIterator[tuple[str, Any, Any]]:
        """As fsspec's; but a folder that is there and cannot be read is an error by default, not an empty folder."""
        if on_error is None:
            on_error = _raise_if_there
        async for found in super()._walk(path, maxdepth=maxdepth, on_error=on_error, **kwargs):
            yield found

    async def _followed(self, source: Source, tree: Tree, path: str, entry: Entry) -> Entry:
        """A symlink as what it leads to, as local file systems have it; one that leads nowhere as itself."""
        if entry.kind is not Kind.SYMLINK:
            return entry
        try:
            found = await self._find_entry(source, tree, path)
        except OSError:
            return entry
        return found._replace(target=entry.target)

    async def _cid(self, path: str) -> str:
        """The CID of a file or folder, as it is now."""
        return str((await self._info(path))["cid"])

    def cid(self, path: str) -> str:
        """The CID of a file or folder, as it is now: what others need to get the same bytes."""
        return str(self.info(path)["cid"])

    def ukey(self, path: str) -> str:
        """The CID: the same bytes have the same."""
        return self.cid(path)

    def checksum(self, path: str) -> str:
        """The CID."""
        return self.cid(path)

    def modified(self, path: str) -> datetime:
        """The time that is stored with a file. Without one: 1970 for content, which never changes; now for what can.

        So programs that keep what they have read (DuckDB does) keep it for as long as it is right.
        """
        known = self.info(path).get("mtime")
        if known is None and self.fixed:
            known = 0.0
        return datetime.now(UTC) if known is None else datetime.fromtimestamp(known, UTC)

    async def _sign(self, path: str, expiration: int = 100, **kwargs: Any) -> str:
        path = self._strip_protocol(path)

        async def work(source: Source, tree: Tree) -> str:
            entry = await self._find_entry(source, tree, path)
            if not source.gateway:
                raise OSError(errno.ENOTCONN, "no gateway is known; set IPFS_GATEWAY or run: cidery daemon", path)
            return f"{source.gateway}/ipfs/{entry.cid}"

        return await self._there(path, work)

    def sign(self, path: str, expiration: int = 100, **kwargs: Any) -> str:
        """A link to the same bytes for programs that know only HTTP. It does not expire."""
        from fsspec.asyn import sync

        return str(sync(self.loop, self._sign, path, expiration))

    # -- bytes -----------------------------------------------------------------------------------------------------

    async def _range(
        self, source: Source, tree: Tree, path: str, start: int | None, end: int | None
    ) -> tuple[Entry, int, int]:
        """The file at a path and the bounds of a range of it, which may be negative or None as those of a slice."""
        entry = await self._find_entry(source, tree, path, _span(start, end))
        if entry.kind is Kind.DIRECTORY:
            raise is_a_folder(path)
        first, last, _ = slice(start, end).indices(entry.size)
        return entry, first, last

    async def _cat_file(self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any) -> bytes:
        path = self._strip_protocol(path)

        async def work(source: Source, tree: Tree) -> bytes:
            entry, first, last = await self._range(source, tree, path, start, end)
            return await tree.read(entry.cid, first, last)

        return await self._there(path, work)

    async def _read_range(self, cid: CID, start: int, end: int, path: str) -> bytes:
        return await self._there(path, lambda source, tree: tree.read(cid, start, end))

    async def _get_file(self, rpath: str, lpath: str, callback: Any = DEFAULT_CALLBACK, **kwargs: Any) -> None:
        path = self._strip_protocol(rpath)

        async def work(source: Source, tree: Tree) -> None:
            entry = await self._find_entry(source, tree, path)
            if entry.kind is Kind.DIRECTORY:
                Path(lpath).mkdir(parents=True, exist_ok=True)
                return
            callback.set_size(entry.size)
            Path(lpath).parent.mkdir(parents=True, exist_ok=True)
            with open(lpath, "wb") as file:
                async with tree.pieces(entry.cid) as pieces:
                    async for piece in pieces:
                        file.write(piece)
                        callback.relative_update(len(piece))

        if hasattr(lpath, "write"):
            lpath.write(await self._cat_file(path))
            return
        await self._there(path, work)

    def _open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,
        autocommit: bool = True,
        cache_options: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> Any:
        from fsspec.asyn import sync

        from cidery.fs.read_file import ContentFile

        info = sync(self.loop, self._info, path)
        if info["type"] == "directory":
            raise is_a_folder(path)
        kind = kwargs.pop("cache_type", "readahead")
        return ContentFile(
            self, path, info, mode, block_size or BLOCK_SIZE, cache_type=kind, cache_options=cache_options
        )

    async def open_async(self, path: str, mode: str = "rb", **kwargs: Any) -> Any:
        """A file whose ``read()`` and ``close()`` are awaited. Raises ValueError for any mode but "rb"."""
        from cidery.fs.read_file import AsyncContentFile

        if mode != "rb" or kwargs.get("compression"):
            raise ValueError("open_async() reads bytes: its mode is 'rb'")
        info = await self._info(path)
        if info["type"] == "directory":
            raise is_a_folder(path)
        return AsyncContentFile(self, path, info)

    def blocks_read(self) -> int:
        """How many blocks were read for this file system, and for others with the same options, so far."""
        opened = shared.ready(self._options)
        return opened[1].blocks_read if opened is not None else 0

    def close(self) -> None:
        """Close what all file systems of this process have opened. The next call opens it again."""
        from fsspec.asyn import sync

        sync(get_loop(), shared.release)


def _span(start: int | None, end: int | None) -> tuple[int, int] | None:
    """A range as bytes from the start of a file; None: that depends on its size, or there are none."""
    first = start or 0
    if first < 0 or (end is not None and end <= first):
        return None
    return first, sys.maxsize if end is None else end


def _raise_if_there(error: OSError) -> None:
    if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
        raise error
