"""get and cat: what stands in an answer's head is read in the session that reads the rest."""

from contextlib import AbstractAsyncContextManager, aclosing
from pathlib import Path
from typing import Any

import pytest

from cidery.commands.bind import bind
from cidery.commands.context import Body, Context
from cidery.commands.definition import load
from cidery.commands.registry import find
from cidery.core.api import Api
from cidery.core.session import BlockSession
from cidery.errors import NotFound
from shell import Shell

SIZE = 3 << 20
"""More than is read before an answer begins."""


class Counted:
    """A session that notes its beginning and its end."""

    def __init__(self, session: AbstractAsyncContextManager[BlockSession], open_now: list[object]) -> None:
        self._session = session
        self._open = open_now

    async def __aenter__(self) -> BlockSession:
        self._open.append(self)
        return await self._session.__aenter__()

    async def __aexit__(self, *exc: Any) -> bool | None:
        self._open.remove(self)
        return await self._session.__aexit__(*exc)


class Sessions:
    def __init__(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun = 0
        self.open: list[object] = []
        real = api.session

        def session(**terms: Any) -> Counted:
            self.begun += 1
            return Counted(real(**terms), self.open)

        monkeypatch.setattr(api, "session", session)


@pytest.fixture
async def cid(shell: Shell, tmp_path: Path) -> str:
    (tmp_path / "file").write_bytes(b"x" * SIZE)
    return (await shell.run(f"add -Q {tmp_path / 'file'}")).strip()


async def answer(shell: Shell, name: str, path: str, *options: tuple[str, str]) -> Body:
    found = find([name])
    assert found is not None
    body = await load(found.command.run)(Context(shell.api, shell.api.path), bind(found.command, [path], [*options]))
    assert isinstance(body, Body)
    return body


@pytest.mark.parametrize("name", ["get", "cat"])
async def test_one_session_reads_the_head_and_the_body(
    shell: Shell, cid: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = Sessions(shell.api, monkeypatch)
    body = await answer(shell, name, cid)
    assert body.length is not None and body.length >= SIZE and len(sessions.open) == 1
    async with aclosing(body.chunks) as chunks:
        size = sum([len(chunk) async for chunk in chunks])
    assert size >= SIZE and sessions.begun == 1 and not sessions.open


@pytest.mark.parametrize("name", ["get", "cat"])
async def test_an_answer_that_nobody_reads_ends_its_session(
    shell: Shell, cid: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = Sessions(shell.api, monkeypatch)
    body = await answer(shell, name, cid)
    await body.chunks.aclose()
    assert sessions.begun == 1 and not sessions.open


@pytest.mark.parametrize("name", ["get", "cat"])
async def test_what_is_not_there_fails_before_the_answer_begins(
    shell: Shell, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = Sessions(shell.api, monkeypatch)
    with pytest.raises(NotFound):
        await answer(shell, name, "bafkreibhoce5shal35hs42dcxj7eub3akemugh25cp3snxjvfmdpdmqgve")
    assert not sessions.open


class Noted:
    """A session that notes what it is told."""

    def __init__(self, session: BlockSession, told: list[str]) -> None:
        self._session, self._told = session, told

    def __getattr__(self, name: str) -> Any:
        self._told.append(name)
        return getattr(self._session, name)


@pytest.mark.parametrize("name", ["get", "cat"])
async def test_a_session_hears_that_all_will_be_read_before_it_is_asked_for_the_first_block(
    shell: Shell, cid: str, monkeypatch: pytest.MonkeyPatch, name: str
):
    told: list[str] = []
    entered = Counted.__aenter__

    async def noted(self: Counted) -> BlockSession:
        return Noted(await entered(self), told)  # type: ignore[return-value]

    monkeypatch.setattr(Counted, "__aenter__", noted)
    Sessions(shell.api, monkeypatch)
    async with aclosing((await answer(shell, name, cid)).chunks):
        assert told[0] == "expect", "over a long line it costs a round trip less"
