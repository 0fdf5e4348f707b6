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


def test_json_has_no_blanks_for_scripts_that_search_it(run: Run, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("hello\n")
    added = run("add", "--enc=json", "f").out
    assert '"Hash":"' in added and ", " not in added and ": " not in added


def test_the_identity_is_indented_by_tabs(run: Run) -> None:
    assert '\n\t"ID": "12D3KooW' in run("id").out


def test_every_link_of_ls_has_a_mode_and_a_time_in_gos_form(run: Run, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "d").mkdir(parents=True)
    (tree / "f").write_text("x")
    cid = run("add", "-rQ", "tree").out.strip()
    bare = run("ls", "--enc=json", cid).json["Objects"][0]["Links"]
    assert [(link["Name"], link["Mode"], link["ModTime"]) for link in bare] == [
        ("d", 0, "0001-01-01T00:00:00Z"),
        ("f", 0, "0001-01-01T00:00:00Z"),
    ]
    assert " - d/" in run("ls", "--long", cid).out
    (tree / "f").chmod(0o644)
    (tree / "d").chmod(0o1755)
    cid = run("add", "-rQ", "--preserve-mode", "--mtime=1603539720", "tree").out.strip()
    full = run("ls", "--enc=json", cid).json["Objects"][0]["Links"]
    assert [(link["Mode"], link["ModTime"]) for link in full] == [
        (1 << 31 | 1 << 20 | 0o755, "2020-10-24T11:42:00Z"),
        (0o644, "2020-10-24T11:42:00Z"),
    ]
    assert run("ls", "--long", cid).out.startswith("drwxr-xr-x ")


def test_a_pin_always_has_a_name_in_the_json(run: Run, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("hello\n")
    cid = run("add", "-Q", "--pin-name=mine", "f").out.strip()
    assert run("pin", "ls", "--enc=json").json == {"Keys": {cid: {"Type": "recursive", "Name": ""}}}
    assert run("pin", "ls", "--names", "--enc=json").json == {"Keys": {cid: {"Type": "recursive", "Name": "mine"}}}


def test_an_object_below_a_pin_is_indirect_also_when_it_is_pinned_itself(run: Run, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").write_text("hello\n")
    root = run("add", "-rQ", "d").out.strip()
    leaf = run("add", "-Q", "--pin=false", "d/f").out.strip()
    run("pin", "add", "--recursive=false", leaf)
    assert run("pin", "ls", leaf).out == f"{leaf} direct\n"
    assert run("pin", "ls", "--type=indirect", leaf).out == f"{leaf} indirect through {root}\n"
    assert run("pin", "ls", "--type=indirect", root).code == 1


def test_options_are_listed_by_their_bare_names_in_json_and_as_they_are_typed_in_text(run: Run) -> None:
    tree = run("commands", "--flags", "--enc=json").json
    add = next(node for node in tree["Subcommands"] if node["Name"] == "add")
    assert {"Names": ["recursive", "r"]} in add["Options"]
    lines = run("commands", "--flags").out.splitlines()
    assert "cidery add --recursive" in lines and "cidery add -r" in lines
