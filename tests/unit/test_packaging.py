"""What is shipped says the same everywhere."""

import subprocess
import sys
import tomllib
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import pytest

import cidery

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_version_is_the_same_in_the_project_file_and_in_the_package():
    assert PROJECT["version"] == cidery.__version__


def test_the_installed_metadata_have_that_version_too():
    assert version("cidery") == cidery.__version__


def test_the_types_are_shipped():
    assert files("cidery").joinpath("py.typed").is_file()
    assert (
        "py.typed"
        in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["cidery"]
    )


def test_the_fixtures_of_the_gateway_check_are_shipped_with_their_licences():
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["cidery"]
    shipped = {path for pattern in patterns for path in (ROOT / "src" / "cidery").glob(pattern) if path.is_file()}
    folder = ROOT / "src" / "cidery" / "gateway" / "check" / "fixtures"
    assert {path for path in folder.rglob("*") if path.is_file()} <= shipped
    assert {folder / "LICENSE-MIT", folder / "LICENSE-APACHE"} <= shipped


def test_the_licences_named_in_the_project_file_are_there():
    assert all((ROOT / name).is_file() for name in PROJECT["license-files"])


def test_the_command_runs_as_a_module_and_prints_the_version():
    done = subprocess.run([sys.executable, "-m", "cidery", "version", "-n"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == cidery.__version__


def test_the_file_systems_are_entry_points_and_their_needs_an_extra():
    points = PROJECT["entry-points"]["fsspec.specs"]
    assert set(points) == {"ipfs", "ipns", "cidery"}
    assert any(need.startswith("fsspec") for need in PROJECT["optional-dependencies"]["fs"])
    fs = pytest.importorskip("cidery.fs", reason="fsspec is not installed: pip install 'cidery[fs]'")
    for protocol, target in points.items():
        module, _, name = target.partition(":")
        assert (
            module == "cidery.fs"
            and getattr(fs, name) is fs.CLASSES[protocol]
            and fs.CLASSES[protocol].protocol == protocol
        )


def test_without_fsspec_the_import_says_what_to_install():
    program = "import sys; sys.modules['fsspec'] = None; import cidery.fs"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stderr.strip().endswith("pip install 'cidery[fs]'")
