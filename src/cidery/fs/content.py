"""``ipfs://CID/path`` and ``ipns://NAME/path``: content as it is, for reading."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from fsspec.asyn import sync

from cidery.core.reading.content_path import ContentPath, PathError, parse_path
from cidery.fs import shared
from cidery.fs.base import Base
from cidery.fs.errors import as_os_errors, read_only
from cidery.fs.paths import names_of, shown, stripped

if TYPE_CHECKING:
    from typing import Any

    from cidery.fs.source import Source
    from cidery.fs.tree import Entry, Tree

MAX_NAMES = 1024
"""Names remembered."""
MIN_SECONDS = 5.0
"""A name is asked for no more often, whatever its record says: a table is read by many calls."""
MAX_SECONDS = 300.0
"""And no less often: a data set that is published anew is seen."""


class IPFSFileSystem(Base):
    """Content by its CID."""

    protocol = "ipfs"
    fixed = True

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(one) for one in path]
        return stripped(str(path), str(cls.protocol))

    def unstrip_protocol(self, name: str) -> str:
        """The URL of a path."""
        return f"{self.protocol}://{self._strip_protocol(name)}"

    async def _find_entry(self, source: Source, tree: Tree, path: str, span: tuple[int, int] | None = None) -> Entry:
        where = source.admitted(_parsed(path))
        found = await tree.look(where.root, where.segments, path, span)
        tree.note_path(path, found)
        return found

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any) -> bytes:
        """Bytes ``[start, end)`` of a file, as those of a slice. Without a wait for another thread where that works."""
        path = self._strip_protocol(path)
        found = self._at_hand(path, start, end)
        return found if found is not None else cast(bytes, sync(self.loop, self._cat_file, path, start, end))

    def _at_hand(self, path: str, start: int | None, end: int | None) -> bytes | None:
        if start is None or end is None or start < 0 or end < 0:
            return None
        opened = shared.ready(self._options)
        if opened is None:
            return None
        with as_os_errors(shown(path)):
            cid = opened[1].known_path(path)
            return opened[1].read_now(cid, start, end) if cid is not None else None

    # -- writing ---------------------------------------------------------------------------------------------------

    def _open(self, path: str, mode: str = "rb", *args: Any, **kwargs: Any) -> Any:
        if mode != "rb":
            raise read_only(path)
        return super()._open(path, mode, *args, **kwargs)

    async def _pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        raise read_only(path)

    async def _put_file(self, lpath: str, rpath: str, mode: str = "overwrite", **kwargs: Any) -> None:
        raise read_only(rpath)

    async def _cp_file(self, path1: str, path2: str, **kwargs: Any) -> None:
        raise read_only(path2)

    async def _rm(self, path: str, recursive: bool = False, **kwargs: Any) -> None:
        raise read_only(path)

    async def _rm_file(self, path: str, **kwargs: Any) -> None:
        raise read_only(path)

    async def _mkdir(self, path: str, create_parents: bool = True, **kwargs: Any) -> None:
        raise read_only(path)

    async def _makedirs(self, path: str, exist_ok: bool = False) -> None:
        if not (exist_ok and await self._isdir(path)):
            raise read_only(path)


class IPNSFileSystem(IPFSFileSystem):
    """Content by a name, which can come to mean other content: a key (``k51...``) or a domain."""

    protocol = "ipns"
    fixed = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._targets: dict[str, tuple[ContentPath, float]] = {}
        """Name -> what it means, and until when (of fsspec's loop) that is believed."""

    def _at_hand(self, path: str, start: int | None, end: int | None) -> bytes | None:
        return None

    async def _find_entry(self, source: Source, tree: Tree, path: str, span: tuple[int, int] | None = None) -> Entry:
        names = names_of(path)
        if not names:
            raise PathError(path, "it names nothing; write ipns://NAME/path")
        name, rest = names[0], names[1:]
        now = asyncio.get_running_loop().time()
        known = self._targets.get(name)
        if known is None or known[1] <= now:
            where, ttl = await source.locate(f"/ipns/{name}")
            known = (where, now + min(max(ttl, MIN_SECONDS), MAX_SECONDS))
            if len(self._targets) >= MAX_NAMES:
                self._targets.clear()
            self._targets[name] = known
        where = known[0]
        return await tree.look(where.root, [*where.segments, *rest], path, span)


def _parsed(path: str) -> ContentPath:
    if not path:
        raise PathError(path, "every CID is a root, and they cannot be listed; write ipfs://CID/path")
    return parse_path("/".join(names_of(path)))
