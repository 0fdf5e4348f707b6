"""Jobs with real daemons: pins in the background over restarts, and what a killed client leaves."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.test_daemon import Daemon


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
