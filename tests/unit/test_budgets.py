"""The table of budgets, and the bucket that keeps a rate."""

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from cidery.budgets import Bucket, Limit, Per, Rate, budgets, table

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "design" / "budgets.md"
OF_PEERS = re.compile(r"^(?!Addresses ).*(\b(of|for|by|from) one (peer|client)\b|\bserved at once\b)")
"""Descriptions of such bounds; those of addresses are about a message or a dial."""


def test_the_table_in_the_design_is_that_of_the_code() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert table() in page, "put the output of cidery.budgets.table() into docs/design/budgets.md"


def test_every_budget_says_for_whom_how_much_what_happens_and_why() -> None:
    for name, budget in budgets():
        assert budget.amount > 0 and budget.unit and budget.beyond and budget.reason, name
        assert isinstance(budget.per, Per)


@pytest.mark.parametrize(
    "amount, unit, size",
    [(512, "streams", "512 streams"), (4 << 20, "bytes", "4 Mibytes"), (128 << 10, "bytes", "128 Kibytes")],
)
def test_limits_are_shown_with_their_unit(amount: int, unit: str, size: str) -> None:
    assert Limit(amount, unit, Per.NODE, "", "").size == size.replace("ibytes", "iB")


def test_a_bucket_gives_its_burst_at_once_and_its_rate_after_that() -> None:
    bucket = Bucket(Rate(10, 5, "things", Per.NODE, "", ""), 0.0)
    assert [bucket.reserve(0.0) for _ in range(7)] == pytest.approx([0, 0, 0, 0, 0, 0.1, 0.2])
    assert bucket.reserve(1.0, 5) == 0.0 and bucket.reserve(1.0) == pytest.approx(0.1)


def test_what_is_given_back_is_there_for_the_next() -> None:
    bucket = Bucket(Rate(1, 1, "things", Per.NODE, "", ""), 0.0)
    assert bucket.reserve(0.0) == 0.0
    bucket.give_back()
    assert bucket.reserve(0.0) == 0.0


def _constants(module: Path) -> Iterator[tuple[str, ast.expr, str]]:
    """Name, value and description of each bound of a module."""
    body = ast.parse(module.read_text(encoding="utf-8")).body
    for one, after in pairwise(body):
        if isinstance(one, ast.Assign) and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            names = [name.id for name in ast.walk(one.targets[0]) if isinstance(name, ast.Name)]
            if names[0].startswith(("MAX_", "MOST_")):
                yield names[0], one.value, str(after.value.value)


@pytest.mark.parametrize("package", ["libp2p", "bitswap", "kad", "pubsub", "retrieval", "rpc", "gateway", "http"])
def test_what_a_peer_may_use_up_is_stated_in_the_table_and_nowhere_else(package: str) -> None:
    strays = [
        f"{module.relative_to(ROOT)}: {name}: {text}"
        for module in sorted((ROOT / "src" / "cidery" / package).rglob("*.py"))
        for name, value, text in _constants(module)
        if OF_PEERS.search(text) and any(isinstance(part, ast.Constant) for part in ast.walk(value))
    ]
    assert not strays, strays
