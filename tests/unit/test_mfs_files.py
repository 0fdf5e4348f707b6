"""The tree of mutable files as a whole: groups of changes, shared flushes, waits, records for a collector."""

import asyncio
from collections.abc import AsyncIterator

import pytest

import cidery
from cidery.blockstore.drive import run
from cidery.core.adding.add import AddOptions, add_root
from cidery.core.adding.items import Bytes
from cidery.core.api import Api
from cidery.core.session import NotStored, StoreSession
from cidery.ipld.walk import need
from cidery.mfs import changes, files, protection
from cidery.mfs.path import parse_file_path
from cidery.mfs.writing import Writing, write
from cidery.multiformats.cid import CID
from cidery.multiformats.varint import Buffer
from cidery.unixfs.reader import read_node
from shell import Shell

CREATE = Writing(create=True, parents=True)


@pytest.fixture
def api(node: cidery.Node) -> Api:
    return node.api


async def _once(data: bytes) -> AsyncIterator[Buffer]:
    yield data


async def _put(api: Api, path: str, data: bytes = b"x", *, flush: bool = False) -> None:
    async with api.session() as session:
        await write(api.files, session, parse_file_path(path), _once(data), CREATE, flush=flush)


def _commits(api: Api, monkeypatch: pytest.MonkeyPatch) -> list[CID]:
    """The roots that are committed from now on."""
    seen: list[CID] = []
    record = api.files._record
    commit = record.set

    async def noted(root: CID) -> None:
        await commit(root)
        seen.append(root)

    monkeypatch.setattr(record, "set", noted)
    return seen


async def test_flushes_at_the_same_time_are_shared(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    commits = _commits(api, monkeypatch)
    await asyncio.gather(*(_put(api, f"/a/{number}", flush=True) for number in range(40)))
    assert 1 <= len(commits) <= 4
    assert commits[-1] == await api.files.root() == api.files._record.get()


async def test_unflushed_changes_are_bounded(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    commits = _commits(api, monkeypatch)
    for number in range(files.MAX_UNFLUSHED - 1):
        await _put(api, f"/a/{number}")
    assert not commits and api.provisional.under_way()
    await _put(api, "/a/last")
    assert len(commits) == 1


async def test_a_close_that_cannot_flush_ends_its_record(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(root: CID) -> None:
        raise OSError(28, "no space left")

    await _put(api, "/a")
    assert api.provisional.under_way()
    monkeypatch.setattr(api.files._record, "set", full)
    with pytest.raises(OSError, match="no space left"):
        await api.files.close()
    assert not api.provisional.under_way()
    monkeypatch.undo()


async def test_a_large_directory_is_written_in_groups_and_closed_in_between(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through sharding and back; the CID is that of the same files added at once."""
    monkeypatch.setattr(files, "BATCH_CHANGES", 700)
    monkeypatch.setattr(files, "OPEN_CHANGES", 1500)
    commits = _commits(api, monkeypatch)
    names = [f"{number:05}-{'n' * 90}" for number in range(4000)]
    async with api.files.batch():
        for name in names:
            await _put(api, f"/big/{name}", name.encode())
        assert len(commits) == len(names) // 700, "in groups, before the batch is over"
    items = [Bytes(name.encode(), f"big/{name}") for name in names]
    options = AddOptions(api.files.profile)
    async with api.session() as session:
        big = await api.files.resolve(session, parse_file_path("/big"))
        node = await run(read_node(big), session)
        assert node.fanout == 256 and big == await add_root(items, api.store, options)
        async with api.files.batch():
            for name in names[10:]:
                await changes.remove(api.files, session, parse_file_path(f"/big/{name}"))
                if name == names[40]:
                    break
        left = await api.files.resolve(session, parse_file_path("/big"))
        assert left == await add_root([*items[:10], *items[41:]], api.store, options)


class _Slow(StoreSession):
    """A session whose blocks of one CID come when they are let through."""

    def __init__(self, api: Api, held: CID) -> None:
        super().__init__(api.store)
        self.held = held
        self.asked, self.come = asyncio.Event(), asyncio.Event()

    def get_if_ready(self, cid: CID) -> bytes | None:
        return None if cid == self.held and not self.come.is_set() else super().get_if_ready(cid)

    async def get(self, cid: CID) -> bytes:
        if cid == self.held:
            self.asked.set()
            await self.come.wait()
        return await super().get(cid)


async def test_a_change_that_waits_for_a_block_holds_nobody_up(api: Api) -> None:
    folder = await add_root([Bytes(b"1", "far/inner/f")], api.store, AddOptions(api.files.profile))
    slow = _Slow(api, folder)
    async with api.session() as session:
        await changes.copy_in(api.files, session, folder, parse_file_path("/far"))
    waiting = asyncio.create_task(changes.mkdir(api.files, slow, parse_file_path("/far/inner/new")))
    await slow.asked.wait()
    await _put(api, "/near/file", flush=True)
    assert not waiting.done()
    slow.come.set()
    await waiting
    async with api.session() as session:
        await api.files.resolve(session, parse_file_path("/far/inner/new"))
        await api.files.resolve(session, parse_file_path("/near/file"))


async def test_a_tree_that_is_not_all_here_can_be_changed_where_it_is(api: Api) -> None:
    folder = await add_root([Bytes(b"1", "d/inner/f")], api.store, AddOptions(api.files.profile))
    async with api.session() as session:
        inner = (await run(read_node(folder), session)).links[0].cid
        await changes.copy_in(api.files, session, folder, parse_file_path("/d"))
        await api.store.delete_many([inner])
        with pytest.raises(NotStored):
            await changes.mkdir(api.files, session, parse_file_path("/d/inner/new"))
        await changes.mkdir(api.files, session, parse_file_path("/d/beside"))
        await changes.move(api.files, session, parse_file_path("/d/inner"), parse_file_path("/moved"))
        assert await api.files.resolve(session, parse_file_path("/moved")) == inner
        await changes.remove(api.files, session, parse_file_path("/moved"), force=True)


async def test_a_copied_tree_is_named_to_a_collector_before_it_is_flushed(api: Api) -> None:
    root = await add_root([b"copied"], api.store, AddOptions(api.files.profile))
    async with api.session() as session:
        await changes.copy_in(api.files, session, root, parse_file_path("/c"), flush=False)
        (record,) = api.provisional.under_way()
        assert record.kind == protection.KIND and record.roots == (root,)
        await api.files.flush()
        await run(need(await api.files.root()), session)
    await api.files.protection.close()
    assert not api.provisional.under_way()


async def test_records_are_renewed(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """One does not go on sparing what was stored long after it began."""
    monkeypatch.setattr(protection, "MAX_CHANGES", 3)
    monkeypatch.setattr(protection, "LINGER", 0.0)
    for number in range(10):
        await _put(api, f"/{number}", flush=number % 2 == 0)
    assert len(api.provisional.under_way()) <= 4
    await api.files.flush()
    for _ in range(100):
        await asyncio.sleep(0)
        if api.files.protection._ending is not None:
            await api.files.protection._ending
    assert not api.provisional.under_way()


async def test_a_failed_commit_keeps_the_changes_for_the_next(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    record = api.files._record
    commit = record.set

    async def refused(root: CID) -> None:
        raise OSError(28, "no space left")

    await _put(api, "/before", flush=True)
    monkeypatch.setattr(record, "set", refused)
    with pytest.raises(OSError, match="no space"):
        await _put(api, "/during", flush=True)
    monkeypatch.setattr(record, "set", commit)
    await _put(api, "/after", flush=True)
    async with api.session() as session:
        for path in ("/before", "/during", "/after"):
            await api.files.resolve(session, parse_file_path(path))
    assert record.get() == await api.files.root()


async def test_a_collection_spares_what_is_not_flushed_and_takes_what_was_removed(api: Api) -> None:
    run_line = Shell(api).run
    await _put(api, "/a/old", b"old" * 1000, flush=True)
    again = await add_root([b"garbage"], api.store, AddOptions(api.files.profile))
    await _put(api, "/a/again", b"garbage")
    await _put(api, "/a/new", b"new" * 1000)
    await run_line("files mv --flush=false /a /b")
    await run_line("repo gc")
    await run_line("files flush")
    await run_line("repo gc")
    for name, data in (("old", "old" * 1000), ("again", "garbage"), ("new", "new" * 1000)):
        assert await run_line(f"files read /b/{name}") == data
    await run_line("files rm -r /b")
    await api.files.protection.close()
    assert str(again.to_v1()) in await run_line("repo gc -q")
