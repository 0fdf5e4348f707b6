"""add with the mutable files, and listings of directories of either shape as commands print them."""

from pathlib import Path

import pytest

import cidery
from cidery.commands.bind import BadCall
from cidery.node.create import create_repository
from shell import Shell


def folder(path: Path, count: int) -> Path:
    path.mkdir()
    for number in range(count):
        (path / f"f{number:03}").write_text(str(number))
    return path


async def test_what_is_added_can_go_into_the_mutable_files_too(shell: Shell, tmp_path: Path) -> None:
    path = folder(tmp_path / "photos", 3)
    root = (await shell.run(f"add -Q -r --to-files=/all {path}")).split()[-1]
    assert (await shell.run("files stat --hash /all")).strip() == root
    await shell.run(f"add -q --to-files=/ {path / 'f001'}")
    assert await shell.run("files read /f001") == "1"
    with pytest.raises(BadCall, match="exclude"):
        await shell.run(f"add -n --to-files=/x {path / 'f001'}")


@pytest.mark.parametrize("fanout", [8, 256])
async def test_a_sharded_folder_is_used_like_any_other(shell: Shell, tmp_path: Path, fanout: int) -> None:
    path = folder(tmp_path / "photos", 60)
    plain = (await shell.run(f"add -q -r {path}")).split()[-1]
    root = (await shell.run(f"add -q -r --max-directory-links=10 --max-hamt-fanout={fanout} {path}")).split()[-1]
    assert root != plain
    listed = [(await shell.run(f"ls {cid}")).splitlines() for cid in (plain, root)]
    assert sorted(listed[1]) == sorted(listed[0]) and len(listed[0]) == 60
    streamed = (await shell.run(f"ls -s {root}")).splitlines()
    assert sorted(line.split() for line in streamed) == sorted(line.split() for line in listed[0])
    assert await shell.run(f"cat {root}/f042") == "42"
    assert (await shell.run(f"resolve /ipfs/{root}/f042")).strip().endswith(listed[0][42].split()[0])
    leaves = {line.split()[0] for line in listed[0]}
    assert leaves < set((await shell.run(f"refs -r -u {root}")).split())
    assert root in await shell.run("pin ls --type=recursive")


async def test_the_profile_for_data_keeps_hidden_files_unless_the_line_says_otherwise(tmp_path: Path) -> None:
    create_repository(tmp_path / "repo", profiles=["test", "data"])
    path = folder(tmp_path / "x.zarr", 1)
    (path / ".zarray").write_text("{}")
    async with cidery.Node(tmp_path / "repo", offline=True) as node:
        shell = Shell(node.api)
        for words, names in (("", [".zarray", "f000"]), ("--hidden=false", ["f000"]), ("-H", [".zarray", "f000"])):
            root = (await shell.run(f"add -Q -r {words} {path}")).split()[-1]
            assert [line.split()[-1] for line in (await shell.run(f"ls {root}")).splitlines()] == names
