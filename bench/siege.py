"""One real daemon under attack: what it grows by, how its RPC answers meanwhile, and what an honest reader feels.

    python bench/siege.py [ATTACK ...] [--seconds 15]

Each attack of bench/raids.py runs in a process of its own over loopback. Beside it the RPC is probed every PROBE
seconds on a fresh connection, and an honest node gets files of HONEST_MIB MiB one after another. Exits 1 on a miss.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.client
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cidery.blockstore.drive import drive
from cidery.blockstore.memory import MemoryStore
from cidery.identity.keys import PrivateKey
from cidery.multiformats.cid import CID
from cidery.multiformats.multiaddr import Multiaddr
from cidery.node.network import NodeNetwork
from cidery.unixfs.reader import read_file
from lag import runner
from raids import ATTACKS, CROWD

CIDERY = [sys.executable, "-m", "cidery"]
PROBE = 0.25
"""Seconds between two calls of the RPC."""
HONEST_MIB = 4
"""Size of the file that the honest node gets again and again, in MiB."""
LARGE_MIB = 64
"""Size of the file whose archive the gateway's clients ask for, in MiB."""
QUIET = 4.0
"""Seconds before each attack in which the quiet time of the get is measured: other work on the machine changes it."""
PAUSE = 0.25
"""Seconds between two honest gets."""
MAX_GROWTH = 200.0
"""MB of memory above idle, in an attack and RECOVERY seconds after it (there: above what the attack found)."""
AFTER = 50.0
"""MB above idle that count as back."""
RECOVERY = 60.0
MAX_ANSWER = 0.25
"""Seconds within which 95 of 100 RPC answers come."""
MAX_SLOWDOWN = 3.0
"""Of the honest get, against its quiet time."""
MAX_UNSERVED = 1.0
"""Percent of all requests."""
FEW_FILES = 1024
"""Open files of the daemon in the attack by idle connections."""
GIVE_UP = 30.0
"""Seconds after which a probe or a get counts as lost."""


@dataclass
class Felt:
    """What was measured during one attack."""

    answers: list[float] = field(default_factory=list)
    gets: list[float] = field(default_factory=list)
    newcomers: list[float] = field(default_factory=list)
    quiet: list[float] = field(default_factory=list)
    """Gets right before the attack."""
    idle: float = 0.0
    worst: float = 0.0
    after: float = 0.0
    cpu: float = 0.0


class Victim:
    """A daemon in the test profile with something to serve."""

    def __init__(self, repo: Path, files: int | None = None, *, many: bool = False) -> None:
        """``files``: that it may open; ``many``: it keeps more connections than the attack makes."""
        self.repo = repo
        self._run("init", "--profile", "test")
        if many:
            self._run("config", "--json", "Swarm.ConnMgr.HighWater", str(2 * CROWD))
            self._run("config", "--json", "Swarm.ConnMgr.LowWater", str(2 * CROWD))
        self._run("config", "--json", "Addresses.Gateway", '["/ip4/127.0.0.1/tcp/0"]')

        def limit() -> None:
            if files is not None:
                resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

        self.process = subprocess.Popen(
            [*CIDERY, "--repo-dir", str(repo), "daemon"],
            stdout=subprocess.PIPE,
            stderr=(repo / "errors").open("wb"),
            text=True,
            preexec_fn=limit,  # noqa: PLW1509 - one thread so far
        )
        assert self.process.stdout is not None  # a pipe was asked for
        for line in self.process.stdout:
            if "ready" in line:
                break
        threading.Thread(target=self.process.stdout.read, daemon=True).start()
        api = Multiaddr.parse((repo / "api").read_text(encoding="ascii")).tcp_endpoint()
        assert api is not None
        self.rpc = api
        self.gateway = (repo / "gateway").read_text(encoding="ascii")

    def _run(self, *command: str) -> str:
        done = subprocess.run(
            [*CIDERY, "--repo-dir", str(self.repo), *command], check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    def target(self, work: Path) -> dict[str, Any]:
        """Fill it, and say where it is."""
        for name, mib in (("honest", HONEST_MIB), ("large", LARGE_MIB), ("block", 1)):
            (work / name).write_bytes(os.urandom(mib << 20))
        addr = Multiaddr.parse(json.loads(self._run("id", "--enc", "json"))["Addresses"][0])
        endpoint = addr.tcp_endpoint()
        assert endpoint is not None
        return {
            "addr": str(addr),
            "host": endpoint[0],
            "port": endpoint[1],
            "peer": json.loads(self._run("id", "--enc", "json"))["ID"],
            "rpc": f"http://{self.rpc[0]}:{self.rpc[1]}",
            "gateway": self.gateway,
            **{name: self._run("add", "-Q", str(work / name)) for name in ("honest", "large", "block")},
        }

    def memory(self) -> float:
        """Resident and its own, in MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return int(status.split("RssAnon:")[1].split()[0]) * 1024 / 1e6

    def cpu(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()


# --- beside the attack


def call(endpoint: tuple[str, int], method: str, path: str) -> float:
    """Seconds of one request on a connection of its own; GIVE_UP when it fails."""
    began = time.monotonic()
    connection = http.client.HTTPConnection(*endpoint, timeout=GIVE_UP)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        answer.read()
        return time.monotonic() - began if answer.status == 200 else GIVE_UP
    except (OSError, http.client.HTTPException):
        return GIVE_UP
    finally:
        connection.close()


def probing(into: list[float], stop: threading.Event, endpoint: tuple[str, int], method: str, path: str) -> None:
    while not stop.is_set():
        taken = call(endpoint, method, path)
        into.append(taken)
        stop.wait(max(0.0, PROBE - taken) if taken < GIVE_UP else PROBE)


async def honest(addr: str, cid: str) -> None:
    """A node that gets a file, drops it, gets it again; a line with the seconds of each."""
    network = NodeNetwork(PrivateKey.generate_ed25519(os.urandom), MemoryStore())
    await network.start((Multiaddr.parse("/ip4/127.0.0.1/tcp/0"),))
    while True:
        began, size = time.monotonic(), 0
        try:
            async with asyncio.timeout(GIVE_UP):
                await network.connect(Multiaddr.parse(addr))
                began = time.monotonic()
                async with network.session(kept=False, keep_blocks=False) as session:
                    async for data in drive(read_file(CID.parse(cid)), session):
                        size += len(data.chunk)
            assert size == HONEST_MIB << 20
            print(time.monotonic() - began, flush=True)
        except Exception as exc:
            print(GIVE_UP, flush=True)
            print(f"honest: {exc!r}", file=sys.stderr)
        await asyncio.sleep(PAUSE)


def reading(into: list[float], child: subprocess.Popen[str], stop: threading.Event) -> None:
    assert child.stdout is not None
    for line in child.stdout:
        if stop.is_set():
            return
        into.append(float(line))


@contextlib.contextmanager
def beside(victim: Victim, target: dict[str, Any], felt: Felt) -> Iterator[None]:
    """Probes, an honest reader and a look at the memory, while the context is open."""
    stop = threading.Event()
    gateway = (target["gateway"].rpartition("//")[2].split(":")[0], int(target["gateway"].rpartition(":")[2]))
    child = subprocess.Popen(
        [sys.executable, __file__, "--honest", target["addr"], target["honest"]], stdout=subprocess.PIPE, text=True
    )
    newcomer = f"/ipfs/{target['block']}?format=raw"
    threads = [
        threading.Thread(target=probing, args=(felt.answers, stop, victim.rpc, "POST", "/api/v0/id")),
        threading.Thread(target=probing, args=(felt.newcomers, stop, gateway, "GET", newcomer)),
        threading.Thread(target=reading, args=(felt.gets, child, stop)),
    ]
    for one in threads:
        one.start()
    try:
        yield
    finally:
        stop.set()
        child.kill()
        child.wait()
        for one in threads:
            one.join()


def besiege(name: str, seconds: float) -> Felt:
    felt = Felt()
    with tempfile.TemporaryDirectory(dir=os.environ.get("CIDERY_BENCH_DIR")) as folder:
        work = Path(folder)
        files = FEW_FILES if name == "rpc-idle-connections" else None
        victim = Victim(work / "repo", files, many=name == "a-thousand-kept")
        try:
            target = victim.target(work)
            with beside(victim, target, felt):
                time.sleep(QUIET)  # it has served: what that needs is no growth
                felt.idle = victim.memory()
                felt.quiet = felt.gets[:]
                for values in (felt.answers, felt.gets, felt.newcomers):
                    values.clear()
                cpu = victim.cpu()
                raid = subprocess.Popen(
                    [sys.executable, str(Path(__file__).with_name("raids.py")), name, str(seconds)],
                    stdin=subprocess.PIPE,
                    text=True,
                )
                assert raid.stdin is not None
                raid.stdin.write(json.dumps(target))
                raid.stdin.close()
                until = time.monotonic() + seconds
                while raid.poll() is None and time.monotonic() < until + 5:
                    felt.worst = max(felt.worst, victim.memory())
                    time.sleep(0.1)
                if raid.poll():
                    raise SystemExit(f"the attack {name} failed")
                raid.kill()
                raid.wait()
                felt.cpu = (victim.cpu() - cpu) / seconds
            until = time.monotonic() + (RECOVERY)
            while True:
                felt.after = victim.memory()
                if felt.after - felt.idle <= AFTER or time.monotonic() >= until:
                    break
                time.sleep(0.5)
            felt.worst = max(felt.worst, felt.after)
        finally:
            victim.close()
    return felt


def late(values: list[float]) -> float:
    """The 95th percentile."""
    return sorted(values)[min(len(values) - 1, int(len(values) * 0.95))] if values else GIVE_UP


def unserved(felt: Felt) -> float:
    """Percent of the calls, of the honest gets and of the gateway's answers that were lost."""
    every = felt.answers + felt.gets + felt.newcomers
    return 100.0 * sum(value >= GIVE_UP for value in every) / len(every) if every else 100.0


def judged(name: str, felt: Felt) -> bool:
    """Print a line of the table; whether every figure is within its target."""
    get = statistics.median(felt.gets) if felt.gets else GIVE_UP
    quiet = statistics.median(felt.quiet) if felt.quiet else GIVE_UP
    figures = (
        (felt.worst - felt.idle, MAX_GROWTH, "{:.0f}"),
        (felt.after - felt.idle, AFTER, "{:.0f}"),
        (late(felt.answers) * 1000, MAX_ANSWER * 1000, "{:.0f}"),
        (get / quiet, MAX_SLOWDOWN, "{:.1f}"),
        (late(felt.newcomers) * 1000, MAX_ANSWER * 1000 * 8, "{:.0f}"),
        (unserved(felt), MAX_UNSERVED, "{:.1f}"),
    )
    cells = [form.format(value) + ("" if value <= limit else " !") for value, limit, form in figures]
    print(
        f"{name:26}" + "".join(f"{cell:>13}" for cell in cells) + f"{quiet * 1000:>10.0f}{felt.cpu:>8.2f}", flush=True
    )
    return all(value <= limit for value, limit, _ in figures)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("attacks", nargs="*", metavar="ATTACK", help=", ".join(ATTACKS))
    parser.add_argument("--seconds", type=float, default=15.0, help="of each attack")
    parser.add_argument("--honest", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.honest:
        with runner() as run:
            run.run(honest(*options.honest))
    if unknown := set(options.attacks) - set(ATTACKS):
        parser.error(f"no such attack: {', '.join(sorted(unknown))}; there are {', '.join(ATTACKS)}")
    head = ("growth MB", "after MB", "RPC p95 ms", "get x quiet", "newcomer ms", "unserved %")
    print(f"{'attack':26}" + "".join(f"{one:>13}" for one in head) + f"{'quiet ms':>10}{'CPU':>8}")
    targets = (f"<= {MAX_GROWTH:.0f}", f"<= {AFTER:.0f}", f"<= {MAX_ANSWER * 1000:.0f}", f"<= {MAX_SLOWDOWN:.0f}")
    print(
        f"{'':26}"
        + "".join(f"{one:>13}" for one in (*targets, f"<= {MAX_ANSWER * 8000:.0f}", f"<= {MAX_UNSERVED:.0f}")),
        flush=True,
    )
    good = True
    for name in options.attacks or ATTACKS:
        good &= judged(name, besiege(name, options.seconds))
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
