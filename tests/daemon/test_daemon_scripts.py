"""What scripts do: pipes and streams as files, archives and folders as outputs; the same with and without a daemon."""

import io
import os
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from cidery.ipld.block import MAX_BLOCK
from daemon.test_daemon import Daemon

ARCHIVE = (
    Path(__file__).parent.parent / "vectors/gateway-conformance/fixtures/trustless_gateway_car"
) / "dir-with-dag-cbor-with-links.car"
HELLO = "bafkreibhoce5shal35hs42dcxj7eub3akemugh25cp3snxjvfmdpdmqgve"


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Daemon, Daemon]]:
    """A repository that a daemon serves, and one that commands open themselves."""
    served, alone = (Daemon(tmp_path_factory.mktemp("node") / "repo") for _ in range(2))
    try:
        served.start()
        alone.run("init", "--profile=test")
        yield served, alone
    finally:
        served.stop()


@contextmanager
def fifo(path: Path, data: bytes) -> Iterator[Path]:
    """A named pipe that somebody writes into."""
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(data,))
    writer.start()
    yield path
    writer.join()
    path.unlink()


def test_a_named_pipe_is_read_where_a_file_is_taken(both: tuple[Daemon, Daemon], tmp_path: Path) -> None:
    for node in both:
        with fifo(tmp_path / "p", b"bytes") as path:
            assert node.text("add", path) == f"added {HELLO} p"
        with fifo(tmp_path / "p", b"bytes") as path:
            assert node.text("block", "put", path) == HELLO
        with fifo(tmp_path / "p", b'{"data":1234}') as path:
            assert node.text("dag", "put", path) == "bafyreidbm2zncsc3j25zn7lofgd4woeh6eygdy73thfosuni2rwr3bhcvu"
        with fifo(tmp_path / "p", ARCHIVE.read_bytes()) as path:
            assert node.text("dag", "import", "--stats", path).endswith("Imported 9 blocks (1462 bytes)")
        with fifo(tmp_path / "p", b"bytes") as path:
            node.run("files", "write", "--create", "--truncate", "/f", path)
            assert node.text("files", "read", "/f") == "bytes"


def test_dev_stdin_is_a_file_too(both: tuple[Daemon, Daemon]) -> None:
    for node in both:
        assert node.text("add", "-q", "/dev/stdin", stdin=b"bytes") == HELLO
        assert node.text("block", "put", "/dev/stdin", stdin=b"bytes") == HELLO
        imported = node.text("dag", "import", "--stats", "/dev/stdin", stdin=ARCHIVE.read_bytes())
        assert imported.endswith("Imported 9 blocks (1462 bytes)")


def test_a_dash_is_standard_output(both: tuple[Daemon, Daemon], tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_bytes(b"bytes")
    for node in both:
        folder = node.text("add", "-rQ", tmp_path / "folder")
        assert node.run("get", "-o", "-", f"{folder}/file").stdout == b"bytes"
        with tarfile.open(fileobj=io.BytesIO(node.run("get", "-a", "-o", "-", folder).stdout)) as archive:
            assert archive.getnames() == [folder, f"{folder}/file"]
        refused = node.run("get", "-o", "-", folder, check=False)
        assert refused.returncode == 1 and b"is a directory, not a file" in refused.stderr


def test_a_block_that_is_too_large_is_refused_as_soon_as_that_is_known(both: tuple[Daemon, Daemon]) -> None:
    for node in both:
        with subprocess.Popen(
            node.command("block", "put"), env=node.environment, stdin=subprocess.PIPE, stderr=subprocess.PIPE
        ) as putting:
            assert putting.stdin is not None and putting.stderr is not None
            try:
                putting.stdin.write(bytes(2 * MAX_BLOCK))
                putting.stdin.flush()
            except BrokenPipeError:
                pass  # it has seen enough
            assert b"other nodes take at most 2097152" in putting.stderr.read(), "though the input goes on"
            with suppress(BrokenPipeError):
                putting.stdin.close()


def test_nobody_listens_at_the_port_0(both: tuple[Daemon, Daemon]) -> None:
    address = "/ip4/127.0.0.1/tcp/0/p2p/12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"
    assert b"has the port 0" in both[0].run("swarm", "connect", address, check=False).stderr


def test_a_pipe_inside_a_folder_is_refused(both: tuple[Daemon, Daemon], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "p")
    for node in both:
        assert node.run("add", "-r", tmp_path, check=False).returncode == 1


@pytest.mark.parametrize(
    ("options", "output", "written"),
    [
        ("-a", "foo", "foo.tar"),
        ("-a", "foo.tar", "foo.tar"),
        ("-a -C", "foo", "foo.tar.gz"),
        ("-a -C", "foo.tar.gz", "foo.tar.gz"),
        ("-C", "foo", "foo.gz"),
        ("-C -l 3", "foo.gz", "foo.gz"),
        ("-l -1", "foo", "foo"),
    ],
)
def test_an_archive_gets_the_ending_of_its_format(
    both: tuple[Daemon, Daemon], tmp_path: Path, options: str, output: str, written: str
) -> None:
    for node in both:
        cid = node.text("add", "-q", stdin=b"bytes")
        out = tmp_path / node.repo.parent.name
        out.mkdir()
        node.run("get", *options.split(), "-o", out / output, cid)
        assert [path.name for path in out.iterdir()] == [written]


def test_a_file_is_put_into_a_folder_that_is_there(both: tuple[Daemon, Daemon], tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").write_bytes(b"bytes")
    os.symlink("f", tmp_path / "d" / "l")
    for node in both:
        root = node.text("add", "-Qr", tmp_path / "d")
        out = tmp_path / node.repo.parent.name
        out.mkdir()
        node.run("get", "-o", out, f"{root}/f")
        node.run("get", "-o", out, f"/ipfs/{root}/l")
        node.run("get", "-o", out, HELLO)
        assert {path.name for path in out.iterdir()} == {"f", "l", HELLO} and (out / "f").read_bytes() == b"bytes"
        node.run("get", "-o", out, root)
        assert (out / "f").read_bytes() == b"bytes" and not (out / root).exists()


def test_a_name_for_a_pin_needs_a_pin(both: tuple[Daemon, Daemon]) -> None:
    for node in both:
        failed = node.run("add", "--pin=false", "--pin-name=x", stdin=b"bytes", check=False)
        assert failed.returncode == 1 and b"needs --pin" in failed.stderr


def test_a_key_may_have_a_slash_in_its_name(both: tuple[Daemon, Daemon]) -> None:
    for node in both:
        made = node.text("key", "gen", "a/b")
        assert f"{made} a/b" in [" ".join(line.split()) for line in node.text("key", "ls", "-l").splitlines()]
        cid = node.text("add", "-q", stdin=b"bytes")
        node.run("name", "publish", "--allow-offline", "--key=a/b", cid)
        assert node.text("name", "resolve", made) == f"/ipfs/{cid}"
