"""Calls that a daemon answers at once, without a task: the same answers, and the same guards, as for all others."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import cidery
from cidery.errors import NotFound
from cidery.http.message import Request, Response
from cidery.multiformats.cid import CID
from cidery.repo.config_file import read_raw, write_raw
from cidery.rpc.server import RpcHandler

HOST = {"host": "127.0.0.1:5001"}
TOKEN = "t" * 32
DATA = os.urandom(1024)


class Faces:
    """A handler, and the two ways to ask it."""

    def __init__(self, node: cidery.Node) -> None:
        self.handler = RpcHandler(node.api, frozenset(("https://page.example",)), lambda: None, TOKEN)

    def at_hand(self, target: str, method: str = "POST", **headers: str) -> Response | None:
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        return self.handler.at_hand(Request(method, f"/api/v0/{target}", HOST | named))

    async def usual(self, target: str, method: str = "POST", **headers: str) -> Response:
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        return await self.handler(Request(method, f"/api/v0/{target}", HOST | named))


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[cidery.Node]:
    async with cidery.Node(tmp_path / "repo", profile="test") as made:
        yield made


async def asked(node: cidery.Node, target: str) -> Faces:
    """After a first call of the command, from which its path is known."""
    faces = Faces(node)
    assert (await faces.usual(target)).status == 200
    return faces


@pytest.mark.parametrize("size", [0, 1, 1000, 5000])
@pytest.mark.parametrize("part", ["", "&offset=10", "&offset=5&length=300", "&length=0"])
async def test_a_small_file_is_read_as_usual(node: cidery.Node, size: int, part: str) -> None:
    data = os.urandom(size)
    cid = await node.add(data, chunker="size-1024")
    target = f"cat?arg={cid}{part}"
    faces = await asked(node, target)
    at_once, usual = faces.at_hand(target), await faces.usual(target)
    assert at_once is not None and (at_once.headers, at_once.body) == (usual.headers, usual.body)
    given = dict(one.split("=") for one in part.split("&") if one)
    begin, length = int(given.get("offset", 0)), int(given.get("length", size))
    assert at_once.body == data[begin : begin + length]
    assert faces.at_hand(f"{target}&session=name") is None, "it is to be watched"


async def test_reading_that_lets_others_run_is_left_to_the_usual_way(
    node: cidery.Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is broken off in the middle, which must leave nothing behind."""
    data = os.urandom(5000)
    target = f"cat?arg={await node.add(data, chunker='size-1000')}"
    faces = await asked(node, target)
    monkeypatch.setattr("cidery.blockstore.drive.SLICE", -1.0)
    assert faces.at_hand(target) is None
    assert (await faces.usual(target)).body == data


async def test_a_file_with_a_part_that_is_not_stored_is_waited_for(node: cidery.Node) -> None:
    data = os.urandom(3000)
    cid = await node.add(data, chunker="size-1000")
    faces = await asked(node, f"cat?arg={cid}")
    assert faces.at_hand(f"cat?arg={cid}") is not None
    await node.pin.rm(cid)
    await node.block.rm(CID.of(data[1000:2000]))
    assert faces.at_hand(f"cat?arg={cid}") is None
    assert faces.at_hand(f"cat?arg={cid}&length=900") is not None
    begun = await faces.usual(f"cat?arg={cid}&offline=true")
    assert not isinstance(begun.body, bytes), "a stream, whose end says what is missing"
    with pytest.raises(NotFound):
        [piece async for piece in begun.body]


@pytest.mark.parametrize("form", ["block/get?arg={}", "block/get?arg=/ipfs/{}", "block/stat?arg={}", "block/get/{}"])
async def test_the_answer_is_the_usual_one(node: cidery.Node, form: str) -> None:
    target = form.format(await node.add(DATA))
    faces = await asked(node, target)
    at_once, usual = faces.at_hand(target), await faces.usual(target)
    if "block/get/" in form:
        assert at_once is None, "a word behind the command is parsed by the other way"
        return
    assert at_once is not None and isinstance(at_once.body, bytes)
    assert (at_once.status, at_once.headers, at_once.body) == (usual.status, usual.headers, usual.body)


async def test_a_block_of_the_largest_size_is_at_hand(node: cidery.Node) -> None:
    data = os.urandom(2 << 20)
    cid = (await node.block.put(data)).cid
    faces = await asked(node, f"block/get?arg={cid}")
    answer = faces.at_hand(f"block/get?arg={cid}")
    assert answer is not None and answer.body == data


async def test_what_has_to_be_waited_for_or_fails_is_left_to_the_usual_way(node: cidery.Node) -> None:
    cid = await node.add(DATA)
    faces = await asked(node, f"block/get?arg={cid}")
    absent = CID.of(b"not stored")
    for target in (
        f"block/get?arg={absent}",
        f"block/get?arg={cid}/below",
        f"block/get?arg=/ipns/{node.api.config.peer_id}",
        "block/get?arg=nonsense",
        "block/get",
        f"block/get?arg={cid}&timeout=nonsense",
        f"block/get?arg={cid}&watch-as=me",
        f"refs?arg={cid}",
    ):
        assert faces.at_hand(target) is None, target


async def test_every_guard_is_asked(node: cidery.Node) -> None:
    target = f"block/get?arg={await node.add(DATA)}"
    faces = await asked(node, target)
    for headers, status in (
        ({"host": "evil.example"}, 403),
        ({"host": "evil.example", "cidery_repository": TOKEN}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"referer": "https://evil.example/page"}, 403),
        ({"user_agent": "Mozilla/5.0"}, 403),
        ({"cidery_repository": "x" * 32}, 421),
        ({"authorization": "Bearer cidery-ui-1-nonsense"}, 401),
    ):
        assert faces.at_hand(target, **headers) is None, headers
        assert (await faces.usual(target, **headers)).status == status, headers
    for method, status in (("GET", 405), ("PUT", 405), ("OPTIONS", 204)):
        assert faces.at_hand(target, method) is None
        assert (await faces.usual(target, method)).status == status
    assert faces.at_hand(target, cidery_repository=TOKEN) is not None
    # a page that may call is answered by the usual way, which adds the headers that its browser wants
    page = await faces.usual(target, origin="https://page.example")
    assert faces.at_hand(target, origin="https://page.example") is None
    assert page.headers["Access-Control-Allow-Origin"] == "https://page.example"


async def test_secrets_are_asked_for(tmp_path: Path) -> None:
    folder = tmp_path / "repo"
    async with cidery.Node(folder, profile="test", offline=True) as node:
        cid = await node.add(DATA)
    users = {
        "all": {"AuthSecret": "bearer:all", "AllowedPaths": ["/api/v0"]},
        "pins": {"AuthSecret": "bearer:pins", "AllowedPaths": ["/api/v0/pin"]},
    }
    write_raw(folder / "config", read_raw(folder / "config") | {"API": {"Authorizations": users}})
    async with cidery.Node(folder, offline=True) as node:
        faces, target = Faces(node), f"block/get?arg={cid}"
        assert (await faces.usual(target, authorization="Bearer all")).status == 200
        assert faces.at_hand(target, authorization="Bearer all") is not None
        for secret in ("Bearer pins", "Bearer none", ""):
            assert faces.at_hand(target, authorization=secret) is None
            assert (await faces.usual(target, authorization=secret)).status == 403


async def test_what_is_denied_is_not_at_hand(tmp_path: Path) -> None:
    async with cidery.Node(tmp_path / "repo", profile="test", offline=True) as node:
        cid = await node.add(DATA)
    (tmp_path / "repo" / "denylists").mkdir(exist_ok=True)
    (tmp_path / "repo" / "denylists" / "own.deny").write_text(f"/ipfs/{cid}\n")
    async with cidery.Node(tmp_path / "repo", offline=True) as node:
        faces, target = Faces(node), f"block/get?arg={cid}"
        assert (await faces.usual(target)).status == 500
        assert faces.at_hand(target) is None


async def test_headers_of_the_config_are_sent_both_ways(node: cidery.Node) -> None:
    cid = await node.add(DATA)
    handler = RpcHandler(node.api, frozenset(), lambda: None, TOKEN, more={"X-Own": "a, b"})
    request = Request("POST", f"/api/v0/block/get?arg={cid}", HOST)
    usual, at_once = await handler(request), handler.at_hand(request)
    refused = await handler(Request("GET", "/api/v0/id", HOST))
    assert at_once is not None
    assert [one.headers["X-Own"] for one in (usual, at_once, refused)] == ["a, b"] * 3
    page = await handler(Request("GET", "/webui", HOST))
    assert "X-Own" not in page.headers
