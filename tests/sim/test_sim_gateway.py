"""Pages through a gateway whose content is far away, in virtual time: what they cost in round trips."""

import asyncio
import random

from cidery.core.api import Api
from cidery.exchange.terms import EAGER, Terms
from cidery.gateway.options import GatewayOptions
from cidery.gateway.site import Site
from cidery.http.message import Request
from cidery.ipld import dag_pb
from cidery.ipld.block import Block
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import DAG_PB
from cidery.testing.memory_network import Link, MemoryNetwork
from cidery.testing.memory_node import MemoryNode, memory_nodes
from cidery.testing.virtual_clock import run_virtual
from cidery.unixfs.data import NodeType, UnixFSData

FILES = 200
ROUND_TRIP = 0.2
LONG = Link(ROUND_TRIP / 2, bandwidth=12_500_000)
"""100 Mbit/s."""


class NodeApi(Api):
    """As much of a connected node as the gateway asks for content by CID."""

    def __init__(self, node: MemoryNode) -> None:
        self._node = node

    def offline(self) -> Api:
        raise AssertionError("nothing is asked of a node without its network")

    def admitted(self, path):  # type: ignore[no-untyped-def]
        return path

    @property
    def store(self):  # type: ignore[no-untyped-def]
        return self._node.store

    served = blocks = store

    @property
    def denylists(self) -> None:
        return None

    def session(self, *, kept: bool = False, name: str = "", terms: Terms = EAGER):  # type: ignore[no-untyped-def]
        return self._node.network.session(kept=kept, terms=terms)


def site_blocks(seed: int) -> tuple[CID, list[Block], dict[str, bytes]]:
    """A page, and small files in a folder beside it: depth 3."""
    chance = random.Random(seed)
    files = {f"{number}.js": chance.randbytes(chance.randrange(100, 5000)) for number in range(FILES)}
    leaves = {name: Block(CID.of(data), data) for name, data in files.items()}
    folder = directory({name: leaf.cid for name, leaf in leaves.items()})
    index = Block(CID.of(b"<p>page"), b"<p>page")
    root = directory({"index.html": index.cid, "js": folder.cid})
    return root.cid, [*leaves.values(), folder, index, root], files


def directory(entries: dict[str, CID]) -> Block:
    links = [dag_pb.Link(cid, name, 1000) for name, cid in sorted(entries.items())]
    data = dag_pb.encode(links, UnixFSData(NodeType.DIRECTORY).encode())
    return Block(CID.of(data, DAG_PB), data)


def test_a_page_of_many_small_files_costs_no_more_round_trips_than_its_depth() -> None:
    root, blocks, files = site_blocks(seed=3)

    async def main() -> None:
        network = MemoryNetwork(seed=7, default=LONG)
        clock = asyncio.get_running_loop().time
        async with memory_nodes(network, 2) as (owner, gateway):
            await owner.put(blocks)
            await gateway.connect(owner)
            site = Site(NodeApi(gateway), GatewayOptions(fetches=True, no_dnslink=True, hosts={}))

            async def get(path: str) -> bytes:
                answer = await site.handle(Request("GET", path, {}))
                assert answer.status == 200
                if isinstance(answer.body, bytes):
                    return answer.body
                return b"".join([bytes(piece) async for piece in answer.body])

            began = clock()
            assert await get(f"/ipfs/{root}/") == b"<p>page"
            page = clock()
            got = await asyncio.gather(*(get(f"/ipfs/{root}/js/{name}") for name in files))
            assert got == list(files.values())
            assert page - began < 2.5 * ROUND_TRIP, "the folder, then its page"
            assert clock() - page < 2.5 * ROUND_TRIP, "the folder of the files, then all of them"

    run_virtual(main())
