"""What scripts written for Kubo see: exit codes, text and JSON of the command line on one new repository."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cidery.cli.main import main


class Ran(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Ran]


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return tmp_path / "repo"


@pytest.fixture
def run(repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.setenv("CIDERY_PATH", str(repo))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", None)

    def invoke(*words: str | Path) -> Ran:
        capfd.readouterr()
        code = main([str(word) for word in words])
        sys.stdout.flush()
        return Ran(code, *capfd.readouterr())

    assert invoke("init", "--profile=test").code == 0
    return invoke


def test_null_is_a_value_of_the_config(run: Run) -> None:
    assert run("config", "--json", "Swarm.AddrFilters", "null") == (0, "", "")
    assert run("config", "Swarm.AddrFilters") == (0, "null\n", "")
    assert run("config", "--enc=json", "Gateway.RootRedirect").json == {"Key": "Gateway.RootRedirect", "Value": None}


def test_a_misspelt_key_is_not_stored(run: Run, repo: Path) -> None:
    before = (repo / "config").read_bytes()
    ran = run("config", "Swarm.ConnMgr.HighWatr", "5")
    assert ran.code == 1 and "did you mean Swarm.ConnMgr.HighWater" in ran.err
    assert (repo / "config").read_bytes() == before


def test_a_profile_keeps_the_config_as_it_was(run: Run, repo: Path) -> None:
    before = (repo / "config").read_bytes()
    assert run("config", "profile", "apply", "--dry-run", "lowpower").code == 0
    assert not list(repo.glob("config-pre-*"))
    assert run("config", "profile", "apply", "lowpower").code == 0
    (kept,) = repo.glob("config-pre-lowpower-*")
    assert kept.read_bytes() == before != (repo / "config").read_bytes()
    assert kept.stat().st_mode & 0o777 == 0o600
    assert run("config", "profile", "apply", "none-such").code == 1
    assert len(list(repo.glob("config-pre-*"))) == 1


def test_the_shown_config_has_the_section_of_experiments(run: Run) -> None:
    assert run("config", "show").json["Experimental"]["FilestoreEnabled"] is False
    assert run("config", "--json", "Experimental.FilestoreEnabled", "true").code == 0
    shown = run("config", "show").json["Experimental"]
    assert shown["FilestoreEnabled"] is True and shown["P2pHttpProxy"] is False
