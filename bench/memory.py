"""Memory of both daemons while a large file goes from one to the other: ``cat`` of 4 GiB.

    python bench/memory.py [MIB=4096]

Growth of anonymous memory over the idle daemon, sampled; file-backed pages beside it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Self

CIDERY = [sys.executable, "-m", "cidery"]
INTERVAL = 0.05
"""Seconds between two looks at a daemon's memory."""
TARGET = 100
"""MB that a daemon may grow by."""


class Daemon:
    """A real daemon in the test profile, and the worst of its memory."""

    def __init__(self, repo: Path) -> None:
        self._repo = str(repo)
        self.run("init", "--profile", "test")
        self._process = subprocess.Popen(
            [*CIDERY, "--repo-dir", self._repo, "daemon"], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None  # a pipe was asked for
        for line in self._process.stdout:
            if "ready" in line:
                break
        self.idle = self.anonymous()
        self.worst = self.idle

    def run(self, *command: str) -> str:
        done = subprocess.run([*CIDERY, "--repo-dir", self._repo, *command], check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([*CIDERY, "--repo-dir", self._repo, *command], stdout=subprocess.DEVNULL)

    def _field(self, name: str) -> float:
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii")
        return int(status.split(f"{name}:")[1].split()[0]) * 1024 / 1e6

    def anonymous(self) -> float:
        """MB."""
        return self._field("RssAnon")

    def file_backed(self) -> float:
        """MB."""
        return self._field("RssFile")

    def look(self) -> None:
        self.worst = max(self.worst, self.anonymous())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()


def main() -> None:
    mib = int(sys.argv[1]) if len(sys.argv) > 1 else 4096
    with tempfile.TemporaryDirectory(dir=os.environ.get("CIDERY_BENCH_DIR")) as folder:
        work = Path(folder)
        with (work / "file").open("wb") as out:
            for _ in range(mib):
                out.write(os.urandom(1 << 20))
        with Daemon(work / "one") as one, Daemon(work / "two") as two:
            cid = one.run("add", "-Q", str(work / "file"))
            (work / "file").unlink()
            one.worst = one.idle = one.anonymous()
            two.run("swarm", "connect", json.loads(one.run("id", "--enc", "json"))["Addresses"][0])
            began = time.perf_counter()
            reader = two.start("cat", cid)
            while reader.poll() is None:
                one.look()
                two.look()
                time.sleep(INTERVAL)
            seconds = time.perf_counter() - began
            print(f"cat of {mib} MiB from another daemon: {mib / seconds:.0f} MiB/s, exit code {reader.returncode}")
            for name, daemon in (("serving", one), ("reading", two)):
                grown = daemon.worst - daemon.idle
                print(
                    f"{name} daemon: {daemon.idle:.0f} MB idle, +{grown:.0f} MB at most (target <= {TARGET}),"
                    f" file-backed {daemon.file_backed():.0f} MB"
                )


if __name__ == "__main__":
    main()
