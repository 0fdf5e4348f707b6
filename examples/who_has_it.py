"""Announce content in a DHT, and search it for who has it. Here the whole DHT is three nodes of this process."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import cidery


async def dht_node(path: str, stack: AsyncExitStack) -> cidery.Node:
    """A node that also answers for the DHT; the setting holds from the second opening on."""
    if not Path(path).exists():
        async with cidery.Node(path, profile="test", offline=True) as made:
            await made.config.set("Routing.Type", "dhtserver")
    return await stack.enter_async_context(cidery.Node(path))


async def main() -> None:
    async with AsyncExitStack() as stack:
        owner, middle, reader = [await dht_node(f"{name}-repo", stack) for name in ("owner", "middle", "reader")]
        (address, *_) = (await middle.id()).addresses
        for node in (owner, reader):
            await node.swarm.connect(address)

        cid = await owner.add(b"hard to find\n")
        print("peers that took the record:", await owner.routing.provide(cid))
        async for provider in reader.routing.find_providers(cid, count=1):
            print("it is the owner:", provider.id == await owner.peer_id())
        print((await reader.read(cid)).decode(), end="")  # the reader was never told the owner's address


if __name__ == "__main__":
    asyncio.run(main())
