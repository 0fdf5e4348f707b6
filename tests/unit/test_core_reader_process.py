"""The second process of a large add: the same results with it, without it, and when it dies half-way."""

import os
import signal
from pathlib import Path

import pytest

from cidery.blockstore.memory import MemoryStore
from cidery.core.adding import whole_items
from cidery.core.adding.add import AddOptions, add, add_root
from cidery.core.adding.events import Added
from cidery.core.adding.items import CannotAdd, File, ScanOptions
from cidery.core.adding.reader_process import SMALL_FILE, ReaderProcess
from cidery.unixfs.profile import UNIXFS_V0_2015, UNIXFS_V1_2025, Profile

FILES = 600


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    for number in range(FILES):
        folder = root / f"{number // 100}"
        folder.mkdir(parents=True, exist_ok=True)
        size = SMALL_FILE + number if number % 150 == 7 else number * 3
        (folder / f"{number}").write_bytes(number.to_bytes(4, "big") * (size // 4))
    (root / "link").symlink_to("0/1")
    return root


@pytest.fixture
def starts_at_once(monkeypatch: pytest.MonkeyPatch) -> list[ReaderProcess]:
    """The process starts with the first file and has started before anything is asked of it."""
    started: list[ReaderProcess] = []

    class Waited(ReaderProcess):
        def __init__(self, *given: object) -> None:
            super().__init__(*given)  # type: ignore[arg-type]
            assert self._ready.wait(60)
            started.append(self)

    monkeypatch.setattr(whole_items, "START_AFTER", 0)
    monkeypatch.setattr(whole_items, "ReaderProcess", Waited)
    return started


@pytest.mark.parametrize("profile", [UNIXFS_V1_2025, UNIXFS_V0_2015], ids=["v1", "v0"])
async def test_an_add_is_the_same_with_and_without_the_process(
    tree: Path, profile: Profile, starts_at_once: list[ReaderProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    def options() -> AddOptions:
        return AddOptions(profile, scan=ScanOptions(preserve_mtime=not profile.raw_leaves))

    store, plain = MemoryStore(), MemoryStore()
    with_it = [event async for event in add([tree], store, options())]
    assert len(starts_at_once) == 1
    monkeypatch.setattr(whole_items, "START_AFTER", 1 << 30)
    without = [event async for event in add([tree], plain, options())]
    assert with_it == without
    assert len(starts_at_once) == 1
    assert [page async for page in store.keys()] == [page async for page in plain.keys()]


async def test_an_add_goes_on_when_the_process_is_killed(tree: Path, starts_at_once: list[ReaderProcess]) -> None:
    expected = await add_root([tree], MemoryStore(), AddOptions(only_hash=True))
    root = None
    async for event in add([tree], MemoryStore()):
        for reader in starts_at_once[-1:]:
            if reader._process.poll() is None:
                os.kill(reader._process.pid, signal.SIGKILL)
        if isinstance(event, Added) and event.root:
            root = event.cid
    assert root == expected


async def test_no_process_is_left_behind(tree: Path, starts_at_once: list[ReaderProcess]) -> None:
    events = add([tree], MemoryStore())
    await anext(events)
    await events.aclose()  # type: ignore[attr-defined]
    assert [reader._process.returncode for reader in starts_at_once] == [-signal.SIGKILL]


async def test_what_cannot_be_read_is_named(tree: Path, starts_at_once: list[ReaderProcess]) -> None:
    paths = [tree / "0" / "1", tree / "gone"]
    with pytest.raises(CannotAdd, match="no such file"):
        await add_root([File(str(path), path.name) for path in paths], MemoryStore())
