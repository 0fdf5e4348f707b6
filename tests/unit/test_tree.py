"""The rules of the source tree that no linter checks. Layers and cycles are import-linter's, in pyproject.toml."""

import ast
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "cidery"
MODULES = sorted(SOURCE.rglob("*.py"))

MAX_LINES = 500
LONG_MODULES: dict[str, int] = {}
"""Modules above the limit and their length when they were listed. They may only shrink, and none may be added."""
MAX_FUNCTION_LINES = 60
LONG_FUNCTIONS: dict[str, int] = {}
"""As above, for functions: "module:name"."""
BANNED_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "manager"}
"""Names that say nothing about what is inside."""
BROAD = {"Exception", "BaseException"}


def name_of(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def handlers(tree: ast.Module) -> Iterator[ast.ExceptHandler]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler))


def caught(handler: ast.ExceptHandler) -> set[str]:
    """Names of the exceptions; "BaseException" for a bare except."""
    if handler.type is None:
        return {"BaseException"}
    parts = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return {part.id for part in parts if isinstance(part, ast.Name)}


@pytest.fixture(scope="module")
def trees() -> dict[str, ast.Module]:
    return {name_of(path): ast.parse(path.read_bytes()) for path in MODULES}


def test_no_module_is_longer_than_the_limit():
    lengths = {name_of(path): len(path.read_bytes().splitlines()) for path in MODULES}
    long = {name: lines for name, lines in lengths.items() if lines > LONG_MODULES.get(name, MAX_LINES)}
    assert not long, f"cut these modules, each named after one concept: {long}"


def test_the_list_of_long_modules_only_shrinks():
    lengths = {name_of(path): len(path.read_bytes().splitlines()) for path in MODULES}
    done = [name for name in LONG_MODULES if lengths.get(name, 0) <= MAX_LINES]
    assert not done, f"take these off LONG_MODULES: {done}"


def test_no_function_is_longer_than_the_limit(trees: dict[str, ast.Module]):
    long = {}
    for module, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                key = f"{module}:{node.name}"
                lines = (node.end_lineno or 0) - node.lineno + 1
                if lines > LONG_FUNCTIONS.get(key, MAX_FUNCTION_LINES):
                    long[key] = lines
    assert not long, f"cut these functions: {long}"


def test_no_module_or_class_has_a_name_that_says_nothing(trees: dict[str, ast.Module]):
    bad = [name for name in trees if BANNED_NAMES & set(name.removesuffix(".py").split("/"))]
    for module, tree in trees.items():
        classes = [node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
        bad += [f"{module}:{name}" for name in classes if name.lower().endswith(("manager", "helper", "utils"))]
    assert not bad, f"name these after what they hold: {bad}"


def test_no_exception_is_swallowed_unseen(trees: dict[str, ast.Module]):
    """A broad handler must do something; that of a named exception may say in a comment why nothing is to be done."""
    silent = [
        f"{module}:{handler.lineno}"
        for module, tree in trees.items()
        for handler in handlers(tree)
        if caught(handler) & BROAD and all(isinstance(line, ast.Pass | ast.Continue) for line in handler.body)
    ]
    assert not silent, f"these hide every error: {silent}"


def test_every_module_says_what_it_is(trees: dict[str, ast.Module]):
    mute = [name for name, tree in trees.items() if tree.body and not ast.get_docstring(tree)]
    assert not mute, f"these modules have no docstring: {mute}"


def test_nothing_is_left_to_do_in_the_source():
    marks = ("TO" + "DO", "FIX" + "ME", "XX" + "X")
    left = [
        f"{name_of(path)}:{number}"
        for path in MODULES
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if any(mark in line for mark in marks)
    ]
    assert not left, f"finish these or file an issue: {left}"


def test_who_is_no_pronoun_behind_a_preposition():
    unidiomatic = re.compile(r"\b(for|to|of|by|from) who\b(?! in )")
    texts = [*MODULES, *ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "src/cidery/webui").rglob("*.js")]
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in texts
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if unidiomatic.search(line)
    ]
    assert not found, f"name the part of the program, or the person: {found}"


def test_the_changelog_compares_with_nothing_that_was_never_released():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    if re.findall(r"^## \[(.*)\]", text, re.MULTILINE) != ["Unreleased"]:
        return  # what is compared with a release is news
    assert not re.findall(r".*\b(?:no longer|any more|used to|than before|what it did)\b.*", text)


def test_no_test_files_share_a_name():
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert len(names) == len(set(names))


def exists(module: str, name: str) -> bool:
    """Whether `from module import name` works. A module that needs an extra which is not installed passes."""
    try:
        found = hasattr(importlib.import_module(module), name)
        return found or importlib.util.find_spec(f"{module}.{name}") is not None
    except ModuleNotFoundError as error:
        return not (error.name or "").startswith("cidery")


def test_tests_and_benches_import_from_the_package_only_what_is_there():
    wanted = {
        (node.module, alias.name, path.relative_to(ROOT).as_posix())
        for folder in ("tests", "bench")
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "cidery"
        for alias in node.names
    }
    missing = sorted(f"{path}: {module}.{name}" for module, name, path in wanted if not exists(module, name))
    assert not missing
