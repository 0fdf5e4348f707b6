"""The pytest plugin: a fixture ``cidery_network`` that runs a test's network in virtual time, from a seed.

    def test_a_reader_gets_the_file(cidery_network):
        async def main(network):
            owner, reader = await network.start(2)
            cid = await owner.add(b"hello")
            await reader.connect(owner)
            assert await reader.read(cid) == b"hello"

        cidery_network.run(main)

A failed test says which seed it had; ``pytest --cidery-seed=7`` runs all with another. Nothing of Cidery is imported
before a test asks for the fixture.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

if TYPE_CHECKING:
    from cidery.testing.memory_network import Link
    from cidery.testing.simulation import Simulation

T = TypeVar("T")


class CideryNetwork:
    """The value of the fixture."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        """Of every run of this test, unless it says otherwise."""
        self.runs: list[int] = []
        """Seeds that were used."""

    def run(
        self, main: Callable[[Simulation], Awaitable[T]], *, seed: int | None = None, link: Link | None = None
    ) -> T:
        """Run ``main(network)`` in virtual time and return what it returns; see ``cidery.testing.simulate``.

        ``seed`` None: that of the fixture. ``link``: between hosts that have none of their own. Not from an async
        test: there a loop is running already, and its time is real.
        """
        from cidery.testing.simulation import simulate

        seed = self.seed if seed is None else seed
        self.runs.append(seed)
        return simulate(main, seed=seed, link=link)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("cidery").addoption(
        "--cidery-seed", type=int, default=0, metavar="N", help="seed of the networks of cidery_network (default: 0)"
    )


@pytest.fixture
def cidery_network(request: pytest.FixtureRequest) -> CideryNetwork:
    """Runs networks of nodes in memory, in virtual time: ``cidery_network.run(main)``."""
    return CideryNetwork(request.config.getoption("--cidery-seed"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Say with a failure how to repeat it."""
    report = yield
    used: Any = getattr(item, "funcargs", {}).get("cidery_network")
    if report.failed and isinstance(used, CideryNetwork) and used.runs:
        report.sections.append(("cidery network", f"seed {used.runs[-1]}; repeat with --cidery-seed={used.runs[-1]}"))
    return report
