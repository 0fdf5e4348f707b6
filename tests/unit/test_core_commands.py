"""resolve, cat, ls, refs, blocks and pin over a small tree."""

import asyncio
from collections.abc import Sequence

import pytest

from cidery.blockstore.drive import drive
from cidery.blockstore.memory import MemoryStore
from cidery.core.adding.add import AddOptions, add_root
from cidery.core.adding.items import Bytes, Folder, Link
from cidery.core.keeping.block_removal import Removal, block_rm
from cidery.core.keeping.pin import NotPinned, PinConflict, PinProgress, pin_add, pin_ls, pin_rm
from cidery.core.reading.blocks import BlockTooBig, block_get, block_put, block_stat
from cidery.core.reading.cat import cat, file_size
from cidery.core.reading.content_path import PathError, parse_path
from cidery.core.reading.ls import EntryType, LsEntry, ls
from cidery.core.reading.refs import format_edge, refs, refs_local
from cidery.core.reading.resolve import resolve
from cidery.core.session import NotStored, StoreSession
from cidery.errors import InvalidInput
from cidery.ipld.block import MAX_BLOCK
from cidery.ipld.dag_pb import DagPbError
from cidery.ipld.walk import Prefetch, Walk
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import RAW
from cidery.repo.pins import PINS_PAGE, Pin
from cidery.unixfs.directory_reader import NoSuchEntry, NotADirectory
from cidery.unixfs.profile import UNIXFS_V0_2015
from cidery.unixfs.reader import NotAFile

ROOT = "QmU6xujRsYzcrkocuR3fhfnkZBB8eyUFFq4WKRGw2aS15h"
ONE = "QmdytmR4wULMd3SLo6ePF4s3WcRHWcpnJZ7bHhoj3QB13v"
TWO = "QmSFxnK675wQ9Kc1uqWKyJUaNxvSc2BP5DbXCD3x93oq61"
B = "QmNkQvpiyAEtbeLviC7kqfifYoK1GXPcsSxTpP1yS3ykLa"
C = "QmXXazTjeNCKFnpW1D65vTKsTs8fbgkCWTv8Em4pdK2coH"
D = "QmSanP5DpxpqfDdS4yekHY1MqrVge47gtxQcp2e2yZ4UwS"


class MemoryPins:
    """A pin table in a dict."""

    def __init__(self) -> None:
        self.pins: dict[CID, Pin] = {}

    def get(self, cid: CID) -> Pin | None:
        return self.pins.get(cid)

    def page(self, after: bytes = b"", limit: int = PINS_PAGE) -> list[Pin]:
        return [pin for _, pin in sorted(self.pins.items()) if pin.cursor > after][:limit]

    async def add(self, *pins: Pin) -> None:
        self.pins.update({pin.cid: pin for pin in pins})

    async def remove(self, cids: Sequence[CID]) -> list[bool]:
        return [self.pins.pop(cid, None) is not None for cid in cids]


@pytest.fixture
async def store() -> MemoryStore:
    """The tree of Kubo's t0095."""
    made = MemoryStore()
    files = {"A/1.txt": b"1\n", "A/B/1.txt": b"1\n", "A/B/D/2.txt": b"2\n"}
    files |= {"A/C/B/1.txt": b"1\n", "A/C/B/D/2.txt": b"2\n", "A/D/2.txt": b"2\n"}
    items = [Bytes(data, name) for name, data in files.items()]
    assert str(await add_root(items, made, AddOptions(UNIXFS_V0_2015))) == ROOT
    return made


@pytest.fixture
def session(store: MemoryStore) -> StoreSession:
    return StoreSession(store)


# -- resolve -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        (ROOT, f"/ipfs/{ROOT}"),
        (f"/ipfs/{ROOT}", f"/ipfs/{ROOT}"),
        (f"/ipfs/{ROOT}/B/D/", f"/ipfs/{ROOT}/B/D"),
        (f"{ROOT}//B/./D", f"/ipfs/{ROOT}/B/D"),
        (f"{ROOT}/B/../D", f"/ipfs/{ROOT}/D"),
        (f"ipfs://{ROOT}/B", f"/ipfs/{ROOT}/B"),
        (f"ipfs:{ROOT}/a%20b", f"/ipfs/{ROOT}/a b"),
        (f"{ROOT}/a%20b", f"/ipfs/{ROOT}/a%20b"),
    ],
)
def test_paths_are_read_in_all_their_forms(text: str, printed: str) -> None:
    assert str(parse_path(text)) == printed


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("", "names no CID"),
        ("/ipfs/", "names no CID"),
        ("hello", "not a CID"),
        ("/etc/passwd", "must begin with a CID"),
        ("/ipns/example.org", "it is a name"),
        ("ipns://example.org", "it is a name"),
        (f"{ROOT}/..", "above the root"),
        (f"{ROOT}/B/../../x", "above the root"),
        (f"{ROOT}/a\0b", "NUL"),
        (f"{ROOT}/" + "x" * 20000, "longer than"),
        ("Qm", "not a CID"),
    ],
)
def test_paths_that_make_no_sense_get_one_line_of_advice(text: str, advice: str) -> None:
    with pytest.raises(PathError, match=advice) as caught:
        parse_path(text)
    assert "\n" not in str(caught.value)


async def test_names_lead_to_cids(session: StoreSession) -> None:
    assert str(await resolve(f"/ipfs/{ROOT}/C/B/D/2.txt", session)) == TWO
    with pytest.raises(NoSuchEntry, match="no link named 'X'"):
        await resolve(f"{ROOT}/C/X", session)
    with pytest.raises(NotADirectory):
        await resolve(f"{ROOT}/1.txt/x", session)


async def test_a_missing_block_says_how_to_get_it(session: StoreSession) -> None:
    with pytest.raises(NotStored, match="is not stored here"):
        await resolve(f"{CID.of(b'absent', 0x70)}/x", session)


# -- drive -------------------------------------------------------------------------------------------------------------


async def test_long_walks_let_others_run(session: StoreSession) -> None:
    def busy() -> Walk[int, None]:
        while True:
            yield Prefetch(())

    async def endless() -> None:
        async for _ in drive(busy(), session):
            pass

    task = asyncio.create_task(endless())
    for _ in range(3):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


# -- cat, ls -----------------------------------------------------------------------------------------------------------


async def test_cat_gives_a_range_of_a_file(session: StoreSession) -> None:
    assert [bytes(chunk) async for chunk in cat(f"{ROOT}/1.txt", session, 1, 5)] == [b"\n"]
    assert await file_size(f"{ROOT}/1.txt", session) == 2
    for call in (cat(ROOT, session),):
        with pytest.raises(NotAFile, match="is a directory, not a file"):
            _ = [chunk async for chunk in call]
    with pytest.raises(NotAFile):
        await file_size(ROOT, session)


async def test_ls_lists_types_sizes_and_targets(store: MemoryStore, session: StoreSession) -> None:
    items = [Bytes(b"abc", "d/f"), Link("f", "d/l"), Folder("d/s")]
    root = await add_root(items, store)
    entries = [entry async for entry in ls(root, session)]
    assert [(entry.name, entry.type, entry.size, entry.target) for entry in entries] == [
        ("f", EntryType.FILE, 3, ""),
        ("l", EntryType.SYMLINK, 1, "f"),
        ("s", EntryType.DIRECTORY, 0, ""),
    ]


async def test_ls_can_leave_the_entries_unread(store: MemoryStore, session: StoreSession) -> None:
    await store.delete_many([CID.parse(D)])
    entries = [entry async for entry in ls(ROOT, session, resolve_type=False, size=False)]
    assert entries[3] == LsEntry("D", CID.parse(D), 0, EntryType.UNKNOWN)
    with pytest.raises(NotStored):
        _ = [entry async for entry in ls(ROOT, session)]


# -- refs --------------------------------------------------------------------------------------------------------------

ALL = [ONE, B, ONE, D, TWO, C, B, ONE, D, TWO, D, TWO]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"recursive": True}, ALL),
        ({"recursive": True, "unique": True}, [ONE, B, D, TWO, C]),
        ({}, [ONE, B, C, D]),
        ({"recursive": True, "max_depth": 0}, []),
        ({"recursive": True, "max_depth": 1}, [ONE, B, C, D]),
        ({"recursive": True, "max_depth": 2}, [ONE, B, ONE, D, C, B, D, TWO]),
        ({"recursive": True, "unique": True, "max_depth": 2}, [ONE, B, D, C, TWO]),
    ],
)
async def test_refs_are_those_of_kubo(session: StoreSession, options: dict[str, int], expected: list[str]) -> None:
    assert [str(edge.target) async for edge in refs(ROOT, session, **options)] == expected  # type: ignore[arg-type]


async def test_a_ref_can_be_printed_in_any_form(session: StoreSession) -> None:
    edge = [edge async for edge in refs(ROOT, session)][1]
    assert format_edge(edge) == B
    assert format_edge(edge, "<src> -> <dst> <linkname>") == f"{ROOT} -> {B} B"


async def test_local_refs_are_all_blocks_as_raw_cids(store: MemoryStore) -> None:
    local = {cid.multihash async for cid in refs_local(store)}
    assert local == {CID.parse(text).multihash for text in (ROOT, ONE, TWO, B, C, D)}


# -- blocks ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "cid"),
    [
        ({}, "bafkreibmlvvgdyihetgocpof6xk64kjjzdeq2e4c7hqs3krdheosk4tgj4"),
        ({"mhtype": "sha1", "mhlen": 20}, None),
        ({"mhtype": "blake3"}, None),
    ],
)
async def test_a_block_is_put_and_got(
    store: MemoryStore, session: StoreSession, options: dict[str, str], cid: str
) -> None:
    stat = await block_put(b"Hello Mars!\n", store, **options)  # type: ignore[arg-type]
    assert cid is None or str(stat.cid) == cid
    assert await block_get(stat.cid, session) == b"Hello Mars!\n"
    assert await block_stat(str(stat.cid), session) == stat == (stat.cid, 12)


async def test_a_dag_pb_block_may_have_either_version(store: MemoryStore, session: StoreSession) -> None:
    data = bytes(await block_get(ROOT, session))
    assert str((await block_put(data, store, format="v0")).cid) == ROOT
    v1 = (await block_put(data, store, cid_codec="dag-pb")).cid
    assert v1 == CID.parse(ROOT).to_v1() == (await block_put(data, store, format="protobuf")).cid


@pytest.mark.parametrize(
    "options",
    [
        {"cid_codec": "nonsense"},
        {"mhtype": "nonsense"},
        {"mhtype": "identity"},
        {"mhlen": 19},
        {"mhlen": 33},
        {"format": "v0", "mhtype": "sha1"},
    ],
)
async def test_block_options_that_make_no_sense_are_refused(store: MemoryStore, options: dict[str, str]) -> None:
    with pytest.raises(InvalidInput) as caught:
        await block_put(b"", store, **options)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


async def removed(store: MemoryStore, pins: MemoryPins, *cids: str, files_root: CID, now: float = 0.0) -> list[str]:
    asked = [CID.parse(text) for text in cids]
    found: list[Removal] = []
    async for one in block_rm(asked, store, StoreSession(store), pins, files_root, now=now):
        found.append(one)
    assert [one.cid for one in found] == asked
    return [one.reason for one in found]


async def test_only_blocks_that_nothing_needs_are_removed(store: MemoryStore) -> None:
    pins, empty = MemoryPins(), CID.of(b"", RAW)
    await pins.add(Pin(CID.parse(B), True, "", 0.0), Pin(CID.parse(ROOT), False, "", 0.0))
    nowhere = str(CID.of(b"nowhere"))
    assert await removed(store, pins, ROOT, B, TWO, C, nowhere, files_root=empty) == [
        "pinned: direct",
        "pinned: recursive",
        f"pinned: indirect via {B}",
        "",
        "it is not stored here",
    ]
    assert await store.get_many([CID.parse(C)]) == [None]
    await pins.remove([CID.parse(B)])
    assert await removed(store, pins, TWO, B, files_root=CID.parse(B)) == ["used by the mutable files"] * 2
    assert await removed(store, pins, TWO, TWO, B, files_root=empty) == ["", "", ""]


async def test_a_block_stays_while_the_same_bytes_are_pinned_under_another_codec(store: MemoryStore) -> None:
    pins, empty = MemoryPins(), CID.of(b"", RAW)
    await pins.add(Pin(CID(1, RAW, CID.parse(ONE).multihash), False, "", 0.0, expires=10.0))
    assert await removed(store, pins, ONE, files_root=empty, now=9.0) == ["pinned: direct"]
    assert await removed(store, pins, ONE, files_root=empty, now=11.0) == [""]


async def test_a_block_is_checked_before_it_is_stored(store: MemoryStore) -> None:
    with pytest.raises(DagPbError):
        await block_put(b"not dag-pb", store, cid_codec="dag-pb")
    with pytest.raises(BlockTooBig, match="use add"):
        await block_put(bytes(MAX_BLOCK + 1), store)


async def test_identity_blocks_are_in_their_cid(session: StoreSession) -> None:
    assert await block_get("bafkqaaa", session) == b""


# -- pin ---------------------------------------------------------------------------------------------------------------


async def pin(path: str, session: StoreSession, pins: MemoryPins, **options: object) -> PinProgress:
    steps = [step async for step in pin_add(path, session, pins, now=1.0, **options)]  # type: ignore[arg-type]
    assert steps[-1].done
    return steps[-1]


async def listed(session: StoreSession, pins: MemoryPins, **options: object) -> list[tuple[str, str]]:
    return [(str(pin.cid), pin.type) async for pin in pin_ls(session, pins, **options)]  # type: ignore[arg-type]


async def test_pinning_walks_everything_in(store: MemoryStore, session: StoreSession) -> None:
    pins = MemoryPins()
    assert (await pin(ROOT, session, pins)).blocks == 6
    assert (await listed(session, pins))[0] == (ROOT, "recursive")
    assert sorted((await listed(session, pins))[1:]) == sorted((cid, "indirect") for cid in (ONE, TWO, B, C, D))
    await store.delete_many([CID.parse(TWO)])
    with pytest.raises(NotStored):
        await pin(f"{ROOT}/B", session, pins)
    assert pins.get(CID.parse(B)) is None


async def test_a_direct_pin_holds_one_block(session: StoreSession) -> None:
    pins = MemoryPins()
    assert (await pin(D, session, pins, recursive=False, name="d")).blocks == 1
    assert await listed(session, pins) == [(D, "direct")]
    await pin(D, session, pins)
    assert await listed(session, pins, type="recursive") == [(D, "recursive")]
    with pytest.raises(PinConflict, match="recursively already"):
        await pin(D, session, pins, recursive=False)


async def test_pins_are_found_by_type_name_and_path(session: StoreSession) -> None:
    pins = MemoryPins()
    await pin(C, session, pins, name="see")
    await pin(D, session, pins, recursive=False)
    assert await listed(session, pins, type="direct") == [(D, "direct")]
    assert await listed(session, pins, name="se") == [(C, "recursive")]
    assert await listed(session, pins, paths=[f"{C}/B"]) == [(B, "indirect")]
    assert await listed(session, pins, paths=[D]) == [(D, "direct")]
    assert await listed(session, pins, paths=[D], type="indirect") == [(D, "indirect")], "it is also below C"
    with pytest.raises(NotPinned):
        await listed(session, pins, paths=[ROOT])
    with pytest.raises(NotPinned):
        await listed(session, pins, paths=[D], type="recursive")
    with pytest.raises(InvalidInput, match="unknown pin type"):
        await listed(session, pins, type="x")


async def test_pinning_again_keeps_or_changes_the_name(session: StoreSession) -> None:
    pins = MemoryPins()
    await pin(D, session, pins, name="one")
    await pin(D, session, pins)
    assert pins.page()[0].name == "one"
    await pin(D, session, pins, name="two")
    assert pins.page()[0].name == "two"


async def test_unpinning_takes_the_pin_itself(session: StoreSession) -> None:
    pins = MemoryPins()
    await pin(C, session, pins)
    with pytest.raises(PinConflict, match="--recursive"):
        await pin_rm(C, session, pins, recursive=False)
    with pytest.raises(NotPinned, match=f"unpin {C}"):
        await pin_rm(f"{C}/B", session, pins)
    assert str(await pin_rm(C, session, pins)) == C
    with pytest.raises(NotPinned, match="is not pinned"):
        await pin_rm(C, session, pins)
