"""The README's shell and Python run as they stand, and the commands that the documents name exist."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from rehearsal import Rehearsal

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]
LINES = {
    line.strip()
    for page in PAGES
    for line in re.findall(r"^    (?:\$ )?(cidery [^#&|<>\n]*)", page.read_text(), re.MULTILINE)
}


def test_the_shell_and_the_python_run_in_order(tmp_path: Path) -> None:
    with Rehearsal(tmp_path) as rehearsal:
        home = rehearsal.machine().home
        (home / "photos").mkdir()
        (home / "photos" / "beach.txt").write_text("a beach")
        rehearsal.follow(README)
        for copy in ("copy", "copy-of-photos"):
            assert (home / copy / "beach.txt").read_text() == "a beach"


def test_the_targets_of_make_exist() -> None:
    made = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = re.findall(r"\bmake ([a-z-]+)", "".join(re.findall(r"`[^`]*`|^    .*$", README, re.MULTILINE)))
    assert {"demo", "test", "docs"} <= set(named) <= set(made)


@pytest.mark.parametrize("line", sorted(LINES))
def test_the_commands_and_options_of_the_documents_exist(line: str) -> None:
    words = line.split()[1:]
    names = [word for word in words if not word.startswith(("-", "/"))][:4]
    done = subprocess.run(
        [sys.executable, "-m", "cidery", *_command(names), "--help"],
        capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip
    for option in (word.partition("=")[0] for word in words if word.startswith("-")):
        assert re.search(rf"(^|[\s,]){re.escape(option)}\b", done.stdout), f"{option} is not an option of {line}"


def _command(names: list[str]) -> list[str]:
    from cidery.commands.registry import all_commands

    known = {command.path for command in all_commands()}
    return next(names[:size] for size in (4, 3, 2, 1) if tuple(names[:size]) in known)
