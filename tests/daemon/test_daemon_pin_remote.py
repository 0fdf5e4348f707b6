"""pin remote against a real service: another daemon, which fetches what it is asked to keep."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import pytest

import cidery
from cidery.core.files_at_services import FilesAtServices
from peers.cidery_daemon import CideryDaemon
from peers.line_peer import PeerFailed
from peers.pinning_service import PinningService
from peers.waiting import until

ALL = "--status=queued,pinning,pinned,failed"


@pytest.fixture(scope="module")
def keeper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CideryDaemon]:
    with CideryDaemon(tmp_path_factory.mktemp("keeper") / "node") as made:
        yield made


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CideryDaemon]:
    with CideryDaemon(tmp_path_factory.mktemp("asking") / "node") as made:
        yield made


@pytest.fixture
def service(keeper: CideryDaemon, node: CideryDaemon) -> Iterator[PinningService]:
    with PinningService(keeper) as made:
        node.run("pin", "remote", "service", "add", "mysrv", made.endpoint, made.key)
        yield made
        node.run("pin", "remote", "service", "rm", "mysrv")


def added(node: CideryDaemon, folder: Path, content: bytes) -> str:
    (folder / "file").write_bytes(content)
    return node.add(folder / "file")


def post(node: CideryDaemon, path: str, *query: tuple[str, str]) -> tuple[int, str]:
    host, port = (node.repo / "api").read_text().split("/")[2::2]
    url = f"http://{host}:{port}/api/v0/{path}?{urllib.parse.urlencode(query)}"
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="POST"), timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as exc:
        return exc.code, exc.read().decode()


def test_content_is_fetched_and_pinned_there(
    node: CideryDaemon, keeper: CideryDaemon, service: PinningService, tmp_path: Path
) -> None:
    cid = added(node, tmp_path, os.urandom(1_500_000).hex().encode())
    assert node.run("pin", "remote", "add", "--service=mysrv", "--name=my pin", cid) == (
        f"CID:    {cid}\nName:   my pin\nStatus: pinned\n"
    )
    assert cid in keeper.run("pin", "ls", "--type=recursive") and keeper.run("cat", "--offline", cid)
    [request] = service.requests
    assert request.pin["origins"] == [node.addr], "the service is told where the content is"
    assert keeper.peer_id in node.run("swarm", "peers"), "and its peers are connected to"
    assert node.run("pin", "remote", "ls", "--service=mysrv") == f"{cid}\tpinned\tmy pin\n"
    node.run("pin", "remote", "rm", "--service=mysrv", "--name=my pin")
    assert node.run("pin", "remote", "ls", "--service=mysrv", ALL) == ""
    assert cid not in keeper.run("pin", "ls", "--type=recursive")


def test_the_rpc_answers_as_kubo_does(node: CideryDaemon, service: PinningService, tmp_path: Path) -> None:
    cid = added(node, tmp_path, b"one")
    named = ("service", "mysrv")
    assert json.loads(post(node, "pin/remote/add", ("arg", f"/ipfs/{cid}"), named, ("name", "n"))[1]) == {
        "Status": "pinned",
        "Cid": cid,
        "Name": "n",
    }
    status, said = post(node, "pin/remote/add", ("arg", cid), named, ("progress", "true"))
    *states, last = map(json.loads, said.splitlines())
    assert status == 200 and states and "Progress" not in last and all("Progress" in one for one in states)
    status, said = post(node, "pin/remote/ls", named, ("status", "pinned"), ("status", "failed"), ("cid", cid))
    assert [json.loads(line)["Name"] for line in said.splitlines()] == ["", "n"], "the newest first"
    assert post(node, "pin/remote/rm", named) == (
        500,
        '{"Message":"multiple remote pins are matching this query, add --force to confirm the bulk removal",'
        '"Code":0,"Type":"error"}\n',
    )
    assert post(node, "pin/remote/rm", named, ("force", "true")) == (200, "")
    assert post(node, "pin/remote/ls", named) == (200, "")
    asked = post(node, "pin/remote/service/ls", ("stat", "true"))[1]
    counts = {"Queued": 0, "Pinning": 0, "Pinned": 0, "Failed": 0}
    shown = {"Service": "mysrv", "ApiEndpoint": service.endpoint, "Stat": {"Status": "valid", "PinCount": counts}}
    assert json.loads(asked) == {"RemoteServices": [shown]}


def test_a_long_list_comes_by_pages(node: CideryDaemon, service: PinningService) -> None:
    service.begins.clear()
    for number in range(205):
        service.answer("POST", "/api/v1/pins", json.dumps({"cid": "bafkqaaa", "name": str(number)}).encode())
    lines = node.run("pin", "remote", "ls", "--service=mysrv", "--status=queued").splitlines()
    assert lines == [f"bafkqaaa\tqueued\t{number}" for number in range(204, -1, -1)]
    assert len([one for one in service.heard if one[0] == "GET"]) == 3
    for request in service.requests:
        request.gone = True


def test_in_the_background_the_request_is_enough(node: CideryDaemon, service: PinningService, tmp_path: Path) -> None:
    service.begins.clear()
    cid = added(node, tmp_path, b"later")
    said = node.run("pin", "remote", "add", "--service=mysrv", "--background", cid)
    assert said.endswith("Status: queued\n")
    assert node.run("pin", "remote", "ls", "--service=mysrv") == ""
    service.begins.set()
    until(lambda: cid in node.run("pin", "remote", "ls", "--service=mysrv", f"--cid={cid}"))


def test_the_end_of_the_wait_says_that_the_service_goes_on(
    node: CideryDaemon, service: PinningService, tmp_path: Path
) -> None:
    service.begins.clear()
    cid = added(node, tmp_path, b"waited for")
    with pytest.raises(PeerFailed, match="waiting for pin interrupted, requestid=.* remains on remote service"):
        node.run("pin", "remote", "add", "--service=mysrv", "--timeout=2s", cid)
    arguments, env = node.command("pin", "remote", "add", "--service=mysrv", cid)
    with subprocess.Popen(arguments, env=env, stderr=subprocess.PIPE, text=True) as waiting:
        until(lambda: len(service.requests) == 2)
        waiting.send_signal(signal.SIGINT)
        _, said = waiting.communicate(timeout=30)
    assert waiting.returncode == 130 and f"cidery pin remote ls --service=mysrv {ALL}" in said
    service.begins.set()
    until(lambda: len(node.run("pin", "remote", "ls", "--service=mysrv").splitlines()) == 2)


def test_what_cannot_be_pinned_is_an_error_with_its_reason(
    node: CideryDaemon, keeper: CideryDaemon, service: PinningService, tmp_path: Path
) -> None:
    cid = added(keeper, tmp_path, b"held by the keeper, and damaged")
    keeper.run("pin", "rm", cid)
    service.node = node  # which cannot pin what is denied there
    (node.repo / "denylists").mkdir(exist_ok=True)
    (node.repo / "denylists" / "one.deny").write_text(f"/ipfs/{cid}\n")
    try:
        until(lambda: "one.deny" in node.run("denylist", "ls"))
        service.answer("POST", "/api/v1/pins", json.dumps({"cid": cid}).encode())
        until(lambda: service.requests[0].status == "failed")
        assert node.run("pin", "remote", "ls", "--service=mysrv", "--status=failed") == f"{cid}\tfailed\t\n"
    finally:
        (node.repo / "denylists" / "one.deny").unlink()


def test_the_key_is_shown_nowhere(node: CideryDaemon, service: PinningService) -> None:
    shown = [
        node.run("config", "show"),
        node.run("config", "Pinning"),
        node.run("pin", "remote", "service", "ls", "--stat", "--enc=json"),
        node.log.read_text(),
    ]
    assert service.key not in "".join(shown)
    assert service.key in (node.repo / "config").read_text()
    node.run("config", "replace", str(_written(node, "config", "show")))
    assert service.key in (node.repo / "config").read_text(), "what was masked is kept"


def _written(node: CideryDaemon, *words: str) -> Path:
    path = node.repo.parent / "shown"
    path.write_text(node.run(*words))
    return path


def test_a_key_can_come_from_standard_input(node: CideryDaemon, service: PinningService) -> None:
    arguments, env = node.command("pin", "remote", "service", "add", "other", service.endpoint)
    subprocess.run(arguments, env=env, input=f"{service.key}\n", text=True, check=True)
    assert node.run("pin", "remote", "service", "ls", "--stat").splitlines() == [
        f"{name} {service.endpoint} 0/0/0/0" for name in ("mysrv", "other")
    ]
    node.run("pin", "remote", "service", "rm", "other")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("add", "mysrv", "https://pin.example", "k"), "service already present"),
        (("add", "new", "pin.example", "k"), "service endpoint must be a valid HTTP URL"),
        (("add", "new", "xyz://pin.example", "k"), "service endpoint must be a valid HTTP URL"),
        (("add", "new", "https://pin.example/pins/", "k"), "without the /pins suffix"),
        (("add", "new", "https://pin.example/?query=val", "k"), "without any query parameters"),
        (("add", "new", "https://user:word@pin.example", "k"), "without a user"),
        (("add", "new", "https://pin.example", "two\nlines"), "printable ASCII"),
        (("add", "", "https://pin.example", "k"), "a service's name has"),
    ],
)
def test_a_service_that_cannot_be_is_refused(
    node: CideryDaemon, service: PinningService, words: tuple[str, ...], said: str
) -> None:
    with pytest.raises(PeerFailed, match=said):
        node.run("pin", "remote", "service", *words)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("ls",), "a service name must be passed"),
        (("ls", "--service="), "remote pinning service name not specified"),
        (("ls", "--service=nobody"), "service not known"),
        (("ls", "--service=mysrv", "--status=gone"), 'status "gone" is not valid'),
        (("ls", "--service=mysrv", "--cid=nonsense"), 'CID "nonsense" cannot be parsed'),
        (("ls", "--service=mysrv", f"--name={'n' * 256}"), "255"),
        (("rm", "--service=mysrv", "bafkqaaa"), "one argument too many"),
    ],
)
def test_a_call_that_makes_no_sense_asks_nobody(
    node: CideryDaemon, service: PinningService, words: tuple[str, ...], said: str
) -> None:
    with pytest.raises(PeerFailed, match=said):
        node.run("pin", "remote", *words)
    assert not service.heard


def test_a_wrong_key_and_a_wrong_path_are_said(node: CideryDaemon, service: PinningService) -> None:
    node.run("pin", "remote", "service", "add", "wrong.key", service.endpoint, "another")
    node.run("pin", "remote", "service", "add", "wrong-path", f"{service.endpoint}/no", service.key)
    with pytest.raises(PeerFailed, match="access denied"):
        node.run("pin", "remote", "ls", "--service=wrong.key")
    with pytest.raises(PeerFailed, match="404"):
        node.run("pin", "remote", "ls", "--service=wrong-path")
    listed = node.run("pin", "remote", "service", "ls", "--stat").splitlines()
    assert [line.split()[2] for line in listed] == ["0/0/0/0", "invalid", "invalid"]
    for name in ("wrong.key", "wrong-path"):
        node.run("pin", "remote", "service", "rm", name)


def test_without_a_daemon_the_services_are_there_too(keeper: CideryDaemon, tmp_path: Path) -> None:
    def run(*words: str) -> tuple[str, str]:
        command = [sys.executable, "-m", "cidery", *words]
        env = os.environ | {"CIDERY_PATH": str(tmp_path / "repo")}
        done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
        return done.stdout, done.stderr

    run("init", "--profile=test")
    (tmp_path / "file").write_bytes(b"known to both")
    cid, _ = run("add", "-Q", str(tmp_path / "file"))
    keeper.add(tmp_path / "file")
    with PinningService(keeper) as service:
        run("pin", "remote", "service", "add", "mysrv", service.endpoint, service.key)
        said, warned = run("pin", "remote", "add", "--service=mysrv", cid.strip())
        assert said.endswith("Status: pinned\n") and "WARNING: this node is offline" in warned
        assert "origins" not in json.loads(service.heard[0][3])
        assert run("pin", "remote", "ls", "--service=mysrv")[0] == f"{cid.strip()}\tpinned\t\n"
        run("pin", "remote", "rm", "--service=mysrv")


async def test_a_service_follows_the_mutable_files(keeper: CideryDaemon, tmp_path: Path) -> None:
    with PinningService(keeper) as service:
        async with cidery.Node(tmp_path / "repo", profile="test") as node:
            await node.pin.remote.service.add("mysrv", service.endpoint, service.key)
            await node.pin.remote.service.add("idle", service.endpoint, service.key)
            key = "Pinning.RemoteServices.mysrv.Policies.MFS"
            await node.config.set(f"{key}.Enable", True)
            follower = FilesAtServices(node.api)
            await node.files.write("/note", b"first", create=True)
            await follower.look()
            await follower.look()
            [first] = service.requests
            assert first.pin["cid"] == str((await node.files.stat("/")).cid)
            assert first.pin["name"] == f"policy/{await node.peer_id()}/mfs" and first.pin["origins"]

            await node.files.write("/note", b"second")
            await follower.look()
            assert len(service.requests) == 1, "not so soon"
            await node.config.set(f"{key}.RepinInterval", "0s")
            await follower.look()
            assert [one.gone for one in service.requests] == [True, False], "replaced, not added"
            assert service.requests[1].pin["cid"] == str((await node.files.stat("/")).cid)

            await FilesAtServices(node.api).look()
            assert len(service.requests) == 2, "after a restart it is known what is there"
            async with aclosing(node.pin.remote.ls("mysrv", status=("queued", "pinning", "pinned"))) as pins:
                assert [one.name async for one in pins] == [first.pin["name"]]
            await asyncio.to_thread(service.settle)  # while the node is there to fetch from
