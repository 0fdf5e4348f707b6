"""Denylists of a running daemon: RPC, gateway and command line obey them, from the start and as they grow."""

import http.client
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from peers.cidery_daemon import CideryDaemon, PeerFailed

DEADLINE = 30.0
"""Seconds within which a change of a list must be obeyed; it takes five."""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CideryDaemon]:
    with CideryDaemon(tmp_path_factory.mktemp("denylists") / "node") as node:
        yield node


def status(daemon: CideryDaemon, target: str) -> tuple[int, bytes]:
    url = urlsplit((daemon.repo / "gateway").read_text())
    assert url.hostname and url.port
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=60)
    try:
        connection.request("GET", target)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_a_list_that_comes_while_the_daemon_runs_is_obeyed_by_all(daemon: CideryDaemon, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"to be denied")
    cid = daemon.add(tmp_path / "file")
    target = f"/ipfs/{cid}?format=raw"
    assert status(daemon, target)[0] == 200 and daemon.run("denylist", "ls") == ""
    folder = daemon.repo / "denylists"
    folder.mkdir()
    (folder / "own.deny").write_text("name: My own\n---\n# nothing yet\n")
    with (folder / "own.deny").open("a") as opened:
        opened.write(f"/ipfs/{cid} reason:spam\n")
    deadline = time.monotonic() + DEADLINE
    while status(daemon, target)[0] == 200:
        assert time.monotonic() < deadline, "the list was not noticed"
        time.sleep(0.2)
    code, body = status(daemon, target)
    assert code == 410 and b"by the list 'My own' (spam)" in body
    for command in (["cat", cid], ["block", "get", cid], ["pin", "add", cid], ["dag", "export", cid]):
        with pytest.raises(PeerFailed, match="denied on this node by the list 'My own'"):
            daemon.run(*command)
    assert "1 " in daemon.run("denylist", "ls") and "(My own)" in daemon.run("denylist", "ls")
    told = daemon.run("denylist", "check", f"/ipfs/{cid}")
    assert told == f"/ipfs/{cid} is denied by {folder / 'own.deny'}, line 4: /ipfs/{cid} reason:spam\n"
    with (folder / "own.deny").open("a") as opened:
        opened.write(f"!/ipfs/{cid}\n")
    deadline = time.monotonic() + DEADLINE
    while status(daemon, target)[0] != 200:
        assert time.monotonic() < deadline, "the exception was not noticed"
        time.sleep(0.2)
    assert daemon.run("cat", cid) == "to be denied"
