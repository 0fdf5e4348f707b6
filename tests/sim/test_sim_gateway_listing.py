"""Pages of directories that another node has: how many round trips they take, and what they know of their entries."""

import asyncio

import pytest

from cidery.blockstore.drive import run
from cidery.gateway import directory
from cidery.gateway.directory import FETCH_SECONDS
from cidery.gateway.origin import Origin
from cidery.gateway.unixfs_file import Serving
from cidery.http.message import Request, Response
from cidery.ipld.block import Block
from cidery.ipld.dag_pb import Link, encode
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import DAG_PB
from cidery.testing import Link as Line
from cidery.testing import Simulation, simulate
from cidery.testing.memory_node import MemoryNode
from cidery.unixfs.reader import read_node

ROUND_TRIP = 0.2
DIRECTORY = b"\x08\x01"


def file_node(text: bytes) -> Block:
    """A small file with its bytes inside."""
    data = encode([], b"\x08\x02\x12" + bytes([len(text)]) + text + b"\x18" + bytes([len(text)]))
    return Block(CID.of(data, DAG_PB), data)


def directory_of(children: list[Block]) -> Block:
    links = [Link(child.cid, f"{at:03}", len(child.data)) for at, child in enumerate(children)]
    data = encode(links, DIRECTORY)
    return Block(CID.of(data, DAG_PB), data)


async def page(node: MemoryNode, root: CID, method: str = "GET") -> Response:
    origin = Origin("ipfs", str(root), "", deserialized=True)
    request = Request(method, f"/ipfs/{root}/")
    async with node.session() as session:
        found = await run(read_node(root), session)
        return await directory.answer(request, origin, found, session, {}, None, Serving("", False, f'"{root}"'))


async def opened(network: Simulation, held: list[Block]) -> MemoryNode:
    owner, node = await network.start(2)
    network.set_link(owner, node, Line(latency=ROUND_TRIP / 2))
    await owner.put(held)
    await node.connect(owner)
    await asyncio.sleep(10)  # both know what the other speaks
    return node


@pytest.mark.parametrize(("count", "most"), [(200, 1), (100, 3)])
def test_a_page_takes_no_more_round_trips_than_what_it_shows_is_deep(count: int, most: int) -> None:
    children = [file_node(b"%d" % at) for at in range(count)]
    root = directory_of(children)

    async def main(network: Simulation) -> None:
        node = await opened(network, [*children, root])
        began = network.now
        answer = await page(node, root.cid)
        if not isinstance(answer.body, bytes):
            answer.body = b"".join([bytes(piece) async for piece in answer.body])
        assert answer.body.count(b"<tr>") == count
        assert network.now - began < (most + 0.5) * ROUND_TRIP, "a source is asked for all once its pace is known"

    simulate(main, seed=1)


def test_a_page_of_a_small_directory_knows_kinds_and_sizes_of_what_is_fetched_for_it() -> None:
    children = [file_node(b"x" * 77), directory_of([]), file_node(b"y" * 99)]
    root = directory_of(children)

    async def main(network: Simulation) -> None:
        body = (await page(await opened(network, [*children, root]), root.cid)).body
        assert isinstance(body, bytes)
        assert b"77 B" in body and b"99 B" in body and body.count(b'<i class="folder">') == 1

    simulate(main, seed=1)


def test_a_page_does_not_wait_long_for_entries_that_do_not_come() -> None:
    children = [file_node(b"x" * 77), file_node(b"missing"), file_node(b"y" * 99)]
    root = directory_of(children)

    async def main(network: Simulation) -> None:
        node = await opened(network, [children[0], children[2], root])
        began = network.now
        body = (await page(node, root.cid)).body
        assert isinstance(body, bytes) and b"77 B" in body and b"99 B" in body and body.count(b"<tr>") == 3
        assert network.now - began < FETCH_SECONDS + 2 * ROUND_TRIP
        began = network.now
        await page(node, root.cid, "HEAD")
        assert network.now - began < ROUND_TRIP

    simulate(main, seed=1)
