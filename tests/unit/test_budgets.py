"""The table of budgets, and the bucket that keeps a rate."""

from pathlib import Path

import pytest

from cidery.budgets import Bucket, Limit, Per, Rate, budgets, table

PAGE = Path(__file__).resolve().parents[2] / "docs" / "design" / "budgets.md"


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
