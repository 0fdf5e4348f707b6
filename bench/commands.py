"""How long small commands take, as whole processes: medians above `python -c pass` of the same run, in milliseconds.

    python bench/commands.py [--runs 15] [--kubo /path/to/ipfs]

Three tables: without a daemon; through a running daemon, beside Kubo where an `ipfs` is found;
and a daemon's start, first answer and stop. Exits 1 if a target is missed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CIDERY = [str(Path(sys.executable).with_name("cidery"))]
CONFIG, READ, WRITE, CLIENT = 40, 90, 130, 35
"""Targets in ms above a bare Python: a command that needs the config only, reads, writes; through a daemon."""
START, STOP = 300, 200


def once(words: list[str], env: dict[str, str]) -> float:
    began = time.perf_counter()
    done = subprocess.run(words, env=env, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    took = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}: {done.stderr.decode().strip()}")
    return took * 1000


def median(words: list[str], env: dict[str, str], runs: int) -> float:
    once(words, env)  # files into the page cache
    return statistics.median(once(words, env) for _ in range(runs))


def rows(cid: str, file: str) -> list[tuple[str, list[str], int]]:
    """(name, words, target without a daemon)."""
    return [
        ("config show", ["config", "show"], CONFIG),
        ("config KEY", ["config", "Addresses.API"], CONFIG),
        ("id", ["id"], CONFIG),
        ("cat", ["cat", cid], READ),
        ("ls", ["ls", cid], READ),
        ("block get", ["block", "get", cid], READ),
        ("pin ls", ["pin", "ls"], READ),
        ("refs", ["refs", cid], READ),
        ("resolve", ["resolve", f"/ipfs/{cid}"], READ),
        ("repo stat", ["repo", "stat"], READ),
        ("get", ["get", "-o", f"{file}.out", cid], READ),
        ("add", ["add", "-Q", file], WRITE),
        ("pin add", ["pin", "add", cid], WRITE),
        ("files write", ["files", "write", "--create", "/note", file], WRITE),
        ("block put", ["block", "put", file], WRITE),
    ]


class Table:
    def __init__(self, title: str, base: float) -> None:
        print(f"\n{title}")
        self.base = base
        self.missed: list[str] = []

    def row(self, name: str, took: float, target: int, beside: float | None = None) -> None:
        above = took - self.base
        if above > target:
            self.missed.append(name)
        other = "" if beside is None else f"   Kubo +{beside - self.base:.0f}"
        print(f"  {name:14} +{above:4.0f} ms   target +{target}{' MISSED' if above > target else ''}{other}")


@contextmanager
def daemon(words: list[str], env: dict[str, str]) -> Iterator[None]:
    process = subprocess.Popen(words, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None  # Popen was asked for a pipe
    try:
        for line in process.stdout:
            if "Daemon is ready" in line:
                break
        yield
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def started(env: dict[str, str], api: Path) -> tuple[float, float]:
    """Milliseconds until a daemon answers its first call, and until it has stopped."""
    began = time.perf_counter()
    process = subprocess.Popen([*CIDERY, "daemon"], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while True:
        try:
            port = int(api.read_text().split("/")[4])
            with socket.create_connection(("127.0.0.1", port)) as call:
                call.sendall(b"POST /api/v0/id HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n")
                if call.recv(16):
                    break
        except (OSError, IndexError):
            time.sleep(0.001)
    ready = time.perf_counter()
    process.terminate()
    process.wait()
    return (ready - began) * 1000, (time.perf_counter() - ready) * 1000


def kubo_environment(kubo: str, folder: Path) -> dict[str, str]:
    """A repository of Kubo's that sends nothing off this machine."""
    env = {**os.environ, "IPFS_PATH": str(folder / "kubo")}
    once([kubo, "init", "--profile", "test"], env)
    for key, value in (("Bootstrap", "null"), ("Discovery.MDNS.Enabled", "false"), ("Routing.Type", '"none"')):
        once([kubo, "config", "--json", key, value], env)
    return env


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--kubo", default=shutil.which("ipfs"), help="an ipfs to run beside (default: the one in PATH)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        env = {**os.environ, "CIDERY_PATH": str(folder / "repo")}
        file = folder / "file"
        file.write_bytes(os.urandom(1000))
        once([*CIDERY, "init", "--profile", "test"], env)
        cid = subprocess.run([*CIDERY, "add", "-Q", str(file)], env=env, capture_output=True, text=True).stdout.strip()
        missed = measure(options.runs, options.kubo, folder, env, file, cid)
    print(f"\nmissed: {', '.join(missed) or 'none'}")
    return 1 if missed else 0


def measure(runs: int, kubo: str | None, folder: Path, env: dict[str, str], file: Path, cid: str) -> list[str]:
    base = median([sys.executable, "-c", "pass"], env, runs)
    print(f"python -c pass: {base:.1f} ms")
    alone = Table("without a daemon", base)
    alone.row("--help", median([*CIDERY, "--help"], env, runs), 25)
    alone.row("import cidery", median([sys.executable, "-c", "import cidery"], env, runs), 8)
    opening = f"import cidery; cidery.open({str(folder / 'repo')!r}).close()"
    alone.row("cidery.open()", median([sys.executable, "-c", opening], env, runs), 110)
    for name, words, target in rows(cid, str(file)):
        alone.row(name, median([*CIDERY, *words], env, runs), target)
    through = Table("through a daemon", base)
    theirs: dict[str, float] = {}
    if kubo:
        other = kubo_environment(kubo, folder)
        with daemon([kubo, "daemon"], other):
            added = subprocess.run([kubo, "add", "-Q", str(file)], env=other, capture_output=True, text=True)
            for name, words, _ in rows(added.stdout.strip(), str(file)):
                theirs[name] = median([kubo, *words], other, runs)
    with daemon([*CIDERY, "daemon"], env):
        for name, words, _ in rows(cid, str(file)):
            through.row(name, median([*CIDERY, *words], env, runs), CLIENT, theirs.get(name))
    times = [started(env, folder / "repo" / "api") for _ in range(max(3, runs // 3))]
    whole = Table("a daemon, whole times", 0.0)
    whole.row("first answer", statistics.median(first for first, _ in times), START)
    whole.row("stop", statistics.median(last for _, last in times), STOP)
    return alone.missed + through.missed + whole.missed


if __name__ == "__main__":
    sys.exit(main())
