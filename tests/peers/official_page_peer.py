"""A node that serves a given build of ipfs-webui as the official page: python official_page_peer.py REPO FOLDER

Prints a line when it serves, and ends with its input.
"""

import asyncio
import sys
from pathlib import Path

import cidery
from cidery.node.official_page import official_page
from cidery.rpc.listen import listen


async def main(repo: Path, built: Path) -> None:
    async with cidery.Node(repo, profile="test") as node:
        official = official_page(node.api, (str(await node.add(built, pin=False)),))
        api, config = node.api, node.api.config
        async with listen(api, config.api, config.api_headers, repo / "api", lambda: None, official=official):
            print("ready", flush=True)
            await asyncio.to_thread(sys.stdin.read)


asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
