"""A CAR stream as it comes: only blocks of the DAG that was asked for, each checked; HTTP over streams, both sides."""

import asyncio
import random

import pytest

from cidery.blockstore.memory import MemoryStore
from cidery.core.adding.add import AddOptions, add_root
from cidery.core.car.exporting import export_car
from cidery.core.session import StoreSession
from cidery.ipld.block import Block
from cidery.ipld.car import encode_header, encode_section_head
from cidery.multiformats.cid import CID
from cidery.retrieval.dag_stream import BadStream, DagStream
from cidery.retrieval.stream_http import BadHttp, fetch
from cidery.unixfs.profile import UNIXFS_V1_2025, with_options

SMALL = AddOptions(with_options(UNIXFS_V1_2025, chunker="size-4096"))


async def archive(size: int) -> tuple[CID, bytes]:
    store = MemoryStore()
    root = await add_root([random.Random(1).randbytes(size)], store, SMALL)
    return root, b"".join([bytes(piece) async for piece in export_car([root], StoreSession(store))])


def take(stream: DagStream, data: bytes) -> list[Block]:
    blocks = stream.receive_data(data)
    stream.verify(blocks)
    for block in blocks:
        list(stream.accept(block))
    return blocks


def section(cid: CID, data: bytes) -> bytes:
    return encode_section_head(cid, len(data)) + data


async def test_a_stream_gives_its_blocks_however_it_is_cut() -> None:
    root, car = await archive(100_000)
    whole = take(DagStream(root), car)
    assert whole[0].cid == root and len(whole) == 26
    stream, chance, at, found = DagStream(root), random.Random(2), 0, []
    while at < len(car):
        size = chance.randint(1, 3000)
        found += take(stream, car[at : at + size])
        at += size
    stream.receive_eof()
    assert [block.cid for block in found] == [block.cid for block in whole]


async def test_a_block_that_hashes_to_something_else_is_refused() -> None:
    root, car = await archive(20_000)
    with pytest.raises(BadStream, match="do not match"):
        take(DagStream(root), car[:-1] + bytes([car[-1] ^ 1]))


async def test_blocks_that_nothing_leads_to_are_refused() -> None:
    root, car = await archive(20_000)
    stranger = b"not asked for"
    with pytest.raises(BadStream, match="not below the root"):
        take(DagStream(root), car + section(CID.of(stranger), stranger))
    with pytest.raises(BadStream, match="not below the root"):
        take(DagStream(CID.of(b"another root")), car)


async def test_a_stream_that_ends_in_the_middle_is_refused() -> None:
    root, car = await archive(20_000)
    for cut in (0, 5, len(car) - 1):
        stream = DagStream(root)
        take(stream, car[:cut])
        with pytest.raises(BadStream):
            stream.receive_eof()


async def test_any_bytes_give_blocks_or_the_streams_own_error() -> None:
    root, car = await archive(20_000)
    chance = random.Random(3)
    for _ in range(300):
        broken = bytearray(car)
        for _ in range(chance.randint(1, 5)):
            broken[chance.randrange(len(broken))] ^= 1 << chance.randrange(8)
        stream = DagStream(root)
        try:
            take(stream, bytes(broken[: chance.randrange(len(broken))]))
            stream.receive_eof()
        except BadStream:
            continue


def test_a_root_without_links_is_a_stream_of_one() -> None:
    data = b"alone"
    cid = CID.of(data)
    stream = DagStream(cid)
    assert [block.cid for block in take(stream, encode_header([cid]) + section(cid, data))] == [cid]
    stream.receive_eof()


class Scripted:
    """The other end of a stream: gives these bytes, a few at a time."""

    def __init__(self, data: bytes, step: int = 7) -> None:
        self.data = data
        self.step = step
        self.sent = b""

    async def read(self, limit: int) -> bytes:
        await asyncio.sleep(0)
        piece, self.data = self.data[: min(limit, self.step)], self.data[min(limit, self.step) :]
        return piece

    async def write(self, *data: object) -> None:
        self.sent += b"".join(bytes(piece) for piece in data)  # type: ignore[call-overload]


async def body_of(answer: bytes) -> tuple[int, bytes]:
    stream = Scripted(answer)
    status, body = await fetch(stream, "peer", "/ipfs/x?format=car", "text/plain")
    assert stream.sent.startswith(b"GET /ipfs/x?format=car HTTP/1.1\r\nHost: peer\r\nAccept: text/plain\r\n")
    return status, b"".join([piece async for piece in body])


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello",
    ],
)
async def test_answers_in_all_forms_are_read(answer: bytes) -> None:
    assert await body_of(answer) == (200, b"hello")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
    ],
)
async def test_answers_that_make_no_sense_are_refused(answer: bytes) -> None:
    with pytest.raises(BadHttp):
        await body_of(answer)
