"""The examples of docs/python.md run from top to bottom, and the page names every method."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import cidery
from cidery.methods.surface import Surface

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "python.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
"""Those marked `py` need somebody else, such as a pinning service."""
LIMIT = 100.0
"""Seconds for all examples; far beyond what they take."""


def test_the_examples_run_from_top_to_bottom(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "beach.txt").write_text("a beach")
    for name in ("my-repo", "other-repo", "friend-repo"):
        # made here, for this machine alone: an example must not start a node that the Internet sees
        with cidery.open(tmp_path / name, profile="test", offline=True) as node:
            node.config.set("Routing.Type", "dhtserver")
    assert len(EXAMPLES) == 11
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", "\n".join(EXAMPLES)],
        cwd=tmp_path, capture_output=True, text=True, timeout=LIMIT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "b'a beach'"
    assert lines.count("b'a beach'") == 2, "also from the other node"
    for line in ("b'First line\\n'", "['notes', 'photos']", "b'raw bytes' 9", "20GB []", "compared with its blocks"):
        assert line in lines, line


@pytest.mark.parametrize("name", [name for name in vars(Surface) if not name.startswith("_")])
def test_every_method_and_group_is_on_the_page(name: str) -> None:
    assert f"node.{name}" in PAGE or f"friend.{name}(" in PAGE
    made = getattr(Surface, name)
    if callable(made):
        return
    group = made.func(type("Face", (Surface,), {"_caller": None})())
    for method in (method for method in dir(group) if not method.startswith("_")):
        here = (f"{name}.{method}", f"`{method}`")
        assert any(text in PAGE for text in here), f"node.{name}.{method} is not on the page"
