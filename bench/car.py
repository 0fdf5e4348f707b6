"""CAR import and export of a file, beside the limits of the same run; DAG-CBOR beside the bare library.

    python bench/car.py [MIB=1024] [RUNS=7]

Import: read, sha2-256 in two threads, append, one fdatasync. Export: reading as many bytes from the page cache,
and writing them to a file.
Runs alternate; medians and spread are printed.
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from add_limit import MIB, make_source, run_limit
from cidery.blockstore.segments import SegmentStore
from cidery.core.adding.add import AddOptions, add_root
from cidery.core.car.exporting import export_car
from cidery.core.car.importing import CarStats, import_car, read_pieces
from cidery.core.session import StoreSession
from cidery.ipld import dag_cbor, dag_cbor_native
from cidery.multiformats.cid import CID
from lag import LagMeter, runner
from machine import warm_memory

MARGIN = 256
"""MiB beyond the size of the file that a run touches."""
CBOR_SECONDS = 1.0
"""How long each side of DAG-CBOR is measured."""
CBOR_ENTRIES = 300
"""Entries of the block that is measured: a map with a link, a name, a size and bytes each, 20 KiB in all."""


async def make_car(source: Path, work: Path) -> tuple[Path, CID]:
    """The archive of a file, and its root."""
    store = SegmentStore.open(work / "source-store")
    target = work / "file.car"
    try:
        root = await add_root([source], store, AddOptions())
        with target.open("wb") as file:
            async for chunk in export_car([root], StoreSession(store)):
                file.write(chunk)
    finally:
        await store.close()
    return target, root


async def timed_import(car: Path, store_path: Path, lag: LagMeter) -> float:
    """Seconds until everything is durable."""
    store = SegmentStore.open(store_path)
    try:
        async with lag:
            begun = time.perf_counter()
            await import_car(read_pieces(str(car)), store, CarStats())
            await store.sync()
            return time.perf_counter() - begun
    finally:
        await store.close()
        shutil.rmtree(store_path)


async def timed_export(root: CID, store_path: Path, target: Path | None, lag: LagMeter) -> float:
    """``target``: a file that is written; None to drop what comes."""
    store = SegmentStore.open(store_path)
    out = None if target is None else os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        async with lag:
            begun = time.perf_counter()
            async for chunk in export_car([root], StoreSession(store)):
                if out is not None:
                    os.write(out, chunk)
            return time.perf_counter() - begun
    finally:
        if out is not None:
            os.close(out)
        await store.close()


def timed_read(car: Path, target: Path | None) -> float:
    """The limit of an export: the archive read in pieces of 1 MiB, and written if ``target`` is given."""
    out = None if target is None else os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    begun = time.perf_counter()
    with car.open("rb", buffering=0) as file:
        while chunk := file.read(MIB):
            if out is not None:
                os.write(out, chunk)
    spent = time.perf_counter() - begun
    if out is not None:
        os.close(out)
    return spent


def line(name: str, mib: float, ours: list[float], limit: list[float], lag: LagMeter) -> str:
    mine, theirs = mib / statistics.median(ours), mib / statistics.median(limit)
    return (
        f"{name}: {mine:.0f} MiB/s ({mib / max(ours):.0f}-{mib / min(ours):.0f}); limit {theirs:.0f}"
        f" ({mib / max(limit):.0f}-{mib / min(limit):.0f}); ratio {mine / theirs:.2f};"
        f" largest loop lag {lag.worst * 1000:.0f} ms"
    )


def archives(work: Path, mib: int, runs: int) -> None:
    source = work / "source"
    make_source(source, mib * MIB)
    with runner() as loop:
        car, root = loop.run(make_car(source, work))
    source.unlink()
    imports: list[float] = []
    limits: list[float] = []
    import_lag = LagMeter()
    for _ in range(runs):
        warm_memory(mib + MARGIN)
        with runner() as loop:
            imports.append(loop.run(timed_import(car, work / "store", import_lag)))
        warm_memory(mib + MARGIN)
        limits.append(run_limit(car, work))
    print(line("CAR import", mib, imports, limits, import_lag), flush=True)
    for name, target in (("CAR export, dropped", None), ("CAR export to a file", work / "out.car")):
        exports: list[float] = []
        reads: list[float] = []
        export_lag = LagMeter()
        for _ in range(runs):
            if target is not None:
                warm_memory(mib + MARGIN)
            with runner() as loop:
                exports.append(loop.run(timed_export(root, work / "source-store", target, export_lag)))
            if target is not None:
                target.unlink()
                warm_memory(mib + MARGIN)
            reads.append(timed_read(car, target))
            if target is not None:
                target.unlink()
        print(line(name, mib, exports, reads, export_lag), flush=True)


def rate(step: Callable[[], object], size: int) -> float:
    """MB/s of a function that handles ``size`` bytes."""
    done, begun = 0, time.perf_counter()
    while (spent := time.perf_counter() - begun) < CBOR_SECONDS:
        step()
        done += size
    return done / spent / 1e6


def codec() -> None:
    """Ours with what is installed, ours in Python alone, and bare cbrrr (if installed) with our CID type."""
    entries: list[dag_cbor.Value] = [
        {"Hash": CID.of(os.urandom(8)), "Name": f"file-{at}", "Size": at * 1000} for at in range(CBOR_ENTRIES)
    ]
    value: dag_cbor.Value = {"entries": entries, "version": 1}
    block = dag_cbor.encode(value)
    size = len(block)
    both = {
        "ours": (lambda: dag_cbor.decode(block), lambda: dag_cbor.encode(value)),
        "ours in Python": (lambda: dag_cbor.decode_here(block), lambda: dag_cbor.encode_here(value)),
    }
    if dag_cbor_native.AVAILABLE:
        import cbrrr

        both["bare cbrrr"] = (
            lambda: cbrrr.decode_dag_cbor(block, False, CID.decode),
            lambda: cbrrr.encode_dag_cbor(value, False, CID),
        )
    for name, (decode, encode) in both.items():
        print(
            f"DAG-CBOR of {size} bytes, {name}: decode {rate(decode, size):.1f} MB/s,"
            f" encode {rate(encode, size):.1f} MB/s",
            flush=True,
        )


def main() -> None:
    mib = int(sys.argv[1]) if len(sys.argv) > 1 else 1024
    runs = int(sys.argv[2]) if len(sys.argv) > 2 else 7
    codec()
    with tempfile.TemporaryDirectory(prefix="cidery-bench-") as work:
        archives(Path(work), mib, runs)


if __name__ == "__main__":
    main()
