import io
import os
import tarfile
from pathlib import Path

import pytest

from cidery.blockstore.memory import MemoryStore
from cidery.core.adding.add import AddOptions, add_root
from cidery.core.adding.items import ScanOptions
from cidery.core.getting.record import GetRecord
from cidery.core.getting.tar import gzip_stream, tar_stream
from cidery.core.getting.target import PART_SUFFIX, InTheWay, UnsafeName
from cidery.core.getting.untar import MAX_PAX, TarError, resume_point, unpack_tar
from cidery.core.session import StoreSession
from cidery.unixfs.profile import UNIXFS_V0_2015

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX trees")
LONG = "n" * 200


def make_tree(root: Path) -> Path:
    (root / "sub" / LONG).mkdir(parents=True)
    (root / "sub" / LONG / ("é" * 100)).write_bytes(os.urandom(3000))
    (root / "exact").write_bytes(bytes(512))
    (root / "empty").touch()
    (root / "link").symlink_to("/" + "t" * 150)
    os.utime(root / "exact", ns=(1_600_000_000_000_000_005,) * 2)
    (root / "exact").chmod(0o600)
    return root


def snapshot(root: Path) -> dict[str, object]:
    return {
        str(path.relative_to(root)): os.readlink(path)
        if path.is_symlink()
        else (path.read_bytes(), path.stat().st_mode, path.stat().st_mtime_ns)
        if path.is_file()
        else None
        for path in root.rglob("*")
    }


async def stream_of(source: Path) -> bytes:
    store = MemoryStore()
    options = AddOptions(UNIXFS_V0_2015, ScanOptions(preserve_mode=True, preserve_mtime=True))
    root = await add_root([source], store, options)
    return b"".join([bytes(chunk) async for chunk in tar_stream(root, StoreSession(store), "name")])


def unpack(stream: bytes, out: Path, piece: int = 1000) -> int:
    return list(unpack_tar((stream[at : at + piece] for at in range(0, len(stream), piece)), out))[-1]


def entry(name: str, kind: bytes = tarfile.REGTYPE, data: bytes = b"", target: str = "") -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, len(data), target
    return info.tobuf(tarfile.PAX_FORMAT) + data + bytes(-len(data) % 512)


END = bytes(1024)


@pytest.mark.parametrize("piece", [1, 511, 512, 1 << 20])
async def test_a_tree_survives_the_stream_however_it_is_cut(tmp_path: Path, piece: int) -> None:
    source = make_tree(tmp_path / "in")
    assert unpack(await stream_of(source), tmp_path / "out", piece) == 3512
    assert snapshot(tmp_path / "out") == snapshot(source)


async def test_other_programs_read_the_stream(tmp_path: Path) -> None:
    source = make_tree(tmp_path / "in")
    with tarfile.open(fileobj=io.BytesIO(await stream_of(source))) as archive:
        members = {member.name: member for member in archive}
        assert members["name/link"].linkname == "/" + "t" * 150 and members["name/link"].mode == 0o777
        assert members["name/exact"].mode == 0o600
        content = archive.extractfile("name/sub/" + LONG + "/" + "é" * 100)
        assert content is not None and content.read() == (source / "sub" / LONG / ("é" * 100)).read_bytes()


async def test_a_single_file_is_unpacked_as_the_target() -> None:
    assert (await gather(b"x")).endswith(b"x" + bytes(511) + END)


async def gather(data: bytes) -> bytes:
    store = MemoryStore()
    root = await add_root([data], store)
    return b"".join([bytes(chunk) async for chunk in tar_stream(f"/ipfs/{root}", StoreSession(store))])


async def test_gzip_gives_the_same_bytes_back() -> None:
    import gzip

    async def chunks():  # type: ignore[no-untyped-def]
        yield b"a" * 1000
        yield b"b" * 1000

    packed = b"".join([chunk async for chunk in gzip_stream(chunks(), 9)])
    assert gzip.decompress(packed) == b"a" * 1000 + b"b" * 1000
    assert len(packed) < 100


@pytest.mark.parametrize(
    "stream",
    [
        entry("r/../../escaped", data=b"x") + END,
        entry("/tmp/escaped", data=b"x") + END,
        entry("r", tarfile.DIRTYPE) + entry("r/../escaped", data=b"x") + END,
        entry("r", tarfile.DIRTYPE) + entry("r//escaped", data=b"x") + END,
        entry("r", tarfile.DIRTYPE) + entry("r/./escaped", data=b"x") + END,
    ],
)
def test_names_that_lead_elsewhere_are_refused(tmp_path: Path, stream: bytes) -> None:
    with pytest.raises(UnsafeName):
        unpack(stream, tmp_path / "out")
    assert not list(tmp_path.rglob("*escaped*"))


def test_nothing_is_written_through_a_link_of_the_stream(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    stream = entry("r", tarfile.DIRTYPE) + entry("r/x", tarfile.SYMTYPE, target=str(outside))
    with pytest.raises(InTheWay):
        unpack(stream + entry("r/x/pwned", data=b"x") + END, tmp_path / "out")
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize(
    "kind", [tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.GNUTYPE_SPARSE]
)
def test_entries_that_are_no_files_directories_or_symlinks_are_refused(tmp_path: Path, kind: bytes) -> None:
    with pytest.raises(TarError, match="no file, directory or symlink"):
        unpack(entry("r", tarfile.DIRTYPE) + entry("r/x", kind, target="/etc/passwd") + END, tmp_path / "out")


def test_a_second_tree_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TarError, match="second tree"):
        unpack(entry("a", tarfile.DIRTYPE) + entry("b", tarfile.DIRTYPE) + END, tmp_path / "out")


def test_a_stream_that_ends_early_leaves_no_file_that_looks_whole(tmp_path: Path) -> None:
    stream = entry("r", tarfile.DIRTYPE) + entry("r/a", data=b"whole") + entry("r/b", data=bytes(5000))
    with pytest.raises(TarError, match="ends early"):
        unpack(stream[:-1000], tmp_path / "out")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert "a" in names and "b" not in names
    assert all(name.endswith(PART_SUFFIX) for name in names - {"a"})


@pytest.mark.parametrize(
    "stream",
    [
        b"",
        b"x" * 512,
        bytes(511),
        entry("r", data=b"x")[:512].replace(b"r\0", b"q\0", 1) + END,
        entry("x" * (MAX_PAX + 10)) + END,
        entry("é" * 90)[:512] + b"12 path=\n" + bytes(503) + END,
        entry("é" * 90)[:512] + b"99999999999 path=x\n" + bytes(493) + END,
    ],
)
def test_damaged_streams_have_one_error(tmp_path: Path, stream: bytes) -> None:
    with pytest.raises(TarError) as caught:
        unpack(stream, tmp_path / "out")
    assert "\n" not in str(caught.value)


class Cut(Exception):
    """The connection ends."""


async def test_a_stream_that_was_cut_anywhere_goes_on_without_what_was_written(tmp_path):
    source = make_tree(tmp_path / "source")
    (source / "big").write_bytes(os.urandom(11 << 20))
    store = MemoryStore()
    options = AddOptions(UNIXFS_V0_2015, ScanOptions(preserve_mode=True, preserve_mtime=True))
    root = await add_root([source], store, options)

    async def receive(cut: int, wanted: tuple[int, int], record: GetRecord) -> int:
        """Bytes of the stream, of which the part before ``cut`` is unpacked."""
        chunks = tar_stream(root, StoreSession(store), "name", skip_files=wanted[0], skip_bytes=wanted[1])
        stream = b"".join([bytes(chunk) async for chunk in chunks])

        def pieces():
            for at in range(0, min(cut, len(stream)), 1 << 16):
                yield stream[at : min(at + (1 << 16), cut)]
            if cut < len(stream):
                raise Cut

        try:
            for _ in unpack_tar(pieces(), tmp_path / "out", record):
                continue
        except Cut:
            pass
        return len(stream)

    def record() -> GetRecord:
        opened = GetRecord.open(tmp_path / "jobs", str(root), str(tmp_path / "out"), lambda: 1.0)
        assert opened is not None
        return opened

    first = record()
    whole = await receive(6 << 20, resume_point(first, tmp_path / "out"), first)
    first.close(keep=True)
    second = record()
    skip = resume_point(second, tmp_path / "out")
    assert skip[0] == 0 and 4 << 20 <= skip[1] <= 6 << 20
    assert await receive(whole - skip[1] - 2048, skip, second) == whole - skip[1]
    second.close(keep=True)
    third = record()
    files, size = resume_point(third, tmp_path / "out")
    assert files >= 2 and size == 0
    (tmp_path / "out" / "big").write_bytes(b"touched")
    assert resume_point(third, tmp_path / "out") == (0, 0)
    assert await receive(1 << 30, (0, 0), third) == whole
    third.close(keep=False)
    assert snapshot(tmp_path / "out") == snapshot(source)
    assert not list((tmp_path / "jobs").iterdir())


async def test_a_stream_that_leaves_out_what_is_not_here_is_refused(tmp_path):
    source = make_tree(tmp_path / "source")
    store = MemoryStore()
    root = await add_root([source], store, AddOptions(UNIXFS_V0_2015))
    chunks = tar_stream(root, StoreSession(store), "name", skip_files=1, skip_bytes=5)
    stream = b"".join([bytes(chunk) async for chunk in chunks])
    with pytest.raises(TarError, match="leaves out data that is missing here"):
        unpack(stream, tmp_path / "out")
