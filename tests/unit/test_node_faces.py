"""Node, open() and Client keep the same contract."""

import asyncio
import sys
import warnings
from contextlib import aclosing
from pathlib import Path

import pytest

import cidery
from cidery.errors import CideryError, InvalidInput
from cidery.node.node import NotOpen
from cidery.node.open import SyncNode
from cidery.node.profiles import ProfileNotApplied
from cidery.repo.lock import RepoLocked
from cidery.rpc.listen import listen
from cidery.testing.api_contract import check_api


class InThreads:
    """The blocking face, made awaitable for the suite."""

    def __init__(self, inner: SyncNode) -> None:
        self._inner = inner

    async def peer_id(self):  # type: ignore[no-untyped-def]
        return await asyncio.to_thread(self._inner.peer_id)

    async def add(self, source, **options):  # type: ignore[no-untyped-def]
        return await asyncio.to_thread(self._inner.add, source, **options)

    async def cat(self, *arguments):  # type: ignore[no-untyped-def]
        for chunk in await asyncio.to_thread(lambda: list(self._inner.cat(*arguments))):
            yield chunk

    async def get(self, path, target):  # type: ignore[no-untyped-def]
        return await asyncio.to_thread(self._inner.get, path, target)

    async def jobs(self):  # type: ignore[no-untyped-def]
        return await asyncio.to_thread(self._inner.jobs)

    async def why(self, path, *, seconds=10.0):  # type: ignore[no-untyped-def]
        return await asyncio.to_thread(lambda: self._inner.why(path, seconds=seconds))

    async def ls(self, path):  # type: ignore[no-untyped-def]
        return await asyncio.to_thread(self._inner.ls, path)


async def test_a_node_keeps_the_contract(node: cidery.Node, tmp_path: Path) -> None:
    await check_api(node, tmp_path / "scratch")


async def test_a_client_keeps_the_contract(node: cidery.Node, tmp_path: Path) -> None:
    api = node.api
    async with listen(api, api.config.api, {}, node.path / "api", lambda: None) as addrs:
        async with cidery.Client(str(addrs[0])) as client:
            await check_api(client, tmp_path / "scratch")
    assert not (node.path / "api").exists()


async def test_the_blocking_face_keeps_the_contract(tmp_path: Path) -> None:
    opened = await asyncio.to_thread(cidery.open, tmp_path / "repo", profile="test", offline=True)
    try:
        await check_api(InThreads(opened), tmp_path / "scratch")
        assert not opened.attached
    finally:
        await asyncio.to_thread(opened.close)


async def test_what_names_nothing_is_refused_and_a_closed_node_says_so(node: cidery.Node, tmp_path: Path) -> None:
    with open(__file__, "rb") as file:
        for wrong in (5, None, file):
            with pytest.raises(InvalidInput):
                await node.add(wrong)  # type: ignore[arg-type]
            with pytest.raises(InvalidInput):
                await node.ls(wrong)  # type: ignore[arg-type]
    assert await node.add(bytearray(b"x")) == await node.add(memoryview(b"x")) == await node.add(b"x")
    with await asyncio.to_thread(cidery.open, tmp_path / "other", profile="test", offline=True) as opened:
        pass
    for use in (opened.peer_id, lambda: opened.add(b"x"), lambda: opened.read("bafkqaaa")):
        with pytest.raises(NotOpen):
            await asyncio.to_thread(use)


async def test_open_attaches_to_whoever_serves_the_repository(node: cidery.Node) -> None:
    api = node.api
    async with listen(api, api.config.api, {}, node.path / "api", lambda: None):
        opened = await asyncio.to_thread(cidery.open, node.path)
        try:
            assert opened.attached
            cid = await asyncio.to_thread(opened.add, b"shared")
            assert await asyncio.to_thread(opened.read, cid) == b"shared"
        finally:
            await asyncio.to_thread(opened.close)
    assert b"".join([bytes(chunk) async for chunk in node.cat(cid)]) == b"shared"


async def test_a_second_node_is_told_who_has_the_repository(node: cidery.Node) -> None:
    with pytest.raises(RepoLocked, match="in use by this same process"):
        async with cidery.Node(node.path, offline=True):
            raise AssertionError("two nodes write one repository")


async def test_other_processes_read_beside_the_writer(node: cidery.Node) -> None:
    cid = await node.add(b"for readers")
    code = f"import cidery; n = cidery.open({str(node.path)!r}, read_only=True); print(n.read({str(cid)!r})); n.close()"
    reader = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    output, _ = await reader.communicate()
    assert output.strip() == b"b'for readers'"


async def test_a_node_without_a_repository_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(CideryError, match="cidery init"):
        async with cidery.Node(tmp_path / "none", init=False):
            raise AssertionError("opened nothing")
    assert not (tmp_path / "none").exists()


async def test_leaving_cat_early_is_no_error(node: cidery.Node) -> None:
    cid = await node.add(b"x" * 5_000_000)
    async with aclosing(node.cat(cid)) as chunks:
        async for chunk in chunks:
            assert len(chunk) == 1_048_576
            break


def test_a_client_refuses_what_is_no_address() -> None:
    for text in ("", "localhost", "ftp://x:1", "/ip4/127.0.0.1/udp/1", "http://a@b:1", "http://h:99999"):
        with pytest.raises(InvalidInput):
            cidery.Client(text)


async def test_a_profile_that_would_change_a_repository_made_before_is_warned_of(tmp_path: Path) -> None:
    where = tmp_path / "repo"
    async with cidery.Node(where, profile="test,lowpower", offline=True):
        pass
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing to say while the config is as the profile says
        async with cidery.Node(where, profile="test,lowpower", offline=True):
            pass
        async with cidery.Node(where, offline=True):
            pass
    with pytest.warns(ProfileNotApplied, match="profile 'server'.*cidery config profile apply") as warned:
        async with cidery.Node(where, profile="server", offline=True):
            pass
    assert len(warned) == 1
    with pytest.raises(CideryError, match="no profile 'nonsense'"):
        async with cidery.Node(where, profile="nonsense", offline=True):
            pass
    async with cidery.Node(where, offline=True) as node:
        api = node.api
        async with listen(api, api.config.api, {}, where / "api", lambda: None):
            with pytest.warns(ProfileNotApplied, match="'server'"):
                (await asyncio.to_thread(cidery.open, where, profile="server")).close()


def test_such_a_warning_names_the_line_that_opens_the_repository(tmp_path: Path) -> None:
    cidery.open(tmp_path, profile="test").close()
    with pytest.warns(ProfileNotApplied) as warned:
        cidery.open(tmp_path, profile="server", offline=True).close()
    assert [one.filename for one in warned] == [__file__]
