"""The segment store in several processes: a writer killed at random moments, and readers beside a writer."""

import os
import random
import selectors
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from store_child import MAP, SEGMENT, made

from cidery.blockstore.interface import Durability
from cidery.blockstore.segments import SegmentStore
from cidery.blockstore.write_errors import StoreReadOnly
from cidery.disk.lmdb_environment import DatabaseMissing
from cidery.testing.blockstore_contract import block

KILLS = 50
CHILD = Path(__file__).with_name("store_child.py")


def start(*arguments: object, **pipes: int) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, str(CHILD), *map(str, arguments)], stdout=subprocess.PIPE, **pipes)


def killed_after(child: "subprocess.Popen[bytes]", lines: int, delay: float) -> list[int]:
    """Kill the writer ``delay`` seconds after ``lines`` acknowledged batches; the numbers of all it acknowledged."""
    pipe = child.stdout
    text = b"".join(pipe.readline() for _ in range(lines + 1))
    with selectors.DefaultSelector() as nothing:
        nothing.select(delay)
    child.send_signal(signal.SIGKILL)
    text += pipe.read()
    pipe.close()
    child.wait()
    return [int(word) for line in text.split(b"\n")[:-1] for word in line.split() if word != b"-1"]


async def test_a_writer_killed_at_random_moments_loses_nothing_acknowledged(tmp_path):
    rng = random.Random(2026)
    promised: set[int] = set()
    for turn in range(KILLS):
        child = start("write", tmp_path, turn * 100_000)
        fresh = killed_after(child, rng.randrange(0, 12), rng.random() * 0.02)
        promised.update(fresh)
        # What was promised long ago is sampled here and checked whole at the end.
        asked = sorted(set(fresh) | set(rng.sample(sorted(promised), min(50, len(promised)))))
        store = SegmentStore.open(tmp_path, segment_bytes=SEGMENT, map_size=MAP)
        blocks = [made(number) for number in asked]
        assert await store.get_many([b.cid for b in blocks]) == [b.data for b in blocks]
        await store.close()
    store = SegmentStore.open(tmp_path, segment_bytes=SEGMENT, map_size=MAP)
    blocks = [made(number) for number in sorted(promised)]
    assert await store.get_many([b.cid for b in blocks]) == [b.data for b in blocks]
    reports = [report async for report in store.verify()]
    assert not any(report.faults for report in reports) and reports[-1].blocks >= len(promised)
    await store.close()


@pytest.mark.parametrize("count", [1200])
def test_a_reader_in_another_process_sees_every_commit_through_growth(tmp_path, count):
    writer = start("write_some", tmp_path, count)
    assert writer.stdout.readline() == b"-1\n"
    reader = start("read", tmp_path, stdin=subprocess.PIPE)
    for line in writer.stdout:
        reader.stdin.write(line)
        reader.stdin.flush()
    reader.stdin.close()
    checked = reader.stdout.read()
    assert (writer.wait(), reader.wait()) == (0, 0)
    assert int(checked) >= count
    for pipe in (writer.stdout, reader.stdout):
        pipe.close()
    assert (tmp_path / "meta" / "index" / "data.mdb").stat().st_size > MAP, "the map never grew"


async def test_a_reader_never_writes(tmp_path):
    with pytest.raises(DatabaseMissing, match="cidery init"):
        SegmentStore.open(tmp_path / "nothing", read_only=True)
    assert not (tmp_path / "nothing").exists()
    store = SegmentStore.open(tmp_path)
    await store.put_many([block(b"here")], kept=True, durability=Durability.DURABLE)
    await store.close()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.name != "lock.mdb"}
    reader = SegmentStore.open(tmp_path, read_only=True)
    assert await reader.get_many([block(b"here").cid]) == [b"here"]
    assert [len(page) async for page in reader.keys()] == [1]
    for write in (reader.sync(), reader.delete_many([]), reader.put_many([], kept=True, durability=Durability.VISIBLE)):
        with pytest.raises(StoreReadOnly, match="opened read-only"):
            await write
    await reader.close()
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.name != "lock.mdb"}


async def test_a_stale_index_entry_is_looked_up_again(tmp_path, monkeypatch):
    store = SegmentStore.open(tmp_path, segment_bytes=200)
    old, new = block(b"o" * 90), block(b"n" * 90)
    await store.put_many([old, new], kept=False, durability=Durability.DURABLE)
    stale = store._locate([old.cid.multihash])
    await store.put_many([old], kept=True, durability=Durability.DURABLE)
    os.unlink(tmp_path / "blocks" / "000001.car")
    store._segments.close()
    fresh = store._locate
    answers = iter([stale])
    monkeypatch.setattr(store, "_locate", lambda keys: next(answers, None) or fresh(keys))
    assert await store.get_many([old.cid]) == [old.data]
    await store.close()
