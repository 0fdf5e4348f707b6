"""CAR archives of both versions, whole, in pieces, and broken in every way."""

import struct
from pathlib import Path

import pytest

from cidery.ipld import dag_cbor
from cidery.ipld.block import MAX_BLOCK
from cidery.ipld.car import encode_header, encode_section_head
from cidery.ipld.car_reader import PRAGMA, V2_HEADER, BadCar, CarReader
from cidery.ipld.data_model import Value
from cidery.multiformats.cid import CID
from cidery.multiformats.varint import encode_uvarint

VECTORS = Path(__file__).parent.parent / "vectors"
BASIC = VECTORS / "ipld-specs/specs/transport/car/fixture"
ARCHIVES = sorted(VECTORS.rglob("*.car"))
DATA = b"hello"
ONE = CID.of(DATA)
SECTION = encode_section_head(ONE, len(DATA)) + DATA


def header(value: Value) -> bytes:
    body = dag_cbor.encode(value)
    return encode_uvarint(len(body)) + body


def v2(inner: bytes, *, start: int = 51, size: int | None = None, after: bytes = b"") -> bytes:
    padding = bytes(max(0, min(start, 1024) - 51))
    length = len(inner) if size is None else size
    return PRAGMA + V2_HEADER.pack(bytes(16), start, length, 0) + padding + inner + after


def read(archive: bytes, piece: int = 1 << 20) -> tuple[CarReader, list[tuple[CID, bytes, int]]]:
    reader = CarReader()
    found = []
    for at in range(0, len(archive), piece):
        found += [(block.cid, bytes(block.data), at) for block, at in reader.receive_data(archive[at : at + piece])]
    reader.receive_eof()
    return reader, found


@pytest.mark.parametrize("version", ["carv1-basic", "carv2-basic"])
def test_the_fixtures_of_the_specification_are_read(version: str) -> None:
    reader, found = read((BASIC / version / f"{version}.car").read_bytes())
    assert reader.version == int(version[4])
    assert len(found) == (8 if version == "carv1-basic" else 5)
    assert all(CID(cid.version, cid.codec, CID.of(data).multihash) == cid for cid, data, _ in found)


@pytest.mark.parametrize("path", ARCHIVES, ids=lambda path: path.name)
def test_pieces_of_any_size_give_the_same_blocks(path: Path) -> None:
    archive = path.read_bytes()
    whole = read(archive)
    assert whole[1]
    for piece in (1, 7, 113) if len(archive) < 5000 else (997,):
        reader, found = read(archive, piece)
        assert (reader.roots, found) == (whole[0].roots, whole[1])


def test_every_block_comes_with_the_offset_of_its_section() -> None:
    start = encode_header([ONE])
    _, found = read(start + SECTION + SECTION)
    assert [at for _, _, at in found] == [len(start), len(start) + len(SECTION)]


@pytest.mark.parametrize("roots", [{"roots": [], "version": 1}, {"roots": None, "version": 1}, {"version": 1}])
def test_an_archive_may_have_no_roots(roots: Value) -> None:
    reader, found = read(header(roots) + SECTION)
    assert (reader.roots, len(found)) == ((), 1)


def test_a_version_2_may_have_padding_and_an_index() -> None:
    inner = encode_header([ONE]) + SECTION
    for archive in (v2(inner), v2(inner, start=512), v2(inner, after=b"\x80\x08" + bytes(300))):
        for piece in (1, 10, 1 << 20):
            reader, found = read(archive, piece)
            assert (reader.version, reader.roots, len(found)) == (2, (ONE,), 1)


@pytest.mark.parametrize(
    ("archive", "at", "reason"),
    [
        (b"", 0, "empty"),
        (b"\x0a", 0, "ends in the header"),
        (b"\x00", 0, "header of 0 bytes"),
        (b"\xff\xff\xff\x7f", 0, "header of 268435455 bytes"),
        (b"\x80\x00", 0, "no varint"),
        (b"\xff" * 10, 0, "no varint"),
        (b"\x03abc", 0, "header is"),
        (b"\x01\x80", 0, "no map"),
        (header({"roots": [], "version": 3}), 0, "version 3"),
        (header({"roots": [], "version": "1"}), 0, "version '1'"),
        (header({"roots": {}, "version": 1}), 0, "no list"),
        (header({"roots": ["x"], "version": 1}), 0, "no link"),
        (encode_header([ONE])[:-1], 0, "ends in the header"),
        (encode_header([ONE]) + SECTION[:-1], 59, "middle of a section"),
        (encode_header([ONE]) + SECTION + b"\x00", 101, "truncated|shorter"),
        (encode_header([ONE]) + b"\x01\x01", 59, "CID"),
        (encode_header([ONE]) + b"\x10" + ONE.encode() + DATA, 59, "shorter than its CID|truncated"),
        (encode_header([ONE]) + encode_section_head(ONE, MAX_BLOCK + 4096) + bytes(200), 59, "at most"),
        (encode_header([ONE]) + b"\xff" * 9, 59, "no varint"),
        (v2(b"")[:40], 11, "ends in the header"),
        (v2(encode_header([ONE]) + SECTION, start=7), 51, "cannot be"),
        (v2(encode_header([ONE]) + SECTION, start=1 << 40), 51, "cannot be"),
        (v2(encode_header([ONE]) + SECTION, size=70), 110, "beyond the data"),
        (v2(encode_header([ONE]) + SECTION, size=500), 152, "middle of a section"),
        (v2(PRAGMA), 51, "version 2"),
    ],
)
def test_a_broken_archive_is_refused_with_offset_and_reason(archive: bytes, at: int, reason: str) -> None:
    for piece in (1, 64, 1 << 22):
        with pytest.raises(BadCar, match=reason) as caught:
            read(archive, piece)
        assert caught.value.at == at
        assert "\n" not in str(caught.value)


def test_a_section_that_lies_about_its_size_is_refused_by_its_head() -> None:
    reader = CarReader()
    start = encode_header([ONE]) + encode_uvarint(1 << 40) + ONE.encode()
    with pytest.raises(BadCar, match="at most"):
        reader.receive_data(start + bytes(200))
    assert struct.calcsize("<16sQQQ") == 40
