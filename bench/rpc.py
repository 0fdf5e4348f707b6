"""The RPC of a daemon: small answers, a crowd, a large upload, and a shell script beside Kubo.

    python bench/rpc.py [--gib 4] [--seconds 8] [--kubo /path/to/ipfs]

Everything on loopback, profile `test`. Exits 1 if a target is missed. Needs wrk for the first figure.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from commands import CIDERY, kubo_environment, once

CROWD = 1000
SMALL, SHARE, MEMORY = 9000.0, 0.8, 200.0
"""Targets: answers of 1 KiB a second, part of the speed of the command line's own add, MB."""
ROUNDS = 20
SCRIPT = """set -e
i=0
while [ $i -lt ROUNDS ]; do
  echo "content $i $$" > "$1/file"
  cid=$($IPFS add -Q "$1/file")
  $IPFS cat "$cid" > /dev/null
  $IPFS ls "$cid" > /dev/null
  $IPFS pin ls --type=recursive "$cid" > /dev/null
  $IPFS files write --create "/file$i" "$1/file"
  i=$((i+1))
done
"""
"""A hundred commands."""
LUA = 'wrk.method = "POST"\n'


@contextmanager
def daemon(words: list[str], env: dict[str, str], port: int = 0) -> Iterator[tuple[int, int]]:
    """(pid, port of its RPC)."""
    process = subprocess.Popen(words, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None  # Popen was asked for a pipe
    try:
        for line in process.stdout:
            if found := re.match(r"RPC API server listening on \S+/tcp/(\d+)", line):
                port = int(found[1])
            if "Daemon is ready" in line:
                break
        threading.Thread(target=process.stdout.read, daemon=True).start()
        yield process.pid, port
    finally:
        process.terminate()
        process.wait()


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def most_memory(pid: int) -> float:
    """Most MB that a process ever had, of its own: files that are mapped do not count."""
    found = re.search(r"RssAnon:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1000 if found else 0.0


class Report:
    def __init__(self) -> None:
        self.missed: list[str] = []

    def line(self, name: str, value: float, unit: str, target: float | None = None, *, least: bool = True) -> None:
        bad = target is not None and (value < target if least else value > target)
        if bad:
            self.missed.append(name)
        aim = "" if target is None else f"   target {'>=' if least else '<='} {target:g}{' MISSED' if bad else ''}"
        print(f"  {name:44} {value:10,.1f} {unit}{aim}", flush=True)


def small(report: Report, port: int, pid: int, cid: str, seconds: int, folder: Path) -> None:
    if shutil.which("wrk") is None:
        print("  no wrk: block/get is not measured")
        return
    (folder / "post.lua").write_text(LUA)
    url = f"http://127.0.0.1:{port}/api/v0/block/get?arg={cid}"
    before = cpu_seconds(pid)
    words = ["wrk", "-t1", "-c32", f"-d{seconds}", "-s", str(folder / "post.lua"), url]
    out = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    count, rate = re.search(r"(\d+) requests in", out), re.search(r"Requests/sec:\s+([\d.]+)", out)
    if count is None or rate is None or "Non-2xx" in out:
        raise SystemExit(f"wrk: {out}")
    report.line("block/get of 1 KiB, 32 connections", float(rate[1]), "/s", SMALL)
    report.line("  CPU of the daemon", (cpu_seconds(pid) - before) / int(count[1]) * 1e6, "us each")


async def crowd(port: int, targets: list[str]) -> tuple[int, float]:
    """(answers with status 200 and their end, seconds) of calls at the same time, each on its own connection."""

    async def one(target: str) -> bool:
        incoming, outgoing = await asyncio.open_connection("127.0.0.1", port)
        head = f"POST /api/v0/{target} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        outgoing.write(head.encode())
        answer = await incoming.read()
        outgoing.close()
        return answer.startswith(b"HTTP/1.1 200") and (answer.endswith(b"\r\n\r\n") or b"Content-Length" in answer)

    began = time.perf_counter()
    answers = await asyncio.gather(*(one(target) for target in targets))
    return sum(answers), time.perf_counter() - began


def upload(report: Report, env: dict[str, str], folder: Path, gib: int) -> None:
    """The same file by the command line alone, and as the body of a call."""
    big = folder / "big"
    piece = os.urandom(1 << 20)
    with big.open("wb") as file:
        for at in range(gib << 10):
            file.write(at.to_bytes(8, "big") + piece[8:])
    took: dict[str, tuple[float, float]] = {}
    try:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        began = time.perf_counter()
        once([*CIDERY, "add", "-Q", str(big)], {**env, "CIDERY_PATH": str(fresh(folder, "alone"))})
        now = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
        took["alone"] = time.perf_counter() - began, cpu
        shutil.rmtree(folder / "alone")
        repo = fresh(folder, "served")
        with daemon([*CIDERY, "daemon"], {**env, "CIDERY_PATH": str(repo)}) as (pid, port):
            peak: list[float] = []
            done = threading.Event()

            def watch() -> None:
                while not done.wait(0.2):
                    peak.append(most_memory(pid))

            threading.Thread(target=watch, daemon=True).start()
            before, began = cpu_seconds(pid), time.perf_counter()
            url = f"http://127.0.0.1:{port}/api/v0/add?quieter=true"
            subprocess.run(["curl", "-sf", "-o", os.devnull, "-F", f"file=@{big}", url], check=True)
            took["rpc"] = time.perf_counter() - began, cpu_seconds(pid) - before
            done.set()
        shutil.rmtree(repo)
    finally:
        big.unlink()
    for name, (seconds, cpu) in took.items():
        report.line(f"add of {gib} GiB, {name}", gib * 1024 / seconds, "MiB/s")
        report.line("  CPU", cpu, "s")
    report.line("  of the command line's speed", took["alone"][0] / took["rpc"][0], "", SHARE)
    report.line("  memory of the daemon", max(peak), "MB", MEMORY, least=False)


def fresh(folder: Path, name: str) -> Path:
    repo = folder / name
    once([*CIDERY, "init", "--profile", "test"], {**os.environ, "CIDERY_PATH": str(repo)})
    return repo


def script(words: str, env: dict[str, str], folder: Path) -> float:
    began = time.perf_counter()
    text = SCRIPT.replace("ROUNDS", str(ROUNDS))
    subprocess.run(["sh", "-c", text, "sh", str(folder)], env={**env, "IPFS": words}, check=True)
    return time.perf_counter() - began


def scripts(report: Report, env: dict[str, str], folder: Path, kubo: str | None) -> None:
    runs: dict[str, list[float]] = {"cidery": [], "kubo": []}
    for _ in range(3):
        repo = fresh(folder, "script")
        own = {**env, "CIDERY_PATH": str(repo)}
        with daemon([*CIDERY, "daemon"], own):
            runs["cidery"].append(script(CIDERY[0], own, folder))
        shutil.rmtree(repo)
        if kubo is not None:
            other = kubo_environment(kubo, folder)
            with daemon([kubo, "daemon"], other):
                runs["kubo"].append(script(kubo, other, folder))
            shutil.rmtree(folder / "kubo")
    beside = statistics.median(runs["kubo"]) if kubo is not None else None
    if beside is not None:
        report.line(f"a script of {ROUNDS * 5} commands, Kubo", beside, "s")
    report.line(f"a script of {ROUNDS * 5} commands", statistics.median(runs["cidery"]), "s", beside, least=False)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gib", type=int, default=4)
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--kubo", default=shutil.which("ipfs"), help="an ipfs to run beside (default: the one in PATH)")
    options = parser.parse_args()
    report = Report()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        env = {**os.environ, "CIDERY_PATH": str(fresh(folder, "repo"))}
        (folder / "small").write_bytes(os.urandom(1024))
        (folder / "middle").write_bytes(os.urandom(1 << 20))
        with daemon([*CIDERY, "daemon"], env) as (pid, port):
            cids = [
                subprocess.run(
                    [*CIDERY, "add", "-Q", str(folder / one)], env=env, capture_output=True, text=True, check=True
                ).stdout.strip()
                for one in ("small", "middle")
            ]
            small(report, port, pid, cids[0], options.seconds, folder)
            kinds = [f"cat?arg={cids[1]}", f"block/get?arg={cids[0]}", "files/ls", f"ls?arg={cids[1]}", "id"]
            whole, seconds = asyncio.run(crowd(port, [kinds[at % len(kinds)] for at in range(CROWD)]))
            report.line(f"{CROWD} calls at once, answered", whole, "", CROWD)
            report.line("  in", seconds, "s")
        scripts(report, env, folder, options.kubo)
        upload(report, env, folder, options.gib)
    print(f"\nmissed: {', '.join(report.missed) or 'none'}")
    return 1 if report.missed else 0


if __name__ == "__main__":
    sys.exit(main())
