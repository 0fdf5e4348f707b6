"""Names of other people's trees cannot forge a line of output, nor drive a terminal: every command that prints one."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cidery.cli.main import main
from cidery.commands.escaping import escaped, escaped_value

EVIL = "x\nadded bafkqaaa evil\t\x1b[2J\\"
SHOWN = "x\\nadded bafkqaaa evil\\t\\x1b[2J\\\\"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain name ü", "plain name ü"),
        (EVIL, SHOWN),
        ("\a\b\f\r\v\x7f\0", "\\a\\b\\f\\r\\v\\x7f\\x00"),
        ("\u2028\u200e\U000e0001", "\\u2028\\u200e\\U000e0001"),
        (os.fsdecode(b"a\xff"), "a\\xff"),
        ('"', '"'),
    ],
)
def test_a_text_is_shown_in_printable_characters_as_kubo_shows_it(text: str, shown: str) -> None:
    assert escaped(text) == shown


def test_texts_are_escaped_wherever_they_are_in_a_value() -> None:
    assert escaped_value({"a": [{"b\n": "c\n"}], "n": 1, "f": None}) == {"a": [{"b\\n": "c\\n"}], "n": 1, "f": None}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """The command line on a new repository; gives what is printed."""
    monkeypatch.setenv("CIDERY_PATH", str(tmp_path / "repo"))
    monkeypatch.setattr(sys, "stdin", None)

    def invoke(*words: str | Path) -> str:
        capfd.readouterr()
        code = main([str(word) for word in words])
        sys.stdout.flush()
        captured = capfd.readouterr()
        assert code == 0, captured.err
        return captured.out

    invoke("init", "--profile=test")
    return invoke


def test_every_listing_shows_one_line_for_one_name(run: Callable[..., str], tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / EVIL).write_bytes(b"data")
    added = run("add", "-r", "--nocopy", f"--pin-name={EVIL}", folder)
    assert len(added.splitlines()) == 2 and f"folder/{SHOWN}" in added
    root = added.splitlines()[-1].split()[1]
    run("files", "cp", f"/ipfs/{root}", "/f")
    run("files", "mkdir", f"/f/d{EVIL}")
    listings = [["ls", root], ["ls", "-l", root], ["pin", "ls", "--names", "--type=recursive"], ["filestore", "ls"]]
    for words in listings:
        out = run(*words)
        assert SHOWN in out and len(out.splitlines()) == 1 and "\x1b" not in out and "\t" not in out, words
    assert run("files", "ls", "/f").splitlines() == sorted([f"d{SHOWN}", SHOWN])
    assert SHOWN in run("refs", "--format=<linkname>", root)
    one = json.loads(run("ls", "--enc=json", root))
    assert one["Objects"][0]["Links"][0]["Name"] == EVIL, "JSON has the name as it is"


def test_an_error_that_names_something_is_one_printable_line(
    run: Callable[..., str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["ls", f"/ipfs/bafkqaaa/{EVIL}"]) == 1
    said = capfd.readouterr().err
    assert len(said.splitlines()) == 1 and said.startswith("Error: ") and "\x1b" not in said
