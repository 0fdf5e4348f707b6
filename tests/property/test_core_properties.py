import tarfile
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from cidery.core.getting.target import CannotWrite, InTheWay, UnsafeName, check_safe_name
from cidery.core.getting.untar import TarError, unpack_tar
from cidery.core.reading.content_path import PathError, parse_path

quick = settings(max_examples=120, derandomize=True, deadline=None)
CID_TEXT = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
names = st.sampled_from(["r", "r/a", "r/a/b", "r/../x", "/x", "r//", ".", "r/a\0b", "é" * 90]) | st.text(max_size=8)


def header(name: str, kind: bytes, size: int, target: str) -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, size, target
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogatepass")


headers = st.builds(
    header,
    names,
    st.sampled_from([b"0", b"5", b"2", b"1", b"x", b"L", b"3"]),
    st.integers(0, 600),
    st.text(max_size=5) | st.just("../.."),
)


@quick
@given(st.lists(headers | st.binary(max_size=520), max_size=4), st.integers(0, 3000), st.integers(0, 255))
def test_any_stream_is_unpacked_inside_its_target_or_refused(parts: list[bytes], at: int, byte: int) -> None:
    stream = bytearray(b"".join(parts) + bytes(1024))
    if at < len(stream):
        stream[at] = byte
    with tempfile.TemporaryDirectory() as directory:
        base = Path(directory)
        (base / "beside").write_text("mine")
        try:
            list(unpack_tar([bytes(stream)], base / "out"))
        except (TarError, UnsafeName, InTheWay, CannotWrite):
            pass
        visible = {path.name for path in base.iterdir() if not path.name.endswith(".cidery-part")}
        assert visible <= {"beside", "out"}
        assert (base / "beside").read_text() == "mine"


@quick
@given(
    st.lists(st.sampled_from(["/", "ipfs", ":", "//", "..", ".", "%2e%2e", "%00", CID_TEXT, "a"]) | st.text(max_size=5))
)
def test_any_text_is_a_path_below_its_root_or_a_path_error(parts: list[str]) -> None:
    try:
        path = parse_path("".join(parts))
    except PathError as exc:
        assert "\n" not in str(exc)
        return
    assert not {"", ".", ".."} & set(path.segments)
    assert parse_path(str(path)) == path or any("/" in name or "\0" in name for name in path.segments)


@quick
@given(st.text(max_size=6), st.booleans())
def test_a_safe_name_names_one_entry_of_its_directory(name: str, windows: bool) -> None:
    try:
        check_safe_name(name, windows=windows)
    except UnsafeName as exc:
        assert "\n" not in str(exc)
        return
    assert Path("d", name).name == name and len(Path("d", name).parts) == 2
