"""Standard streams that are closed or full: one line that says so, and an exit code."""

import os
import subprocess
import sys

import pytest

from cidery.commands.definition import Call
from cidery.commands.registry import find


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
