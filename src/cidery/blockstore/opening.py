"""Opening the store for writing: the one writer's lock, recovery, and the segments that have room."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from cidery.blockstore.database_check import InUse, fault_of, is_too_short
from cidery.blockstore.delete_log import DeleteLog
from cidery.blockstore.index import BLOCKS_TABLE, Index
from cidery.blockstore.index_records import LOCATION_SIZE
from cidery.blockstore.open_segments import OpenSegments
from cidery.blockstore.places import BLOCKS_DIR, INDEX_DIR
from cidery.blockstore.read_check import ReadCheck
from cidery.blockstore.recovery import Recovered
from cidery.blockstore.write_errors import write_error
from cidery.blockstore.writer import SegmentWriter
from cidery.disk.file_locks import lock_file, unlock_file
from cidery.disk.lmdb_environment import DatabaseDamaged
from cidery.disk.platform_io import FileLayer, refuse_network_filesystem

WRITER_LOCK = "writer.lock"


class Opened(NamedTuple):
    """The parts of a store opened for writing."""

    segments: OpenSegments
    block_index: Index
    writer: SegmentWriter
    lock: int
    """Descriptor of the writer's lock."""
    recovered: Recovered
    check: ReadCheck


def open_writer(
    root: Path,
    files: FileLayer,
    segment_bytes: int,
    map_size: int,
    prepare: Callable[[Path, FileLayer, Index, DeleteLog], Recovered],
    *,
    hash_on_read: bool = False,
) -> Opened:
    """Raises as SegmentStore.open()."""
    directory = root / BLOCKS_DIR
    refuse_network_filesystem(root)
    with ExitStack() as undo:
        try:
            directory.mkdir(parents=True, exist_ok=True)
            lock = lock_file(directory / WRITER_LOCK)
            undo.callback(unlock_file, lock)
            in_use = InUse(root / INDEX_DIR)
            unclean = in_use.is_set()
            in_use.set()  # before it is mapped, which may kill this process
            index = _open_index(root / INDEX_DIR, files, map_size, unclean=unclean)
            in_use.set()  # the directory may not have existed before
            undo.callback(index.close)
            log = DeleteLog(directory, files)
            undo.callback(log.close)
            recovered = prepare(directory, files, index, log)
            segments = OpenSegments(directory, files, writable=True)
            whole = [segments.get(number) for number in _last_whole(recovered.ends, segment_bytes)]
        except OSError as exc:
            raise write_error(exc) from exc
        writer = SegmentWriter(segments, index, log, next_segment=recovered.next_segment, segment_bytes=segment_bytes)
        check = writer.check = ReadCheck(writer.next_ordinal, always=hash_on_read)
        for segment in whole:
            writer.resume(segment, recovered.ends[segment.number])
        undo.pop_all()
    return Opened(segments, index, writer, lock, recovered, check)


def _last_whole(ends: dict[int, int], segment_bytes: int) -> list[int]:
    """The newest segment of each class, if it has room: appending continues there."""
    newest = (max((number for number in ends if number % 2 == odd), default=-1) for odd in (0, 1))
    return [number for number in newest if number >= 0 and ends[number] < segment_bytes]


def _open_index(path: Path, files: FileLayer, map_size: int, *, unclean: bool) -> Index:
    """The index; if it is damaged, a new, empty one replaces it, which recovery fills from the segments.

    ``unclean``: the last writer did not close it, so it is checked before it is mapped.
    """
    file = path / "data.mdb"
    reason = fault_of(path, BLOCKS_TABLE, LOCATION_SIZE) if unclean or is_too_short(file) else ""
    if not reason:
        try:
            return Index(path, files, map_size=map_size)
        except DatabaseDamaged as exc:
            reason = exc.reason
    import logging  # seldom needed, and slow to import

    logging.getLogger("cidery.store").warning(
        "the index of the block store is damaged (%s): it is made anew from the segments, which takes a while", reason
    )
    file.unlink()
    return Index(path, files, map_size=map_size)
