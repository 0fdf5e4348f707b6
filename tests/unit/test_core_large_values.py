"""Large values are decoded in a thread, and paths go through large blocks without making their values."""

import gc
import threading

import pytest

from cidery.core.reading.large_values import in_thread_if_large
from cidery.core.reading.resolve import InsideBlock
from cidery.ipld import dag_cbor, dag_json
from cidery.ipld.links import SCAN_BYTES
from cidery.ipld.path import NoSuchPath
from cidery.multiformats.cid import CID


async def test_small_values_are_worked_on_at_once_and_large_ones_in_another_thread():
    assert await in_thread_if_large(threading.get_ident, SCAN_BYTES) == threading.get_ident()
    assert await in_thread_if_large(threading.get_ident, SCAN_BYTES + 1) != threading.get_ident()


async def test_the_garbage_collector_rests_meanwhile_and_goes_on_after():
    assert gc.isenabled()
    assert await in_thread_if_large(gc.isenabled, SCAN_BYTES + 1) is False
    with pytest.raises(ZeroDivisionError):
        await in_thread_if_large(lambda: 1 // 0, SCAN_BYTES + 1)
    assert gc.isenabled()


@pytest.mark.parametrize("codec", ["dag-cbor", "dag-json"])
async def test_paths_lead_through_large_blocks(shell, codec):
    leaf = CID.parse((await shell.run("dag put --input-codec=dag-json", b'{"x":[7]}')).strip())
    value = {"a": {"b": [0, {"c": leaf}]}, "a/b": CID.of(b"other", 0x55), "pad": "p" * SCAN_BYTES}
    line = f"dag put --input-codec=dag-json --store-codec={codec}"
    root = (await shell.run(line, dag_json.encode(value))).strip()
    assert await shell.run(f"dag get {root}/a/b/1/c/x/0") == "7"
    assert await shell.run(f"dag get {root}/a/b/0") == "0"
    assert (await shell.run(f"dag resolve {root}/a/b/1/c")).strip() == str(leaf)
    with pytest.raises(NoSuchPath):
        await shell.run(f"dag get {root}/a/c")
    with pytest.raises(InsideBlock):
        await shell.run(f"refs {root}/a/b")
    assert (await shell.run(f"refs {root}")).split() == [str(leaf), str(CID.of(b"other", 0x55))]


async def test_a_large_block_of_plain_json_has_no_links_on_the_way(shell):
    body = b'{"a":"' + b"x" * SCAN_BYTES + b'"}'
    root = (await shell.run("dag put --input-codec=json --store-codec=json", body)).strip()
    assert (await shell.run(f"dag get {root}/a")).strip('"\n') == "x" * SCAN_BYTES
    assert dag_cbor.encode("x" * SCAN_BYTES) == (await shell.run(f"dag get --output-codec=dag-cbor {root}/a")).encode(
        "latin-1"
    )
