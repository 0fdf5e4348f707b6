from collections.abc import Sequence

import pytest

from cidery.ipld import dag_pb
from cidery.ipld.block import MAX_BLOCK
from cidery.ipld.walk import MAX_DEPTH, PREFETCH_WINDOW, Edge, Need, Prefetch, Visited, Walk, WalkLimit, walk_edges
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import DAG_PB
from cidery.multiformats.multihash import IDENTITY


class Blocks:
    def __init__(self) -> None:
        self.blocks: dict[CID, bytes] = {}
        self.asked: list[CID] = []
        self.hinted: list[CID] = []

    def node(self, children: Sequence[tuple[str, CID]], data: bytes | None = None) -> CID:
        block = dag_pb.encode([dag_pb.Link(cid, name, 1) for name, cid in children], data)
        cid = CID.of(block, DAG_PB)
        self.blocks[cid] = block
        return cid

    def raw(self, data: bytes) -> CID:
        cid = CID.of(data)
        self.blocks[cid] = data
        return cid

    def run(self, walk: Walk[Edge | Visited, None]) -> list[Edge | Visited]:
        out: list[Edge | Visited] = []
        answer: bytes | None = None
        while True:
            try:
                step = walk.send(answer)
            except StopIteration:
                return out
            answer = None
            if isinstance(step, Need):
                self.asked.append(step.cid)
                answer = self.blocks[step.cid]
            elif isinstance(step, Prefetch):
                self.hinted += step.cids
            else:
                out.append(step)

    def edges(self, root: CID, **options: object) -> list[tuple[str, int]]:
        steps = self.run(walk_edges(root, **{"unique": False, **options}))  # type: ignore[arg-type]
        return [(step.name, step.depth) for step in steps if isinstance(step, Edge)]


@pytest.fixture
def tree() -> tuple[Blocks, CID]:
    blocks = Blocks()
    leaf = blocks.raw(b"leaf")
    inner = blocks.node([("x", leaf), ("y", leaf)])
    return blocks, blocks.node([("a", inner), ("b", leaf), ("c", inner)])


def test_edges_come_depth_first_in_the_order_of_links(tree: tuple[Blocks, CID]) -> None:
    blocks, root = tree
    assert blocks.edges(root) == [("a", 1), ("x", 2), ("y", 2), ("b", 1), ("c", 1), ("x", 2), ("y", 2)]


def test_unique_edges_report_and_read_each_target_once(tree: tuple[Blocks, CID]) -> None:
    blocks, root = tree
    assert blocks.edges(root, unique=True) == [("a", 1), ("x", 2)]
    assert len(blocks.asked) == len(set(blocks.asked)) == 3


def test_a_bounded_walk_names_but_does_not_read_the_last_level(tree: tuple[Blocks, CID]) -> None:
    blocks, root = tree
    assert blocks.edges(root, max_depth=1) == [("a", 1), ("b", 1), ("c", 1)]
    assert blocks.asked == [root]
    assert blocks.edges(root, max_depth=0) == []


def test_a_node_met_late_but_higher_up_is_followed_further() -> None:
    blocks = Blocks()
    deep = blocks.node([("deep", blocks.raw(b"deep"))])
    shared = blocks.node([("shared", deep)])
    root = blocks.node([("long", blocks.node([("way", shared)])), ("short", shared)])
    names = [name for name, _ in blocks.edges(root, unique=True, max_depth=3)]
    assert names == ["long", "way", "shared", "deep"]


def test_raw_leaves_need_not_be_read(tree: tuple[Blocks, CID]) -> None:
    blocks, root = tree
    blocks.edges(root, unique=True, read_raw=False)
    assert len(blocks.asked) == 2


def test_every_sibling_is_named_ahead_once_and_in_order() -> None:
    blocks = Blocks()
    leaves = [blocks.raw(str(number).encode()) for number in range(3 * PREFETCH_WINDOW)]
    root = blocks.node([("", leaf) for leaf in leaves])
    blocks.edges(root)
    assert blocks.asked == [root, *leaves]
    assert list(dict.fromkeys(blocks.hinted)) == leaves
    assert len(blocks.hinted) <= 2 * len(leaves)


def test_visited_blocks_come_with_their_sizes(tree: tuple[Blocks, CID]) -> None:
    blocks, root = tree
    sizes = {step.cid: step.size for step in blocks.run(walk_edges(root, unique=True)) if isinstance(step, Visited)}
    assert sizes == {cid: len(block) for cid, block in blocks.blocks.items()}


def test_identity_cids_answer_themselves() -> None:
    blocks = Blocks()
    inline = CID.of(
        dag_pb.encode([dag_pb.Link(CID.of(b"x", hash_code=IDENTITY), "x", 1)], None), DAG_PB, hash_code=IDENTITY
    )
    assert blocks.edges(blocks.node([("inline", inline)])) == [("inline", 1), ("x", 2)]
    assert len(blocks.asked) == 1


def test_a_chain_beyond_the_depth_bound_is_given_up() -> None:
    blocks = Blocks()
    cid = blocks.raw(b"end")
    for _ in range(MAX_DEPTH + 1):
        cid = blocks.node([("next", cid)])
    with pytest.raises(WalkLimit, match="deeper"):
        blocks.edges(cid)


def test_a_bomb_of_nested_links_costs_one_read_per_block_when_unique() -> None:
    blocks = Blocks()
    cid = blocks.raw(b"end")
    for _ in range(200):
        cid = blocks.node([("l", cid), ("r", cid)])
    assert len(blocks.edges(cid, unique=True)) == 200
    assert len(blocks.asked) == 201


def test_too_many_pending_links_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cidery.ipld.walk.MAX_PENDING", 10)
    blocks = Blocks()
    leaf = blocks.raw(b"x")
    with pytest.raises(WalkLimit, match="pending"):
        blocks.edges(blocks.node([("", leaf)] * 11))


def test_a_repeating_walk_is_bounded(monkeypatch: pytest.MonkeyPatch, tree: tuple[Blocks, CID]) -> None:
    monkeypatch.setattr("cidery.ipld.walk.MAX_EDGES", 4)
    with pytest.raises(WalkLimit, match="unique"):
        tree[0].edges(tree[1])


def test_an_oversized_block_is_given_up() -> None:
    blocks = Blocks()
    root = blocks.raw(bytes(MAX_BLOCK + 1))
    with pytest.raises(WalkLimit, match="bytes"):
        blocks.edges(root)
