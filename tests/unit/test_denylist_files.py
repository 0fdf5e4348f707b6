"""The files of denylists: found, read, followed, and kept when a new version is broken."""

import logging
import os
from pathlib import Path

import pytest

from cidery.denylist.denylists import Denylists
from cidery.multiformats.cid import CID
from cidery.multiformats.multicodec import RAW
from cidery.repo import denylists
from cidery.repo.denylists import BadDenylist, DenyFiles, rule_at


def cid(number: int) -> CID:
    return CID.of(number.to_bytes(4), RAW)


def write(path: Path, *lines: str, end: str = "\n") -> Path:
    """Replace a file, as editors do."""
    part = path.with_suffix(".part")
    part.write_text("\n".join(lines) + end)
    part.replace(path)
    return path


def denies(lists: Denylists, *numbers: int) -> list[bool]:
    return [lists.block(cid(number)) is not None for number in numbers]


@pytest.fixture
def files(tmp_path: Path) -> DenyFiles:
    for name in ("etc", "own"):
        (tmp_path / name).mkdir()
    return DenyFiles([tmp_path / "etc", tmp_path / "none", tmp_path / "own"])


@pytest.fixture
def own(files: DenyFiles) -> Path:
    return files.folders[2]


def test_lists_count_in_the_order_of_their_names_and_then_of_their_folders(files: DenyFiles, own: Path) -> None:
    write(files.folders[0] / "b.deny", f"/ipfs/{cid(1)}", f"/ipfs/{cid(2)}")
    write(own / "a.deny", f"!/ipfs/{cid(1)}")
    write(own / "b.deny", f"!/ipfs/{cid(2)}")
    write(own / "ignored.txt", f"/ipfs/{cid(3)}")
    files.load()
    assert [path.name for path in files.files] == ["a.deny", "b.deny", "b.deny"]
    assert denies(files.denylists, 1, 2, 3) == [True, False, False]


def test_what_is_appended_is_read_alone(files: DenyFiles, own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(own / "a.deny", "name: A", "---", f"/ipfs/{cid(1)}")
    files.load()
    (before,) = files.denylists.lists
    with path.open("a") as opened:
        opened.write(f"/ipfs/{cid(2)}\n!/ipfs/{cid(1)}\n")
    assert files.look()
    (after,) = files.denylists.lists
    assert after is before and after.rules == 3 and after.title == "A"
    assert denies(files.denylists, 1, 2) == [False, True]
    assert not files.look()  # nothing is read that has not changed
    match = files.denylists.block(cid(2))
    assert match is not None and rule_at(match) == (4, f"/ipfs/{cid(2)}")


def test_a_file_that_was_rewritten_is_read_anew(files: DenyFiles, own: Path) -> None:
    path = write(own / "a.deny", f"/ipfs/{cid(1)}", f"/ipfs/{cid(2)}")
    files.load()
    write(path, f"/ipfs/{cid(3)}", f"/ipfs/{cid(2)}", f"/ipfs/{cid(4)}")
    files.look()
    assert denies(files.denylists, 1, 2, 3, 4) == [False, True, True, True]


def test_a_line_that_is_still_being_written_counts_as_it_stands_and_then_as_it_ends(
    files: DenyFiles, own: Path
) -> None:
    path = write(own / "a.deny", f"/ipfs/{cid(1)}/pat", end="")
    files.load()
    assert files.denylists.path(cid(1), ["pat"]) is not None
    with path.open("a") as opened:
        opened.write("h\n")
    files.look()
    assert files.denylists.path(cid(1), ["pat"]) is None and files.denylists.path(cid(1), ["path"]) is not None


def test_lists_come_and_go_while_the_node_runs(files: DenyFiles, own: Path) -> None:
    files.load()
    assert files.denylists.lists == ()
    path = write(own / "a.deny", f"/ipfs/{cid(1)}")
    files.look()
    assert denies(files.denylists, 1) == [True]
    path.unlink()
    files.look()
    assert denies(files.denylists, 1) == [False] and files.denylists.lists == ()


@pytest.mark.parametrize("broken", ["version: 7\n---\n", "a: [\n---\n", "/ipns/" + "a" * (2 << 20)])
def test_a_broken_new_version_leaves_the_rules_that_were_in_force(
    files: DenyFiles, own: Path, caplog: pytest.LogCaptureFixture, broken: str
) -> None:
    path = write(own / "a.deny", f"/ipfs/{cid(1)}")
    files.load()
    write(path, broken)
    with caplog.at_level(logging.ERROR):
        assert not files.look() and not files.look()
    assert denies(files.denylists, 1) == [True] and files.files[path].error
    assert len(caplog.messages) == 1 and "stay in force" in caplog.messages[0]
    write(path, f"/ipfs/{cid(2)}")
    files.look()
    assert denies(files.denylists, 1, 2) == [False, True] and not files.files[path].error


def test_a_list_that_cannot_be_used_keeps_a_node_from_starting(files: DenyFiles, own: Path) -> None:
    write(own / "a.deny", "version: 2", "---", f"/ipfs/{cid(1)}")
    with pytest.raises(BadDenylist, match=r"a\.deny cannot be used: its header is not understood: its version is '2'"):
        files.load()


def test_a_list_that_is_too_long_is_not_read(files: DenyFiles, own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(denylists, "DENY_FILE", denylists.DENY_FILE.__class__(64, "bytes", *(["x"] * 3)))
    write(own / "a.deny", f"/ipfs/{cid(1)}", f"/ipfs/{cid(2)}")
    with pytest.raises(BadDenylist, match="longer"):
        files.load()


def test_lines_that_are_no_rules_are_told_once(files: DenyFiles, own: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(own / "a.deny", "nonsense", f"/ipfs/{cid(1)}", "more")
    with caplog.at_level(logging.WARNING):
        files.load()
        with path.open("a") as opened:
            opened.write(f"/ipfs/{cid(2)}\n")
        files.look()
    assert len(caplog.messages) == 1 and "2 lines are no rules, the first at byte 0" in caplog.messages[0]
    assert denies(files.denylists, 1, 2) == [True, True]


def test_a_header_of_two_million_bytes_is_no_header_but_rules_of_which_some_are_good(
    files: DenyFiles, own: Path
) -> None:
    write(own / "a.deny", *["x: 1"] * 250_000, "---", f"/ipfs/{cid(1)}")
    files.load()
    (rules,) = files.denylists.lists
    assert rules.bad_lines == 250_001 and rules.rules == 1 and denies(files.denylists, 1) == [True]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_file_leaves_the_rules_that_were_in_force(files: DenyFiles, own: Path) -> None:
    path = write(own / "a.deny", f"/ipfs/{cid(1)}")
    files.load()
    path.chmod(0)
    files.look()
    assert denies(files.denylists, 1) == [True]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no pipes in the file system")
def test_what_is_no_file_is_not_waited_for(files: DenyFiles, own: Path) -> None:
    os.mkfifo(own / "pipe.deny")
    with pytest.raises(BadDenylist, match="it is no regular file; correct it, or move it away"):
        files.load()
    (own / "pipe.deny").unlink()
    (own / "endless.deny").symlink_to("/dev/zero")
    with pytest.raises(BadDenylist, match="it is no regular file"):
        files.load()
    (own / "endless.deny").unlink()
    write(own / "list", f"/ipfs/{cid(1)}")
    (own / "linked.deny").symlink_to(own / "list")
    files.load()
    assert denies(files.denylists, 1) == [True]
