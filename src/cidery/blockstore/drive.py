"""Runs walks over any source of blocks without holding the event loop for long."""

from collections.abc import AsyncGenerator, Sequence
from typing import Any, Protocol, TypeVar

from cidery.errors import NotFound
from cidery.ipld.walk import Need, Prefetch, Walk
from cidery.multiformats.cid import CID
from cidery.waiting import loop_clock, turn

SLICE = 0.005
"""Longest run of a walk between two turns of the event loop, in seconds, when no block has to be awaited."""

T = TypeVar("T")
R = TypeVar("R")


class BlockReader(Protocol):
    """The source of blocks; see core.session.BlockSession for the methods."""

    def get_if_ready(self, cid: CID) -> bytes | memoryview | None: ...

    async def get(self, cid: CID) -> bytes | memoryview: ...

    def prefetch(self, cids: Sequence[CID]) -> None: ...


async def drive(walk: Walk[T, Any], blocks: BlockReader, *, partial: bool = False) -> AsyncGenerator[T, None]:
    """Yield the results of ``walk``, with its needs met by ``blocks``.

    Args:
        partial: a need that the source cannot meet (NotFound) is answered with None, and nothing is fetched ahead.
    Raises as the walk and ``blocks``. Cancellation: safe; the walk is closed. The loop gets a turn at
    least every SLICE seconds plus one step of the walk.
    """
    clock = loop_clock()
    until = clock() + SLICE
    answer: bytes | memoryview | None = None
    try:
        while True:
            try:
                step = walk.send(answer)
            except StopIteration:
                return
            answer = None
            if isinstance(step, Need):
                answer = blocks.get_if_ready(step.cid)
                if answer is None:
                    try:
                        answer = await blocks.get(step.cid)
                    except NotFound:
                        if not partial:
                            raise
                    until = clock() + SLICE
            elif isinstance(step, Prefetch):
                if not partial:
                    blocks.prefetch(step.cids)
            else:
                yield step
            if clock() >= until:
                await turn()
                until = clock() + SLICE
    finally:
        walk.close()


async def run(walk: Walk[T, R], blocks: BlockReader, yielded: list[T] | None = None) -> R:
    """Run a walk for its return value; its results on the way are put into ``yielded``, or dropped.

    Raises and cancels as drive().
    """
    until = 0.0  # set at the first look at the clock: most walks here are a step or two
    clock = loop_clock()
    answer: bytes | memoryview | None = None
    steps = 0
    try:
        while True:
            try:
                step = walk.send(answer)
            except StopIteration as stop:
                returned: R = stop.value
                return returned
            answer = None
            if isinstance(step, Need):
                answer = blocks.get_if_ready(step.cid)
                if answer is None:
                    answer = await blocks.get(step.cid)
                    steps = 0
            elif isinstance(step, Prefetch):
                blocks.prefetch(step.cids)
            elif yielded is not None:
                yielded.append(step)
            steps += 1
            if steps == 1:
                until = clock() + SLICE
            elif clock() >= until:
                await turn()
                steps = 0
    finally:
        walk.close()
