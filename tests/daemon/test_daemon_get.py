"""`cidery get` through a daemon: from its segments where they can be read, and by its answer where not."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cidery.client.address import find_daemon
from cidery.client.answer import DaemonGone
from cidery.client.blocking import call
from cidery.core.getting.extents import MEDIA_TYPE, FileRange, Segments, extent_pieces
from cidery.core.getting.untar import unpack_tar
from daemon.test_daemon import Daemon


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    made = Daemon(tmp_path_factory.mktemp("node") / "repo")
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("source") / "folder"
    (made / "deep").mkdir(parents=True)
    (made / "deep" / "large").write_bytes(os.urandom(9_000_000))
    (made / "small").write_bytes(b"small")
    (made / "empty").touch()
    return made


def same(one: Path, other: Path) -> bool:
    names = [path.relative_to(one) for path in one.rglob("*")]
    assert sorted(names) == sorted(path.relative_to(other) for path in other.rglob("*"))
    return all((one / name).is_dir() or (one / name).read_bytes() == (other / name).read_bytes() for name in names)


def received(daemon: Daemon, cid: str, content_type: str, *, token: bool = True) -> tuple[str, int]:
    """The media type of an answer, and its bytes; nothing is said to be taken."""
    endpoint = find_daemon(str(daemon.repo))
    assert endpoint is not None and endpoint.token
    if not token:
        endpoint = endpoint._replace(token="")
    with call(endpoint, ["get"], [("arg", cid)], content_type=content_type) as answer:
        size = 0
        for chunk in answer.chunks():
            size += len(chunk)
            if chunk.endswith(b"E\n"):
                break
        return answer.headers["content-type"], size


@pytest.mark.parametrize("profile", ["unixfs-v1-2025", "unixfs-v0-2015"])
def test_the_owner_is_told_places_and_others_get_bytes(daemon: Daemon, folder: Path, profile: str) -> None:
    cid = daemon.text("add", "-rQ", f"--cid-profile={profile}", folder)
    kind, size = received(daemon, cid, MEDIA_TYPE)
    assert kind == MEDIA_TYPE and size < 20_000
    assert received(daemon, cid, "")[0] == "application/x-tar"
    kind, size = received(daemon, cid, MEDIA_TYPE, token=False)
    assert kind == "application/x-tar" and size > 9_000_000


@pytest.mark.parametrize("profile", ["unixfs-v1-2025", "unixfs-v0-2015"])
def test_a_folder_is_saved_from_the_segments(daemon: Daemon, folder: Path, tmp_path: Path, profile: str) -> None:
    cid = daemon.text("add", "-rQ", f"--cid-profile={profile}", folder)
    daemon.run("get", cid, "-o", tmp_path / "out")
    assert same(folder, tmp_path / "out")
    daemon.run("get", "-a", cid, "-o", tmp_path / "archive")
    assert (tmp_path / "archive.tar").stat().st_size > 9_000_000
    assert not list((daemon.repo / "meta" / "jobs").glob("*.get"))


def test_what_the_command_cannot_read_is_sent(daemon: Daemon, folder: Path, tmp_path: Path) -> None:
    cid = daemon.text("add", "-rQ", folder)
    aside = tmp_path / "aside"
    aside.mkdir()
    segments = list((daemon.repo / "blocks").glob("*.car"))
    for segment in segments:  # the daemon has them open
        segment.rename(aside / segment.name)
    try:
        done = daemon.run("get", cid, "-o", tmp_path / "out")
    finally:
        for segment in segments:
            (aside / segment.name).rename(segment)
    assert same(folder, tmp_path / "out")
    assert done.stdout.count(b"Saving file(s)") == 1
    api = (daemon.repo / "api").read_text()
    daemon.run("get", "--api", api, cid, "-o", tmp_path / "by-address")
    assert same(folder, tmp_path / "by-address")


def test_a_get_that_was_cut_off_goes_on(daemon: Daemon, tmp_path: Path) -> None:
    data = os.urandom(40 << 20)
    (tmp_path / "source").write_bytes(data)
    cid = daemon.text("add", "-Q", tmp_path / "source")
    cut = (
        "import sys\nfrom cidery.core.getting.extents import FileRange\nfrom cidery.cli.main import main\n"
        "copy, count = FileRange.copy_to, iter(range(20))\n"
        "def few(self, out, at):\n    import os\n"
        "    os._exit(7) if next(count, None) is None else copy(self, out, at)\n"
        "FileRange.copy_to = few\nmain(sys.argv[1:])\n"
    )
    words = ["get", cid, "-o", str(tmp_path / "out")]
    ended = subprocess.run([sys.executable, "-c", cut, *words], env=daemon.environment, capture_output=True)
    assert ended.returncode == 7, ended.stderr
    (part,) = tmp_path.glob(".*part")
    inode = part.stat().st_ino
    daemon.run(*words)
    assert (tmp_path / "out").read_bytes() == data and (tmp_path / "out").stat().st_ino == inode


@pytest.mark.parametrize("served", [True, False], ids=["by a daemon", "without a daemon"])
def test_a_get_that_was_interrupted_says_how_to_go_on_and_is_a_job(
    daemon: Daemon, tmp_path: Path, served: bool
) -> None:
    node = daemon if served else Daemon(tmp_path / "repo")
    if not served:
        node.run("init", "--profile=test")
    data = os.urandom(40 << 20)
    (tmp_path / "source").write_bytes(data)
    cid = node.text("add", "-Q", tmp_path / "source")
    where = "FileRange, 'copy_to'" if served else "FileCopy, 'write'"
    interrupt = (
        "import os, signal, sys\nfrom cidery.core.getting.extents import FileRange\n"
        "from cidery.core.getting.file_copy import FileCopy\nfrom cidery.cli.main import main\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\ncount = iter(range(20 if sys.argv[1] else 2))\n"
        f"real = getattr({where})\n"
        "def few(*given):\n"
        "    if next(count, None) is None: os.kill(os.getpid(), signal.SIGINT)\n"
        "    return real(*given)\n"
        f"setattr({where}, few)\nsys.exit(main(sys.argv[2:]))\n"
    )
    words = ["get", cid, "-o", str(tmp_path / "out")]
    run = [sys.executable, "-c", interrupt, "served" if served else "", *words]
    ended = subprocess.run(run, env=node.environment, capture_output=True, timeout=60)
    assert ended.returncode == 130, ended.stderr
    assert ended.stderr.count(b"Repeat the command to resume; see: cidery jobs") == 1
    assert [line for line in node.text("jobs").splitlines() if "interrupted" in line and str(tmp_path) in line]
    node.run(*words)
    assert (tmp_path / "out").read_bytes() == data


def test_a_collection_during_a_get_takes_nothing_from_it(daemon: Daemon, tmp_path: Path) -> None:
    data = os.urandom(5 << 20)
    (tmp_path / "source").write_bytes(data)
    cid = daemon.text("add", "-Q", "--pin=false", tmp_path / "source")
    endpoint = find_daemon(str(daemon.repo))
    assert endpoint is not None
    segments = Segments(str(daemon.repo / "blocks"))
    with call(endpoint, ["get"], [("arg", cid)], content_type=MEDIA_TYPE) as answer:
        frames = []
        for chunk in answer.chunks():
            frames.append(chunk)
            if chunk.endswith(b"E\n"):
                break
        daemon.run("repo", "gc", "--quiet")
        assert daemon.run("block", "stat", "--offline", cid, check=False).returncode
        pieces = extent_pieces(frames, segments, answer.say)
        list(unpack_tar(pieces, tmp_path / "out"))
        assert not [piece for piece in pieces if isinstance(piece, FileRange)]
        assert list(answer.chunks()) == []
    segments.close()
    assert (tmp_path / "out").read_bytes() == data


def test_a_reader_that_says_nothing_more_ends_its_call_only(daemon: Daemon, folder: Path) -> None:
    cid = daemon.text("add", "-rQ", folder)
    received(daemon, cid, MEDIA_TYPE)  # and closes its connection
    endpoint = find_daemon(str(daemon.repo))
    assert endpoint is not None
    with call(endpoint, ["get"], [("arg", cid)], content_type=MEDIA_TYPE) as answer:
        answer.abort()
        with pytest.raises(DaemonGone):
            while True:
                answer.say(b".")
    assert received(daemon, cid, MEDIA_TYPE)[0] == MEDIA_TYPE
