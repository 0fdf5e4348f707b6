"""The same methods with asyncio: many reads at once, and one that is given up."""

import asyncio

import cidery


async def main() -> None:
    async with cidery.Node("example-repo", profile="test") as node:
        cids = [await node.add(f"note {number}".encode()) for number in range(10)]
        notes = await asyncio.gather(*[node.read(cid) for cid in cids])
        print(notes[0].decode(), "...", notes[-1].decode())

        absent = cidery.cid_of(b"nobody has this")
        try:
            async with asyncio.timeout(0.5):
                await node.read(absent)
        except TimeoutError:
            print("not found in half a second, and nothing looks for it any more")
        except cidery.errors.NotFound as exc:
            print(exc)


if __name__ == "__main__":
    asyncio.run(main())
