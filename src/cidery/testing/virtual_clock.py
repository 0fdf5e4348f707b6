"""An asyncio event loop whose clock jumps to the next timer whenever nothing is ready: hours pass in milliseconds.

    result = run_virtual(main())          # loop.time() starts at 0 and only ever jumps

Everything that waits by the loop's own timers (sleep, timeout, call_later) works unchanged. Work for threads runs
directly on the loop, so a run depends on nothing but its inputs: the same seed gives the same trace. Sockets and
subprocesses do not belong here; a wait that nothing can end raises Deadlock instead of hanging.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from cidery.errors import LocalProtocolError

T = TypeVar("T")

POLL_EVERY = 256
"""Turns of the loop between two looks at its only socket, with which it wakes itself: a call of the system each."""


class Deadlock(LocalProtocolError):
    """Every task waits, and no timer is set that could wake one."""

    def __str__(self) -> str:
        return "deadlock: every task waits and no timer is set; see which future nobody completes"


class _JumpingSelector(selectors.SelectSelector):
    """Polls and, where it would block, advances the clock instead."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self._turns = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._turns += 1
        if (timeout is None or self._turns % POLL_EVERY == 0) and (ready := super().select(0)):
            return ready
        if timeout is None:
            raise Deadlock()
        self.now += max(0.0, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """See the module's text. ``time()`` is seconds since the loop was created."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now

    def run_in_executor(  # type: ignore[override]
        self, executor: object, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """Run ``func`` now: threads would bring back real time."""
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as exc:  # noqa: BLE001 - an executor hands every error to its caller
            future.set_exception(exc)
        return future


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """Run ``main`` to its end on a new VirtualLoop, as asyncio.run() does on a real one."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
