"""Opening the store for writing: the one writer's lock, recovery, and the segments that have room."""

import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from cidery.blockstore.delete_log import DeleteLog
from cidery.blockstore.index import Index
from cidery.blockstore.index_records import IndexDamaged
from cidery.blockstore.lmdb_environment import DatabaseDamaged
from cidery.blockstore.open_segments import OpenSegments
from cidery.blockstore.places import BLOCKS_DIR, INDEX_DIR
from cidery.blockstore.platform_io import FileLayer, lock_file, refuse_network_filesystem
from cidery.blockstore.recovery import Recovered, rebuild
from cidery.blockstore.write_errors import write_error
from cidery.blockstore.writer import SegmentWriter

WRITER_LOCK = "writer.lock"


class Opened(NamedTuple):
    """The parts of a store that may be written to."""

    segments: OpenSegments
    block_index: Index
    writer: SegmentWriter
    lock: int
    """Descriptor of the writer's lock."""
    recovered: Recovered


def open_writer(
    root: Path,
    files: FileLayer,
    segment_bytes: int,
    map_size: int,
    prepare: Callable[[Path, FileLayer, Index, DeleteLog], Recovered],
) -> Opened:
    """Raises as SegmentStore.open(). ``prepare``: recover or rebuild; a damaged index is thrown away for a rebuild."""
    directory = root / BLOCKS_DIR
    refuse_network_filesystem(root)
    with ExitStack() as undo:
        try:
            directory.mkdir(parents=True, exist_ok=True)
            lock = lock_file(directory / WRITER_LOCK)
            undo.callback(os.close, lock)
            index = _open_index(root / INDEX_DIR, files, map_size, discard_damaged=prepare is rebuild)
            undo.callback(index.close)
            log = DeleteLog(directory, files)
            undo.callback(log.close)
            recovered = prepare(directory, files, index, log)
            segments = OpenSegments(directory, files, writable=True)
            whole = [segments.get(number) for number in _last_whole(recovered.ends, segment_bytes)]
        except OSError as exc:
            raise write_error(exc) from exc
        writer = SegmentWriter(segments, index, log, next_segment=recovered.next_segment, segment_bytes=segment_bytes)
        for segment in whole:
            writer.resume(segment, recovered.ends[segment.number])
        undo.pop_all()
    return Opened(segments, index, writer, lock, recovered)


def _last_whole(ends: dict[int, int], segment_bytes: int) -> list[int]:
    """The newest segment of each class, if it has room: appending goes on there."""
    newest = (max((number for number in ends if number % 2 == odd), default=-1) for odd in (0, 1))
    return [number for number in newest if number >= 0 and ends[number] < segment_bytes]


def _open_index(path: Path, files: FileLayer, map_size: int, *, discard_damaged: bool) -> Index:
    try:
        return Index(path, files, map_size=map_size)
    except (IndexDamaged, DatabaseDamaged):
        if not discard_damaged:
            raise
    (path / "data.mdb").unlink()
    return Index(path, files, map_size=map_size)
