"""Blocks whose bytes stay in the user's files: a layer over a block store, and the table of references.

A reference holds a file, an offset and a length. The bytes are hashed on every read, so a changed file can
make a block absent (to be fetched from peers again) but never wrong. The table is meta/filestore, made on first use.
"""

import os
import stat
import struct
import threading
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

from cidery.blockstore.interface import KEYS_PAGE, BlockStore, Durability, StoredHook
from cidery.disk.lmdb_environment import Environment, Transaction, items_after
from cidery.errors import IntegrityError
from cidery.ipld.block import MAX_BLOCK, Block
from cidery.multiformats.cid import CID
from cidery.multiformats.multihash import matches
from cidery.waiting import off_loop

INITIAL_MAP = 16 << 20
"""First size of the map, in bytes: about 100,000 references; it grows."""
_FIXED = struct.Struct(">QqQI")
_OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


class ReferenceDamaged(IntegrityError):
    """A record of the table that cannot be decoded."""

    def __str__(self) -> str:
        return "a filestore record is damaged; delete meta/filestore and add the files with --nocopy again"


class Reference(NamedTuple):
    """Where the bytes of a block are."""

    multihash: bytes
    path: str
    offset: int
    length: int
    """Bytes."""
    file_size: int
    """Size of the whole file when it was added."""
    mtime_ns: int
    """Its modification time then."""


class Status(IntEnum):
    """The state of a reference; numbers and words as in Kubo."""

    OK = 0
    FILE_ERROR = 10
    NO_FILE = 11
    CHANGED = 12

    @property
    def word(self) -> str:
        return {0: "ok", 10: "error", 11: "no-file", 12: "changed"}[self]


class Checked(NamedTuple):
    """One checked reference."""

    reference: Reference
    status: Status
    reason: str
    """One line; "" when the reference is sound."""


class References:
    """The table. Methods block for some us (put() and remove() for a sync of the disk); safe in any thread."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self._path = path
        self._read_only = read_only
        self._opening = threading.Lock()
        self._changing = threading.Lock()
        """Held while the table is written with regard to the two sets below."""
        self._noted = threading.Lock()
        """Held briefly while the sets are accessed."""
        self._fresh: set[bytes] | None = None
        self._doomed: set[bytes] = set()
        self.on_stored: list[StoredHook] = []
        """As BlockStore; for blocks that are noted."""
        self._env: Environment | None = None
        if (path / "data.mdb").exists():
            self._env = self._open()

    def _open(self) -> Environment:
        return Environment(
            self._path,
            [b"references"],
            what="table of files",
            advice="delete it and add the files with --nocopy again",
            read_only=self._read_only,
            map_size=INITIAL_MAP,
        )

    def put(self, references: Sequence[Reference]) -> None:
        """Note blocks; durable on return. An existing reference is replaced. Raises DatabaseUnavailable."""
        with self._opening:
            env = self._env = self._env or self._open()

        def work(txn: Transaction) -> None:
            for one in references:
                fixed = _FIXED.pack(one.file_size, one.mtime_ns, one.offset, one.length)
                txn.put(one.multihash, fixed + os.fsencode(one.path), db=env.tables[0])

        with self._changing:
            with self._noted:
                keys = {one.multihash for one in references}
                self._doomed -= keys
                if self._fresh is not None:
                    self._fresh |= keys
            env.write(work)
        noted = [(one.multihash, one.length) for one in references]
        for hook in self.on_stored if noted else ():
            hook(noted)

    def remove(self, multihashes: Iterable[bytes]) -> list[bool]:
        """Forget blocks; True for each that was noted. Durable on return."""
        env, wanted = self._env, list(multihashes)
        if env is None:
            return [False] * len(wanted)
        return env.write(lambda txn: [bool(txn.delete(key, db=env.tables[0])) for key in wanted])

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Inside the context, blocks put are remembered, including those already there; doom() spares them."""
        with self._noted:
            self._fresh = set()
        try:
            yield
        finally:
            with self._noted:
                self._fresh = None

    def doom(self, multihashes: Iterable[bytes]) -> list[bytes]:
        """Doom those of these blocks that were not put since noting() began: they count as absent from here on.

        Touches no disk. bury() must follow; a put in between keeps its blocks.
        """
        with self._noted:
            assert self._fresh is not None  # for use inside noting()
            gone = [key for key in multihashes if key not in self._fresh]
            self._doomed.update(gone)
        return gone

    def bury(self, gone: Sequence[bytes]) -> None:
        """Forget the doomed blocks. Durable on return. Raises DatabaseUnavailable: they stay doomed in this process."""
        with self._changing:
            with self._noted:
                keys = [key for key in gone if key in self._doomed]
            self.remove(keys)
            with self._noted:
                self._doomed.difference_update(keys)

    def keys(self, after: bytes, limit: int) -> list[bytes]:
        """Up to ``limit`` multihashes that sort after ``after``."""
        return [reference.multihash for reference in self.page(after, limit)]

    def count(self) -> int:
        """O(1)."""
        env = self._env
        return 0 if env is None else env.read(lambda txn: int(txn.stat(env.tables[0])["entries"]))

    def get(self, multihash: bytes) -> Reference | None:
        if self._env is None or multihash in self._doomed:
            return None
        value = self._env.get(0, multihash)
        return None if value is None else _decode(multihash, value)

    def has(self, multihash: bytes) -> bool:
        if self._env is None or multihash in self._doomed:
            return False
        return self._env.get(0, multihash) is not None

    def page(self, after: bytes, limit: int = KEYS_PAGE) -> list[Reference]:
        """Up to ``limit`` references whose multihash sorts after ``after``."""
        env = self._env
        if env is None:
            return []
        return [_decode(*item) for item in env.read(lambda txn: items_after(txn, env.tables[0], after, limit))]

    def close(self) -> None:
        if self._env is not None:
            self._env.close()


def _decode(multihash: bytes, value: bytes) -> Reference:
    if len(value) <= _FIXED.size:
        raise ReferenceDamaged
    size, mtime_ns, offset, length = _FIXED.unpack_from(value)
    return Reference(bytes(multihash), os.fsdecode(bytes(value[_FIXED.size :])), offset, length, size, mtime_ns)


def look(reference: Reference) -> tuple[bytes | None, Checked]:
    """Read and hash the bytes of a reference; None unless they match the block. Blocks; never waits on a pipe."""
    try:
        fd = os.open(reference.path, _OPEN_FLAGS)
    except FileNotFoundError:
        return None, Checked(reference, Status.NO_FILE, "the file is gone")
    except (OSError, ValueError) as exc:
        return None, Checked(reference, Status.FILE_ERROR, str(exc))
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            return None, Checked(reference, Status.CHANGED, "it is no longer a file")
        if reference.length > MAX_BLOCK or found.st_size < reference.offset + reference.length:
            return None, Checked(reference, Status.CHANGED, "the file became shorter")
        os.lseek(fd, reference.offset, os.SEEK_SET)
        data = _read(fd, reference.length)
    except OSError as exc:
        return None, Checked(reference, Status.FILE_ERROR, str(exc))
    finally:
        os.close(fd)
    if len(data) != reference.length or not matches(reference.multihash, data):
        touched = (found.st_size, found.st_mtime_ns) != (reference.file_size, reference.mtime_ns)
        return None, Checked(
            reference, Status.CHANGED, "the file was changed" if touched else "the disk gives other bytes"
        )
    return data, Checked(reference, Status.OK, "")


def _read(fd: int, size: int) -> bytes:
    parts: list[bytes] = []
    while size and (part := os.read(fd, size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


class Filestore:
    """A BlockStore: the inner one and, for blocks that it lacks, the user's files. A stored copy takes precedence."""

    def __init__(self, inner: BlockStore, references: References) -> None:
        self._inner = inner
        self.references = references
        self.on_stored = references.on_stored = inner.on_stored

    def get_if_ready(self, cid: CID) -> bytes | memoryview | None:
        """Of the inner store: files are read in a thread."""
        return self._inner.get_if_ready(cid)

    async def get_many(self, cids: Sequence[CID]) -> list[bytes | memoryview | None]:
        """As BlockStore; a block whose file has changed counts as absent (why() gives details)."""
        found = await self._inner.get_many(cids)
        missing = [i for i, data in enumerate(found) if data is None]
        noted = [(i, reference) for i in missing if (reference := self.references.get(cids[i].multihash)) is not None]
        if noted:
            read = await off_loop(lambda: [look(reference)[0] for _, reference in noted])
            for (i, _), data in zip(noted, read, strict=True):
                found[i] = data
        return found

    def damage(self, cid: CID) -> str:
        """As BlockStore, for the inner store only; for files see why()."""
        return self._inner.damage(cid)

    async def size_many(self, cids: Sequence[CID]) -> list[int | None]:
        """As BlockStore; bytes of a file whose size or time of change differ from those noted are read and hashed."""
        sizes = await self._inner.size_many(cids)
        touched: list[tuple[int, Reference]] = []
        for i, cid in enumerate(cids):
            if sizes[i] is None and (reference := self.references.get(cid.multihash)) is not None:
                if _untouched(reference):
                    sizes[i] = reference.length
                else:
                    touched.append((i, reference))
        if touched:
            same = await off_loop(lambda: [look(reference)[0] is not None for _, reference in touched])
            for (i, reference), there in zip(touched, same, strict=True):
                sizes[i] = reference.length if there else None
        return sizes

    async def put_many(self, blocks: Sequence[Block], *, kept: bool, durability: Durability) -> None:
        await self._inner.put_many(blocks, kept=kept, durability=durability)

    def put_many_blocking(self, blocks: Sequence[Block], *, kept: bool) -> None:
        self._inner.put_many_blocking(blocks, kept=kept)

    async def delete_many(self, cids: Sequence[CID]) -> list[bool]:
        """As BlockStore; references are forgotten, the user's files stay."""
        stored = await self._inner.delete_many(cids)
        noted = await off_loop(self.references.remove, [cid.multihash for cid in cids])
        return [a or b for a, b in zip(stored, noted, strict=True)]

    async def keys(self, after: bytes = b"") -> AsyncIterator[list[bytes]]:
        """As BlockStore."""
        stored = self._inner.keys(after)
        here, noted = await anext(stored, None), self.references.keys(after, KEYS_PAGE)
        while here or noted:
            last = min(page[-1] for page in (here, noted) if page)
            found = sorted({key for key in (*(here or ()), *noted) if key <= last})
            for start in range(0, len(found), KEYS_PAGE):
                yield found[start : start + KEYS_PAGE]
            here = [key for key in here or () if key > last] or await anext(stored, None)
            noted = [key for key in noted if key > last] or self.references.keys(last, KEYS_PAGE)

    async def sync(self) -> None:
        await self._inner.sync()

    async def close(self) -> None:
        """The inner store and the table."""
        await self._inner.close()
        self.references.close()

    async def check(self, reference: Reference) -> Checked:
        """Read and hash the bytes of a reference."""
        return (await off_loop(look, reference))[1]

    async def why(self, cid: CID) -> Checked | None:
        """The fault of the reference of an absent block; None if it has none."""
        reference = self.references.get(cid.multihash)
        return None if reference is None else await self.check(reference)


def _untouched(reference: Reference) -> bool:
    try:
        found = os.stat(reference.path)
    except (OSError, ValueError):
        return False
    return (found.st_size, found.st_mtime_ns) == (reference.file_size, reference.mtime_ns)
