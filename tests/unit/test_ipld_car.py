"""What archives are written from: headers, heads of sections, the order of blocks, and the index of a CARv2."""

import struct

import pytest

from cidery.ipld import dag_cbor, dag_pb
from cidery.ipld.block import MAX_BLOCK, BadBlock, Block, HashMismatch
from cidery.ipld.car import MAX_SECTION, CarError, decode_section_head, encode_header, encode_section_head
from cidery.ipld.car_reader import PRAGMA, V2_HEADER, CarReader
from cidery.ipld.car_v2 import FULLY_INDEXED, MULTIHASH_INDEX_SORTED, CarIndex
from cidery.ipld.car_walk import walk_blocks
from cidery.ipld.walk import Need, Prefetch, WalkLimit
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import DAG_CBOR, DAG_PB, RAW
from cidery.multiformats.multihash import IDENTITY
from cidery.multiformats.varint import decode_uvarint, encode_uvarint

ONE, TWO = CID.of(b"one"), CID.of(b"two")
UNKNOWN_CODEC = 0xB0


# --- headers and heads


@pytest.mark.parametrize("count", [0, 1, 23, 24, 255, 256, 3000])
def test_a_header_is_the_canonical_dag_cbor_map_of_any_number_of_roots(count: int):
    roots = [CID.of(b"%d" % at) for at in range(count)]
    body = dag_cbor.encode({"roots": list(roots), "version": 1})
    assert encode_header(roots) == encode_uvarint(len(body)) + body


def test_the_head_of_a_section_says_where_its_data_lies():
    head = encode_section_head(ONE, 3)
    section = decode_section_head(b"before" + head + b"one", 6)
    assert section.cid == ONE and (section.data_start, section.data_end) == (6 + len(head), 6 + len(head) + 3)


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (b"", "section length"),
        (b"\xff", "section length"),
        (encode_uvarint(MAX_SECTION + 1) + ONE.encode(), "at most"),
        (b"\x05\x01\x55", "section CID"),
        (b"\x05" + ONE.encode(), "shorter than its CID"),
    ],
)
def test_a_broken_head_of_a_section_is_refused_with_its_reason(head: bytes, reason: str):
    with pytest.raises(CarError, match=reason) as caught:
        decode_section_head(head)
    assert str(caught.value).startswith("bad CAR: ")


# --- blocks


def test_a_block_is_verified_by_its_hash():
    assert Block.verified(ONE, b"one") == Block(ONE, b"one")
    with pytest.raises(HashMismatch, match="do not match its hash") as caught:
        Block.verified(ONE, b"two")
    assert str(ONE) in str(caught.value)


def test_a_bad_block_says_which_one_it_is_once_that_is_known():
    error = BadBlock()
    assert error.said("no node") == "no node"
    error.note(ONE)
    error.note(TWO)
    assert error.said("no node") == f"{ONE} is no node"


# --- the order of blocks


def node(*targets: CID) -> Block:
    encoded = dag_pb.encode([dag_pb.Link(target, "", 0) for target in targets], None)
    return Block(CID.of(encoded, DAG_PB), encoded)


def leaf(data: bytes) -> Block:
    return Block(CID.of(data), data)


def archived(blocks: list[Block], *roots: CID) -> tuple[list[CID], list[CID]]:
    """(CIDs in the order of the archive, those that were asked for)."""
    known = {block.cid: block.data for block in blocks}
    walk, written, asked = walk_blocks(roots), [], []
    answer: object = None
    try:
        while True:
            step = walk.send(answer)  # type: ignore[arg-type]
            answer = None
            if isinstance(step, Need):
                asked.append(step.cid)
                answer = known.get(step.cid)
            elif isinstance(step, Block):
                written.append(step.cid)
            else:
                assert isinstance(step, Prefetch)
    except StopIteration:
        return written, asked


def test_blocks_come_depth_first_and_each_once_also_below_several_roots():
    a, b, c = leaf(b"a"), leaf(b"b"), leaf(b"c")
    inner = node(a.cid, b.cid)
    root = node(inner.cid, c.cid, a.cid)
    written, asked = archived([a, b, c, inner, root], root.cid, inner.cid, root.cid)
    assert written == asked == [root.cid, inner.cid, a.cid, b.cid, c.cid]


def test_identity_blocks_are_written_and_never_asked_for():
    inlined = CID.of(b"tiny", hash_code=IDENTITY)
    root = node(inlined)
    assert archived([root], root.cid) == ([root.cid, inlined], [root.cid])


def test_a_block_that_is_not_there_is_left_out_and_the_others_are_written():
    a = leaf(b"a")
    root = node(ONE, a.cid)
    assert archived([a, root], root.cid) == ([root.cid, a.cid], [root.cid, ONE, a.cid])


def test_a_block_of_an_unknown_codec_is_a_leaf():
    strange = Block(CID.of(b"anything", UNKNOWN_CODEC), b"anything")
    root = node(strange.cid)
    assert archived([strange, root], root.cid)[0] == [root.cid, strange.cid]


def test_a_block_over_the_limit_ends_the_walk():
    big = CID.of(b"named, not hashed here", RAW)
    with pytest.raises(WalkLimit, match="at most"):
        archived([Block(big, bytes(MAX_BLOCK + 1))], big)


def test_more_pending_links_than_the_bound_end_the_walk(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("cidery.ipld.car_walk.MAX_PENDING", 2)
    root = node(ONE, TWO, CID.of(b"three"))
    with pytest.raises(WalkLimit, match="links pending"):
        archived([root], root.cid)


# --- CARv2


def index_of(encoded: bytes) -> dict[tuple[int, int], list[tuple[bytes, int]]]:
    """Read a MultihashIndexSorted: (hash code, digest length) -> (digest, offset), as they stand there."""
    code, at = decode_uvarint(encoded)
    assert code == MULTIHASH_INDEX_SORTED
    (codes,) = struct.unpack_from("<i", encoded, at)
    at += 4
    found: dict[tuple[int, int], list[tuple[bytes, int]]] = {}
    for _ in range(codes):
        hash_code, widths = struct.unpack_from("<Qi", encoded, at)
        at += 12
        for _ in range(widths):
            width, size = struct.unpack_from("<IQ", encoded, at)
            at += 12
            rows = [encoded[at + row : at + row + width] for row in range(0, size, width)]
            found[hash_code, width - 8] = [(row[:-8], int.from_bytes(row[-8:], "little")) for row in rows]
            at += size
    assert at == len(encoded)
    return found


def test_the_index_of_a_carv2_says_where_each_section_is_in_the_order_of_the_digests():
    blocks = [leaf(b"%d" % at) for at in range(20)]
    blocks += [Block(CID.of(b"tiny", hash_code=IDENTITY), b"tiny"), Block(CID.of(b"x", DAG_CBOR), b"x")]
    header = encode_header([blocks[0].cid])
    index, inner = CarIndex(header), bytearray(header)
    for block in blocks:
        index.add(block)
        inner += encode_section_head(block.cid, len(block.data)) + bytes(block.data)
    assert index.size == len(inner)
    found = index_of(b"".join(index.encode()))
    assert list(found) == sorted(found) and {len(rows) for rows in found.values()} == {1, 21}
    for (code, length), rows in found.items():
        assert rows == sorted(rows)
        for digest, offset in rows:
            section = decode_section_head(bytes(inner), offset)
            multihash = section.cid.decoded_multihash()
            assert (multihash.code, len(multihash.digest), multihash.digest) == (code, length, digest)


def test_a_carv2_is_read_back_by_the_reader():
    header = encode_header([ONE])
    index = CarIndex(header)
    index.add(Block(ONE, b"one"))
    head = index.encode_head()
    assert head[: len(PRAGMA)] == PRAGMA
    characteristics, start, size, index_at = V2_HEADER.unpack(head[len(PRAGMA) :])
    assert (characteristics, start, size, index_at) == (FULLY_INDEXED, len(head), index.size, len(head) + index.size)
    inner = header + encode_section_head(ONE, 3) + b"one"
    reader = CarReader()
    placed = reader.receive_data(head + inner + b"".join(index.encode()))
    reader.receive_eof()
    assert reader.roots == (ONE,) and [one.block.cid for one in placed] == [ONE]
