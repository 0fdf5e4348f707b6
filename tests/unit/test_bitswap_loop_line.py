import asyncio

import pytest

from cidery.bitswap.loop_line import BYTES_AT_A_TIME, SLICE, LoopLine, Place

WORK = SLICE / 2
"""Seconds that reading one message takes here."""
SIZE = BYTES_AT_A_TIME // 2


class Bench:
    """A line, a clock that only work moves, and the turn of the loop in which each message was read."""

    def __init__(self) -> None:
        self.now = 0.0
        self.line = LoopLine(lambda: self.now)
        self.turn = 0
        self.read: list[tuple[str, int]] = []

    async def count(self) -> None:
        while True:
            await asyncio.sleep(0)
            self.turn += 1

    async def message(self, name: str, place: Place, size: int = SIZE) -> None:
        await self.line.enter(place, size)
        self.now += WORK
        self.read.append((name, self.turn))


def run(work) -> Bench:
    async def main() -> Bench:
        bench = Bench()
        counting = asyncio.create_task(bench.count())
        async with asyncio.timeout(10):
            await work(bench)
        counting.cancel()
        return bench

    return asyncio.run(main())


def test_one_turn_of_the_loop_reads_a_slice_and_the_rest_waits_in_line() -> None:
    async def work(bench: Bench) -> None:
        await asyncio.gather(*[bench.message(str(at), Place()) for at in range(100)])

    bench = run(work)
    assert [name for name, _ in bench.read] == [str(at) for at in range(100)], "first come, first read"
    at_a_time = [sum(turn == one for _, turn in bench.read) for one in range(bench.turn + 1)]
    assert max(at_a_time) <= 4 and bench.turn < 80, at_a_time
    assert not len(bench.line)


def test_a_line_that_is_empty_costs_no_turn() -> None:
    async def work(bench: Bench) -> None:
        for _ in range(3):
            await bench.message("alone", Place())
            assert bench.read[-1][1] == bench.turn
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    run(work)


def test_who_sends_little_is_not_behind_those_that_send_much() -> None:
    async def work(bench: Bench) -> None:
        place = Place()
        flood = [bench.message("much", place) for _ in range(50)]
        await asyncio.gather(*flood, bench.message("little", Place(), 100))

    bench = run(work)
    assert [name for name, _ in bench.read].index("little") < 6


def test_a_message_longer_than_a_slice_is_read_by_itself() -> None:
    async def work(bench: Bench) -> None:
        await asyncio.gather(*[bench.message(str(at), Place(), 10 * BYTES_AT_A_TIME) for at in range(10)])

    bench = run(work)
    late = [turn for _, turn in bench.read[3:]]
    assert len(set(late)) == len(late)


@pytest.mark.parametrize("ended", [1, 40])
def test_those_that_end_while_they_wait_hold_up_nobody(ended: int) -> None:
    async def work(bench: Bench) -> None:
        tasks = [asyncio.create_task(bench.message(str(at), Place())) for at in range(50)]
        await asyncio.sleep(0)
        waited = len(bench.line)
        assert waited >= 45
        for task in tasks[-ended:]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    bench = run(work)
    assert len(bench.read) == 50 - ended and not len(bench.line)
