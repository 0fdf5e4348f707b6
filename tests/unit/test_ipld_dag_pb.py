import json
from pathlib import Path

import pytest

from cidery.ipld import dag_pb
from cidery.ipld.dag_pb import DagPbError, Link
from cidery.ipld.links import UnsupportedCodec, named_links
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import DAG_PB, RAW

FIXTURES = Path(__file__).parent.parent / "vectors" / "codec-fixtures"
NODES = sorted(FIXTURES.glob("fixtures/*/*.dag-pb"))
LEAF = CID.of(b"leaf")


def hash_field(cid: CID = LEAF) -> bytes:
    return b"\x0a" + bytes([len(cid.encode())]) + cid.encode()


def link_field(body: bytes) -> bytes:
    return b"\x12" + bytes([len(body)]) + body


@pytest.mark.parametrize("path", NODES, ids=lambda path: path.parent.name)
def test_a_fixture_decodes_and_encodes_to_the_same_bytes(path: Path) -> None:
    block = path.read_bytes()
    assert CID.of(block, DAG_PB) == CID.parse(path.stem)
    node = dag_pb.decode(block)
    assert dag_pb.encode(node.links, node.data) == block


def test_all_fixtures_are_there() -> None:
    assert len(NODES) == 17


@pytest.mark.parametrize(
    "case",
    json.loads((FIXTURES / "negative-fixtures/dag-pb/decode/edges.json").read_text()),
    ids=lambda case: case["name"],
)
def test_a_negative_fixture_is_refused(case: dict[str, str]) -> None:
    with pytest.raises(DagPbError):
        dag_pb.decode(bytes.fromhex(case["hex"]))


def test_data_may_come_before_all_links_on_the_wire() -> None:
    node = dag_pb.decode(b"\x0a\x01x" + link_field(hash_field()))
    assert (node.links, bytes(node.data or b"")) == ((Link(LEAF, None, None),), b"x")


@pytest.mark.parametrize(
    "block",
    [
        b"\x0a\x01x\x0a\x01y",
        b"\x1a\x00",
        b"\x08\x01",
        b"\x12",
        link_field(hash_field() + hash_field()),
        link_field(b"\x12\x00" + hash_field()),
        link_field(b"\x18\x01" + hash_field()),
        link_field(hash_field() + b"\x18\x01\x12\x00"),
        link_field(hash_field() + b"\x22\x00"),
        link_field(hash_field() + b"\x10\x00"),
        link_field(hash_field()[:-1]),
    ],
)
def test_unknown_repeated_or_unordered_fields_are_refused(block: bytes) -> None:
    with pytest.raises(DagPbError):
        dag_pb.decode(block)


def test_an_absent_name_is_not_an_empty_one() -> None:
    for link in (Link(LEAF, None, 5), Link(LEAF, "", 5), Link(LEAF, "", None)):
        assert dag_pb.decode(dag_pb.encode([link], None)).links == (link,)


def test_names_of_any_bytes_survive() -> None:
    name = b"\xff\xed\xa0\x80\xc3\xa9".decode("utf-8", "surrogateescape")
    block = dag_pb.encode([Link(LEAF, name, 1)], b"")
    assert dag_pb.decode(block).links[0].name == name
    assert b"\xff\xed\xa0\x80\xc3\xa9" in block


def test_the_order_of_links_is_kept() -> None:
    links = tuple(Link(CID.of(name.encode()), name, 1) for name in "zay")
    assert dag_pb.decode(dag_pb.encode(links, None)).links == links


def test_links_depend_on_the_codec_that_asks() -> None:
    block = dag_pb.encode([Link(LEAF, "a", 1), Link(LEAF, None, 1)], None)
    assert named_links(CID.of(block, DAG_PB), block) == [(LEAF, "a"), (LEAF, "")]
    assert list(named_links(CID.of(block, RAW), block)) == []
    with pytest.raises(UnsupportedCodec, match="eth-block .* is not supported here"):
        named_links(CID.of(block, 0x90), block)


@pytest.mark.parametrize("size", [0, 1, 127, 128, 300_000])
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_the_data_of_a_leaf_is_a_view(size: int, kind: type[bytes]) -> None:
    data = b"d" * size
    block = kind(dag_pb.encode((), data))
    node = dag_pb.decode(block)
    assert node.links == () and node.data == data
    assert isinstance(node.data, memoryview) and (size == 0 or node.data.obj is memoryview(block).obj)


def test_a_length_with_padding_is_read_as_any_other() -> None:
    assert dag_pb.decode(b"\x0a\x82\x00dd").data == b"dd"
