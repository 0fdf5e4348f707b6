"""The store that needs no disk, against the shipped contract."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from cidery.blockstore.interface import BlockStore, Durability
from cidery.blockstore.memory import MemoryStore
from cidery.ipld.block import Block
from cidery.multiformats.cid import CID
from cidery.testing.blockstore_contract import CHECKS


@asynccontextmanager
async def memory() -> AsyncIterator[BlockStore]:
    yield MemoryStore()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_the_memory_store_keeps_the_contract(check):
    await check(memory)


async def test_a_memory_store_remembers_what_was_kept():
    store = MemoryStore()
    cid = CID.of(b"k")
    await store.put_many([Block(cid, b"k")], kept=False, durability=Durability.VISIBLE)
    assert not store.is_kept(cid)
    await store.put_many([Block(cid, b"k")], kept=True, durability=Durability.VISIBLE)
    assert store.is_kept(cid)
