"""Importing archives as a job, which resumes after the last section known to be stored.

Files of this machine are opened here. A sender of archives first asks how much of each is stored (sent_archives())
and leaves that out; the headers are kept in the note, since they are not sent again.

The position is recorded twice: every few batches in a note that survives a SIGKILL, and, less often, in the job's
row after a sync of the store, which survives a power cut. So it is never ahead of the blocks.
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
from cidery.core.adding.batches import each
from cidery.core.adding.items import Bytes, CannotAdd, File, Identity, Item, Stored, Stream
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
"""Bytes between two positions written to the row: the store syncs about as often anyway."""
HEAD_PIECE = 512
"""Bytes read at a time until the end of an archive's header."""
MAX_HEAD = 4096
"""Longest header of a sent archive that is kept, in bytes; above (about 100 roots), it is sent again in full."""
MAX_ARCHIVES = 1000
"""Archives of one job whose positions are kept; later ones are read again after an interruption."""


class Place(NamedTuple):
    """How far an archive is stored and, if it was sent, its identity."""

    reached: Reached
    identity: str = ""
    """Of the sender's file, as five numbers joined by "-"; "" for a file of this machine."""
    head: bytes = b""
    """The first bytes of the archive, including the header."""


def import_key(paths: Sequence[str]) -> str:
    """Equal as long as the files are unchanged; "" if one of them is no file. Blocks."""
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
        """``again``: start over, whatever an earlier run had reached."""
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
        """Close the note's descriptor."""
        self._note_file.close()

    async def forget(self) -> None:
        """Let the next run start over. Raises as JobRun.settle()."""
        self._note_file.write(b"[]")
        await self._run.settle({"reached": []})

    async def archive(self, item: Item) -> None:
        """Import the next archive.

        Raises CannotAdd for an unreadable file, NotRemembered for one whose start was left out but is not stored,
        and as import_car().
        """
        self._base = Reached(0, 0, 0)
        self._reached.append(Place(self._base))
        try:
            reader, stream = await self._source(item)
            await import_car(stream, self._store, self.stats, reader=reader, reached=self._note)
        except OSError as exc:
            path = item.path if isinstance(item, File) else "the archive"
            raise CannotAdd(path, (exc.strerror or str(exc)).lower()) from exc
        finally:
            if self._saving is not None:
                await asyncio.wait([self._saving])

    async def _source(self, item: Item) -> tuple[CarReader | None, AsyncIterable[Buffer]]:
        """The reader that has read what an earlier run stored, if any, and the bytes that follow."""
        match item:
            case File(path):
                reader, start = await self._begin(path)
                return reader, read_pieces(path, start)
            case Stored(identity):
                return self._begin_sent(item.name, identity, identity[2]), each(())
            case Stream(stream, identity=identity):
                if identity is not None and item.has:
                    return self._begin_sent(item.name, identity, item.has), stream
                return None, self._with_head(stream, identity)
            case Bytes(data, identity=identity):
                return None, self._with_head(each((data,)), identity)
            case _:
                raise CannotAdd(item.name, "it is not an archive")

    async def _begin(self, path: str) -> tuple[CarReader | None, int]:
        """The reader for a file, and the offset to begin at."""
        at = len(self._reached) - 1
        place = self._places[at] if at < len(self._places) else Place(Reached(0, 0, 0))
        offset = place.reached.offset
        reader = await asyncio.to_thread(_reader_at, path, offset) if offset else None
        if reader is None:
            self._places = self._places[:at]
            return None, 0
        self._go_on(place)
        return reader, offset

    def _begin_sent(self, name: str, sender: Identity, has: int) -> CarReader:
        """The reader for the data after the ``has`` bytes that the sender left out. Raises NotRemembered."""
        identity = identity_text(sender)
        place = next((one for one in self._places if one.identity == identity), Place(Reached(0, 0, 0)))
        reader = _reader_after(place.head, has) if has == place.reached.offset else None
        if reader is None:
            raise NotRemembered(name or "the archive")
        self._go_on(place)
        return reader

    def _go_on(self, place: Place) -> None:
        self.skipped = True
        self.stats.blocks += place.reached.blocks
        self.stats.bytes += place.reached.bytes
        self._base, self._reached[-1] = place.reached, place
        self._saved = self.stats.bytes

    async def _with_head(self, stream: AsyncIterable[Buffer], sender: Identity | None) -> AsyncIterator[Buffer]:
        """The pieces of a sent archive, whose head is kept with the sender's identity."""
        identity, head = "" if sender is None else identity_text(sender), b""
        async for piece in stream:
            if identity and len(head) < MAX_HEAD:
                head += bytes(memoryview(piece)[: MAX_HEAD - len(head)])
                self._reached[-1] = self._reached[-1]._replace(identity=identity, head=head)
            yield piece

    def _note(self, here: Reached) -> None:
        """Count, and record the position now and then. ``here`` counts from where this run began."""
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
    """What an interrupted import has of sent archives: their identities, and bytes from the start. Blocks."""
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
    """The places in a row or a note; none if it is damaged."""
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
    """A reader that has read the header from ``pieces`` and continues at ``offset``; None if that is impossible."""
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
