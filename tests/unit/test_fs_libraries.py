"""The programs that scientists use, over the file systems: pandas, pyarrow, xarray, zarr, DuckDB, datasets."""

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed: pip install 'cidery[fs]'")

import cidery  # noqa: E402
import cidery.fs  # noqa: E402

MISSING = "not installed: pip install 'cidery[data-test]'"
ROWS = 10_000


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("libraries") / "repo"
    with cidery.open(path, profile="test", offline=True):
        pass
    cidery.fs.register()
    yield path
    cidery.fs.CideryFileSystem(repo=str(path)).close()


@pytest.fixture
def options(repo: Path) -> dict[str, Any]:
    """What programs pass on as storage_options."""
    return {"repo": str(repo)}


def table() -> Any:
    pandas = pytest.importorskip("pandas", reason=MISSING)
    return pandas.DataFrame({"number": range(ROWS), "text": [f"row {i}" for i in range(ROWS)]})


def test_pandas_writes_and_reads_csv(options: dict[str, Any]) -> None:
    pandas = pytest.importorskip("pandas", reason=MISSING)
    table().to_csv("cidery:///pandas/table.csv", index=False, storage_options=options)
    cid = fsspec.filesystem("cidery", **options).cid("/pandas")
    back = pandas.read_csv(f"ipfs://{cid}/table.csv", storage_options=options)
    assert back.equals(table())


def test_pandas_and_pyarrow_read_columns_of_parquet(options: dict[str, Any]) -> None:
    pandas = pytest.importorskip("pandas", reason=MISSING)
    parquet = pytest.importorskip("pyarrow.parquet", reason=MISSING)
    table().to_parquet("cidery:///parquet/table.parquet", storage_options=options)
    cid = fsspec.filesystem("cidery", **options).cid("/parquet")
    back = pandas.read_parquet(f"ipfs://{cid}/table.parquet", columns=["number"], storage_options=options)
    assert list(back.columns) == ["number"] and back["number"].sum() == sum(range(ROWS))
    whole = parquet.read_table(f"{cid}/table.parquet", filesystem=fsspec.filesystem("ipfs", **options))
    assert whole.num_rows == ROWS


def test_pyarrow_writes_and_reads_a_partitioned_data_set(options: dict[str, Any]) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason=MISSING)
    dataset = pytest.importorskip("pyarrow.dataset", reason=MISSING)
    fs = fsspec.filesystem("cidery", **options)
    rows = pyarrow.table({"year": [2024, 2024, 2025], "value": [1, 2, 3]})
    dataset.write_dataset(rows, "/years", format="parquet", partitioning=["year"], filesystem=fs)
    content = fsspec.filesystem("ipfs", **options)
    found = dataset.dataset(fs.cid("/years"), format="parquet", partitioning=["year"], filesystem=content)
    assert found.to_table(filter=dataset.field("year") == 2024)["value"].to_pylist() == [1, 2]


def test_duckdb_queries_parquet_by_its_cid(options: dict[str, Any]) -> None:
    duckdb = pytest.importorskip("duckdb", reason=MISSING)
    pytest.importorskip("pyarrow", reason=MISSING)
    table().to_parquet("cidery:///duck/table.parquet", storage_options=options)
    cid = fsspec.filesystem("cidery", **options).cid("/duck")
    with duckdb.connect() as connection:
        connection.register_filesystem(fsspec.filesystem("ipfs", **options))
        found = connection.sql(f"select max(number), count(*) from 'ipfs://{cid}/table.parquet'").fetchall()
    assert found == [(ROWS - 1, ROWS)]


def test_xarray_and_zarr_keep_a_data_set_and_read_only_the_chunks_that_are_asked_for(options: dict[str, Any]) -> None:
    xarray = pytest.importorskip("xarray", reason=MISSING)
    numpy = pytest.importorskip("numpy", reason=MISSING)
    pytest.importorskip("zarr", reason=MISSING)
    values = numpy.random.default_rng(1).random((8, 256, 256))
    data = xarray.Dataset({"heat": (("time", "y", "x"), values)}, coords={"time": numpy.arange(8)})
    # chunks that no codec can make smaller: each of them is half a MiB, so one block
    data.to_zarr(
        "cidery:///scratch/heat.zarr",
        mode="w",
        encoding={"heat": {"chunks": (1, 256, 256)}},
        storage_options=options,
        consolidated=False,
        zarr_format=3,
    )
    mutable = fsspec.filesystem("cidery", **options)
    cid = mutable.cid("/scratch/heat.zarr")
    content = fsspec.filesystem("ipfs", **options)
    with xarray.open_zarr(f"ipfs://{cid}", storage_options=options, consolidated=False, chunks=None) as opened:
        before = content.blocks_read()
        one = opened["heat"].isel(time=3).values
        assert content.blocks_read() - before == 4  # the chunk, and the folders c, c/3 and c/3/0 on its way
        assert numpy.array_equal(one, values[3])
        assert numpy.array_equal(opened["heat"].values, values)


def test_zarr_reads_through_a_store_of_its_own_loop(options: dict[str, Any]) -> None:
    zarr = pytest.importorskip("zarr", reason=MISSING)
    numpy = pytest.importorskip("numpy", reason=MISSING)
    from zarr.storage import FsspecStore

    writable = FsspecStore(fsspec.filesystem("cidery", asynchronous=True, **options), path="/own-loop")
    array = zarr.create_array(writable, shape=(1000,), chunks=(100,), dtype="i8", fill_value=-1)
    array[:500] = numpy.arange(500)
    cid = fsspec.filesystem("cidery", **options).cid("/own-loop")
    store = FsspecStore.from_url(f"ipfs://{cid}", read_only=True, storage_options=options)
    back = zarr.open_array(store, mode="r")
    assert back[:500].sum() == sum(range(500))
    assert (back[500:] == -1).all()  # chunks that were never written

    async def keys() -> list[str]:
        return sorted([key async for key in store.list()])

    assert asyncio.run(keys()) == ["c/0", "c/1", "c/2", "c/3", "c/4", "zarr.json"]


def test_a_chunk_that_cannot_be_had_is_an_error_and_not_a_fill_value(options: dict[str, Any], repo: Path) -> None:
    zarr = pytest.importorskip("zarr", reason=MISSING)
    from zarr.storage import FsspecStore

    array = zarr.create_array(
        FsspecStore(fsspec.filesystem("cidery", asynchronous=True, **options), path="/lost"),
        shape=(2_000_000,),
        chunks=(500_000,),
        dtype="u1",
        compressors=None,
    )
    array[:] = 7
    fs = fsspec.filesystem("cidery", **options)
    cid = fs.cid("/lost")
    chunk = fs.cid("/lost/c/0")  # all chunks are the same bytes, and so one block
    fs.rm("/lost", recursive=True)

    async def lose() -> None:
        async with cidery.Node(repo, offline=True) as node:
            await node.api.store.delete_many([cidery.CID.parse(chunk)])

    asyncio.run(lose())
    back = zarr.open_array(FsspecStore.from_url(f"ipfs://{cid}", read_only=True, storage_options=options), mode="r")
    with pytest.raises(OSError, match="is not stored here"):
        back[:10]


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="datasets pickles with dill, which does not know this Python")
def test_datasets_loads_files_by_their_cid(options: dict[str, Any], tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nothing leaves this machine
    monkeypatch.setenv("HF_UPDATE_DOWNLOAD_COUNTS", "0")
    datasets = pytest.importorskip("datasets", reason=MISSING)
    table().to_parquet("cidery:///hugging/table.parquet", storage_options=options)
    cid = fsspec.filesystem("cidery", **options).cid("/hugging")
    found = datasets.load_dataset(
        "parquet",
        data_files=f"ipfs://{cid}/table.parquet",
        split="train",
        storage_options=dict(options),
        cache_dir=str(tmp_path),
    )
    assert found.num_rows == ROWS and found[5]["text"] == "row 5"
