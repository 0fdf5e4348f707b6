"""Share a folder between three nodes, each a daemon of its own on this machine: make demo

Node A adds this project's source tree, hidden files included, beside a file of 256 MiB. Node B gets it by its CID.
A is stopped, and node C gets it from B alone. Every file is compared; the exit code is 0 only when all are the same.
Nothing leaves this machine (the repositories have the profile `test`), and nothing is left behind.
"""

import filecmp
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).resolve().parents[1]
MIB = 1 << 20
BIG_FILE_MIB = 256
DISK_MIB = 7 * BIG_FILE_MIB
"""Room needed: the folder, three repositories and two copies, and some reserve."""
END_SECONDS = 10.0
"""Given to a daemon to stop by itself."""
SESSION = "demo"
"""Name under which a daemon reports on the `get` of the demo."""
REPORT_SECONDS = 0.5


class DemoFailed(Exception):
    """A step went wrong; the message says which."""


class Node:
    """A daemon on a repository of its own, driven by the command line as a user would."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self._env = {**os.environ, "CIDERY_PATH": str(folder)}
        self.run("init", "--profile", "test")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "cidery", "daemon"],
            stdout=subprocess.PIPE,
            env=self._env,
            text=True,
            start_new_session=True,  # Ctrl-C is for the demo, which then stops the daemons
        )
        self.api = ""
        assert self._process.stdout is not None  # Popen was asked for a pipe
        for line in self._process.stdout:
            if line.startswith("RPC API server listening on"):
                _, _, host, _, port = line.split()[-1].split("/")
                self.api = f"http://{host}:{port}/api/v0"
            if line.startswith("Daemon is ready"):
                break
        else:
            self.stop()
            raise DemoFailed(f"the daemon of node {name} did not start (above)")
        self.addr = self.run("swarm", "addrs", "local", "--id").split()[0]
        self.peer_id = self.addr.rpartition("/")[2]

    def run(self, *words: str, show: bool = False) -> str:
        """One command; its output. ``show``: errors and the progress bar go to the terminal."""
        errors = None if show else subprocess.PIPE
        command = [sys.executable, "-m", "cidery", *words]
        done = subprocess.run(command, env=self._env, stdout=subprocess.PIPE, stderr=errors, text=True, check=False)
        if done.returncode:
            raise DemoFailed(f"cidery {' '.join(words)}: {(done.stderr or 'failed').strip()}")
        return done.stdout

    def sources(self) -> tuple[int, dict[str, int]]:
        """Bytes received for the `get` of the demo, and blocks by the peer that sent them."""
        query = urllib.parse.urlencode({"arg": SESSION})
        request = urllib.request.Request(f"{self.api}/bitswap/session?{query}", method="POST")
        try:
            with urllib.request.urlopen(request, timeout=END_SECONDS) as response:
                report = json.load(response)
        except urllib.error.HTTPError:
            return 0, {}  # it has not begun yet
        received = sum(int(source["Bytes"]) for source in report["Sources"])
        return received, {source["Peer"]: int(source["Blocks"]) for source in report["Sources"]}

    def stop(self) -> None:
        """End the daemon; idempotent."""
        assert self._process.stdout is not None  # Popen was asked for a pipe
        self._process.terminate()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


def say(line: str) -> None:
    print(line, flush=True)


def make_folder(target: Path) -> None:
    """The project's tree as git knows it, and the big file."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        source, copy = ROOT / name, target / "tree" / name
        if source.exists() or source.is_symlink():  # it may be deleted and not yet committed
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, copy, follow_symlinks=False)
    noise = random.Random(256)
    with (target / "big.bin").open("wb") as file:
        for _ in range(BIG_FILE_MIB // 8):
            file.write(noise.randbytes(8 * MIB))


def entries(folder: Path) -> dict[str, Path]:
    """Everything below a folder by its relative name."""
    return {str(path.relative_to(folder)): path for path in folder.rglob("*")}


def differences(left: Path, right: Path) -> list[str]:
    """Names that are missing, or differ in kind, target or any byte."""
    ours, theirs = entries(left), entries(right)
    out = sorted(ours.keys() ^ theirs.keys())
    for name in ours.keys() & theirs.keys():
        one, other = ours[name], theirs[name]
        if one.is_symlink() or other.is_symlink():
            same = one.is_symlink() and other.is_symlink() and os.readlink(one) == os.readlink(other)
        elif one.is_file():
            same = other.is_file() and filecmp.cmp(one, other, shallow=False)
        else:
            same = one.is_dir() and other.is_dir()
        if not same:
            out.append(name)
    return out


def report_until(done: threading.Event, node: Node, total: int) -> None:
    """A line now and then where no live bar can be drawn, as in the log of a build."""
    while not done.wait(REPORT_SECONDS):
        received, _ = node.sources()
        say(f"   {node.name} has received {received / MIB:6.1f} of {total / MIB:.1f} MiB ({100 * received // total} %)")


def get(node: Node, cid: str, target: Path, total: int, names: dict[str, str]) -> None:
    """Get the folder on ``node`` and say how fast and from whom; the bar is the command's own."""
    began = time.monotonic()
    done = threading.Event()
    reporter = threading.Thread(target=report_until, args=(done, node, total))
    if not sys.stderr.isatty():
        reporter.start()
    try:
        node.run("get", "--session", SESSION, "--output", str(target), cid, show=True)
    finally:
        done.set()
        if reporter.is_alive():
            reporter.join()
    seconds = time.monotonic() - began
    _, blocks = node.sources()
    by_source = ", ".join(f"{count} blocks from {names.get(peer, peer)}" for peer, count in blocks.items())
    say(f"{node.name}  got it in {seconds:.1f} s, {total / MIB / seconds:.0f} MiB/s: {by_source}")


def share(work: Path, stack: ExitStack) -> int:
    """The demo. Returns the exit code. Raises DemoFailed."""
    folder = work / "folder"
    folder.mkdir()
    make_folder(folder)
    files = [path for path in entries(folder).values() if path.is_file()]
    total = sum(path.stat().st_size for path in files)
    say(f"A folder of {len(files)} files, {total / MIB:.1f} MiB: the source tree beside a file of {BIG_FILE_MIB} MiB\n")
    nodes: list[Node] = []
    for name in "ABC":
        nodes.append(Node(name, work / f"repo-{name}"))
        stack.callback(nodes[-1].stop)
        say(f"{name}  is up: {nodes[-1].addr}")
    a, b, c = nodes
    names = {node.peer_id: node.name for node in nodes}
    began = time.monotonic()
    cid = a.run("add", "-r", "-H", "-Q", str(folder), show=True).strip()
    seconds = time.monotonic() - began
    say(f"\nA  added it in {seconds:.1f} s, {total / MIB / seconds:.0f} MiB/s: {cid}")
    b.run("swarm", "connect", a.addr)
    get(b, cid, work / "got-B", total, names)
    a.stop()
    say("A  is stopped")
    c.run("swarm", "connect", b.addr)
    get(c, cid, work / "got-C", total, names)
    wrong = [f"{copy}: {name}" for copy in ("got-B", "got-C") for name in differences(folder, work / copy)]
    if wrong:
        say(f"\n{len(wrong)} entries differ: {', '.join(wrong[:5])}")
        return 1
    say(f"\nAll {len(files)} files are the same on B and C, byte for byte.\nCID: {cid}")
    return 0


def main() -> int:
    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    out = ROOT / "out"
    out.mkdir(exist_ok=True)
    if shutil.disk_usage(out).free < DISK_MIB * MIB:
        say(f"the demo needs {DISK_MIB} MiB free in {out}; make room and run it again")
        return 1
    try:
        # entered first, left last: the daemons are stopped before their files go
        with ExitStack() as stack:
            work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="demo-", dir=out)))
            return share(work, stack)
    except DemoFailed as exc:
        say(f"the demo failed: {exc}")
        return 1
    except KeyboardInterrupt:
        say("\nstopped; nothing is left behind")
        return 130


if __name__ == "__main__":
    sys.exit(main())
