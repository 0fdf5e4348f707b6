import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cidery.ipld import dag_pb
from cidery.ipld.dag_pb import DagPbError, Link
from cidery.ipld.walk import Data, Need
from cidery.multiformats.cid import CID
from cidery.multiformats.protobuf import bytes_field, varint_field
from cidery.unixfs import data as unixfs_data
from cidery.unixfs.data import NodeType, UnixFSData, UnixFSError
from cidery.unixfs.importer import FileBuilder
from cidery.unixfs.layout import Balanced, Child
from cidery.unixfs.metadata import Mtime
from cidery.unixfs.node import decode_node
from cidery.unixfs.profile import UNIXFS_V0_2015, UNIXFS_V1_2025, with_options
from cidery.unixfs.reader import read_file

quick = settings(max_examples=120, derandomize=True, deadline=None)
cids = st.binary(max_size=4).map(CID.of) | st.binary(max_size=4).map(lambda data: CID.of(data, 0x70, version=0))
names = st.none() | st.binary(max_size=12).map(lambda raw: raw.decode("utf-8", "surrogateescape"))
links = st.builds(Link, cids, names, st.none() | st.integers(0, (1 << 64) - 1))
fields = st.lists(
    st.one_of(
        st.builds(bytes_field, st.integers(1, 9), st.binary(max_size=20)),
        st.builds(varint_field, st.integers(1, 9), st.integers(0, 300)),
        st.binary(max_size=6),
    ),
    max_size=6,
).map(b"".join)
messages = st.builds(
    UnixFSData,
    st.sampled_from(NodeType),
    st.none() | st.binary(max_size=20),
    st.none() | st.integers(0, (1 << 63) - 1),
    st.lists(st.integers(0, 1 << 40), max_size=5).map(tuple),
    st.none() | st.integers(0, 1 << 20),
    st.none() | st.integers(0, 1 << 20),
    st.none() | st.integers(0, (1 << 32) - 1),
    st.none() | st.builds(Mtime, st.integers(-(1 << 63), (1 << 63) - 1), st.integers(0, 999_999_999)),
)


@quick
@given(st.lists(links, max_size=5), st.none() | st.binary(max_size=20))
def test_dag_pb_nodes_survive_a_round_trip(some: list[Link], data: bytes | None) -> None:
    node = dag_pb.decode(dag_pb.encode(some, data))
    assert node.links == tuple(some)
    assert (None if node.data is None else bytes(node.data)) == data


@quick
@given(fields)
def test_any_bytes_are_a_dag_pb_node_or_a_dag_pb_error(block: bytes) -> None:
    try:
        dag_pb.decode(block)
    except DagPbError:
        return


@quick
@given(st.lists(links, max_size=3), fields, st.integers(0, 200), st.integers(0, 255))
def test_the_fast_and_the_full_decoder_agree(some: list[Link], rest: bytes, at: int, byte: int) -> None:
    block = bytearray(dag_pb.encode(some, None) + rest)
    if at < len(block):
        block[at] = byte

    def outcome() -> object:
        try:
            return dag_pb.decode(bytes(block))
        except DagPbError:
            return DagPbError

    fast = outcome()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dag_pb, "_leading_links", lambda _, at, links: at)
        assert outcome() == fast


@quick
@given(messages)
def test_unixfs_messages_survive_a_round_trip(message: UnixFSData) -> None:
    assert unixfs_data.decode(message.encode()) == message


@quick
@given(fields)
def test_any_bytes_are_a_unixfs_message_or_a_unixfs_error(message: bytes) -> None:
    try:
        unixfs_data.decode(message)
    except UnixFSError:
        return


@quick
@given(st.lists(links, max_size=3), st.one_of(fields, messages.map(UnixFSData.encode)))
def test_any_node_is_unixfs_or_its_own_error(some: list[Link], message: bytes) -> None:
    block = dag_pb.encode(some, message)
    try:
        node = decode_node(CID.of(block, 0x70), block)
    except (DagPbError, UnixFSError):
        return
    assert node.size == len(node.inline) + sum(node.blocksizes)


@quick
@given(
    st.binary(max_size=400),
    st.integers(1, 40),
    st.integers(2, 5),
    st.booleans(),
    st.sampled_from([UNIXFS_V0_2015, UNIXFS_V1_2025]),
    st.integers(0, 420),
    st.none() | st.integers(0, 420),
)
def test_any_range_of_an_import_reads_back(data, chunk, width, raw, base, offset, length) -> None:  # type: ignore[no-untyped-def]
    recipe = with_options(base, chunker=f"size-{chunk}", max_links=width, raw_leaves=raw)
    builder = FileBuilder(recipe)
    blocks = {}
    for at in range(0, len(data), chunk):
        blocks.update({block.cid: bytes(block.data) for block in builder.add_chunk(data[at : at + chunk])})
    root, last = builder.finish()
    blocks.update({block.cid: bytes(block.data) for block in last})
    walk = read_file(root.cid, offset, length)
    out, answer = b"", None
    try:
        while True:
            step = walk.send(answer)
            answer = blocks[step.cid] if isinstance(step, Need) else None
            if isinstance(step, Data):
                out += step.chunk
    except StopIteration:
        assert out == data[offset : None if length is None else offset + length]


@quick
@given(st.integers(1, 300), st.integers(2, 6))
def test_every_leaf_of_a_balanced_file_has_one_depth_and_nodes_are_full(count: int, width: int) -> None:
    recipe = with_options(UNIXFS_V1_2025, max_links=width)
    layout = Balanced(recipe)
    blocks = {}
    leaves = [CID.of(number.to_bytes(2, "big")) for number in range(count)]
    for leaf in leaves:
        blocks.update({block.cid: block.data for block in layout.add(Child(leaf, 2, 2))})
    root, last = layout.finish()
    blocks.update({block.cid: block.data for block in last})
    level = [root.cid]
    while level[0] in blocks:
        below = [[link.cid for link in dag_pb.decode(blocks[cid]).links] for cid in level]
        assert all(len(children) == width for children in below[:-1])
        level = [cid for children in below for cid in children]
    assert level == leaves
    assert root.filesize == 2 * count
