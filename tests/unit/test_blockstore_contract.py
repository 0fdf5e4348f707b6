"""The stores that need no disk, against the shipped contract."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from cidery.blockstore.interface import BlockStore, Durability
from cidery.blockstore.memory import MemoryStore
from cidery.blockstore.verifying import HASH_IN_LOOP, StoredBlockCorrupt, VerifyingStore
from cidery.ipld.block import Block
from cidery.multiformats.cid import CID
from cidery.testing.blockstore_contract import CHECKS


@asynccontextmanager
async def memory() -> AsyncIterator[BlockStore]:
    yield MemoryStore()


@asynccontextmanager
async def verifying() -> AsyncIterator[BlockStore]:
    yield VerifyingStore(MemoryStore())


@pytest.mark.parametrize("make", [memory, verifying])
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_stores_keep_the_contract(check, make):
    await check(make)


@pytest.mark.parametrize("size", [10, HASH_IN_LOOP + 1])
async def test_a_verifying_store_refuses_bytes_that_do_not_match(size):
    inner = MemoryStore()
    cid = CID.of(b"true")
    await inner.put_many([Block(cid, b"x" * size)], kept=True, durability=Durability.VISIBLE)
    store = VerifyingStore(inner)
    assert store.get_if_ready(cid) is None
    with pytest.raises(StoredBlockCorrupt, match=f"{cid} do not match its hash"):
        await store.get_many([cid])


async def test_a_memory_store_remembers_what_was_kept():
    store = MemoryStore()
    cid = CID.of(b"k")
    await store.put_many([Block(cid, b"k")], kept=False, durability=Durability.VISIBLE)
    assert not store.is_kept(cid)
    await store.put_many([Block(cid, b"k")], kept=True, durability=Durability.VISIBLE)
    assert store.is_kept(cid)
