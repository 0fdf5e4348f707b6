"""Commands that read a repository without an event loop, whose import is a third of a short command's time."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cidery.commands.registry import all_commands

LOOPLESS = {command.name for command in all_commands() if command.loopless}
FORBIDDEN = ("asyncio", "logging", "ssl", "subprocess", "cryptography", "aiohttp", "concurrent.futures")
SHOW = (
    "import sys\nfrom cidery.cli.main import main\ncode = main(sys.argv[1:])\nsys.stdout.flush()\n"
    "print(code, *sys.modules, file=sys.stderr)"
)
ARGUMENTS = {
    "add": ["{data}/small", "{data}/other", "-w", "--pin-name=both"],
    "block get": ["{cid}"],
    "block put": ["{data}/small", "{data}/other", "--pin"],
    "block stat": ["{cid}"],
    "cat": ["{root}/large"],
    "dag get": ["{root}"],
    "dag resolve": ["{root}/large"],
    "dag stat": ["{root}"],
    "files write": ["--create", "--parents", "/notes/{root}", "{data}/small"],
    "get": ["-o", "{data}/../got", "{root}"],
    "ls": ["{root}"],
    "pin add": ["{root}/large", "--progress"],
    "pin ls": [],
    "refs": ["-r", "{root}"],
    "refs local": [],
    "repo ls": [],
    "repo stat": [],
    "resolve": ["/ipfs/{root}/large"],
}
"""Command -> what it is given; every command of the kind has a row."""


def cidery(repo: Path, *words: str, timeout: float = 60.0) -> tuple[str, list[str]]:
    """What a command line prints, and the modules that it imported."""
    environment = os.environ | {"CIDERY_PATH": str(repo)}
    command = [sys.executable, "-c", SHOW, *words]
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout)
    *told, last = done.stderr.decode().splitlines()
    code, *modules = last.split()
    return f"{code}\n{''.join(told)}\n{done.stdout.decode('latin-1')}", modules


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository ``repo``, and a folder of a small and a large file."""
    made = tmp_path_factory.mktemp("loopless")
    (made / "data").mkdir()
    (made / "data" / "small").write_bytes(b"a few bytes")
    (made / "data" / "other").write_bytes(b"other bytes")
    (made / "data" / "large").write_bytes(bytes(range(256)) * 20_000)
    cidery(made / "repo", "init", "--profile=test")
    return made


@pytest.fixture(scope="module")
def root(folder: Path) -> str:
    return cidery(folder / "repo", "add", "-Qr", str(folder / "data"))[0].split()[-1]


def test_each_of_them_has_a_row_here() -> None:
    assert set(ARGUMENTS) == LOOPLESS


@pytest.mark.parametrize("command", sorted(ARGUMENTS))
def test_it_prints_without_a_loop_what_it_prints_with_one(command: str, folder: Path, root: str) -> None:
    repo = folder / "repo"
    cid = cidery(repo, "resolve", f"/ipfs/{root}/small")[0].split("/")[-1].strip()
    words = [*command.split(), *(word.format(root=root, cid=cid, data=folder / "data") for word in ARGUMENTS[command])]
    alone, modules = cidery(repo, *words)
    in_a_loop, with_asyncio = cidery(repo, *words, "--timeout=1m")
    assert alone == in_a_loop and alone.startswith("0")
    assert not set(FORBIDDEN) & set(modules)
    assert "asyncio" in with_asyncio


def test_a_name_is_looked_up_with_a_loop(folder: Path) -> None:
    name = cidery(folder / "repo", "id", "-f", "<id>")[0].split()[-1]
    told, modules = cidery(folder / "repo", "cat", f"/ipns/{name}")
    assert told.startswith("1") and "asyncio" in modules


def test_what_is_missing_is_reported_with_who_could_fetch_it(folder: Path) -> None:
    absent = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"
    told, modules = cidery(folder / "repo", "cat", absent)
    assert f"{absent} is not stored here; start the daemon" in told and "asyncio" not in modules


def test_content_that_lies_in_a_file_is_read_and_a_changed_file_is_named(folder: Path, tmp_path: Path) -> None:
    repo, file = tmp_path / "repo", tmp_path / "file"
    file.write_bytes(b"stays where it is")
    cidery(repo, "init", "--profile=test")
    cidery(repo, "config", "--bool", "Experimental.FilestoreEnabled", "true")
    cid = cidery(repo, "add", "-Q", "--nocopy", str(file))[0].split()[-1]
    told, modules = cidery(repo, "cat", cid)
    assert told.endswith("stays where it is") and "asyncio" not in modules
    file.write_bytes(b"is something else")
    assert str(file) in cidery(repo, "cat", cid)[0]


def test_what_is_denied_is_refused(tmp_path: Path) -> None:
    repo, file = tmp_path / "repo", tmp_path / "file"
    file.write_bytes(b"not to be read")
    cidery(repo, "init", "--profile=test")
    cid = cidery(repo, "add", "-Q", str(file))[0].split()[-1]
    (repo / "denylists").mkdir(exist_ok=True)
    (repo / "denylists" / "own.deny").write_text(f"version: 1\n---\n/ipfs/{cid}\n")
    told, modules = cidery(repo, "cat", cid)
    assert told.startswith("1") and "is denied on this node" in told
    assert "asyncio" not in modules


def test_an_interrupt_ends_it_at_once(folder: Path, root: str) -> None:
    environment = os.environ | {"CIDERY_PATH": str(folder / "repo")}
    command = [sys.executable, "-m", "cidery", "cat", f"{root}/large"]
    running = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert running.stdout is not None and running.stdout.read(1)  # it has begun, and waits for a reader of the rest
    running.send_signal(signal.SIGINT)
    told = running.communicate(timeout=30)[1]
    assert running.returncode == 130 and b"Traceback" not in told
