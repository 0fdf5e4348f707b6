"""Standard streams that are closed or full: one line that says so, and an exit code."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cidery.cli.arguments import split
from cidery.cli.getting import on_record
from cidery.commands.bind import bind
from cidery.commands.definition import Call
from cidery.commands.registry import find
from cidery.core.getting.jobs import every_get
from cidery.core.worth import KEPT
from cidery.errors import Unavailable
from cidery.repo.layout import RepoLayout


def run(redirected: str, *words: str) -> subprocess.CompletedProcess[str]:
    line = f'exec "{sys.executable}" -m cidery {" ".join(words)} {redirected}'
    return subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=30, check=False)


@pytest.fixture(autouse=True)
def repository(tmp_path, monkeypatch):
    monkeypatch.setenv("IPFS_PATH", str(tmp_path))
    assert run("", "init", "--profile", "test").returncode == 0


def test_a_closed_standard_input_is_no_file() -> None:
    done = run("<&-", "add")
    assert done.returncode == 1 and done.stderr.startswith("Error: standard input is closed")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_below_the_output_is_said_to_be_full() -> None:
    done = run(">/dev/full", "id")
    assert (done.returncode, done.stderr) == (1, "Error: cannot write the output: no space left on device\n")


def test_a_closed_standard_output_is_an_error() -> None:
    done = run(">&-", "id")
    assert done.returncode == 1 and done.stderr.startswith("Error: standard output is closed")


def test_a_closed_standard_error_leaves_the_output_alone() -> None:
    done = run("2>&-", "cat", "nope")
    assert (done.returncode, done.stdout) == (1, "")


def test_a_verdict_has_its_lines_and_a_fact_is_one_line() -> None:
    found = find(("why",))
    assert found is not None
    call = Call(found.command, {}, {}, frozenset())
    assert call.shown({"Type": "Verdict", "Text": "-> absent\n   * a\tb", "Details": {}}) == "-> absent\n   * a\\tb\n"
    assert call.shown({"Type": "Peer", "Text": "one\n-> stored", "Details": {}}) == "one\\n-> stored\n"


def test_an_api_file_without_an_address_is_named(tmp_path) -> None:
    (tmp_path / "api").write_text("rubbish")
    done = run("", "id")
    assert done.returncode == 1 and f"{tmp_path}/api holds 'rubbish'" in done.stderr


@pytest.mark.parametrize(
    ("error", "worth_after", "kept"),
    [(KeyboardInterrupt, 0.0, True), (KeyboardInterrupt, 60.0, False), (Unavailable, 0.0, False)],
    ids=["stopped late", "stopped at once", "failed"],
)
def test_a_get_without_a_byte_on_disk_is_kept_if_it_was_stopped_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException], worth_after: float, kept: bool
) -> None:
    monkeypatch.setattr("cidery.core.worth.WORTH_SECONDS", worth_after)
    monkeypatch.setattr(KEPT, "noted", False)
    jobs = RepoLayout(tmp_path).jobs
    jobs.mkdir(parents=True)
    line = split(["get", "bafkqaaa"])
    assert line.command is not None
    call = bind(line.command, line.arguments, line.options)
    with pytest.raises(error), on_record(tmp_path, call, str(tmp_path / "out"), "bafkqaaa"):
        raise error
    assert (bool(every_get(jobs)), KEPT.noted) == (kept, kept)
