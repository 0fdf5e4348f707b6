"""One file system object in several threads, event loops and processes."""

import asyncio
import multiprocessing
import os
import pickle
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import pytest

fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed: pip install 'cidery[fs]'")

import cidery  # noqa: E402
import cidery.fs  # noqa: E402

DATA = random.Random(7).randbytes(3_000_000)
"""The same in processes that import this anew."""
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """(repository, path of a file in it)"""
    repo = tmp_path_factory.mktemp("processes") / "repo"
    with cidery.open(repo, profile="test", offline=True) as node:
        cid = node.add(DATA)
    yield str(repo), str(cid)
    cidery.fs.IPFSFileSystem(repo=str(repo)).close()


def read(fs: cidery.fs.IPFSFileSystem, path: str) -> bool:
    return bool(fs.cat_file(path, 1_000_000, 2_000_000) == DATA[1_000_000:2_000_000])


def write_and_read(repo: str, number: int) -> bytes:
    fs = cidery.fs.CideryFileSystem(repo=repo)
    for part in range(5):
        fs.pipe_file(f"/workers/{number}/{part}", b"%d" % number)
    return b"".join(fs.cat_file(f"/workers/{number}/{part}") for part in range(5))


def in_child(work) -> int:  # type: ignore[no-untyped-def]
    child = os.fork()
    if not child:
        try:
            os._exit(0 if work() else 1)
        except BaseException:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@needs_fork
def test_parent_and_child_read_on_after_a_fork(place: tuple[str, str]) -> None:
    fs = cidery.fs.IPFSFileSystem(repo=place[0])
    file = fs.open(place[1])
    assert read(fs, place[1]) and file.read(10) == DATA[:10]
    assert in_child(lambda: read(fs, place[1]) and file.read(10) == DATA[10:20]) == 0
    assert read(fs, place[1]) and file.read(10) == DATA[10:20]


@needs_fork
def test_a_fork_waits_for_reads_of_other_threads(place: tuple[str, str]) -> None:
    fs = cidery.fs.IPFSFileSystem(repo=place[0])
    ends = threading.Event()
    with ThreadPoolExecutor(2) as threads:

        def keep_reading() -> int:
            count = 0
            while not ends.is_set():
                assert fs.cat_file(place[1]) == DATA and read(fs, place[1])
                count += 1
            return count

        readers = [threads.submit(keep_reading) for _ in range(2)]
        try:
            assert [in_child(lambda: read(fs, place[1])) for _ in range(5)] == [0] * 5
        finally:
            ends.set()
        assert all(reader.result() for reader in readers)


@needs_fork
def test_a_child_of_a_process_with_an_open_node_reads_too(place: tuple[str, str]) -> None:
    with cidery.open(place[0], offline=True):
        assert in_child(lambda: read(cidery.fs.IPFSFileSystem(repo=place[0]), place[1])) == 0
        assert read(cidery.fs.IPFSFileSystem(repo=place[0]), place[1])


@pytest.mark.parametrize("method", ["spawn", *(["fork"] if hasattr(os, "fork") else [])])
def test_workers_of_a_pool_read_and_write(place: tuple[str, str], method: str) -> None:
    fs = cidery.fs.IPFSFileSystem(repo=place[0])
    assert read(fs, place[1])
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method)) as pool:
        assert all(pool.map(read, [fs] * 4, [place[1]] * 4, timeout=60))
        written = list(pool.map(write_and_read, [place[0]] * 4, range(4), timeout=60))
    assert written == [b"%d" % number * 5 for number in range(4)]
    mutable = cidery.fs.CideryFileSystem(repo=place[0])
    assert len(mutable.find("/workers")) == 20
    mutable.rm("/workers", recursive=True)


def test_threads_share_one(place: tuple[str, str]) -> None:
    fs = cidery.fs.IPFSFileSystem(repo=place[0])
    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(lambda _: read(fs, place[1]), range(64)))


def test_one_object_is_awaited_in_several_loops_one_after_the_other(place: tuple[str, str]) -> None:
    fs = cidery.fs.IPFSFileSystem(repo=place[0], asynchronous=True)

    async def use() -> bool:
        parts = await asyncio.gather(*[fs._cat_file(place[1], at, at + 1000) for at in range(0, 100_000, 10_000)])
        file = await fs.open_async(place[1])
        head = await file.read(1000)
        await file.close()
        return parts[0] == head == DATA[:1000]

    assert all(asyncio.run(use()) for _ in range(3))
    assert read(cidery.fs.IPFSFileSystem(repo=place[0]), place[1])


def test_a_cancelled_read_frees_what_it_held(place: tuple[str, str]) -> None:
    fs = cidery.fs.IPFSFileSystem(repo=place[0], asynchronous=True)

    async def cancelled() -> None:
        task = asyncio.create_task(fs._cat_file(place[1]))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    fs.close()  # waits for all that is under way
    assert read(pickle.loads(pickle.dumps(cidery.fs.IPFSFileSystem(repo=place[0]))), place[1])


def test_a_node_and_file_systems_share_a_repository_in_one_process(place: tuple[str, str], tmp_path: Path) -> None:
    fs = cidery.fs.IPFSFileSystem(repo=place[0])
    assert read(fs, place[1])
    with cidery.open(place[0], offline=True) as node:
        fresh = node.add(b"added just now")
        assert fs.cat_file(str(fresh)) == b"added just now" and read(fs, place[1])
        mutable = cidery.fs.CideryFileSystem(repo=place[0])
        with pytest.raises(OSError, match="in use by this same process"):
            mutable.pipe_file("/beside", b"1")
    mutable.pipe_file("/beside", b"1")
    with cidery.open(place[0], offline=True) as node:  # at once, although the file system has written just now
        assert node.read(mutable.cid("/beside")) == b"1"
