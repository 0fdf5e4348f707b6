"""CARs survive export and import in pieces of any size; any bytes are blocks or a BadCar; any path ends."""

from hypothesis import given, settings
from hypothesis import strategies as st

from cidery.errors import CideryError
from cidery.ipld import dag_cbor
from cidery.ipld.block import Block
from cidery.ipld.car import encode_header, encode_section_head
from cidery.ipld.car_reader import PRAGMA, V2_HEADER, BadCar, CarReader
from cidery.ipld.car_walk import walk_blocks
from cidery.ipld.data_model import Value
from cidery.ipld.path import NoSuchPath, follow
from cidery.ipld.walk import Need
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import DAG_CBOR, DAG_JSON, DAG_PB
from cidery.multiformats.varint import encode_uvarint

quick = settings(max_examples=120, derandomize=True, deadline=None)
payloads = st.binary(max_size=300)
noise = st.one_of(
    st.binary(max_size=12),
    st.sampled_from([PRAGMA, encode_header([]), encode_header([CID.of(b"")]), b"\xff" * 9, encode_uvarint(1 << 40)]),
    payloads.map(lambda data: encode_section_head(CID.of(data), len(data)) + data),
    st.tuples(st.integers(0, 200), st.integers(0, 400)).map(lambda pair: V2_HEADER.pack(bytes(16), *pair, 0)),
)


def read(archive: bytes, cuts: list[int]) -> tuple[tuple[CID, ...], list[tuple[CID, bytes]]]:
    reader, found, at = CarReader(), [], 0
    for cut in [*cuts, len(archive)]:
        found += [
            (placed.block.cid, bytes(placed.block.data)) for placed in reader.receive_data(archive[at : at + cut])
        ]
        at += cut
    reader.receive_eof()
    return reader.roots, found


@quick
@given(st.lists(payloads, max_size=6), st.lists(st.integers(1, 400), max_size=12))
def test_blocks_survive_in_pieces_of_any_size(data: list[bytes], cuts: list[int]) -> None:
    blocks = [(CID.of(one), one) for one in data]
    roots = tuple(cid for cid, _ in blocks)
    archive = encode_header(roots) + b"".join(encode_section_head(cid, len(one)) + one for cid, one in blocks)
    assert read(archive, cuts) == (roots, blocks)


@quick
@given(st.lists(noise, max_size=6).map(b"".join), st.lists(st.integers(1, 60), max_size=12))
def test_any_bytes_are_an_archive_or_are_refused_the_same_way_in_any_pieces(archive: bytes, cuts: list[int]) -> None:
    def outcome(pieces: list[int]) -> object:
        try:
            return read(archive, pieces)
        except BadCar as exc:
            assert "\n" not in str(exc)
            assert 0 <= exc.at <= len(archive)
            return exc.at

    assert outcome(cuts) == outcome([]) == outcome([1] * len(archive))


@quick
@given(st.binary(max_size=60), st.sampled_from([DAG_CBOR, DAG_JSON, DAG_PB]), st.integers(1, 4))
def test_a_walk_over_identity_cids_of_any_bytes_ends(data: bytes, codec: int, wraps: int) -> None:
    """An identity CID is its own block: a DAG of them needs no store, and cannot hold itself."""
    cid = CID(1, codec, b"\x00" + encode_uvarint(len(data)) + data)
    for _ in range(wraps):
        inner = dag_cbor.encode([cid])
        if len(inner) > 128:
            break
        cid = CID(1, DAG_CBOR, b"\x00" + encode_uvarint(len(inner)) + inner)
    found = []
    try:
        for step in walk_blocks([cid]):
            if isinstance(step, Need):
                break  # a link to an ordinary block
            if isinstance(step, Block):
                found.append(step)
    except CideryError as exc:
        assert "\n" not in str(exc)
    assert len(found) <= wraps + 130


values = st.recursive(
    st.integers() | st.text(max_size=3) | st.just(CID.of(b"x")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "0", "b/c"]), inner, max_size=3),
    max_leaves=8,
)


@quick
@given(values, st.lists(st.sampled_from(["a", "0", "1", "b/c", "-1", "９", ""]), max_size=5))
def test_a_path_leads_to_a_value_or_to_nothing(value: Value, names: list[str]) -> None:
    try:
        reached = follow(CID.of(b""), value, names)
    except NoSuchPath as exc:
        assert exc.name in names
        return
    assert reached.used == len(names) or isinstance(reached.value, CID)
