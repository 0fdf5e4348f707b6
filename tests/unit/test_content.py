"""Work on content without a node: CIDs of files, checking them, and archives."""

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import cidery
from cidery.content.verifying import RECIPES, CannotVerify, ContentDiffers, Difference
from cidery.core.adding.items import CannotAdd, NotAddable
from cidery.errors import NotFound
from cidery.ipld.car_reader import BadCar
from cidery.unixfs.profile import ImportOptionError

LIMIT = 60.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    top = tmp_path / "photos"
    (top / "deep" / "er").mkdir(parents=True)
    (top / "empty").mkdir()
    (top / "deep" / "big").write_bytes(os.urandom(3_000_001))
    (top / "deep" / "er" / "none").write_bytes(b"")
    (top / "small").write_bytes(b"small")
    (top / ".hidden").write_bytes(b"hidden")
    (top / "skip.log").write_bytes(b"log")
    (top / "link").symlink_to("deep/big")
    return top


OPTIONS: list[tuple[dict[str, Any], list[str]]] = [
    ({}, []),
    ({"hidden": True, "wrap": True}, ["--hidden", "-w"]),
    ({"profile": "unixfs-v0-2015"}, ["--cid-profile=unixfs-v0-2015"]),
    ({"profile": "unixfs-v0-2015", "raw_leaves": True}, ["--cid-profile=unixfs-v0-2015", "--raw-leaves"]),
    ({"chunker": "rabin-65536-131072-262144"}, ["--chunker=rabin-65536-131072-262144"]),
    ({"chunker": "buzhash", "trickle": True}, ["--chunker=buzhash", "--trickle"]),
    ({"chunker": "fastcdc", "hash": "blake3"}, ["--chunker=fastcdc", "--hash=blake3"]),
    ({"chunker": "size-1000", "max_links": 10}, ["--chunker=size-1000", "--max-file-links=10"]),
    ({"ignore": ["*.log"], "preserve_mode": True, "preserve_mtime": True},
     ["--ignore=*.log", "--preserve-mode", "--preserve-mtime"]),
]  # fmt: skip


@pytest.mark.parametrize(("options", "words"), OPTIONS)
def test_cid_of_is_the_cid_that_add_prints(
    options: dict[str, Any], words: list[str], folder: Path, tmp_path: Path
) -> None:
    cidery_ = [sys.executable, "-m", "cidery", "--repo-dir", str(tmp_path / "repo")]
    subprocess.run([*cidery_, "init", "--profile=test"], check=True, capture_output=True)
    for source in (folder, folder / "deep" / "big", folder / "deep" / "er" / "none", folder / "link"):
        done = subprocess.run(
            [*cidery_, "add", "-rQn", *words, source], check=True, capture_output=True, text=True, timeout=LIMIT
        )
        assert str(cidery.cid_of(source, **options)) == done.stdout.strip(), source


async def test_cid_of_bytes_and_of_a_sharded_folder(node: cidery.Node, tmp_path: Path) -> None:
    data = os.urandom(2_500_000)
    assert cidery.cid_of(data) == await node.add(data)
    assert cidery.cid_of(bytearray(data), wrap=True) == await node.add(data, wrap=True)
    many = tmp_path / "many"
    many.mkdir()
    for number in range(4000):
        (many / f"a file with quite a long name so that the directory is sharded {number}").write_bytes(b"")
    cid = cidery.cid_of(str(many))
    assert cid == await node.add(many)
    blocks = {one.target: await node.block.get(one.target) async for one in node.refs(cid, recursive=True)}
    blocks[cid] = await node.block.get(cid)
    assert cidery.verify(many, cid, blocks=blocks.__getitem__) == "compared with its blocks"
    os.unlink(many / os.listdir(many)[0])
    with pytest.raises(ContentDiffers, match="it is missing"):
        cidery.verify(many, cid, blocks=blocks.__getitem__)


def test_what_has_no_cid_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CannotAdd):
        cidery.cid_of(tmp_path / "nothing")
    with pytest.raises(NotAddable):
        cidery.cid_of(5)  # type: ignore[arg-type]
    with pytest.raises(ImportOptionError):
        cidery.cid_of(b"", profile="nonsense")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CannotAdd, match="pipe"):
        cidery.cid_of(tmp_path)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_folder_made_by_usual_rules_is_verified_by_its_cid_alone(recipe: str, folder: Path) -> None:
    from cidery.content.hashing import cid_by
    from cidery.core.adding.items import ScanOptions

    for hidden in (False, True):
        cid = cid_by(folder, RECIPES[recipe], ScanOptions(hidden=hidden))
        assert cidery.verify(folder, cid).startswith("made by ")
    assert cidery.verify(str(folder / "small"), str(cid_by(folder / "small", RECIPES[recipe], ScanOptions())))
    (folder / "small").write_bytes(b"SMALL")
    with pytest.raises(CannotVerify, match="blocks="):
        cidery.verify(folder, cid)


def test_a_file_of_one_raw_block_is_known_to_differ(folder: Path) -> None:
    cid = cidery.cid_of(b"small")
    assert cidery.verify(folder / "small", cid) == "one raw block"
    for other in ("link", "deep", "none", ".hidden", "deep/big"):
        with pytest.raises(ContentDiffers):
            cidery.verify(folder / other, cid)


@pytest.mark.parametrize(
    "options",
    [
        {}, {"chunker": "rabin-65536-131072-262144"}, {"profile": "unixfs-v0-2015"},
        {"profile": "unixfs-v0-2015", "chunker": "size-10000"},
    ],
)  # fmt: skip
async def test_each_difference_is_named_whatever_rules_made_the_dag(
    options: dict[str, Any], node: cidery.Node, folder: Path, tmp_path: Path
) -> None:
    cid = await node.add(folder, **options)
    path = tmp_path / "photos.car"
    async for chunk in node.car.export(cid):
        with path.open("ab") as file:
            file.write(chunk)
    with cidery.car.open(path) as archive:
        assert archive.roots == (cid,) and archive.version == 1
        assert cidery.verify(folder, cid, blocks=archive.get) == "compared with its blocks"
        with (folder / "deep" / "big").open("r+b") as file:
            file.seek(2_000_000)
            was = file.read(1)
            file.seek(2_000_000)
            file.write(bytes([was[0] ^ 1]))
        (folder / "small").write_bytes(b"longer than it was")
        (folder / "new").mkdir()
        (folder / "empty").rmdir()
        (folder / "link").unlink()
        (folder / "link").symlink_to("elsewhere")
        with pytest.raises(ContentDiffers) as caught:
            cidery.verify(folder, cid, blocks=archive.get)
    found = {one.path: one.reason for one in caught.value.differences}
    assert list(found) == ["deep/big", "empty", "link", "small", "new"]
    assert found["deep/big"].startswith("other bytes at ")
    start, _, end = found["deep/big"].removeprefix("other bytes at ").partition(" to ")
    assert int(start) <= 2_000_000 < int(end)
    assert found["small"] in ("it should have 5 bytes, and has 18", "other bytes at 0 to 18")  # a raw block has no size
    assert Difference("new", "the directory does not have it") in caught.value.differences
    assert str(caught.value).startswith(f"{folder}/deep/big is not the content of {cid}: other bytes")


@pytest.mark.parametrize("version", [1, 2])
async def test_an_archive_is_read_checked_and_written_again(node: cidery.Node, tmp_path: Path, version: int) -> None:
    cid = await node.add(os.urandom(5_000_000))
    data = b"".join([bytes(chunk) async for chunk in node.car.export(cid, version=version)])
    path = tmp_path / "a.car"
    path.write_bytes(data)
    with cidery.car.open(path) as archive:
        assert archive.version == version and archive.roots == (cid,)
        blocks = [(block.cid, bytes(block.data)) for block in archive]
        assert len(blocks) == archive.verify() == 6 and archive.cids() == [one for one, _ in blocks]
        for one, content in reversed(blocks):
            assert bytes(archive.get(one)) == content
        (first, _), *_ = ((one, archive.get(blocks[-1][0])) for one in archive)
        assert first.cid == cid
        with pytest.raises(NotFound):
            archive.get(cidery.cid_of(b"absent"))
    copy = io.BytesIO()
    assert cidery.car.write(copy, [cid], blocks) == len(copy.getvalue())
    copy.seek(0)
    assert cidery.car.open(copy).cids() == [one for one, _ in blocks]
    if version == 1:
        assert copy.getvalue() == data
    cidery.car.write(tmp_path / "b.car", [cid], blocks)
    assert (await node.car.import_(tmp_path / "b.car")).blocks == 6


def test_a_damaged_archive_is_refused_with_the_place(tmp_path: Path) -> None:
    made = io.BytesIO()
    cid = cidery.cid_of(b"data")
    cidery.car.write(made, [cid], [(cid, b"data"), (cid, b"datb")])
    made.seek(0)
    archive = cidery.car.open(made)
    with pytest.raises(BadCar, match="do not match its hash"):
        archive.verify()
    with pytest.raises(BadCar, match="middle of a section"):
        cidery.car.open(io.BytesIO(made.getvalue()[:-1])).cids()
    for nonsense in (b"", b"nonsense", b"\xff" * 100):
        with pytest.raises(BadCar):
            cidery.car.open(io.BytesIO(nonsense))
    with pytest.raises(OSError):
        cidery.car.open(tmp_path / "none.car")


USES = ("cidery.cid_of(path)", "cidery.CID.parse(cid)", "cidery.verify(path, cid)", "use_archive()")


@pytest.mark.parametrize("use", [*USES, "; ".join(USES)])
def test_content_work_imports_no_event_loop_and_no_database(use: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_bytes(b"x" * 2_000_000)
    code = (
        "import io, sys, cidery\n"
        f"path, cid = {str(tmp_path / 'folder')!r}, {str(cidery.cid_of(tmp_path / 'folder'))!r}\n"
        "def use_archive():\n"
        "    file = io.BytesIO(); cidery.car.write(file, [], []); file.seek(0); cidery.car.open(file).verify()\n"
        f"{use}\n"
        "heavy = 'asyncio socket ssl lmdb numpy cryptography aiohttp threading concurrent.futures'.split()\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=LIMIT)
    assert done.stdout == "[]\n", done.stderr


def test_import_cidery_imports_nothing_of_the_package_and_names_what_there_is() -> None:
    code = (
        "import sys, cidery\n"
        "print(sorted(name for name in sys.modules if name.startswith('cidery')))\n"
        "print(all(getattr(cidery, name) is not None for name in cidery.__all__))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=LIMIT)
    assert done.stdout.splitlines() == ["['cidery', 'cidery.version']", "True"], done.stderr


def test_what_cannot_be_added_is_named_though_it_has_no_name() -> None:
    with pytest.raises(CannotAdd, match="^cannot add '': no such file or directory$"):
        cidery.cid_of("")
    with pytest.raises(NotAddable, match="^an object of type int cannot be added: give a path"):
        cidery.cid_of(5)  # type: ignore[arg-type]
