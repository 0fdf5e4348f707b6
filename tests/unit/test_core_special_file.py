"""What is no file is written into and never replaced: devices, pipes, sockets, a process's own streams."""

import os
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import cidery
from cidery.core.getting.special_file import SpecialFile, is_special
from cidery.core.getting.target import CannotWrite, InTheWay, Target

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes with names")
DATA = b"bytes of a file\n" * 5000


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """A repository, a file and a folder in it."""
    folder = tmp_path_factory.mktemp("repo")
    (folder / "d").mkdir()
    (folder / "d" / "f").write_bytes(DATA)
    with cidery.open(folder / "repo", profile="test", offline=True) as node:
        return folder / "repo", str(node.add(DATA)), str(node.add(folder / "d"))


def get(repo: Path, *words: str | Path, **streams: object) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "cidery", "get", *map(str, words)]
    return subprocess.run(command, env={**os.environ, "CIDERY_PATH": str(repo)}, **{"capture_output": True, **streams})


def test_a_pipe_gets_the_bytes_and_stays(repo: tuple[Path, str, str], tmp_path: Path) -> None:
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    for path in (pipe, link):
        taken: list[bytes] = []
        reader = threading.Thread(target=lambda taken=taken: taken.append(pipe.read_bytes()))
        reader.start()
        done = get(repo[0], "-o", path, repo[1])
        reader.join()
        assert done.returncode == 0 and taken == [DATA] and done.stdout == b""
    assert stat.S_ISFIFO(pipe.lstat().st_mode) and link.is_symlink() and len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("path", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_standard_output_by_name_gets_the_bytes_and_nothing_else(repo: tuple[Path, str, str], path: str) -> None:
    if not os.path.exists(path):
        pytest.skip(f"there is no {path} here")
    assert get(repo[0], "-o", path, repo[1]).stdout == DATA


def test_standard_output_that_is_a_file_goes_on_at_its_end(repo: tuple[Path, str, str], tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as out:
        out.write(b"before ")
        out.flush()
        done = get(repo[0], "-o", "/dev/stdout", repo[1], capture_output=False, stdout=out, stderr=subprocess.PIPE)
    assert done.returncode == 0 and (tmp_path / "out").read_bytes() == b"before " + DATA


def test_a_device_takes_files_and_archives_and_stays(repo: tuple[Path, str, str], tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("/dev/null")
    before = os.stat("/dev/null")
    for options in ([], ["-a"], ["-C"], ["-a", "-C"]):
        for path in ("/dev/null", link):
            assert get(repo[0], *options, "-o", path, repo[1]).returncode == 0
    assert os.stat("/dev/null").st_rdev == before.st_rdev and os.readlink(link) == "/dev/null"
    assert list(tmp_path.iterdir()) == [link]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full here")
def test_a_device_that_is_full_says_so(repo: tuple[Path, str, str]) -> None:
    done = get(repo[0], "-o", "/dev/full", repo[1])
    assert done.returncode == 1 and b"cannot write '/dev/full': no space left" in done.stderr


def test_a_folder_does_not_fit_into_a_device(repo: tuple[Path, str, str]) -> None:
    done = get(repo[0], "-o", "/dev/null", repo[2])
    assert done.returncode == 1 and b"directory" in done.stderr and stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_a_library_call_replaces_no_device(repo: tuple[Path, str, str]) -> None:
    with cidery.open(repo[0], offline=True) as node, pytest.raises(InTheWay, match="a device, pipe or socket"):
        node.get(repo[1], "/dev/null")
    assert is_special("/dev/null") and not is_special("/dev") and not is_special("/dev/nothing/there")


def test_a_folder_that_is_there_gets_the_file_and_is_not_replaced(repo: tuple[Path, str, str], tmp_path: Path) -> None:
    (tmp_path / "there" / repo[1]).mkdir(parents=True)
    done = get(repo[0], "-o", tmp_path / "there", repo[1])
    assert done.returncode == 1 and b"a directory is there" in done.stderr
    (tmp_path / "there" / repo[1]).rmdir()
    assert get(repo[0], "-o", tmp_path / "there", repo[1]).returncode == 0
    assert [path.name for path in tmp_path.rglob("*")] == ["there", repo[1]]


def test_a_socket_inside_a_folder_is_not_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as held, Target(tmp_path / "tree") as target:
        target.make_directory(())
        held.bind(str(tmp_path / "tree" / "s"))
        for write in (
            lambda: target.write_file(("s",), "key", b"data"),
            lambda: target.write_symlink(("s",), "key", "elsewhere"),
        ):
            with pytest.raises(InTheWay, match="a device, pipe or socket"):
                write()
    assert [path.name for path in (tmp_path / "tree").iterdir()] == ["s"]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="needs root, who can give files away")
def test_a_symlink_of_another_user_is_not_replaced(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("nowhere")
    os.chown(link, 12345, -1, follow_symlinks=False)
    with Target(link) as target, pytest.raises(InTheWay, match="another user's symlink"):
        target.write_file((), "key", b"data")
    assert os.readlink(link) == "nowhere"


def test_a_pipe_that_may_not_be_written_says_so(tmp_path: Path) -> None:
    with pytest.raises(CannotWrite, match="no such file"):
        SpecialFile(tmp_path / "missing")
