"""Directories of either shape: any edits equal a rebuild; any shard is read to the end or refused; any data is cut."""

from collections.abc import Iterable

from hypothesis import given, settings
from hypothesis import strategies as st

from cidery.ipld import dag_pb
from cidery.ipld.block import Block
from cidery.ipld.dag_pb import DagPbError, Link
from cidery.ipld.walk import Need, Walk, WalkLimit
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import DAG_PB, RAW
from cidery.unixfs.chunker import Chunker
from cidery.unixfs.data import NodeType, UnixFSData, UnixFSError
from cidery.unixfs.directory import DirectoryEntry, directory
from cidery.unixfs.directory_editor import DirectoryEditor
from cidery.unixfs.directory_reader import NoSuchEntry
from cidery.unixfs.profile import UNIXFS_V0_2015, UNIXFS_V1_2025, Profile, ShardEstimate
from cidery.unixfs.reader import resolve_path
from cidery.unixfs.tree import walk_tree

quick = settings(derandomize=True, max_examples=60, deadline=None)
CHILDREN = [CID.of(bytes([number]), RAW) for number in range(3)]
NAMES = st.text("abcé\udcff", min_size=1, max_size=3)
EDITS = st.lists(
    st.tuples(st.sampled_from(["insert", "insert", "remove", "finish", "reopen"]), NAMES, st.integers(0, 2))
)
RECIPES = st.sampled_from(
    [
        UNIXFS_V1_2025._replace(shard_threshold=300, hamt_fanout=8),
        UNIXFS_V0_2015._replace(shard_threshold=150),
        UNIXFS_V1_2025._replace(directory_links=4, hamt_fanout=16),
        UNIXFS_V1_2025._replace(directory_links=3, hamt_fanout=8, shard_estimate=ShardEstimate.DISABLED),
    ]
)
MOST_ASKED = 2000
"""Blocks that a walk over a handful of hostile ones may ask for."""


class Blocks(dict[CID, bytes]):
    """A store in memory that answers walks."""

    def put(self, block: Block) -> None:
        self[block.cid] = bytes(block.data)

    def run(self, walk: Walk[object, object]) -> object:
        answer: bytes | None = None
        for _ in range(MOST_ASKED):
            try:
                step = walk.send(answer)
            except StopIteration as stop:
                return stop.value
            answer = self[step.cid] if isinstance(step, Need) else None
        raise AssertionError("the walk does not end")


def rebuilt(recipe: Profile, entries: Iterable[DirectoryEntry]) -> CID:
    return directory(recipe, entries, lambda block: None).cid


@quick
@given(RECIPES, EDITS)
def test_any_edits_give_the_cid_of_a_rebuild(recipe: Profile, edits: list[tuple[str, str, int]]) -> None:
    blocks, entries = Blocks(), {}
    editor = DirectoryEditor(recipe)
    for action, name, number in [*edits, ("finish", "", 0)]:
        if action == "insert":
            entries[name] = DirectoryEntry(name, CHILDREN[number], number)
            blocks.run(editor.insert(entries[name]))
        elif action == "remove":
            try:
                blocks.run(editor.remove(name))
            except NoSuchEntry:
                assert name not in entries
            else:
                del entries[name]
        else:
            edited = blocks.run(editor.finish())
            for block in edited.blocks:  # type: ignore[attr-defined]
                blocks.put(block)
            root = edited.root.cid  # type: ignore[attr-defined]
            assert root == rebuilt(recipe, entries.values())
            if action == "reopen":
                opened = DirectoryEditor.open(recipe, root, edited.floor)  # type: ignore[attr-defined]
                editor = blocks.run(opened)  # type: ignore[assignment]


SHARDS = st.lists(
    st.tuples(
        st.lists(
            st.tuples(st.integers(0, 8), st.sampled_from(["", "a", "b", "\udcff"]), st.integers(0, 3)), max_size=4
        ),
        st.one_of(st.none(), st.binary(max_size=2)),
        st.sampled_from([8, 8, 8, 16, 7]),
    ),
    min_size=1,
    max_size=5,
)


@quick
@given(SHARDS)
def test_any_shards_are_walked_to_the_end_or_refused(
    shards: list[tuple[list[tuple[int, str, int]], bytes | None, int]],
) -> None:
    blocks = Blocks()
    made = [CHILDREN[0]]
    blocks[made[0]] = b"\0"
    for slots, bitfield, fanout in shards:
        links = [Link(made[-1 - at % len(made)], f"{bucket:X}{name}", 1) for bucket, name, at in slots]
        if bitfield is None:
            used = sum({1 << bucket for bucket, _, _ in slots})
            bitfield = used.to_bytes((used.bit_length() + 7) // 8, "big")
        message = UnixFSData(NodeType.HAMT_SHARD, bitfield, hash_type=0x22, fanout=fanout)
        encoded = dag_pb.encode(links, message.encode())
        made.append(CID.of(encoded, DAG_PB))
        blocks[made[-1]] = encoded
    for walk in (walk_tree(made[-1]), resolve_path(made[-1], ["a"])):
        try:
            blocks.run(walk)
        except (UnixFSError, DagPbError, WalkLimit, NoSuchEntry):
            continue


@quick
@given(
    st.binary(max_size=3000),
    st.sampled_from([Chunker("rabin", 16, 64, 300), Chunker("fastcdc", 32, 64, 300), Chunker("buzhash", 40, 99, 300)]),
    st.integers(0, 255),
)
def test_any_data_is_cut_into_chunks_within_their_bounds(data: bytes, chunker: Chunker, fill: int) -> None:
    data += bytes([fill]) * 500
    at = 0
    while at < len(data):
        end = chunker.next_cut(data, at)
        assert end == len(data) or chunker.min_size <= end - at <= chunker.max_size
        assert at < end <= len(data)
        # a cut depends on the chunk alone: what is before it and after its longest form does not matter
        assert chunker.next_cut(data[at : at + chunker.max_size], 0) == end - at
        at = end
