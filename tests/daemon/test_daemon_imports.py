"""What a command line imports when a daemon does the work: the start is most of what a small command takes."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from peers.cidery_daemon import CideryDaemon

FOREIGN = (
    "asyncio",
    "aiohttp",
    "cryptography",
    "lmdb",
    "numpy",
    "rich",
    "ssl",
    "dataclasses",
    "urllib",
    "logging",
    *("pathlib", "threading", "socket", "selectors"),
)
"""Packages that no client of a daemon needs."""
OWN = {
    "cidery",
    "cidery.cli",
    "cidery.client",
    "cidery.commands",
    "cidery.errors",
    "cidery.http",
    "cidery.light_types",
    "cidery.node",
    "cidery.plain_files",
    "cidery.version",
}
"""The parts of Cidery that a client is made of; of node and http it is what ONLY names."""
ONLY = {"cidery.node.location", "cidery.http.authorization"}
WRITES_A_TREE = {
    "cidery.core",
    "cidery.unixfs",
    "cidery.blockstore",
    "cidery.disk",
    "cidery.repo",
    "cidery.multiformats",
}
"""What `get` needs besides: it writes what it is sent below a target, keeps a record of it, and unpacks TAR."""
MAY_IMPORT: dict[str, set[str]] = {
    "add": set(),
    "block get": set(),
    "block put": set(),
    "block stat": set(),
    "cat": set(),
    "config show": set(),
    "files ls": set(),
    "files read": set(),
    "files stat": set(),
    "files write": set(),
    "get": WRITES_A_TREE,
    "id": set(),
    "key ls": set(),
    "ls": set(),
    "pin add": set(),
    "pin ls": set(),
    "refs": set(),
    "repo stat": set(),
    "resolve": set(),
    "swarm peers": set(),
}
"""Command -> parts of Cidery that it may import beside OWN."""

LATER = {"content", "fs", "kubo", "methods", "pinning", "pubsub", "testing", "webui"}
"""Parts of Cidery that a daemon imports after its first answer, if at all."""
OF_GATEWAYS = {"cidery.gateway.counters", "cidery.gateway.exposure", "cidery.gateway.worker_metrics"}
"""What a start needs of the gateway: its counters, and what is said of it."""
LATER_FOREIGN = {"aiohttp", "email", "fsspec", "h2", "html", "http", "multiprocessing", "numpy", "qh3", "rich", "xml"}


SHOW = (
    "import sys\nfrom cidery.cli.main import main\ncode = main(sys.argv[1:])\n"
    "print(code, *sys.modules, file=sys.stderr)"
)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CideryDaemon]:
    with CideryDaemon(tmp_path_factory.mktemp("imports") / "node") as made:
        yield made


def _words(command: str, folder: Path, daemon: CideryDaemon) -> list[str]:
    (folder / "file").write_bytes(b"a few bytes")
    file = str(folder / "file")
    cid = daemon.run("add", "-Q", file).strip()
    daemon.run("files", "write", "--create", "/note", file)
    arguments = {
        "add": ["-Q", file],
        "block put": [file],
        "files write": ["--create", "/note", file],
        "files read": ["/note"],
        "files stat": ["/"],
        "get": ["-o", str(folder / "got"), cid],
    }
    takes_cid = command in ("block get", "block stat", "cat", "ls", "pin add", "refs", "resolve")
    return [*command.split(), *arguments.get(command, [cid] if takes_cid else [])]


@pytest.mark.parametrize("command", MAY_IMPORT)
def test_a_client_of_a_daemon_imports_what_the_table_says(command: str, tmp_path: Path, daemon: CideryDaemon) -> None:
    _, environment = daemon.command()
    words = _words(command, tmp_path, daemon)
    done = subprocess.run(
        [sys.executable, "-c", SHOW, *words], env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=True
    )
    code, *modules = done.stderr.decode().splitlines()[-1].split()
    assert code == "0"
    parts = {".".join(name.split(".")[:2]) for name in modules if name.split(".")[0] == "cidery"}
    assert parts - OWN <= MAY_IMPORT[command]
    assert {name for name in modules if name.startswith(("cidery.node.", "cidery.http."))} <= ONLY
    assert not {name.split(".")[0] for name in modules} & set(FOREIGN)
    if command not in ("get", "refs"):  # a record of what is saved; values that may be errors
        assert not {"json", "re", "typing", "enum", "collections"} & set(modules)


def test_a_daemon_imports_the_gateway_and_what_is_used_later_after_its_first_answer(tmp_path: Path) -> None:
    environment = {**os.environ, "IPFS_PATH": str(tmp_path)}
    subprocess.run([sys.executable, "-m", "cidery", "init", "--profile=test"], env=environment, check=True)
    command = [sys.executable, "-X", "importtime", "-m", "cidery", "daemon"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as run:
        assert run.stdout is not None
        try:
            modules = set()
            for line in run.stdout:
                if line.startswith("RPC API server listening"):
                    break
                if line.startswith("import time:"):
                    modules.add(line.rpartition("|")[2].strip())
        finally:
            run.terminate()
            run.stdout.read()
    own = {name for name in modules if name.startswith("cidery.")}
    assert "cidery.rpc.server" in own
    assert not {name.split(".")[1] for name in own} & LATER
    assert {name for name in own if name.startswith("cidery.gateway.")} <= OF_GATEWAYS
    assert not {name.split(".")[0] for name in modules} & LATER_FOREIGN
