"""``add`` of one file, durable, default profile, beside the bare limit of the same run; and of many small files.

    python bench/add.py [MIB=1024] [RUNS=7] [FILES=100000]

Runs alternate; medians and spread are printed, and the largest lag of the event loop. The file is the keystream of
IPIP-499, so at 1024 MiB its CIDs are checked against the published ones.
"""

import hashlib
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Coroutine
from pathlib import Path

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20

from add_limit import MIB, run_limit
from cidery.blockstore.memory import MemoryStore
from cidery.blockstore.segments import SegmentStore
from cidery.core.adding.add import AddOptions, add_root
from cidery.unixfs.profile import UNIXFS_V0_2015, UNIXFS_V1_2025, Profile
from lag import LagMeter, runner
from machine import warm_memory
from others import start_kubo

FILES_PER_DIRECTORY = 1000
KUBO_SECONDS = 300.0
"""Longest wait for Kubo's add."""
MARGIN = 256
"""MiB beyond the size of the file that a run touches: buffers, segments."""
SMALL = 1024
"""Bytes of a small file."""


VECTOR_MIB = 1024
VECTOR_CIDS = {
    0: "bafybeihmf37wcuvtx4hpu7he5zl5qaf2ineo2lqlfrapokkm5zzw7zyhvm",
    1: "bafybeibdsi225ugbkmpbdohnxioyab6jsqrmkts3twhpvfnzp77xtzpyhe",
}
"""Bytes beyond 1024 MiB -> CID in the profile unixfs-v1-2025 (IPIP-499)."""


def make_keystream(path: Path, mib: int) -> bytes:
    """The input of IPIP-499: a ChaCha20 keystream keyed by a seed; left in the page cache. Returns its next byte."""
    key = hashlib.sha256(b"v1-2025-seed").digest()
    stream = Cipher(ChaCha20(key, bytes(16)), None).encryptor()
    zeros = bytes(MIB)
    with path.open("wb") as file:
        for _ in range(mib):
            file.write(stream.update(zeros))
        file.flush()
        os.fsync(file.fileno())
    return stream.update(b"\0")


async def check_vectors(path: Path, next_byte: bytes) -> None:
    for more, cid in VECTOR_CIDS.items():
        if more:
            with path.open("ab") as file:
                file.write(next_byte)
        found = await add_root([path], MemoryStore(), AddOptions(only_hash=True))
        if str(found) != cid:
            raise SystemExit(f"wrong CID for 1 GiB and {more} bytes: {found}, not {cid}")
    print("add: both 1 GiB vectors of IPIP-499 have their CIDs", flush=True)


async def timed_add(path: Path, store_path: Path, lag: LagMeter, profile: Profile = UNIXFS_V1_2025) -> float:
    """Seconds from the call until the root is durable."""
    store = SegmentStore.open(store_path)
    try:
        async with lag:
            begun = time.perf_counter()
            await add_root([path], store, AddOptions(profile=profile))
            return time.perf_counter() - begun
    finally:
        await store.close()
        shutil.rmtree(store_path)


def run(adding: Coroutine[None, None, float]) -> float:
    with runner() as loop:
        return loop.run(adding)


def make_small_files(root: Path, count: int) -> None:
    for number in range(count):
        folder = root / f"{number // FILES_PER_DIRECTORY:04}"
        if number % FILES_PER_DIRECTORY == 0:
            folder.mkdir(parents=True)
        (folder / f"{number:06}").write_bytes(number.to_bytes(8, "big") * (SMALL // 8))


def run_small_limit(root: Path, directory: Path) -> float:
    """Seconds to scan, read, hash and append small files in one bare loop, with one fdatasync."""
    begun = time.perf_counter()
    out = os.open(directory / "small", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    batch: list[bytes] = []
    for folder in sorted(os.scandir(root), key=lambda entry: entry.name):
        for entry in sorted(os.scandir(folder.path), key=lambda entry: entry.name):
            fd = os.open(entry.path, os.O_RDONLY)
            data = os.read(fd, SMALL + 1)
            os.close(fd)
            hashlib.sha256(data).digest()
            batch.append(data)
            if len(batch) == 512:
                os.writev(out, batch)
                batch.clear()
    os.writev(out, batch)
    os.fdatasync(out)
    os.close(out)
    return time.perf_counter() - begun


def line(name: str, unit: str, ours: list[float], limit: list[float], lag: LagMeter) -> str:
    mine, theirs = statistics.median(ours), statistics.median(limit)
    return (
        f"{name}: {mine:.0f} {unit} ({min(ours):.0f}-{max(ours):.0f}); limit {theirs:.0f}"
        f" ({min(limit):.0f}-{max(limit):.0f}); ratio {mine / theirs:.2f}; largest loop lag {lag.worst * 1000:.0f} ms"
    )


def kubo_add(source: Path, root: Path) -> float:
    """Seconds that Kubo 0.22 takes, with its own profile and store, in a fresh repository."""
    with start_kubo(root) as kubo:
        begun = time.perf_counter()
        kubo.ask("add", str(source), seconds=KUBO_SECONDS)
        seconds = time.perf_counter() - begun
    shutil.rmtree(root)
    return seconds


def beside_kubo(work: Path, source: Path, amount: int, unit: str, runs: int, warm: int) -> None:
    """Ours and Kubo's, both with Kubo's profile (CIDv0, 256 KiB, 174 links), alternating. ``amount``: in ``unit``."""
    ours: list[float] = []
    kubo: list[float] = []
    lag = LagMeter()
    for number in range(2 * runs):
        warm_memory(warm)
        if number % 4 in (0, 3):
            kubo.append(amount / kubo_add(source, work / "kubo"))
        else:
            ours.append(amount / run(timed_add(source, work / "store", lag, UNIXFS_V0_2015)))
    name = f"add {amount} {unit}, unixfs-v0-2015"
    print(line(name, f"{unit}/s", ours, kubo, lag).replace("limit", "Kubo 0.22"), flush=True)


def main() -> None:
    numbers = [int(text) for text in sys.argv[1:]]
    mib, runs, files = (numbers + [1024, 7, 100_000][len(numbers) :])[:3]
    with tempfile.TemporaryDirectory(dir=os.environ.get("CIDERY_BENCH_DIR")) as name:
        work = Path(name)
        next_byte = make_keystream(work / "source", mib)
        ours: list[float] = []
        limit: list[float] = []
        lag = LagMeter()
        for number in range(2 * runs):
            warm_memory(mib + MARGIN)
            if number % 4 in (0, 3):  # limit, ours, ours, limit: neither always goes first
                limit.append(mib / run_limit(work / "source", work))
            else:
                ours.append(mib / run(timed_add(work / "source", work / "store", lag)))
        print(line(f"add {mib} MiB", "MiB/s", ours, limit, lag), flush=True)
        beside_kubo(work, work / "source", mib, "MiB", min(3, runs), mib + MARGIN)
        if mib == VECTOR_MIB:
            with runner() as loop:
                loop.run(check_vectors(work / "source", next_byte))
        (work / "source").unlink()
        make_small_files(work / "small-files", files)
        ours, limit, lag = [], [], LagMeter()
        for _ in range(runs):
            limit.append(files / run_small_limit(work / "small-files", work))
            ours.append(files / run(timed_add(work / "small-files", work / "store", lag)))
        print(line(f"add {files} files of 1 KiB", "files/s", ours, limit, lag), flush=True)
        beside_kubo(work, work / "small-files", files, "files", min(3, runs), MARGIN)


if __name__ == "__main__":
    main()
