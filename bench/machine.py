"""What makes figures of a virtual machine comparable."""

from __future__ import annotations

import os
import tempfile

CHUNK = 1 << 20


def warm_memory(mib: int) -> None:
    """Write ``mib`` MiB of file and drop it, right before a run, so that the page cache's memory has been touched.

    A host takes back memory that its guest leaves free; touching it again then costs some 4 ms per MiB (measured:
    writes to the page cache fall from 3,200 to 230 MiB/s), which would drown what is to be measured. Every run of
    every contestant is preceded by this.
    """
    data = os.urandom(CHUNK)
    with tempfile.TemporaryFile(dir=os.environ.get("CIDERY_BENCH_DIR")) as file:
        for _ in range(mib):
            file.write(data)
        file.flush()
