"""Every codec against the official fixtures, and what a strict decoder must refuse."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from cidery.ipld import cbor_codec, codecs, dag_cbor, dag_jose, dag_json, json_codec
from cidery.ipld.codecs import NoValues, UnknownCodec, codec_of, parse_codec
from cidery.ipld.dag_cbor import DagCborError
from cidery.ipld.data_model import MAX_NESTING, CodecError, NotEncodable, Value
from cidery.ipld.json_codec import JsonError
from cidery.ipld.links import named_links
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import CODECS, DAG_CBOR, DAG_JOSE, DAG_JSON, DAG_PB, GIT_RAW, JSON, RAW
from cidery.multiformats.multihash import SHA1, Multihash, matches
from cidery.repo.gc.links import link_targets

VECTORS = Path(__file__).parent.parent / "vectors"
FIXTURES = VECTORS / "codec-fixtures"
NAMES = sorted(path.name for path in (FIXTURES / "fixtures").iterdir())
LEAF = CID.of(b"leaf")
LINK = b"\xd8\x2a\x58\x25\x00" + LEAF.encode()


def jose_fixtures() -> dict[str, str]:
    text = (VECTORS / "ipld-specs/specs/codecs/dag-jose/fixtures/index.md").read_text()
    return dict(re.findall(r"\[testmark\]:# \(([^)]*)\)\n```\w*\n(.*?)```", text, re.DOTALL))


JOSE = jose_fixtures()
JOSE_NAMES = sorted({name.split("/")[0] for name in JOSE})


# -- official fixtures -------------------------------------------------------------------------------------------------


def test_all_fixtures_are_there() -> None:
    assert len(NAMES) == 128
    assert len(JOSE_NAMES) == 10


@pytest.mark.parametrize("name", NAMES)
def test_a_fixture_has_the_same_value_and_bytes_in_every_codec(name: str) -> None:
    blocks = {CID.parse(path.stem): path.read_bytes() for path in (FIXTURES / "fixtures" / name).iterdir()}
    values = [codecs.decode(cid.codec, block) for cid, block in blocks.items()]
    for value in values:
        for cid, block in blocks.items():
            assert codec_of(cid.codec).encode(value) == block
            assert CID.of(block, cid.codec) == cid


@pytest.mark.parametrize("codec", ["dag-cbor", "dag-json", "dag-pb"])
def test_negative_fixtures_are_refused_when_decoded(codec: str) -> None:
    for path in (FIXTURES / "negative-fixtures" / codec / "decode").iterdir():
        for case in json.loads(path.read_text()):
            with pytest.raises((CodecError, codecs.dag_pb_value.dag_pb.DagPbError)):
                codecs.decode(CODECS[codec], bytes.fromhex(case["hex"]))


def negative_forms() -> list[dict[str, object]]:
    folder = FIXTURES / "negative-fixtures/dag-pb/encode"
    return [case for path in sorted(folder.iterdir()) for case in json.loads(path.read_text())]


@pytest.mark.parametrize("case", negative_forms(), ids=lambda case: str(case["name"]))
def test_values_that_are_no_dag_pb_nodes_are_not_encoded(case: dict[str, object]) -> None:
    value = dag_json.decode(json.dumps(case["dag-json"]).encode(), canonical=False)
    with pytest.raises(NotEncodable):
        codec_of(DAG_PB).encode(value)


@pytest.mark.parametrize("name", JOSE_NAMES)
def test_a_jose_fixture_decodes_and_encodes_to_the_same_bytes(name: str) -> None:
    block = bytes.fromhex(JOSE[f"{name}/serial.dag-jose.hex"].replace("\n", ""))
    value = dag_jose.decode(block)
    pretty = re.sub(r",(\s*[}\]])", r"\1", JOSE[f"{name}/datamodel.dag-json.pretty"])  # one fixture has stray commas
    assert value == dag_json.decode(pretty.encode(), canonical=False)
    assert dag_jose.encode(value) == block
    assert str(CID.of(block, DAG_JOSE)) == JOSE[f"{name}/serial.dag-jose.cid"].strip()


# -- dag-cbor ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        (b"", "truncated"),
        (b"\x18", "truncated"),
        (b"\xfb\x00\x00", "truncated"),
        (b"\x18\x17", "shortest"),
        (b"\x19\x00\xff", "shortest"),
        (b"\x1a\x00\x00\xff\xff", "shortest"),
        (b"\x1b\x00\x00\x00\x00\xff\xff\xff\xff", "shortest"),
        (b"\x5f\x41a\xff", "indefinite"),
        (b"\x9f\xff", "indefinite|entries"),
        (b"\xbf\xff", "indefinite|entries"),
        (b"\x7f\xff", "indefinite"),
        (b"\xf9\x3c\x00", "less than 64 bits"),
        (b"\xfa\x3f\x80\x00\x00", "less than 64 bits"),
        (b"\xfb\x7f\xf8" + bytes(6), "NaN"),
        (b"\xfb\x7f\xf0" + bytes(6), "NaN or an infinity"),
        (b"\xf7", "simple value"),
        (b"\xe0", "simple value"),
        (b"\xf8\x20", "simple value"),
        (b"\xc1\x00", "tag 1"),
        (b"\xd8\x2a\x01", "not a byte string"),
        (b"\xd8\x2a\x41\x01", "leading zero"),
        (b"\xd8\x2a\x42\x00\x01", "no CID"),
        (b"\xd8\x2a\x58\x87\x00\x01\x55\x00\x81\x01" + bytes(129), "no CID .*129 bytes, at most 128"),
        (b"\xd8\x2a\x58\x25\x00\x02" + bytes(35), "no CID"),
        (b"\x01\x01", "more than one value"),
        (b"\x62\xc3\x28", "UTF-8"),
        (b"\xa1\x61\xff\x00", "UTF-8"),
        (b"\xa1\x01\x01", "not text"),
        (b"\xa2\x61b\x01\x61a\x02", "out of order"),
        (b"\xa2\x62aa\x01\x61b\x02", "out of order"),
        (b"\xa2\x61a\x01\x61a\x02", "twice"),
        (b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff", "entries in 0 bytes"),
        (b"\xbb\x00\x00\x00\x01\x00\x00\x00\x00", "entries in 0 bytes"),
        (b"\x5b\x7f\xff\xff\xff\xff\xff\xff\xff", "0 are there"),
        (b"\x7a\xff\xff\xff\xff", "0 are there"),
        (b"\x81" * 100_000 + b"\x00", "nested deeper"),
        (b"\xa1\x61a" * 100_000 + b"\x00", "nested deeper"),
    ],
)
def test_cbor_that_is_not_canonical_or_lies_about_its_size_is_refused(block: bytes, reason: str) -> None:
    with pytest.raises(DagCborError, match=reason) as caught:
        dag_cbor.decode(block)
    assert "\n" not in str(caught.value)
    assert "at byte" in str(caught.value)


def test_links_and_bytes_are_never_each_other() -> None:
    value: Value = {"a": LEAF, "b": LEAF.encode(), "c": b"\x00" + LEAF.encode()}
    back = dag_cbor.decode(dag_cbor.encode(value))
    assert back == value
    assert [type(item) for item in back.values()] == [CID, bytes, bytes] if isinstance(back, dict) else False


def test_nesting_up_to_the_bound_is_read_and_written() -> None:
    deep: Value = 7
    for _ in range(MAX_NESTING):
        deep = [deep]
    for codec in (dag_cbor, dag_json, json_codec):
        assert codec.decode(codec.encode(deep)) == deep
        with pytest.raises(NotEncodable, match="nested deeper"):
            codec.encode([deep])


def test_other_cbor_is_read_when_it_is_input_only() -> None:
    loose = b"\xa2\x62bb\xf9\x3c\x00\x61a\x18\x05"
    assert dag_cbor.decode(loose, canonical=False) == {"bb": 1.0, "a": 5}
    assert cbor_codec.decode(loose) == {"bb": 1.0, "a": 5}
    assert dag_cbor.encode(cbor_codec.decode(loose)) == b"\xa2\x61a\x05\x62bb\xfb\x3f\xf0" + bytes(6)


def test_plain_codecs_have_no_links() -> None:
    with pytest.raises(CodecError, match="no links"):
        cbor_codec.decode(LINK)
    with pytest.raises(NotEncodable, match="no links"):
        cbor_codec.encode([LEAF])
    with pytest.raises(NotEncodable, match="no link"):
        json_codec.encode([LEAF])
    with pytest.raises(NotEncodable, match="no bytes"):
        json_codec.encode(b"x")


@pytest.mark.parametrize(
    "value", [1 << 64, -(1 << 64) - 1, float("nan"), float("inf"), "\ud800", {"\ud800": 1}, {1: 1}, {1, 2}, object()]
)
def test_what_the_data_model_lacks_is_not_encoded(value: Value) -> None:
    for codec in (dag_cbor, dag_json):
        with pytest.raises(NotEncodable):
            codec.encode(value)


# -- dag-json ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Expecting value"),
        ("[1,]", "Expecting value|Illegal trailing comma"),
        ('{"b":1,"a":2}', "out of order"),
        ('{"a":1,"a":2}', "twice"),
        ("NaN", "not a number"),
        ("[Infinity]", "not a number"),
        ("1e999", "too large"),
        ("18446744073709551616", "64 bits"),
        ("9" * 5000, "64 bits"),
        ('{"/":"no cid"}', "no CID"),
        (f'{{"/":"{LEAF}","a":1}}', "keys other than"),
        ('{"/":{"bytes":"AQ","x":1}}', "keys other than"),
        ('{"/":{"bytes":"A"}}', "base64"),
        ('{"/":{"bytes":"AR"}}', "stray bits"),
        (r'"\ud800"', "half of a character"),
        ("[" * 100_000, "nested deeper"),
        ('{"a":' * 100_000, "nested deeper"),
    ],
)
def test_json_outside_the_data_model_is_refused(text: str, reason: str) -> None:
    with pytest.raises(JsonError, match=reason) as caught:
        dag_json.decode(text.encode())
    assert "\n" not in str(caught.value)


def test_brackets_in_strings_are_no_nesting() -> None:
    text = '["' + "[" * 2000 + r"\"" + "[" * 2000 + '"]'
    assert dag_json.decode(text.encode()) == ["[" * 2000 + '"' + "[" * 2000]


def test_what_people_write_is_read_as_input() -> None:
    loose = b'{ "b": 1, "a": {"/": {"bytes": "AQ=="}} }'
    assert dag_json.decode(loose, canonical=False) == {"b": 1, "a": b"\x01"}


@pytest.mark.parametrize(
    ("number", "text"),
    [(1.0, "1.0"), (1e16, "10000000000000000.0"), (1e21, "1e+21"), (1e-7, "1e-7"), (1e-5, "0.00001"), (-0.0, "-0.0")],
)
def test_floats_stay_floats(number: float, text: str) -> None:
    assert dag_json.encode(number) == text.encode()
    assert isinstance(dag_json.decode(text.encode()), float)


def test_maps_that_would_be_read_as_links_are_not_written() -> None:
    for value in ({"/": "x"}, {"/": {"bytes": "x"}}):
        with pytest.raises(NotEncodable, match="would be read"):
            dag_json.encode(value)
    assert dag_json.decode(dag_json.encode({"/": 1, "a": LEAF})) == {"/": 1, "a": LEAF}


# -- dag-jose ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [[], {}, {"payload": 1, "signatures": []}, {"payload": b"", "signatures": [1]}, {"ciphertext": b"", "x": 1}],
)
def test_cbor_that_is_neither_signed_nor_encrypted_is_refused(value: Value) -> None:
    with pytest.raises(CodecError, match="dag-jose"):
        dag_jose.decode(dag_cbor.encode(value))


def test_a_link_alone_stands_for_the_payload() -> None:
    block = dag_jose.encode({"link": LEAF, "signatures": [{"signature": "AQ"}]})
    assert named_links(CID.of(block, DAG_JOSE), block) == [(LEAF, "link")]
    with pytest.raises(NotEncodable, match="not the payload's"):
        dag_jose.encode({"link": LEAF, "payload": "AQ", "signatures": []})
    with pytest.raises(NotEncodable, match="base64url"):
        dag_jose.encode({"payload": "+", "signatures": []})


# -- links and names ---------------------------------------------------------------------------------------------------


def test_links_come_in_the_order_of_the_block_with_their_paths() -> None:
    other = CID.of(b"other")
    value: Value = {"z": [1, other, {"deep": LEAF}], "aa": LEAF}
    block = dag_cbor.encode(value)
    assert list(named_links(CID.of(block, DAG_CBOR), block)) == [(other, "z/1"), (LEAF, "z/2/deep"), (LEAF, "aa")]
    text = dag_json.encode(value)
    assert list(named_links(CID.of(text, DAG_JSON), text)) == [(LEAF, "aa"), (other, "z/1"), (LEAF, "z/2/deep")]
    assert list(named_links(CID.of(b"", JSON), b"")) == []


def test_links_of_blocks_that_are_not_canonical_are_found() -> None:
    for codec, block in (
        (DAG_CBOR, b"\xa2\x62bb\x18\x01\x61a" + LINK),
        (DAG_JSON, f'{{"b":1,"a":{{"/":"{LEAF}"}}}}'.encode()),
    ):
        with pytest.raises(CodecError):
            codecs.decode(codec, block)
        assert list(named_links(CID.of(block, codec), block)) == [(LEAF, "a")]
        assert link_targets(codec, LEAF.multihash, block) == [(RAW, LEAF.multihash)]


CBOR_OF_OTHERS = {
    "text that is not UTF-8": b"\xa2aa\x61\xffab" + LINK,
    "a key that is not UTF-8": b"\xa1\x61\xff" + LINK,
    "keys out of order": b"\xa2bbb\x18\x01aa" + LINK,
    "a key twice": b"\xa2aa\x01aa" + LINK,
    "a short float": b"\x82\xf9\x3c\x00" + LINK,
    "not a number": b"\x82\xfb\x7f\xf8\0\0\0\0\0\0" + LINK,
    "undefined": b"\x82\xf7" + LINK,
    "a longer head": b"\x98\x02\x18\x01" + LINK,
    "another tag": b"\x82\xc1\x1a\x51\x4b\x67\xb0" + LINK,
    "a tag around a list": b"\xd9\xd9\xf7\x82\x01" + LINK,
    "a list of indefinite length": b"\x9f\x01" + LINK + b"\xff",
    "a map of indefinite length": b"\xbfaa\x01ab" + LINK + b"\xff",
    "text in pieces": b"\x82\x7f\x61a\x61b\xff" + LINK,
    "a number as a key": b"\xa1\x01" + LINK,
}


@pytest.mark.parametrize("name", CBOR_OF_OTHERS)
def test_links_of_cbor_that_other_programs_write_are_found(name: str) -> None:
    block = CBOR_OF_OTHERS[name]
    assert [target for target, _ in named_links(CID.of(block, DAG_CBOR), block)] == [LEAF]
    assert link_targets(DAG_CBOR, CID.of(block).multihash, block) == [(RAW, LEAF.multihash)]


@pytest.mark.parametrize(
    "block",
    [b"", b"\x82\x01", b"\xff", b"\x1c", b"\x1f", b"\xa1aa\xff", b"\x9f\x01", b"\xd8\x2a\x01", b"\xd8\x2a\x42\x00\x01",
     b"\xd8\x2a\x41\x01", b"\xc1" * 100 + b"\x01", b"\xa1\x80\x01", b"\x5f\x41", b"\x01\x01",
     b"\xbf\x7f" + b"\x60" * 100 + b"\xff\xff",
     b"\x9a\xff\xff\xff\xff", b"\x5b" + b"\xff" * 8],
)  # fmt: skip
def test_what_is_no_cbor_has_no_links_and_says_so(block: bytes) -> None:
    with pytest.raises(CodecError):
        named_links(CID.of(block, DAG_CBOR), block)


def git(kind: str, body: bytes) -> bytes:
    return f"{kind} {len(body)}\0".encode() + body


def test_git_objects_lead_to_each_other_as_git_itself_reads_them(tmp_path: Path) -> None:
    def run(*words: str) -> bytes:
        author = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
        return subprocess.run(["git", *author, *words], cwd=tmp_path, check=True, capture_output=True).stdout

    run("init", "-q")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "b").write_bytes(b"two")
    for word in ("one", "more"):
        (tmp_path / "a").write_text(word)
        run("add", "-A")
        run("commit", "-qm", word)
    run("tag", "-a", "v1", "-m", "tag")
    names = run("cat-file", "--batch-all-objects", "--batch-check=%(objectname) %(objecttype)").decode().split("\n")
    blocks = {}
    for name, kind in (line.split() for line in names if line):
        blocks[bytes.fromhex(name)] = git(kind, run("cat-file", kind, name))
    stack, seen = [bytes.fromhex(run("rev-parse", "v1").decode())], set()
    assert len(blocks) == 9
    while stack:
        digest = stack.pop()
        if digest not in seen:
            seen.add(digest)
            cid = CID(1, GIT_RAW, Multihash(SHA1, digest).encode())
            assert matches(cid.multihash, blocks[digest])
            found = named_links(cid, blocks[digest])
            assert all(target.codec == GIT_RAW for target, _ in found)
            stack += [target.decoded_multihash().digest for target, _ in found]
    assert seen == set(blocks)
    top = CID(1, GIT_RAW, Multihash(SHA1, bytes.fromhex(run("rev-parse", "HEAD").decode())).encode())
    assert [name for _, name in named_links(top, blocks[top.decoded_multihash().digest])] == ["tree", "parents/0"]


@pytest.mark.parametrize(
    "block",
    [b"", b"blob", b"blob 2\0x", b"blob x\0", git("thing", b""), git("tree", b"100644 a\0short"),
     git("tree", b"\0" * 30), git("commit", b"tree zz\n\n"), git("commit", b"tree " + b"0" * 38 + b"\n\n"),
     git("tag", b"\n\n")],
)  # fmt: skip
def test_what_is_no_git_object_has_no_links_and_says_so(block: bytes) -> None:
    with pytest.raises(CodecError, match="git-raw"):
        named_links(CID.of(block, GIT_RAW, hash_code=SHA1), block)


def test_codecs_are_found_by_name_and_number() -> None:
    assert (parse_codec("dag-cbor"), parse_codec("0x71")) == (DAG_CBOR, DAG_CBOR)
    for text in ("no", "0xzz", ""):
        with pytest.raises(UnknownCodec):
            parse_codec(text)
    assert parse_codec("git-raw") == 0x78 and parse_codec("eth-block") == 0x90
    with pytest.raises(NoValues, match="eth-block blocks are not read"):
        codecs.decode(0x90, b"")
    with pytest.raises(UnknownCodec, match="0xb0"):
        codecs.decode(0xB0, b"")
    assert codecs.decode(RAW, b"x") == b"x"
    with pytest.raises(NotEncodable):
        codec_of(RAW).encode("x")
