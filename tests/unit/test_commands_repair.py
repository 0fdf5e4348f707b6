"""repo verify with --drop and --heal: damage on disk, and two real nodes over loopback."""

import errno
import os
from pathlib import Path

import pytest

import cidery
from cidery.blockstore.interface import Durability
from cidery.blockstore.places import segment_name
from cidery.blockstore.segments import SegmentStore, rebuild_index
from cidery.commands.bind import bind
from cidery.commands.context import Context
from cidery.commands.definition import load
from cidery.commands.registry import find
from cidery.commands.run.repo import VerifyFailed
from cidery.core.api import NoNetwork
from cidery.disk.platform_io import OsFiles
from cidery.multiformats.cid import CID
from cidery.multiformats.multiaddr import Multiaddr
from cidery.testing.blockstore_contract import block
from shell import Shell

SIZE = 1000


async def put(shell: Shell, *data: bytes, kept: bool = True) -> list[CID]:
    blocks = [block(one) for one in data]
    await shell.api.store.put_many(blocks, kept=kept, durability=Durability.DURABLE)
    return [one.cid for one in blocks]


def damage(shell: Shell, data: bytes, number: int = 0) -> None:
    """Change a stored block's last byte on disk."""
    path: Path = shell.api.store.directory / segment_name(number)
    content = path.read_bytes()
    at = content.index(data) + len(data) - 1
    with path.open("r+b") as file:
        file.seek(at)
        file.write(bytes([content[at] ^ 1]))


async def test_without_options_damage_is_named_and_left(shell):
    (bad, _) = await put(shell, b"bad" * SIZE, b"good" * SIZE)
    damage(shell, b"bad" * SIZE)
    with pytest.raises(VerifyFailed, match="1 blocks are corrupt or missing; get them again from peers with --heal"):
        await shell.run("repo verify")
    assert (await shell.api.store.size_many([bad])) == [3 * SIZE]


async def test_drop_removes_damaged_blocks_and_no_others(shell):
    bad, good, gone = await put(shell, b"bad" * SIZE, b"good" * SIZE, b"gone" * SIZE)
    damage(shell, b"bad" * SIZE)
    damage(shell, b"gone" * SIZE)
    said = await shell.run("repo verify --drop")
    assert said.count(", removed\n") == 2
    assert said.splitlines()[-1] == "verify complete, 2 blocks were corrupt or missing: 2 removed"
    assert await shell.api.store.size_many([bad, good, gone]) == [None, 4 * SIZE, None]
    assert await shell.run("repo verify --drop") == "verify complete, all 1 blocks validated.\n"
    await put(shell, b"bad" * SIZE)
    assert await shell.api.store.get_many([bad]) == [b"bad" * SIZE]


async def test_what_was_dropped_stays_dropped_when_the_index_is_rebuilt(shell, tmp_path):
    (bad,) = await put(shell, b"bad" * SIZE)
    damage(shell, b"bad" * SIZE)
    await shell.run("repo verify --drop")
    await shell.api.store.close()
    damage(shell, b"bad" * (SIZE - 1) + b"bae")  # the bytes are right again
    rebuild_index(tmp_path / "repo")
    store = SegmentStore.open(tmp_path / "repo", read_only=True)
    assert await store.size_many([bad]) == [None]
    await store.close()


async def test_a_block_that_was_stored_anew_meanwhile_is_not_dropped(shell):
    (cid,) = await put(shell, b"bad" * SIZE, kept=False)
    damage(shell, b"bad" * SIZE, 1)
    (fault,) = [fault async for step in shell.api.store.verify() for fault in step.faults]
    await put(shell, b"bad" * SIZE, kept=True)
    assert await shell.api.store.discard([fault]) == [False]
    assert await shell.api.store.get_many([cid]) == [b"bad" * SIZE]


async def test_a_block_that_the_disk_does_not_give_now_is_not_dropped(shell, monkeypatch):
    (cid,) = await put(shell, b"x" * SIZE)

    def fails(self: OsFiles, fd: int, size: int, offset: int) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(OsFiles, "read", fails)
        with pytest.raises(VerifyFailed, match="1 cannot be read now"):
            await shell.run("repo verify --drop")
    assert await shell.api.store.get_many([cid]) == [b"x" * SIZE]


async def test_heal_needs_the_network_and_changes_nothing_without_it(shell):
    (bad,) = await put(shell, b"bad" * SIZE)
    damage(shell, b"bad" * SIZE)
    with pytest.raises(NoNetwork):
        await shell.run("repo verify --heal")
    assert await shell.api.store.size_many([bad]) == [3 * SIZE]


async def test_heal_fetches_damaged_blocks_from_peers_in_the_class_that_they_had(tmp_path):
    async with (
        cidery.Node(tmp_path / "a", profile="test") as a,
        cidery.Node(tmp_path / "b", profile="test") as b,
    ):
        damaged, holder = Shell(a.api), Shell(b.api)
        kept, nowhere = await put(damaged, b"kept" * SIZE, b"nowhere" * SIZE)
        (cached,) = await put(damaged, b"cached" * SIZE, kept=False)
        await put(holder, b"kept" * SIZE, b"cached" * SIZE)
        damage(damaged, b"kept" * SIZE)
        damage(damaged, b"nowhere" * SIZE)
        damage(damaged, b"cached" * SIZE, 1)
        await a.api.online.connect(Multiaddr.parse(f"{b.api.online.listen_addrs()[0]}/p2p/{b.api.config.peer_id}"))
        lines = []
        with pytest.raises(VerifyFailed, match="2 healed, 1 removed, not healed|1 removed, not healed, 2 healed"):
            await collect(damaged, "repo verify --heal --heal-timeout=5s", lines)
        assert sum(", healed" in line for line in lines) == 2
        assert sum(f"block {nowhere}" in line and "removed, not healed (" in line for line in lines) == 1
        store = a.api.store
        assert await store.get_many([kept, cached, nowhere]) == [b"kept" * SIZE, b"cached" * SIZE, None]
        assert [store.is_kept(kept), store.is_kept(cached)] == [True, False]
        assert (await damaged.run("repo verify")) == "verify complete, all 2 blocks validated.\n"


async def collect(shell: Shell, line: str, lines: list[str]) -> None:
    """Run a line that may raise, with what it printed before."""
    words = line.split()
    found = find(words)
    options = [tuple((word.lstrip("-") + "=true").split("=")[:2]) for word in words[found.words :]]
    call = bind(found.command, [], options)
    async for value in load(found.command.run)(Context(shell.api, shell.api.path), call):
        lines.append(value["Msg"])
