"""Commands of several targets do all or nothing, or say what they did; who may not write is told in a line."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from cidery.cli.main import main
from cidery.libp2p.protocols.pnet import BadSwarmKey
from cidery.node.swarm_key import read_swarm_key
from cidery.repo.lock import RepoLock, RepoNotWritable


class Said(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    monkeypatch.setenv("CIDERY_PATH", str(tmp_path / "repo"))
    monkeypatch.setattr(sys, "stdin", None)

    def invoke(*words: str | Path) -> Said:
        capfd.readouterr()
        code = main([str(word) for word in words])
        sys.stdout.flush()
        return Said(code, *capfd.readouterr())

    invoke("init", "--profile=test")
    return invoke


def test_no_key_is_removed_when_one_of_them_is_not_there(run: Callable[..., Said]) -> None:
    run("key", "gen", "A")
    refused = run("key", "rm", "A", "nope")
    assert refused.code == 1 and "nope" in refused.err
    assert run("key", "ls").out.split() == ["self", "A"]
    assert run("key", "rm", "A", "A").out == "A\n"
    assert run("key", "ls").out.split() == ["self"]


def test_no_pin_is_removed_when_one_of_them_is_not_there(run: Callable[..., Said], tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    a = run("add", "-Q", tmp_path / "a").out.strip()
    b = run("add", "-Q", "--pin=false", tmp_path / "b").out.strip()
    refused = run("pin", "rm", a, b)
    assert refused.code == 1 and b in refused.err
    assert a in run("pin", "ls").out
    assert run("pin", "rm", a).code == 0 and a not in run("pin", "ls").out


def test_a_swarm_key_that_is_a_link_to_nothing_does_not_make_a_public_node(tmp_path: Path) -> None:
    assert read_swarm_key(tmp_path / "swarm.key") is None
    (tmp_path / "swarm.key").symlink_to(tmp_path / "unmounted" / "key")
    with pytest.raises(BadSwarmKey, match="a link to nothing"):
        read_swarm_key(tmp_path / "swarm.key")


def test_a_lock_that_cannot_be_made_is_told_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(RepoNotWritable, match="cannot be written: no such file"):
        RepoLock.acquire(tmp_path / "missing" / "repo.lock", "cidery add")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="needs root, to become another user")
def test_a_user_without_the_right_to_write_is_told_so(run: Callable[..., Said], tmp_path: Path) -> None:
    for path in (tmp_path, *tmp_path.parents):
        if path.name.startswith(("test_", "popen-", "pytest-")):
            path.chmod(0o755)
    commands = ["pin add bafkqaaa", "repo gc", "key gen x", "files mkdir -p /x", "repo compact", "swarm key"]
    for command in commands:
        run(*command.split())  # as root, which also imports what the other user may not read
    os.seteuid(65534)
    try:
        hidden = run(*commands[0].split())
        os.seteuid(0)
        for path in [tmp_path / "repo", *(tmp_path / "repo").rglob("*")]:
            path.chmod(0o755)
        os.seteuid(65534)
        said = [run(*command.split()) for command in commands]
    finally:
        os.seteuid(0)
    assert hidden.code == 1 and "permission denied; run this as the owner" in hidden.err and "bug" not in hidden.err
    assert said.pop().code == 0, "what needs no repository works"
    for one in said:
        assert one.code == 1 and "bug" not in one.err and len(one.err.splitlines()) == 1
        assert "cannot be written: permission denied" in one.err
