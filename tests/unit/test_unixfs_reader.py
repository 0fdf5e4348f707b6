from collections.abc import Sequence
from typing import TypeVar

import pytest

from cidery.errors import InvalidInput
from cidery.ipld import dag_pb
from cidery.ipld.block import Block
from cidery.ipld.walk import Data, Need, Prefetch, Walk, WalkLimit
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import DAG_CBOR, DAG_PB, RAW
from cidery.unixfs.data import NodeType, UnixFSData, UnixFSError
from cidery.unixfs.directory import BadName, DirectoryEntry, check_name, directory
from cidery.unixfs.directory_reader import NoSuchEntry, NotADirectory
from cidery.unixfs.importer import FileBuilder, leaf, symlink
from cidery.unixfs.layout import Child
from cidery.unixfs.metadata import MAX_TREE_DEPTH
from cidery.unixfs.node import Kind, decode_node
from cidery.unixfs.profile import UNIXFS_V0_2015, UNIXFS_V1_2025, ImportOptionError, Profile, with_options
from cidery.unixfs.reader import (
    MAX_FILE_DEPTH,
    NotAFile,
    Offer,
    read_file,
    read_missing,
    resolve_path,
)
from cidery.unixfs.tree import walk_tree

T = TypeVar("T")
SMALL = with_options(UNIXFS_V1_2025, chunker="size-10", max_links=3)


def written(recipe: Profile, entries: Sequence[DirectoryEntry]) -> tuple[Child, Block]:
    """A directory of one node."""
    blocks: list[Block] = []
    child = directory(recipe, entries, blocks.append)
    return child, blocks[-1]


class Dag:
    """Blocks, and what was asked of them."""

    def __init__(self) -> None:
        self.blocks: dict[CID, bytes] = {}
        self.asked: list[CID] = []
        self.hinted: list[CID] = []

    def put(self, *blocks: Block) -> CID:
        for block in blocks:
            self.blocks[block.cid] = bytes(block.data)
        return blocks[-1].cid

    def node(self, message: UnixFSData, links: Sequence[dag_pb.Link] = ()) -> CID:
        encoded = dag_pb.encode(links, message.encode())
        return self.put(Block(CID.of(encoded, DAG_PB), encoded))

    def file(self, data: bytes, recipe: Profile = SMALL) -> CID:
        builder = FileBuilder(recipe)
        for at in range(0, len(data), recipe.chunk_size):
            self.put(*builder.add_chunk(data[at : at + recipe.chunk_size]))
        root, blocks = builder.finish()
        if blocks:
            self.put(*blocks)
        return root.cid

    def run(self, walk: Walk[T, object]) -> list[T]:
        out: list[T] = []
        answer: bytes | None = None
        while True:
            try:
                step = walk.send(answer)
            except StopIteration as stop:
                self.result = stop.value
                return out
            answer = None
            if isinstance(step, Need):
                self.asked.append(step.cid)
                answer = self.blocks[step.cid]
            elif isinstance(step, Prefetch):
                self.hinted += step.cids
            else:
                out.append(step)

    def read(self, root: CID, offset: int = 0, length: int | None = None) -> bytes:
        return b"".join(bytes(step.chunk) for step in self.run(read_file(root, offset, length)))


@pytest.fixture
def dag() -> Dag:
    return Dag()


TEXT = bytes(range(256))


@pytest.mark.parametrize("recipe", [SMALL, with_options(SMALL, raw_leaves=False), with_options(SMALL, cid_version=0)])
@pytest.mark.parametrize("size", [0, 1, 10, 11, 30, 31, 90, 91, 256])
def test_a_file_reads_back_whole(dag: Dag, recipe: Profile, size: int) -> None:
    assert dag.read(dag.file(TEXT[:size], recipe)) == TEXT[:size]


def test_a_seek_touches_only_the_nodes_on_the_way(dag: Dag) -> None:
    root = dag.file(TEXT)  # 26 leaves of 10, 3 links a node: depth 3
    assert dag.read(root, 101, 5) == TEXT[101:106]
    assert len(dag.asked) == 4
    dag.asked.clear()
    assert dag.read(root, 95, 10) == TEXT[95:105]
    leaves = [cid for cid in dag.asked if cid.codec == RAW]
    assert len(leaves) == 2


def test_reading_nothing_reads_the_root_only(dag: Dag) -> None:
    root = dag.file(TEXT)
    assert dag.read(root, 20, 0) == b""
    assert dag.read(root, 256) == dag.read(root, 9999, 5) == b""
    assert set(dag.asked) == {root}


def test_the_end_of_the_file_cuts_a_range(dag: Dag) -> None:
    assert dag.read(dag.file(TEXT), 250, 100) == TEXT[250:]


@pytest.mark.parametrize(("offset", "length"), [(-1, None), (0, -1)])
def test_negative_ranges_are_refused(dag: Dag, offset: int, length: int | None) -> None:
    with pytest.raises(InvalidInput):
        dag.read(dag.file(TEXT), offset, length)


def test_leaves_are_named_ahead_in_order_and_only_wanted_ones(dag: Dag) -> None:
    recipe = with_options(UNIXFS_V1_2025, chunker="size-1")
    root = dag.file(TEXT, recipe)
    dag.read(root, 10, 50)
    assert dag.hinted == [CID.of(TEXT[at : at + 1]) for at in range(10, 60)]


def test_inline_bytes_of_a_node_with_children_come_first(dag: Dag) -> None:
    child = dag.put(leaf(SMALL, b"tail")[1])
    message = UnixFSData(NodeType.FILE, b"head", 8, (4,))
    root = dag.node(message, [dag_pb.Link(child, "", 4)])
    assert dag.read(root) == b"headtail"
    assert dag.read(root, 2, 4) == b"adta"


def file_over(dag: Dag, **changes: object) -> CID:
    child = dag.put(leaf(SMALL, b"tail")[1])
    fields = {"type": NodeType.FILE, "filesize": 4, "blocksizes": (4,), **changes}
    name = fields.pop("name", "")
    return dag.node(UnixFSData(**fields), [dag_pb.Link(child, name, 4)])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"filesize": 5}, "sum up to 4"),
        ({"filesize": None}, "sum up to 4"),
        ({"blocksizes": ()}, "0 blocksizes for 1 links"),
        ({"blocksizes": (2, 2)}, "2 blocksizes for 1 links"),
        ({"blocksizes": (5,), "filesize": 5}, "its parent says 5"),
        ({"name": "x"}, "named link"),
    ],
)
def test_sizes_that_contradict_each_other_are_refused(dag: Dag, changes: dict[str, object], reason: str) -> None:
    with pytest.raises(UnixFSError, match=reason):
        dag.read(file_over(dag, **changes))


def test_a_directory_or_symlink_is_no_file_and_none_may_be_inside_one(dag: Dag) -> None:
    folder = dag.put(written(SMALL, [])[1])
    with pytest.raises(NotAFile, match="is a directory"):
        dag.read(folder)
    with pytest.raises(NotAFile, match="is a symlink"):
        dag.read(dag.put(symlink(SMALL, "x")[1]))
    message = UnixFSData(NodeType.FILE, filesize=4, blocksizes=(4,))
    with pytest.raises(UnixFSError, match="inside a file"):
        dag.read(dag.node(message, [dag_pb.Link(folder, "", 4)]))


def test_a_chain_of_single_links_is_given_up(dag: Dag) -> None:
    cid = dag.put(leaf(SMALL, b"tail")[1])
    for _ in range(MAX_FILE_DEPTH + 1):
        cid = dag.node(UnixFSData(NodeType.FILE, filesize=4, blocksizes=(4,)), [dag_pb.Link(cid, "", 4)])
    with pytest.raises(WalkLimit, match="deeper"):
        dag.read(cid)


def test_a_bomb_that_holds_no_bytes_is_never_opened(dag: Dag) -> None:
    cid = dag.put(leaf(with_options(SMALL, raw_leaves=False), b"")[1])
    for _ in range(60):
        message = UnixFSData(NodeType.FILE, filesize=0, blocksizes=(0,) * 100)
        cid = dag.node(message, [dag_pb.Link(cid, "", 0)] * 100)
    assert dag.read(cid) == b""
    assert dag.asked == [cid]


def test_a_bomb_that_claims_bytes_delivers_them_lazily_or_fails(dag: Dag) -> None:
    cid = dag.put(leaf(SMALL, b"x")[1])
    size = 1
    for _ in range(9):
        size *= 100
        message = UnixFSData(NodeType.FILE, filesize=size, blocksizes=(size // 100,) * 100)
        cid = dag.node(message, [dag_pb.Link(cid, "", size // 100)] * 100)
    assert dag.read(cid, 10**17, 7) == b"x" * 7
    assert len(dag.asked) == 9 + 7


@pytest.mark.parametrize("kind", [NodeType.METADATA])
def test_types_that_nobody_writes_are_refused(dag: Dag, kind: NodeType) -> None:
    with pytest.raises(UnixFSError):
        dag.read(dag.node(UnixFSData(kind)))


def test_sharded_directories_other_codecs_and_bare_nodes_have_their_own_errors(dag: Dag) -> None:
    with pytest.raises(NotAFile, match="is a directory"):
        dag.read(dag.node(UnixFSData(NodeType.HAMT_SHARD, b"", hash_type=0x22, fanout=256)))
    with pytest.raises(InvalidInput, match="dag-cbor"):
        dag.read(dag.put(Block(CID.of(b"\xa0", DAG_CBOR), b"\xa0")))
    with pytest.raises(UnixFSError, match="without data"):
        decode_node(CID.of(b"", DAG_PB), b"")


def test_old_raw_leaves_without_filesize_are_read(dag: Dag) -> None:
    assert dag.read(dag.node(UnixFSData(NodeType.RAW, b"old"))) == b"old"


def test_paths_lead_through_directories(dag: Dag) -> None:
    file = dag.put(leaf(SMALL, b"x")[1])
    inner, inner_block = written(SMALL, [DirectoryEntry("file", file, 1)])
    dag.put(inner_block)
    root = dag.put(written(SMALL, [DirectoryEntry("inner", inner.cid, inner.tsize)])[1])
    dag.run(resolve_path(root, ["inner", "file"]))
    assert dag.result == file
    with pytest.raises(NoSuchEntry, match="no link named 'fil'"):
        dag.run(resolve_path(root, ["inner", "fil"]))
    with pytest.raises(NotADirectory, match="is a file"):
        dag.run(resolve_path(root, ["inner", "file", "more"]))


def test_of_two_entries_with_one_name_the_first_counts(dag: Dag) -> None:
    one, two = (dag.put(leaf(SMALL, data)[1]) for data in (b"1", b"2"))
    root = dag.node(UnixFSData(NodeType.DIRECTORY), [dag_pb.Link(two, "n", 1), dag_pb.Link(one, "n", 1)])
    dag.run(resolve_path(root, ["n"]))
    assert dag.result == two
    assert [entry.cid for entry in dag.run(walk_tree(root))] == [root, two]


def test_directories_sort_by_bytes_whatever_the_order_given() -> None:
    cid = leaf(SMALL, b"x")[0].cid
    names = ["é", "z", "a", "B", "\udcff"]
    blocks = [written(SMALL, [DirectoryEntry(name, cid, 1) for name in order])[1] for order in (names, names[::-1])]
    assert blocks[0] == blocks[1]
    assert [link.name for link in dag_pb.decode(blocks[0].data).links] == ["B", "a", "z", "é", "\udcff"]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\0", "x" * 256, "é" * 128])
def test_names_that_readers_would_refuse_are_not_written(name: str) -> None:
    with pytest.raises(BadName):
        check_name(name)
    with pytest.raises(BadName):
        written(SMALL, [DirectoryEntry(name, leaf(SMALL, b"x")[0].cid, 1)])


def test_two_entries_cannot_have_one_name() -> None:
    cid = leaf(SMALL, b"x")[0].cid
    with pytest.raises(BadName, match="two entries"):
        written(SMALL, [DirectoryEntry("a", cid, 1), DirectoryEntry("a", cid, 1)])


def test_a_symlink_target_is_bounded() -> None:
    with pytest.raises(InvalidInput, match="4096"):
        symlink(SMALL, "x" * 4097)


def test_a_tree_is_walked_directories_first(dag: Dag) -> None:
    file = dag.put(leaf(SMALL, b"x")[1])
    link = dag.put(symlink(SMALL, "to")[1])
    inner, inner_block = written(SMALL, [DirectoryEntry("f", file, 1), DirectoryEntry("l", link, 9)])
    dag.put(inner_block)
    root = dag.put(written(SMALL, [DirectoryEntry("d", inner.cid, inner.tsize), DirectoryEntry("e", file, 1)])[1])
    entries = dag.run(walk_tree(root))
    assert [("/".join(entry.path), entry.kind) for entry in entries] == [
        ("", Kind.DIRECTORY),
        ("d", Kind.DIRECTORY),
        ("d/f", Kind.FILE),
        ("d/l", Kind.SYMLINK),
        ("e", Kind.FILE),
    ]
    assert file not in dag.asked
    assert entries[3].target == "to"


def test_trees_are_bounded(dag: Dag, monkeypatch: pytest.MonkeyPatch) -> None:
    child, block = written(SMALL, [])
    dag.put(block)
    for _ in range(MAX_TREE_DEPTH + 1):
        child, block = written(SMALL, [DirectoryEntry("d", child.cid, 0), DirectoryEntry("e", child.cid, 0)])
        dag.put(block)
    with pytest.raises(WalkLimit, match="deeper"):
        dag.run(walk_tree(child.cid))
    monkeypatch.setattr("cidery.unixfs.tree.MAX_TREE_ENTRIES", 100)
    with pytest.raises(WalkLimit, match="more than 100 entries"):
        dag.run(walk_tree(child.cid))


def test_parts_that_are_there_are_not_read(dag: Dag) -> None:
    root = dag.file(TEXT)
    offers: list[Offer] = []

    def steps() -> list[bytes]:
        walk = read_missing(root)
        out: list[bytes] = []
        answer: bytes | None = None
        while True:
            try:
                step = walk.send(answer)
            except StopIteration:
                return out
            answer = None
            if isinstance(step, Offer):
                offers.append(step)
                step.taken = step.start < 200 and step.cid.codec == RAW
            elif isinstance(step, Need):
                dag.asked.append(step.cid)
                answer = dag.blocks[step.cid]
            elif isinstance(step, Data):
                out.append(bytes(step.chunk))

    assert b"".join(steps()) == TEXT[200:]
    assert (offers[0].cid, offers[0].start, offers[0].size) == (root, 0, None)
    taken = [offer for offer in offers if offer.taken]
    assert [(offer.start, offer.size) for offer in taken] == [(at, 10) for at in range(0, 200, 10)]
    assert not {offer.cid for offer in taken} & set(dag.asked)


@pytest.mark.parametrize(
    "options",
    [
        {"cid_version": 2},
        {"cid_version": 0, "hash_name": "blake3"},
        {"hash_name": "nonsense"},
        {"cid_version": 0, "hash_name": "identity"},
        {"hash_name": "murmur3-x64-64"},
        {"hash_name": "blake2b-8"},
        {"chunker": "size-0"},
        {"chunker": "size-2096897"},
        {"chunker": "size--1"},
        {"chunker": "size-"},
        {"chunker": "rabin-30"},
        {"max_links": 1},
        {"max_links": 8193},
        {"raw_leaves": True, "stores_metadata": True},
    ],
)
def test_import_options_that_make_no_sense_are_refused_in_one_line(options: dict[str, object]) -> None:
    with pytest.raises(ImportOptionError) as caught:
        with_options(UNIXFS_V0_2015, **options)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_import_options_follow_kubos_rules() -> None:
    assert with_options(UNIXFS_V0_2015, cid_version=1).raw_leaves
    assert not with_options(UNIXFS_V1_2025, cid_version=0).raw_leaves
    assert not with_options(UNIXFS_V1_2025, stores_metadata=True).raw_leaves
    blake = with_options(UNIXFS_V0_2015, hash_name="blake3")
    assert (blake.cid_version, blake.raw_leaves) == (1, True)
