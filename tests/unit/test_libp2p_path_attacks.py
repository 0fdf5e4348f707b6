"""Paths that are wrong, come from strangers, or end at a bad moment."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace

import pytest

from cidery.errors import CideryError
from cidery.libp2p.io import joining, paths, stream_transport, upgraded
from cidery.libp2p.io.layers import LayerTransport
from cidery.libp2p.io.stream import Stream
from cidery.libp2p.io.upgraded import LARGEST_BUFFER, UpgradedConnection
from cidery.libp2p.protocols.multistream import optimistic_opening
from cidery.libp2p.protocols.paths import ACCEPTED, MAX_AHEAD, PROTOCOL, TOKEN_SIZE, Join, PathError, record
from cidery.libp2p.protocols.upgrade import TLS, UpgradeConfig, upgrade_inbound
from path_nodes import COUNT, carried, echoed, make_loopback_long, only_with_info, two, until

pytestmark = only_with_info
OPENING = optimistic_opening(PROTOCOL)


@pytest.fixture(autouse=True)
def long_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    make_loopback_long(monkeypatch)


@asynccontextmanager
async def strangers(ours: UpgradedConnection, said: list[bytes]) -> AsyncIterator[list[asyncio.StreamReader]]:
    """More TCP connections to the listener, which say this."""
    assert ours.remote_addr is not None
    endpoint = ours.remote_addr.tcp_endpoint()
    assert endpoint is not None
    async with AsyncExitStack() as stack:
        readers = []
        for one in said:
            reader, writer = await asyncio.open_connection(*endpoint)
            stack.callback(writer.close)
            writer.write(one)
            readers.append(reader)
        yield readers


async def ended(reader: asyncio.StreamReader) -> None:
    async with asyncio.timeout(10):
        with suppress(ConnectionError):
            while await reader.read(1000):
                pass


def hold(connection: UpgradedConnection, *numbers: int) -> None:
    """Nothing of these paths comes until let() is called."""
    for number in numbers:
        path_of(connection, number).pause_reading()


def let(connection: UpgradedConnection, *numbers: int) -> None:
    for number in numbers:
        path_of(connection, number).resume_reading()


def path_of(connection: UpgradedConnection, number: int) -> asyncio.Transport:
    assert connection._paths is not None
    transport = connection._paths._paths[number]._transport
    assert transport is not None
    return transport


def collecting(connection: UpgradedConnection) -> bytearray:
    """What comes over any stream from now on."""
    got = bytearray()

    async def collect(stream: Stream) -> None:
        while data := await stream.read(1 << 16):
            got.extend(data)

    connection.config.handlers["/collect"] = collect  # type: ignore[index]
    return got


async def test_paths_of_nobody_take_bounded_places_and_leave_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "PATHS_ARRIVING", joining.PATHS_ARRIVING._replace(amount=6))
    async with two() as (ours, theirs):
        known = theirs.config.joining
        said = [OPENING, *(OPENING + os.urandom(TOKEN_SIZE) + b"\1" for _ in range(20))]
        async with strangers(ours, said) as readers:
            for reader in readers[:-6]:
                await ended(reader)
            assert len(known._early) == len(known._arriving) == 6
        await echoed(ours)
        await until(lambda: True)
    assert not known._early and not known._arriving


async def test_paths_of_nobody_end_with_the_node() -> None:
    async with AsyncExitStack() as outer, two() as (ours, theirs):
        said = [OPENING, OPENING + os.urandom(TOKEN_SIZE + 1)]
        readers = await outer.enter_async_context(strangers(ours, said))
        await until(lambda: len(theirs.config.joining._arriving) == len(theirs.config.joining._early) + 1 == 2)
        await asyncio.sleep(0)
        outer.push_async_callback(asyncio.gather, *map(ended, readers))


async def test_who_goes_on_before_it_was_accepted_is_no_path() -> None:
    async with two() as (ours, _), strangers(ours, [OPENING + Join(ours._token(), COUNT + 1).said + b"more"]) as (one,):
        await ended(one)
        assert not ours.closed.done()


async def test_who_has_seen_the_token_cannot_end_the_connection() -> None:
    async with two() as (ours, theirs):
        wrong = [OPENING + Join(ours._token(), number).said for number in (1, 1, 0, 255, COUNT)]
        async with strangers(ours, wrong) as readers:
            for reader in readers:
                await ended(reader)
        await echoed(ours)
        assert carried(theirs) == COUNT


async def test_a_path_that_comes_as_its_connection_ends_is_refused() -> None:
    async with two() as (ours, theirs):
        secret = theirs._token()
        ours.close()
        await theirs.closed
        assert theirs._paths is not None
        count = len(theirs._paths._paths)
        assert not theirs._take_path(Join(secret, COUNT + 1), path_of(theirs, 1))
        assert len(theirs._paths._paths) == count


async def test_silent_connections_of_a_host_end_before_those_that_have_begun_a_handshake() -> None:
    async with two() as (ours, theirs):
        async with strangers(ours, [b"\x13/multistream/1.0.0\n", *[b""] * 70]) as readers:
            await asyncio.wait(
                [asyncio.ensure_future(ended(reader)) for reader in readers], return_when="FIRST_COMPLETED"
            )
            await until(lambda: sum(reader.at_eof() for reader in readers) >= 7)
            assert not readers[0].at_eof()
        await echoed(theirs)


async def test_the_paths_that_a_node_opens_are_bounded_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "PATHS_DIALLED", paths.PATHS_DIALLED._replace(amount=2))
    async with two(bound=False) as (ours, theirs):
        await until(lambda: carried(ours) == carried(theirs) == 2)
        assert ours.config.joining.dialled == 2
        ours.close()
        await until(lambda: not ours.config.joining.dialled and not theirs.config.joining._count)


async def test_a_connection_that_has_ended_opens_no_paths() -> None:
    async with two() as (ours, _):
        ours.close()
        dialled: list[object] = []

        async def connect(make: object) -> paths.Path:
            dialled.append(make)
            raise OSError

        ours.open_paths(connect)
        await asyncio.sleep(0.01)
        assert not dialled


async def test_a_handshake_that_gives_no_token_is_dialled_without_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    def only_tls(config: UpgradeConfig) -> object:
        return upgrade_inbound(replace(config, security=(TLS,)))

    asked: list[float] = []

    def count(line: float) -> int:
        asked.append(line)
        return COUNT

    monkeypatch.setattr(upgraded, "paths_for", count)
    monkeypatch.setattr(stream_transport, "upgrade_or_join", only_tls)
    async with two(bound=False) as (ours, _):
        await echoed(ours)
        assert len(asked) == 1, "by Noise, which was refused"
        assert ours._paths is None
        await until(lambda: not ours.config.joining.dialled)


async def test_a_path_that_does_not_come_stops_the_others_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    async with two() as (ours, theirs):
        got = collecting(theirs)
        streams = [await ours.open_stream(["/collect"]) for _ in range(5)]
        hold(theirs, *range(1, COUNT + 1))
        await streams[0].write(bytes(10_000))
        await until(lambda: theirs._paths is not None and theirs._paths.order.waits)
        monkeypatch.setattr(upgraded, "SHORT_PIECE", 1 << 20)  # the connection itself carries the rest
        for stream in streams[1:]:
            await stream.write(bytes(200_000))
        await until(lambda: theirs._filled >= LARGEST_BUFFER - 64)
        let(theirs, *range(1, COUNT + 1))
        await until(lambda: len(got) == 810_000)
        assert not ours.closed.done() and not theirs.closed.done()


@pytest.mark.parametrize("late", range(1, COUNT + 1))
async def test_what_was_sent_before_the_end_comes_over_every_path(late: int) -> None:
    async with two() as (ours, theirs):
        got = collecting(theirs)
        stream = await ours.open_stream(["/collect"])
        hold(theirs, late)
        await stream.write(bytes(40_000))
        ours.close()
        await until(lambda: theirs._over or theirs._ending is not None)
        await asyncio.sleep(0.02)
        let(theirs, late)
        await until(lambda: len(got) == 40_000)
        await asyncio.wait_for(theirs.closed, 5)
        assert theirs._ending is not None and theirs._ending.cancelled()


async def test_what_is_said_last_does_not_wait_for_paths_that_are_full() -> None:
    async with two() as (ours, theirs):
        got = collecting(theirs)
        stream = await ours.open_stream(["/collect"])
        assert ours._paths is not None
        for path in ours._paths._paths.values():
            path.full = True
        await stream.write(bytes(50_000))
        ours.close()
        await until(lambda: len(got) == 50_000)


async def test_what_waits_for_its_turn_counts_as_held() -> None:
    async with two() as (ours, theirs):
        await echoed(ours)
        assert theirs._paths is not None and not theirs.held()
        theirs._paths.order.received(COUNT, memoryview(bytes(20_000)))
        assert theirs.held() == 20_000


async def test_where_little_may_be_read_what_is_next_is_read_first() -> None:
    async with two() as (ours, theirs):
        got, most = collecting(theirs), 0
        stream = await ours.open_stream(["/collect"])
        traffic = theirs.config.traffic
        traffic.unlimited = False
        traffic.down.change(800_000.0, traffic.clock())
        sending = asyncio.create_task(stream.write(bytes(600_000)))
        while len(got) < 600_000:
            await asyncio.sleep(0.005)
            most = max(most, theirs._paths.order.held if theirs._paths else 0)
        await sending
        assert most <= COUNT * 2 * paths.PATH_BUFFER


async def test_nothing_waits_for_paths_that_have_ended() -> None:
    async with two() as (ours, theirs):
        ours.close()
        await until(lambda: not theirs.config.joining._count and not ours.config.joining.dialled)
        loop = asyncio.get_running_loop()
        waiting = [timer for timer in getattr(loop, "_scheduled", []) if not timer.cancelled()]
        assert not [timer for timer in waiting if "abort" in repr(timer)]
        assert not theirs.config.joining._connections


async def test_a_peer_that_accepts_a_path_before_it_was_told_whose_it_is_gets_none() -> None:
    async with two() as (ours, _):
        assert ours._paths is not None
        path = paths.Path(COUNT + 1, ours._paths)
        path.counted = False

        writers: list[asyncio.StreamWriter] = []

        async def speaks(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writers.append(writer)
            writer.write(OPENING + ACCEPTED)

        server = await asyncio.start_server(speaks, "127.0.0.1", 0)
        await asyncio.get_running_loop().create_connection(lambda: path, *server.sockets[0].getsockname()[:2])
        await until(lambda: not path.is_open)
        with pytest.raises(CideryError):
            path.begin(bytes(TOKEN_SIZE))
        for writer in writers:
            writer.close()
        server.close()
        await echoed(ours)


async def test_a_path_that_ends_before_its_bytes_came_ends_the_connection() -> None:
    async with two() as (ours, theirs):
        assert ours._transport is not None
        ours._transport.write(record(1, 100))
        await until(lambda: theirs._paths is not None and theirs._paths.order.waits)
        path_of(ours, 1).close()
        await theirs.closed
        assert "a path of it has ended" in str(theirs._failure)


async def test_bytes_of_which_nothing_is_said_are_read_up_to_a_bound() -> None:
    async with two() as (ours, theirs):
        path_of(ours, 2).write(bytes(8 << 20))
        await until(lambda: theirs.held() >= MAX_AHEAD)
        await asyncio.sleep(0.05)
        assert theirs.held() < MAX_AHEAD + paths.PATH_BUFFER
        await asyncio.wait_for(theirs_goes_on(theirs), 5)


async def theirs_goes_on(theirs: UpgradedConnection) -> None:
    stream = await theirs.open_stream(["/echo"])
    await stream.write(b"short")
    assert await stream.read(10) == b"short"


async def test_a_piece_that_ends_within_a_message_ends_the_connection() -> None:
    async with two() as (ours, theirs):
        assert ours._transport is not None
        path_of(ours, 1).write(b"\1\0" + bytes(98))
        ours._transport.write(record(1, 100))
        await theirs.closed
        assert isinstance(theirs._failure, PathError)


async def test_a_path_is_a_plain_connection() -> None:
    async with two() as (ours, theirs):
        with pytest.raises(PathError):
            theirs._is_path(LayerTransport(path_of(theirs, 1)), b"")
        await echoed(ours)


@pytest.mark.parametrize(
    "listen, key",
    [("/ip4/127.0.0.1/tcp/0/ws", None), ("/ip4/127.0.0.1/tcp/0", bytes(32))],
    ids=["websocket", "private"],
)
async def test_what_is_no_plain_connection_has_no_paths(
    listen: str, key: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []

    def count(line: float) -> int:
        asked.append(line)
        return COUNT

    monkeypatch.setattr(upgraded, "paths_for", count)
    async with two(bound=False, listen=listen, swarm_key=key) as (ours, _):
        await echoed(ours)
        assert not asked and not ours.config.joining.dialled


async def test_who_waits_until_all_has_left_is_told_by_a_path_that_has_room_again() -> None:
    async with two() as (ours, _):
        assert ours._paths is not None
        every = list(ours._paths._paths.values())
        for path in every:
            path.pause_writing()
        waiting = asyncio.create_task(ours.has_sent())
        await asyncio.sleep(0.01)
        assert not waiting.done()
        every[2].resume_writing()
        await asyncio.wait_for(waiting, 5)


async def test_paths_that_are_still_being_dialled_end_with_their_connection() -> None:
    async with two() as (ours, _):
        assert ours._paths is not None

        async def never(_: object) -> paths.Path:
            return await asyncio.get_running_loop().create_future()

        ours._paths.open(2, never, ours.upgraded, ours._token)
        await asyncio.sleep(0)
        assert ours.config.joining.dialled == COUNT + 2
        ours.close()
        await until(lambda: not ours.config.joining.dialled)
