"""Run the unit tests on each other interpreter that is there: python other_pythons.py 3.12 3.13

An interpreter counts as there when it is on the PATH, or one of pyenv's, and really starts. Each gets an environment
of its own, .venv-py3.X; those that are not there are named and skipped.
"""

import glob
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TESTS = "tests/unit"
"""The property tests and simulations are about logic, not about the interpreter: once is enough."""
ONCE = (
    *("killed", "processes", "crash_replay", "bombs", "torture", "crowd", "gateway_check", "methods_types"),
    *("bandwidth", "exchange_session", "turns", "list_pages", "retrieval_gateways", "examples", "test_pages", "readme"),
)
"""Likewise what is about files and processes that end, about limits, tables, types and documents: minutes, and the same
on each interpreter."""


def find(version: str) -> str | None:
    """A command that starts Python ``version``."""
    pyenv = os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv"))
    installed = glob.glob(f"{pyenv}/versions/{version}.*/bin/python{version}")
    for candidate in (shutil.which(f"python{version}"), *sorted(installed, reverse=True)):
        if candidate and _starts(candidate, version):
            return candidate
    return None


def _starts(command: str, version: str) -> bool:
    """Whether this is that version with all that an environment needs: a shim of pyenv may lead nowhere."""
    wanted = tuple(int(part) for part in version.split("."))
    code = f"import ensurepip, ssl, sqlite3, sys, venv; sys.exit(sys.version_info[:2] != {wanted})"
    return subprocess.run([command, "-c", code], capture_output=True, check=False).returncode == 0


def run(version: str, interpreter: str) -> int:
    """Exit code of the tests on ``interpreter``."""
    venv = ROOT / f".venv-py{version}"
    python = venv / "bin" / "python"
    stamp, project = venv / ".ready", ROOT / "pyproject.toml"
    if not stamp.exists() or stamp.stat().st_mtime < project.stat().st_mtime:
        print(f"Python {version}: installing into {venv.name}", flush=True)
        for command in (
            [interpreter, "-m", "venv", str(venv)],
            [str(python), "-m", "pip", "install", "--quiet", "--editable", ".[test]"],
            [str(python), "-m", "compileall", "-q", "src"],  # see the Makefile: tests start hundreds of processes
        ):
            if subprocess.run(command, cwd=ROOT, check=False).returncode:
                print(f"Python {version}: the installation failed (above)", file=sys.stderr)
                return 1
        stamp.touch()
    print(f"Python {version}: unit tests", flush=True)
    command = [str(python), "-m", "pytest", "-p", "no:cacheprovider", "-n", "2", "--dist", "loadfile", TESTS]
    command += [f"--ignore-glob={TESTS}/*{part}*" for part in ONCE]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def main() -> int:
    failed = 0
    for version in sys.argv[1:]:
        if version == f"{sys.version_info[0]}.{sys.version_info[1]}":
            continue
        interpreter = find(version)
        if interpreter is None:
            print(f"Python {version}: not on this machine, skipped")
        else:
            failed |= run(version, interpreter)
    return failed


sys.exit(main())
