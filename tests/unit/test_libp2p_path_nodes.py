"""Whole nodes with paths below their connections, on the loopback, which counts as long here."""

import asyncio

import pytest

from cidery.libp2p.io import joining, long_line, paths, stream_transport
from cidery.libp2p.io.paths import PIECE
from cidery.libp2p.io.upgraded import UpgradedConnection
from cidery.libp2p.protocols.muxed_stream import StreamReset
from cidery.libp2p.protocols.upgrade import upgrade_inbound
from path_nodes import COUNT, SIZE, carried, echoed, make_loopback_long, only_with_info, two, until

pytestmark = only_with_info


@pytest.fixture(autouse=True)
def long_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    make_loopback_long(monkeypatch)


def sent_over(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The paths that pieces are sent over, from now on."""
    seen: list[int] = []
    write = paths.Path.write

    def noted(path: paths.Path, piece: memoryview) -> None:
        seen.append(path.number)
        write(path, piece)

    monkeypatch.setattr(paths.Path, "write", noted)
    return seen


@pytest.mark.parametrize("dialler", [True, False], ids=["dialler", "listener"])
async def test_what_is_long_goes_over_all_paths_in_both_directions_and_comes_whole(
    dialler: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = sent_over(monkeypatch)
    async with two() as (ours, theirs):
        await echoed(ours if dialler else theirs)
        assert set(over) == set(range(1, COUNT + 1))
        assert len(over) >= 2 * SIZE / PIECE * 0.9, "the connection itself carries only what is short"


async def test_what_is_short_goes_over_the_connection_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    over = sent_over(monkeypatch)
    async with two() as (ours, _):
        for _ in range(20):
            await echoed(ours, 100)
        assert not over


async def test_a_line_that_turns_out_to_be_short_needs_no_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    over = sent_over(monkeypatch)
    async with two() as (ours, theirs):
        monkeypatch.setattr(long_line, "SHORT_ROUND_TRIP", 0.5)
        await until(lambda: not any(one._paths is not None and one._paths.line.is_long for one in (ours, theirs)))
        await echoed(ours)
        assert not over


async def test_paths_are_no_connections_of_their_own() -> None:
    async with two() as (ours, theirs):
        await until(lambda: ours.config.joining._count == 0 and theirs.config.joining._count == COUNT)
        assert not ours.closed.done() and not theirs.closed.done()
    assert theirs.config.joining._count == 0, "none is left when the connection has ended"


async def test_a_connection_ends_with_one_of_its_paths() -> None:
    async with two() as (ours, theirs):
        stream = await ours.open_stream(["/echo"])
        assert theirs._paths is not None
        transport = theirs._paths._paths[2]._transport
        assert transport is not None
        transport.abort()
        await asyncio.wait_for(asyncio.gather(ours.closed, theirs.closed), 5)
        with pytest.raises(StreamReset):
            await stream.read(1)


async def test_a_peer_that_knows_no_paths_is_connected_without_any(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_transport, "upgrade_or_join", upgrade_inbound)
    async with two(bound=False) as (ours, theirs):
        paths = ours._paths
        assert paths is not None
        await until(lambda: not paths._tasks and not paths._paths)
        await echoed(ours)
        await echoed(theirs)


async def test_a_path_with_a_token_of_nobody_is_closed_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "EARLY_SECONDS", 0.05)
    monkeypatch.setattr(UpgradedConnection, "_token", lambda _: bytes(32))
    async with two(bound=False) as (ours, theirs):
        early = theirs.config.joining._early
        await until(lambda: sum(map(len, early.values())) == COUNT)
        await until(lambda: ours._paths is not None and not ours._paths._paths)
        assert not early and not carried(theirs)
        await echoed(ours)
        await echoed(theirs)


async def test_more_paths_than_all_may_have_are_refused_and_the_connection_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(joining, "PATHS_IN_ALL", joining.PATHS_IN_ALL._replace(amount=2))
    async with two(bound=False) as (ours, theirs):
        await until(lambda: ours._paths is not None and not ours._paths._tasks and len(ours._paths._paths) == 2)
        assert carried(theirs) == 2
        await echoed(ours)
        await echoed(theirs)


async def test_a_path_that_came_before_its_connection_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    expect = joining.Joining.expect

    def late(self: joining.Joining, *args: object) -> None:
        asyncio.get_running_loop().call_later(0.05, expect, self, *args)

    monkeypatch.setattr(joining.Joining, "expect", late)
    async with two() as (ours, _):
        await echoed(ours)


def test_all_paths_join_and_carry_on_the_loop_of_uvloop_too() -> None:
    uvloop = pytest.importorskip("uvloop")

    async def main() -> None:
        async with two() as (ours, theirs):
            await echoed(ours)
            await echoed(theirs)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
