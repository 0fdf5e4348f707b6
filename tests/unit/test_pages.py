"""The tutorial and the guides are done step by step, with real shells and nodes on this machine."""

import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

from rehearsal import Rehearsal

DOCS = Path(__file__).resolve().parents[2] / "docs"
WITH_PEERS = {"move-from-kubo", "move-from-ipfshttpclient"}
"""Guides that need other programs: tests/interop/test_guides_from_kubo.py."""
GUIDES = [path for path in sorted((DOCS / "how-to").glob("*.md")) if path.stem not in WITH_PEERS]
PAGES = [DOCS / "tutorial.md", *GUIDES]
NEEDED = {"share-a-data-set": ("pandas",)}
"""Libraries that not every test environment has."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_page_works_as_it_says(page: Path, tmp_path: Path) -> None:
    text = page.read_text()
    for module in NEEDED.get(page.stem, ()):
        if find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    if "$ curl" in text and shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    with Rehearsal(tmp_path) as rehearsal:
        rehearsal.follow(text)
