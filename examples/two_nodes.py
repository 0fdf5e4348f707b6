"""Two nodes in one process: one shares a folder, the other gets it over libp2p."""

import asyncio
from pathlib import Path

import cidery


async def main() -> None:
    folder = Path("to-share")
    folder.mkdir(exist_ok=True)
    for number in range(20):
        (folder / f"{number}.txt").write_text(f"file {number}\n" * 1000)

    async with cidery.Node("owner-repo", profile="test") as owner, cidery.Node("reader-repo", profile="test") as reader:
        cid = await owner.add(folder)
        (address, *_) = (await owner.id()).addresses
        await reader.swarm.connect(address)

        await reader.get(cid, "received")
        stat = await reader.stats.bitswap()
        print(f"{len(list(Path('received').iterdir()))} files, {stat.blocks_received} blocks over the wire")
        print((await reader.why(cid)).summary)


if __name__ == "__main__":
    asyncio.run(main())
