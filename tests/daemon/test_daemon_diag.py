"""What a running daemon tells about itself: diag, log tail, swarm filters, bitswap ledger."""

import io
import json
import signal
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from peers.cidery_daemon import CideryDaemon
from peers.line_peer import PeerFailed

ABSENT = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[CideryDaemon, CideryDaemon]]:
    folder = tmp_path_factory.mktemp("diag")
    with CideryDaemon(folder / "one") as one, CideryDaemon(folder / "other") as other:
        yield one, other


def test_what_runs_is_listed(pair: tuple[CideryDaemon, CideryDaemon]) -> None:
    one, _ = pair
    (found,) = json.loads(one.run("diag", "cmds", "--enc=json"))
    assert found["Command"] == "diag/cmds" and found["Active"] and found["ID"] == 1


def test_a_healthy_daemon_says_so(pair: tuple[CideryDaemon, CideryDaemon], tmp_path: Path) -> None:
    one, _ = pair
    assert one.run("diag", "healthy") == "healthy\n"
    (tmp_path / "file").write_bytes(b"something to read")
    one.add(tmp_path / "file")
    assert one.run("diag", "healthy") == "healthy\n"
    told = json.loads(one.run("diag", "sys"))
    assert told["net"]["online"] and told["diskinfo"]["free_space"] > 0 and told["memory"]["virt"] > 0


def test_a_profile_holds_stacks_and_no_secret(pair: tuple[CideryDaemon, CideryDaemon], tmp_path: Path) -> None:
    one, _ = pair
    target = tmp_path / "profile.zip"
    one.run("diag", "profile", "--profile-time=200ms", "-o", str(target))
    with zipfile.ZipFile(io.BytesIO(target.read_bytes())) as packed:
        names = set(packed.namelist())
        assert names == {"stacks.txt", "samples.folded", "version.json", "config.json", "status.json", "system.json"}
        assert b"MainThread" in packed.read("stacks.txt") and packed.read("samples.folded").count(b"\n") >= 1
        secret = json.loads((one.repo / "config").read_bytes())["Identity"]["PrivKey"].encode()
        assert all(secret not in packed.read(name) for name in names)
    with pytest.raises(PeerFailed, match="cannot be written: File exists"):
        one.run("diag", "profile", "--profile-time=10ms", "-o", str(target))


def test_what_is_logged_can_be_followed(pair: tuple[CideryDaemon, CideryDaemon]) -> None:
    one, _ = pair
    one.run("log", "level", "all", "debug")
    words, environment = one.command("log", "tail", "--enc=json")
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as following:
        try:
            assert following.stdout is not None
            while "log/tail" not in one.run("diag", "cmds"):
                assert following.poll() is None
            with pytest.raises(PeerFailed, match="timed out"):
                one.run("cat", ABSENT, "--timeout=300ms")
            line = json.loads(following.stdout.readline())
            assert line.keys() == {"level", "ts", "logger", "caller", "msg"} and line["logger"].startswith("cidery")
        finally:
            following.send_signal(signal.SIGINT)
            following.communicate()
            one.run("log", "level", "all", "warn")
    assert following.returncode == 130


def test_a_filter_closes_connections_and_is_kept_in_the_config(pair: tuple[CideryDaemon, CideryDaemon]) -> None:
    one, other = pair
    one.connect(other.addr)
    assert other.peer_id in one.run("swarm", "peers")
    assert one.run("swarm", "filters", "add", "/ip4/127.0.0.0/ipcidr/8") == "/ip4/127.0.0.0/ipcidr/8\n"
    assert other.peer_id not in one.run("swarm", "peers")
    with pytest.raises(PeerFailed, match="forbidden by Swarm.AddrFilters"):
        one.connect(other.addr)
    assert one.run("swarm", "filters") == "/ip4/127.0.0.0/ipcidr/8\n"
    assert json.loads(one.run("config", "Swarm.AddrFilters", "--enc=json"))["Value"] == ["/ip4/127.0.0.0/ipcidr/8"]
    with pytest.raises(PeerFailed, match="is not among the filters"):
        one.run("swarm", "filters", "rm", "/ip4/10.0.0.0/ipcidr/8")
    with pytest.raises(PeerFailed, match="is not a net"):
        one.run("swarm", "filters", "add", "10.0.0.0/8")
    one.run("swarm", "filters", "rm", "all")
    one.connect(other.addr)
    assert one.run("swarm", "filters") == ""


def test_a_ledger_counts_what_passed(pair: tuple[CideryDaemon, CideryDaemon], tmp_path: Path) -> None:
    one, other = pair
    one.connect(other.addr)
    (tmp_path / "file").write_bytes(b"x" * 5000)
    cid = one.add(tmp_path / "file")
    other.get(cid, tmp_path / "got")
    sent = json.loads(one.run("bitswap", "ledger", other.peer_id, "--enc=json"))
    came = json.loads(other.run("bitswap", "ledger", one.peer_id, "--enc=json"))
    assert sent["Peer"] == other.peer_id and sent["Sent"] >= 5000 and sent["Exchanged"] >= 1
    assert came["Recv"] == sent["Sent"] and came["Sent"] == 0


def test_a_command_that_is_not_here_is_an_error_of_the_rpc_too(pair: tuple[CideryDaemon, CideryDaemon]) -> None:
    one, _ = pair
    with pytest.raises(PeerFailed, match="p2p is not available yet"):
        one.run("p2p", "ls")
