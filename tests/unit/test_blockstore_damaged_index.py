"""An index that LMDB cannot map: found out in a child, and made anew from the segments."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

from cidery.blockstore import database_check
from cidery.blockstore.database_check import InUse, fault_of, is_too_short
from cidery.blockstore.index_records import LOCATION_SIZE
from cidery.blockstore.segments import SegmentStore
from cidery.ipld.block import Block
from cidery.multiformats.cid import CID

PAGE = 4096
COUNT = 3000
READ_ALL = """
import asyncio, sys
from pathlib import Path
from cidery.blockstore.segments import SegmentStore
from cidery.multiformats.cid import CID

async def main():
    store = SegmentStore.open(Path(sys.argv[1]))
    wanted = [b"block %d" % number for number in range(int(sys.argv[2]))]
    found = await store.get_many([CID.of(data) for data in wanted])
    assert all(data in (None, right) for data, right in zip(found, wanted, strict=True))
    print(sum(data is not None for data in found))
    await store.close()

asyncio.run(main())
"""
"""Run in a process of its own: what it is about ends processes."""


def blocks() -> list[Block]:
    return [Block(CID.of(data), data) for data in (b"block %d" % number for number in range(COUNT))]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store")
    store = SegmentStore.open(path)
    store.put_many_blocking(blocks(), kept=True)
    store.close_blocking()
    return path


def copied(sound: Path, to: Path, *, unclean: bool = True) -> Path:
    for file in sound.rglob("*"):
        if file.is_file():
            (to / file.relative_to(sound)).parent.mkdir(parents=True, exist_ok=True)
            (to / file.relative_to(sound)).write_bytes(file.read_bytes())
    if unclean:
        InUse(to / "meta" / "index").set()
    return to / "meta" / "index" / "data.mdb"


def read_all(path: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", READ_ALL, str(path), str(COUNT)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


async def test_a_sound_index_passes_and_is_only_looked_through_after_an_unclean_stop(
    sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = copied(sound, tmp_path, unclean=False)
    assert fault_of(file.parent, "blocks", LOCATION_SIZE) == "" and not is_too_short(file)
    looked = []
    monkeypatch.setattr("cidery.blockstore.opening.fault_of", lambda path, table, size: looked.append(path) or "")
    store = SegmentStore.open(tmp_path)
    assert InUse(file.parent).is_set() and not looked
    await store.close()
    assert not InUse(file.parent).is_set()
    InUse(file.parent).set()
    await SegmentStore.open(tmp_path).close()
    assert looked == [file.parent]


@pytest.mark.parametrize("pages", range(2, 14, 2))
def test_an_index_that_lost_its_end_is_made_anew_even_after_a_clean_stop(
    sound: Path, tmp_path: Path, pages: int
) -> None:
    file = copied(sound, tmp_path, unclean=False)
    file.write_bytes(file.read_bytes()[: pages * PAGE])
    assert is_too_short(file)
    done = read_all(tmp_path)
    assert done.stdout.split() == [str(COUNT)], done.stderr
    assert "is damaged" in done.stderr and "made anew from the segments" in done.stderr


@pytest.mark.parametrize("seed", range(12))
def test_a_damaged_index_never_ends_the_process_nor_gives_wrong_bytes(sound: Path, tmp_path: Path, seed: int) -> None:
    file = copied(sound, tmp_path)
    raw, source = bytearray(file.read_bytes()), random.Random(seed)
    for _ in range(40):
        raw[source.randrange(2 * PAGE, len(raw))] ^= 1 << source.randrange(8)
    for page in range(2, len(raw) // PAGE):  # the head of each page: its number, flags and free space
        raw[page * PAGE + source.randrange(16)] ^= 0x55
    file.write_bytes(raw)
    done = read_all(tmp_path)
    assert done.returncode == 0 and done.stdout.split() == [str(COUNT)], done.stderr
    assert "made anew" in done.stderr


@pytest.mark.parametrize("seed", range(4))
def test_an_index_that_was_damaged_while_nobody_had_it_open_is_made_anew_at_the_second_start_at_the_latest(
    sound: Path, tmp_path: Path, seed: int
) -> None:
    file = copied(sound, tmp_path, unclean=False)
    raw, source = bytearray(file.read_bytes()), random.Random(seed)
    for page in range(2, len(raw) // PAGE):
        raw[page * PAGE + source.randrange(16)] ^= 0x55
    file.write_bytes(raw)
    first = read_all(tmp_path)
    done = first if first.returncode == 0 else read_all(tmp_path)
    assert done.returncode == 0 and done.stdout.split() == [str(COUNT)], done.stderr


def test_a_child_that_does_not_end_is_not_waited_for_without_end(
    sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = copied(sound, tmp_path)
    monkeypatch.setattr(database_check, "LEAST_SECONDS", 0.2)
    monkeypatch.setattr(database_check, "_SCRIPT", "while True: pass")
    assert "did not end within" in fault_of(file.parent, "blocks", LOCATION_SIZE)
    monkeypatch.setattr(database_check, "_SCRIPT", "import os, signal; os.kill(os.getpid(), signal.SIGBUS)")
    monkeypatch.setattr(database_check, "LEAST_SECONDS", 20.0)
    assert "by signal" in fault_of(file.parent, "blocks", LOCATION_SIZE)
