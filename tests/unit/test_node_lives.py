"""Where nodes are used: notebooks, forks, several at once, programs that stop early."""

import asyncio
import os
import subprocess
import sys
import threading
from contextlib import aclosing
from pathlib import Path

import pytest

import cidery
from cidery.methods.call_errors import InsideLoop, TookTooLong
from cidery.methods.in_process import OpenedForReading
from cidery.node.node import NotOpen
from cidery.rpc.listen import listen

LIMIT = 60.0
"""Seconds for a child; far beyond what it takes."""


async def test_a_notebook_opens_a_node_in_one_cell_and_closes_it_in_another(tmp_path: Path) -> None:
    async def cell(node: cidery.Node) -> cidery.Node:
        return await node

    node = await asyncio.create_task(cell(cidery.Node(tmp_path / "repo", profile="test")))
    assert await node.read(await node.add(b"cell")) == b"cell"
    await asyncio.create_task(node.close())
    await node.close()
    with pytest.raises(NotOpen):
        await node.add(b"closed")
    again = await cidery.Node(tmp_path / "repo", offline=True)
    async with listen(again.api, again.api.config.api, {}, again.path / "api", lambda: None) as addrs:
        client = await cidery.Client(str(addrs[0]))
        assert await client.peer_id() == again.api.config.peer_id
        await client.close()
    await again.close()
    async with await cidery.Node(tmp_path / "repo", offline=True) as node:
        assert (await node.repo.stat()).blocks > 0


async def test_two_nodes_of_one_process_find_each_other(tmp_path: Path) -> None:
    async with (
        cidery.Node(tmp_path / "a", profile="test") as one,
        cidery.Node(tmp_path / "b", profile="test") as other,
    ):
        await other.swarm.connect((await one.id()).addresses[0])
        cid = await one.add(b"x" * 3_000_000)
        assert await other.read(cid) == b"x" * 3_000_000


async def test_a_node_opened_for_reading_says_that_it_cannot_write(tmp_path: Path) -> None:
    async with cidery.Node(tmp_path / "repo", profile="test", offline=True) as node:
        cid = await node.add(b"x")
    async with cidery.Node(tmp_path / "repo", read_only=True) as reader:
        assert [entry.cid async for entry in reader.pin.ls()] == [cid]
        for change in (reader.add(b"y"), reader.pin.rm(cid), reader.repo.verify(drop=True)):
            with pytest.raises(OpenedForReading, match="read_only"):
                await change


async def test_closing_an_iterator_ends_the_command_in_the_daemon(tmp_path: Path) -> None:
    async with cidery.Node(tmp_path / "repo", profile="test") as node:
        async with listen(node.api, node.api.config.api, {}, node.path / "api", lambda: None) as addrs:
            before = len(asyncio.all_tasks())
            async with aclosing(cidery.Client(str(addrs[0])).stats.watch_bandwidth(0.01)) as polls:
                await anext(polls)
                assert len(asyncio.all_tasks()) > before
            async with asyncio.timeout(LIMIT):
                while len(asyncio.all_tasks()) > before:
                    await asyncio.sleep(0)


def test_closing_a_blocking_iterator_waits_until_its_work_has_ended(tmp_path: Path) -> None:
    with cidery.open(tmp_path / "repo", profile="test") as node:
        polls = node.stats.watch_bandwidth(0.01)
        next(polls)
        polls.close()
        running = node._loop.run(_tasks())
        assert not [task for task in running if "_pump" in task]
        unfinished = node.cat(node.add(b"x" * 30_000_000))
        assert len(next(unfinished)) == 1_048_576
    with pytest.raises(NotOpen):
        list(unfinished)


def test_a_program_that_closes_nothing_ends_all_the_same(tmp_path: Path) -> None:
    code = (
        f"import cidery; node = cidery.open({str(tmp_path / 'repo')!r}, profile='test')\n"
        "chunks = node.cat(node.add(b'x' * 30_000_000)); print(len(next(chunks)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=LIMIT)
    assert (done.stdout, done.stderr, done.returncode) == ("1048576\n", "", 0)


def test_closing_a_node_ends_what_other_threads_wait_for(tmp_path: Path) -> None:
    node = cidery.open(tmp_path / "repo", profile="test")
    begun, said = threading.Event(), list[BaseException]()

    def wait() -> None:
        try:
            for _ in node.stats.watch_bandwidth(3600.0):
                begun.set()
        except NotOpen as exc:
            said.append(exc)

    waiter = threading.Thread(target=wait)
    waiter.start()
    assert begun.wait(LIMIT)
    node.close()
    waiter.join(LIMIT)
    assert len(said) == 1


async def _tasks() -> list[str]:
    return [repr(task.get_coro()) for task in asyncio.all_tasks()]


def test_a_callback_of_a_blocking_node_is_told_not_to_call_it(tmp_path: Path) -> None:
    with cidery.open(tmp_path / "repo", profile="test", offline=True) as node:
        cid = node.add(b"x", pin=False)
        with pytest.raises(InsideLoop, match="after the call"):
            node.pin.add(cid, progress=lambda step: print(node.peer_id()))
        with pytest.raises(InsideLoop):
            node.pin.add(cid, progress=lambda step: node.close())
        assert list(node.pin.ls()) == []


def test_a_call_takes_no_longer_than_it_is_given(tmp_path: Path) -> None:
    absent = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"
    with cidery.open(tmp_path / "repo", profile="test") as node:
        hurried = node.within(0.1)
        for wait in (hurried.read, hurried.block.get, lambda cid: next(hurried.cat(cid)), hurried.pin.add):
            with pytest.raises(TookTooLong, match="not done after 0.1 s"):
                wait(absent)
        patient = node.within(LIMIT)
        assert patient.read(patient.add(b"x")) == b"x" and patient.id() == node.id()
        with pytest.raises(TookTooLong):
            list(hurried.stats.watch_bandwidth(3600.0))  # the second item comes in an hour


def test_many_threads_share_a_blocking_node(tmp_path: Path) -> None:
    with cidery.open(tmp_path / "repo", profile="test", offline=True) as node:
        found: list[bytes] = []
        threads = [
            threading.Thread(target=lambda text=text: found.append(node.read(node.add(text))))
            for text in (b"a", b"b", b"c", b"d")
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(found) == [b"a", b"b", b"c", b"d"]


FORKS = """
import os, sys, cidery

def in_child(work):
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            said = str(work())
        except Exception as exc:
            said = f"{type(exc).__name__}: {exc}"
        os.write(w, said.encode())
        os._exit(0)
    os.close(w)
    said = os.read(r, 1000).decode()
    os.waitpid(pid, 0)
    return said

repo = sys.argv[1]
node = cidery.open(repo, profile="test", offline=True)
cid = node.add(b"from the parent")
print(in_child(lambda: node.read(cid)))
print(in_child(lambda: next(node.pin.ls())))
print(in_child(lambda: node.close()))
print(in_child(lambda: cidery.open(repo, read_only=True).read(cid)))
print(node.read(cid))
r, w = os.pipe()
sleeper = os.fork()
if sleeper == 0:
    os.close(w)
    os.read(r, 1)
    os._exit(0)
node.close()
with cidery.open(repo, offline=True) as node:  # although a child lives that has the descriptors of the locks
    print(node.read(cid))
os.close(w)
os.waitpid(sleeper, 0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork()")
def test_a_child_of_fork_is_told_to_open_its_own_node(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORKS, str(tmp_path / "repo")], capture_output=True, text=True, timeout=LIMIT
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("Forked: ") and "cidery.open(path, read_only=True)" in lines[0]
    assert lines[1].startswith("Forked: ")
    assert lines[2:] == ["None", *["b'from the parent'"] * 3]


ASYNC_FORK = """
import asyncio, os, sys, cidery

async def main():
    async with cidery.Node(sys.argv[1], profile="test", offline=True) as node:
        cid = await node.add(b"x")
        pid = os.fork()
        if pid == 0:
            try:
                node.api
            except Exception as exc:
                print(f"{type(exc).__name__}", flush=True)
            os._exit(0)
        os.waitpid(pid, 0)
        print(await node.read(cid))

asyncio.run(main())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork()")
def test_a_node_of_asyncio_is_refused_to_a_child_of_fork(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ASYNC_FORK, str(tmp_path / "repo")], capture_output=True, text=True, timeout=LIMIT
    )
    assert done.stdout.splitlines() == ["Forked", "b'x'"], done.stderr
