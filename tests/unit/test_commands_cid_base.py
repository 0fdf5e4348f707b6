"""In which base and version CIDs are printed."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import cidery
from cidery.cli.arguments import split
from cidery.multiformats.cid import CID
from cidery.node.create import create_repository
from shell import Shell


@pytest.fixture
async def shell(tmp_path: Path) -> AsyncIterator[Shell]:
    create_repository(tmp_path / "repo", profiles=["test", "unixfs-v0-2015"])
    async with cidery.Node(tmp_path / "repo", offline=True) as node:
        yield Shell(node.api)


@pytest.fixture
async def root(shell: Shell, tmp_path: Path) -> CID:
    """A CIDv0 with a file called f."""
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").write_bytes(b"bytes")
    return CID.parse((await shell.run(f"add -q -r {tmp_path / 'd'}")).split()[-1])


async def test_every_listing_of_cids_obeys_the_base(shell: Shell, root: CID) -> None:
    await shell.run(f"pin add --name=n {root}")
    for command in (
        *(f"refs {root}", f"refs --edges {root}", "refs --format=<src>,<dst> -r " + str(root), f"ls {root}"),
        *(f"resolve /ipfs/{root}/f", f"dag resolve {root}/f", f"files stat /ipfs/{root}", f"pin ls {root}"),
        *("pin ls --type=all", f"dag stat {root}", f"block stat {root}", "pin verify --verbose"),
    ):
        assert "Qm" in await shell.run(command), command
        assert "Qm" not in await shell.run(f"{command} --cid-base=base32"), command
        assert "Qm" in await shell.run(f"{command} --cid-base=base58btc"), command
    assert (await shell.run(f"refs --cid-base=base32 {root}")).startswith("bafybei")


async def test_a_cidv0_becomes_cidv1_when_told_and_stays_one_when_told(shell: Shell, root: CID) -> None:
    child = CID.parse((await shell.run(f"refs {root}")).strip())
    for options, shown in (
        ("--upgrade-cidv0-in-output=true", str(child.to_v1())),
        ("--upgrade-cidv0-in-output=false --cid-base=base32", str(child)),
        ("--upgrade-cidv0-in-output=true --cid-base=base58btc", child.to_v1().format("base58btc")),
        ("--upgrade-cidv0-in-output=false", str(child)),
    ):
        assert await shell.run(f"refs {options} {root}") == f"{shown}\n"
        assert await shell.run(f"resolve {options} /ipfs/{root}/f") == f"/ipfs/{shown}\n"


async def test_a_path_is_resolved_in_the_base_of_its_cid(shell: Shell, root: CID) -> None:
    child = CID.parse((await shell.run(f"refs {root}")).strip())
    for given, shown in (
        (f"/ipfs/{root}/f", str(child)),
        (f"{root.to_v1()}/f", str(child.to_v1())),
        (f"ipfs://{root.to_v1()}/f", str(child.to_v1())),
        (f"ipfs:{root.to_v1()}/f", str(child.to_v1())),
        (f"/ipfs/{root.to_v1().format('base36')}/f", child.to_v1().format("base36")),
    ):
        assert await shell.run(f"resolve {given}") == f"/ipfs/{shown}\n"
        assert (await shell.run(f"dag resolve {given}")).strip() == shown
    name = (await shell.run(f"name publish -Q --allow-offline /ipfs/{root}")).strip()
    assert await shell.run(f"resolve /ipns/{name}/f") == f"/ipfs/{child}\n"


async def test_a_path_through_data_stays_one(shell: Shell) -> None:
    cid = (await shell.run("dag put", b'{"i":{"j":1}}')).strip()
    assert await shell.run(f"resolve /ipld/{cid}/i") == f"/ipld/{cid}/i\n"
    assert await shell.run(f"resolve /ipld/{cid}") == f"/ipld/{cid}\n"
    assert await shell.run(f"resolve /ipfs/{cid}") == f"/ipfs/{cid}\n"


def test_a_long_name_may_stand_behind_one_dash() -> None:
    assert split(["dag", "put", "-cid-base=base58btc", "f"]).options == [("cid-base", "base58btc")]
    assert split(["add", "-rs=size-5"]).options == [("r", "true"), ("s", "size-5")], "letters, as before"
