"""node.files: mutable files and directories, whose changes are durable on return."""

from __future__ import annotations

from cidery.methods.blocking import BlockingGroup, blocking, iterating
from cidery.methods.caller import Group, path_text
from cidery.methods.results import FileEntry, FileStat
from cidery.methods.sources import pieces_of
from cidery.multiformats.cid import CID

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from cidery.methods.sources import Source

PERMISSIONS = 0o777


class Files(Group):
    """Mutable files. Paths are absolute ("/photos/a.jpg"); /ipfs/... names content where that makes sense.

    ``flush=False`` makes a change visible at once and durable with the next flush() only: for many small ones.
    """

    async def write(
        self,
        path: str,
        data: Source,
        *,
        offset: int | None = None,
        create: bool = True,
        parents: bool = False,
        flush: bool = True,
        cid_version: int | None = None,
        hash: str = "",
    ) -> None:
        """Write a file. ``data``: bytes, the path of a file of this machine, or a stream of bytes.

        Args:
            offset: None: the file then has these bytes and no others; else they replace what is there from this byte
                on, and the rest stays.
            create: make the file if there is none; False: NotFound.
            parents: make missing directories.
            cid_version, hash: of new files; absent: as their directory has them.
        Raises: BadPath, NotFound, WrongKind, CannotAdd, and as the store.
        Cancellation: safe; the file is as it was, or complete.
        """
        await self._done(
            "files write",
            path,
            body=pieces_of(data),
            offset=offset,
            create=create,
            truncate=offset is None,
            parents=parents,
            flush=flush,
            cid_version=cid_version,
            hash=hash or None,
        )

    async def cat(
        self, path: str, offset: int = 0, length: int | None = None
    ) -> AsyncGenerator[bytes | memoryview, None]:
        """The bytes ``[offset, offset+length)`` of a file, in order. Raises NotFound, WrongKind, PastTheEnd."""
        from contextlib import aclosing

        async with aclosing(self._caller.chunks("files read", path, offset=offset, count=length)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """As cat(), as one object."""
        return await self._bytes("files read", path, offset=offset, count=length)

    async def ls(self, path: str = "/", *, limit: int | None = None, after: str = "") -> list[FileEntry]:
        """The entries of a directory, in the order of their names; of a large one, in that of the hashes of these.

        Args:
            limit: most entries (1 to 10,000), then always in the order of the hashes.
            after: only entries behind this name, the last of the page before, even if it is gone by now.
        Raises: NotFound.
        """
        value = await self._value("files ls", path, long=True, limit=limit, after=after or None)
        return [
            FileEntry(entry["Name"], CID.parse(entry["Hash"]), entry["Size"], entry["Type"] == 1)
            for entry in value["Entries"]
        ]

    async def stat(self, path: str | CID, *, here: bool = False) -> FileStat:
        """CID, sizes and metadata of a mutable file, or of content (/ipfs/...).

        ``here``: count too how much of it is stored here, which walks all of it. Raises NotFound, NotUnixFS.
        """
        text = path if isinstance(path, str) else f"/ipfs/{path_text(path)}"
        value = await self._value("files stat", text, with_local=here)
        seconds = value.get("Mtime")
        return FileStat(
            cid=CID.parse(value["Hash"]),
            size=value["Size"],
            cumulative_size=value["CumulativeSize"],
            blocks=value["Blocks"],
            is_directory=value["Type"] == "directory",
            mode=int(value["Mode"], 8) & PERMISSIONS if "Mode" in value else None,
            mtime=None if seconds is None else seconds + value.get("MtimeNsecs", 0) / 1e9,
            stored_here=value.get("SizeLocal", 0) if here else None,
        )

    async def mkdir(
        self, path: str, *, parents: bool = False, flush: bool = True, cid_version: int | None = None, hash: str = ""
    ) -> None:
        """Make a directory. ``parents``: also missing ones above, and it may exist. Raises Exists, NotFound."""
        await self._done("files mkdir", path, parents=parents, flush=flush, cid_version=cid_version, hash=hash or None)

    async def cp(
        self, source: str | CID, dest: str, *, parents: bool = False, force: bool = False, flush: bool = True
    ) -> None:
        """Give content (a CID, /ipfs/...) a path, or copy a mutable file; nothing below its root is fetched.

        ``force``: replace an existing file. Raises: NotFound, Exists.
        """
        text = source if isinstance(source, str) else f"/ipfs/{path_text(source)}"
        await self._done("files cp", text, dest, parents=parents, force=force, flush=flush)

    async def mv(self, source: str, dest: str, *, flush: bool = True) -> None:
        """Move a file or directory; into ``dest`` if that is a directory. Raises NotFound, Exists."""
        await self._done("files mv", source, dest, flush=flush)

    async def rm(self, *paths: str, recursive: bool = False, force: bool = False) -> None:
        """Remove files; directories too if ``recursive``. ``force``: a missing one is no error.

        Raises: NotFound, CannotRemove (some of several; the others are removed).
        """
        await self._done("files rm", *paths, recursive=recursive, force=force)

    async def flush(self, path: str = "/") -> CID:
        """Make all changes durable. Returns the CID of ``path``."""
        return CID.parse((await self._value("files flush", path))["Cid"])

    async def chcid(self, path: str, *, cid_version: int | None = None, hash: str = "", flush: bool = True) -> None:
        """Change the CID version or the hash function of a directory, for what is written below it from now on."""
        await self._done("files chcid", path, cid_version=cid_version, hash=hash or None, flush=flush)

    async def chmod(self, path: str, mode: int, *, flush: bool = True) -> None:
        """Store permission bits such as 0o644; 0 removes them."""
        await self._done("files chmod", f"{mode:04o}", path, flush=flush)

    async def touch(self, path: str, mtime: float | None = None, *, flush: bool = True) -> None:
        """Store the time of modification, in seconds since 1970; None: now."""
        # a float of today's seconds has no digits below a microsecond
        seconds, micros = (None, 0) if mtime is None else divmod(round(mtime * 1e6), 10**6)
        await self._done("files touch", path, mtime=seconds, mtime_nsecs=micros * 1000 or None, flush=flush)


class BlockingFiles(BlockingGroup[Files]):
    """The methods of Files, blocking."""

    write = blocking(Files.write)
    cat = iterating(Files.cat, ahead=4)
    read = blocking(Files.read)
    ls = blocking(Files.ls)
    stat = blocking(Files.stat)
    mkdir = blocking(Files.mkdir)
    cp = blocking(Files.cp)
    mv = blocking(Files.mv)
    rm = blocking(Files.rm)
    flush = blocking(Files.flush)
    chcid = blocking(Files.chcid)
    chmod = blocking(Files.chmod)
    touch = blocking(Files.touch)
