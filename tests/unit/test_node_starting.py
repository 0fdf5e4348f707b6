"""Commands, open() and file systems that meet a daemon while it starts or ends.

This process is the daemon, and holds it in the phase that a test is about; commands run in others, and say when they
wait.
"""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

import cidery
from cidery.core.api import Api
from cidery.node.build import Access, OpenedParts, opened_parts
from cidery.node.daemon import StoppedEarly, taken
from cidery.node.lock_wait import locked
from cidery.repo.layout import RepoLayout
from cidery.repo.lock import ENDING, SERVING, STARTING, RepoLock
from cidery.rpc.listen import listen
from cidery.waiting import pause

LIMIT = 60.0
"""Seconds for a child; far beyond what it takes."""
SAYING = """
import sys, time
sleep, said = time.sleep, []
def say():
    if not said:
        said.append(print("waits", flush=True))
def saying(seconds):
    say()
    sleep(seconds)
time.sleep = saying
from cidery.node import lock_wait
async def pausing(seconds, pause=lock_wait.pause):
    say()
    await pause(seconds)
lock_wait.pause = pausing
from cidery.cli.main import run
run()
"""
IMPATIENT = f"from cidery.node import lock_wait\nlock_wait.LOCK_WAIT = 0.05\n{SAYING}"

HASTY = f"from cidery.cli import starting\nstarting.await_start.__defaults__ = (0.0,)\n{SAYING}"
PATIENT = f"from cidery.cli import starting\nstarting.await_start.__defaults__ = ({LIMIT},)\n{SAYING}"

SUSPENDED = """
import os, signal, sys
from pathlib import Path
from cidery.repo.lock import SERVING, RepoLock
lock = RepoLock.acquire(Path(sys.argv[1]), "cidery daemon", SERVING)
os.kill(os.getpid(), signal.SIGSTOP)
"""


class Starting:
    """A daemon that has the repository, and does not answer yet."""

    def __init__(self, parts: OpenedParts, stack: AsyncExitStack) -> None:
        self.parts = parts
        self.api = Api(parts)
        self._stack = stack

    def enter(self, phase: str) -> None:
        assert self.parts.lock is not None
        self.parts.lock.enter(phase)

    async def serve(self) -> None:
        api = self.api
        await self._stack.enter_async_context(listen(api, api.config.api, {}, api.path / "api", lambda: None))
        self.enter(SERVING)

    async def end(self) -> None:
        """Give everything back, as a daemon does at its end."""
        self.enter(ENDING)
        await self._stack.aclose()


@pytest.fixture
async def repo(tmp_path: Path) -> Path:
    async with cidery.Node(tmp_path / "repo", profile="test", offline=True):
        return tmp_path / "repo"


@asynccontextmanager
async def starting(repo: Path) -> AsyncIterator[Starting]:
    async with AsyncExitStack() as stack:
        opened = opened_parts(repo, Access.WRITE, lock=partial(locked, phase=STARTING))
        parts = await stack.enter_async_context(opened)
        await parts.come_up()
        yield Starting(parts, stack)


class Command:
    """A command line in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def started(cls, repo: Path, *words: str, stdin: bytes = b"", code: str = SAYING) -> "Command":
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", code, *words),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "CIDERY_PATH": str(repo)},
        )
        assert process.stdin is not None
        process.stdin.write(stdin)
        process.stdin.close()
        return cls(process)

    async def waits(self) -> None:
        assert self._process.stdout is not None
        assert await asyncio.wait_for(self._process.stdout.readline(), LIMIT) == b"waits\n", await self.ended()

    def interrupt(self) -> None:
        self._process.send_signal(2)

    async def ended(self) -> tuple[int, str, str]:
        """Exit code, output and messages."""
        output, said = await asyncio.wait_for(self._process.communicate(), LIMIT)
        assert self._process.returncode is not None
        return self._process.returncode, output.decode(), said.decode()


@pytest.fixture
def file(tmp_path: Path) -> str:
    (tmp_path / "file").write_bytes(b"met a daemon")
    return str(tmp_path / "file")


async def test_a_command_waits_for_a_daemon_that_starts_and_goes_through_it(repo: Path, file: str) -> None:
    async with starting(repo) as daemon:
        adding = await Command.started(repo, "add", "-Q", file)
        writing = await Command.started(repo, "files", "write", "--create", "/note", file)
        await adding.waits()
        await writing.waits()
        await daemon.serve()
        code, cid, said = await adding.ended()
        assert (code, said) == (0, "")
        assert await daemon.api.store.size_many([cidery.CID.parse(cid.strip())]) == [len(b"met a daemon")]
        assert await writing.ended() == (0, "", "")


async def test_what_comes_from_a_pipe_is_read_after_the_wait(repo: Path) -> None:
    data = bytes(range(256)) * 20_000  # more than a pipe holds
    async with starting(repo) as daemon:
        adding = await Command.started(repo, "add", "-Q", "-", stdin=data)
        await adding.waits()
        await daemon.serve()
        code, cid, said = await adding.ended()
        assert (code, said) == (0, "") and cid.strip() == str(cidery.cid_of(data))


async def test_a_command_that_needs_a_daemon_waits_for_one_that_starts(repo: Path) -> None:
    async with starting(repo) as daemon:
        peers = await Command.started(repo, "swarm", "peers")
        await peers.waits()
        await daemon.serve()
        code, _, said = await peers.ended()
        assert code == 1 and "the node is offline" in said, "it was asked, and is offline"


async def test_a_command_that_needs_a_daemon_waits_for_one_that_has_only_just_been_started(repo: Path) -> None:
    peers = await Command.started(repo, "swarm", "peers", code=PATIENT)
    await peers.waits()
    async with starting(repo) as daemon:
        await daemon.serve()
        code, _, said = await peers.ended()
        assert code == 1 and "the node is offline" in said, "it was asked, and is offline"


async def test_a_command_that_needs_a_daemon_waits_for_the_next_one_while_one_ends(repo: Path) -> None:
    async with starting(repo) as daemon:
        daemon.enter(ENDING)
        peers = await Command.started(repo, "swarm", "peers", code=HASTY)
        await peers.waits()
        await daemon.serve()
        code, _, said = await peers.ended()
        assert code == 1 and "the node is offline" in said, "it was asked, and is offline"


async def test_a_command_that_needs_a_daemon_says_so_where_none_comes(repo: Path) -> None:
    peers = await Command.started(repo, "swarm", "peers")
    await peers.waits()
    code, _, said = await peers.ended()
    assert code == 1 and "needs a running daemon; start it with: cidery daemon" in said


async def test_a_daemon_killed_at_its_start_is_not_waited_for_though_its_number_is_that_of_another(repo: Path) -> None:
    RepoLayout(repo).lock.write_text(json.dumps({"pid": os.getpid(), "command": "cidery daemon", "phase": STARTING}))
    peers = await Command.started(repo, "swarm", "peers")
    code, _, said = await peers.ended()
    assert code == 1 and "needs a running daemon" in said


@pytest.mark.parametrize("phase", [STARTING, ENDING])
@pytest.mark.parametrize("words", [["swarm", "peers"], ["files", "mkdir", "/late"]])
async def test_a_start_or_end_that_takes_too_long_is_told(repo: Path, words: list[str], phase: str) -> None:
    async with starting(repo) as daemon:
        daemon.enter(phase)
        command = await Command.started(repo, *words, code=IMPATIENT)
        await command.waits()
        code, _, said = await command.ended()
        assert code == 1 and f"which is still {phase}; try again later" in said


async def test_a_command_waits_for_a_daemon_that_ends_and_works_by_itself(repo: Path, file: str) -> None:
    async with starting(repo) as daemon:
        await daemon.serve()
        daemon.enter(ENDING)
        (repo / "api").unlink()
        adding = await Command.started(repo, "add", "-Q", file)
        await adding.waits()
        await daemon.end()
        code, cid, said = await adding.ended()
    assert (code, said) == (0, "")
    with cidery.open(repo, read_only=True) as node:
        assert node.read(cid.strip()) == b"met a daemon"


async def test_an_api_file_of_a_killed_daemon_does_not_hide_the_one_that_starts(repo: Path, file: str) -> None:
    async with starting(repo) as daemon:
        (repo / "api").write_text("/ip4/127.0.0.1/tcp/1")
        adding = await Command.started(repo, "add", "-Q", file)
        await adding.waits()
        await daemon.serve()
        code, _, said = await adding.ended()
        assert (code, said) == (0, "")


async def test_a_daemon_that_serves_but_cannot_be_reached_is_told_of(repo: Path, file: str) -> None:
    async with starting(repo) as daemon:
        daemon.enter(SERVING)  # it has no address for the RPC
        code, _, said = await (await Command.started(repo, "add", "-Q", file)).ended()
        assert code == 1 and "in use by process" in said
        (repo / "api").write_text("/ip4/127.0.0.1/tcp/1")  # as if it were in another network
        code, _, said = await (await Command.started(repo, "add", "-Q", "--api-auth=any", file)).ended()
        assert code == 1 and "in use by process" in said


async def test_an_interrupt_ends_the_wait_for_a_daemon(repo: Path, file: str) -> None:
    async with starting(repo):
        for words in (["add", "-Q", file], ["swarm", "peers"]):
            command = await Command.started(repo, *words)
            await command.waits()
            command.interrupt()
            assert await command.ended() == (130, "", "")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="this system does not tell which process is suspended")
async def test_who_gives_up_waiting_for_a_suspended_daemon_is_told_what_lets_it_go_on(repo: Path) -> None:
    daemon = await asyncio.create_subprocess_exec(sys.executable, "-c", SUSPENDED, RepoLayout(repo).lock)
    os.waitid(os.P_PID, daemon.pid, os.WSTOPPED | os.WNOWAIT)
    asked = asyncio.Event()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await reader.read()
        writer.close()

    async with await asyncio.start_server(accept, "127.0.0.1") as server:
        (repo / "api").write_text(f"/ip4/127.0.0.1/tcp/{server.sockets[0].getsockname()[1]}")
        peers = await Command.started(repo, "swarm", "peers")
        await asyncio.wait_for(asked.wait(), LIMIT)
        peers.interrupt()
        code, _, said = await peers.ended()
    daemon.kill()
    await daemon.wait()
    assert code == 130
    assert f"{daemon.pid} (cidery daemon), which is suspended; let it go on (fg, or kill -CONT {daemon.pid})" in said


@pytest.fixture
async def waits(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Set when something in this process waits for a lock."""
    event, loop = asyncio.Event(), asyncio.get_running_loop()

    async def saying(seconds: float) -> None:
        loop.call_soon_threadsafe(event.set)
        await pause(seconds)

    monkeypatch.setattr("cidery.node.lock_wait.pause", saying)
    return event


async def test_open_waits_for_a_daemon_that_starts_and_attaches_to_it(repo: Path, waits: asyncio.Event) -> None:
    async with starting(repo) as daemon:
        opening = asyncio.ensure_future(asyncio.to_thread(cidery.open, repo))
        await asyncio.wait_for(waits.wait(), LIMIT)
        await daemon.serve()
        node = await opening
        assert node.attached
        await asyncio.to_thread(node.close)


async def test_open_waits_for_a_daemon_that_ends_and_opens_the_repository(repo: Path, waits: asyncio.Event) -> None:
    async with starting(repo) as daemon:
        daemon.enter(ENDING)
        opening = asyncio.ensure_future(asyncio.to_thread(cidery.open, repo, offline=True))
        await asyncio.wait_for(waits.wait(), LIMIT)
        await daemon.end()
        node = await opening
        assert not node.attached
        await asyncio.to_thread(node.close)


async def test_a_file_system_waits_for_a_daemon_that_starts_and_writes_through_it(
    repo: Path, waits: asyncio.Event
) -> None:
    import cidery.fs

    async with starting(repo) as daemon:
        files = cidery.fs.CideryFileSystem(repo=str(repo))
        writing = asyncio.ensure_future(asyncio.to_thread(files.pipe_file, "/note", b"by whom?"))
        await asyncio.wait_for(waits.wait(), LIMIT)
        await daemon.serve()
        await writing
        assert await asyncio.to_thread(files.cat_file, "/note") == b"by whom?"
        await asyncio.to_thread(files.close)


async def test_what_is_opened_after_a_wait_has_the_config_of_now(repo: Path, waits: asyncio.Event) -> None:
    from cidery.repo.config_change import set_key
    from cidery.repo.config_file import read_raw, write_raw

    async with starting(repo) as daemon:
        daemon.enter(ENDING)
        opening = asyncio.ensure_future(cidery.Node(repo, offline=True).__aenter__())
        await waits.wait()
        write_raw(repo / "config", set_key(read_raw(repo / "config"), "Datastore.HashOnRead", True))
        await daemon.end()
        node = await opening
        assert node.api.config.hash_on_read
        await node.close()


async def test_a_daemon_that_waits_for_the_repository_can_be_stopped(tmp_path: Path, waits: asyncio.Event) -> None:
    lock, stopping = tmp_path / "repo.lock", asyncio.Event()
    with RepoLock.acquire(lock, "cidery daemon", ENDING):
        starting = asyncio.ensure_future(taken(stopping, lock))
        await waits.wait()
        stopping.set()
        with pytest.raises(StoppedEarly):
            await starting
    (await taken(asyncio.Event(), lock)).release()


async def test_who_makes_the_same_repository_later_waits_and_uses_it(repo: Path, waits: asyncio.Event) -> None:
    config = (repo / "config").rename(repo.parent / "config")
    with RepoLock.acquire(repo / "repo.lock", "cidery init"):
        opening = asyncio.ensure_future(asyncio.to_thread(cidery.open, repo, offline=True))
        await asyncio.wait_for(waits.wait(), LIMIT)
        kept = config.rename(repo / "config").read_bytes()
    node = await opening
    await asyncio.to_thread(node.close)
    assert (repo / "config").read_bytes() == kept
