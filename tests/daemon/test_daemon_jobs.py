"""Jobs with real daemons: pins in the background over restarts, and what a killed client leaves."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cidery.client.address import parse_endpoint
from cidery.client.blocking import call
from cidery.client.multipart import Selection, encode_parts, walk_paths
from cidery.client.resumed_upload import known_files, resume_key
from cidery.core.adding.journal import RACY
from daemon.test_daemon import Daemon

UNDER_WAY = 24 << 20
"""Bytes that a daemon may have received and not stored yet: six jobs of 4 MiB."""


@pytest.fixture
def daemons(tmp_path: Path) -> Iterator[tuple[Daemon, Daemon]]:
    """Two that are not connected; the second is running."""
    found = Daemon(tmp_path / "a"), Daemon(tmp_path / "b")
    found[0].run("init", "--profile=test")
    found[1].start()
    yield found
    for one in found:
        one.stop(signal.SIGKILL)


def statuses(daemon: Daemon, *words: str) -> list[dict[str, object]]:
    lines = daemon.text("pin", "status", "--enc=json", *words).splitlines()
    return [json.loads(line) for line in lines]


def wait_for(daemon: Daemon, status: str) -> dict[str, object]:
    """Ask until the only pin has the status: each question is a process, so this is no busy loop."""
    for _ in range(100):
        (found,) = statuses(daemon)
        if found["Status"] == status:
            return found
    raise AssertionError(found)


def test_a_pin_in_the_background_outlives_its_daemon_and_is_made_when_a_source_comes(
    daemons: tuple[Daemon, Daemon], tmp_path: Path
) -> None:
    asking, having = daemons
    (tmp_path / "file").write_bytes(os.urandom(3_000_000))
    root = having.text("add", "-Q", tmp_path / "file")
    queued = asking.text("pin", "add", "--background", "--name=later", root)
    assert queued == f"queued {root} as job 1; see: cidery pin status"
    assert wait_for(asking, "queued")["Attempts"] == 0
    asking.start()
    assert wait_for(asking, "pinning")["Name"] == "later"
    asking.stop(signal.SIGKILL)
    (killed,) = statuses(asking)
    assert killed["Status"] == "queued" and "its process ended" in str(killed["Error"])
    asking.start()
    assert wait_for(asking, "pinning")["Attempts"] == 2
    asking.run("swarm", "connect", having.text("id", "--format=<addrs>").splitlines()[0])
    done = wait_for(asking, "pinned")
    assert done["Cid"] == root and done["Bytes"] > 3_000_000 and "Error" not in done
    assert asking.text("pin", "ls", "--names", root) == f"{root} recursive later"
    assert statuses(asking, "--status=failed") == [] == statuses(asking, "/ipfs/bafkqaaa")
    assert asking.run("cat", root).stdout == (tmp_path / "file").read_bytes()


def test_a_running_pin_is_shown_and_stopped(daemons: tuple[Daemon, Daemon]) -> None:
    daemon = daemons[1]
    nobody_has = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"
    daemon.run("pin", "add", "--background", nobody_has)
    wait_for(daemon, "pinning")
    shown = daemon.text("jobs", "show", "1")
    assert "State:    running" in shown and nobody_has in shown
    assert daemon.text("jobs", "-q", "--state=running") == "1"
    assert daemon.text("jobs", "rm", "1") == "removed job 1"
    assert wait_for(daemon, "failed")["Error"] == "cancelled"
    assert daemon.text("jobs", "resume", "1").endswith("queued")
    wait_for(daemon, "pinning")
    assert daemon.text("jobs", "rm", "1") and daemon.text("jobs", "cancel", "1")
    assert daemon.text("jobs") == ""
    for words in (("jobs", "show", "1"), ("jobs", "rm", "x"), ("pin", "add", "--background", "x")):
        failed = daemon.run(*words, check=False)
        assert failed.returncode == 1 and failed.stderr.count(b"\n") == 1, failed.stderr


def tree(path: Path) -> int:
    """A big file and small ones; returns the bytes."""
    path.mkdir()
    for number in range(3000):
        (path / f"{number:04}").write_bytes(os.urandom(2000))
    with (path / "big").open("wb") as file:
        for _ in range(96):
            file.write(os.urandom(1 << 20))
    return 3000 * 2000 + (96 << 20)


def cut_off(daemon: Daemon, kind: str, words: tuple[object, ...], after: int, victim: str) -> dict[str, object]:
    """An upload that is killed when the daemon says that so many bytes came; its job, as it is then."""
    sending = subprocess.Popen(
        daemon.command(*words), env=daemon.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    endpoint = parse_endpoint((daemon.repo / "api").read_text())
    for _ in range(100_000):
        with call(endpoint, ["jobs"], [("kind", kind), ("state", "running")]) as answer:
            if any(value["Bytes"] >= after for value in answer.values()):
                break
    else:
        raise AssertionError("it never came so far")
    if victim == "daemon":
        daemon.stop(signal.SIGKILL)
    sending.kill()
    sending.wait()
    if victim == "daemon":
        daemon.start()
    for _ in range(100):
        job = only_job(daemon, kind)
        if job["State"] == "interrupted":
            return job
    raise AssertionError(job)


def only_job(daemon: Daemon, kind: str) -> dict[str, object]:
    (line,) = daemon.text("jobs", "--enc=json", f"--kind={kind}").splitlines()
    job: dict[str, object] = json.loads(line)
    return job


@pytest.mark.parametrize("victim", ["client", "daemon"])
def test_an_upload_that_was_cut_off_sends_the_rest_only(
    daemons: tuple[Daemon, Daemon], tmp_path: Path, victim: str
) -> None:
    alone, daemon = daemons
    size = tree(tmp_path / "tree")
    while time.time() - (tmp_path / "tree" / "big").stat().st_ctime <= RACY:
        daemon.run("version")  # what was changed just now is not believed when it is seen again
    job = cut_off(daemon, "add", ("add", "-r", tmp_path / "tree"), 70 << 20, victim)
    assert job["Title"] == str(tmp_path / "tree")
    endpoint = parse_endpoint((daemon.repo / "api").read_text())
    known = known_files(endpoint, resume_key([str(tmp_path / "tree")], [("recursive", "true")]))
    selection = Selection(recursive=True, state_identities=True)
    parts = encode_parts(walk_paths([str(tmp_path / "tree")], selection), "b", known)
    sent = sum(map(len, parts))
    heads = 3001 * 400
    assert sent <= size - (70 << 20) + heads + UNDER_WAY
    root = daemon.text("add", "-rQ", tmp_path / "tree")
    assert root == alone.text("add", "-rQ", tmp_path / "tree")
    job = only_job(daemon, "add")
    assert job["State"] == "done" and job["Attempts"] == 2
    assert daemon.run("cat", f"{root}/big").stdout == (tmp_path / "tree" / "big").read_bytes()


@pytest.mark.parametrize("victim", ["client", "daemon"])
@pytest.mark.parametrize("version", ["1", "2"])
def test_an_archive_whose_import_was_cut_off_is_sent_from_there_on(
    daemons: tuple[Daemon, Daemon], tmp_path: Path, victim: str, version: str
) -> None:
    alone, daemon = daemons
    (tmp_path / "file").write_bytes(os.urandom(200 << 20))
    root = alone.text("add", "-Q", tmp_path / "file")
    archive = tmp_path / "file.car"
    archive.write_bytes(alone.run("dag", "export", f"--car-version={version}", root).stdout)
    job = cut_off(daemon, "import", ("dag", "import", archive), 70 << 20, victim)
    assert job["Title"] == str(archive)
    endpoint = parse_endpoint((daemon.repo / "api").read_text())
    (known,) = known_files(endpoint, resume_key([str(archive)], [])).values()
    assert (70 << 20) - UNDER_WAY <= known < archive.stat().st_size
    stats = daemon.text("dag", "import", "--stats", archive)
    assert root in stats and "Imported 201 blocks" in stats
    job = only_job(daemon, "import")
    assert job["State"] == "done" and job["Attempts"] == 2
    assert daemon.run("cat", root).stdout == (tmp_path / "file").read_bytes()


def test_an_archive_is_sent_whole_again_when_what_was_stored_of_it_has_gone(
    daemons: tuple[Daemon, Daemon], tmp_path: Path
) -> None:
    alone, daemon = daemons
    (tmp_path / "file").write_bytes(os.urandom(200 << 20))
    root = alone.text("add", "-Q", tmp_path / "file")
    (tmp_path / "file.car").write_bytes(alone.run("dag", "export", root).stdout)
    cut_off(daemon, "import", ("dag", "import", tmp_path / "file.car"), 70 << 20, "client")
    stored = daemon.text("refs", "local").split()
    daemon.run("block", "rm", *stored)
    failed = daemon.run("dag", "import", tmp_path / "file.car", check=False)
    assert failed.returncode == 1 and b"run the command again" in failed.stderr
    assert root in daemon.text("dag", "import", tmp_path / "file.car")
    assert daemon.run("cat", root).stdout == (tmp_path / "file").read_bytes()


def test_a_pin_that_cannot_be_waits_for_nobody(daemons: tuple[Daemon, Daemon], tmp_path: Path) -> None:
    daemon = daemons[1]
    (tmp_path / "file").write_bytes(b"raw")
    root = daemon.text("add", "-Q", tmp_path / "file")
    daemon.run("pin", "add", "--background", f"{root}/below")
    assert wait_for(daemon, "failed")["Attempts"] == 1
    daemon.run("pin", "add", "--background", "--name=named", root)
    for _ in range(100):
        if (found := statuses(daemon, "--status=pinned")) and found[0]["Name"] == "named":
            return
    raise AssertionError(statuses(daemon))
