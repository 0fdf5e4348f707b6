"""Disks that are full, read-only or failing: a clear error, and all that was acknowledged stays."""

import asyncio
import errno
import os
from pathlib import Path

import pytest

from cidery.blockstore.interface import Durability
from cidery.blockstore.places import segment_name
from cidery.blockstore.segment_file import SEGMENT_HEADER
from cidery.blockstore.segments import SegmentStore
from cidery.blockstore.write_errors import DiskFull, StoreFailed, StoreReadOnly
from cidery.disk.lmdb_environment import DatabaseUnavailable
from cidery.disk.platform_io import (
    NetworkFilesystem,
    OsFiles,
    filesystem_kind,
    kind_in_mountinfo,
    refuse_network_filesystem,
)
from cidery.testing.blockstore_contract import block

VISIBLE, DURABLE = Durability.VISIBLE, Durability.DURABLE


class LimitedFiles(OsFiles):
    """A disk with room for so many bytes, which then fails as told."""

    def __init__(self, room: int = 1 << 40) -> None:
        self.room = room
        self.errno = errno.ENOSPC
        self.fail_sync = False
        self.fail_truncate = False

    def write(self, fd, parts, offset):
        size = sum(map(len, parts))
        if size > self.room:
            # As a real disk does: part of it is written, then the call fails.
            super().write(fd, [b"".join(parts)[: self.room]], offset)
            self.room = 0
            raise OSError(self.errno, os.strerror(self.errno))
        self.room -= size
        super().write(fd, parts, offset)

    def truncate(self, fd, size):
        if self.fail_truncate:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        super().truncate(fd, size)

    def sync(self, fd, point):
        if self.fail_sync:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        super().sync(fd, point)


def segment_size(root: Path) -> int:
    return (root / "blocks" / segment_name(0)).stat().st_size


@pytest.mark.parametrize("fail_truncate", [False, True])
async def test_a_full_disk_is_an_error_and_loses_nothing(tmp_path, fail_truncate):
    files = LimitedFiles()
    store = SegmentStore.open(tmp_path, files=files)
    await store.put_many([block(b"before")], kept=True, durability=DURABLE)
    size = segment_size(tmp_path)
    files.room, files.fail_truncate = 100, fail_truncate
    for durability in (VISIBLE, DURABLE):
        with pytest.raises(DiskFull, match="no space left for blocks .* free space and try again"):
            await store.put_many([block(b"x" * 1000)], kept=True, durability=durability)
        files.fail_truncate, files.room = False, 0
    assert await store.get_many([block(b"before").cid, block(b"x" * 1000).cid]) == [b"before", None]
    if not fail_truncate:
        assert segment_size(tmp_path) == size
    files.room = 1 << 20
    await store.put_many([block(b"after")], kept=True, durability=DURABLE)
    await store.close()
    again = SegmentStore.open(tmp_path)
    assert again.recovered.truncated_bytes == (100 if fail_truncate else 0)
    assert await again.get_many([block(b"before").cid, block(b"after").cid]) == [b"before", b"after"]
    assert (await again.stat()).blocks == 2
    await again.close()


async def test_blocks_before_the_one_that_did_not_fit_stay_readable(tmp_path):
    files = LimitedFiles()
    store = SegmentStore.open(tmp_path, files=files, segment_bytes=600)
    files.room = 600
    with pytest.raises(DiskFull):
        store.put_many_blocking([block(b"%d" % i * 400) for i in range(3)], kept=True)
    await store.sync()
    assert await store.get_many([block(b"%d" % i * 400).cid for i in range(3)]) == [b"0" * 400, None, None]
    await store.close()


async def test_no_room_for_a_new_segment_is_an_error_too(tmp_path):
    files = LimitedFiles(room=len(SEGMENT_HEADER) - 1)
    store = SegmentStore.open(tmp_path, files=files)
    with pytest.raises(DiskFull):
        await store.put_many([block(b"x")], kept=True, durability=DURABLE)
    files.room = 1000
    await store.put_many([block(b"x")], kept=True, durability=DURABLE)
    await store.close()
    again = SegmentStore.open(tmp_path)
    assert await again.get_many([block(b"x").cid]) == [b"x"]
    await again.close()


async def test_a_file_size_limit_of_the_process_counts_as_full(tmp_path):
    files = LimitedFiles(room=200)
    files.errno = errno.EFBIG
    store = SegmentStore.open(tmp_path, files=files)
    with pytest.raises(DiskFull):
        await store.put_many([block(b"x" * 500)], kept=True, durability=DURABLE)
    await store.close()


async def test_a_disk_that_became_read_only_says_so(tmp_path):
    files = LimitedFiles(room=200)
    files.errno = errno.EROFS
    store = SegmentStore.open(tmp_path, files=files)
    with pytest.raises(StoreReadOnly, match="cannot be written: Read-only file system"):
        await store.put_many([block(b"x" * 500)], kept=True, durability=DURABLE)
    await store.close()


async def test_after_a_failed_sync_nothing_is_acknowledged_until_the_store_is_opened_again(tmp_path):
    files = LimitedFiles()
    store = SegmentStore.open(tmp_path, files=files)
    await store.put_many([block(b"safe")], kept=True, durability=DURABLE)
    files.fail_sync = True
    with pytest.raises(StoreFailed, match="check the disk and restart"):
        await store.put_many([block(b"doubtful")], kept=True, durability=DURABLE)
    files.fail_sync = False
    for attempt in (store.put_many([block(b"more")], kept=True, durability=VISIBLE), store.sync()):
        with pytest.raises(StoreFailed):
            await attempt
    assert await store.get_many([block(b"safe").cid]) == [b"safe"]
    await store.close()
    again = SegmentStore.open(tmp_path)
    assert await again.get_many([block(b"safe").cid]) == [b"safe"]
    await again.put_many([block(b"more")], kept=True, durability=DURABLE)
    await again.close()


async def test_a_failed_commit_is_reported_and_made_good_by_the_next(tmp_path, monkeypatch):
    store = SegmentStore.open(tmp_path)
    real = store._index.commit

    def fail(change):
        raise DatabaseUnavailable(tmp_path, "block index", "no space")

    monkeypatch.setattr(store._index, "commit", fail)
    with pytest.raises(DatabaseUnavailable, match="no space; free space"):
        await store.put_many([block(b"x")], kept=True, durability=DURABLE)
    assert await store.get_many([block(b"x").cid]) == [b"x"], "it is in the segment, and read from there"
    monkeypatch.setattr(store._index, "commit", real)
    await store.sync()
    await store.close()
    again = SegmentStore.open(tmp_path)
    assert again.recovered.adopted_blocks == 0
    assert await again.get_many([block(b"x").cid]) == [b"x"]
    await again.close()


async def test_a_failed_delete_deletes_nothing(tmp_path):
    files = LimitedFiles()
    store = SegmentStore.open(tmp_path, files=files)
    await store.put_many([block(b"stay")], kept=True, durability=DURABLE)
    files.room = 10
    with pytest.raises(DiskFull):
        await store.delete_many([block(b"stay").cid])
    assert await store.get_many([block(b"stay").cid]) == [b"stay"]
    files.room = 1000
    assert await store.delete_many([block(b"stay").cid]) == [True]
    await store.close()


async def test_a_put_that_is_cancelled_leaves_the_store_working(tmp_path):
    store = SegmentStore.open(tmp_path)
    tasks = [
        asyncio.ensure_future(store.put_many([block(b"%d" % i)], kept=True, durability=DURABLE)) for i in range(20)
    ]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert await store.get_many([block(b"%d" % i).cid for i in range(1, 20, 2)]) == [b"%d" % i for i in range(1, 20, 2)]
    await store.close()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
async def test_a_directory_without_permission_is_refused(tmp_path):
    (tmp_path / "blocks").mkdir(mode=0o500)
    with pytest.raises(StoreReadOnly):
        SegmentStore.open(tmp_path)


MOUNTS = """21 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 21 0:50 / /home/me/far\\040away rw shared:1 - nfs4 server:/export rw
31 30 254:1 / /home/me/far\\040away/near rw - xfs /dev/vdb rw
broken line
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/me", "ext4"),
        ("/home/me/far away", "nfs4"),
        ("/home/me/far away/repo/blocks", "nfs4"),
        ("/home/me/far away/near/repo", "xfs"),
        ("/home/me/far awayish", "ext4"),
    ],
)
def test_the_innermost_mount_decides_the_file_system(path, kind):
    assert kind_in_mountinfo(MOUNTS, Path(path)) == kind


def test_a_network_file_system_is_refused_with_advice(tmp_path, monkeypatch):
    monkeypatch.setattr("cidery.disk.platform_io.filesystem_kind", lambda path: "nfs4")
    with pytest.raises(NetworkFilesystem, match=r"network file system \(nfs4\).*use a local disk"):
        refuse_network_filesystem(tmp_path)
    monkeypatch.undo()
    assert filesystem_kind(tmp_path) not in ("nfs", "nfs4")


def test_a_short_write_is_finished_or_raises(tmp_path, monkeypatch):
    import cidery.disk.platform_io as platform_io

    files = OsFiles()
    fd = files.open(tmp_path / "f", write=True, create=True)
    real = platform_io._write_at
    monkeypatch.setattr(platform_io, "_write_at", lambda fd, parts, offset: real(fd, [bytes(parts[0][:3])], offset))
    files.write(fd, [b"abcde", b"", memoryview(b"fghijk")], 2)
    assert files.read(fd, 100, 2) == b"abcdefghijk"
    monkeypatch.setattr(platform_io, "_write_at", lambda fd, parts, offset: 0)
    with pytest.raises(OSError, match="No space left"):
        files.write(fd, [b"x"], 0)
    files.close(fd)
