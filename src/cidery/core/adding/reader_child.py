"""The inside of a ReaderProcess (reader_process.py): reads and hashes small files until its input ends."""

import marshal
import pickle
import sys

from cidery.core.adding.ingest import Ingest, Metadata
from cidery.core.adding.reader_process import frame, read_frame


def serve() -> None:
    """Answer jobs on standard input with leaves on standard output."""
    source, out = sys.stdin.buffer, sys.stdout.buffer
    try:
        profile, (preserve_mode, preserve_mtime), (mode, mtime) = pickle.loads(read_frame(source))
        ingest = Ingest(profile, None, Metadata(preserve_mode, preserve_mtime, mode, mtime))
        out.write(b"R")
        out.flush()
        while True:
            racy_from, paths = marshal.loads(read_frame(source))
            entries: list[bytes] = []
            leaves = [ingest.small_file(path, follow, racy_from, entries) for path, follow in paths]
            out.write(frame(marshal.dumps(([leaf and tuple(leaf) for leaf in leaves], b"".join(entries)))))
            out.flush()
    except (EOFError, BrokenPipeError):
        return
