"""The fsspec file systems beside fsspec's local one, and beside ipfsspec over a gateway of our own.

    python bench/fs.py [--mib 1024] [--rounds 3] [--only ranges|zarr|gateway]

Random ranges of 1 MiB of a file of 1 GiB (cat_file, and open/seek/read): a first pass, in which each block is hashed
once, and a second one. Then a data set of 500 MB of random numbers, written and read by xarray and zarr: on the local
file system, in the mutable files (embedded), by its CID (embedded), and over a gateway by ours and by ipfsspec, each
with the processor time of this process and of the daemon.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import numpy
import xarray
from zarr.core.sync import sync
from zarr.storage import FsspecStore

import cidery
import cidery.fs
from machine import warm_memory
from rpc import cpu_seconds

MIB = 1 << 20
RANGES = 1000
"""Of 1 MiB, at any offset."""
CHUNKS = 125
"""Of 4 MB, in the data set."""


def seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def make_file(path: Path, mib: int) -> None:
    with path.open("wb") as file:
        for _ in range(mib):
            file.write(os.urandom(MIB))


def read_ranges(fs: Any, path: str, offsets: list[int]) -> None:
    for offset in offsets:
        assert len(fs.cat_file(path, offset, offset + MIB)) == MIB


def seek_and_read(fs: Any, path: str, offsets: list[int]) -> None:
    with fs.open(path, cache_type="none") as file:
        for offset in offsets:
            file.seek(offset)
            assert len(file.read(MIB)) == MIB


def ranges(folder: Path, mib: int, rounds: int) -> None:
    """Of ``rounds`` the best counts: another load slows one down, and nothing speeds one up."""
    file = folder / "file"
    make_file(file, mib)
    with cidery.open(folder / "repo", profile="test", offline=True) as node:
        cid = str(node.add(file))
    ours, local = cidery.fs.IPFSFileSystem(repo=str(folder / "repo")), fsspec.filesystem("file")
    chosen = random.Random(1).choices(range((mib - 1) * MIB), k=RANGES)
    first = seconds(lambda: read_ranges(ours, cid, chosen))
    print(f"first pass, every block hashed once: {RANGES / first:7.0f} MiB/s")
    for name, read in (("cat_file", read_ranges), ("open, seek, read", seek_and_read)):
        best = {"local": 1e9, "ours": 1e9}
        for _ in range(rounds):
            best["local"] = min(best["local"], seconds(lambda: read(local, str(file), chosen)))  # noqa: B023
            best["ours"] = min(best["ours"], seconds(lambda: read(ours, cid, chosen)))  # noqa: B023
        rates = {who: RANGES / taken for who, taken in best.items()}
        share = rates["ours"] / rates["local"]
        print(f"{name:18} local {rates['local']:7.0f} MiB/s   ours {rates['ours']:7.0f} MiB/s   {share:.0%} of it")
    ours.close()


def data_set() -> xarray.Dataset:
    values = numpy.random.default_rng(2).random((CHUNKS, 1000, 1000), dtype=numpy.float32)
    return xarray.Dataset({"heat": (("time", "y", "x"), values)})


def write(data: xarray.Dataset, store: Any) -> None:
    encoding = {"heat": {"chunks": (1, 1000, 1000), "compressors": None}}
    data.to_zarr(store, mode="w", encoding=encoding, consolidated=False, zarr_format=3)


def read(store: Any) -> None:
    with xarray.open_zarr(store, consolidated=False, chunks=None) as opened:
        assert opened["heat"].values.nbytes == CHUNKS * 4_000_000


def store(fs: Any, path: str, *, read_only: bool = True) -> FsspecStore:
    return FsspecStore(fs, path=path, read_only=read_only)


def tell(what: str, taken: float) -> None:
    print(f"{what:44} {taken:6.2f} s   {CHUNKS * 4 / taken:6.0f} MB/s", flush=True)


def zarr(folder: Path, rounds: int) -> None:
    data, repo = data_set(), str(folder / "repo")
    warm_memory(600)
    tell("to_zarr, local file system", seconds(lambda: write(data, str(folder / "x.zarr"))))
    mutable = cidery.fs.CideryFileSystem(repo=repo, asynchronous=True)
    warm_memory(600)
    target = store(mutable, "/x.zarr", read_only=False)
    tell("to_zarr, cidery:/// (embedded, durable)", seconds(lambda: write(data, target)))
    cid = cidery.fs.CideryFileSystem(repo=repo).cid("/x.zarr")
    tell("open_zarr, local file system", min(seconds(lambda: read(str(folder / "x.zarr"))) for _ in range(rounds)))
    content = cidery.fs.IPFSFileSystem(repo=repo, asynchronous=True)
    tell("open_zarr, ipfs:// (embedded, first time)", seconds(lambda: read(store(content, cid))))
    again = min(seconds(lambda: read(store(content, cid))) for _ in range(rounds))
    tell("open_zarr, ipfs:// (embedded, again)", again)
    cidery.fs.IPFSFileSystem(repo=repo).close()


def gateway(folder: Path, rounds: int) -> None:
    """The same data set by a gateway."""
    import ipfsspec

    repo = folder / "served"
    write(data_set(), str(folder / "y.zarr"))
    with cidery.open(repo, profile="test", offline=True) as node:
        cid = str(node.add(folder / "y.zarr", hidden=True))
    env = {**os.environ, "CIDERY_PATH": str(repo)}
    command = [sys.executable, "-m", "cidery", "daemon"]
    daemon = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)
    try:
        assert daemon.stdout is not None
        while "ready" not in daemon.stdout.readline():
            continue
        url = (repo / "gateway").read_text().strip()
        for _ in range(rounds):
            ours = cidery.fs.IPFSFileSystem(via="gateway", gateways=url, asynchronous=True, skip_instance_cache=True)
            costs("open_zarr over the gateway, ours (verified)", ours, cid, daemon.pid)
            cidery.fs.IPFSFileSystem().close()
            theirs = ipfsspec.AsyncIPFSFileSystem(gateway_addr=url, asynchronous=True, skip_instance_cache=True)
            costs("open_zarr over the gateway, ipfsspec", theirs, cid, daemon.pid)
            sync(theirs._session.close())
    finally:
        daemon.terminate()
        daemon.wait(30)


def costs(what: str, fs: Any, cid: str, daemon: int) -> None:
    """Read the data set, and tell how long that took and what it cost."""
    before = own_cpu(), cpu_seconds(daemon)
    tell(what, seconds(lambda: read(store(fs, cid))))
    print(
        f"{'  CPU here, and of the daemon':44} {own_cpu() - before[0]:6.2f} s {cpu_seconds(daemon) - before[1]:6.2f} s"
    )


def own_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=1024, help="size of the file that ranges are read of")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=("ranges", "zarr", "gateway"))
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=os.environ.get("CIDERY_BENCH_DIR")))
    try:
        if options.only in (None, "ranges"):
            ranges(folder, options.mib, options.rounds)
        if options.only in (None, "zarr"):
            zarr(folder, options.rounds)
        if options.only in (None, "gateway"):
            gateway(folder, options.rounds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
