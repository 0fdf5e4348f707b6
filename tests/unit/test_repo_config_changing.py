"""Several processes change the config at once."""

import asyncio
import multiprocessing
import os
from pathlib import Path

import pytest

from cidery.repo import config_file
from cidery.repo.config_file import Changing, ConfigError, ConfigMissing, read_raw, write_raw

pytest.importorskip("fcntl")
PROCESSES, CHANGES = 4, 15


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_raw(tmp_path / "config", {})
    return tmp_path / "config"


def _change(path: Path, mine: int) -> None:
    for number in range(CHANGES):
        with Changing(path) as raw:
            raw[f"{mine}-{number}"] = True
            write_raw(path, raw)


def test_changes_of_several_processes_at_once_are_all_kept(path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    running = [context.Process(target=_change, args=(path, mine)) for mine in range(PROCESSES)]
    for process in running:
        process.start()
    for process in running:
        process.join()
    assert len(read_raw(path)) == PROCESSES * CHANGES
    assert [file.name for file in path.parent.iterdir()] == ["config"]


def test_who_cannot_wait_for_another_says_what_to_do(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config_file, "MAX_LOOKS", 3)
    with Changing(path), pytest.raises(ConfigError, match="another process is changing .*; try again"):  # noqa: SIM117
        with Changing(path):
            pass
    with Changing(path) as raw:
        assert raw == {}


async def test_nothing_else_waits_while_one_waits_for_another(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def held(_: float) -> None:
        raise AssertionError("the loop stands still")

    monkeypatch.setattr("time.sleep", held)
    done: list[str] = []

    async def change(name: str) -> None:
        async with Changing(path) as raw:
            write_raw(path, raw | {name: True})
            done.append(name)

    with Changing(path):
        waiting = [asyncio.create_task(change(name)) for name in ("one", "two")]
        await asyncio.sleep(3 * config_file.LOOK_PAUSE)
        assert not done
    await asyncio.gather(*waiting)
    assert read_raw(path) == {"one": True, "two": True}


async def test_who_waits_too_long_without_holding_others_says_what_to_do(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config_file, "MAX_LOOKS", 3)
    with Changing(path), pytest.raises(ConfigError, match="another process is changing .*; try again"):
        async with Changing(path):
            pass


def test_what_a_change_that_was_killed_has_left_goes_with_the_next_one(path: Path) -> None:
    others = ["config.copy", "config.before.new", "config.2026-11-29.new", "other.123.new"]
    for name in ("config.123.new", *others):
        (path.parent / name).write_text("{")
    with Changing(path) as raw:
        write_raw(path, raw)
    assert sorted(file.name for file in path.parent.iterdir()) == sorted(["config", *others])


def test_what_cannot_be_cleaned_up_is_left(path: Path) -> None:
    (path.parent / "config.123.new").mkdir()
    with Changing(path) as raw:
        write_raw(path, raw | {"Key": 1})
    assert read_raw(path) == {"Key": 1}


def test_a_change_that_fails_leaves_the_config_as_it_was_and_to_others(path: Path) -> None:
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), Changing(path):
            _ = 1 // 0
        path.write_text("no JSON")
        with pytest.raises(ConfigError, match="is not JSON"), Changing(path):
            pass
        path.unlink()
        with pytest.raises(ConfigMissing), Changing(path):
            pass
        write_raw(path, {})
    assert not before or len(os.listdir("/proc/self/fd")) == before


def test_a_system_without_locks_on_folders_changes_it_all_the_same(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OSError

    monkeypatch.setattr("fcntl.flock", refused)
    with Changing(path) as raw:
        write_raw(path, raw | {"Key": 1})
    assert read_raw(path) == {"Key": 1}
