"""What every BlockStore must do, as checks that any implementation can run.

``make`` returns an async context manager that yields a fresh, empty store. A new store's test file is::

    @pytest.mark.parametrize("check", CHECKS)
    async def test_my_store_keeps_the_contract(check):
        await check(make_my_store)
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager

from cidery.blockstore.interface import KEYS_PAGE, BlockStore, BlockTooLarge, Durability
from cidery.ipld.block import MAX_BLOCK, Block
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import DAG_CBOR, DAG_PB, RAW
from cidery.multiformats.multihash import BLAKE3, IDENTITY, SHA1, SHA2_512

Make = Callable[[], AbstractAsyncContextManager[BlockStore]]
VISIBLE, DURABLE = Durability.VISIBLE, Durability.DURABLE


def block(data: bytes, codec: int = RAW, *, version: int = 1, hash_code: int = 0x12) -> Block:
    """A block of ``data`` under its true CID."""
    return Block(CID.of(data, codec, version=version, hash_code=hash_code), data)


async def check_what_is_put_can_be_read(make: Make) -> None:
    blocks = [block(b""), block(b"a"), block(bytes(range(256)) * 4096), block(b"x" * MAX_BLOCK)]
    cids = [b.cid for b in blocks]
    async with make() as store:
        assert await store.get_many(cids) == [None] * 4
        assert await store.size_many(cids) == [None] * 4
        await store.put_many(blocks, kept=True, durability=DURABLE)
        assert await store.get_many(cids) == [b.data for b in blocks]
        assert await store.size_many(cids) == [len(b.data) for b in blocks]


async def check_results_keep_the_order_of_the_arguments(make: Make) -> None:
    blocks = [block(b"%d" % i * (i + 1)) for i in range(40)]
    async with make() as store:
        await store.put_many(blocks[::2], kept=False, durability=VISIBLE)
        asked = [*reversed(blocks), blocks[0], blocks[0]]
        wanted = [b.data if int(blocks.index(b)) % 2 == 0 else None for b in asked]
        assert await store.get_many([b.cid for b in asked]) == wanted
        assert await store.get_many([]) == []


async def check_the_key_is_the_multihash_not_the_codec(make: Make) -> None:
    data = b"\x0a\x00"
    async with make() as store:
        await store.put_many([block(data, DAG_PB, version=0)], kept=True, durability=VISIBLE)
        for codec in (RAW, DAG_PB, DAG_CBOR):
            assert await store.get_many([CID.of(data, codec)]) == [data]
        await store.put_many([block(data, RAW)], kept=True, durability=VISIBLE)
        assert [key async for page in store.keys() for key in page] == [CID.of(data).multihash]


async def check_identity_cids_answer_from_themselves(make: Make) -> None:
    inline = block(b"hello", hash_code=IDENTITY)
    async with make() as store:
        assert store.get_if_ready(inline.cid) == b"hello"
        assert await store.get_many([inline.cid]) == [b"hello"]
        assert await store.size_many([inline.cid]) == [5]
        await store.put_many([inline], kept=True, durability=DURABLE)
        assert [page async for page in store.keys() if page] == []
        assert await store.delete_many([inline.cid]) == [False]


async def check_other_hash_functions_are_stored(make: Make) -> None:
    blocks = [block(b"hash me", hash_code=code) for code in (SHA1, SHA2_512, BLAKE3)]
    async with make() as store:
        await store.put_many(blocks, kept=True, durability=VISIBLE)
        assert await store.get_many([b.cid for b in blocks]) == [b"hash me"] * 3


async def check_buffers_of_every_kind_are_taken(make: Make) -> None:
    data = b"0123456789" * 100
    cid = CID.of(data)
    for given in (data, bytearray(data), memoryview(b"--" + data)[2:]):
        async with make() as store:
            await store.put_many([Block(cid, given)], kept=True, durability=VISIBLE)
            assert await store.get_many([cid]) == [data]


async def check_a_put_twice_is_one_block(make: Make) -> None:
    one = block(b"twice")
    async with make() as store:
        await store.put_many([one, one], kept=False, durability=VISIBLE)
        await store.put_many([one], kept=True, durability=DURABLE)
        await store.put_many([one], kept=False, durability=VISIBLE)
        assert [key async for page in store.keys() for key in page] == [one.cid.multihash]
        assert await store.get_many([one.cid]) == [b"twice"]


async def check_deleted_blocks_are_gone(make: Make) -> None:
    blocks = [block(b"%d" % i) for i in range(3)]
    cids = [b.cid for b in blocks]
    async with make() as store:
        await store.put_many(blocks, kept=True, durability=VISIBLE)
        assert await store.delete_many([cids[0], CID.of(b"never put"), cids[2]]) == [True, False, True]
        assert await store.get_many(cids) == [None, b"1", None]
        assert await store.size_many(cids) == [None, 1, None]
        assert store.get_if_ready(cids[0]) is None
        await store.put_many([blocks[0]], kept=False, durability=DURABLE)
        assert await store.get_many(cids) == [b"0", b"1", None]


async def check_keys_lists_every_block_once(make: Make) -> None:
    blocks = [block(b"key %d" % i) for i in range(2 * KEYS_PAGE + 7)]
    async with make() as store:
        await store.put_many(blocks, kept=False, durability=VISIBLE)
        pages = [page async for page in store.keys()]
        assert all(0 < len(page) <= KEYS_PAGE for page in pages)
        found = [key for page in pages for key in page]
        assert found == sorted(b.cid.multihash for b in blocks)
        for at in (0, KEYS_PAGE - 1, KEYS_PAGE, len(found) - 1):
            assert [key async for page in store.keys(found[at]) for key in page] == found[at + 1 :]


async def check_worker_threads_put_at_once(make: Make) -> None:
    async with make() as store:

        def work(who: int) -> list[Block]:
            mine = [block(b"%d of %d" % (i, who % 2) * 50) for i in range(50)]
            for start in range(0, 50, 7):
                store.put_many_blocking(mine[start : start + 7], kept=who < 2)
            return mine

        batches = await asyncio.gather(*(asyncio.to_thread(work, who) for who in range(4)))
        for batch in batches:
            assert await store.get_many([b.cid for b in batch]) == [b.data for b in batch]
        await store.sync()
        keys = [key async for page in store.keys() for key in page]
        assert len(keys) == len(set(keys)) == 100


async def check_many_tasks_put_at_once(make: Make) -> None:
    async with make() as store:
        blocks = [block(b"task %d" % i) for i in range(60)]
        modes = (VISIBLE, DURABLE)
        puts = (store.put_many([b], kept=i % 3 == 0, durability=modes[i % 2]) for i, b in enumerate(blocks))
        await asyncio.gather(*puts)
        assert await store.get_many([b.cid for b in blocks]) == [b.data for b in blocks]


async def check_a_block_over_the_limit_is_refused_whole(make: Make) -> None:
    small, large = block(b"small"), block(bytes(MAX_BLOCK + 1))
    async with make() as store:
        try:
            await store.put_many([small, large], kept=True, durability=VISIBLE)
        except BlockTooLarge as exc:
            assert exc.size == MAX_BLOCK + 1 and str(large.cid) in str(exc)
        else:
            raise AssertionError("a block over MAX_BLOCK was stored")
        assert await store.get_many([small.cid]) == [None]


async def check_get_if_ready_never_gives_other_bytes(make: Make) -> None:
    one = block(b"ready or not")
    async with make() as store:
        assert store.get_if_ready(one.cid) is None
        await store.put_many([one], kept=True, durability=VISIBLE)
        assert store.get_if_ready(one.cid) in (None, one.data)


async def check_closing_twice_is_allowed(make: Make) -> None:
    async with make() as store:
        await store.put_many([block(b"last")], kept=True, durability=VISIBLE)
        await store.sync()
        await store.close()
        await store.close()


async def check_what_is_stored_is_told_when_it_can_be_read(make: Make) -> None:
    blocks = [block(b"%d" % i) for i in range(4)]
    told: list[tuple[bytes, int]] = []
    async with make() as store:

        def hook(stored: Sequence[tuple[bytes, int]]) -> None:
            told.extend(stored)
            for multihash, _ in stored:
                assert store.get_if_ready(CID(1, RAW, multihash)) is not None

        store.on_stored.append(hook)
        await store.put_many(blocks[:2], kept=True, durability=DURABLE)
        await asyncio.to_thread(store.put_many_blocking, blocks[1:], kept=True)
        assert told == [(one.cid.multihash, 1) for one in blocks]
        store.on_stored.remove(hook)
        await store.put_many([block(b"more")], kept=True, durability=VISIBLE)
        assert len(told) == 4


CHECKS: tuple[Callable[[Make], Awaitable[None]], ...] = (
    check_what_is_put_can_be_read,
    check_results_keep_the_order_of_the_arguments,
    check_the_key_is_the_multihash_not_the_codec,
    check_identity_cids_answer_from_themselves,
    check_other_hash_functions_are_stored,
    check_buffers_of_every_kind_are_taken,
    check_a_put_twice_is_one_block,
    check_what_is_stored_is_told_when_it_can_be_read,
    check_deleted_blocks_are_gone,
    check_keys_lists_every_block_once,
    check_worker_threads_put_at_once,
    check_many_tasks_put_at_once,
    check_a_block_over_the_limit_is_refused_whole,
    check_get_if_ready_never_gives_other_bytes,
    check_closing_twice_is_allowed,
)
"""Every check, to parametrise a test over."""


async def check_blockstore(make: Make) -> None:
    """Run every check, each on a fresh store. Raises AssertionError from the first that fails."""
    for check in CHECKS:
        await check(make)
