"""Synchronizes new roots with a sweep's decisions: no root is acknowledged during one, and none is overlooked.

Code that makes something reachable (a pin, an operation, the root of the mutable files) writes its record and then
reports it to the fence, in the state's writer thread. A collector marks the reported roots, and decides about a batch
of blocks only inside holding(), when nothing is left to mark.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from cidery.multiformats.cid import CID


class RootFence:
    """Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._listening = False
        self._fresh: list[CID] = []

    def told(self, roots: Sequence[CID]) -> None:
        """These are roots from now on; their records are written. Waits while a batch is decided (milliseconds)."""
        with self._lock:
            if self._listening:
                self._fresh += roots

    def listen(self) -> None:
        """A collection begins: record roots from here on. Earlier roots are in their tables."""
        with self._lock:
            self._listening, self._fresh = True, []

    def stop(self) -> None:
        """The collection has finished."""
        with self._lock:
            self._listening, self._fresh = False, []

    def take(self) -> list[CID]:
        """Roots reported since the last call."""
        with self._lock:
            fresh, self._fresh = self._fresh, []
            return fresh

    @contextmanager
    def holding(self) -> Iterator[None]:
        """No root is reported inside the context; roots reported before can be taken in it."""
        with self._lock:
            yield

    @property
    def quiet(self) -> bool:
        """Whether no reported root waits to be taken."""
        return not self._fresh
