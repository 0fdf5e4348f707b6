"""Sharded directories: the CIDs that others get, reading by parts, edits that equal a rebuild, hostile shards."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import pytest

from cidery.ipld import dag_pb
from cidery.ipld.block import Block
from cidery.ipld.dag_pb import Link
from cidery.ipld.walk import Need, Prefetch, Walk
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import DAG_PB
from cidery.multiformats.multihash import IDENTITY
from cidery.unixfs.data import NodeType, UnixFSData, UnixFSError
from cidery.unixfs.directory import BadName, DirectoryEntry, directory
from cidery.unixfs.directory_editor import DirectoryEditor, insert, remove
from cidery.unixfs.directory_reader import NoSuchEntry, NotADirectory, walk_entries
from cidery.unixfs.importer import leaf
from cidery.unixfs.layout import Child
from cidery.unixfs.metadata import Mtime
from cidery.unixfs.node import Kind, decode_node
from cidery.unixfs.profile import UNIXFS_V0_2015, UNIXFS_V1_2025, Profile, ShardEstimate, with_options
from cidery.unixfs.reader import read_node, resolve_path
from cidery.unixfs.shard import Slot, TooManyCollisions, bucket_at, encode_shard, hash_name
from cidery.unixfs.tree import walk_tree

MURMUR3 = json.loads((Path(__file__).parent.parent / "vectors/derived/unixfs-hamt-murmur3.json").read_text())
T = TypeVar("T")
TINY = UNIXFS_V1_2025._replace(shard_threshold=400, hamt_fanout=8)
CHILD = leaf(UNIXFS_V1_2025, b"x")[0]


class Dag(dict[CID, bytes]):
    """Blocks, and which of them were asked for."""

    def __init__(self) -> None:
        self.asked: list[CID] = []

    def put(self, block: Block) -> CID:
        self[block.cid] = bytes(block.data)
        return block.cid

    def run(self, walk: Walk[object, T]) -> tuple[T, list[object]]:
        """(what the walk returns, what it yields)."""
        results: list[object] = []
        answer: bytes | None = None
        while True:
            try:
                step = walk.send(answer)
            except StopIteration as stop:
                return stop.value, results
            answer = None
            if isinstance(step, Need):
                self.asked.append(step.cid)
                answer = self[step.cid]
            elif not isinstance(step, Prefetch):
                results.append(step)

    def directory(self, recipe: Profile, names: Sequence[str], child: Child = CHILD, **metadata: object) -> CID:
        entries = [DirectoryEntry(name, child.cid, child.tsize) for name in names]
        return directory(recipe, entries, self.put, **metadata).cid  # type: ignore[arg-type]

    def names(self, root: CID) -> list[str]:
        node, _ = self.run(read_node(root))
        return [link.name or "" for link in self.run(walk_entries(node))[1]]  # type: ignore[attr-defined]

    def shard(self, slots: list[Slot], fanout: int = 8) -> CID:
        encoded, _ = encode_shard(fanout, slots)
        return self.put(Block(CID.of(encoded, DAG_PB), encoded))


@pytest.fixture
def dag() -> Dag:
    return Dag()


def numbered(count: int) -> list[str]:
    return [f"entry-{number:05}" for number in range(count)]


def test_names_hash_into_the_buckets_of_the_reference() -> None:
    for one in MURMUR3["entries"]:
        hashed = hash_name(one["name"])
        assert f"{hashed:016x}" == one["murmur3_x64_64"]
        assert [f"{bucket_at(hashed, level, 8):02X}" for level in range(len(one["path"]))] == one["path"]


def test_buckets_cross_bytes_when_a_level_takes_other_than_eight_bits() -> None:
    assert [bucket_at(0x0123456789ABCDEF, level, 10) for level in range(2)] == [0x004, 0x234]


V0 = UNIXFS_V0_2015
FILES_2000 = [f"file{number}" for number in range(1, 2001)]
FILES_5960 = [f"file{number:06}" for number in range(1, 5961)]


@pytest.mark.parametrize(
    ("recipe", "names", "cid"),
    [
        (V0, FILES_2000, "QmavrTrQG4VhoJmantURAYuw3bowq3E2WcvP36NRQDAC1N"),
        (V0._replace(shard_threshold=1), FILES_2000, "QmSCJD1KYLhVVHqBK3YyXuoEqHt7vggyJhzoFYbT8v1XYL"),
        (
            with_options(V0, cid_version=1)._replace(shard_threshold=1),
            FILES_2000,
            "bafybeibiemewfzzdyhq2l74wrd6qj2oz42usjlktgnlqv4yfawgouaqn4u",
        ),
        (V0, FILES_5960, "QmWfjnRWRvdvYezQWnfbvrvY7JjrpevsE9cato1x76UqGr"),
    ],
    ids=["2000 basic", "2000 sharded", "2000 sharded v1", "5960"],
)
def test_large_directories_have_kubos_cids(dag: Dag, recipe: Profile, names: list[str], cid: str) -> None:
    children = [leaf(recipe, f"{number}\n".encode())[0] for number in range(1, len(names) + 1)]
    entries = [DirectoryEntry(name, child.cid, child.tsize) for name, child in zip(names, children, strict=True)]
    assert str(directory(recipe, entries, dag.put).cid) == cid


def test_a_directory_is_sharded_strictly_above_its_threshold(dag: Dag) -> None:
    names = [f"{number:010}" for number in range(3)]
    by_links = 3 * (10 + 36)
    for recipe, estimate in ((UNIXFS_V0_2015, by_links), (UNIXFS_V1_2025, len(dag[dag.directory(TINY, names)]))):
        at = dag.directory(recipe._replace(shard_threshold=estimate), names)
        above = dag.directory(recipe._replace(shard_threshold=estimate - 1), names)
        assert dag.run(read_node(at))[0].fanout == 0
        assert dag.run(read_node(above))[0].fanout == 256


def test_a_directory_with_more_entries_than_its_bound_is_sharded(dag: Dag) -> None:
    recipe = UNIXFS_V1_2025._replace(directory_links=5)
    assert dag.run(read_node(dag.directory(recipe, numbered(5))))[0].fanout == 0
    assert dag.run(read_node(dag.directory(recipe, numbered(6))))[0].fanout == 256


@pytest.mark.parametrize("fanout", [8, 16, 64, 256, 1024])
def test_what_was_written_is_listed_found_and_walked(dag: Dag, fanout: int) -> None:
    names = [*numbered(300), "é", "\udcff"]
    root = dag.directory(TINY._replace(hamt_fanout=fanout), names, mode=0o755, mtime=Mtime(5))
    assert dag.run(read_node(root))[0].kind is Kind.DIRECTORY
    assert dag.run(read_node(root))[0].mode == 0o755
    assert sorted(dag.names(root)) == sorted(names)
    assert dag.names(root) == sorted(names, key=hash_name)
    assert dag.run(resolve_path(root, ["\udcff"]))[0] == CHILD.cid
    walked = dag.run(walk_tree(root))[1]
    assert [entry.path for entry in walked] == [(), *((name,) for name in dag.names(root))]  # type: ignore[attr-defined]


def test_a_lookup_reads_only_the_shards_on_its_way(dag: Dag) -> None:
    root = dag.directory(UNIXFS_V1_2025._replace(shard_threshold=1), numbered(2000))
    dag.run(resolve_path(root, ["entry-00017"]))
    assert len(dag.asked) <= 3 < len(dag)
    with pytest.raises(NoSuchEntry, match="no link named 'absent'"):
        dag.run(resolve_path(root, ["absent"]))


def test_the_first_entries_come_before_the_last_shards_are_read(dag: Dag) -> None:
    root = dag.directory(UNIXFS_V1_2025._replace(shard_threshold=1), numbered(2000))
    walk = walk_entries(dag.run(read_node(root))[0])
    answer: bytes | None = None
    asked = 0
    while not isinstance(step := walk.send(answer), Link):
        answer = dag[step.cid] if isinstance(step, Need) else None
        asked += answer is not None
    assert asked <= 1


def stored(dag: Dag, edited: Walk[object, object]) -> CID:
    result, _ = dag.run(edited)
    for block in result.blocks:  # type: ignore[attr-defined]
        dag.put(block)
    return result.root.cid  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize(
    "recipe",
    [
        TINY,
        UNIXFS_V0_2015._replace(shard_threshold=400),
        TINY._replace(shard_estimate=ShardEstimate.DISABLED, directory_links=7),
    ],
    ids=["fanout-8", "v0", "by count"],
)
def test_entries_put_in_one_by_one_and_taken_out_again_give_the_cid_of_a_rebuild(dag: Dag, recipe: Profile) -> None:
    names = numbered(40)
    root = dag.directory(recipe, [])
    for count, name in enumerate(names, 1):
        root = stored(dag, insert(recipe, root, DirectoryEntry(name, CHILD.cid, CHILD.tsize)))
        assert root == dag.directory(recipe, names[:count])
    for count in reversed(range(len(names))):
        root = stored(dag, remove(recipe, root, names[count]))
        assert root == dag.directory(recipe, names[:count])


def test_where_no_size_is_too_large_a_directory_keeps_its_shape(dag: Dag) -> None:
    recipe = TINY._replace(shard_estimate=ShardEstimate.DISABLED)
    assert dag.directory(recipe, numbered(200)) == dag.directory(TINY._replace(shard_threshold=1 << 20), numbered(200))
    sharded = dag.directory(TINY, numbered(40))
    dag.asked.clear()
    assert stored(dag, remove(recipe, sharded, numbered(40)[0])) == dag.directory(TINY, numbered(40)[1:])
    assert len(dag.asked) < 4, "the others are not read"


def test_an_editor_kept_open_writes_what_a_rebuild_gives(dag: Dag) -> None:
    editor = DirectoryEditor(TINY, 0o700, Mtime(1, 2))
    for name in numbered(100):
        dag.run(editor.insert(DirectoryEntry(name, CHILD.cid, CHILD.tsize)))
    assert stored(dag, editor.finish()) == dag.directory(TINY, numbered(100), mode=0o700, mtime=Mtime(1, 2))
    for name in numbered(100)[3:]:
        assert dag.run(editor.remove(name))[0].name == name
    editor.mode = None
    assert stored(dag, editor.finish()) == dag.directory(TINY, numbered(3), mtime=Mtime(1, 2))
    assert dag.run(editor.find("entry-00002"))[0] == DirectoryEntry("entry-00002", CHILD.cid, CHILD.tsize)
    assert dag.run(editor.find("entry-00003"))[0] is None


def test_edits_read_and_write_only_the_way_to_the_name(dag: Dag) -> None:
    recipe = UNIXFS_V1_2025._replace(shard_threshold=1)
    root = dag.directory(recipe, numbered(5000))
    result, _ = dag.run(insert(recipe, root, DirectoryEntry("new", CHILD.cid, CHILD.tsize)))
    assert len(dag.asked) <= 3
    assert len(result.blocks) <= 3


def test_removals_look_at_other_shards_only_now_and_then_when_the_floor_is_passed_on(dag: Dag) -> None:
    recipe = UNIXFS_V1_2025._replace(shard_threshold=20_000)
    root, floor = dag.directory(recipe, numbered(2000)), 0
    asked: list[int] = []
    for name in numbered(50):
        before = len(dag.asked)
        result, _ = dag.run(remove(recipe, root, name, floor))
        for block in result.blocks:
            dag.put(block)
        root, floor = result.root.cid, result.floor
        asked.append(len(dag.asked) - before)
    assert asked[0] > 5
    assert max(asked[1:]) <= 3
    assert root == dag.directory(recipe, numbered(2000)[50:])


def test_replacing_an_entry_keeps_the_directory_canonical(dag: Dag) -> None:
    other = leaf(UNIXFS_V1_2025, b"other")[0]
    root = dag.directory(TINY, numbered(30))
    root = stored(dag, insert(TINY, root, DirectoryEntry("entry-00004", other.cid, other.tsize)))
    entries = [DirectoryEntry(name, CHILD.cid, CHILD.tsize) for name in numbered(30)]
    entries[4] = DirectoryEntry("entry-00004", other.cid, other.tsize)
    assert root == directory(TINY, entries, dag.put).cid


def test_edits_of_what_is_no_directory_absent_names_and_bad_names_are_refused(dag: Dag) -> None:
    file = dag.put(leaf(UNIXFS_V1_2025, b"x")[1])
    with pytest.raises(NotADirectory):
        dag.run(DirectoryEditor.open(TINY, file))
    root = dag.directory(TINY, numbered(30))
    with pytest.raises(NoSuchEntry):
        dag.run(remove(TINY, root, "absent"))
    with pytest.raises(NoSuchEntry, match="the new directory"):
        dag.run(DirectoryEditor(TINY).remove("absent"))
    with pytest.raises(BadName):
        dag.run(insert(TINY, root, DirectoryEntry("a/b", CHILD.cid, 1)))


def test_names_with_one_hash_are_refused_not_looped_over(dag: Dag, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("directory", "directory_editor", "shard"):
        monkeypatch.setattr(f"cidery.unixfs.{module}.hash_name", lambda name: 7)
    with pytest.raises(TooManyCollisions):
        dag.directory(TINY, numbered(30))
    editor = DirectoryEditor(TINY._replace(shard_threshold=0))
    dag.run(editor.insert(DirectoryEntry("a", CHILD.cid, 1)))
    dag.run(editor.finish())
    with pytest.raises(TooManyCollisions):
        dag.run(editor.insert(DirectoryEntry("b", CHILD.cid, 1)))


def shard_node(bitfield: bytes, links: Sequence[Link], fanout: int | None = 8, hash_type: int = 0x22) -> bytes:
    return dag_pb.encode(links, UnixFSData(NodeType.HAMT_SHARD, bitfield, hash_type=hash_type, fanout=fanout).encode())


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        (shard_node(b"", (), fanout=2048), "fanout 2048"),
        (shard_node(b"", (), fanout=12), "fanout 12"),
        (shard_node(b"", (), fanout=4), "fanout 4"),
        (shard_node(b"", (), fanout=1 << 63), "fanout"),
        (shard_node(b"", (), fanout=None), "fanout 0"),
        (shard_node(b"", (), hash_type=0x12), "hash type 18"),
        (shard_node(b"\x01\x00", ()), "bitfield of 2 bytes"),
        (shard_node(b"\x02", ()), "does not match"),
        (shard_node(b"", (Link(CHILD.cid, "1a", 1),)), "does not match"),
        (shard_node(b"\x03", (Link(CHILD.cid, "1a", 1), Link(CHILD.cid, "0b", 1))), "out of order"),
        (shard_node(b"\x02", (Link(CHILD.cid, "1a", 1), Link(CHILD.cid, "1b", 1))), "two in one bucket"),
        (shard_node(b"\x02", (Link(CHILD.cid, None, 1),)), "without its bucket"),
        (shard_node(b"\x02", (Link(CHILD.cid, "8a", 1),)), "without its bucket"),
    ],
)
def test_malformed_shards_are_refused(block: bytes, reason: str) -> None:
    with pytest.raises(UnixFSError, match=reason):
        decode_node(CID.of(block, DAG_PB), block)


def refused(dag: Dag, root: CID, reason: str, name: str = "x") -> None:
    for act in (
        lambda: dag.names(root),
        lambda: dag.run(walk_tree(root)),
        lambda: dag.run(DirectoryEditor.open(TINY, root))[0],
    ):
        with pytest.raises(UnixFSError, match=reason):
            result = act()
            if isinstance(result, DirectoryEditor):
                dag.run(result.insert(DirectoryEntry(name, CHILD.cid, 1)))
    with pytest.raises((UnixFSError, NoSuchEntry)):
        dag.run(resolve_path(root, [name]))


def bucket_of(name: str, level: int = 0) -> int:
    return bucket_at(hash_name(name), level, 3)


def test_an_entry_in_a_bucket_where_a_lookup_misses_it_is_refused(dag: Dag) -> None:
    wrong = dag.shard([Slot((bucket_of("x") + 1) % 8, Link(CHILD.cid, "x", 1))])
    refused(dag, wrong, "wrong bucket")


def test_a_shard_below_may_not_be_empty_of_another_fanout_or_a_file(dag: Dag) -> None:
    makers: list[tuple[Callable[[], CID], str]] = [
        (lambda: dag.shard([]), "empty shard"),
        (lambda: dag.shard([], 16), "fanout 8"),
        (lambda: dag.put(leaf(TINY, b"x")[1]), "fanout 8"),
        (lambda: dag.directory(UNIXFS_V1_2025, []), "fanout 8"),
    ]
    for make, reason in makers:
        refused(dag, dag.shard([Slot(bucket_of("x"), Link(make(), "", 1))]), reason)


def test_shards_below_each_other_end_at_the_last_bit_of_the_hash(dag: Dag) -> None:
    below = dag.shard([Slot(bucket_of("x", 20), Link(CHILD.cid, "", 1))])
    for level in reversed(range(20)):
        below = dag.shard([Slot(bucket_of("x", level), Link(below, "", 1))])
    refused(dag, below, "more than 21 levels")


def test_shards_that_fan_out_into_each_other_are_refused_at_the_second_way(dag: Dag) -> None:
    below = dag.shard([Slot(bucket_of("x", 10), Link(CHILD.cid, "x", 1))])
    for _ in range(10):
        below = dag.shard([Slot(bucket, Link(below, "", 1)) for bucket in range(8)])
    dag.asked.clear()
    with pytest.raises(UnixFSError, match="wrong bucket"):
        dag.names(below)
    assert len(dag.asked) <= 12


def test_shards_inside_identity_cids_are_bounded_as_others(dag: Dag) -> None:
    encoded, _ = encode_shard(8, [])
    inner = CID.of(encoded, DAG_PB, hash_code=IDENTITY)
    refused(dag, dag.shard([Slot(bucket_of("x"), Link(inner, "", 1))]), "empty shard")


def test_a_directory_that_falls_back_to_the_threshold_is_one_node_again_with_kubos_cid(dag: Dag) -> None:
    children = [leaf(V0, f"{number}\n".encode())[0] for number in range(1, 5961)]
    entries = [DirectoryEntry(name, child.cid, child.tsize) for name, child in zip(FILES_5960, children, strict=True)]
    root, floor = directory(V0, entries, dag.put).cid, 0
    for name in FILES_5960[:5]:
        result, _ = dag.run(remove(V0, root, name, floor))
        for block in result.blocks:
            dag.put(block)
        root, floor = result.root.cid, result.floor
    assert str(root) == "QmbVxi5zDdzytrjdufUejM92JsWj8wGVmukk6tiPce3p1m"
