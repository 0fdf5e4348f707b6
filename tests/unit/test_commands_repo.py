"""The repo and pin groups as commands, on a node in this process."""

import random
import re
import subprocess

import pytest

from changed_api import changed
from cidery.blockstore import collector
from cidery.blockstore.delete_log import LOG_NAME
from cidery.blockstore.interface import Durability
from cidery.commands.byte_size import human_size
from cidery.core.keeping.pin import NotPinned, PinsBroken, pin_add
from cidery.core.reading.refs import refs_local
from cidery.core.session import NotStored
from cidery.errors import CideryError
from cidery.ipld.block import Block
from cidery.multiformats.cid import CID
from cidery.repo.gc.collection import GcStopped
from shell import Shell


async def added(shell, size, *, pin=True):
    return await shell.run(f"add -Q --chunker=size-1000 --pin={str(pin).lower()}", bytes(range(256)) * (size // 256))


async def test_gc_removes_what_is_unpinned_and_says_so(shell):
    kept, gone = (await added(shell, 5120)).split()[0], (await added(shell, 10240, pin=False)).split()[0]
    before = len((await shell.run("repo ls")).split())
    lines = (await shell.run("repo gc")).splitlines()
    assert lines and all(line.startswith("removed b") for line in lines)
    after = (await shell.run("repo ls")).split()
    assert len(after) == before - len(lines)
    assert await shell.run("repo gc") == "", "nothing went"
    assert (await shell.run("repo gc --stats")).startswith("freed ")
    assert (await shell.run(f"cat {kept}")).encode("latin-1") == bytes(range(256)) * 20
    with pytest.raises(NotStored):
        await shell.run(f"cat {gone}")


async def test_gc_prints_cids_only_with_quiet_and_nothing_with_silent(shell):
    await added(shell, 2560, pin=False)
    quiet = (await shell.run("repo gc -q")).split()
    assert quiet and all(CID.parse(text) for text in quiet)
    await added(shell, 2560, pin=False)
    assert await shell.run("repo gc --silent") == ""
    assert await shell.run("repo ls") == ""


async def test_gc_names_what_pins_lack_and_removes_nothing(shell):
    root = (await added(shell, 5120)).split()[0]
    child = (await shell.run(f"refs {root}")).split()[0]
    await shell.api.store.delete_many([CID.parse(child)])
    await added(shell, 256, pin=False)
    before = await shell.run("repo ls")
    with pytest.raises(GcStopped, match=child):
        await shell.run("repo gc --stream-errors")
    assert await shell.run("repo ls") == before
    with pytest.raises(PinsBroken, match="1 pins are broken"):
        await shell.run("pin verify")


@pytest.mark.parametrize("command", ["repo gc", "repo compact"])
async def test_the_log_of_deletes_is_trimmed_after_a_collection(shell, monkeypatch, command):
    root = CID.parse((await added(shell, 256_000, pin=False)).split()[0])
    log = shell.api.store.directory / LOG_NAME
    if command == "repo compact":
        await shell.api.store.delete_many([cid async for cid in refs_local(shell.api.store)])
    monkeypatch.setattr(collector, "TRIM_BYTES", 1)
    await shell.run(command)
    assert await shell.api.store.size_many([root]) == [None]
    assert 0 < log.stat().st_size < 100
    await added(shell, 256_000, pin=False)
    await shell.run("repo gc")
    assert log.stat().st_size < 100


async def test_compact_leaves_a_dense_index(shell, tmp_path):
    await added(shell, 1 << 20)
    blocks = len((await shell.run("repo ls")).split())
    assert re.fullmatch(r"freed [\d.]+ \w+\n", await shell.run("repo compact"))
    assert await shell.api.store.compact_index() < 120 * blocks + 3 * 4096


async def test_migrate_knows_one_format(shell):
    assert "nothing to do" in await shell.run("repo migrate")
    with pytest.raises(CideryError, match="no way to format 18"):
        await shell.run("repo migrate --to=18")


async def test_a_pin_that_ends_is_listed_until_then(shell):
    root = (await added(shell, 2560, pin=False)).split()[0]
    await shell.run(f"pin add --name=lent --expire-in=30d {root}")
    assert await shell.run("pin ls --type=recursive --names") == f"{root} recursive lent\n"
    later = Shell(changed(shell.api, clock=lambda: shell.api.clock() + 31 * 86400))
    assert await later.run("pin ls --type=recursive") == ""
    await shell.run("repo gc")
    assert await shell.run(f"cat {root}")


@pytest.mark.parametrize("text", ["d", "xd", "30", "1d2", "999999d", "-1d"])
async def test_a_lifetime_that_is_none_is_refused(shell, text):
    with pytest.raises(CideryError, match="takes a duration"):
        await shell.run(f"pin add --expire-in={text} {(await added(shell, 256)).split()[0]}")


async def test_update_moves_a_pin_with_its_name(shell):
    old, new = (await added(shell, 2560, pin=False)).split()[0], (await added(shell, 5120, pin=False)).split()[0]
    with pytest.raises(NotPinned):
        await shell.run(f"pin update {old} {new}")
    await shell.run(f"pin add -n site {old}")
    assert await shell.run(f"pin update {old} {new}") == f"updated {old} to {new}\n"
    assert await shell.run("pin ls --type=recursive --names") == f"{new} recursive site\n"
    await shell.run(f"pin update --unpin=false {new} {old}")
    assert len((await shell.run("pin ls --type=recursive")).splitlines()) == 2
    await shell.run(f"pin update {old} {old}")
    assert len((await shell.run("pin ls --type=recursive")).splitlines()) == 2


async def test_verify_prints_whole_pins_when_asked(shell):
    root = (await added(shell, 2560)).split()[0]
    assert await shell.run("pin verify") == ""
    assert await shell.run("pin verify --verbose") == f"{root} ok\n"


async def test_pinning_what_is_cached_makes_it_kept(shell):
    root = CID.parse((await added(shell, 5120, pin=False)).split()[0])
    api = shell.api
    blocks = [root, *(CID.parse(text) for text in (await shell.run(f"refs -r {root}")).split())]
    data = await api.store.get_many(blocks)
    await api.store.delete_many(blocks)
    await api.store.put_many(
        [Block(cid, one) for cid, one in zip(blocks, data, strict=True)], kept=False, durability=Durability.VISIBLE
    )
    async with api.operation("pin", root), api.session() as session:
        async for _ in pin_add(root, session, api.pins, now=1.0, keep=lambda cids: api.keep(cids, session)):
            continue
    assert all(api.store.is_kept(cid) for cid in blocks)


async def test_the_size_of_a_repository_is_what_it_takes_on_the_disk(shell, tmp_path):
    def told(text):
        return dict(line.split(":", 1) for line in text.splitlines())

    fresh = told(await shell.run("repo stat"))
    await shell.run("add -Q", random.Random(1).randbytes(1 << 20))
    size = int(told(await shell.run("repo stat"))["RepoSize"])
    usage = subprocess.run(["du", "-s", "-B1", tmp_path / "repo"], capture_output=True, check=True, text=True)
    assert 0 < int(fresh["RepoSize"]) <= size - (1 << 20)
    assert abs(size - int(usage.stdout.split()[0])) < 1 << 18, "directories themselves do not count"
    await shell.run("repo gc")
    assert int(told(await shell.run("repo stat"))["RepoSize"]) < size + (1 << 20), "nor what is kept for a full disk"
    assert fresh["Version"].strip() == "fs-repo@1"
    assert told(await shell.run("repo stat --human"))["StorageMax"].strip() == "10 GB"


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (9, "9 B"), (10, "10 B"), (999, "999 B"), (1000, "1.0 kB"), (9_949, "9.9 kB"), (9_950, "10 kB")]
    + [
        (566_677, "567 kB"),
        (9_300_000, "9.3 MB"),
        (12_460_000, "12 MB"),
        (10_000_000_000, "10 GB"),
        (1 << 62, "4.6 EB"),
    ],
)
def test_bytes_are_told_in_powers_of_1000(size, text):
    assert human_size(size) == text
