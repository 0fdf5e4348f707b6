"""``cidery.testing`` as another project uses it: a network from a seed, and the pytest fixture."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cidery.errors import InvalidInput
from cidery.libp2p.io.dial_errors import DialFailed
from cidery.libp2p.io.stream import Stream
from cidery.testing import HostLine, Link, Simulation, simulate

ROOT = Path(__file__).resolve().parents[2]
SOURCES, PAGE = str(ROOT / "src"), ROOT / "docs" / "testing.md"
ECHO = "/echo/1"


def test_a_hundred_nodes_start_within_two_seconds():
    async def main(network: Simulation) -> float:
        began = time.perf_counter()
        nodes = await network.start(100, dht=True)
        for node in nodes[1:]:
            await node.connect(nodes[0])
        return time.perf_counter() - began

    assert simulate(main) < 2.0


def test_a_file_takes_the_time_of_its_line_and_no_real_time():
    data = bytes(1_000_000)

    async def main(network: Simulation) -> tuple[float, int]:
        owner, reader = await network.start(2)
        network.set_link(owner, reader, Link(latency=0.1))
        network.set_line(owner, HostLine(uplink=100_000))
        cid = await owner.add(data)
        await reader.connect(owner)
        began = network.now
        assert await reader.read(cid) == data
        return network.now - began, network.carried(owner)[0]

    began = time.perf_counter()
    took, carried = simulate(main)
    assert 10 < took < 11 and 1_000_000 < carried < 1_100_000
    assert time.perf_counter() - began < 5


@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (lambda: Link(latency=-0.1), "latency of a Link is a number from 0 up, not -0.1"),
        (lambda: Link(jitter=float("nan")), "jitter of a Link is a number from 0 up, not nan"),
        (lambda: Link(loss=2), "loss of a Link is a share from 0 to 1, not 2"),
        (lambda: HostLine(uplink=-1), "uplink of a HostLine is a number from 0 up, not -1"),
    ],
)
def test_a_line_that_cannot_be_is_refused(make: Callable[[], object], fault: str) -> None:
    with pytest.raises(InvalidInput, match=fault):
        make()


def test_the_same_seed_gives_the_same_run_and_another_seed_another():
    async def main(network: Simulation) -> str:
        one, two = await network.start(2)
        cid = await one.add(network.random.randbytes(300_000))
        await two.connect(one)
        await two.read(cid)
        return network.network.trace

    link = Link(0.02, jitter=0.01, loss=0.05)
    assert simulate(main, seed=4, link=link) == simulate(main, seed=4, link=link)
    assert simulate(main, seed=4, link=link) != simulate(main, seed=5, link=link)


def test_a_program_serves_and_speaks_a_protocol_of_its_own():
    async def echo(stream: Stream) -> None:
        while data := await stream.read(1000):
            await stream.write(data)

    async def main(network: Simulation) -> bytes:
        one, two = await network.start(2)
        await one.serve(ECHO, echo)
        stream = await two.open(one, ECHO)
        await stream.write(b"hello")
        return bytes(await stream.read(5))

    assert simulate(main) == b"hello"


def test_partitions_are_silent_and_heal():
    async def main(network: Simulation) -> None:
        west, east = await network.start(2), await network.start(2)
        await network.connect_all(west + east)
        cid = await west[0].add(bytes(100))
        network.partition(west, east)
        reading = asyncio.create_task(east[0].read(cid))
        await asyncio.sleep(10)
        assert await west[1].read(cid) == bytes(100) and not reading.done()
        network.heal(west, east)
        assert await reading == bytes(100)

    simulate(main)


def test_a_node_behind_a_router_dials_out_and_is_dialled_by_its_neighbours_only_until_a_port_is_forwarded():
    async def main(network: Simulation) -> None:
        (outside,) = await network.start(public=True)
        hidden, neighbour = await network.start(2, router="82.1.1.1")
        await hidden.connect(neighbour)
        with pytest.raises(DialFailed):
            await outside.connect(hidden)
        await hidden.connect(outside)
        assert str(outside.connections[0].remote_addr).startswith("/ip4/82.1.1.1/tcp/")
        cid = await hidden.add(b"from inside")
        assert await outside.read(cid) == b"from inside"
        network.network.forward("82.1.1.1", 4444, hidden.address, 4001)
        (late,) = await network.start(public=True)
        await late.network.connect(type(hidden.addr).tcp("82.1.1.1", 4444).with_peer(hidden.peer.multihash))
        assert await late.read(cid) == b"from inside"

    simulate(main)


def examples() -> list[str]:
    return [part.partition("```")[0] for part in PAGE.read_text().split("```python\n")[1:]]


def test_the_examples_of_the_page_do_what_it_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    fixture, script = examples()
    assert "1 passed" in pytest_run(tmp_path, fixture)
    exec(compile(script, str(PAGE), "exec"), {"__name__": "example"})
    said = float(script.rpartition("# ")[2].split(":")[0])
    assert float(capsys.readouterr().out) == pytest.approx(said, abs=0.1)


def pytest_run(folder: Path, test: str, *options: str) -> str:
    (folder / "test_it.py").write_text(test)
    plugin = ["-p", "cidery.testing.pytest_plugin", "-p", "no:cacheprovider", "-p", "no:xdist"]
    command = [sys.executable, "-m", "pytest", *plugin, "--rootdir", str(folder), *options, str(folder)]
    environment = os.environ | {"PYTHONPATH": SOURCES}
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment).stdout


def test_the_fixture_runs_a_test_in_virtual_time_and_a_failure_tells_the_seed(tmp_path: Path):
    out = pytest_run(
        tmp_path,
        """
def test_good(cidery_network):
    async def main(network):
        owner, reader = await network.start(2)
        cid = await owner.add(b"hello")
        await reader.connect(owner)
        assert await reader.read(cid) == b"hello"
    cidery_network.run(main)

def test_bad(cidery_network):
    async def main(network):
        assert network.random.random() > 1
    cidery_network.run(main)
""",
        "--cidery-seed=7",
    )
    assert "1 failed, 1 passed" in out and "seed 7; repeat with --cidery-seed=7" in out


def test_the_plugin_imports_next_to_nothing_before_a_test_asks_for_it(tmp_path: Path):
    out = pytest_run(
        tmp_path,
        """
import sys
def test_it():
    print(sorted(name for name in sys.modules if name.startswith(("cidery", "numpy", "cryptography", "lmdb"))))
""",
        "-s",
        "-pno:zarr",  # whose own plugin imports numpy
    )
    assert "['cidery', 'cidery.testing', 'cidery.testing.pytest_plugin', 'cidery.version']" in out


def test_nobody_is_started_only_by_mistake():
    async def main(network: Simulation) -> None:
        for count in (0, -1):
            with pytest.raises(InvalidInput, match=f"1 node or more, not {count}"):
                await network.start(count)

    simulate(main)
