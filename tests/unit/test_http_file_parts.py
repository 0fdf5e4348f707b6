"""Parts of files in answers: the bytes that a client gets, in order with others, and what ends with the connection."""

import asyncio
import os
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import pytest

from cidery.disk.file_part import FileEnded, FilePart
from cidery.http.file_sending import CAN_SEND, FileSender
from cidery.http.message import Piece, Request, Response, bytes_of
from cidery.http.patience import WRITE_SECONDS
from cidery.http.server import HttpServer
from cidery.node.daemon import loop_factory

DATA = os.urandom(5_000_000)
Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Pieces = Callable[[FilePart], AsyncGenerator[Piece, None]]

pytestmark = pytest.mark.skipif(not CAN_SEND, reason="this system does not send parts of files")


@pytest.fixture
def file(tmp_path: Path) -> Iterator[BinaryIO]:
    (tmp_path / "data").write_bytes(DATA)
    with (tmp_path / "data").open("rb") as opened:
        yield opened


@pytest.fixture(params=["of the daemon", "of asyncio"])
def run(request: pytest.FixtureRequest) -> Iterator[Callable[[Coroutine[None, None, None]], None]]:
    with asyncio.Runner(loop_factory=loop_factory() if request.param == "of the daemon" else None) as runner:
        yield runner.run


@asynccontextmanager
async def serving(file: BinaryIO, pieces: Pieces, length: int | None) -> AsyncIterator[Pair]:
    """A connection to a server of such bodies."""
    whole = FilePart(file.fileno(), 0, len(DATA))

    async def handler(request: Request) -> Response:
        assert request.takes_files
        return Response(200, {}, pieces(whole), length)

    server = HttpServer(handler, most=4, name="test", clock=lambda: 0.0)
    try:
        pair = await asyncio.open_connection("127.0.0.1", await server.listen("127.0.0.1", 0))
        yield pair
        pair[1].close()
    finally:
        await server.close(0.1)


async def ask(pair: Pair, times: int = 1) -> None:
    pair[1].write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * times)
    await pair[1].drain()


async def body(pair: Pair, length: int) -> bytes:
    head = await pair[0].readuntil(b"\r\n\r\n")
    assert b"Content-Length: %d\r\n" % length in head
    return await pair[0].readexactly(length)


def test_a_part_is_framed_where_the_length_is_not_known(
    file: BinaryIO, run: Callable[[Coroutine[None, None, None]], None]
) -> None:
    async def main() -> None:
        async with serving(file, mixed, None) as pair:
            await ask(pair)
            head = await pair[0].readuntil(b"\r\n\r\n")
            assert b"Transfer-Encoding: chunked" in head
            got = b""
            while size := int(await pair[0].readline(), 16):
                got += await pair[0].readexactly(size)
                await pair[0].readline()
            assert got == DATA

    run(main())


async def mixed(whole: FilePart) -> AsyncGenerator[Piece, None]:
    yield whole[:700_000]
    yield DATA[700_000:700_010]
    yield whole[700_010:4_000_000]
    yield whole[4_000_000:4_000_000]
    yield DATA[4_000_000:4_999_000]
    yield whole[4_999_000:]


def test_parts_of_files_and_other_pieces_come_in_order_also_when_requests_are_pipelined(
    file: BinaryIO, run: Callable[[Coroutine[None, None, None]], None]
) -> None:
    async def main() -> None:
        async with serving(file, mixed, len(DATA)) as pair:
            await ask(pair, times=3)
            for _ in range(3):
                assert await body(pair, len(DATA)) == DATA

    run(main())


def test_a_client_that_leaves_in_a_part_ends_the_body(
    file: BinaryIO, run: Callable[[Coroutine[None, None, None]], None]
) -> None:
    async def main() -> None:
        closed = asyncio.Event()

        async def endless(whole: FilePart) -> AsyncGenerator[Piece, None]:
            try:
                while True:
                    yield whole
            finally:
                closed.set()

        open_after = []
        for _ in range(2):  # an event loop opens some for itself at first
            closed.clear()
            async with serving(file, endless, 1 << 40) as pair:
                await ask(pair)
                await pair[0].readexactly(100_000)
                pair[1].transport.abort()
                async with asyncio.timeout(5):
                    await closed.wait()
            for _ in range(10):
                await asyncio.sleep(0)  # transports close their sockets in later turns
            open_after.append(len(os.listdir("/proc/self/fd")))
        assert open_after[0] == open_after[1]

    run(main())


def test_a_client_that_reads_nothing_is_given_up(
    file: BinaryIO, run: Callable[[Coroutine[None, None, None]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cidery.http.file_sending.WRITE_SECONDS", 0.05)

    async def main() -> None:
        closed = asyncio.Event()

        async def endless(whole: FilePart) -> AsyncGenerator[Piece, None]:
            async with aclosing(mixed(whole)):
                try:
                    while True:
                        yield whole
                finally:
                    closed.set()

        async with serving(file, endless, 1 << 40) as pair:
            reading: socket.socket = pair[1].get_extra_info("socket")
            assert reading.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
            pair[1].transport.pause_reading()  # type: ignore[attr-defined]  # a transport of both directions
            await ask(pair)
            async with asyncio.timeout(5):
                await closed.wait()

    run(main())


class LateLoop:
    """A loop in which each wait for a socket takes 40 seconds more than it does; a peer reads what it was sent then."""

    def __init__(self, peer: socket.socket) -> None:
        self._loop = asyncio.get_running_loop()
        self._peer = peer
        self.late = 0.0

    def time(self) -> float:
        return self._loop.time() + self.late

    def call_at(self, when: float, callback: Callable[..., None], *args: object) -> asyncio.TimerHandle:
        return self._loop.call_at(when - self.late, callback, *args)

    def create_future(self) -> asyncio.Future[None]:
        return self._loop.create_future()

    def add_writer(self, fd: int, callback: Callable[..., None], *args: object) -> None:
        self._loop.add_writer(fd, callback, *args)
        with suppress(BlockingIOError):
            while self._peer.recv(1 << 20):
                pass
        self.late += 40.0

    def remove_writer(self, fd: int) -> bool:
        return self._loop.remove_writer(fd)


def test_a_part_has_one_time_however_often_its_client_reads_a_little(
    file: BinaryIO, run: Callable[[Coroutine[None, None, None]], None]
) -> None:
    async def main() -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            theirs.setblocking(False)
            loop = LateLoop(theirs)
            sender = FileSender(loop)  # type: ignore[arg-type]  # as much of one as it uses
            try:
                with pytest.raises(TimeoutError):
                    await sender.send(FilePart(file.fileno(), 0, len(DATA)), SocketOnly(ours))  # type: ignore[arg-type]
            finally:
                sender.close()
            assert loop.late == 80.0, f"two waits of 40 s, and {WRITE_SECONDS:g} s are over"

    run(main())


class SocketOnly:
    """What a sender needs of a transport that has written everything."""

    def __init__(self, one: socket.socket) -> None:
        self._one = one

    def get_extra_info(self, name: str) -> socket.socket:
        assert name == "socket"
        return self._one


def test_a_file_that_ends_early_breaks_the_connection(
    file: BinaryIO, run: Callable[[Coroutine[None, None, None]], None]
) -> None:
    async def beyond(whole: FilePart) -> AsyncGenerator[Piece, None]:
        yield FilePart(whole.fd, 0, len(DATA) + 10)

    async def main() -> None:
        async with serving(file, beyond, len(DATA) + 10) as pair:
            await ask(pair)
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await body(pair, len(DATA) + 10)

    run(main())


def test_a_part_is_sliced_as_bytes_are_and_can_be_read(file: BinaryIO) -> None:
    whole = FilePart(file.fileno(), 0, len(DATA))
    for start, stop in ((0, 10), (5, None), (None, 7), (4_999_990, 6_000_000), (6_000_000, 7_000_000), (9, 3)):
        part = whole[start:stop]
        assert bytes_of(part) == DATA[start:stop] and len(part) == len(DATA[start:stop])
        assert bytes_of(part[2:4]) == DATA[start:stop][2:4]
    with pytest.raises(ValueError, match="gaps"):
        whole[::2]
    with pytest.raises(FileEnded):
        FilePart(file.fileno(), len(DATA) - 1, 2).read()
