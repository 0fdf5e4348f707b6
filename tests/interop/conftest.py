"""Real peers in processes of their own. A peer serves a whole run; Cidery nodes are new for each test."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from peers.cidery_daemon import CideryDaemon
from peers.installed import go_command, helia_command, kubo_command, pylibp2p_command
from peers.line_peer import LinePeer
from peers.trees import write_file, write_tree

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.interop)


@pytest.fixture
def cidery(tmp_path: Path) -> Iterator[Callable[..., CideryDaemon]]:
    """Makes daemons; all are stopped at the end."""
    with ExitStack() as stack:
        made: list[CideryDaemon] = []

        def make(config: dict[str, str] | None = None, swarm_key: str = "") -> CideryDaemon:
            made.append(stack.enter_context(CideryDaemon(tmp_path / f"cidery{len(made)}", config, swarm_key)))
            return made[-1]

        yield make


@pytest.fixture(scope="session")
def kubo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LinePeer]:
    folder = tmp_path_factory.mktemp("kubo")
    with LinePeer(kubo_command(folder / "repo"), folder / "log") as peer:
        yield peer


@pytest.fixture(scope="session")
def go(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LinePeer]:
    """The newest generation of what Kubo is made of."""
    with LinePeer(go_command(), tmp_path_factory.mktemp("go") / "log") as peer:
        yield peer


@pytest.fixture
def new_go(tmp_path: Path) -> Iterator[LinePeer]:
    """One that has no blocks yet."""
    (tmp_path / "go").mkdir()
    with LinePeer(go_command(), tmp_path / "go" / "log") as peer:
        yield peer


@pytest.fixture(scope="session")
def helia(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LinePeer]:
    folder = tmp_path_factory.mktemp("helia")
    with LinePeer(helia_command(), folder / "log") as peer:
        yield peer


@pytest.fixture
def new_helia(tmp_path: Path) -> Iterator[LinePeer]:
    """A Helia that has no blocks yet."""
    with LinePeer(helia_command(), tmp_path / "helia.log") as peer:
        yield peer


@pytest.fixture(scope="session")
def pylibp2p(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LinePeer]:
    folder = tmp_path_factory.mktemp("pylibp2p")
    with LinePeer(pylibp2p_command(), folder / "log") as peer:
        yield peer


@pytest.fixture(scope="session")
def a_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """64 MiB."""
    return write_file(tmp_path_factory.mktemp("file") / "file.bin")


@pytest.fixture(scope="session")
def a_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """500 files in nested folders, and symlinks."""
    return write_tree(tmp_path_factory.mktemp("tree") / "tree")
