"""fsspec's own suite for implementations, over the mutable files of an embedded repository."""

from collections.abc import Iterator
from pathlib import Path

import pytest

fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed: pip install 'cidery[fs]'")
from fsspec.tests import abstract  # noqa: E402

import cidery  # noqa: E402
import cidery.fs  # noqa: E402


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("abstract") / "repo"
    with cidery.open(path, profile="test", offline=True):
        pass
    yield path
    cidery.fs.CideryFileSystem(repo=str(path)).close()


class Fixtures(abstract.AbstractFixtures):
    @pytest.fixture
    def fs(self, repo: Path) -> cidery.fs.CideryFileSystem:
        return cidery.fs.CideryFileSystem(repo=str(repo))

    @pytest.fixture
    def fs_path(self) -> str:
        return "/tests"

    @pytest.fixture
    def fs_join(self):
        return lambda *parts: "/".join(parts)


class TestCopy(abstract.AbstractCopyTests, Fixtures):
    pass


class TestGet(abstract.AbstractGetTests, Fixtures):
    pass


class TestPut(abstract.AbstractPutTests, Fixtures):
    pass


class TestPipe(abstract.AbstractPipeTests, Fixtures):
    pass


class TestOpen(abstract.AbstractOpenTests, Fixtures):
    pass
