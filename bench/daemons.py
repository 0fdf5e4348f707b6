"""Two daemons on this machine, driven as a user drives them; the figures are medians.

    python bench/daemons.py [--mib 512] [--runs 5]

* first block: from the start of a daemon until another one has fetched a block from it, ms;
* connect: one `swarm/connect` with identify over the RPC, back to back, ms;
* get: a file from one daemon through the other to a file of the command line, MiB/s, in the default and in Kubo's
  profile, with the CPU seconds of the three processes;
* beside it, where nginx is installed, the same file over TLS from nginx to a file of curl: how much this machine moves
  at all. The targets of get are 350 and 250 where that is 460, so they move with it.

Exits 1 if a target is missed.
"""

from __future__ import annotations

import argparse
import filecmp
import http.client
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from commands import CIDERY
from machine import warm_memory

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from peers.certificates import write_certificate  # noqa: E402

FIRST_BLOCK, CONNECT = 400, 3
"""Targets, ms."""
GET, GET_KUBO = 350, 250
"""Targets, MiB/s, on a machine where OVER_TLS is what nginx and curl reach."""
OVER_TLS = 460
"""MiB/s of nginx and curl."""
NGINX = """
{user}daemon off; worker_processes 1; pid {place}/pid; error_log {place}/error.log;
events {{ }}
http {{
  access_log off; sendfile on;
  client_body_temp_path {place}/t1; proxy_temp_path {place}/t2; fastcgi_temp_path {place}/t3;
  uwsgi_temp_path {place}/t4; scgi_temp_path {place}/t5;
  server {{
    listen 127.0.0.1:{port} ssl; ssl_certificate {place}/cert.pem; ssl_certificate_key {place}/key.pem;
    location / {{ root {place}/files; }}
  }}
}}
"""
PATIENCE = 30.0
"""Seconds for a daemon's start."""
MARGIN = 256
"""MiB beyond the size of the file that a run touches."""


class Machine:
    """One repository and its daemon."""

    def __init__(self, place: Path, *profiles: str) -> None:
        self.env = {**os.environ, "IPFS_PATH": str(place)}
        self.place = place
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        self.command("init", "--profile", ",".join(("test", *profiles)))
        self.command("config", "--json", "Addresses.Swarm", json.dumps([f"/ip4/127.0.0.1/tcp/{port}"]))
        self.addr = f"/ip4/127.0.0.1/tcp/{port}/p2p/{self.command('config', 'Identity.PeerID')}"

    def command(self, *words: str) -> str:
        done = subprocess.run([*CIDERY, *words], env=self.env, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"cidery {' '.join(words)}: {done.stderr.strip()}")
        return done.stdout.strip()

    @contextmanager
    def daemon(self, *, ready: bool = True, by: Sequence[str] = CIDERY) -> Iterator[subprocess.Popen[str]]:
        """With ``ready``, its RPC answers. ``by``: the beginning of the command."""
        process = subprocess.Popen(
            [*by, "daemon"], env=self.env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        try:
            if ready and process.stdout is not None and not any("ready" in line for line in process.stdout):
                raise SystemExit("the daemon ended")
            yield process
        finally:
            process.terminate()
            process.communicate()

    def rpc(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", int((self.place / "api").read_text().split("/")[4]))


def call(rpc: http.client.HTTPConnection, command: str, argument: str) -> tuple[int, bytes]:
    rpc.request("POST", f"/api/v0/{command}?arg={urllib.parse.quote(argument, safe='')}")
    answer = rpc.getresponse()
    return answer.status, answer.read()


def first_block(work: Path, runs: int) -> float:
    holder, reader = Machine(work / "holder"), Machine(work / "reader")
    (work / "small").write_bytes(os.urandom(200_000))
    cid = holder.command("add", "-Q", str(work / "small"))
    took = []
    with reader.daemon():
        for _ in range(runs):
            rpc = reader.rpc()
            began = time.perf_counter()
            with holder.daemon(ready=False):
                while call(rpc, "swarm/connect", holder.addr)[0] != http.client.OK:
                    if time.perf_counter() - began > PATIENCE:
                        raise SystemExit("the daemon does not start")
                status, data = call(rpc, "block/get", cid)
                took.append(1000 * (time.perf_counter() - began))
            assert status == http.client.OK and len(data) == 200_000
            call(rpc, "block/rm", cid)
    return statistics.median(took)


def connect(work: Path, runs: int) -> float:
    one, other = Machine(work / "one"), Machine(work / "other")
    took = []
    with one.daemon(), other.daemon():
        rpc = one.rpc()
        for _ in range(10 * runs):
            began = time.perf_counter()
            status, _ = call(rpc, "swarm/connect", other.addr)
            took.append(1000 * (time.perf_counter() - began))
            assert status == http.client.OK
            call(rpc, "swarm/disconnect", other.addr)
    return statistics.median(took)


def get(work: Path, mib: int, runs: int, *profiles: str) -> tuple[float, str]:
    source = work / "source"
    with source.open("wb") as out:
        for _ in range(mib):
            out.write(os.urandom(1 << 20))
    rates, cpu = [], []
    for run in range(runs):
        warm_memory(4 * mib + MARGIN)
        holder, reader = Machine(work / f"a{run}", *profiles), Machine(work / f"b{run}", *profiles)
        with holder.daemon() as a, reader.daemon() as b:
            cid = holder.command("add", "-Q", str(source))
            reader.command("swarm", "connect", holder.addr)
            before = [cpu_seconds(a.pid), cpu_seconds(b.pid)]
            began = time.perf_counter()
            client = subprocess.Popen(
                [*CIDERY, "get", "-o", str(work / "out"), cid], env=reader.env, stdout=subprocess.DEVNULL
            )
            _, status, usage = os.wait4(client.pid, 0)
            client.returncode = os.waitstatus_to_exitcode(status)
            rates.append(mib / (time.perf_counter() - began))
            after = [cpu_seconds(a.pid), cpu_seconds(b.pid)]
            cpu.append((after[0] - before[0], after[1] - before[1], usage.ru_utime + usage.ru_stime))
        assert client.returncode == 0 and filecmp.cmp(source, work / "out", shallow=False)
        (work / "out").unlink()
        for machine in (holder, reader):
            shutil.rmtree(machine.place)  # what waits to be written back would slow down the next run
    spent = " ".join(
        f"{name} {statistics.median(column):.1f}"
        for name, column in zip(("A", "B", "get"), zip(*cpu, strict=True), strict=True)
    )
    return statistics.median(rates), spent


def over_tls(work: Path, mib: int, runs: int) -> float:
    """MiB/s of nginx and curl."""
    (work / "files").mkdir(parents=True)
    write_certificate(work)
    with (work / "files" / "file").open("wb") as out:
        for _ in range(mib):
            out.write(os.urandom(1 << 20))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    (work / "nginx.conf").write_text(NGINX.format(place=work, port=port, user="" if os.geteuid() else "user root; "))
    fetching = ["curl", "-sfk", "--retry-connrefused", "--retry", "20", f"https://127.0.0.1:{port}/file", "-o"]
    serving = subprocess.Popen(["nginx", "-c", str(work / "nginx.conf"), "-p", str(work)], stderr=subprocess.DEVNULL)
    rates = []
    try:
        subprocess.run([*fetching, str(work / "first")], check=True)
        for _ in range(runs):
            (work / "first").unlink()
            warm_memory(4 * mib + MARGIN)
            began = time.perf_counter()
            subprocess.run([*fetching, str(work / "first")], check=True)
            rates.append(mib / (time.perf_counter() - began))
    finally:
        serving.terminate()
        serving.wait()
    return statistics.median(rates)


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=512)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    missed = 0
    with tempfile.TemporaryDirectory(dir=os.environ.get("CIDERY_BENCH_DIR")) as name:
        work = Path(name)
        for what, value, target in (
            ("first block after a daemon's start", first_block(work, options.runs), FIRST_BLOCK),
            ("swarm connect with identify", connect(work, options.runs), CONNECT),
        ):
            missed += value > target
            print(f"{what}: {value:.1f} ms (target {target})", flush=True)
        scale = 1.0
        if shutil.which("nginx") and shutil.which("curl"):
            reached = over_tls(work / "tls", options.mib, options.runs)
            scale = min(1.0, reached / OVER_TLS)
            print(f"{options.mib} MiB over TLS, nginx to curl: {reached:.0f} MiB/s", flush=True)
        for number, (profiles, base) in enumerate((((), GET), (("unixfs-v0-2015",), GET_KUBO))):
            (place := work / str(number)).mkdir()
            target = base * scale
            rate, spent = get(place, options.mib, options.runs, *profiles)
            missed += rate < target
            print(
                f"get {options.mib} MiB, {profiles[0] if profiles else 'default'} profile: {rate:.0f} MiB/s "
                f"(target {target:.0f}); CPU s: {spent}",
                flush=True,
            )
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main())
