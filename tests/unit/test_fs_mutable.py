"""Writing: whole files, transactions, failures in between, and what is there afterwards."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed: pip install 'cidery[fs]'")

import cidery  # noqa: E402
import cidery.fs  # noqa: E402


@pytest.fixture(scope="module")
def fs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cidery.fs.CideryFileSystem]:
    repo = tmp_path_factory.mktemp("mutable") / "repo"
    with cidery.open(repo, profile="test", offline=True):
        pass
    made = cidery.fs.CideryFileSystem(repo=str(repo))
    yield made
    made.close()


def test_an_empty_tree_can_be_listed(fs: cidery.fs.CideryFileSystem) -> None:
    assert fs.ls("cidery:///") == [] and fs.isdir("/") and not fs.exists("/nothing")


def test_a_file_appears_when_it_is_closed_and_as_a_whole(fs: cidery.fs.CideryFileSystem) -> None:
    with fs.open("/whole/file", "wb") as file:
        file.write(b"first")
        assert not fs.exists("/whole/file")
    with fs.open("cidery:///whole/file", "wb") as file:
        file.write(b"second")
        assert fs.cat_file("/whole/file") == b"first"
    assert fs.cat_file("/whole/file") == b"second"


def test_a_file_whose_writer_fails_stays_as_it_was(fs: cidery.fs.CideryFileSystem) -> None:
    fs.pipe_file("/kept", b"before")
    with pytest.raises(RuntimeError), fs.open("/kept", "wb") as file:
        file.write(b"half")
        raise RuntimeError
    assert fs.cat_file("/kept") == b"before"


def test_a_transaction_puts_all_in_place_at_its_end_or_nothing(fs: cidery.fs.CideryFileSystem) -> None:
    with fs.transaction:
        for name in ("a", "b"):
            with fs.open(f"/together/{name}", "wb") as file:
                file.write(name.encode())
        assert not fs.exists("/together/a")
    assert fs.cat("/together/*") == {"/together/a": b"a", "/together/b": b"b"}
    with pytest.raises(RuntimeError), fs.transaction:
        with fs.open("/together/c", "wb") as file:
            file.write(b"c")
        raise RuntimeError
    assert fs.ls("/together", detail=False) == ["/together/a", "/together/b"]


def test_modes_do_what_they_do_elsewhere(fs: cidery.fs.CideryFileSystem) -> None:
    with fs.open("/modes", "xb") as file:
        file.write(b"0123456789")
    with pytest.raises(FileExistsError):
        fs.open("/modes", "xb")
    with fs.open("/modes", "ab") as file:
        file.write(b"ab")
    with fs.open("/modes", "r+b") as file:
        file.seek(2)
        file.write(b"__")
        file.seek(0)
        assert file.read() == b"01__456789ab"
    assert fs.cat_file("/modes") == b"01__456789ab"
    with fs.open("/modes", "wt") as text:
        text.write("text")
    assert fs.cat_file("/modes") == b"text"
    with pytest.raises(FileNotFoundError):
        fs.open("/nothing", "r+b")
    with pytest.raises(IsADirectoryError):
        fs.open("/", "wb")


def test_an_open_file_keeps_its_content_when_another_is_put_in_its_place(fs: cidery.fs.CideryFileSystem) -> None:
    fs.pipe_file("/moving", b"old" * 1000)
    with fs.open("/moving", "rb", cache_type="none") as file:
        assert file.read(3) == b"old"
        fs.pipe_file("/moving", b"new" * 1000)
        assert file.read(3) == b"old"
    assert fs.cat_file("/moving", 0, 3) == b"new"


def test_programs_that_seek_back_can_write(fs: cidery.fs.CideryFileSystem) -> None:
    with fs.open("/archive.zip", "wb") as file, zipfile.ZipFile(file, "w") as archive:
        archive.writestr("inside", "zipped")
    with fs.open("/archive.zip") as file, zipfile.ZipFile(file) as archive:
        assert archive.read("inside") == b"zipped"


def test_a_large_file_goes_in_and_out(fs: cidery.fs.CideryFileSystem, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(bytes(range(256)) * 100_000)
    fs.put_file(str(tmp_path / "in"), "/large")
    fs.get_file("/large", str(tmp_path / "out"))
    assert (tmp_path / "out").read_bytes() == (tmp_path / "in").read_bytes()


def test_a_folder_has_a_cid_that_names_what_was_in_it(fs: cidery.fs.CideryFileSystem) -> None:
    fs.pipe({"/named/a": b"1", "/named/sub/b": b"2"})
    cid = fs.cid("/named")
    fs.rm("/named/a")
    fs.rm("/named/sub", recursive=True)
    assert fs.ls("/named") == []
    content = cidery.fs.IPFSFileSystem(**fs.storage_options)
    assert content.cat(cid, recursive=True, on_error="omit") == {f"{cid}/a": b"1", f"{cid}/sub/b": b"2"}
    with fs.transaction:
        fs.cp_file("/named", "/again")
    assert fs.isdir("/again")


def test_folders_are_moved_in_one_step(fs: cidery.fs.CideryFileSystem) -> None:
    fs.pipe({"/from/a": b"1", "/from/sub/b": b"2"})
    cid = fs.cid("/from")
    with pytest.raises(IsADirectoryError):
        fs.mv("/from", "/to")
    fs.mv("/from", "/deep/to", recursive=True)
    assert fs.cid("/deep/to") == cid and not fs.exists("/from")
    fs.makedirs("/into")
    fs.mv("/deep/to", "/into", recursive=True)
    assert fs.cid("/into/to") == cid
    with pytest.raises(OSError, match="not empty"):
        fs.rmdir("/into")
    fs.rm("/into/to", recursive=True)
    fs.rmdir("/into")
    assert not fs.exists("/into")


def test_errors_are_those_of_a_file_system(fs: cidery.fs.CideryFileSystem) -> None:
    fs.pipe_file("/is-file", b"1")
    fs.makedirs("/is-folder", exist_ok=True)
    with pytest.raises(NotADirectoryError):
        fs.pipe_file("/is-file/below", b"1")
    with pytest.raises(IsADirectoryError):
        fs.pipe_file("/is-folder", b"1")
    with pytest.raises(FileExistsError):
        fs.mkdir("/is-folder")
    with pytest.raises(FileExistsError):
        fs.makedirs("/is-file", exist_ok=True)
    with pytest.raises(IsADirectoryError):
        fs.rm("/is-folder")
    with pytest.raises(OSError):
        fs.pipe_file("/" + "n" * 300, b"1")
    with pytest.raises(FileNotFoundError):
        fs.cat_file("/../above")
