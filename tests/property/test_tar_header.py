"""Headers are read as the standard library reads them."""

import tarfile

from hypothesis import given
from hypothesis import strategies as st

from cidery.core.getting.tar_header import BLOCK, BadHeader, TarHeader

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)
NUMBER = st.integers(0, 0o7777777)


def read_by_library(block: bytes) -> TarHeader | None:
    try:
        info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return None
    kind = b"0" if info.type == b"\0" else info.type
    return TarHeader(info.name, info.mode, info.size, int(info.mtime), kind, info.linkname, info.uname)


def read_here(block: bytes) -> TarHeader | None:
    try:
        return TarHeader.decode(block)
    except BadHeader:
        return None


@given(
    TEXT,
    TEXT,
    TEXT,
    NUMBER,
    st.integers(0, 1 << 70),
    st.integers(-(1 << 40), 1 << 40),
    st.sampled_from([b"0", b"\0", b"5", b"2", b"1", b"3", b"x"]),
    st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
)
def test_what_the_library_writes(
    name: str, link: str, user: str, mode: int, size: int, mtime: int, kind: bytes, form: int
) -> None:
    info = tarfile.TarInfo(name)
    info.linkname, info.uname, info.mode, info.size, info.mtime, info.type = link, user, mode, size, mtime, kind
    written = info.tobuf(form, "utf-8", "surrogateescape")
    for at in range(0, len(written), BLOCK):
        block = written[at : at + BLOCK]
        assert read_here(block) == read_by_library(block)


@given(st.binary(max_size=BLOCK), st.integers(0, BLOCK - 1), st.booleans())
def test_any_bytes(data: bytes, at: int, summed: bool) -> None:
    block = bytearray(data[:BLOCK].ljust(BLOCK, b"\0"))
    block[at] |= 1
    if summed:
        block[148:156] = b" " * 8
        block[148:156] = b"%06o\0 " % sum(block)
    found = read_by_library(bytes(block))
    if found is not None or not summed:  # else it may be a field that is not read here
        assert read_here(bytes(block)) == found


def test_what_is_too_short_is_no_header() -> None:
    assert read_here(bytes(100)) is None and read_here(b"") is None
