"""``cidery:///folder/file``: the node's mutable files, for reading and writing.

A file is written whole or not at all, and is durable when its close() returns. A folder has a CID at any time:
``fs.cid("/folder")`` names what is in it now, for others and for ever.
"""

from __future__ import annotations

import asyncio
import errno
import os
from glob import has_magic
from typing import TYPE_CHECKING

from fsspec.asyn import sync
from fsspec.callbacks import DEFAULT_CALLBACK

from cidery.errors import CideryError
from cidery.fs.base import Base
from cidery.fs.errors import is_a_folder, no_entry, not_a_folder
from cidery.fs.paths import names_of, stripped_mutable
from cidery.fs.write_file import MutableFile
from cidery.unixfs.node import Kind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from typing import Any, BinaryIO

    from cidery.fs.source import Changing, Source
    from cidery.fs.tree import Entry, Tree

PIECE = 1 << 20
"""Bytes of a file passed on at a time."""


class CideryFileSystem(Base):
    """Files that can change."""

    protocol = "cidery"

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(one) for one in path]
        return stripped_mutable(str(path))

    def unstrip_protocol(self, name: str) -> str:
        """The URL of a path."""
        return f"cidery://{self._strip_protocol(name) or '/'}"

    async def _find_entry(self, source: Source, tree: Tree, path: str, span: tuple[int, int] | None = None) -> Entry:
        return await tree.look(await source.files_root(), names_of(path), path, span)

    # -- changes ---------------------------------------------------------------------------------------------------

    async def _change(self, path: str, work: Callable[[Changing], Awaitable[None]]) -> None:
        """Raises IsADirectoryError, NotADirectoryError, FileNotFoundError, OSError."""

        async def run(source: Source, tree: Tree) -> None:
            try:
                await source.change(work)
            except CideryError:
                await self._raise_why(source, tree, path)
                raise

        await self._there(path, run)

    async def _raise_why(self, source: Source, tree: Tree, path: str) -> None:
        """After a failure: say so if the reason is what is at the path, or above it."""
        try:
            entry = await self._find_entry(source, tree, path)
        except FileNotFoundError:
            return
        if entry.kind is Kind.DIRECTORY:
            raise is_a_folder(path)

    async def _write(
        self, path: str, pieces: Callable[[], AsyncIterator[bytes]], mode: str, offset: int | None = None
    ) -> None:
        if mode == "create" and await self._exists(path):
            raise FileExistsError(errno.EEXIST, "it exists already", path)
        if not names_of(path):
            raise is_a_folder(path)
        await self._change(path, lambda files: files.write(path, pieces(), offset))

    async def _pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        async def pieces() -> AsyncIterator[bytes]:
            view = memoryview(value)
            for start in range(0, len(view), PIECE):
                yield bytes(view[start : start + PIECE])

        await self._write(self._strip_protocol(path), pieces, mode)

    async def _put_file(
        self, lpath: str, rpath: str, mode: str = "overwrite", callback: Any = DEFAULT_CALLBACK, **kwargs: Any
    ) -> None:
        path = self._strip_protocol(rpath)
        if os.path.isdir(lpath):
            await self._makedirs(path, exist_ok=True)
            return
        callback.set_size(os.path.getsize(lpath))
        with open(lpath, "rb") as file:
            await self._write_from(file, path, mode, callback=callback)

    async def _write_from(
        self, file: BinaryIO, path: str, mode: str, *, append: bool = False, callback: Any = DEFAULT_CALLBACK
    ) -> None:
        """Write what is in a file of this machine, from its beginning."""

        async def pieces() -> AsyncIterator[bytes]:
            file.seek(0)
            while data := await asyncio.to_thread(file.read, PIECE):
                yield data
                callback.relative_update(len(data))

        offset = None
        if append:
            try:
                offset = int((await self._info(path))["size"])
            except FileNotFoundError:
                offset = 0
        await self._write(path, pieces, mode, offset)

    async def _mkdir(self, path: str, create_parents: bool = True, **kwargs: Any) -> None:
        path = self._strip_protocol(path)
        if await self._exists(path):
            raise FileExistsError(errno.EEXIST, "it exists already", path)
        await self._change(path, lambda files: files.mkdir(path, parents=create_parents))

    async def _makedirs(self, path: str, exist_ok: bool = False) -> None:
        path = self._strip_protocol(path)
        if not names_of(path):
            return
        if await self._exists(path):
            if not exist_ok or not await self._isdir(path):
                raise FileExistsError(errno.EEXIST, "it exists already", path)
            return
        await self._change(path, lambda files: files.mkdir(path, parents=True))

    async def _rm(
        self, path: Any, recursive: bool = False, batch_size: int | None = None, maxdepth: int | None = None, **_: Any
    ) -> None:
        if maxdepth is not None:
            await super()._rm(path, recursive=recursive, batch_size=batch_size, maxdepth=maxdepth)
            return
        for one in await self._expand_path(path):
            info = await self._info(one)
            if info["type"] == "directory" and not recursive:
                raise is_a_folder(one)
            await self._remove(one)

    async def _remove(self, path: str) -> None:
        await self._change(path, lambda files: files.remove(path, recursive=True))

    async def _rm_file(self, path: str, **kwargs: Any) -> None:
        path = self._strip_protocol(path)
        if (await self._info(path))["type"] == "directory":
            if await self._ls(path, detail=False):
                return  # fsspec's bounded rm() comes to the folders, too: one with something left in it stays
        await self._remove(path)

    async def _rmdir(self, path: str) -> None:
        path = self._strip_protocol(path)
        if (await self._info(path))["type"] != "directory":
            raise not_a_folder(path)
        if await self._ls(path, detail=False):
            raise OSError(errno.ENOTEMPTY, "the directory is not empty", path)
        await self._remove(path)

    def rmdir(self, path: str) -> None:
        """Remove an empty folder."""
        sync(self.loop, self._rmdir, path)

    async def _cp_file(self, path1: str, path2: str, **kwargs: Any) -> None:
        source_path, target = self._strip_protocol(path1), self._strip_protocol(path2)
        entry = await self._there(source_path, lambda source, tree: self._find_entry(source, tree, source_path))
        if entry.kind is Kind.DIRECTORY:
            await self._makedirs(target, exist_ok=True)
            return
        await self._change(target, lambda files: files.copy(entry.cid, target))

    async def _move(self, path1: str, path2: str, recursive: bool) -> None:
        """As ``mv``: into a folder that exists, else to that name."""
        origin, target = self._strip_protocol(path1), self._strip_protocol(path2)
        info = await self._info(origin)
        if info["type"] == "directory" and not recursive:
            raise is_a_folder(origin)
        if path2.endswith("/") or await self._isdir(target):
            target = f"{target}/{names_of(origin)[-1]}"
        above = target.rpartition("/")[0]
        if names_of(above) and not await self._exists(above):
            await self._makedirs(above, exist_ok=True)
        if origin != target:
            if await self._isfile(target):
                await self._remove(target)
            await self._change(target, lambda files: files.move(origin, target))

    def mv(self, path1: Any, path2: Any, recursive: bool = False, maxdepth: int | None = None, **kwargs: Any) -> None:
        """Move a file, or a folder with ``recursive``, in one step; several at once one after the other."""
        if isinstance(path1, str) and isinstance(path2, str) and not has_magic(path1) and maxdepth is None:
            sync(self.loop, self._move, path1, path2, recursive)
        else:
            super().mv(path1, path2, recursive=recursive, maxdepth=maxdepth, **kwargs)

    def _open(self, path: str, mode: str = "rb", *args: Any, **kwargs: Any) -> Any:
        if mode == "rb":
            return super()._open(path, mode, *args, **kwargs)
        path = self._strip_protocol(path)
        return MutableFile(self, path, mode, autocommit=kwargs.get("autocommit", True))

    async def _check_writable(self, path: str, mode: str) -> None:
        """Before a file is opened for writing: what would fail at its close() fails now."""
        try:
            info = await self._info(path)
        except FileNotFoundError:
            if mode == "r+b":
                raise no_entry(path) from None
            return
        if info["type"] == "directory":
            raise is_a_folder(path)
        if mode == "xb":
            raise FileExistsError(errno.EEXIST, "it exists already", path)
