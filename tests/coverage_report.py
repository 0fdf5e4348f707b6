"""Branch coverage of each module of the pure packages, from the tests of its own package.

    make coverage                                    all of them, some five minutes
    make coverage PACKAGES="ipld libp2p/protocols"   some of them

What other packages' tests happen to run does not count: a module is to be held by the tests beside it. The figure is
coverage.py's with branches: lines and branches that were taken, of those there are. Modules that do input and output
(``service.py``, ``io/``) are listed without a floor: the interop tests hold them.
"""

import json
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "cidery"
FLOOR = 90.0
"""Percent of lines and branches that a pure module's own tests take."""
TRANSFERS = ("sim/test_sim_transfers.py", "sim/test_sim_hostile_peers.py", "sim/test_sim_streams.py")
DECODERS = "property/test_libp2p_decoders.py"
TESTS: dict[str, tuple[str, ...]] = {
    "multiformats": ("unit/test_multiformats_*.py", "property/test_multiformats_*.py"),
    "ipld": ("unit/test_ipld_*.py", "property/test_ipld_*.py"),
    "identity": ("unit/test_identity.py", DECODERS),
    "unixfs": ("unit/test_unixfs_*.py", "property/test_unixfs_*.py"),
    "ipns": ("unit/test_ipns_*.py", DECODERS),
    "exchange": ("unit/test_exchange_*.py", *TRANSFERS),
    "bitswap": ("unit/test_bitswap_*.py", DECODERS, *TRANSFERS),
    "kad": ("unit/test_kad_*.py", DECODERS, "sim/test_sim_kad_*.py", "sim/test_sim_announce.py"),
    "autotls": ("unit/test_autotls_*.py", "property/test_autotls_properties.py"),
    "pinning": ("unit/test_pinning_*.py",),
    "routing": ("unit/test_routing*.py",),
    "denylist": ("unit/test_denylist*.py", "property/test_denylist*.py"),
    "pubsub": ("unit/test_pubsub_*.py", "property/test_pubsub_properties.py", "sim/test_sim_pubsub*.py"),
    "libp2p/protocols": ("unit/test_libp2p_*.py", "property/test_nat_pmp_properties.py", DECODERS),
}
"""Pure package -> its own tests, as patterns below tests/."""

OPTIONAL = {"ipld/dag_cbor_native.py": "cbrrr"}
"""Module -> the package of an extra that it is for: without that most of it cannot run, and it has no floor."""


class Row(NamedTuple):
    """One module's figures."""

    module: str
    percent: float
    lines_missed: int
    branches_missed: int
    floor: float

    @property
    def below(self) -> bool:
        return self.percent < self.floor

    def __str__(self) -> str:
        mark = f"  below {self.floor:.0f}" if self.below else ""
        return f"{self.module:<42}{self.percent:>7.1f} %{self.lines_missed:>7}{self.branches_missed:>10}{mark}"


def own_tests(package: str) -> list[str]:
    """The files of its own tests. Each pattern must find some, lest a renamed file counts as tested by nothing."""
    files: list[str] = []
    for pattern in TESTS[package]:
        found = sorted(str(path) for path in (ROOT / "tests").glob(pattern))
        if not found:
            raise SystemExit(f"no tests are called tests/{pattern}: correct TESTS in {Path(__file__).name}")
        files += found
    return files


def floor_of(module: str) -> float:
    """0.0 for the modules that do input and output, and for those of an extra that is not installed."""
    drives = module.endswith("/service.py") or "/io/" in module
    lacking = module in OPTIONAL and find_spec(OPTIONAL[module]) is None
    return 0.0 if drives or lacking else FLOOR


def rows_of(report: dict[str, dict[str, dict[str, dict[str, float]]]]) -> list[Row]:
    """From coverage.py's JSON report; modules without a statement are left out."""
    rows = []
    for name, found in report["files"].items():
        summary = found["summary"]
        if summary["num_statements"]:
            module = Path(name).resolve().relative_to(SOURCE).as_posix()
            missed = int(summary["missing_lines"]), int(summary["missing_branches"])
            rows.append(Row(module, summary["percent_covered"], *missed, floor_of(module)))
    return rows


def measure(package: str, scratch: Path) -> list[Row]:
    """Run a package's own tests under coverage. Ends the program if they fail."""
    data, report = scratch / "coverage", scratch / "report.json"
    base = [sys.executable, "-m", "coverage"]
    options = ["--branch", f"--data-file={data}", f"--source={SOURCE / package}"]
    # coverage makes everything slower, so pytest's limit of time for one test is wider
    tests = ["-m", "pytest", "--timeout=600", "-p", "no:cacheprovider", *own_tests(package)]
    if subprocess.run([*base, "run", *options, *tests], cwd=ROOT, stdout=sys.stderr).returncode:
        raise SystemExit(f"the tests of {package} fail: no figures")
    subprocess.run([*base, "json", "--quiet", f"--data-file={data}", "-o", report], cwd=ROOT, check=True)
    return rows_of(json.loads(report.read_text()))


def main(packages: list[str]) -> int:
    if unknown := [name for name in packages if name not in TESTS]:
        raise SystemExit(f"unknown package {', '.join(unknown)}: known are {', '.join(TESTS)}")
    rows: list[Row] = []
    for package in packages or TESTS:
        with tempfile.TemporaryDirectory() as scratch:
            rows += measure(package, Path(scratch))
    print(f"{'module':<42}{'covered':>9}{'lines':>7}{'branches':>10}")
    print(*sorted(rows, key=lambda row: (row.percent, row.module)), sep="\n")
    below = [row.module for row in rows if row.below]
    if below:
        print(f"{len(below)} of {len(rows)} modules are below {FLOOR:.0f} %: {', '.join(below)}")
    return 1 if below else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
