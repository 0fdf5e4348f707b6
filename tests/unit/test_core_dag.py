"""Nodes of any codec by path, sizes and differences of DAGs, CAR import and export."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cidery.blockstore.interface import Durability
from cidery.blockstore.memory import MemoryStore
from cidery.core.adding.add import AddOptions, add_root
from cidery.core.adding.items import Bytes
from cidery.core.car.exporting import export_car, export_car_v2
from cidery.core.car.importing import CarStats, import_car, read_pieces
from cidery.core.reading.dag import BadNode, Change, ChangeType, DagSizes, dag_diff, dag_get, dag_put, dag_stat
from cidery.core.reading.resolve import InsideBlock, resolve, resolve_inside
from cidery.core.session import NotStored, StoreSession
from cidery.errors import InvalidInput
from cidery.ipld import dag_cbor, dag_json
from cidery.ipld.block import MAX_BLOCK, Block
from cidery.ipld.car import encode_header, encode_section_head
from cidery.ipld.car_reader import BadCar
from cidery.ipld.codecs import UnknownCodec
from cidery.ipld.dag_pb import Link
from cidery.ipld.dag_pb import encode as encode_pb
from cidery.ipld.data_model import NotEncodable, Value
from cidery.ipld.path import NoSuchPath
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import DAG_CBOR, DAG_JSON, DAG_PB
from cidery.multiformats.multihash import IDENTITY, SHA1
from cidery.unixfs.profile import UNIXFS_V0_2015, UNIXFS_V1_2025

VECTORS = Path(__file__).parent.parent / "vectors"
ARCHIVES = sorted((VECTORS / "gateway-conformance").rglob("*.car"))


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def session(store: MemoryStore) -> StoreSession:
    return StoreSession(store)


async def put(store: MemoryStore, value: Value, codec: int = DAG_CBOR) -> CID:
    block = dag_cbor.encode(value) if codec == DAG_CBOR else dag_json.encode(value)
    cid = CID.of(block, codec)
    await store.put_many((Block(cid, block),), kept=True, durability=Durability.VISIBLE)
    return cid


async def put_pb(store: MemoryStore, links: list[Link], data: bytes | None) -> CID:
    block = encode_pb(links, data)
    cid = CID.of(block, DAG_PB)
    await store.put_many((Block(cid, block),), kept=True, durability=Durability.VISIBLE)
    return cid


async def add_folder(store: MemoryStore, files: dict[str, bytes]) -> CID:
    items = [Bytes(data, f"folder/{name}") for name, data in files.items()]
    return await add_root(items, store, AddOptions())


# -- put and get -------------------------------------------------------------------------------------------------------


async def test_nodes_get_the_cids_that_kubo_gives_them(store: MemoryStore) -> None:
    stored = await dag_put(b'{"data":1234}', store)
    assert str(stored.cid) == "bafyreidbm2zncsc3j25zn7lofgd4woeh6eygdy73thfosuni2rwr3bhcvu"
    node = b'{"Data":{"/":{"bytes":"CAE"}},"Links":[]}'
    assert str((await dag_put(node, store, store_codec="dag-pb")).cid) == str(CID.of(b"\x0a\x02\x08\x01", DAG_PB))


@pytest.mark.parametrize(
    ("codec", "hash_name", "cid"),
    [
        ("dag-cbor", "sha2-256", "bafyreiblwimnjbqcdoeafiobk6q27jcw64ew7n2fmmhdpldd63edmjecde"),
        ("dag-json", "sha2-256", "baguqeera6gviseelmbzn2ugoddo5vulxlshqs3kw5ymgsb6w4cabnoh4ldpa"),
        (
            "dag-cbor",
            "sha3-512",
            "bafyriqforjma7y7akqz7nhuu73r6liggj5zhkbfiqgicywe3fgkna2ijlhod2af3ue7doj56tlzt5hh6iu5esafc4msr3sd53jol5m2o25ucy",
        ),
    ],
)
async def test_the_object_of_kubos_own_tests_has_its_cids_and_paths(
    store: MemoryStore, session: StoreSession, codec: str, hash_name: str, cid: str
) -> None:
    foo, bar, baz = [
        await add_root([Bytes(text)], store, AddOptions(UNIXFS_V0_2015)) for text in (b"foo\n", b"bar\n", b"baz\n")
    ]
    text = (
        f'{{"hello":"world","cats":[{{"/":"{foo}"}},{{"water":{{"/":"{bar}"}}}}],"magic":{{"/":"{baz}"}},'
        '"sub":{"dict":"ionary","beep":[0,"bop"]}}'
    )
    stored = await dag_put(text.encode(), store, store_codec=codec, hash_name=hash_name)
    assert str(stored.cid) == cid
    assert await resolve(f"{cid}/cats/1/water", session) == bar
    expected = {"hello": b'"world"', "sub": b'{"beep":[0,"bop"],"dict":"ionary"}', "sub/beep/1": b'"bop"'}
    for path, value in expected.items():
        assert await dag_get(f"{cid}/{path}", session) == value
    assert await dag_get(f"{cid}/cats/0", session) == b'{"Data":{"/":{"bytes":"CAISBGZvbwoYBA"}},"Links":[]}'
    assert await dag_get(f"/ipld/{foo}/Data", session) == b'{"/":{"bytes":"CAISBGZvbwoYBA"}}'
    with pytest.raises(InsideBlock, match="/ipld/"):
        await resolve(f"/ipld/{foo}/Data", session)


async def test_any_form_is_read_and_the_canonical_one_is_stored(store: MemoryStore, session: StoreSession) -> None:
    loose = await dag_put(b'{ "b":1, "a":[1.5] }', store)
    from_cbor = await dag_put(b"\xa2\x61b\x18\x01\x61a\x81\xf9\x3e\x00", store, input_codec="dag-cbor")
    assert loose == from_cbor
    assert await dag_get(loose.cid, session) == b'{"a":[1.5],"b":1}'
    assert await dag_get(loose.cid, session, output_codec="dag-cbor") == dag_cbor.encode({"a": [1.5], "b": 1})


async def test_input_that_cannot_be_stored_says_why(store: MemoryStore) -> None:
    with pytest.raises(BadNode, match="not valid dag-json.*--input-codec"):
        await dag_put(b"{", store)
    with pytest.raises(NotEncodable, match="dag-pb"):
        await dag_put(b"{}", store, store_codec="dag-pb")
    with pytest.raises(UnknownCodec, match="known: cbor"):
        await dag_put(b"{}", store, store_codec="x")
    with pytest.raises(InvalidInput, match="hash"):
        await dag_put(b"{}", store, hash_name="x")


# -- paths across codecs -----------------------------------------------------------------------------------------------


async def test_a_path_goes_through_every_codec(store: MemoryStore, session: StoreSession) -> None:
    folder = await add_folder(store, {"d/file": b"bytes"})
    text = await put(store, {"list": [0, {"deep": folder}], "v": [1, 2]}, DAG_JSON)
    root = await put(store, {"a/b": 1, "json": text})
    file = await resolve(f"{root}/json/list/1/deep/d/file", session)
    assert await resolve(f"/ipfs/{root}/json", session) == text
    assert await resolve(f"ipfs://{folder}/d/file", session) == file == CID.of(b"bytes")
    assert await resolve_inside(f"{root}/json/v/1", session) == (text, ("v", "1"))
    assert await dag_get(f"{root}/json/v/1", session) == b"2"
    assert await dag_get(f"{root}/json/list/1/deep/d/file", session) == b'{"/":{"bytes":"Ynl0ZXM"}}'
    with pytest.raises(InsideBlock, match="dag get"):
        await resolve(f"{root}/json/v", session)


@pytest.mark.parametrize("path", ["x", "list/9", "list/-1", "list/01x", "list/0/x", "list/" + "9" * 5000, "link/x"])
async def test_paths_to_nothing_are_named(store: MemoryStore, session: StoreSession, path: str) -> None:
    root = await put(store, {"list": [0], "link": await put(store, {})})
    with pytest.raises(NoSuchPath, match="no link named") as caught:
        await resolve_inside(f"{root}/{path}", session)
    assert len(str(caught.value)) < 300


async def test_names_of_nodes_that_are_not_unixfs_are_their_links(store: MemoryStore, session: StoreSession) -> None:
    leaf = CID.of(b"x")
    root = await put_pb(store, [Link(leaf, "name", 1)], b"\xff")
    assert await resolve(f"{root}/name", session) == leaf
    with pytest.raises(NoSuchPath):
        await resolve(f"{root}/other", session)


async def test_identity_cids_answer_themselves_on_a_path(session: StoreSession) -> None:
    inner = CID(1, DAG_CBOR, b"\x00\x05" + dag_cbor.encode({"a": [7]}))
    assert inner.is_identity
    assert await dag_get(f"{inner}/a/0", session) == b"7"
    assert IDENTITY == 0


# -- stat and diff -----------------------------------------------------------------------------------------------------


async def last_stat(paths: list[CID], session: StoreSession) -> DagSizes:
    return [sizes async for sizes in dag_stat(paths, session)][-1]


async def test_sizes_count_shared_blocks_once(store: MemoryStore, session: StoreSession) -> None:
    shared = await put(store, {"x": 1})
    one, two = await put(store, {"l": shared, "again": shared}), await put(store, [shared])
    sizes = await last_stat([one, two], session)
    assert sizes.done
    assert [(dag.cid, dag.blocks) for dag in sizes.dags] == [(one, 2), (two, 2)]
    assert sizes.unique_blocks == 3
    assert sizes.shared_size == len(dag_cbor.encode({"x": 1}))
    assert sizes.ratio == pytest.approx((sizes.unique_size + 4) / sizes.unique_size)


async def test_a_difference_is_a_path(store: MemoryStore, session: StoreSession) -> None:
    before = await add_folder(store, {"d/a": b"1", "d/b": b"2", "same": b"s"})
    after = await add_folder(store, {"d/a": b"1", "d/b": b"3", "d/c": b"4", "same": b"s"})
    found = [change async for change in dag_diff(before, after, session)]
    assert found == [
        Change(ChangeType.ADD, "d/c", None, CID.of(b"4")),
        Change(ChangeType.MOD, "d/b", CID.of(b"2"), CID.of(b"3")),
    ]
    back = [change async for change in dag_diff(after, before, session)]
    assert [change.type for change in back] == [ChangeType.REMOVE, ChangeType.MOD]
    assert [change async for change in dag_diff(before, before, session)] == []
    sharded = AddOptions(UNIXFS_V1_2025._replace(shard_threshold=1))
    trees = [
        await add_root([Bytes(f"{at in skip}".encode(), f"f/{at}") for at in range(300)], store, sharded)
        for skip in ((), (7, 250))
    ]
    assert [change.path async for change in dag_diff(*trees, session)] == ["250", "7"]
    maps = await put(store, {"a": before}), await put(store, {"a": before, "v": 1})
    assert [change.path async for change in dag_diff(*maps, session)] == [""]


# -- CAR ---------------------------------------------------------------------------------------------------------------


async def pieces(archive: bytes, size: int = 1000) -> AsyncIterator[bytes]:
    for at in range(0, len(archive), size):
        yield archive[at : at + size]


async def exported(roots: list[CID], store: MemoryStore, *, local_only: bool = False) -> bytes:
    return b"".join([bytes(chunk) async for chunk in export_car(roots, StoreSession(store), local_only=local_only)])


@pytest.mark.parametrize("path", ARCHIVES, ids=lambda path: f"{path.parent.name}-{path.name}")
async def test_an_archive_made_by_kubo_is_exported_byte_for_byte(path: Path, store: MemoryStore) -> None:
    archive, stats = path.read_bytes(), CarStats()
    await import_car(read_pieces(str(path)), store, stats)
    assert await exported(stats.roots, store, local_only="missing" in path.name) == archive
    assert stats.blocks > 0


def test_all_archives_are_there() -> None:
    assert len(ARCHIVES) == 26


async def test_a_version_2_is_exported_as_the_version_1_inside(store: MemoryStore) -> None:
    archive = (VECTORS / "ipld-specs/specs/transport/car/fixture/carv2-basic/carv2-basic.car").read_bytes()
    stats = CarStats()
    await import_car(pieces(archive), store, stats)
    assert await exported(stats.roots, store) == archive[51 : 51 + 448]


async def test_a_version_2_is_written_around_the_version_1_with_an_index_of_every_block(store: MemoryStore) -> None:
    leaf = CID.of(b"leaf", hash_code=SHA1)
    await store.put_many((Block(leaf, b"leaf"),), kept=True, durability=Durability.VISIBLE)
    root = await put(store, [leaf, await put(store, "one"), await put(store, "two")])
    inner = await exported([root], store)
    archive = b"".join([bytes(chunk) async for chunk in export_car_v2([root], StoreSession(store))])
    assert archive[51 : 51 + len(inner)] == inner
    other, stats = MemoryStore(), CarStats()
    await import_car(pieces(archive, 9), other, stats)
    assert (stats.blocks, stats.roots) == (4, [root])
    index = archive[51 + len(inner) :]
    assert index[:6] == b"\x81\x08\x02\x00\x00\x00"  # 0x0401, two hash functions
    for cid, data in ((root, b""), (leaf, b"leaf")):
        digest = cid.decoded_multihash().digest
        at = index.index(digest) + len(digest)
        offset = int.from_bytes(index[at : at + 8], "little")
        assert cid.encode() + data in inner[offset : offset + 60]


async def test_several_roots_share_their_blocks(store: MemoryStore) -> None:
    leaf = await put(store, "leaf")
    one, two = await put(store, [leaf, 1]), await put(store, [leaf, 2])
    archive = await exported([one, two], store)
    other, stats = MemoryStore(), CarStats()
    await import_car(pieces(archive, 7), other, stats)
    assert (stats.roots, stats.blocks) == ([one, two], 3)
    assert await exported([one, two], other) == archive


async def test_what_is_missing_is_left_out_or_an_error(store: MemoryStore) -> None:
    missing = CID.of(b"missing")
    root = await put(store, [missing, await put(store, 1)])
    with pytest.raises(NotStored):
        await exported([root], store)
    partial, stats = await exported([root], store, local_only=True), CarStats()
    await import_car(pieces(partial), MemoryStore(), stats)
    assert (stats.blocks, stats.roots) == (2, [root])


async def test_identity_blocks_are_in_the_archive_and_not_in_the_store(store: MemoryStore) -> None:
    inner = CID(1, DAG_CBOR, b"\x00\x01\x07")
    root = await put(store, [inner, inner])
    archive, other, stats = await exported([root], store), MemoryStore(), CarStats()
    await import_car(pieces(archive), other, stats)
    assert stats.blocks == 2
    assert [key async for page in other.keys() for key in page] == [root.multihash]


async def test_every_block_is_verified_and_the_first_bad_one_named() -> None:
    good, bad = CID.of(b"good"), CID.of(b"bad")
    start = encode_header([good]) + encode_section_head(good, 4) + b"good"
    store = MemoryStore()
    with pytest.raises(BadCar, match=f"byte {len(start)}: the bytes of {bad} do not match"):
        await import_car(pieces(start + encode_section_head(bad, 3) + b"bAd"), store, CarStats())
    unknown = CID(1, 0x55, b"\xbf\x7f\x01\x00")
    with pytest.raises(BadCar, match="hash function 0x3fbf is not known"):
        await import_car(pieces(start + encode_section_head(unknown, 3) + b"bad"), store, CarStats())
    short = CID(1, 0x55, bytes([SHA1, 4]) + CID.of(b"x", hash_code=SHA1).multihash[2:6])
    with pytest.raises(BadCar, match="do not match"):
        await import_car(pieces(start + encode_section_head(short, 1) + b"x"), store, CarStats())


async def test_an_import_holds_a_few_batches_whatever_the_archive(store: MemoryStore) -> None:
    """Endless archives are stored as they come: the stream is not read ahead of the store."""
    seen = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal seen
        yield encode_header([])
        for number in range(40):
            data = number.to_bytes(4, "big") * (MAX_BLOCK // 4)
            seen += 1
            yield encode_section_head(CID.of(data), len(data)) + data
            stored = sum([len(page) async for page in store.keys()])
            assert seen - stored < 14

    stats = CarStats()
    await import_car(endless(), store, stats)
    assert stats.blocks == 40


async def test_a_cancelled_import_leaves_no_thread_behind(store: MemoryStore) -> None:
    begun = asyncio.Event()

    async def stalled() -> AsyncIterator[bytes]:
        data = bytes(MAX_BLOCK)
        yield encode_header([])
        for _ in range(3):
            yield encode_section_head(CID.of(data), len(data)) + data
        begun.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(import_car(stalled(), store, CarStats()))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_the_same_folder_gives_the_same_archive_under_both_profiles(store: MemoryStore) -> None:
    for profile in (UNIXFS_V0_2015, UNIXFS_V1_2025):
        data = bytes(range(256)) * 4096
        root = await add_root([Bytes(data, "f")], store, AddOptions(profile))
        archive, other, stats = await exported([root], store), MemoryStore(), CarStats()
        await import_car(pieces(archive, 65536), other, stats)
        assert await exported([root], other) == archive
