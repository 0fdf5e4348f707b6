"""Which daemon a command talks to, who may command it, and what it does for whom: real daemons and commands."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.test_daemon import Daemon


@pytest.fixture
def daemons(tmp_path: Path) -> Iterator[tuple[Daemon, Daemon]]:
    """One that runs, and another repository."""
    first, second = Daemon(tmp_path / "a" / "repo"), Daemon(tmp_path / "b" / "repo")
    try:
        first.start()
        second.run("init", "--profile=test")
        yield first, second
    finally:
        first.stop()
        second.stop()


def test_a_command_does_not_go_to_a_daemon_that_has_the_port_of_a_killed_one(daemons: tuple[Daemon, Daemon]) -> None:
    first, second = daemons
    address = (first.repo / "api").read_text()
    first.stop(signal.SIGKILL)
    second.run("config", "Addresses.API", address)
    second.start()
    assert (second.repo / "api").read_text() == address == (first.repo / "api").read_text()
    done = first.run("add", "-Q", stdin=b"mine")
    assert b"daemon of another repository" in done.stderr
    cid = done.stdout.decode().strip()
    assert first.text("cat", cid) == "mine"
    assert second.run("block", "stat", "--offline", cid, check=False).returncode == 1
    refused = first.run("swarm", "peers", check=False)
    assert refused.returncode == 1 and b"daemon of another repository" in refused.stderr


def test_with_users_in_the_config_the_command_line_needs_a_secret(daemons: tuple[Daemon, Daemon]) -> None:
    second = daemons[1]
    raw = json.loads((second.repo / "config").read_text())
    raw["API"] = {"Authorizations": {"me": {"AuthSecret": "bearer:s3cret", "AllowedPaths": ["/api/v0"]}}}
    (second.repo / "config").write_text(json.dumps(raw))
    second.start()
    refused = second.run("pin", "ls", check=False)
    assert refused.returncode == 1 and b"Access Denied" in refused.stderr
    assert second.text("--api-auth", "bearer:s3cret", "id", "-f", "<id>") == raw["Identity"]["PeerID"]
    assert "s3cret" not in second.text("--api-auth=bearer:s3cret", "config", "show")


def test_files_without_a_copy_are_taken_where_the_config_says_so_and_from_the_user_only(
    daemons: tuple[Daemon, Daemon], tmp_path: Path
) -> None:
    daemon = daemons[1]
    inside, outside = tmp_path / "b" / "file", tmp_path / "outside"
    inside.write_bytes(b"inside")
    outside.write_bytes(b"outside")
    link = tmp_path / "b" / "link"
    link.symlink_to(outside)
    daemon.start()

    def refusal(*words: str | Path) -> str:
        done = daemon.run("add", "-Q", "--nocopy", *words, check=False)
        assert done.returncode == 1 and not done.stdout
        return done.stderr.decode()

    assert "Experimental.FilestoreEnabled true" in refusal(inside)
    daemon.run("config", "--json", "Experimental.FilestoreEnabled", "true")
    daemon.stop()
    daemon.start()
    assert "is not below" in refusal(outside)
    assert "is not below" in refusal("--dereference-symlinks", link)
    assert "its user on this machine only" in refusal(inside, "--api", (daemon.repo / "api").read_text())
    assert daemon.text("cat", daemon.text("add", "-Q", "--nocopy", inside)) == "inside"


def test_a_daemon_behind_a_unix_socket_is_found_by_its_commands(daemons: tuple[Daemon, Daemon], tmp_path: Path) -> None:
    daemon = daemons[1]
    daemon.run("config", "Addresses.API", f"/unix{tmp_path}/api.sock")
    daemon.run("config", "Addresses.Gateway", "")
    daemon.start()
    assert f"RPC API server listening on /unix{tmp_path}/api.sock" in daemon.lines
    assert daemon.text("cat", daemon.text("add", "-Q", stdin=b"through a file")) == "through a file"
    assert daemon.run("shutdown").returncode == 0
    assert daemon.ended() == 0


def test_the_identity_is_exported_by_express_will_only(daemons: tuple[Daemon, Daemon], tmp_path: Path) -> None:
    daemon, name = daemons[1], daemons[1].text("id", "-f", "<id>")
    for key in ("self", name):
        refused = daemon.run("key", "export", key, "-o", tmp_path / "key", check=False)
        assert refused.returncode == 1 and b"--identity" in refused.stderr
    daemon.run("key", "export", "self", "--identity", "-o", tmp_path / "key")
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600


def test_a_device_gets_the_bytes_of_a_file_through_a_daemon(daemons: tuple[Daemon, Daemon]) -> None:
    daemon = daemons[0]
    cid = daemon.text("add", "-Q", stdin=b"through")
    assert daemon.run("get", "-o", "/dev/stdout", cid).stdout == b"through"
    assert daemon.run("get", "-o", "/dev/null", "-a", cid).returncode == 0
    assert not Path("/dev/null").is_file()


def test_connecting_says_where_a_peer_is_connected_already_and_disconnecting_what_failed(
    daemons: tuple[Daemon, Daemon],
) -> None:
    first, second = daemons
    second.start()
    address = first.text("id", "-f", "<addrs>").splitlines()[0]
    peer = address.rpartition("/")[2]
    assert second.text("swarm", "connect", address) == f"connect {peer} success"
    assert second.text("swarm", "connect", address) == f"connect {peer} success"
    elsewhere = f"/ip4/127.0.0.1/tcp/1/p2p/{peer}"
    connected = address.removesuffix(f"/p2p/{peer}")
    said = second.text("swarm", "connect", elsewhere)
    assert said == f"connect {peer} success: already connected at {connected}, {elsewhere} was not tried"
    assert second.text("swarm", "peers").split() == [address]
    assert second.text("swarm", "disconnect", address) == f"disconnect {peer} success"
    assert second.text("swarm", "disconnect", address) == f"disconnect {peer} failure: not connected"


def test_a_running_daemon_does_not_advise_to_start_one(daemons: tuple[Daemon, Daemon], tmp_path: Path) -> None:
    missing = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"
    for words in (["pin", "add", "--offline", missing], ["provide", "once", missing], ["cat", "--offline", missing]):
        done = daemons[0].run(*words, check=False)
        assert done.returncode == 1 and b"(cidery daemon)" not in done.stderr, words
