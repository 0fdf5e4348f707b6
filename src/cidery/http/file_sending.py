"""Parts of files as pieces of a body: from the system's cache to the socket, without a copy in this process.

Measured for 1 GiB in parts of 1 MiB: 0.07 CPU seconds, where reading and writing them takes 0.25.
"""

from __future__ import annotations

import asyncio
import os
import sys

from cidery.disk.file_part import FileEnded, FilePart
from cidery.http.patience import WRITE_SECONDS, too_slow

CAN_SEND = sys.platform == "linux"
"""Elsewhere ``sendfile`` is absent, or does not say how much it sent before it had to wait."""


class FileSender:
    """Sends parts of files for one body. Close it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._socket = -1

    async def send(self, part: FilePart, transport: asyncio.Transport) -> None:
        """Give all bytes to the system, behind what was written to ``transport``, whose own buffer must be empty.

        Raises ConnectionError, TimeoutError, FileEnded. Cancellation, which has to come when the connection ends: some
        bytes were sent.
        """
        if self._socket < 0:
            # a descriptor of its own: an event loop does not watch those of its transports for others
            self._socket = os.dup(transport.get_extra_info("socket").fileno())
        offset, left, ends = part.offset, part.size, 0.0
        while left:
            try:
                sent = os.sendfile(self._socket, part.fd, offset, left)
            except BlockingIOError:
                ends = ends or self._loop.time() + WRITE_SECONDS
                await self._until_writable(ends)
                continue
            if not sent:
                raise FileEnded(f"a file ends {left} bytes early")
            offset += sent
            left -= sent

    async def _until_writable(self, ends: float) -> None:
        """``ends``: of the time for all of a part: while it is sent, its file may not change. Raises TimeoutError."""
        if self._loop.time() >= ends:
            raise TimeoutError
        writable: asyncio.Future[None] = self._loop.create_future()
        timer = self._loop.call_at(ends, too_slow, writable)
        self._loop.add_writer(self._socket, _ready, writable)
        try:
            await writable
        finally:
            self._loop.remove_writer(self._socket)
            timer.cancel()

    def close(self) -> None:
        """Idempotent."""
        if self._socket >= 0:
            os.close(self._socket)
            self._socket = -1


def _ready(writable: asyncio.Future[None]) -> None:
    if not writable.done():
        writable.set_result(None)
