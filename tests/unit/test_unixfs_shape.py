"""The shape of a DAG as ``explain`` shows it, of files made with known settings."""

from collections.abc import Sequence

import pytest

from cidery.ipld import dag_pb
from cidery.ipld.block import Block
from cidery.ipld.walk import Need, WalkLimit
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import DAG_CBOR, DAG_PB
from cidery.unixfs.data import NodeType, UnixFSData
from cidery.unixfs.directory import DirectoryEntry, directory
from cidery.unixfs.importer import FileBuilder, leaf, symlink
from cidery.unixfs.metadata import Mtime
from cidery.unixfs.profile import UNIXFS_V0_2015, UNIXFS_V1_2025, Profile, with_options
from cidery.unixfs.reader import MAX_FILE_DEPTH
from cidery.unixfs.shape import AtLeast, Shape, read_shape

SMALL = with_options(UNIXFS_V1_2025, chunker="size-10", max_links=3)
SMALL_V0 = with_options(UNIXFS_V0_2015, chunker="size-10", max_links=3)
NOTHING = CID.of(b"")
TRICKLE = with_options(SMALL_V0, trickle=True)


class Dag:
    """Blocks, and how many of them a shape cost."""

    def __init__(self) -> None:
        self.blocks: dict[CID, bytes] = {}
        self.reads = 0

    def put(self, *blocks: Block) -> CID:
        for block in blocks:
            self.blocks[block.cid] = bytes(block.data)
        return blocks[-1].cid if blocks else NOTHING

    def file(self, chunks: Sequence[bytes], recipe: Profile, mode: int | None = None) -> CID:
        builder = FileBuilder(recipe, mode)
        for chunk in chunks:
            self.put(*builder.add_chunk(chunk))
        root, blocks = builder.finish()
        self.put(*blocks)
        return root.cid

    def shape(self, root: CID) -> Shape:
        steps, answer = read_shape(root), None
        try:
            while True:
                step = steps.send(answer)  # type: ignore[arg-type]
                answer = None
                if isinstance(step, Need):
                    self.reads += 1
                    answer = self.blocks[step.cid]
        except StopIteration as stop:
            shape: Shape = stop.value
            return shape


@pytest.fixture
def dag() -> Dag:
    return Dag()


def tens(count: int, last: int = 10) -> list[bytes]:
    return [bytes([at % 256]) * 10 for at in range(count - 1)] + [b"z" * last]


def test_a_file_of_one_chunk_tells_only_the_least_that_its_settings_were(dag: Dag):
    shape = dag.shape(dag.file([b"hello"], SMALL))
    assert (shape.kind, shape.size, shape.raw_leaves, shape.chunk) == ("file", 5, True, AtLeast(5))
    assert shape.width is shape.layout is None and not shape.metadata
    assert str(shape.chunk) == "5 or more"
    old = dag.shape(dag.file([b"hello"], SMALL_V0))
    assert (old.raw_leaves, old.chunk) == (False, AtLeast(5))


def test_a_file_of_one_level_tells_its_chunks_and_the_least_width(dag: Dag):
    shape = dag.shape(dag.file(tens(3, 4), SMALL))
    assert (shape.size, shape.chunk, shape.width, shape.layout) == (24, 10, AtLeast(3), None)


@pytest.mark.parametrize("recipe", [SMALL, SMALL_V0])
@pytest.mark.parametrize("count", [4, 9, 10, 40])
def test_a_balanced_file_tells_its_chunks_and_width_by_one_block_per_level(dag: Dag, recipe: Profile, count: int):
    shape = dag.shape(dag.file(tens(count), recipe))
    assert (shape.chunk, shape.width, shape.layout) == (10, 3, "balanced")
    assert shape.raw_leaves is recipe.raw_leaves and shape.size == 10 * count
    assert dag.reads <= 6


@pytest.mark.parametrize("count", [4, 5, 10, 60])
def test_a_trickle_file_tells_its_layout_and_width(dag: Dag, count: int):
    shape = dag.shape(dag.file(tens(count), TRICKLE))
    assert (shape.layout, shape.chunk) == ("trickle", 10)
    assert shape.width == 3


def test_a_trickle_file_whose_only_subtree_is_shorter_than_a_leaf_tells_its_width(dag: Dag):
    shape = dag.shape(dag.file(tens(4, 2), TRICKLE))
    assert (shape.width, shape.chunk, shape.layout, shape.size) == (3, 10, "trickle", 32)


def test_chunks_cut_by_content_have_no_size(dag: Dag):
    shape = dag.shape(dag.file([b"a" * 7, b"b" * 10, b"c" * 3], SMALL))
    assert shape.chunk is None and shape.size == 20


def test_a_lone_link_tells_only_the_least_size_of_a_chunk(dag: Dag):
    child = leaf(SMALL, b"12345")[1]
    dag.put(child)
    message = UnixFSData(NodeType.FILE, None, 5, (5,))
    encoded = dag_pb.encode([dag_pb.Link(child.cid, "", 5)], message.encode())
    shape = dag.shape(dag.put(Block(CID.of(encoded, DAG_PB), encoded)))
    assert (shape.chunk, shape.width) == (AtLeast(5), AtLeast(1))


def test_directories_symlinks_and_other_codecs_say_their_kind(dag: Dag):
    blocks: list[Block] = []
    basic = directory(SMALL, [], blocks.append)
    sharding = SMALL._replace(shard_threshold=10)
    child = leaf(SMALL, b"x")[0]
    entries = [DirectoryEntry(f"name {at}", child.cid, child.tsize) for at in range(3)]
    shard = directory(sharding, entries, blocks.append)
    dag.put(*blocks)
    assert (dag.shape(basic.cid).kind, dag.shape(basic.cid).fanout) == ("directory", 0)
    assert dag.shape(shard.cid).fanout == 256
    link = dag.put(symlink(SMALL, "target", Mtime(5, 0))[1])
    shape = dag.shape(link)
    assert (shape.kind, shape.fanout, shape.metadata) == ("symlink", None, True)
    reads = dag.reads
    other = CID.of(b"\xa0", DAG_CBOR)
    assert dag.shape(other) == Shape(other, "block") and dag.reads == reads


def test_a_stored_mode_is_told_of_small_and_large_files(dag: Dag):
    recipe = with_options(SMALL, raw_leaves=False)
    for count in (1, 5):
        assert dag.shape(dag.file(tens(count), recipe, mode=0o644)).metadata


def test_a_file_deeper_than_any_writer_makes_is_given_up(dag: Dag):
    below = dag.put(leaf(SMALL, b"x")[1])
    for _ in range(MAX_FILE_DEPTH + 2):
        message = UnixFSData(NodeType.FILE, None, 1, (1,))
        encoded = dag_pb.encode([dag_pb.Link(below, "", 1)], message.encode())
        below = dag.put(Block(CID.of(encoded, DAG_PB), encoded))
    with pytest.raises(WalkLimit, match="deeper than"):
        dag.shape(below)
