"""Long operations that are killed again and again: nothing is lost, and at most 1 % of the work is done twice."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from job_child import Counter

from changed_api import changed
from cidery.blockstore.interface import Durability
from cidery.blockstore.memory import MemoryStore
from cidery.core.adding.add import AddOptions, add_root
from cidery.core.adding.events import Added
from cidery.core.car.exporting import export_car
from cidery.core.session import StoreSession
from cidery.ipld.block import Block
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import RAW
from cidery.node.build import Access, build
from cidery.node.create import create_repository
from cidery.repo.gc.collection import Swept
from cidery.repo.jobs import JobState
from cidery.unixfs.profile import UNIXFS_V1_2025, with_options

HERE = Path(__file__).parent
KILLS = 3
CHUNK = 16_384
MIB = 1 << 20


class Killed:
    """Runs of one operation on one repository; ``work`` counts the bytes that all of them handled."""

    def __init__(self, tmp_path: Path, kind: str, source: Path, extra: str = "") -> None:
        self.root = tmp_path / "repo"
        create_repository(self.root, profiles=["test"])
        self.work = Counter(tmp_path / "work")
        words = [kind, str(self.root), str(source), str(tmp_path / "work"), extra]
        self._command = [sys.executable, str(HERE / "job_child.py"), *words]
        path = os.pathsep.join([str(HERE), str(HERE.parent), os.environ.get("PYTHONPATH", "")])
        self._environment = {**os.environ, "PYTHONPATH": path}

    def source(self, text: str) -> None:
        """What to work on, where it was not known before."""
        self._command[4] = text

    def run(self, kill_at: int) -> list[str]:
        """Lines of a run that is killed after ``kill_at`` of them, or ends before."""
        child = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True, env=self._environment)
        assert child.stdout is not None
        lines = [line.strip() for line, _ in zip(child.stdout, range(kill_at), strict=False)]
        if len(lines) == kill_at:
            child.send_signal(signal.SIGKILL)
        rest, _ = child.communicate()
        assert child.returncode == (-signal.SIGKILL if len(lines) == kill_at else 0), rest
        return lines + rest.splitlines()

    def killed_often(self, steps: int, seed: int) -> tuple[str, int]:
        """The last line of the run that came to the end, and how often the others were killed.

        ``steps``: about how many lines a whole run prints.
        """
        rng = random.Random(seed)
        for _ in range(KILLS):
            self.run(rng.randrange(1, steps // KILLS))
        lines = self.run(1 << 30)
        return lines[-1], KILLS


def big_file(path: Path, size: int) -> Path:
    path.write_bytes(random.Random(5).randbytes(size))
    return path


@pytest.mark.parametrize("chunker", ["", "rabin-4096-8192-16384"])
def test_an_add_of_a_big_file_reads_no_part_twice(tmp_path: Path, chunker: str) -> None:
    size = 48 * MIB
    killed = Killed(tmp_path, "add", big_file(tmp_path / "big", size), chunker)
    last, kills = killed.killed_often(200, seed=1)
    assert last.startswith("root ")
    assert killed.work.value - size <= kills * size // 100


def folder(path: Path) -> int:
    """Small files, larger ones and big ones; returns their bytes."""
    rng = random.Random(6)
    for number in range(4000):
        below = path / f"{number % 20:02}"
        below.mkdir(parents=True, exist_ok=True)
        (below / f"{number}").write_bytes(rng.randbytes(rng.choice((0, 50, 3000, CHUNK, 3 * CHUNK + 7))))
    (path / "big").write_bytes(rng.randbytes(20 * MIB))
    return sum(one.stat().st_size for one in path.rglob("*") if one.is_file())


async def test_an_add_of_a_folder_goes_on_and_gives_the_same_cid(tmp_path: Path) -> None:
    size = folder(tmp_path / "folder")
    killed = Killed(tmp_path, "add", tmp_path / "folder")
    last, kills = killed.killed_often(4000, seed=2)
    profile = with_options(UNIXFS_V1_2025, chunker=f"size-{CHUNK}")
    options = AddOptions(profile=profile, only_hash=True)
    root = await add_root([str(tmp_path / "folder")], MemoryStore(), options)
    assert last == f"root {root}"
    # A batch of 128 small files may be under way; here it is 1.6 % of all, of 100,000 files 0.1 %.
    assert killed.work.value - size <= kills * (size // 100 + 128 * 3 * CHUNK)
    async with build(killed.root, Access.READ) as api, api.session() as session:
        (job,) = api.jobs.every("add")
        assert job.state is JobState.DONE and job.attempts == kills + 1
        assert not list((killed.root / "meta" / "jobs").iterdir())
        async for chunk in export_car([root], session):
            assert chunk


async def test_an_import_of_an_archive_hashes_no_part_twice(tmp_path: Path) -> None:
    store = MemoryStore()
    profile = with_options(UNIXFS_V1_2025, chunker=f"size-{CHUNK}")
    size = 48 * MIB
    source = big_file(tmp_path / "big", size)
    root = await add_root([str(source)], store, AddOptions(profile=profile))
    archive = tmp_path / "big.car"
    with archive.open("wb") as file:
        async for chunk in export_car([root], StoreSession(store)):
            file.write(chunk)
    killed = Killed(tmp_path, "import", archive)
    last, kills = killed.killed_often(size // (2 * MIB // 64), seed=3)
    stats = json.loads(last)["Stats"]
    keys = [key async for page in store.keys() for key in page]
    assert stats["BlockCount"] == len(keys)
    assert killed.work.value - size <= kills * size // 100
    async with build(killed.root, Access.READ) as api:
        assert api.pins.get(root) is not None
        assert None not in await api.store.get_many([CID(1, RAW, key) for key in keys])


async def test_a_collection_in_between_costs_a_second_import_but_no_block(tmp_path: Path) -> None:
    """What the first run found "already there" may go before the second one, which skips it."""
    store = MemoryStore()
    profile = with_options(UNIXFS_V1_2025, chunker=f"size-{CHUNK}")
    source = big_file(tmp_path / "big", 8 * MIB)
    root = await add_root([str(source)], store, AddOptions(profile=profile))
    archive = tmp_path / "big.car"
    with archive.open("wb") as file:
        async for chunk in export_car([root], StoreSession(store)):
            file.write(chunk)
    killed = Killed(tmp_path, "import", archive)
    keys = [key async for page in store.keys() for key in page]
    async with build(killed.root, Access.WRITE) as api:
        for start in range(0, 200, 100):
            found = await store.get_many([CID(1, RAW, key) for key in keys[start : start + 100]])
            blocks = [Block(CID(1, RAW, key), data) for key, data in zip(keys[start:], found, strict=False) if data]
            await api.store.put_many(blocks, kept=True, durability=Durability.DURABLE)
    killed.run(200)
    async with build(killed.root, Access.WRITE) as api:
        (job,) = api.jobs.every("import")
        assert job.state is JobState.INTERRUPTED and api.jobs.journal(job.id).exists()
        steps = [step async for step in api.collector.garbage()]
        assert any(isinstance(step, Swept) for step in steps)
    stats = json.loads(killed.run(1 << 30)[-1])["Stats"]
    assert stats["BlockCount"] == len(keys)
    async with build(killed.root, Access.READ) as api:
        assert api.pins.get(root) is not None
        assert None not in await api.store.get_many([CID(1, RAW, key) for key in keys])


async def test_a_get_hashes_and_writes_no_part_twice(tmp_path: Path) -> None:
    size = folder(tmp_path / "folder")
    killed = Killed(tmp_path, "get", Path("x"))
    profile = with_options(UNIXFS_V1_2025, chunker=f"size-{CHUNK}")
    async with build(killed.root, Access.WRITE) as api:
        async for event in api.adding.add([str(tmp_path / "folder")], AddOptions(profile=profile)):
            root = event.cid
    target = tmp_path / "copy"
    killed.source(f"{root} {target}")
    last, kills = killed.killed_often(4000, seed=4)
    # Small files that came in the batch under way are written again: 32 of them, 1 % of these, of 3200 files.
    assert killed.work.value - size <= kills * (size // 100 + 32 * 3 * CHUNK)
    assert int(last.split()[1]) == size
    for path in (tmp_path / "folder").rglob("*"):
        copy = target / path.relative_to(tmp_path / "folder")
        assert copy.is_dir() if path.is_dir() else copy.read_bytes() == path.read_bytes()
    assert not list(target.rglob(".*")) and not list((killed.root / "meta" / "jobs").iterdir())


async def test_a_file_that_was_changed_after_a_kill_is_not_believed(tmp_path: Path) -> None:
    killed = Killed(tmp_path, "get", Path("x"))
    big = big_file(tmp_path / "big", 4 * MIB)
    (tmp_path / "folder").mkdir()
    for number in range(200):
        (tmp_path / "folder" / f"{number:03}").write_bytes(b"%d" % number)
    big.rename(tmp_path / "folder" / "big")
    async with build(killed.root, Access.WRITE) as api:
        async for event in api.adding.add([str(tmp_path / "folder")], AddOptions()):
            root = event.cid
    target = tmp_path / "copy"
    killed.source(f"{root} {target}")
    killed.run(150)
    async with build(killed.root, Access.READ) as api:
        (job,) = api.jobs.every("get")
        assert job.state is JobState.INTERRUPTED and str(target) in job.title
    (target / "007").write_bytes(b"x")
    (target / "008").unlink()
    killed.run(1 << 30)
    for path in (tmp_path / "folder").iterdir():
        assert (target / path.name).read_bytes() == path.read_bytes()


async def test_a_pin_fetches_no_block_twice_even_with_collections_in_between(tmp_path: Path) -> None:
    size = folder(tmp_path / "folder")
    killed = Killed(tmp_path, "pin", Path("x"))
    peer = tmp_path / "peer"
    create_repository(peer, profiles=["test"])
    profile = with_options(UNIXFS_V1_2025, chunker=f"size-{CHUNK}")
    async with build(peer, Access.WRITE) as api:
        async for event in api.adding.add([str(tmp_path / "folder")], AddOptions(profile=profile)):
            root = event.cid
        total = (await api.store.stat()).bytes
    killed.source(f"{root} {peer}")
    for seed in range(KILLS):
        killed.run(random.Random(seed).randrange(500, 2500))
        async with build(killed.root, Access.WRITE) as api:
            (job,) = api.jobs.every("pin")
            assert job.state is JobState.INTERRUPTED and job.attempts == seed + 1
            async for _ in api.collector.garbage():
                continue
    assert json.loads(killed.run(1 << 30)[-1]) == {"Pins": [str(root)]}
    assert total >= size // 2 and killed.work.value - total <= KILLS * total // 100
    async with build(killed.root, Access.READ) as api:
        assert api.pins.get(root) is not None and (await api.store.stat()).bytes == total


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no disk that is always full")
async def test_an_add_goes_on_when_how_far_it_is_cannot_be_noted(tmp_path, caplog):
    folder = tmp_path / "folder"
    folder.mkdir()
    for number in range(200):
        (folder / str(number)).write_bytes(os.urandom(1000))
    create_repository(tmp_path / "repo", profiles=["test"])
    async with build(tmp_path / "repo", Access.WRITE) as api:
        api.jobs.directory.mkdir(exist_ok=True)
        for number in range(1, 4):
            api.jobs.journal(number).symlink_to("/dev/full")
        later = changed(api, clock=lambda: time.time() + 60)  # what was changed just now would not be noted
        added = [event async for event in later.adding.add([folder], AddOptions()) if isinstance(event, Added)]
        (job,) = api.jobs.every("add")
        assert added[-1].root and job.state is JobState.DONE and job.files == 201
        assert await api.adding.walk_stored(added[-1].cid)
    assert "how far an add is cannot be noted" in caplog.text
