"""Links found in steps: those of the whole value, the same blocks refused, and no long step for any block."""

import random
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cidery.errors import IntegrityError
from cidery.ipld import dag_cbor, dag_cbor_scan, dag_json, dag_pb, json_scan, links
from cidery.ipld.block import MAX_BLOCK
from cidery.ipld.data_model import MAX_LINKS, links_of
from cidery.ipld.links import named_links, scan_links
from cidery.ipld.walk import Need, Visited, walk_edges
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import DAG_CBOR, DAG_JOSE, DAG_JSON, DAG_PB
from cidery.multiformats.varint import encode_uvarint
from fuzz.decoders import broken, targets

CODECS = {"dag-cbor": DAG_CBOR, "dag-json": DAG_JSON, "dag-pb": DAG_PB, "dag-jose": DAG_JOSE}


def exhausted(steps):
    try:
        while True:
            next(steps)
    except StopIteration as stop:
        return stop.value


def outcome(find):
    """The links, or that the block was refused."""
    try:
        return list(find())
    except IntegrityError:
        return "refused"


def same(codec: int, block: bytes, monkeypatch) -> None:
    cid = CID.of(block, codec)
    monkeypatch.setattr(links, "SCAN_BYTES", -1)
    assert outcome(lambda: exhausted(scan_links(cid, block))) == outcome(lambda: named_links(cid, block)), block.hex()


cids = st.builds(lambda data, codec: CID.of(data, codec), st.binary(max_size=4), st.sampled_from([0x55, 0x70, 0x71]))
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8) | st.binary(max_size=8) | cids,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5) | st.just("/"), inner, max_size=5),
    max_leaves=30,
)  # fmt: skip


@given(values)
def test_links_of_any_value_are_found_with_their_paths(value):
    block = dag_cbor.encode(value)
    found = [(cid, "/".join(map(str, names))) for cid, names in exhausted(dag_cbor_scan.scan(block))]
    assert found == links_of(dag_cbor.decode(block))


@given(values)
def test_links_of_any_dag_json_are_found_with_their_paths(value):
    try:
        block = dag_json.encode(value)
    except Exception:
        return  # a map that would be read as a link
    found = [(cid, "/".join(map(str, names))) for cid, names in exhausted(json_scan.scan(block))]
    assert found == links_of(dag_json.decode(block))


@pytest.mark.parametrize("name", ["dag-cbor", "dag-json"])
def test_what_the_decoder_takes_has_the_same_links_in_a_scan(name):
    (target,) = [one for one in targets() if one.name == name]
    module = {"dag-cbor": dag_cbor, "dag-json": dag_json}[name]
    scan = {"dag-cbor": dag_cbor_scan.scan, "dag-json": json_scan.scan}[name]
    taken = 0
    for data in [*target.seeds, *islice(broken(target.seeds, random.Random(3)), 2000)]:
        try:
            value = module.decode(data)
        except IntegrityError:
            continue
        taken += 1
        found = [(cid, "/".join(map(str, names))) for cid, names in exhausted(scan(data))]
        assert found == links_of(value), data.hex()
    assert taken > 20


TOKENS = ["]", "[", "{", "}", ",", ":", "1", "-0", "01", "1.5", "1e400", "null", "tru", "NaN", " ", "\n", '"a"', '"\t"']
TOKENS += ['{"/":', '"bafkqaaa"', '{"bytes":', '"AA"', '"/"', '"bytes"', '"\\ud800"', '"\\u0061"', '"\\x"', "9" * 20]
json_texts = st.lists(st.sampled_from(TOKENS), max_size=14).map("".join)


@given(json_texts)
def test_any_json_text_is_taken_or_refused_as_by_the_decoder(text):
    with pytest.MonkeyPatch.context() as patch:
        same(DAG_JSON, text.encode(), patch)


@pytest.mark.parametrize("name", sorted(CODECS))
def test_broken_vectors_are_taken_or_refused_as_by_the_decoder(name, monkeypatch):
    (target,) = [one for one in targets() if one.name == name]
    for data in islice(broken(target.seeds, random.Random(2)), 400):
        same(CODECS[name], data, monkeypatch)
    for data in target.seeds:
        same(CODECS[name], data, monkeypatch)


def array(item: bytes) -> bytes:
    count = (MAX_BLOCK - 2) // (len(item) + 1)
    return b"[" + b",".join([item] * count) + b"]"


def cbor_array(item: bytes) -> bytes:
    count = (MAX_BLOCK - 5) // len(item)
    head = b"\x9a" + count.to_bytes(4, "big") if count > 0xFFFF else b"\x99" + count.to_bytes(2, "big")
    return head + item * count


def nodes(cid: bytes) -> bytes:
    link = b"\x12" + encode_uvarint(len(cid) + 2) + b"\x0a" + encode_uvarint(len(cid)) + cid
    return link * (MAX_BLOCK // len(link))


REAL, TINY = CID.of(b"x", 0x55), CID(1, 0x55, b"\x00\x00")
HOSTILE = {
    "json links": (DAG_JSON, array(b'{"/":"%s"}' % str(REAL).encode())),
    "json maps": (DAG_JSON, array(b"{}")),
    "json lists": (DAG_JSON, array(b"[]")),
    "json numbers": (DAG_JSON, array(b"0")),
    "json nesting": (DAG_JSON, array(b"[" * 400 + b"]" * 400)),
    "json keys": (DAG_JSON, b"{" + b",".join(b'"%06x":[]' % i for i in range(MAX_BLOCK // 13)) + b"}"),
    "cbor links": (DAG_CBOR, cbor_array(b"\xd8\x2a\x58\x25\x00" + REAL.encode())),
    "cbor maps": (DAG_CBOR, cbor_array(b"\xa0")),
    "cbor lists": (DAG_CBOR, cbor_array(b"\x81\x00")),
    "cbor numbers": (DAG_CBOR, cbor_array(b"\x00")),
    "pb links": (DAG_PB, nodes(REAL.encode())),
}


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_a_walk_over_the_largest_hostile_block_pauses_after_every_thousand_values(name):
    """What may happen between two pauses is bounded by a count, so no clock is needed."""
    codec, block = HOSTILE[name]
    root = CID.of(block, codec)
    assert len(block) > MAX_BLOCK * 0.9
    values = {
        DAG_JSON: sum(map(block.count, (b"[", b"{", b","))),
        DAG_CBOR: int.from_bytes(block[1 : 5 if block[0] == 0x9A else 3], "big"),
        DAG_PB: block.count(b"\x12\x28"),
    }[codec]
    walk = walk_edges(root, unique=True)
    step, steps = next(walk), 0
    while not isinstance(step, Need):
        step = next(walk)
    step = walk.send(block)
    assert isinstance(step, Visited)
    for step in walk:
        if isinstance(step, Need):  # of the first child
            break
        steps += 1
    assert steps >= values // 1024


def test_a_string_that_does_not_end_is_refused_without_trying_every_way_to_read_it():
    block = b'["' + b"a" * MAX_BLOCK
    with pytest.raises(IntegrityError, match="unexpected"):
        exhausted(json_scan.scan(block))


def test_more_links_than_real_digests_leave_room_for_are_refused():
    link = b"\xd8\x2a\x45\x00" + TINY.encode()
    blocks = {
        DAG_CBOR: cbor_array(link),
        DAG_JSON: array(b'{"/":"%s"}' % str(TINY).encode()),
        DAG_PB: nodes(TINY.encode()),
    }
    for codec, block in blocks.items():
        cid = CID.of(block, codec)
        with pytest.raises(IntegrityError, match=f"more than {MAX_LINKS} links"):
            exhausted(scan_links(cid, block))
    # who must not miss a link reads all of them
    for codec, block in blocks.items():
        assert len(named_links(CID.of(block, codec), block, bounded=False)) > MAX_LINKS


def test_a_large_signature_of_many_values_is_refused_and_a_sane_one_is_walked():
    header = {"alg": "none"}
    sane = dag_cbor.encode({"payload": REAL.encode(), "signatures": [{"header": header, "signature": bytes(5000)}]})
    absurd = dag_cbor.encode({"payload": REAL.encode(), "signatures": [{"header": {"a": [0] * 20_000}}]})
    assert exhausted(scan_links(CID.of(sane, DAG_JOSE), sane)) == [(REAL, "link")]
    with pytest.raises(IntegrityError, match="more than 8192 values"):
        exhausted(scan_links(CID.of(absurd, DAG_JOSE), absurd))


def test_dag_pb_in_steps_is_dag_pb():
    links_ = [dag_pb.Link(CID.of(b"%d" % i), f"n{i}" if i % 3 else "x" * 300, i) for i in range(2000)]
    block = dag_pb.encode(links_, b"data")
    node = exhausted(dag_pb.decode_steps(block))
    assert node == dag_pb.decode(block)
    assert list(node.links) == links_ and bytes(node.data) == b"data"
    assert sum(1 for _ in dag_pb.decode_steps(block)) >= 3
