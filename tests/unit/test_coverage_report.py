"""The report of make coverage: which packages it measures, by which tests, and what is below its floor."""

import tomllib

import pytest

from coverage_report import FLOOR, ROOT, SOURCE, TESTS, Row, floor_of, main, own_tests, rows_of

WITHOUT_FOLDER = {"budgets"}
"""Pure modules that are no packages."""


def test_every_pure_package_is_measured():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    pure = next(one["source_modules"] for one in contracts if one["id"] == "pure")
    assert {name.removeprefix("cidery.").replace(".", "/") for name in pure} - WITHOUT_FOLDER == set(TESTS)


@pytest.mark.parametrize("package", TESTS)
def test_every_measured_package_has_tests_of_its_own(package: str):
    assert (SOURCE / package).is_dir() and own_tests(package)


def test_modules_that_do_input_and_output_have_no_floor():
    assert floor_of("ipld/car.py") == floor_of("kad/query.py") == FLOOR
    assert floor_of("kad/service.py") == floor_of("kad/io/dht.py") == 0.0


def test_a_row_below_the_floor_is_marked_and_modules_without_statements_are_left_out():
    def summary(statements: int, percent: float) -> dict[str, dict[str, float]]:
        counts = {"num_statements": statements, "percent_covered": percent, "missing_lines": 3, "missing_branches": 2}
        return {"summary": counts}

    low, high, empty = (str(SOURCE / "ipld" / name) for name in ("car.py", "path.py", "__init__.py"))
    rows = rows_of({"files": {low: summary(9, 89.9), high: summary(9, FLOOR), empty: summary(0, 100.0)}})
    assert rows == [Row("ipld/car.py", 89.9, 3, 2, FLOOR), Row("ipld/path.py", FLOOR, 3, 2, FLOOR)]
    assert [row.below for row in rows] == [True, False]
    assert str(rows[0]).endswith("below 90") and not str(rows[1]).endswith("below 90")


def test_an_unknown_package_is_refused_with_those_that_are_known():
    with pytest.raises(SystemExit, match="unknown package core: known are multiformats"):
        main(["core"])
