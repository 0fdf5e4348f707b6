"""Commands of Kubo's that are not here, and those that concern the machine."""

import errno
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from cidery.commands.context import Context
from cidery.commands.definition import Call
from cidery.commands.definitions.later import REASONS
from cidery.commands.definitions.machine import COMMANDS
from cidery.node import checkup


def cidery(*words: str, repo: Path, code: int = 0) -> str:
    """What a command line prints, both streams."""
    environment = os.environ | {"CIDERY_PATH": str(repo), "PATH": os.environ.get("PATH", "")}
    command = [sys.executable, "-m", "cidery", *words]
    done = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    cidery("init", "--profile=test", repo=tmp_path / "repo")
    return tmp_path / "repo"


@pytest.mark.parametrize("path", [("p2p", "ls"), ("mount",), ("version", "check")])
def test_a_command_that_is_not_here_says_what_to_do_instead(path: tuple[str, ...], tmp_path: Path) -> None:
    assert f"Error: {REASONS[path]}\n" in cidery(*path, repo=tmp_path, code=1)
    assert REASONS[path][1:] in cidery(*path, "--help", repo=tmp_path)


@pytest.mark.parametrize(
    ("shell", "ask"),
    [
        ("fish", 'source {script}; complete -C "cidery pin a"; complete -C "cidery pin add bafy --rec"'),
        (
            "zsh",
            "autoload -U compinit; compinit -u -D; source {script};"
            "compadd() {{ shift; print -r -- $@ }}; _files() {{ }};"
            "words=(cidery pin a); CURRENT=3; _cidery; words=(cidery pin add --rec); CURRENT=4; _cidery",
        ),
    ],
)
def test_other_shells_complete_commands_and_options(shell: str, ask: str, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text(cidery("commands", "completion", shell, repo=tmp_path))
    assert "cidery" in script.read_text()
    if shutil.which(shell) is None:
        pytest.skip(f"needs {shell}")
    flags = ["-f"] if shell == "zsh" else []
    command = [shell, *flags, "-c", ask.format(script=script)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert {"add", "--recursive"} <= set(done.stdout.split())


def test_a_program_of_another_name_is_the_same(tmp_path: Path) -> None:
    made = cidery("install-as", "ipfs", "--to", str(tmp_path), repo=tmp_path / "repo")
    assert made.startswith(f"{tmp_path}/ipfs\n")
    done = subprocess.run([tmp_path / "ipfs", "version", "-n"], capture_output=True, text=True, check=True)
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*\n", done.stdout)
    assert cidery("install-as", "ipfs", "--to", str(tmp_path), repo=tmp_path / "repo"), "a second time is no error"


def test_another_program_is_not_replaced_unless_one_insists(tmp_path: Path) -> None:
    (tmp_path / "ipfs").write_text("mine")
    told = cidery("install-as", "ipfs", "--to", str(tmp_path), repo=tmp_path, code=1)
    assert "exists and is another program" in told and (tmp_path / "ipfs").read_text() == "mine"
    cidery("install-as", "ipfs", "--force", "--to", str(tmp_path), repo=tmp_path)
    assert "cidery" in (tmp_path / "ipfs").read_text()


@pytest.mark.parametrize("name", ["../ipfs", "", "a b", "-f"])
def test_a_name_leads_nowhere_else(name: str, tmp_path: Path) -> None:
    assert "Error" in cidery("install-as", "--to", str(tmp_path), "--", name, repo=tmp_path, code=1)
    assert list(tmp_path.iterdir()) == []


def checked(repo: Path, code: int = 0) -> dict[str, list[dict[str, str]]]:
    """What doctor says, by what it is about."""
    told = cidery("doctor", "--enc=json", repo=repo, code=code)
    lines = [json.loads(line) for line in told.splitlines() if line.startswith("{")]
    return {about: [line for line in lines if line["About"] == about] for about in {line["About"] for line in lines}}


def test_a_sound_machine_has_no_problem(repo: Path) -> None:
    found = checked(repo)
    assert {"program", "repository", "clock", "disk", "open files", "daemon"} <= found.keys()
    assert all(line["State"] != "problem" for lines in found.values() for line in lines)


def test_a_readable_key_is_a_problem(repo: Path) -> None:
    (repo / "config").chmod(0o644)
    (found,) = checked(repo, code=1)["private key"]
    assert found["Advice"] == f"chmod 600 {repo / 'config'}"


@pytest.mark.parametrize("form", ["", "/ws"])
def test_a_port_that_another_program_has_is_a_problem(repo: Path, form: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        cidery("config", "--json", "Addresses.Swarm", json.dumps([f"/ip4/127.0.0.1/tcp/{port}{form}"]), repo=repo)
        (found,) = checked(repo, code=1)["swarm"]
        assert "taken by another program" in found["Text"]


def unlent() -> tuple[socket.socket, int]:
    """A bound UDP socket, at a port that the system lends to nobody who asks for any, for TCP neither."""
    for port in range(20_000, 32_000):
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            made.bind(("127.0.0.1", port))
            with socket.create_server(("127.0.0.1", port)):
                return made, port
        except OSError:
            made.close()
    raise AssertionError("no port is free")


def test_a_udp_port_that_another_program_has_is_a_problem_for_quic(repo: Path) -> None:
    other, port = unlent()
    with other:
        addrs = [f"/ip4/127.0.0.1/udp/{port}/quic-v1", f"/ip4/127.0.0.1/tcp/{port}"]
        cidery("config", "--json", "Addresses.Swarm", json.dumps(addrs), repo=repo)
        quic, tcp = checked(repo, code=1)["swarm"]
        assert "taken by another program" in quic["Text"] and tcp["State"] == "ok"


def test_a_clock_that_is_behind_is_a_problem(repo: Path) -> None:
    later = (repo / "config").stat().st_mtime + 1e6
    os.utime(repo / "version", (later, later))
    (found,) = checked(repo, code=1)["clock"]
    assert "earlier than files of the repository" in found["Text"]


async def test_a_check_that_cannot_be_made_is_named_and_the_others_go_on(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(errno.EACCES, "not for you", str(path))

    monkeypatch.setattr(checkup.shutil, "disk_usage", refuse)
    call = Call(COMMANDS[0], {}, {"offline": True}, frozenset())
    found: dict[str, str] = {}
    with pytest.raises(checkup.Problems):
        async for one in checkup.doctor(Context.outside(str(repo)), call):
            found[one["About"]] = one["Text"]
    assert found["disk"] == "cannot be looked at: not for you" and "daemon" in found


def test_a_broken_config_is_named_and_the_rest_is_looked_at(repo: Path) -> None:
    (repo / "config").write_text("{")
    found = checked(repo, code=1)
    assert "not JSON" in found["config"][0]["Text"] and "clock" in found


EMPTY = "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn"


def test_links_are_added_and_removed_as_kubo_does(repo: Path, tmp_path: Path) -> None:
    (tmp_path / "folder" / "sub").mkdir(parents=True)
    (tmp_path / "folder" / "sub" / "file").write_bytes(b"content\n")
    (tmp_path / "folder" / "other").write_bytes(b"other\n")
    options = ["--cid-version=0", "--raw-leaves=false", "-Q"]
    whole = cidery("add", "-r", *options, str(tmp_path / "folder"), repo=repo).strip()
    file, other = (
        cidery("add", *options, str(tmp_path / "folder" / name), repo=repo).strip() for name in ("sub/file", "other")
    )
    cidery("add", "-r", "-Q", "--cid-version=0", str(tmp_path / "empty"), repo=repo, code=1)
    (tmp_path / "empty").mkdir()
    assert cidery("add", "-r", "-Q", "--cid-version=0", str(tmp_path / "empty"), repo=repo).strip() == EMPTY
    said = cidery("object", "patch", "add-link", EMPTY, "other", other, repo=repo)
    step = said.splitlines()[0]
    made = cidery("object", "patch", "add-link", "-p", step, "sub/file", file, repo=repo).splitlines()[0]
    assert made == whole and "deprecated" in said
    back = cidery("object", "patch", "rm-link", made, "sub", repo=repo).splitlines()[0]
    assert back == step


def test_a_patch_that_cannot_be_made_stores_nothing(repo: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    cid = cidery("add", "-Q", "--raw-leaves=false", "--cid-version=0", str(tmp_path / "file"), repo=repo).strip()
    before = cidery("refs", "local", repo=repo)
    assert "is a file, not a directory" in cidery("object", "patch", "add-link", cid, "a", cid, repo=repo, code=1)
    assert "has no link 'no'" in cidery(
        "object", "patch", "rm-link", "--allow-non-unixfs", cid, "no", repo=repo, code=1
    )
    assert "give a name" in cidery("object", "patch", "add-link", cid, "//", cid, repo=repo, code=1)
    assert cidery("refs", "local", repo=repo) == before


def test_the_doctor_says_what_fsspec_is_for_when_it_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)  # as if it were not installed
    [told] = checkup.who_answers_fsspec()
    assert told["State"] == "note" and "not installed" in told["Text"] and "cidery[fs]" in told["Advice"]
