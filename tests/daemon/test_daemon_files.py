"""files on the command line, in a daemon and without one, from several processes at once."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_daemon import Daemon

WRITERS = 6


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    one = Daemon(tmp_path / "repo")
    one.start()
    try:
        yield one
    finally:
        one.stop()


def _use(node: Daemon, scratch: Path) -> str:
    """Every subcommand once; returns the CID of the tree."""
    (scratch / "notes").write_bytes(b"from a file")
    node.run("files", "mkdir", "-p", "/photos/2024")
    node.run("files", "write", "-e", "/photos/a", scratch / "notes")
    node.run("files", "write", "-e", "-p", "/deep/er/b", stdin=b"from standard input")
    node.run("files", "write", "-o", "5", "-n", "4", "/deep/er/b", stdin=b"STANDARD")
    assert node.text("files", "read", "/deep/er/b") == "from STANdard input"
    assert node.text("files", "read", "-o", "5", "-n", "4", "/deep/er/b") == "STAN"
    node.run("files", "cp", "/photos/a", "/photos/2024/")
    node.run("files", "mv", "/photos/a", "/c")
    node.run("files", "chmod", "0600", "/c")
    node.run("files", "touch", "--mtime=1700000000", "/c")
    node.run("files", "chcid", "--hash=sha2-512", "/deep")
    assert node.text("files", "ls") == "c\ndeep\nphotos"
    assert node.text("files", "ls", "-l", "/photos").startswith("2024/\tbafybei")
    assert "Mode: -rw------- (0600)" in node.text("files", "stat", "/c")
    node.run("files", "rm", "-r", "/photos")
    refused = node.run("files", "rm", "/photos", check=False)
    assert refused.returncode == 1 and refused.stderr == b"Error: /photos: file does not exist\n"
    assert node.run("files", "mkdir", "/../up", check=False).returncode == 1
    assert node.text("files", "flush", "/deep") == node.text("files", "stat", "--hash", "/deep")
    return node.text("files", "flush")


def test_a_daemon_and_a_command_alone_make_the_same_tree(daemon: Daemon, tmp_path: Path) -> None:
    alone = Daemon(tmp_path / "other")
    alone.run("init", "--profile=test")
    made = _use(alone, tmp_path)
    assert _use(daemon, tmp_path) == made
    in_use = daemon.run("files", "chroot", "--confirm", check=False)
    assert in_use.returncode == 1 and b"process" in in_use.stderr
    assert daemon.stop() == 0
    assert daemon.text("files", "stat", "--hash", "/") == made, "what the daemon flushed is there without it"
    daemon.run("files", "chroot", "--confirm")
    assert daemon.text("files", "ls") == ""


def _write_at_once(node: Daemon, scratch: Path) -> None:
    (scratch / "data").write_bytes(b"data" * 1000)
    paths = [f"/shared/{number}" for number in range(WRITERS)]
    commands = [node.command("files", "write", "-e", "-p", path, scratch / "data") for path in paths]
    writers = [subprocess.Popen(command, env=node.environment) for command in commands]
    assert [process.wait(timeout=60) for process in writers] == [0] * WRITERS
    for path in paths:
        assert node.text("files", "read", path) == "data" * 1000


def test_several_processes_write_at_once_through_a_daemon_or_one_after_another(daemon: Daemon, tmp_path: Path) -> None:
    _write_at_once(daemon, tmp_path)
    daemon.stop(9)
    names = sorted(str(number) for number in range(WRITERS))
    assert daemon.text("files", "ls", "/shared").split() == names, "nothing was lost with the daemon"
    daemon.run("files", "rm", "-r", "/shared")
    _write_at_once(daemon, tmp_path)
