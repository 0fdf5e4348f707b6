"""The README's Python runs as it stands, and its commands exist."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
LIMIT = 60.0
"""Seconds for an example; far beyond what it takes."""


def test_the_python_examples_run_in_order_and_share_a_repository(tmp_path: Path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "readme.txt").write_text("a beach")
    assert len(EXAMPLES) == 2
    # Made here, for the test profile: an example without it must not start a node that the Internet sees.
    subprocess.run(
        [sys.executable, "-m", "cidery", "init", "--profile", "test"],
        capture_output=True, check=True, env={**os.environ, "IPFS_PATH": str(tmp_path / "my-repo")},
    )  # fmt: skip
    outputs = [
        subprocess.run(
            [sys.executable, "-W", "error", "-c", example],
            cwd=tmp_path, capture_output=True, text=True, check=True, timeout=LIMIT,
        ).stdout
        for example in EXAMPLES
    ]  # fmt: skip
    assert outputs[0] == "b'a beach'\n"
    assert "b'hello'" in outputs[1] and "['readme.txt']" in outputs[1]
    assert (tmp_path / "copy-of-photos" / "readme.txt").read_text() == "a beach"


@pytest.mark.parametrize("line", sorted(set(re.findall(r"^    (?:\$ )?(cidery [^#&\n]*)", README, re.MULTILINE))))
def test_the_commands_and_options_of_the_readme_exist(line: str):
    words = line.split()[1:]
    names = [word for word in words if not word.startswith(("-", "/"))][:3]
    done = subprocess.run(
        [sys.executable, "-m", "cidery", *_command(names), "--help"],
        capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip
    for option in (word for word in words if word.startswith("-")):
        assert re.search(rf"(^|[\s,]){re.escape(option)}\b", done.stdout), f"{option} is not an option of {line}"


def _command(names: list[str]) -> list[str]:
    from cidery.commands.registry import all_commands

    known = {command.path for command in all_commands()}
    return next(names[:size] for size in (3, 2, 1) if tuple(names[:size]) in known)
