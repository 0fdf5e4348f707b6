"""What long commands draw on a terminal, with and without a daemon, and that nothing of it is elsewhere."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from peers.cidery_daemon import CLI, CideryDaemon

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs pseudo terminals")
SIZE = 60_000_000


class Place:
    """A repository with a file and its archive; ``run()`` draws on a terminal or not."""

    def __init__(self, folder: Path, repo: Path, cid: str) -> None:
        self.folder = folder
        self.cid = cid
        self._env = {**os.environ, "CIDERY_PATH": str(repo), "COLUMNS": "200"}

    def run(self, *words: str, terminal: bool) -> tuple[str, bytes]:
        """(standard error, standard output, which is a file)."""
        out = self.folder / "out"
        if not terminal:
            done = subprocess.run([*CLI, *words], env=self._env, capture_output=True, cwd=self.folder, check=True)
            return done.stderr.decode(), done.stdout
        import pty

        outer, inner = pty.openpty()
        drawn: list[bytes] = []
        with out.open("wb") as file:
            process = subprocess.Popen(
                [*CLI, *words], env=self._env, stdout=file, stderr=inner, stdin=subprocess.DEVNULL, cwd=self.folder
            )
            os.close(inner)
            with contextlib.suppress(OSError):  # how Linux reports the end
                while data := os.read(outer, 4096):
                    drawn.append(data)
            os.close(outer)
            assert process.wait() == 0, b"".join(drawn)
        return b"".join(drawn).decode(), out.read_bytes()


@pytest.fixture(scope="module", params=["alone", "daemon"])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("progress")
    with CideryDaemon(folder / "node") as node:
        (folder / "file").write_bytes(os.urandom(SIZE))
        cid = node.run("add", "-Q", "--chunker=size-65536", str(folder / "file")).strip()
        made = Place(folder, node.repo, cid)
        if request.param == "alone":
            node.close()
        (folder / "file.car").write_bytes(made.run("dag", "export", cid, terminal=False)[1])
        yield made


@pytest.mark.parametrize(
    ("words", "drawn"),
    [
        ("cat CID", "MiB/s"),
        ("dag export CID", "MiB/s"),
        ("dag import file.car", ""),
        ("pin add CID", "blocks"),
        ("repo verify", "blocks"),
        ("repo gc", "blocks"),
    ],
)
def test_a_long_command_draws_on_a_terminal_alone(place: Place, words: str, drawn: str) -> None:
    line = words.replace("CID", place.cid).split()
    plain, result = place.run(*line, terminal=False)
    assert plain == ""
    shown, again = place.run(*line, terminal=True)
    assert drawn in shown, shown[-500:]
    assert again == result, "results are the same, and nothing of the progress is among them"


def test_who_does_not_want_it_does_not_get_it(place: Place) -> None:
    assert place.run("pin", "add", "--progress=false", place.cid, terminal=True)[0] == ""
    assert place.run("pin", "add", "--enc=json", place.cid, terminal=True)[1].count(b"\n") == 1
    assert place.run("cat", "--progress=false", place.cid, terminal=True)[0] == ""
