"""A disk with no byte left, and one that cannot be written: real ones, mounted in a namespace of the test's own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cidery.blockstore.segments import rebuild_index
from cidery.core.keeping.budget import evict_over
from cidery.disk.hole_punching import disk_bytes, punch_hole
from cidery.repo.config import DEFAULT_CID_PROFILE, new_raw, parse_config
from cidery.repo.lock import RepoLock, RepoNotWritable
from cidery.repo.pins import Pin
from cidery.repo.reserve import FULL_BYTES, LARGE_BYTES, Reserve
from gc_repo import Repo, leaf, node

NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount"]
FULL = """
import asyncio, os, subprocess, sys
from pathlib import Path
import cidery

MOUNT = Path(sys.argv[1])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=70m", "none", str(MOUNT)], check=True)

async def main():
    async with cidery.Node(MOUNT / "repo", profile="test", offline=True) as node:
        kept = await node.add(b"kept" * 1000)
        roots = [await node.add(os.urandom(1_000_000)) for _ in range(35)]
    assert (MOUNT / "repo" / "blocks" / "reserve").exists(), "without a collection before"
    async with cidery.Node(MOUNT / "repo", offline=True) as node:
        try:
            while True:
                roots.append(await node.add(os.urandom(1_000_000)))
        except cidery.errors.Unavailable:
            pass
    with open(MOUNT / "filler", "wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                continue
        except OSError:
            pass
    assert os.statvfs(MOUNT).f_bfree == 0
    async with cidery.Node(MOUNT / "repo", offline=True) as node:
        await node.api.pins.remove(roots[1::2])
        async for _ in node.api.collector.garbage():
            continue
        free = os.statvfs(MOUNT).f_bfree * os.statvfs(MOUNT).f_bsize
        free += (8 << 20) * (MOUNT / "repo" / "blocks" / "reserve").exists()
        assert free > len(roots[1::2]) * 900_000, free
        for root in (kept, *roots[::2]):
            assert len(b"".join([bytes(part) async for part in node.cat(root)])) in (4000, 1_000_000)
        assert not [fault async for step in node.api.store.verify() for fault in step.faults]
    async with cidery.Node(MOUNT / "repo", offline=True) as node:
        await node.add(os.urandom(3_000_000))
    print("done")

asyncio.run(main())
"""


def in_namespace(tmp_path: Path, script: str) -> "subprocess.CompletedProcess[str]":
    mount = tmp_path / "mount"
    mount.mkdir()
    try:
        able = subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode == 0
    except OSError:
        able = False
    if not able:
        pytest.skip("this machine allows no namespaces")
    command = [*NAMESPACE, sys.executable, "-c", script, str(mount)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_a_disk_without_a_byte_left_is_freed_by_removing_pins_and_collecting(tmp_path: Path) -> None:
    done = in_namespace(tmp_path, FULL)
    assert done.stdout.split() == ["done"], done.stderr
    assert "too full to copy" in done.stderr


READ_ONLY = """
import subprocess, sys
from cidery.cli.main import main

mount = sys.argv[1]
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "none", mount], check=True)
import os
os.environ["CIDERY_PATH"] = mount + "/repo"
with open(mount + "/file", "w") as file:
    file.write("content")
assert main(["init", "--profile=test"]) == 0 and main(["add", "-q", mount + "/file"]) == 0
subprocess.run(["mount", "-o", "remount,ro", mount], check=True)
root = "bafkreihnoabliopjvscf6irvpwbcxlauirzq7pnwafwt5skdekl3t3e7om"
for line in ("add " + mount + "/file", "pin add " + root, "repo gc", "key gen k", "files mkdir /a", "daemon"):
    print(line.split()[0], main(line.split()), flush=True)
print("cat", main(["cat", root]), flush=True)
"""


def test_a_read_only_file_system_is_one_clear_line_and_reading_works(tmp_path: Path) -> None:
    done = in_namespace(tmp_path, READ_ONLY)
    lines = [line for line in done.stderr.splitlines() if line.startswith("Error")]
    assert len(lines) == 6, done.stderr
    assert all("cannot be written: read-only file system" in line and "a bug" not in line for line in lines)


def test_a_lock_without_the_right_to_write_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("cidery.repo.lock.lock_file", refused)
    with pytest.raises(RepoNotWritable, match="permission denied.*cat, get, ls"):
        RepoLock.acquire(tmp_path / "repo.lock", "cidery add")


def test_a_hole_gives_space_back_and_keeps_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 65536)
    with path.open("rb+") as file:
        before = disk_bytes(file.fileno())
        if not punch_hole(file.fileno(), 8192, 32768):
            pytest.skip("this file system has no holes")
        assert disk_bytes(file.fileno()) <= before - 32768
    assert path.read_bytes() == b"x" * 8192 + bytes(32768) + b"x" * 24576


async def test_what_is_punched_is_garbage_only_and_a_rebuild_finds_the_rest(tmp_path: Path) -> None:
    repo = Repo(tmp_path, segment_bytes=1 << 24)
    blocks = [leaf(n, 40_000) for n in range(30)]
    root = node(*blocks[::2])
    await repo.put(*blocks, root)
    await repo.pins.add(Pin(root.cid, True))
    await repo.store.sync()
    collector = repo.store.collector()
    with collector.holding():
        doomed = collector.doom(
            [item for page in collector.pages() for item in page if item[0] in {b.cid.multihash for b in blocks[1::2]}],
            lambda ordinal: False,
        )
        assert doomed is not None
        collector.bury(doomed)
    (use,) = collector.segments()
    freed = collector.punch(use)
    assert freed >= 15 * 32_000
    assert collector.punch(use) == 0  # there is nothing more
    assert all(repo.has(block) == (n % 2 == 0) for n, block in enumerate(blocks)) and repo.has(root)
    await repo.put(blocks[1])
    await repo.close()
    rebuild_index(tmp_path)
    again = Repo(tmp_path, segment_bytes=1 << 24)
    assert await again.store.get_many([block.cid for block in blocks[::2]]) == [block.data for block in blocks[::2]]
    assert again.has(blocks[1]) and not again.has(blocks[3])
    await again.collect()
    assert all(again.has(block) for block in blocks[::2])
    await again.close()


def test_the_reserve_goes_when_hardly_anything_else_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reserve = Reserve(tmp_path)
    assert reserve.keep()
    reserve.release_if_full()
    assert (tmp_path / "reserve").exists()

    class Usage:
        free = FULL_BYTES - 1

    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage)
    reserve.release_if_full()
    assert not (tmp_path / "reserve").exists()


def test_there_is_a_reserve_once_the_blocks_are_many_times_as_large(tmp_path: Path) -> None:
    segment = tmp_path / "000000.car"
    for size, kept in ((LARGE_BYTES - 1, False), (LARGE_BYTES, True)):
        with segment.open("wb") as file:
            file.truncate(size)
        Reserve(tmp_path).keep_if_large()
        assert (tmp_path / "reserve").exists() == kept


async def test_a_daemon_that_has_not_stopped_yet_makes_the_reserve_while_it_looks_after_its_budget(
    tmp_path: Path,
) -> None:
    repo = Repo(tmp_path)
    config = parse_config(new_raw(os.urandom, cid_profile=DEFAULT_CID_PROFILE, profiles=[]))
    for size in (1 << 20, LARGE_BYTES):
        await repo.put(leaf(size, 1 << 20))
        with (repo.store.directory / "000099.car").open("wb") as file:
            file.truncate(size)
        await evict_over(repo.collector, config)
        assert (repo.store.directory / "reserve").exists() == (size == LARGE_BYTES)
    await repo.close()
