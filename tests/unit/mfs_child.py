"""A process that writes mutable files until it is killed; prints each path once its file is acknowledged as flushed."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator

import cidery
from cidery.mfs.path import parse_file_path
from cidery.mfs.writing import Writing, write

FOLDERS = 3


def content(path: str) -> bytes:
    """What the file of a path holds: from one block to several."""
    return f"{path} ".encode() * (len(path) ** 2 * int(path[-1]) * 10 + 1)


async def _source(path: str) -> AsyncIterator[bytes]:
    yield content(path)


async def _write(node: cidery.Node, task: int, turn: int) -> None:
    number = 0
    async with node.api.session() as session:
        while True:
            path = f"/folder-{number % FOLDERS}/{turn}-{task}-{number}"
            durable = number % 4 == 3
            how = Writing(create=True, parents=True)
            await write(node.api.files, session, parse_file_path(path), _source(path), how, flush=durable)
            if durable:
                os.write(1, f"{path}\n".encode())
            number += 1


async def main(repo: str, turn: int) -> None:
    async with cidery.Node(repo, profile="test", offline=True) as node:
        os.write(1, b"ready\n")
        await asyncio.gather(*(_write(node, task, turn) for task in range(4)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
