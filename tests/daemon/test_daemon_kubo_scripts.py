"""A daemon that is started and asked as scripts for Kubo do."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.test_daemon import Daemon

IGNORED = (
    "--unrestricted-api",
    "--enable-mplex-experiment",
    "--manage-fdlimit=false",
    "--agent-version-suffix=test",
    "--mount",
    "--mount-ipfs=/ipfs",
)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    made = Daemon(tmp_path_factory.mktemp("node") / "repo")
    given = made.repo.parent / "given.json"
    given.write_text(json.dumps({"Datastore": {"StorageMax": "7GB"}}))
    try:
        made.start(*IGNORED, "--disable-transport-encryption=false", f"--init-config={given}")
        yield made
    finally:
        made.stop()


def test_options_of_kubo_do_not_stop_the_daemon(daemon: Daemon) -> None:
    assert daemon.lines[-1] == "Daemon is ready"
    assert daemon.text("config", "Datastore.StorageMax") == "7GB"


def test_nobody_is_null(daemon: Daemon) -> None:
    assert json.loads(daemon.text("swarm", "peers", "--enc=json")) == {"Peers": None}
    assert daemon.text("swarm", "peers") == ""


def test_wants_filters_and_what_waits_are_listed(daemon: Daemon) -> None:
    assert json.loads(daemon.text("bitswap", "wantlist", "--enc=json")) == {"Keys": []}
    assert daemon.text("bitswap", "wantlist", "-p", daemon.text("id", "-f", "<id>")) == ""
    assert daemon.text("swarm", "filters") == ""


@pytest.mark.parametrize("words", [["routing", "reprovide"], ["bitswap", "reprovide"]])
def test_a_round_that_cannot_be_started_says_what_to_do(daemon: Daemon, words: list[str]) -> None:
    refused = daemon.run(*words, check=False)
    assert refused.returncode == 1 and b"cidery provide once" in refused.stderr


def test_a_peer_says_who_it_is(daemon: Daemon, tmp_path: Path) -> None:
    other = Daemon(tmp_path / "other" / "repo")
    other.start()
    try:
        peer = other.text("id", "-f", "<id>")
        daemon.run("swarm", "connect", other.text("id", "-f", "<addrs>").splitlines()[0])
        (shown,) = json.loads(daemon.text("swarm", "peers", "--identify", "--enc=json"))["Peers"]
        assert shown["Identify"]["ID"] == peer and shown["Identify"]["AgentVersion"].startswith("cidery/")
        assert "Identify: cidery/" in daemon.text("swarm", "peers", "--identify")
    finally:
        other.stop()


def test_what_is_logged_can_be_chosen_while_the_daemon_runs(daemon: Daemon) -> None:
    assert "cidery.rpc" in daemon.text("log", "ls").splitlines()
    assert daemon.text("log", "level", "all", "error") == "Changed log level of 'all' to 'error'"
    assert daemon.text("log", "level", "cidery.rpc", "WARN") == "Changed log level of 'cidery.rpc' to 'warn'"
    for words, said in ((["nothing", "debug"], b"see: cidery log ls"), (["all", "loud"], b"choose from debug")):
        refused = daemon.run("log", "level", *words, check=False)
        assert refused.returncode == 1 and said in refused.stderr
