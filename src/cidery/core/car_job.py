"""Importing archives as a job: files of this machine go on after the last section that is known to be stored.

The place is noted twice: for every few batches in a note that a SIGKILL survives, and rarely in the job's row, after
the store was synced, for what comes after a power cut. So it is never ahead of the blocks.
"""

import asyncio
import hashlib
import json
import logging
import os
from collections.abc import AsyncIterable, AsyncIterator, Sequence

from cidery.blockstore.interface import BlockStore
from cidery.core.add_items import AddItem, CannotAdd
from cidery.core.car_import import CarStats, Reached, import_car, read_pieces
from cidery.core.jobs import JobRun
from cidery.errors import CideryError
from cidery.ipld.car_reader import BadCar, CarReader
from cidery.multiformats.varint import Buffer
from cidery.repo.volatile_note import VolatileNote, boot_identity

log = logging.getLogger("cidery.jobs")

CHECKPOINT = 64 << 20
"""Bytes between two places that are written to the row: the store syncs about as often anyway."""
HEAD_PIECE = 512
"""Bytes read at once up to the end of an archive's header."""


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
        self._places: list[Reached] = []
        if run.resumed and not again:
            self._places = _places(self._note_file.read()) or _places(run.last.detail.get("reached"))
        self._reached: list[Reached] = []  # of each archive so far
        self._base = Reached(0, 0, 0)
        self._last = Reached(0, 0, 0)
        self._saved = 0
        self._saving: asyncio.Task[None] | None = None
        self.skipped = False
        """Whether anything was taken from an earlier run."""

    def close(self) -> None:
        """Free the descriptor of the note."""
        self._note_file.close()

    async def archive(self, item: AddItem) -> None:
        """Import the next archive. Raises CannotAdd for a file that cannot be read, and as import_car()."""
        self._base = Reached(0, 0, 0)
        self._reached.append(self._base)
        try:
            stream, reader = _stream(item), None
            if item.path is not None:
                reader, start = await self._begin(item.path)
                stream = read_pieces(item.path, start)
            await import_car(stream, self._store, self.stats, reader=reader, reached=self._note)
        except OSError as exc:
            raise CannotAdd(item.path or "the archive", (exc.strerror or str(exc)).lower()) from exc
        finally:
            if self._saving is not None:
                await asyncio.wait([self._saving])
        self._reached[-1] = self._last

    async def _begin(self, path: str) -> tuple[CarReader | None, int]:
        """The reader for a file, and where to begin."""
        at = len(self._reached) - 1
        place = self._places[at] if at < len(self._places) else Reached(0, 0, 0)
        reader = await asyncio.to_thread(_reader_at, path, place.offset) if place.offset else None
        if reader is None:
            self._places = self._places[:at]
            return None, 0
        self.skipped = True
        self.stats.blocks += place.blocks
        self.stats.bytes += place.bytes
        self._reached[-1] = self._base = place
        self._saved = self.stats.bytes
        return reader, place.offset

    def _note(self, here: Reached) -> None:
        """Count, and have the place written now and then. ``here`` counts from where this run began."""
        run, base = self._run, self._base
        run.blocks, run.bytes = self.stats.blocks, self.stats.bytes
        run.tick()
        self._last = Reached(here.offset, base.blocks + here.blocks, base.bytes + here.bytes)
        try:
            self._note_file.write(json.dumps([*self._reached[:-1], self._last]).encode())
        except OSError as exc:
            log.warning("how far the import is could not be noted: %s", exc)
        if self.stats.bytes - self._saved >= CHECKPOINT and self._saving is None:
            self._saved = self.stats.bytes
            self._saving = asyncio.create_task(self._save(self._last))

    async def _save(self, here: Reached) -> None:
        try:
            await self._store.sync()
            self._reached[-1] = here
            await self._run.settle({"reached": [list(place) for place in self._reached]})
        except CideryError as exc:
            log.warning("how far the import is could not be written: %s", exc)
        finally:
            self._saving = None


def _places(found: object) -> list[Reached]:
    """What a row or a note says; nothing if it is damaged."""
    places: list[Reached] = []
    if isinstance(found, bytes):
        try:
            found = json.loads(found)
        except (ValueError, RecursionError):
            return []
    for one in found if isinstance(found, list) else []:
        match one:
            case [int(offset), int(blocks), int(size)] if min(one) >= 0:
                places.append(Reached(offset, blocks, size))
            case _:
                return []
    return places


def _reader_at(path: str, offset: int) -> CarReader | None:
    """A reader that has read the header and goes on at ``offset``; None if that cannot be. Blocks. Raises OSError."""
    reader = CarReader()
    try:
        with open(path, "rb", buffering=0) as file:
            while not reader.version:
                if not (piece := file.read(HEAD_PIECE)):
                    return None
                reader.receive_data(piece)
        reader.skip_to(offset)
    except BadCar:
        return None
    return reader


def _stream(item: AddItem) -> AsyncIterable[Buffer]:
    if item.stream is not None:
        return item.stream

    async def once() -> AsyncIterator[bytes]:
        yield item.data or b""

    return once()
