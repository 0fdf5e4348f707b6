"""Every command that stores, with a whole collection between every two of its steps."""

from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from cidery.blockstore.drive import drive
from cidery.commands.bind import bind
from cidery.commands.context import Context
from cidery.commands.definition import Output, load
from cidery.commands.registry import find
from cidery.core.adding.items import Item, Stream
from cidery.core.api import Api
from cidery.core.session import StoreSession
from cidery.ipld import dag_pb
from cidery.ipld.car import encode_header, encode_section_head
from cidery.ipld.walk import walk_edges
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import DAG_PB, RAW
from cidery.node.build import Access, build
from cidery.node.create import create_repository

SMALL = b"small content"
LARGE = bytes(range(256)) * 12_000
"""Three chunks."""


class Interrupted:
    """An awaitable that runs ``work``, and ``between`` to its end each time that ``work`` has waited."""

    def __init__(self, work: Awaitable[Any], between: Callable[[], Awaitable[None]]) -> None:
        self._work = work
        self._between = between
        self.steps = 0

    def __await__(self) -> Generator[Any, Any, Any]:
        steps = self._work.__await__()
        while True:
            try:
                waited = next(steps)
            except StopIteration as stop:
                return stop.value
            yield waited
            self.steps += 1
            yield from self._between().__await__()


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    create_repository(tmp_path / "repo", profiles=["test"])
    async with build(tmp_path / "repo", Access.WRITE) as opened:
        yield opened


async def collect(api: Api) -> None:
    async for _ in api.collector.garbage():
        continue


async def run(api: Api, words: list[str], **options: str) -> list[Any]:
    """The results of a command, run as the daemon runs it."""
    return await _run(api, words, None, **options)


async def _run(api: Api, words: list[str], upload: bytes | None, **options: str) -> list[Any]:
    found = find(words)
    assert found is not None
    given = [(name.replace("_", "-"), text) for name, text in options.items()]
    call = bind(found.command, words[found.words :], given, body=upload is not None)

    async def uploads() -> AsyncIterator[Item]:
        assert upload is not None

        async def pieces() -> AsyncIterator[bytes]:
            for start in range(0, len(upload), 1 << 20):
                yield upload[start : start + (1 << 20)]

        yield Stream(pieces(), "file")

    context = Context(api, api.path, uploads() if upload is not None else None)
    running = load(found.command.run)(context, call)
    if found.command.output is Output.STREAM:
        async with aclosing(running) as values:
            return [value async for value in values]
    return [await running]


async def whole(api: Api, root: CID) -> bool:
    """Whether all below ``root`` is stored."""
    async for _ in drive(walk_edges(root, unique=True), StoreSession(api.store)):
        continue
    return True


def car(*roots: CID, blocks: list[tuple[CID, bytes]]) -> bytes:
    return encode_header(roots) + b"".join(encode_section_head(cid, len(data)) + data for cid, data in blocks)


def tree() -> tuple[CID, list[tuple[CID, bytes]]]:
    leaves = [(CID.of(data, RAW), data) for data in (b"one leaf", b"another leaf")]
    directory = b"\x08\x01"
    node = dag_pb.encode(
        [dag_pb.Link(cid, name, len(data)) for (cid, data), name in zip(leaves, "ab", strict=True)], directory
    )
    root = CID.of(node, DAG_PB)
    return root, [(root, node), *leaves]


STORING: dict[str, tuple[list[str], bytes | None, dict[str, str], Callable[[list[Any]], str]]] = {
    "block put --pin": (["block", "put"], SMALL, {"pin": "true"}, lambda found: found[0]["Key"]),
    "dag put --pin": (["dag", "put"], b'{"a":[1,2]}', {"pin": "true"}, lambda found: found[0]["Cid"]["/"]),
    "dag import": (["dag", "import"], car(tree()[0], blocks=tree()[1]), {}, lambda found: found[0]["Root"]["Cid"]["/"]),
    "add": (["add"], LARGE, {"chunker": "size-262144"}, lambda found: found[-1]["Hash"]),
    "add --wrap": (["add"], SMALL, {"wrap-with-directory": "true"}, lambda found: found[-1]["Hash"]),
}


@pytest.mark.parametrize("name", STORING)
@pytest.mark.parametrize("before", ["new", "already there as garbage"])
async def test_what_a_command_stored_and_pinned_survives_collections_between_all_its_steps(
    api: Api, name: str, before: str
) -> None:
    words, upload, options, root_of = STORING[name]
    if before != "new":
        root = root_of(await _run(api, words, upload, **options))
        await run(api, ["pin", "rm", root])
    interrupted = Interrupted(_run(api, words, upload, **options), lambda: collect(api))
    root = root_of(await interrupted)
    assert interrupted.steps >= 3
    await collect(api)
    pin = api.pins.get(CID.parse(root))
    assert pin is not None and pin.recursive
    assert await whole(api, CID.parse(root))
    assert not api.provisional.every()


CHANGES: list[tuple[list[str], bytes | None, dict[str, str]]] = [
    (["files", "mkdir", "/a/b"], None, {"parents": "true"}),
    (["files", "write", "/a/file"], LARGE, {"create": "true", "parents": "true"}),
    (["files", "write", "/a/file"], LARGE, {"create": "true", "parents": "true", "flush": "false"}),
    (["files", "ls", "/"], None, {}),
    (["files", "flush"], None, {}),
    (["files", "chroot"], None, {"confirm": "true"}),
]


@pytest.mark.parametrize(("words", "upload", "options"), CHANGES, ids=lambda value: str(value)[:40])
async def test_mutable_files_survive_collections_between_all_steps_of_a_change(
    tmp_path: Path, words: list[str], upload: bytes | None, options: dict[str, str]
) -> None:
    create_repository(tmp_path / "repo", profiles=["test"])
    async with build(tmp_path / "repo", Access.WRITE) as api:
        await Interrupted(_run(api, words, upload, **options), lambda: collect(api))
        await collect(api)
        await collect(api)
    async with build(tmp_path / "repo", Access.WRITE) as api:
        assert await whole(api, await api.files.root())


@pytest.mark.parametrize("words", [["pin", "add"], ["pin", "update"], ["files", "cp"]], ids=" ".join)
async def test_stored_garbage_that_a_command_takes_over_survives_collections_between_all_its_steps(
    api: Api, words: list[str]
) -> None:
    root, blocks = tree()
    other = (await _run(api, ["block", "put"], SMALL, pin="true"))[0]["Key"]
    await _run(api, ["dag", "import"], car(root, blocks=blocks), pin_roots="false")
    rest = {"pin add": [str(root)], "pin update": [other, str(root)], "files cp": [f"/ipfs/{root}", "/copy"]}
    begun = False

    async def between() -> None:
        # What is garbage before the command has said what it needs may go; from its record on it may not.
        nonlocal begun
        begun = begun or any(root in found.roots for found in api.provisional.every())
        if begun:
            await collect(api)

    await Interrupted(_run(api, [*words, *rest[" ".join(words)]], None), between)
    assert begun
    await collect(api)
    assert await whole(api, root)


async def test_add_pins_for_good_what_was_pinned_until_a_moment(api: Api) -> None:
    root = (await _run(api, ["add"], SMALL))[0]["Hash"]
    await run(api, ["pin", "add", root], expire_in="1h", name="for now")
    assert (found := api.pins.get(CID.parse(root))) is not None and found.expires is not None
    await _run(api, ["add"], SMALL)
    assert (found := api.pins.get(CID.parse(root))) is not None
    assert found.expires is None and found.name == "for now"


async def test_what_is_pinned_as_version_0_stays_when_the_pin_of_version_1_goes(api: Api) -> None:
    root, blocks = tree()
    old = CID(0, DAG_PB, root.multihash)
    await _run(api, ["dag", "import"], car(root, blocks=blocks))
    await run(api, ["pin", "add", str(old)], name="old")
    assert [pin.cid for pin in api.pins.every()] == [root, old]
    await run(api, ["pin", "rm", str(root)])
    await collect(api)
    assert await whole(api, old) and [(pin.cid, pin.name) for pin in api.pins.every()] == [(old, "old")]
