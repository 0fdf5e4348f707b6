"""The documents hold together: links lead somewhere, public names are documented and have a page on the site."""

import importlib
import inspect
import re
import runpy
import tomllib
from functools import cached_property
from pathlib import Path

import pytest

import cidery
import cidery.testing
from cidery.client.client import Client
from cidery.methods import results
from cidery.methods.surface import Surface
from cidery.node.node import Node
from cidery.node.open import SyncNode
from cidery.repo.config_keys import KEYS
from cidery.repo.config_unheeded import UNHEEDED

ROOT = Path(__file__).resolve().parents[2]
OTHERS = ("tests/vectors", "src/cidery/gateway/check/fixtures")
"""Documents of other projects."""
DOCUMENTS = sorted(
    path
    for folder in (".", "docs", "examples", "src", "tests", "bench", "demo")
    for path in ((ROOT / folder).glob("*.md") if folder == "." else (ROOT / folder).rglob("*.md"))
    if not path.relative_to(ROOT).as_posix().startswith(OTHERS)
)
CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)|(?:href|src|srcset)=\"([^\"]+)\"")
SITE = runpy.run_path(str(ROOT / "docs" / "site" / "build.py"))


def anchors(text: str) -> set[str]:
    """The anchors of the headings of a document, as GitHub and the site make them."""
    fenceless = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    found: set[str] = set()
    for heading in re.findall(r"^#{1,6} +(.+)$", fenceless, re.MULTILINE):
        words = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower())
        found.add(words.strip().replace(" ", "-"))
    return found


def broken_links(document: Path) -> list[str]:
    """The relative links of a document that lead to no file, or to no heading of one."""
    broken = []
    for link in (one or other for one, other in LINK.findall(CODE.sub("", document.read_text()))):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = document.parent / name if name else document
        if not target.exists() or (anchor and anchor not in anchors(target.read_text())):
            broken.append(link)
    return broken


def groups() -> list[type]:
    """The classes of node.pin, node.files and so on."""
    face = type("Face", (Surface,), {"_caller": None})()
    return [type(made.func(face)) for made in vars(Surface).values() if isinstance(made, cached_property)]


def public(thing: type) -> list[str]:
    return [name for name in dir(thing) if not name.startswith("_")]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_relative_link_leads_somewhere(document: Path) -> None:
    assert broken_links(document) == []


def test_every_setting_that_a_page_names_exists() -> None:
    named = re.compile(r"`([A-Z][A-Za-z]+(?:\.[A-Z][A-Za-z0-9]+)+)\b")
    known = {*KEYS, *UNHEEDED}
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "how-to").glob("*.md")]
    for page in pages:
        names = set(named.findall(page.read_text()))
        parts = {name for name in names - known if not any(key.startswith(f"{name}.") for key in known)}
        assert parts == set(), page


def test_a_link_to_a_missing_file_or_heading_is_found(tmp_path: Path) -> None:
    (tmp_path / "there.md").write_text("# One `thing`, two\n```\n# no heading\n```\n")
    page = tmp_path / "page.md"
    page.write_text(
        "[a](there.md) [b](there.md#one-thing-two) [c](https://example.com/x) `[d](code.md)`\n"
        '[e](missing.md) [f](there.md#no-heading) [g](#none) <img src="none.svg">\n'
    )
    assert broken_links(page) == ["missing.md", "there.md#no-heading", "#none", "none.svg"]


def test_every_public_name_of_the_package_is_documented() -> None:
    names = [name for name in cidery.__all__ if name != "__version__"]
    assert [name for name in names if not inspect.getdoc(getattr(cidery, name))] == []
    mute = [name for name in cidery.testing.__all__ if not inspect.getdoc(getattr(cidery.testing, name))]
    assert mute == []


@pytest.mark.parametrize("face", [Node, Client, SyncNode, *groups()], ids=lambda face: face.__name__)
def test_every_public_method_is_documented(face: type) -> None:
    assert inspect.getdoc(face)
    assert [name for name in public(face) if not inspect.getdoc(getattr(face, name))] == []


def test_every_result_and_category_of_error_is_documented() -> None:
    for module in (results, cidery.errors):
        own = [one for one in vars(module).values() if isinstance(one, type) and one.__module__ == module.__name__]
        # a dataclass without a docstring is given its signature as one
        mute = [one.__name__ for one in own if not one.__doc__ or one.__doc__.startswith(f"{one.__name__}(")]
        assert own and mute == []


def test_every_public_name_has_a_page_of_the_api() -> None:
    shown = {path for _, _, paths in SITE["API"].values() for path in paths}
    for name in cidery.__all__:
        assert name == "__version__" or f"cidery.{name}" in shown, name
    for group in groups():
        assert f"{group.__module__}.{group.__qualname__}" in shown
    for name in cidery.testing.__all__:
        assert f"cidery.testing.{name}" in shown, name


def test_every_page_of_the_api_shows_what_exists() -> None:
    for path in (path for _, _, paths in SITE["API"].values() for path in paths):
        module, _, name = path.rpartition(".")
        try:
            importlib.import_module(path)
        except ModuleNotFoundError:
            assert hasattr(importlib.import_module(module), name), path


def test_every_document_is_on_the_site_and_every_entry_of_its_menu_exists() -> None:
    text = (ROOT / "docs" / "site" / "zensical.toml").read_text()
    listed = set(re.findall(r"\"([\w./-]+\.md)\"", str(tomllib.loads(text)["project"]["nav"]).replace("'", '"')))
    made = {"index.md", "api/commands.md"}
    assert [name for name in listed - made if not (ROOT / name).is_file()] == []
    here = {path.as_posix() for path in SITE["documents"]() if path.parts[:2] != ("docs", "design")}
    assert here - listed == {"README.md"}, "README.md is index.md there"


@pytest.mark.parametrize(
    ("page", "asks"),
    [
        ('<script src="https://example.com/a.js"></script>', True),
        ('<link rel="stylesheet" href="//example.com/a.css">', True),
        ("<style>@import url(https://example.com/a.css)</style>", True),
        ('<a href="https://example.com">x</a> <link rel="canonical" href="https://example.com">', False),
        ('<script src="assets/a.js"></script> <svg xmlns="http://www.w3.org/2000/svg"/>', False),
    ],
)
def test_a_page_that_loads_from_another_host_is_found(tmp_path: Path, page: str, asks: bool) -> None:
    (tmp_path / "page.html").write_text(page)
    assert SITE["foreign_loads"](tmp_path) == (["page.html"] if asks else [])
