"""Importing archives as a job: it goes on after the last section that is known to be stored.

Files of this machine are opened there; who sends archives asks how much of which is here (sent_archives()), and leaves
that out. Their headers are kept in the note, since they do not come again.

The place is noted twice: for every few batches in a note that a SIGKILL survives, and rarely in the job's row, after
the store was synced, for what comes after a power cut. So it is never ahead of the blocks.
"""

import asyncio
import hashlib
import json
import logging
import os
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from cidery.blockstore.interface import BlockStore
from cidery.core.adding.items import HAS_ALL, AddItem, CannotAdd
from cidery.core.adding.journal import NotRemembered, identity_text
from cidery.core.car.importing import CarStats, Reached, import_car, read_pieces
from cidery.core.jobs import JobRun
from cidery.errors import CideryError
from cidery.ipld.car_reader import BadCar, CarReader
from cidery.multiformats.varint import Buffer
from cidery.repo.jobs import Job
from cidery.repo.volatile_note import VolatileNote, boot_identity

log = logging.getLogger("cidery.jobs")

CHECKPOINT = 64 << 20
"""Bytes between two places that are written to the row: the store syncs about as often anyway."""
HEAD_PIECE = 512
"""Bytes read at once up to the end of an archive's header."""
MAX_HEAD = 4096
"""Longest header of a sent archive that is kept, in bytes; one with more (about 100 roots) is sent again whole."""
MAX_ARCHIVES = 1000
"""Archives of one job whose places are kept; what comes after is read again if it comes to that."""


class Place(NamedTuple):
    """How far an archive is stored, and, if it was sent, what it is known by."""

    reached: Reached
    identity: str = ""
    """Of the sender's file, as five numbers with "-" between; "" for a file of this machine."""
    head: bytes = b""
    """Its first bytes, with the header."""


def import_key(paths: Sequence[str]) -> str:
    """The same as long as the files are the same; "" if one of them is no file. Blocks."""
    files = []
    for path in paths:
        try:
            found = os.stat(path)
        except OSError:
            return ""
        files.append((os.path.abspath(path), found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns))
    return hashlib.sha256(repr(files).encode("utf-8", "surrogateescape")).hexdigest()[:32] if files else ""


class CarJob:
    """The archives of one job, in order."""

    def __init__(self, run: JobRun, store: BlockStore, *, again: bool = False) -> None:
        """``again``: from the start, whatever an earlier run had reached."""
        self._run = run
        self._store = store
        self.stats = CarStats()
        self._note_file = VolatileNote(run.journal, boot_identity())
        self._places: list[Place] = []
        if run.resumed and not again:
            self._places = _known_places(self._note_file, run.last)
        self._reached: list[Place] = []  # of each archive so far
        self._base = Reached(0, 0, 0)
        self._saved = 0
        self._saving: asyncio.Task[None] | None = None
        self.skipped = False
        """Whether anything was taken from an earlier run."""

    def close(self) -> None:
        """Free the descriptor of the note."""
        self._note_file.close()

    async def forget(self) -> None:
        """The next run begins at the start. Raises as JobRun.settle()."""
        self._note_file.write(b"[]")
        await self._run.settle({"reached": []})

    async def archive(self, item: AddItem) -> None:
        """Import the next archive.

        Raises CannotAdd for a file that cannot be read, NotRemembered for one whose start was left out and is not here,
        and as import_car().
        """
        self._base = Reached(0, 0, 0)
        self._reached.append(Place(self._base))
        try:
            if item.path is not None:
                reader, start = await self._begin(item.path)
                stream: AsyncIterable[Buffer] = read_pieces(item.path, start)
            else:
                reader = self._begin_sent(item)
                stream = item.pieces() if reader else self._with_head(item)
            await import_car(stream, self._store, self.stats, reader=reader, reached=self._note)
        except OSError as exc:
            raise CannotAdd(item.path or "the archive", (exc.strerror or str(exc)).lower()) from exc
        finally:
            if self._saving is not None:
                await asyncio.wait([self._saving])

    async def _begin(self, path: str) -> tuple[CarReader | None, int]:
        """The reader for a file, and where to begin."""
        at = len(self._reached) - 1
        place = self._places[at] if at < len(self._places) else Place(Reached(0, 0, 0))
        offset = place.reached.offset
        reader = await asyncio.to_thread(_reader_at, path, offset) if offset else None
        if reader is None:
            self._places = self._places[:at]
            return None, 0
        self._go_on(place)
        return reader, offset

    def _begin_sent(self, item: AddItem) -> CarReader | None:
        """The reader for what comes after that which the sender left out; None if that is nothing."""
        if item.identity is None or not item.has:
            return None
        identity = identity_text(item.identity)
        place = next((one for one in self._places if one.identity == identity), Place(Reached(0, 0, 0)))
        has = item.identity[2] if item.has == HAS_ALL else item.has
        reader = _reader_after(place.head, has) if has == place.reached.offset else None
        if reader is None:
            raise NotRemembered(item.name or "the archive")
        self._go_on(place)
        return reader

    def _go_on(self, place: Place) -> None:
        self.skipped = True
        self.stats.blocks += place.reached.blocks
        self.stats.bytes += place.reached.bytes
        self._base, self._reached[-1] = place.reached, place
        self._saved = self.stats.bytes

    async def _with_head(self, item: AddItem) -> AsyncIterator[Buffer]:
        identity, head = "" if item.identity is None else identity_text(item.identity), b""
        async for piece in item.pieces():
            if identity and len(head) < MAX_HEAD:
                head += bytes(memoryview(piece)[: MAX_HEAD - len(head)])
                self._reached[-1] = self._reached[-1]._replace(identity=identity, head=head)
            yield piece

    def _note(self, here: Reached) -> None:
        """Count, and have the place written now and then. ``here`` counts from where this run began."""
        run, base = self._run, self._base
        run.blocks, run.bytes = self.stats.blocks, self.stats.bytes
        run.tick()
        reached = Reached(here.offset, base.blocks + here.blocks, base.bytes + here.bytes)
        self._reached[-1] = self._reached[-1]._replace(reached=reached)
        places = [_encode(place) for place in self._reached[:MAX_ARCHIVES]]
        try:
            self._note_file.write(json.dumps(places).encode())
        except OSError as exc:
            log.warning("how far the import is could not be noted: %s", exc)
        if self.stats.bytes - self._saved >= CHECKPOINT and self._saving is None:
            self._saved = self.stats.bytes
            self._saving = asyncio.create_task(self._save(places))

    async def _save(self, places: Sequence[object]) -> None:
        try:
            await self._store.sync()
            await self._run.settle({"reached": list(places)})
        except CideryError as exc:
            log.warning("how far the import is could not be written: %s", exc)
        finally:
            self._saving = None


def sent_archives(journal: Path, row: Job) -> list[tuple[str, int]]:
    """What an interrupted import has of archives that were sent: identity, and bytes from the start. Blocks."""
    places = _known_places(VolatileNote(journal, boot_identity()), row)
    return [
        (place.identity, place.reached.offset)
        for place in places
        if place.identity and place.reached.offset and _reader_after(place.head, place.reached.offset)
    ]


def _known_places(note: VolatileNote, row: Job) -> list[Place]:
    return _places(note.read()) or _places(row.detail.get("reached"))


def _encode(place: Place) -> list[object]:
    return [*place.reached, place.identity, place.head.hex()] if place.identity else list(place.reached)


def _places(found: object) -> list[Place]:
    """What a row or a note says; nothing if it is damaged."""
    places: list[Place] = []
    if isinstance(found, bytes):
        try:
            found = json.loads(found)
        except (ValueError, RecursionError):
            return []
    for one in found if isinstance(found, list) else []:
        match one:
            case [int(offset), int(blocks), int(size)] if min(one) >= 0:
                places.append(Place(Reached(offset, blocks, size)))
            case [int(offset), int(blocks), int(size), str(identity), str(head)] if min(one[:3]) >= 0:
                try:
                    places.append(Place(Reached(offset, blocks, size), identity, bytes.fromhex(head)))
                except ValueError:
                    return []
            case _:
                return []
    return places


def _reader_after(head: bytes, offset: int) -> CarReader | None:
    """_reader_over() the first bytes of an archive."""
    return _reader_over((head[at : at + HEAD_PIECE] for at in range(0, len(head), HEAD_PIECE)), offset)


def _reader_at(path: str, offset: int) -> CarReader | None:
    """_reader_over() a file. Blocks. Raises OSError."""
    with open(path, "rb", buffering=0) as file:
        return _reader_over(iter(lambda: file.read(HEAD_PIECE), b""), offset)


def _reader_over(pieces: Iterable[bytes], offset: int) -> CarReader | None:
    """A reader that has read the header out of ``pieces`` and goes on at ``offset``; None if that cannot be."""
    reader = CarReader()
    try:
        for piece in pieces:
            reader.receive_data(piece)
            if reader.version:
                reader.skip_to(offset)
                return reader
    except BadCar:
        pass
    return None
