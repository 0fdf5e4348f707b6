"""A collector forgets blocks in files of the user that nothing reaches, by the rules that spare stored blocks."""

import random
from contextlib import aclosing
from pathlib import Path

import pytest

from cidery.blockstore.filestore import Reference as FileReference
from cidery.blockstore.filestore import References
from cidery.multiformats.cid import CID
from cidery.repo.gc.collection import Marking
from cidery.repo.gc.reached import Reached
from cidery.repo.gc.saved import MarkFile, MarkStart
from shell import Shell

SIZE = 50_000


def write(path: Path, seed: int) -> Path:
    path.write_bytes(random.Random(seed).randbytes(SIZE))
    return path


async def added(shell: Shell, path: Path, *, pin: bool) -> str:
    """Add a file without a copy, in ten blocks."""
    line = f"add -Q --nocopy --chunker=size-5000 --pin={str(pin).lower()} {path}"
    return (await shell.run(line)).strip()


def count(shell: Shell) -> int:
    return shell.api.blocks.references.count()


async def test_what_no_root_reaches_is_forgotten_and_the_files_stay(shell, tmp_path):
    kept, gone = write(tmp_path / "kept", 1), write(tmp_path / "gone", 2)
    root = await added(shell, kept, pin=True)
    await added(shell, gone, pin=False)
    assert count(shell) == 20
    said = await shell.run("repo gc")
    assert count(shell) == 10 and said.count("removed ") == 11  # ten blocks and the node above them
    assert gone.read_bytes() == random.Random(2).randbytes(SIZE)
    assert (await shell.run(f"cat {root}")).encode("latin-1") == kept.read_bytes()
    await shell.run(f"pin rm {root}")
    await shell.run("repo gc")
    assert count(shell) == 0


async def test_mutable_files_and_direct_pins_hold_references(shell, tmp_path):
    root = await added(shell, write(tmp_path / "file", 1), pin=False)
    await shell.run(f"files cp /ipfs/{root} /file")
    await shell.run("repo gc")
    assert count(shell) == 10
    leaf = (await shell.run(f"refs {root}")).split()[3]
    await shell.run(f"pin add --recursive=false {leaf}")
    await shell.run("files rm /file")
    await shell.api.files.protection.close()  # its record, which names the root, lingers for some seconds
    await shell.run("repo gc")
    assert shell.api.blocks.references.keys(b"", 99) == [CID.parse(leaf).multihash]


async def test_a_block_that_is_stored_too_keeps_its_reference_while_it_is_reached(shell, tmp_path):
    path = write(tmp_path / "file", 1)
    root = await added(shell, path, pin=True)
    await shell.run("add -Q --raw-leaves --chunker=size-5000 --pin=false", path.read_bytes())
    await shell.run("repo gc")
    assert count(shell) == 10
    assert await shell.run(f"cat {root}")


async def test_references_wait_while_an_operation_is_under_way(shell, tmp_path):
    async with shell.api.operation("add"):
        await added(shell, write(tmp_path / "file", 1), pin=False)
        await shell.run("repo gc")
        assert count(shell) == 10
    await shell.run("repo gc")
    assert count(shell) == 0


async def collecting(shell: Shell, meanwhile) -> None:
    """A collection with something done between its mark and its sweep."""
    shell.api.collector.together = 0.0
    async with aclosing(shell.api.collector.garbage()) as steps:
        assert isinstance(await anext(steps), Marking)
        await meanwhile()
        async for _ in steps:
            pass


async def test_garbage_that_is_added_again_during_a_collection_stays(shell, tmp_path):
    path = write(tmp_path / "file", 1)
    await added(shell, path, pin=False)
    found = []

    async def again():
        found.append(await added(shell, path, pin=True))

    await collecting(shell, again)
    assert count(shell) == 10
    assert (await shell.run(f"cat {found[0]}")).encode("latin-1") == path.read_bytes()


async def test_garbage_that_is_pinned_or_given_a_path_during_a_collection_stays(shell, tmp_path):
    first = await added(shell, write(tmp_path / "first", 1), pin=False)
    second = await added(shell, write(tmp_path / "second", 2), pin=False)
    await added(shell, write(tmp_path / "third", 3), pin=False)

    async def hold():
        await shell.run(f"pin add {first}")
        await shell.run(f"files cp /ipfs/{second} /second")

    await collecting(shell, hold)
    assert count(shell) == 20
    assert (await shell.run(f"cat {first}")).encode("latin-1") == (tmp_path / "first").read_bytes()
    assert (await shell.run("files read /second")).encode("latin-1") == (tmp_path / "second").read_bytes()


async def test_a_collection_that_goes_on_after_a_kill_leaves_references_to_the_next(shell, tmp_path, monkeypatch):
    await added(shell, write(tmp_path / "file", 1), pin=False)
    load = MarkFile.load
    with monkeypatch.context() as patch:
        # what a mark was saved as, without what it had reached
        patch.setattr(MarkFile, "load", lambda self, mark, now: load(self, mark, now) or _begun(shell, now))
        await shell.run("repo gc")
    assert count(shell) == 10
    await shell.run("repo gc")
    assert count(shell) == 0


def _begun(shell: Shell, now: float):
    return MarkStart(shell.api.store.next_ordinal, now)


def table(tmp_path: Path, keys: list[bytes]) -> References:
    references = References(tmp_path / "references")
    references.put([reference(key) for key in keys])
    return references


def reference(key: bytes) -> FileReference:
    return FileReference(key, "/file", 0, 1, 1, 1)


def test_a_doomed_reference_counts_as_absent_and_one_that_is_put_again_stays(tmp_path):
    keys = [bytes([number]) * 34 for number in range(4)]
    references = table(tmp_path, keys)
    with references.noting():
        references.put([reference(keys[0])])
        gone = references.doom(keys[:3])
        assert gone == keys[1:3]
        assert [references.has(key) for key in keys] == [True, False, False, True]
        assert references.get(keys[1]) is None
        references.put([reference(keys[1])])
        assert references.has(keys[1])
        references.bury(gone)
        assert [references.has(key) for key in keys] == [True, True, False, True]
    references.close()
    again = References(tmp_path / "references")
    assert [again.has(key) for key in keys] == [True, True, False, True]
    again.close()


@pytest.mark.parametrize("seed", range(3))
def test_what_was_reached_is_never_missed_and_the_rest_is_rarely_taken_for_it(seed):
    chance = random.Random(seed)
    keys = [b"\x12\x20" + chance.randbytes(32) for _ in range(20_000)]
    reached = Reached(10_000, chance.getrandbits(64))
    reached.update(keys[:10_000])
    assert all(key in reached for key in keys[:10_000])
    assert sum(key in reached for key in keys[10_000:]) < 300
