"""What makes figures of a virtual machine comparable."""

from __future__ import annotations

import mmap


def warm_memory(mib: int) -> None:
    """Touch ``mib`` MiB of memory and free it, right before a run.

    A host takes back memory that its guest leaves free; touching it again then costs some 4 ms per MiB (measured:
    page cache writes fall from 3,200 to 230 MiB/s), which would drown what is to be measured. Every run of every
    contestant is preceded by this.
    """
    with mmap.mmap(-1, mib << 20) as area:
        page = b"\1" * mmap.PAGESIZE
        for at in range(0, mib << 20, mmap.PAGESIZE):
            area[at : at + mmap.PAGESIZE] = page
