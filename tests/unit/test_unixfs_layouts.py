"""The trickle layout, inlined blocks and content-defined chunks, as add writes them and readers read them."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20

from cidery.blockstore.memory import MemoryStore
from cidery.core.adding.add import AddOptions, add_root
from cidery.core.adding.items import Stream
from cidery.core.reading.cat import cat
from cidery.core.session import StoreSession
from cidery.ipld import dag_pb
from cidery.multiformats.cid import CID
from cidery.unixfs.chunker import parse_chunker
from cidery.unixfs.data import decode as decode_data
from cidery.unixfs.metadata import Mtime
from cidery.unixfs.profile import UNIXFS_V0_2015, UNIXFS_V1_2025, ImportOptionError, Profile, with_options

V0 = UNIXFS_V0_2015
TRICKLE = with_options(V0, trickle=True)


def noise(size: int) -> bytes:
    return Cipher(ChaCha20(bytes(32), bytes(16)), None).encryptor().update(bytes(size))


async def added(data: bytes, recipe: Profile, store: MemoryStore | None = None, **options: object) -> CID:
    return await add_root([data], store or MemoryStore(), AddOptions(profile=recipe, **options))  # type: ignore[arg-type]


async def read(root: CID, store: MemoryStore) -> bytes:
    return b"".join([bytes(chunk) async for chunk in cat(root, StoreSession(store))])


async def test_trickle_files_have_kubos_cids() -> None:
    assert str(await added(b"Hello Worlds!\n", TRICKLE)) == "QmUkUQgxXeggyaD5Ckv8ZqfW8wHBX6cYyeiyqvVZYzq5Bi"
    assert await added(b"", TRICKLE) == await added(b"", V0)


@pytest.mark.parametrize("leaves", [1, 2, 3, 4, 11, 12, 60, 500])
async def test_trickle_files_are_read_back_in_order(leaves: int) -> None:
    store, data = MemoryStore(), noise(leaves * 10 - 3)
    root = await added(data, with_options(TRICKLE, chunker="size-10", max_links=2), store)
    assert await read(root, store) == data


async def test_a_trickle_root_has_leaves_first_and_then_four_subtrees_of_each_depth() -> None:
    store = MemoryStore()
    root = await added(noise(2 + 4 * 2 + 4 * 10 + 1), with_options(TRICKLE, chunker="size-1", max_links=2), store)
    block = (await store.get_many([root]))[0]
    assert block is not None
    message = decode_data(dag_pb.decode(block).data or b"")
    assert message.blocksizes == (1, 1, *(2,) * 4, *(10,) * 4, 1)


async def test_metadata_of_a_trickle_file_is_in_its_root() -> None:
    store = MemoryStore()
    root = await added(b"x", with_options(TRICKLE, stores_metadata=True), store, mode=0o640, mtime=Mtime(5))
    block = (await store.get_many([root]))[0]
    assert block is not None
    message = decode_data(dag_pb.decode(block).data or b"")
    assert (message.mode, message.mtime, len(message.blocksizes)) == (0o640, Mtime(5), 1)


async def test_small_blocks_are_put_into_their_cids() -> None:
    store = MemoryStore()
    recipe = with_options(UNIXFS_V1_2025, inline_limit=32)
    root = await added(b"x" * 32, recipe, store)
    assert root.is_identity
    assert root.identity_data == b"x" * 32
    assert not (await added(b"x" * 33, recipe, store)).is_identity
    assert [len(page) async for page in store.keys()] == [1]


async def test_an_inlined_file_has_kubos_cid() -> None:
    data = CID.parse("bafkqaedknncdsodknncdsnzvnbvuioak").identity_data
    inlined = await added(data, with_options(V0, raw_leaves=True, inline_limit=32))
    assert str(inlined) == "bafkqaedknncdsodknncdsnzvnbvuioak"


@pytest.mark.parametrize("chunker", ["rabin-20000-65536-130000", "fastcdc-65536", "buzhash"])
async def test_files_and_streams_are_cut_in_the_same_places(tmp_path: Path, chunker: str) -> None:
    data = noise(9_000_000)
    recipe = with_options(UNIXFS_V1_2025, chunker=chunker)
    store = MemoryStore()

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(data), 777_777):
            yield data[at : at + 777_777]

    (tmp_path / "big").write_bytes(data)
    (tmp_path / "small").write_bytes(data[:700_000])
    big = await added(data, recipe, store)
    assert await add_root([Stream(pieces())], MemoryStore(), AddOptions(profile=recipe)) == big
    assert await add_root([str(tmp_path / "big")], MemoryStore(), AddOptions(profile=recipe)) == big
    small = await add_root([str(tmp_path / "small")], MemoryStore(), AddOptions(profile=recipe))
    assert small == await added(data[:700_000], recipe)
    assert await read(big, store) == data


def test_options_that_cannot_be_are_refused() -> None:
    for options in ({"inline_limit": 129}, {"inline_limit": -1}, {"hamt_fanout": 12}, {"hamt_fanout": 2048}):
        with pytest.raises(ImportOptionError, match="allowed"):
            with_options(V0, **options)  # type: ignore[arg-type]
    with pytest.raises(ImportOptionError, match="allowed"):
        with_options(V0, directory_links=-1)
    assert with_options(V0, hamt_fanout=16, directory_links=3) == V0._replace(hamt_fanout=16, directory_links=3)
    assert with_options(V0, chunker="rabin").chunker == parse_chunker("rabin")
