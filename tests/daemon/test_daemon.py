"""Real daemons as processes: what they print, how they stop, and the command line against them."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

import cidery
from cidery.repo.lock import RepoLock

DEADLINE = 30.0
MAX_IDLE_RSS = 90 << 20


class Daemon:
    """A daemon on a new repository, and the command line on it."""

    def __init__(self, repo: Path) -> None:
        self.repo = repo
        self.lines: list[str] = []
        self.process: subprocess.Popen[str] | None = None

    def command(self, *words: str | Path) -> list[str]:
        return [sys.executable, "-m", "cidery", *map(str, words)]

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "CIDERY_PATH": str(self.repo)}

    def start(self, *options: str) -> None:
        command = self.command("daemon", "--init", "--init-profile=test", *options)
        self.process = subprocess.Popen(command, env=self.environment, stdout=subprocess.PIPE, text=True)
        self.lines = []
        for line in self.output:
            self.lines.append(line.strip())
            if line == "Daemon is ready\n":
                return
        raise AssertionError(f"the daemon ended: {self.lines}")

    @property
    def output(self) -> IO[str]:
        assert self.process is not None and self.process.stdout is not None
        return self.process.stdout

    def stop(self, how: int = signal.SIGTERM) -> int:
        if self.process is None:
            return 0
        self.process.send_signal(how)
        return self.ended()

    def ended(self) -> int:
        assert self.process is not None
        self.process.communicate(timeout=DEADLINE)
        code, self.process = self.process.returncode, None
        return code

    def run(self, *words: str | Path, stdin: bytes = b"", check: bool = True) -> subprocess.CompletedProcess[bytes]:
        done = subprocess.run(self.command(*words), env=self.environment, input=stdin, capture_output=True)
        assert not check or done.returncode == 0, done.stderr
        return done

    def text(self, *words: str | Path, stdin: bytes = b"") -> str:
        return self.run(*words, stdin=stdin).stdout.decode().strip()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Daemon, Daemon]]:
    """Two connected daemons."""
    daemons = tuple(Daemon(tmp_path_factory.mktemp("node") / "repo") for _ in range(2))
    try:
        for daemon in daemons:
            daemon.start()
        address = daemons[0].text("id", "--format=<addrs>").splitlines()[0]
        daemons[1].run("swarm", "connect", address)
        yield daemons[0], daemons[1]
    finally:
        for daemon in daemons:
            daemon.stop()


def _rss(daemon: Daemon) -> int:
    assert daemon.process is not None
    status = Path(f"/proc/{daemon.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_an_idle_daemon_is_small(pair: tuple[Daemon, Daemon]) -> None:
    assert _rss(pair[0]) <= MAX_IDLE_RSS


def test_the_daemon_says_what_scripts_wait_for(pair: tuple[Daemon, Daemon]) -> None:
    lines = pair[0].lines
    assert lines[0] == "Initializing daemon..." and lines[-1] == "Daemon is ready"
    assert f"PeerID: {pair[0].text('id', '-f', '<id>')}" in lines
    api = next(line for line in lines if line.startswith("RPC API server listening on "))
    assert (pair[0].repo / "api").read_text() == api.removeprefix("RPC API server listening on ")
    assert any(line.startswith("Swarm listening on /ip4/127.0.0.1/tcp/") for line in lines)


def test_a_folder_goes_from_node_to_node(pair: tuple[Daemon, Daemon], tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "a").write_bytes(os.urandom(5_000_000))
    (folder / "b").write_bytes(b"b")
    (folder / "l").symlink_to("b")
    cid = pair[0].text("add", "-rQ", folder)
    pair[1].run("get", cid, "-o", tmp_path / "copy")
    assert (tmp_path / "copy" / "deep" / "a").read_bytes() == (folder / "deep" / "a").read_bytes()
    assert (tmp_path / "copy" / "l").readlink() == Path("b")
    stat = json.loads(pair[1].text("bitswap", "stat", "--enc=json"))
    assert stat["BlocksReceived"] >= 7 and stat["DupBlksReceived"] == 0
    assert pair[1].text("repo", "verify").startswith("verify complete")


def test_a_run_can_be_watched_and_says_who_sent_what(pair: tuple[Daemon, Daemon]) -> None:
    cid = pair[0].text("add", "-Q", stdin=os.urandom(3_000_000))
    pair[1].run("cat", "--session=mine", cid)
    report = json.loads(pair[1].text("bitswap", "session", "mine", "--enc=json"))
    first = pair[0].text("id", "-f", "<id>")
    assert report["Stage"] == "done" and [one["Peer"] for one in report["Sources"]] == [first]
    assert report["Sources"][0]["Blocks"] == 4 and report["Sources"][0]["Bytes"] > 3_000_000
    assert b"no session is named" in pair[1].run("bitswap", "session", "other", check=False).stderr


def test_a_get_on_a_terminal_ends_with_its_sums(pair: tuple[Daemon, Daemon], tmp_path: Path) -> None:
    import pty

    cid = pair[0].text("add", "-Q", stdin=os.urandom(2_000_000))
    terminal, inner = pty.openpty()
    command = pair[1].command("get", cid, "-o", tmp_path / "got")
    process = subprocess.Popen(command, env=pair[1].environment, stdout=subprocess.DEVNULL, stderr=inner)
    os.close(inner)
    drawn = b""
    with contextlib.suppress(OSError):  # how Linux reports the end of a pseudo terminal
        while data := os.read(terminal, 4096):
            drawn += data
    os.close(terminal)
    assert process.wait(DEADLINE) == 0
    assert f"blocks: 3 from {pair[0].text('id', '-f', '<id>')}" in drawn.decode().replace("\r\n", " ")


def test_the_offline_option_asks_no_peer(pair: tuple[Daemon, Daemon]) -> None:
    cid = pair[0].text("add", "-Q", stdin=b"only on the first")
    refused = pair[1].run("cat", "--offline", cid, check=False)
    assert refused.returncode == 1 and b"not stored here" in refused.stderr
    assert pair[1].run("cat", cid).stdout == b"only on the first"


def test_peers_see_each_other(pair: tuple[Daemon, Daemon]) -> None:
    first = pair[0].text("id", "-f", "<id>")
    assert first in pair[1].text("swarm", "peers")
    pong = pair[1].text("ping", "-n", "1", first).splitlines()
    assert pong[0] == f"PING {first}." and pong[1].startswith("Pong received") and pong[2].startswith("Average")
    assert json.loads(pair[1].text("id", first))["AgentVersion"].startswith("cidery/")
    assert first in pair[1].text("swarm", "addrs")
    assert pair[0].text("swarm", "addrs", "local", "--id").endswith(first)


def test_the_addresses_to_give_others_are_the_announced_ones(tmp_path: Path) -> None:
    daemon, announced = Daemon(tmp_path / "repo"), "/ip4/192.0.2.7/tcp/4001"
    daemon.run("init", "--profile=test")
    daemon.run("config", "--json", "Addresses.Announce", json.dumps([announced]))
    daemon.start()
    try:
        assert daemon.text("swarm", "addrs", "local") == announced
        assert daemon.text("swarm", "addrs", "local", "--id") == f"{announced}/p2p/{daemon.text('id', '-f', '<id>')}"
        assert daemon.text("swarm", "addrs", "listen").startswith("/ip4/127.0.0.1/tcp/")
    finally:
        daemon.stop()


def test_the_blocking_face_attaches_to_the_daemon(pair: tuple[Daemon, Daemon]) -> None:
    with cidery.open(pair[0].repo) as node:
        assert node.attached and node.read(node.add(b"through the daemon")) == b"through the daemon"


def test_a_second_daemon_is_told_who_has_the_repository(pair: tuple[Daemon, Daemon]) -> None:
    second = pair[0].run("daemon", check=False)
    assert second.returncode == 1 and b"in use by process" in second.stderr
    assert pair[0].text("id"), "the first one goes on"


def test_an_interrupted_cat_ends_quietly_and_the_daemon_goes_on(pair: tuple[Daemon, Daemon]) -> None:
    nowhere = str(cidery.CID.of(b"nobody has this"))
    waiting = subprocess.Popen(pair[1].command("cat", nowhere), env=pair[1].environment, stderr=subprocess.PIPE)
    deadline = time.monotonic() + DEADLINE
    while nowhere not in pair[1].text("bitswap", "stat"):
        assert time.monotonic() < deadline
    waiting.send_signal(signal.SIGINT)
    _, errors = waiting.communicate(timeout=DEADLINE)
    assert waiting.returncode == 130 and errors == b""
    while nowhere in pair[1].text("bitswap", "stat"):
        assert time.monotonic() < deadline, "the daemon still wants what nobody asks for"


@pytest.mark.parametrize("served", [True, False], ids=["by a daemon", "without a daemon"])
def test_an_interrupted_add_pins_nothing(pair: tuple[Daemon, Daemon], tmp_path: Path, served: bool) -> None:
    node = pair[0] if served else Daemon(tmp_path / "repo")
    if not served:
        node.run("init", "--profile=test")
    before = node.text("pin", "ls", "--type=recursive")
    adding = subprocess.Popen(
        node.command("add", "-"),
        env=node.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert adding.stdin is not None
    adding.stdin.write(os.urandom(5_000_000))  # more than a pipe holds: it is being read by now
    adding.stdin.flush()
    adding.send_signal(signal.SIGINT)
    output, errors = adding.communicate(timeout=DEADLINE)
    assert (adding.returncode, output, errors) == (130, b"", b"")
    assert node.text("pin", "ls", "--type=recursive") == before
    assert node.text("repo", "verify").startswith("verify complete")


def test_a_reader_that_leaves_is_no_error(pair: tuple[Daemon, Daemon], tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(bytes(20_000_000))
    cid = pair[0].text("add", "-Q", tmp_path / "big")
    reading = subprocess.Popen(
        pair[0].command("cat", cid), env=pair[0].environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert reading.stdout is not None and reading.stderr is not None
    reading.stdout.read(10)
    reading.stdout.close()
    assert reading.wait(DEADLINE) == 1 and reading.stderr.read() == b""
    reading.stderr.close()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, None, signal.SIGKILL])
def test_a_daemon_stops_clean_and_what_it_had_is_there(tmp_path: Path, how: signal.Signals | None) -> None:
    daemon = Daemon(tmp_path / "repo")
    daemon.start("--offline")
    try:
        cid = daemon.text("add", "-Q", stdin=b"still here")
        if how is None:
            daemon.run("shutdown")
            code = daemon.ended()
        else:
            code = daemon.stop(how)
    finally:
        with contextlib.suppress(ProcessLookupError):
            daemon.stop(signal.SIGKILL)
    assert code == (-signal.SIGKILL if how == signal.SIGKILL else 0)
    assert (daemon.repo / "api").exists() == (how == signal.SIGKILL)
    assert daemon.text("cat", cid) == "still here"
    assert daemon.text("pin", "ls") == f"{cid} recursive"
    assert daemon.text("repo", "verify") == "verify complete, all 1 blocks validated."


def test_after_shutdown_the_repository_is_free(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path / "repo")
    daemon.start()
    daemon.run("shutdown")
    with RepoLock.acquire(daemon.repo / "repo.lock", "at once"):
        assert daemon.ended() == 0


def test_a_daemon_waits_for_one_that_ends(tmp_path: Path) -> None:
    first, second = Daemon(tmp_path / "repo"), Daemon(tmp_path / "repo")
    first.start()
    adding = subprocess.Popen(first.command("add", "-"), env=first.environment, stdin=-1, stdout=-1, stderr=-1)
    try:
        deadline = time.monotonic() + DEADLINE
        while "add" not in first.text("diag", "cmds").split():
            assert time.monotonic() < deadline
        assert first.process is not None
        first.process.terminate()  # it gives the call some time
        second.start()
        assert first.ended() == 0 and second.text("id", "-f", "<id>")
        output, said = adding.communicate(timeout=DEADLINE)
        assert (adding.returncode, output) == (1, b"") and b"closed before the end" in said
    finally:
        adding.kill()
        adding.communicate()
        first.stop(signal.SIGKILL)
        second.stop()
