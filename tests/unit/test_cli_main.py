"""The program: parsing, help, errors in one line, what runs without a daemon, what it imports."""

import contextlib
import gzip
import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from cidery.cli import dispatch
from cidery.cli.arguments import split
from cidery.cli.main import main
from cidery.cli.output import printable
from cidery.commands.bind import BadCall
from cidery.commands.registry import all_commands
from cidery.errors import CideryError
from cidery.repo.layout import RepoLayout
from cidery.repo.lock import RepoLock

HEAVY = ("asyncio", "aiohttp", "cryptography", "lmdb", "google.protobuf", "http.client", "rich", "ssl", "dataclasses")


class Result(NamedTuple):
    code: int
    out: str
    err: str


Run = Callable[..., Result]


class Stdin:
    """Standard input that is no terminal."""

    def __init__(self, data: bytes, path: Path) -> None:
        path.write_bytes(data)
        self.buffer = path.open("rb")
        self._text = io.StringIO(data.decode())

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        return self.buffer.fileno()

    def __iter__(self) -> Iterator[str]:
        return iter(self._text)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Iterator[Run]:
    monkeypatch.setenv("CIDERY_PATH", str(tmp_path / "repo"))
    monkeypatch.chdir(tmp_path)
    opened: list[Stdin] = []

    def invoke(*words: str | Path, stdin: bytes = b"") -> Result:
        opened.append(Stdin(stdin, tmp_path / "stdin"))
        monkeypatch.setattr(sys, "stdin", opened[-1])
        capfdbinary.readouterr()
        code = main([str(word) for word in words])
        sys.stdout.flush()
        captured = capfdbinary.readouterr()
        return Result(code, captured.out.decode(), captured.err.decode())

    yield invoke
    for stdin in opened:
        stdin.buffer.close()


@pytest.fixture
def repo(run: Run) -> Run:
    assert run("init", "--profile=test").code == 0
    return run


@pytest.mark.parametrize("words", [["version"], ["add", "--help"], ["help"], ["nonsense"], ["cat", "--bad"]])
def test_a_start_without_a_node_imports_next_to_nothing(words: list[str]) -> None:
    code = (
        "import sys\nfrom cidery.cli.main import main\nmain(sys.argv[1:])\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_importing_the_package_imports_next_to_nothing() -> None:
    code = f"import sys, cidery; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_options_may_stand_anywhere_and_be_written_in_every_way() -> None:
    for line in (
        "--repo-dir=x add -rw -s size-10 --pin=false a b",
        "add a -r -w --chunker=size-10 b --pin=0 --repo-dir x",
        "add -rwssize-10 --pin=F -- a b --repo-dir",
    ):
        split_line = split(line.split())
        assert split_line.command is not None and split_line.command.path == ("add",)
        assert split_line.arguments[:2] == ["a", "b"]
        assert dict(split_line.options).items() >= {"r": "true", "w": "true"}.items()


def test_a_value_that_is_missing_is_named() -> None:
    with pytest.raises(BadCall, match="'--chunker' needs a value"):
        split(["add", "x", "--chunker"])


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (["adn"], "did you mean 'add'"),
        (["add", "--recursiv", "x"], "did you mean --recursive?"),
        (["add", "-z"], "cidery add --help"),
        (["swarm", "pears"], "did you mean 'swarm peers'"),
        (["cat"], "'path' is required"),
        (["version", "x"], "one argument too many"),
        (["cat", "x", "--offset=y"], "whole number"),
        (["ping", "x"], "start with: cidery init"),
        (["--api=nonsense", "id"], "not an RPC address"),
        (["--api-auth=bearer:", "id"], "bearer:TOKEN"),
        (["help", "add", "foo"], "unknown command 'add foo'"),
        (["help", "pin", "foo"], "unknown command 'pin foo'"),
    ],
)
def test_a_mistake_gets_one_line_that_says_what_to_do(run: Run, words: list[str], advice: str) -> None:
    result = run(*words)
    assert result.code == 1 and result.out == ""
    assert result.err.startswith("Error: ") and result.err.count("\n") == 1 and advice in result.err


@pytest.mark.parametrize("command", all_commands(), ids=lambda command: command.name)
def test_each_command_explains_itself_with_an_example(run: Run, command) -> None:  # type: ignore[no-untyped-def]
    result = run(*command.path, "--help")
    assert result.code == 0 and command.summary in result.out and command.example in result.out
    assert run("help", *command.path).out == result.out
    assert max(len(line) for line in result.out.splitlines()) < 160


def test_groups_and_the_program_explain_themselves(run: Run) -> None:
    assert "cidery swarm connect" in run("swarm").out
    assert "cidery pin add" in run("pin", "--help").out
    for words in ([], ["help"], ["--help"], ["-h"]):
        result = run(*words)
        assert result.code == 0 and "cidery daemon" in result.out and "--repo-dir" in result.out


def test_version_speaks_text_and_json(run: Run) -> None:
    number = run("version", "-n").out.strip()
    assert run("--version").out == f"cidery version {number}\n"
    assert json.loads(run("version", "--enc=json").out)["Version"] == number


def test_without_a_repository_one_line_says_how_to_make_one(run: Run, tmp_path: Path) -> None:
    for words in (["add", "-"], ["pin", "ls"], ["config", "show"], ["id"]):
        result = run(*words)
        assert result.code == 1 and "cidery init" in result.err and result.err.count("\n") == 1
    assert not (tmp_path / "repo").exists()


def test_init_twice_loses_nothing(repo: Run, tmp_path: Path) -> None:
    before = (tmp_path / "repo" / "config").read_bytes()
    again = repo("init")
    assert again.code == 1 and "nothing was changed" in again.err
    assert (tmp_path / "repo" / "config").read_bytes() == before


def test_init_refuses_an_unknown_profile_and_leaves_nothing(run: Run, tmp_path: Path) -> None:
    result = run("init", "--profile", "test,odd")
    assert result.code == 1 and "no profile 'odd'" in result.err
    assert not (tmp_path / "repo").exists()


def test_a_kubo_repository_is_never_touched(run: Run, tmp_path: Path) -> None:
    kubo = tmp_path / "repo"
    (kubo / "blocks").mkdir(parents=True)
    (kubo / "datastore_spec").write_text("{}")
    (kubo / "config").write_text("{}")
    (kubo / "version").write_text("16\n")
    for words in (["init"], ["add", "-"], ["pin", "ls"]):
        result = run(*words)
        assert result.code == 1 and "Kubo repository" in result.err
    assert sorted(entry.name for entry in kubo.iterdir()) == ["blocks", "config", "datastore_spec", "version"]


def test_no_command_changes_the_config_of_a_kubo_repository(repo: Run, tmp_path: Path) -> None:
    kubo = tmp_path / "kubo"
    (kubo / "blocks").mkdir(parents=True)
    (kubo / "datastore_spec").write_text("{}")
    (kubo / "version").write_text("16\n")
    config = (tmp_path / "repo" / "config").read_bytes()
    (kubo / "config").write_bytes(config)
    here = f"--repo-dir={kubo}"
    for words in (
        ["config", "Datastore.StorageMax", "6GB"],
        ["config", "profile", "apply", "lowpower"],
        ["config", "replace", str(kubo / "config")],
        ["bootstrap", "rm", "all"],
        ["key", "rotate", "--oldkey=old"],
    ):
        result = repo(here, *words)
        assert result.code == 1 and "is a Kubo repository, left untouched" in result.err, words
    assert repo(here, "config", "Datastore.StorageMax").code == 0, "it can be read"
    assert (kubo / "config").read_bytes() == config
    assert sorted(entry.name for entry in kubo.iterdir()) == ["blocks", "config", "datastore_spec", "version"]


def test_what_cannot_say_where_the_daemon_is_gets_one_line(repo: Run, tmp_path: Path) -> None:
    api = tmp_path / "repo" / "api"
    api.mkdir()
    result = repo("pin", "ls")
    assert result.code == 1 and result.err.startswith(f"Error: {api} cannot be read: ") and "bug" not in result.err
    api.rmdir()
    api.write_bytes(bytes(range(256)))
    result = repo("pin", "ls")
    assert result.code == 1 and "is no RPC address" in result.err and result.err.count("\n") == 1


def test_an_import_from_nowhere_says_so_even_while_a_daemon_has_the_repository(repo: Run, tmp_path: Path) -> None:
    lock = RepoLock.acquire(RepoLayout(tmp_path / "repo").lock, "cidery daemon")
    with lock:
        assert "daemon" in repo("files", "mkdir", "/x").err
        assert "is not a Kubo repository" in repo("repo", "import-kubo", str(tmp_path / "nothing")).err


def test_a_binary_named_ipfs_gets_the_old_cid_profile(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/usr/local/bin/ipfs"])
    assert run("init", "-p", "test").code == 0
    added = run("add", "-Q", stdin=b"hello world")
    assert added.out == "Qmf412jQZiuVUtdgnB36FXFX7xg5V6KEbSJ4dpQuhkLyfD\n"


def test_a_folder_goes_in_and_comes_out_without_a_daemon(repo: Run, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "a").write_bytes(bytes(2_000_000))
    (folder / ".hidden").write_bytes(b"h")
    (folder / "l").symlink_to("deep/a")
    assert "use --recursive" in repo("add", folder).err
    lines = repo("add", "-r", folder).out.splitlines()
    assert [line.split(" ", 2)[2] for line in lines] == ["photos/deep/a", "photos/l", "photos/deep", "photos"]
    root = lines[-1].split()[1]
    assert repo("ls", root).out.splitlines()[0].endswith("- deep/")
    saved = repo("get", root, "-o", tmp_path / "out")
    assert saved.code == 0 and saved.out == f"Saving file(s) to {tmp_path / 'out'}\n"
    assert (tmp_path / "out" / "deep" / "a").read_bytes() == bytes(2_000_000)
    assert (tmp_path / "out" / "l").readlink() == Path("deep/a")
    assert repo("refs", "-r", "-u", root).out.count("\n") == 5
    assert repo("pin", "ls", "--type=recursive").out == f"{root} recursive\n"
    assert ".hidden" in repo("ls", repo("add", "-HrQ", folder).out.strip()).out


def test_archives_are_written_whole(repo: Run, tmp_path: Path) -> None:
    cid = repo("add", "-Q", stdin=b"x" * 5000).out.strip()
    assert repo("get", "-a", cid).code == 0
    with tarfile.open(tmp_path / f"{cid}.tar") as archive:
        assert [(member.name, member.size) for member in archive] == [(cid, 5000)]
    assert repo("get", "-C", "-o", "packed.gz", cid).code == 0
    assert gzip.decompress((tmp_path / "packed.gz").read_bytes()) == b"x" * 5000
    assert "1 to 9" in repo("get", "-C", "-l", "12", cid).err


def test_arguments_come_from_standard_input_too(repo: Run) -> None:
    cids = [repo("add", "-Q", stdin=data).out.strip() for data in (b"one\n", b"two\n")]
    assert repo("cat", stdin="\n".join(cids).encode()).out == "one\ntwo\n"
    assert repo("cat", *cids, "--offset=2", "--length", "4").out == "e\ntw"


def test_quiet_prints_only_cids(repo: Run, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "b").write_bytes(b"b")
    assert len(repo("add", "-q", "a", "b").out.split()) == 2
    assert len(repo("add", "-Qw", "a", "b").out.split()) == 1
    assert repo("add", "--silent", "a").out == ""
    assert repo("add", "-nQ", "a").out == repo("add", "-Q", "a").out


def test_only_hash_stores_nothing(repo: Run) -> None:
    repo("add", "-n", stdin=b"never stored")
    assert json.loads(repo("repo", "stat", "--enc=json").out)["NumObjects"] == 0


def test_blocks_pins_and_bases(repo: Run, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"Hello Mars!\n")
    key = repo("block", "put", "data").out.strip()
    assert key == "bafkreibmlvvgdyihetgocpof6xk64kjjzdeq2e4c7hqs3krdheosk4tgj4"
    assert repo("block", "stat", key).out == f"Key: {key}\nSize: 12\n"
    assert repo("block", "get", key).out == "Hello Mars!\n"
    assert repo("pin", "add", "-r=false", "--name=mars", key).out == f"pinned {key} directly\n"
    assert repo("pin", "ls", "--names").out == f"{key} direct mars\n"
    assert repo("pin", "rm", key).out == f"unpinned {key}\n"
    assert "not pinned" in repo("pin", "rm", key).err
    assert repo("block", "stat", key, "--cid-base=base58btc").out.startswith("Key: z")
    assert "cid-base" in repo("block", "stat", key, "--cid-base=base1000").err
    assert "there is no such file" in repo("block", "put", "absent").err
    old = repo("block", "put", "--format=v0", "data")
    assert old.code == 1 and "deprecated: use --cid-codec" in old.err


def test_the_config_is_read_changed_and_checked(repo: Run, tmp_path: Path) -> None:
    assert repo("config", "Datastore.StorageMax", "20GB").code == 0
    assert repo("config", "Datastore.StorageMax").out == "20GB\n"
    assert repo("config", "Import.CidVersion", "0").code == 0
    assert repo("config", "--json", "Swarm.ConnMgr.LowWater", "5").code == 0
    assert repo("config", "--bool", "Discovery.MDNS.Enabled", "maybe").code == 1
    wrong = repo("config", "Addresses.API", "localhost")
    assert wrong.code == 1 and "Addresses.API takes an address" in wrong.err
    assert "PrivKey" not in repo("config", "show").out
    assert "secret" in repo("config", "Identity.PrivKey").err
    assert "+" in repo("config", "profile", "apply", "lowpower", "--dry-run").out
    assert repo("bootstrap", "list").out == ""
    peer = "/ip4/127.0.0.1/tcp/4001/p2p/QmNnooDu7bfjPFoTZYxMNLWUQJyrVwtbZg5gBMjTezGAJN"
    assert repo("bootstrap", "add", peer).out == f"added {peer}\n"
    assert repo("bootstrap").out == f"{peer}\n"
    assert repo("bootstrap", "rm", "--all").out == f"removed {peer}\n"
    assert "peer id" in repo("bootstrap", "add", "/ip4/1.2.3.4/tcp/1").err
    before = repo("id", "-f", "<id>").out
    (tmp_path / "new").write_text('{"Addresses": {"API": "/ip4/127.0.0.1/tcp/0"}, "Identity": {"PeerID": "other"}}')
    assert repo("config", "replace", "new").code == 0
    assert repo("id", "-f", "<id>").out == before
    (tmp_path / "new").write_text("{")
    assert "not JSON" in repo("config", "replace", "new").err


def test_errors_of_content_are_one_line(repo: Run) -> None:
    for words in (
        ["cat", "not-a-cid"],
        ["cat", "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"],
        ["ls", "/ipfs/"],
        ["get", "../x"],
        ["add", "no such file"],
        ["add", "-", "x"],
        ["pin", "add", "bafy"],
        ["cat", "--offset=-1", "bafkqaaa"],
    ):
        result = repo(*words)
        assert result.code == 1 and result.err.startswith("Error: ") and result.err.count("\n") == 1, words


def test_an_api_file_of_a_dead_daemon_does_no_harm(repo: Run, tmp_path: Path) -> None:
    (tmp_path / "repo" / "api").write_text("/ip4/127.0.0.1/tcp/1")
    assert repo("add", "-Q", stdin=b"x").code == 0
    assert "no daemon answers" in repo("ping", "x").err
    assert "no daemon answers" in repo("--api=/ip4/127.0.0.1/tcp/1", "id").err


def test_names_cannot_drive_the_terminal() -> None:
    assert printable("a\x1b[31m\r\udcff\u202e\n") == "a\\x1b[31m\\r\\xff\\u202e\n"


@pytest.mark.skipif(sys.platform == "win32", reason="needs pseudo terminals")
def test_progress_is_drawn_on_a_terminal_and_results_still_go_where_they_should(repo: Run, tmp_path: Path) -> None:
    import pty

    (tmp_path / "big").write_bytes(bytes(20_000_000))
    terminal, inner = pty.openpty()
    drawn: list[bytes] = []
    with (tmp_path / "out").open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "cidery", "add", "big"], cwd=tmp_path, stdout=out, stderr=inner, stdin=inner
        )
        os.close(inner)
        # Linux reports a pseudo terminal whose other side is closed as an error, others as the end.
        with contextlib.suppress(OSError):
            while data := os.read(terminal, 4096):
                drawn.append(data)
        os.close(terminal)
        assert process.wait() == 0
    text = b"".join(drawn).decode()
    assert "MiB/s" in text and "added" not in text
    assert (tmp_path / "out").read_text().startswith("added bafy")


def test_the_plain_version_line_is_what_the_command_prints(run: Run) -> None:
    through_the_parser = run("version", "--enc=text")
    for words in (["version"], ["--version"], ["-v"]):
        assert run(*words) == through_the_parser


def test_who_interrupts_a_long_command_hears_how_to_go_on(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(dispatch, "_run", interrupted)
    assert run("add", str(tmp_path)) == Result(130, "", "")
    times = iter([0.0, 60.0])
    monkeypatch.setattr(dispatch.time, "monotonic", lambda: next(times))
    said = run("add", str(tmp_path))
    assert said.code == 130 and "Repeat the command to resume" in said.err and not said.out


def test_a_binary_named_ipfs_lets_the_hash_decide_the_version(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/usr/local/bin/ipfs"])
    assert run("init", "-p", "test").code == 0
    assert run("add", "-Q", "--hash=blake3", stdin=b"hello world").out.startswith("bafk")
    run("config", "--json", "Import.CidVersion", "0")
    assert "CIDv0 only supports" in run("add", "-Q", "--hash=blake3", stdin=b"hello world").err


@pytest.mark.parametrize(
    "line, told",
    [
        (
            ["dag", "export", "bafkqaaa", "-o", "x"],
            "unknown option '-o' for 'cidery dag export'; see: cidery dag export --help",
        ),
        (["add", "a b", "c", "--wat"], "unknown option '--wat' for 'cidery add'; see: cidery add --help"),
        (["swarm", "--wat"], "unknown option '--wat' for 'cidery swarm'; see: cidery swarm --help"),
        (["nope", "--wat"], "unknown command 'nope'; see: cidery help"),
    ],
)
def test_an_unknown_option_is_told_with_its_command_and_not_with_the_arguments(line: list[str], told: str) -> None:
    with pytest.raises(CideryError) as failure:
        split(line)
    assert str(failure.value) == told


@pytest.mark.parametrize("line", [["dag", "put"], ["dag", "import"], ["config", "replace"], ["key", "import", "name"]])
def test_a_file_that_a_command_only_reads_is_not_said_to_be_added(repo: Run, line: list[str]) -> None:
    assert repo(*line, "nofile").err.startswith("Error: cannot read nofile: ")
