"""The tutorial and the guides are done step by step, with real shells and nodes on this machine."""

from pathlib import Path

import pytest

from rehearsal import Rehearsal

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = [DOCS / "tutorial.md", *sorted((DOCS / "how-to").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_page_works_as_it_says(page: Path, tmp_path: Path) -> None:
    with Rehearsal(tmp_path) as rehearsal:
        rehearsal.follow(page.read_text())
