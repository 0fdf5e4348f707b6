"""How long a client may take for what it has to do, before its connection ends."""

import asyncio

HEAD_SECONDS = 30.0
"""Longest time for the head of a request, from its first byte."""
IDLE_SECONDS = 300.0
"""How long an idle connection is kept, in seconds."""
LINGER_SECONDS = 10.0
"""How long the rest of a body is read after its answer, so that the client can read the answer, in seconds."""
WRITE_SECONDS = 60.0
"""Longest wait for a client to take the next piece: one that reads nothing must not hold a session for ever."""


def too_slow(writable: asyncio.Future[None]) -> None:
    """For a timer: end a wait for a client with TimeoutError."""
    if not writable.done():
        writable.set_exception(TimeoutError())
