"""A get through a Client goes on where it was stopped."""

import asyncio
import os
from pathlib import Path

import pytest

import cidery
from cidery.client.getting import RECORDS
from cidery.errors import NotFound
from cidery.methods.results import GetProgress
from cidery.rpc.listen import listen


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "folder"
    made.mkdir()
    for name in ("a", "b", "c"):
        (made / name).write_bytes(os.urandom(12_000_000))
    return made


async def test_what_is_there_is_not_sent_again(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "saved"
    async with cidery.Node(tmp_path / "repo", profile="test", offline=True) as node:
        cid = await node.add(folder)
        async with listen(node.api, node.api.config.api, {}, node.path / "api", lambda: None) as addrs:
            client = cidery.Client(str(addrs[0]))
            stop = asyncio.Event()

            def progress(step: GetProgress) -> None:
                if step.bytes > 14_000_000:
                    stop.set()

            getting = asyncio.create_task(client.get(cid, target, progress=progress))
            await stop.wait()
            getting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await getting
            assert (tmp_path / RECORDS).is_dir()
            first = (target / "a").stat()
            await client.get(cid, target)
            assert (target / "a").stat().st_ctime_ns == first.st_ctime_ns, "it was not written again"
            assert all((target / name).read_bytes() == (folder / name).read_bytes() for name in ("a", "b", "c"))
            assert not (tmp_path / RECORDS).exists()
            assert sorted(path.name for path in target.iterdir()) == ["a", "b", "c"]
            with pytest.raises(NotFound):
                await client.get(f"{cid}/absent", tmp_path / "other")
            assert not (tmp_path / RECORDS).exists() and not (tmp_path / "other").exists()
