"""Errors say which block they are about, what it is, and only advise what would help."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cidery.cli.main import main

MISSING = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """The command line on a new repository; gives what is printed, also to standard error."""
    monkeypatch.setenv("CIDERY_PATH", str(tmp_path / "repo"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", None)

    def invoke(*words: str | Path) -> str:
        capfd.readouterr()
        main([str(word) for word in words])
        sys.stdout.flush()
        captured = capfd.readouterr()
        return captured.out + captured.err

    invoke("init", "--profile=test")
    return invoke


def put(run: Callable[..., str], path: Path, codec: str, data: bytes) -> str:
    path.write_bytes(data)
    return run("block", "put", f"--cid-codec={codec}", path).strip()


@pytest.mark.parametrize("command", [["cat"], ["get", "-o", "out"]])
@pytest.mark.parametrize("codec", ["dag-cbor", "dag-json"])
def test_what_is_no_file_is_called_so_with_the_command_that_shows_it(
    run: Callable[..., str], tmp_path: Path, command: list[str], codec: str
) -> None:
    cid = put(run, tmp_path / "block", codec, b"\xa0" if codec == "dag-cbor" else b"{}")
    said = run(*command, cid)
    assert said == f"Error: {cid} is no file or directory: its codec is {codec}; see: cidery dag get {cid}\n"


@pytest.mark.parametrize(
    "command",
    [["refs", "-r"], ["dag", "get", "--output-codec=dag-cbor"], ["dag", "stat"], ["pin", "add"], ["dag", "resolve"]],
)
def test_a_block_that_cannot_be_read_is_named(run: Callable[..., str], tmp_path: Path, command: list[str]) -> None:
    bad = put(run, tmp_path / "bad", "dag-json", b"{")
    inner = run("dag", "put", "--store-codec=dag-json", _file(tmp_path / "outer", f'{{"in":{{"/":"{bad}"}}}}')).strip()
    for cid in (bad, f"{inner}/in") if command != ["dag", "resolve"] else (f"{bad}/x", f"{inner}/in/x"):
        said = run(*command, cid)
        assert f"Error: {bad} is not valid dag-json: " in said and len(said.splitlines()) <= 2, said


@pytest.mark.parametrize("command", [["cat"], ["ls"], ["get", "-o", "out"], ["files", "cp"]])
def test_a_node_that_is_no_unixfs_is_named(run: Callable[..., str], tmp_path: Path, command: list[str]) -> None:
    bad = put(run, tmp_path / "bad", "dag-pb", b"\x0a\x02\x08\x63")
    said = run(*command, f"/ipfs/{bad}", *(["/to"] if command == ["files", "cp"] else []))
    assert f"{bad} is not a valid UnixFS node: unknown type" in said and "Saving" not in said


def test_a_daemon_is_advised_where_one_would_help(run: Callable[..., str]) -> None:
    assert "start the daemon (cidery daemon) to fetch it" in run("cat", MISSING)
    offline = run("cat", "--offline", MISSING)
    assert "start the daemon" not in offline and "peers are not asked" in offline


def test_a_word_that_is_no_key_is_called_so(run: Callable[..., str]) -> None:
    assert "edt is not a key" in run("config", "edt")
    assert run("config", "Peering") == "null\n"


def _file(path: Path, text: str) -> Path:
    path.write_text(text)
    return path
