"""What is not a file, where a repository has one, is said in one line, at once."""

import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cidery.cli.main import main
from cidery.disk.file_locks import is_locked, lock_file
from cidery.node.create import create_repository
from cidery.plain_files import NotAFile, open_plain, read_plain, write_plain
from cidery.repo.lock import RepoLock, read_holder

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names here")


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(path))  # a path of a socket must be short


KINDS: dict[str, Callable[[Path], None]] = {
    "a pipe": os.mkfifo,
    "a folder": os.mkdir,
    "a socket": _socket,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a link to nothing": lambda path: path.symlink_to("no/such/folder"),
}
READS = ["id"]
WRITES = ["key", "gen", "one"]
LISTS = ["key", "list"]
SHOWS = ["status"]
COMMANDS = {
    "config": (READS, WRITES, LISTS, SHOWS, ["daemon"]),
    "version": (WRITES, LISTS, SHOWS, ["daemon"]),
    "api": (READS, WRITES, LISTS, SHOWS, ["shutdown"]),
    "repo.lock": (WRITES, ["repo", "gc"], ["daemon"]),
    "swarm.key": (["daemon"],),
    "meta/state/data.mdb": (WRITES, LISTS, SHOWS),
    "blocks/writer.lock": (WRITES,),
}
"""File of a repository -> commands that need it."""


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Afterwards signals do what they did: a daemon that cannot start ends its process, and leaves its handlers."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    monkeypatch.chdir(tmp_path)
    create_repository(tmp_path / "repo", profiles=["test"])
    yield tmp_path / "repo"
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("file", COMMANDS)
def test_what_is_in_the_place_of_a_file_is_said_in_one_line(
    file: str, kind: str, repo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (repo / file).unlink(missing_ok=True)
    KINDS[kind](repo / file)
    for words in COMMANDS[file]:
        assert main([f"--repo-dir={repo}", *words]) == 1
        said = capsys.readouterr().err
        assert said.startswith("Error: ") and said.count("\n") == 1
        assert file.rpartition("/")[2] in said and f"is {kind}, not a file" in said


@pytest.mark.parametrize("kind", KINDS)
def test_what_can_be_done_without_is_done_without(kind: str, repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("gateway", "meta/index/mark", "meta/jobs/1.get", "daemon.log"):
        (repo / name).parent.mkdir(exist_ok=True)
        KINDS[kind](repo / name)
    for words in (WRITES, SHOWS, ["jobs"]):
        assert main([f"--repo-dir={repo}", *words]) == 0, capsys.readouterr().err


@pytest.mark.parametrize("kind", KINDS)
def test_a_place_whose_config_is_no_file_is_not_made_a_repository(
    kind: str, repo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (repo / "config").unlink()
    KINDS[kind](repo / "config")
    assert main([f"--repo-dir={repo}", "init"]) == 1
    assert "already; nothing was changed" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["keystore", "meta/jobs", "blocks"])
def test_a_file_in_the_place_of_a_folder_is_said_in_one_line(
    name: str, repo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (repo / "file").write_bytes(b"a few bytes")
    (repo / name).rename(repo / "away") if (repo / name).exists() else None
    (repo / name).write_bytes(b"")
    words = LISTS if name == "keystore" else ["add", "-q", str(repo / "file")]
    assert main([f"--repo-dir={repo}", *words]) == 1
    *_, said = capsys.readouterr().err.splitlines()
    assert str(repo / name) in said and "a bug" not in said


@pytest.mark.parametrize("kind", KINDS)
def test_a_lock_cannot_be_taken_on_what_is_not_a_file(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "repo.lock"
    KINDS[kind](path)
    for take in (lambda: lock_file(path), lambda: RepoLock.acquire(path, "cidery add")):
        with pytest.raises(NotAFile, match=f"is {kind}, not a file; move it away"):
            take()
    assert not is_locked(path) and read_holder(path) is None


def test_a_link_to_a_file_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("file")
    write_plain(tmp_path / "link", b"long text")
    write_plain(tmp_path / "file", b"text")
    assert read_plain(tmp_path / "link", 3) == b"tex" and read_plain(tmp_path / "link", 100) == b"text"


def test_a_file_that_is_missing_or_there_already_is_told_as_the_system_does(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_plain(tmp_path / "file", 1)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileExistsError):
        open_plain(tmp_path / "pipe", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
