"""One file over one long line: 200 ms of round trip, 100 Mbit/s. As one CAR stream, by Bitswap, beside Kubo and HTTPS.

    python bench/line.py [--mib 64] [--runs 3] [--alone]

Everybody goes through the same forwarder (long_line.py), over a connection that is made before the clock starts; the
limit is a round trip and the size by the line's rate. Ours are whole nodes on repositories of their own, a fresh reader
each run. ``--alone``: only ours.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import ipaddress
import multiprocessing
import multiprocessing.connection
import os
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cidery.blockstore.drive import drive
from cidery.core.adding.add import add_root
from cidery.multiformats.cid import CID
from cidery.multiformats.multiaddr import Multiaddr
from cidery.node.build import Access, build
from cidery.node.create import create_repository
from cidery.unixfs.reader import read_file
from lag import LagMeter, runner
from long_line import ROUND_TRIP, LongLine, least_seconds
from others import start_kubo
from transfer import make_file

TARGETS = {"car": 1.2, "bitswap": 2.0}
"""Largest multiples of the limit that are asked for."""
FOREIGN_SECONDS = 170.0
"""Longest wait for a transfer of another implementation."""
KUBO_RUNS = 1
"""Kubo takes half a minute."""
MEASURED = 5
"""Round trips between connecting and the clock's start: the line's length is known by then."""
Pipe = multiprocessing.connection.Connection


async def serve(root: Path, file: Path, pipe: Pipe) -> None:
    create_repository(root, profiles=["test"])
    async with build(root, Access.WRITE, online=True) as api:
        assert api.network is not None
        cid = str(await add_root([file], api.store))
        async with LagMeter() as lag:
            pipe.send((api.network.identity().addresses[0], cid))
            await asyncio.to_thread(pipe.recv)
        pipe.send(lag.worst)


async def fetch(addr: str, cid: str, root: Path, how: str, pipe: Pipe) -> None:
    create_repository(root, profiles=["test"])
    async with build(root, Access.WRITE, online=True) as api:
        assert api.network is not None
        await api.network.connect(Multiaddr.parse(addr))
        await asyncio.sleep(MEASURED * ROUND_TRIP)
        async with LagMeter() as lag:
            began, size, first = time.perf_counter(), 0, 0.0
            async with api.network.session(kept=False) as session:
                if how == "car":
                    session.expect(CID.parse(cid))
                async for data in drive(read_file(CID.parse(cid)), session):
                    first = first or time.perf_counter() - began
                    size += len(data.chunk)
            seconds = time.perf_counter() - began
    pipe.send((seconds, size, first, lag.worst))


def serve_process(root: Path, file: Path, pipe: Pipe) -> None:
    with runner() as run:
        run.run(serve(root, file, pipe))


def fetch_process(addr: str, cid: str, root: Path, how: str, pipe: Pipe) -> None:
    with runner() as run:
        run.run(fetch(addr, cid, root, how, pipe))


def over(line: LongLine, addr: str) -> str:
    """The address that leads to ``addr`` over the line."""
    head, _, rest = addr.partition("/tcp/")
    port, slash, rest = rest.partition("/")
    return f"{head}/tcp/{line.lead_to(int(port))}{slash}{rest}"


def fetch_ours(addr: str, cid: str, work: Path, how: str, size: int) -> tuple[float, float, float]:
    """Seconds to the last byte, to the first, and the largest loop lag."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    child = context.Process(target=fetch_process, args=(addr, cid, work / "reader", how, theirs), daemon=True)
    child.start()
    theirs.close()
    seconds, got, first, lag = ours.recv()
    child.join()
    shutil.rmtree(work / "reader")
    assert got == size
    return seconds, first, lag


def fetch_kubo(line: LongLine, file: Path, work: Path) -> float:
    """Seconds of Kubo 0.22 from Kubo 0.22."""
    try:
        with start_kubo(work / "kubo-one") as one, start_kubo(work / "kubo-two") as two:
            cid = one.ask("add", str(file))["cid"]
            two.ask("connect", over(line, one.addr))
            time.sleep(MEASURED * ROUND_TRIP)
            began = time.perf_counter()
            two.ask("get", cid, str(work / "kubo-out"), seconds=FOREIGN_SECONDS)
            seconds = time.perf_counter() - began
            got = work / "kubo-out"
            assert (got if got.is_file() else next(got.iterdir())).stat().st_size == file.stat().st_size
            return seconds
    finally:
        for left in work.glob("kubo-*"):
            shutil.rmtree(left) if left.is_dir() else left.unlink()


def _certificate(folder: Path) -> None:
    """A self-signed one for 127.0.0.1, with its key, as cert.pem and key.pem."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(cert.public_bytes(serialization.Encoding.PEM))
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(key.private_bytes(*form))


@contextmanager
def nginx(command: str, file: Path, folder: Path) -> Iterator[int]:
    """nginx that serves the folder of ``file``; its port."""
    folder.mkdir()
    _certificate(folder)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    user = "user root;" if os.geteuid() == 0 else ""
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; worker_processes 1; pid {folder}/pid; error_log stderr; {user}\n"
        "events {}\n"
        f"http {{ access_log off;\n{temporary}"
        f"server {{ listen 127.0.0.1:{port} ssl; root {file.parent};\n"
        f"ssl_certificate {folder}/cert.pem; ssl_certificate_key {folder}/key.pem; }} }}\n"
    )
    process = subprocess.Popen(
        [command, "-p", str(folder), "-c", str(folder / "nginx.conf")], stderr=(folder / "log").open("wb")
    )
    try:
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError((folder / "log").read_text()) from None
                time.sleep(0.02)
        yield port
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(folder)


async def _get(url: str, size: int) -> float:
    """Seconds of the second request over one connection; the first, of a byte, makes it."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=False)) as session:
        async with session.get(url, headers={"Range": "bytes=0-0"}) as answer:
            await answer.read()
        began, got = time.perf_counter(), 0
        async with session.get(url) as answer:
            async for piece in answer.content.iter_any():
                got += len(piece)
        assert got == size
        return time.perf_counter() - began


def fetch_https(line: LongLine, port: int, file: Path) -> float:
    url = f"https://127.0.0.1:{line.lead_to(port)}/{file.name}"
    with runner() as run:
        return run.run(_get(url, file.stat().st_size))


def show(name: str, times: list[float], limit: float, note: str = "") -> None:
    middle = statistics.median(times)
    spread = f"({min(times):.2f}-{max(times):.2f})"
    target = TARGETS.get(name)
    asked = "" if target is None else f"  at most {target} asked: {'kept' if middle <= target * limit else 'MISSED'}"
    print(f"{name:8} {middle:6.2f} s  {spread:14} {middle / limit:5.2f}x the limit{asked}{note}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--mib", type=int, default=64)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--alone", action="store_true", help="neither Kubo nor nginx")
    options = parser.parse_args()
    size = options.mib << 20
    limit = least_seconds(size)
    with tempfile.TemporaryDirectory(dir=os.environ.get("CIDERY_BENCH_DIR")) as folder, LongLine() as line:
        work = Path(folder)
        file = work / "www" / "file"
        file.parent.mkdir()
        make_file(file, options.mib)
        context = multiprocessing.get_context("spawn")
        pipe, theirs = context.Pipe()
        server = context.Process(target=serve_process, args=(work / "server", file, theirs), daemon=True)
        server.start()
        theirs.close()
        addr, cid = pipe.recv()
        addr = over(line, addr)
        print(
            f"{options.mib} MiB over {ROUND_TRIP * 1000:.0f} ms and 100 Mbit/s; the limit is {limit:.2f} s", flush=True
        )
        times: dict[str, list[float]] = {"car": [], "bitswap": []}
        firsts: dict[str, list[float]] = {"car": [], "bitswap": []}
        others: dict[str, Callable[[], float]] = {}
        command = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        worst = 0.0
        if not options.alone:
            others["kubo"] = lambda: fetch_kubo(line, file, work)
            if command is not None:
                found = command

                def https() -> float:
                    with nginx(found, file, work / "nginx") as port:
                        return fetch_https(line, port, file)

                others["https"] = https
        for number in range(options.runs):
            for how in ("car", "bitswap"):
                before = line.passed()
                seconds, first, lag = fetch_ours(addr, cid, work, how, size)
                assert line.passed() - before >= size  # it came over the line, not past it
                times[how].append(seconds)
                firsts[how].append(first)
                worst = max(worst, lag)
            for name, run in others.items():
                if name == "kubo" and number >= KUBO_RUNS:
                    continue
                before = line.passed()
                times.setdefault(name, []).append(run())
                assert line.passed() - before >= size
        pipe.send("stop")
        worst = max(worst, pipe.recv())
        server.join()
    for name, taken in times.items():
        note = f"  (first byte {statistics.median(firsts[name]):.2f} s)" if name in firsts else ""
        show(name, taken, limit, note)
    if not options.alone and command is None:
        print("https    left out: nginx is not installed (apt-get install nginx-light)")
    print(f"largest loop lag {worst * 1000:.0f} ms")


if __name__ == "__main__":
    main()
