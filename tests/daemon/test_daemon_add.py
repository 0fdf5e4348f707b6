"""The options of add: the same CIDs with and without a daemon, metadata, ignore rules and files of the web."""

import http.server
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.test_daemon import Daemon

BODY = b"from the web\n" * 1000


class Page(http.server.BaseHTTPRequestHandler):
    """GET /a%20file gives BODY, /short less than it says, anything else 404."""

    def do_GET(self) -> None:
        if self.path not in ("/d/a%20file", "/short"):
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY) + 10 * (self.path == "/short")))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, format: str, *args: object) -> None:
        """Not to standard error."""


@pytest.fixture(scope="module")
def web() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Daemon, Daemon]]:
    """A repository that a daemon serves, and one that commands open themselves."""
    served, alone = (Daemon(tmp_path_factory.mktemp("node") / "repo") for _ in range(2))
    try:
        served.start()
        alone.run("init", "--profile=test,unixfs-v0-2015")
        served.run("config", "profile", "apply", "unixfs-v0-2015")
        served.run("config", "--json", "Experimental.FilestoreEnabled", "true")
        served.run("config", "--json", "Experimental.FilestoreRoots", json.dumps([str(tmp_path_factory.getbasetemp())]))
        served.stop()
        served.start()
        yield served, alone
    finally:
        served.stop()


def folder(path: Path) -> Path:
    (path / "d" / "sub").mkdir(parents=True)
    for name in ("a", "b.log", "sub/c", "sub/d.log"):
        (path / "d" / name).write_text(name)
        os.chmod(path / "d" / name, 0o640)
        os.utime(path / "d" / name, ns=(1603539720000054321, 1603539720000054321))
    os.symlink("a", path / "d" / "link")
    for name in ("d", "d/sub"):
        os.chmod(path / name, 0o750)
        os.utime(path / name, (1600000000, 1600000000))
    return path / "d"


OPTIONS = [
    ["--preserve-mode", "--preserve-mtime"],
    ["--mode=0600", "--mtime=77", "--mtime-nsecs=5", "-w"],
    ["--ignore=*.log"],
    ["--nocopy"],
    ["--ignore=sub/", "--chunker=rabin", "--trickle"],
    ["--inline", "--inline-limit=16", "--cid-version=1"],
    ["--max-hamt-fanout=16", "--max-directory-links=1", "--hash=blake3", "--cid-version=1"],
    ["--raw-leaves", "--max-file-links=2", "--chunker=size-2"],
    [],
]


@pytest.mark.parametrize("options", OPTIONS, ids=" ".join)
def test_a_daemon_and_a_command_alone_add_the_same(
    both: tuple[Daemon, Daemon], tmp_path: Path, options: list[str]
) -> None:
    path = folder(tmp_path)
    served, alone = (node.text("add", "-r", *options, path) for node in both)
    assert served == alone
    assert ("b.log" in served) == ("--ignore=*.log" not in options)
    assert ("sub/c" in served) == ("--ignore=sub/" not in options)


def test_rules_of_a_file_are_used_and_wrong_ones_are_named(both: tuple[Daemon, Daemon], tmp_path: Path) -> None:
    path = folder(tmp_path)
    (tmp_path / "rules").write_text("# logs\n*.log\n")
    for node in both:
        names = node.text("add", "-r", f"--ignore-rules-path={tmp_path / 'rules'}", "--ignore=!b.log", path)
        assert "d/b.log" in names and "sub/d.log" not in names
        failed = node.run("add", "-r", "--ignore-rules-path=absent", path, check=False)
        assert failed.returncode == 1 and b"cannot read the rules in absent" in failed.stderr


def test_metadata_is_listed_and_read_back(both: tuple[Daemon, Daemon], tmp_path: Path) -> None:
    path = folder(tmp_path)
    for node in both:
        root = node.text("add", "-Qr", "--preserve-mode", "--preserve-mtime", path)
        lines = node.text("ls", "-l", root).splitlines()
        assert lines[0].startswith("-rw-r----- Qm") and lines[0].endswith(" 1 2020-10-24T11:42:00.000054321Z a")
        assert lines[-1].startswith("drwxr-x---") and lines[-1].split()[2:] == ["-", "2020-09-13T12:26:40Z", "sub/"]
        events = node.text("add", "-r", "--enc=json", "--preserve-mode", "--preserve-mtime", path).splitlines()
        first = json.loads(events[0])
        assert (first["Mode"], first["Mtime"], first["MtimeNsecs"]) == ("0640", 1603539720, 54321)


@pytest.mark.parametrize(
    ("options", "cid"),
    [
        (["--mode=0640"], "QmQLgxypSNGNFTuUPGCecq6dDEjb6hNB5xSyVmP3cEuNtq"),
        (["--mtime=1604320482"], "QmQ6kErEW8kztQFV8vbwNU8E4dmtGsYpRiboiLxUEwibvj"),
        (
            ["--mode=0764", "--mtime=1603539720", "--mtime-nsecs=54321"],
            "QmUkxrtBA8tPjwCYz1HrsoRfDz6NgKut3asVeHVQNH4C8L",
        ),
    ],
)
def test_given_metadata_gives_kubos_cids(
    both: tuple[Daemon, Daemon], tmp_path: Path, options: list[str], cid: str
) -> None:
    (tmp_path / "empty").touch()
    for node in both:
        assert node.text("add", "-Q", *options, tmp_path / "empty") == cid


def test_a_file_of_the_web_is_added_under_its_name(both: tuple[Daemon, Daemon], web: str, tmp_path: Path) -> None:
    (tmp_path / "a file").write_bytes(BODY)
    for node in both:
        assert node.text("add", f"{web}/d/a%20file") == node.text("add", tmp_path / "a file")
        for path, reason in (("/absent", b"404"), ("/short", b"10 bytes early")):
            failed = node.run("add", web + path, check=False)
            assert failed.returncode == 1 and reason in failed.stderr


@pytest.mark.parametrize(
    ("option", "advice"),
    [
        ("--mode=rw", b"takes permission bits"),
        ("--mode=010000", b"takes permission bits"),
        ("--mtime-nsecs=5", b"needs --mtime"),
        ("--inline-limit=200 --inline", b"0 to 128 are allowed"),
        ("--chunker=rabin-1", b"rabin needs"),
        ("--raw-leaves --mode=0600", b"raw leaves cannot hold mode"),
    ],
)
def test_options_that_cannot_be_get_one_line(
    both: tuple[Daemon, Daemon], tmp_path: Path, option: str, advice: bytes
) -> None:
    (tmp_path / "empty").touch()
    for node in both:
        failed = node.run("add", *option.split(), tmp_path / "empty", check=False)
        assert failed.returncode == 1 and advice in failed.stderr and failed.stderr.count(b"\n") == 1


def test_what_cannot_be_added_is_told_in_the_same_words(both: tuple[Daemon, Daemon], tmp_path: Path) -> None:
    for words in ([tmp_path / "nope"], [tmp_path], ["-r", tmp_path / "nope"]):
        served, alone = (node.run("add", *words, check=False) for node in both)
        assert served.stderr == alone.stderr and served.returncode == alone.returncode == 1


def test_a_file_named_twice_is_added_once(both: tuple[Daemon, Daemon], tmp_path: Path) -> None:
    (tmp_path / "f").write_text("bytes")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "f").write_text("other")
    for node in both:
        once = node.text("add", tmp_path / "f")
        assert node.text("add", tmp_path / "f", f"{tmp_path}/./f") == once
        wrapped = node.text("add", "-w", tmp_path / "f")
        assert node.text("add", "-w", tmp_path / "f", tmp_path / "f") == wrapped
        failed = node.run("add", tmp_path / "f", tmp_path / "sub" / "f", check=False)
        assert failed.returncode == 1 and b"two entries would have this name" in failed.stderr


def test_a_hash_that_cidv0_cannot_have_is_refused_where_version_0_is_stated(
    both: tuple[Daemon, Daemon], tmp_path: Path
) -> None:
    (tmp_path / "f").write_text("bytes")
    for node in both:
        for words in (["--hash=blake3"], ["--hash=identity"], ["--cid-profile=unixfs-v0-2015", "--hash=sha2-512"]):
            failed = node.run("add", *words, tmp_path / "f", check=False)
            assert failed.returncode == 1 and b"CIDv0 only supports sha2-256" in failed.stderr
        assert node.text("add", "-Q", "--cid-version=1", "--hash=blake3", tmp_path / "f").startswith("bafk")


def test_the_identity_hash_puts_the_bytes_into_the_cid(both: tuple[Daemon, Daemon], tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").write_text("bytes")
    (tmp_path / "most").write_bytes(bytes(128))
    (tmp_path / "more").write_bytes(bytes(129))
    for node in both:
        words = ["add", "-Qr", "--cid-version=1", "--hash=identity"]
        assert node.text(*words, tmp_path / "d" / "f") == "bafkqablcpf2gk4y"
        root = node.text(*words, tmp_path / "d")
        assert root.startswith("bafyaa") and node.text("cat", f"{root}/f") == "bytes"
        assert node.text("cat", node.text(*words, tmp_path / "most")) == "\0" * 128
        failed = node.run(*words, tmp_path / "more", check=False)
        assert failed.returncode == 1 and b"at most 128 are allowed" in failed.stderr


def test_symlinks_on_the_line_are_followed_when_asked(both: tuple[Daemon, Daemon], tmp_path: Path) -> None:
    path = folder(tmp_path)
    os.symlink("d", tmp_path / "to-d")
    os.symlink("d/a", tmp_path / "to-a")
    for node in both:
        assert node.text("add", "-q", "--dereference-args", tmp_path / "to-a") == node.text("add", "-q", path / "a")
        followed = node.text("add", "-Qr", "--dereference-args", tmp_path / "to-d")
        assert followed == node.text("add", "-Qr", path), "the symlinks inside stay"
        assert node.text("add", "-Q", tmp_path / "to-a") != node.text("add", "-Q", path / "a")


def test_a_file_without_permissions_has_no_mode(both: tuple[Daemon, Daemon], tmp_path: Path) -> None:
    (tmp_path / "f").write_text("bytes")
    os.chmod(tmp_path / "f", 0)
    if not os.access(tmp_path / "f", os.R_OK):
        pytest.skip("only root reads a file of mode 0")
    for node in both:
        assert "Mode" not in json.loads(node.text("add", "--enc=json", "--preserve-mode", tmp_path / "f"))
        assert node.text("add", "-q", "--preserve-mode", tmp_path / "f") == node.text("add", "-q", tmp_path / "f")


def test_options_of_kubos_scripts_that_change_nothing_are_accepted(both: tuple[Daemon, Daemon], tmp_path: Path) -> None:
    (tmp_path / "f").write_text("bytes")
    options = ["--fast-provide-root=false", "--fast-provide-dag", "--fast-provide-wait", "--max-file-links=0"]
    for node in both:
        assert node.text("add", *options, tmp_path / "f") == node.text("add", tmp_path / "f")


def test_a_directory_can_be_kept_in_one_block_whatever_its_size(tmp_path: Path) -> None:
    for number in range(300):
        (tmp_path / "d").mkdir(exist_ok=True)
        (tmp_path / "d" / f"f{number:03}").touch()
    node = Daemon(tmp_path / "repo")
    node.run("init", "--profile=test")
    usual = node.text("add", "-Qr", tmp_path / "d")
    node.run("config", "Import.UnixFSHAMTDirectorySizeThreshold", "1KiB")
    sharded = node.text("add", "-Qr", tmp_path / "d")
    node.run("config", "Import.UnixFSHAMTDirectorySizeEstimation", "disabled")
    assert node.text("add", "-Qr", tmp_path / "d") == usual != sharded
    assert node.text("add", "-Qr", "--max-directory-links=100", tmp_path / "d") == sharded


def test_import_hidden_is_obeyed_with_and_without_a_daemon(tmp_path: Path) -> None:
    folder = tmp_path / "x.zarr"
    folder.mkdir()
    (folder / ".zarray").write_text("{}")
    (folder / "0").write_text("0")
    daemon = Daemon(tmp_path / "repo")
    daemon.start()
    try:
        without = daemon.text("add", "-Qr", folder)
        daemon.run("config", "profile", "apply", "data")
    finally:
        daemon.stop()
    assert daemon.text("ls", without).split()[-1:] == ["0"]
    alone = daemon.text("add", "-Qr", folder)
    daemon.start()
    try:
        assert daemon.text("add", "-Qr", folder) == alone != without
        assert daemon.text("add", "-Qr", "--hidden=false", folder) == without
        assert ".zarray" in daemon.text("ls", alone)
    finally:
        daemon.stop()
