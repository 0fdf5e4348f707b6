"""The listings of ls, as Kubo prints them."""

import json
import os
from contextlib import aclosing
from pathlib import Path

import pytest

from cidery.commands.bind import bind
from cidery.commands.context import Context
from cidery.commands.definition import load
from cidery.commands.registry import find
from shell import Shell

LEAF = "bafkreibhoce5shal35hs42dcxj7eub3akemugh25cp3snxjvfmdpdmqgve"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "d" / "sub").mkdir(parents=True)
    for name, size in (("a", 5), ("long", 123_456), ("sub/b", 5)):
        (tmp_path / "d" / name).write_bytes(b"bytes"[:size].ljust(size, b"."))
    os.symlink("a/b", tmp_path / "d" / "link")
    return tmp_path / "d"


async def links(shell: Shell, root: str) -> list[dict[str, object]]:
    found = find(["ls"])
    assert found is not None
    call = bind(found.command, [root], [])
    async with aclosing(load(found.command.run)(Context(shell.api, shell.api.path), call)) as values:
        return [link async for value in values for link in value["Objects"][0]["Links"]]


async def test_columns_are_aligned_and_sorted_by_name(shell: Shell, folder: Path) -> None:
    root = (await shell.run(f"add -q -r {folder}")).split()[-1]
    found = await links(shell, root)
    cids = {str(link["Name"]): str(link["Hash"]) for link in found}
    width = max(map(len, cids.values()))
    assert (await shell.run(f"ls {root}")).splitlines() == [
        f"{cids['a']:{width}} 5      a",
        f"{cids['link']:{width}} 3      link",
        f"{cids['long']:{width}} 123456 long",
        f"{cids['sub']:{width}} -      sub/",
    ]
    assert (await shell.run(f"ls -v --size=false {root}")).splitlines()[:2] == [
        f"{'Hash':{width}} Name",
        f"{cids['a']:{width}} a",
    ]
    assert (await shell.run(f"ls -s {root}")).splitlines()[0] == f"{cids['a']} 5         a"


async def test_a_sharded_folder_is_sorted_unless_it_is_streamed(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    for number in range(50):
        (tmp_path / "d" / f"f{number:02}").touch()
    root = (await shell.run(f"add -q -r --max-directory-links=10 {tmp_path / 'd'}")).split()[-1]
    names = [line.split()[-1] for line in (await shell.run(f"ls {root}")).splitlines()]
    streamed = [line.split()[-1] for line in (await shell.run(f"ls -s {root}")).splitlines()]
    assert names == sorted(names) == sorted(streamed) and streamed != names


@pytest.mark.parametrize("options", ["", "--stream ", "-v --stream "])
async def test_each_of_several_objects_has_a_heading(shell: Shell, folder: Path, options: str) -> None:
    one = (await shell.run(f"add -q -r {folder / 'sub'}")).split()[-1]
    empty = "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354"
    await shell.run("files mkdir --cid-version=1 /empty")
    head = ["Hash Size Name"] if "-v" in options else []
    row = f"{LEAF} {'5'.ljust(10) if 'stream' in options else '5 '}b"
    lines = (await shell.run(f"ls {options}{one} {empty} {one}/b")).splitlines()
    assert [" ".join(line.split()) for line in lines] == [
        *(f"{one}:", *head, " ".join(row.split()), ""),
        *(f"{empty}:", *head, ""),
        *(f"{one}/b:", *head),
    ]
    assert row in lines


async def test_a_node_that_is_not_unixfs_is_listed_by_its_links(shell: Shell) -> None:
    await shell.run("block put", b"bytes")
    node = json.dumps({"b": {"/": LEAF}, "a": [{"/": LEAF}, {"/": "bafkqaaa"}]}).encode()
    root = (await shell.run("dag put --store-codec=dag-cbor", node)).strip()
    found = [(link["Hash"], link["Name"]) for link in await links(shell, root)]
    assert found == [(LEAF, ""), ("bafkqaaa", ""), (LEAF, "")]
    assert (await shell.run(f"ls {root}")).splitlines()[0] == f"{LEAF} 0 "
